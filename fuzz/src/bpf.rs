//! Any bytes as a filter: what passes the checks ends within its length for every call, and the cache believes an entry only under its own key.

use oci::runtime::Seccomp;
use seccomp::cache::Key;
use seccomp::emulate::{Data, Program, emulate};
use seccomp::fuzzing::{decode, encode};
use seccomp::{Action, Arch};
use sys::seccomp::Instruction;

use crate::input::Numbers;

/// Most bytes of an input.
pub const MAX_LEN: usize = 2048;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let profile = |action: &str| Seccomp { default_action: action.to_owned(), ..Seccomp::default() };
    let key = Key::of(&profile("SCMP_ACT_ALLOW"), Arch::X86_64);
    let other = Key::of(&profile("SCMP_ACT_TRAP"), Arch::X86_64);
    // As it lies: almost never believed.
    if let Some(instructions) = decode(bytes, &key) {
        assert_eq!(encode(&instructions, &key), bytes);
    }
    let (words, _) = bytes.as_chunks::<8>();
    let instructions: Vec<Instruction> = words
        .iter()
        .map(|&[a, b, jt, jf, c, d, e, f]| Instruction {
            // Most random codes are none: the low half is tried with one that is.
            code: u16::from_le_bytes([a, b & 1]),
            jt,
            jf,
            k: u32::from_le_bytes([c, d, e, f]),
        })
        .collect();
    let entry = encode(&instructions, &key);
    assert!(decode(&entry, &other).is_none());
    let believed = decode(&entry, &key);
    let Ok(program) = Program::check(&instructions) else {
        assert!(believed.is_none());
        return;
    };
    assert_eq!(believed.as_ref(), Some(&instructions));
    let mut numbers = Numbers(bytes);
    for _ in 0..4 {
        let data = Data {
            number: numbers.word(),
            arch: Arch::X86_64.audit(),
            instruction_pointer: numbers.value(),
            arguments: std::array::from_fn(|_| numbers.value()),
        };
        assert!(program.steps(&data) <= instructions.len());
        assert_eq!(emulate(&instructions, &data).ok(), Some(Action::decode(program.run(&data))));
    }
}
