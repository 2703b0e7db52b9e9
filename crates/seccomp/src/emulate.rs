//! Runs a filter without a kernel, after the checks the kernel makes.
//!
//! All of classic BPF that seccomp takes is known, not only what our compiler writes, so that
//! filters of other engines can be examined too.

use sys::seccomp::{Instruction, MAX_INSTRUCTIONS};

use crate::action::Action;
use crate::error::Error;

/// What a filter sees of a call: `struct seccomp_data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The call's number.
    pub number: u32,
    /// `AUDIT_ARCH_*`, see [`crate::Arch::audit`].
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The call's arguments.
    pub arguments: [u64; 6],
}

/// Size of `struct seccomp_data` in bytes.
const DATA_SIZE: u32 = 64;
/// Words of scratch memory (`BPF_MEMWORDS`).
const MEMORY: usize = 16;

/// Instruction classes and the other parts of a code.
mod part {
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const LD: u16 = 0x00;
    pub(super) const LDX: u16 = 0x01;
    pub(super) const ST: u16 = 0x02;
    pub(super) const STX: u16 = 0x03;
    pub(super) const ALU: u16 = 0x04;
    pub(super) const JMP: u16 = 0x05;
    pub(super) const RET: u16 = 0x06;
    pub(super) const MISC: u16 = 0x07;
    pub(super) const X: u16 = 0x08;
    pub(super) const OPERATION: u16 = 0xf0;
    pub(super) const MODE: u16 = 0xf8;
    pub(super) const IMM: u16 = 0x00;
    pub(super) const ABS: u16 = 0x20;
    pub(super) const MEM: u16 = 0x60;
    pub(super) const LEN: u16 = 0x80;
}

/// A program that passed the kernel's checks: it ends, and stays inside its data and memory.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    instructions: &'a [Instruction],
}

impl<'a> Program<'a> {
    /// Checks as `bpf_check_classic` and `seccomp_check_filter` do (Linux 6.17).
    pub fn check(instructions: &'a [Instruction]) -> Result<Self, Error> {
        let length = instructions.len();
        if length > MAX_INSTRUCTIONS {
            return Err(Error::TooLong { length, limit: MAX_INSTRUCTIONS });
        }
        let ends = instructions.last().is_some_and(|last| last.code & part::CLASS == part::RET);
        if !ends {
            return Err(invalid(length.saturating_sub(1), "the last instruction is no return"));
        }
        // Which memory words every path to an instruction has written, one bit each.
        let mut written = vec![u16::MAX; length];
        let mut current = 0;
        for (at, instruction) in instructions.iter().enumerate() {
            current &= written[at];
            check_one(instruction).map_err(|why| invalid(at, why))?;
            let slot = 1_u16.checked_shl(instruction.k).unwrap_or(0);
            match instruction.code {
                code if is_store(code) => current |= slot,
                code if is_memory_load(code) && current & slot == 0 => {
                    return Err(invalid(at, "it reads memory that no path wrote"));
                }
                code if code & part::CLASS == part::JMP => {
                    let [holds, fails] = targets(at, instruction);
                    for target in [holds, fails] {
                        let Some(mask) = written.get_mut(target) else {
                            return Err(invalid(at, "it jumps behind the end"));
                        };
                        *mask &= current;
                    }
                    current = u16::MAX;
                }
                code if code & part::CLASS == part::RET => current = u16::MAX,
                _ => {}
            }
        }
        Ok(Self { instructions })
    }

    /// The value returned for a call; at most one step per instruction, as all jumps go forward.
    #[must_use]
    pub fn run(&self, data: &Data) -> u32 {
        let mut machine = Machine { data, a: 0, x: 0, memory: [0; MEMORY] };
        let mut at = 0;
        while let Some(instruction) = self.instructions.get(at) {
            match machine.step(at, instruction) {
                Step::To(next) => at = next,
                Step::Return(value) => return value,
            }
        }
        // Unreachable after `check`; what the kernel's own default would be.
        sys::seccomp::RET_KILL_PROCESS
    }

    /// The number of instructions executed for a call.
    #[must_use]
    pub fn steps(&self, data: &Data) -> usize {
        let mut machine = Machine { data, a: 0, x: 0, memory: [0; MEMORY] };
        let (mut at, mut steps) = (0, 0);
        while let Some(instruction) = self.instructions.get(at) {
            steps += 1;
            match machine.step(at, instruction) {
                Step::To(next) => at = next,
                Step::Return(_) => break,
            }
        }
        steps
    }
}

/// Checks a program and gives its decision about one call.
pub fn emulate(instructions: &[Instruction], data: &Data) -> Result<Action, Error> {
    Ok(Action::decode(Program::check(instructions)?.run(data)))
}

enum Step {
    To(usize),
    Return(u32),
}

struct Machine<'a> {
    data: &'a Data,
    a: u32,
    x: u32,
    memory: [u32; MEMORY],
}

impl Machine<'_> {
    fn step(&mut self, at: usize, instruction: &Instruction) -> Step {
        let code = instruction.code;
        let k = instruction.k;
        let source = if code & part::X == 0 { k } else { self.x };
        match code & part::CLASS {
            part::LD | part::LDX => {
                let value = match code & (part::OPERATION & !0x10) {
                    part::ABS => word(self.data, k),
                    part::MEM => self.remembered(k),
                    part::LEN => DATA_SIZE,
                    _ => k,
                };
                if code & part::CLASS == part::LD {
                    self.a = value;
                } else {
                    self.x = value;
                }
            }
            part::ST => self.remember(k, self.a),
            part::STX => self.remember(k, self.x),
            part::ALU => match calculate(code & part::OPERATION, self.a, source) {
                Some(value) => self.a = value,
                // Division by a zero X: the kernel ends the program with 0.
                None => return Step::Return(0),
            },
            part::JMP => {
                let [holds, fails] = targets(at, instruction);
                let test = match code & part::OPERATION {
                    0x10 => self.a == source,
                    0x20 => self.a > source,
                    0x30 => self.a >= source,
                    0x40 => self.a & source != 0,
                    _ => true,
                };
                return Step::To(if test { holds } else { fails });
            }
            part::RET => return Step::Return(if code & 0x18 == 0x10 { self.a } else { k }),
            _ if code & part::MODE == 0 => self.x = self.a,
            _ => self.a = self.x,
        }
        Step::To(at + 1)
    }

    fn remembered(&self, k: u32) -> u32 {
        usize::try_from(k).ok().and_then(|k| self.memory.get(k)).copied().unwrap_or(0)
    }

    fn remember(&mut self, k: u32, value: u32) {
        if let Some(slot) = usize::try_from(k).ok().and_then(|k| self.memory.get_mut(k)) {
            *slot = value;
        }
    }
}

fn calculate(operation: u16, a: u32, b: u32) -> Option<u32> {
    Some(match operation {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 => a.checked_div(b)?,
        0x40 => a | b,
        0x50 => a & b,
        // A shift by X uses its low five bits, as the kernel's 32-bit shifts do.
        0x60 => a.wrapping_shl(b),
        0x70 => a.wrapping_shr(b),
        0x80 => a.wrapping_neg(),
        _ => a ^ b,
    })
}

/// A 32-bit word of the data on a little-endian machine; `offset` is a multiple of 4 below 64.
fn word(data: &Data, offset: u32) -> u32 {
    let wide = match offset {
        0 => return data.number,
        4 => return data.arch,
        8 | 12 => data.instruction_pointer,
        _ => {
            let index = usize::try_from((offset - 16) / 8).unwrap_or(usize::MAX);
            data.arguments.get(index).copied().unwrap_or(0)
        }
    };
    let shift = if offset.is_multiple_of(8) { 0 } else { 32 };
    u32::try_from((wide >> shift) & 0xffff_ffff).unwrap_or(0)
}

fn targets(at: usize, instruction: &Instruction) -> [usize; 2] {
    if instruction.code == crate::assemble::code::JUMP {
        let distance = usize::try_from(instruction.k).unwrap_or(usize::MAX);
        return [at.saturating_add(1).saturating_add(distance); 2];
    }
    [at + 1 + usize::from(instruction.jt), at + 1 + usize::from(instruction.jf)]
}

fn is_store(code: u16) -> bool {
    code == part::ST || code == part::STX
}

fn is_memory_load(code: u16) -> bool {
    code == part::LD | part::MEM || code == part::LDX | part::MEM
}

fn check_one(instruction: &Instruction) -> Result<(), &'static str> {
    let Instruction { code, k, .. } = *instruction;
    let known = match code & part::CLASS {
        part::LD => matches!(code & !part::CLASS, part::IMM | part::ABS | part::MEM | part::LEN),
        part::LDX => matches!(code & !part::CLASS, part::IMM | part::MEM | part::LEN),
        part::ST | part::STX => is_store(code),
        part::ALU => code & part::OPERATION <= 0x70 || matches!(code, 0x84 | 0xa4 | 0xac),
        part::JMP => code == 0x05 || matches!(code & part::OPERATION, 0x10..=0x40),
        part::RET => matches!(code, 0x06 | 0x16),
        part::MISC => matches!(code, 0x07 | 0x87),
        _ => false,
    };
    if !known || code > 0xff {
        return Err("seccomp has no such operation");
    }
    if code == part::LD | part::ABS && (k >= DATA_SIZE || !k.is_multiple_of(4)) {
        return Err("it loads from outside the call's data");
    }
    if (is_store(code) || is_memory_load(code)) && k >= 16 {
        return Err("it uses memory that there is not");
    }
    if code == 0x34 && k == 0 {
        return Err("it divides by zero");
    }
    if matches!(code, 0x64 | 0x74) && k >= 32 {
        return Err("it shifts by more than a word");
    }
    Ok(())
}

fn invalid(at: usize, why: &'static str) -> Error {
    Error::InvalidProgram { at, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    #[test]
    fn bad_programs_are_refused() {
        let rows: [(&str, &[Instruction]); 11] = [
            ("empty", &[]),
            ("no return", &[op(0x20, 0, 0, 0)]),
            ("unaligned load", &[op(0x20, 0, 0, 2), op(0x06, 0, 0, 0)]),
            ("load behind the data", &[op(0x20, 0, 0, 64), op(0x06, 0, 0, 0)]),
            ("indirect load", &[op(0x40, 0, 0, 0), op(0x06, 0, 0, 0)]),
            ("jump behind the end", &[op(0x15, 1, 0, 0), op(0x06, 0, 0, 0)]),
            ("long jump behind the end", &[op(0x05, 0, 0, u32::MAX), op(0x06, 0, 0, 0)]),
            ("division by zero", &[op(0x34, 0, 0, 0), op(0x06, 0, 0, 0)]),
            ("unwritten memory", &[op(0x60, 0, 0, 3), op(0x06, 0, 0, 0)]),
            (
                "memory of one path",
                &[op(0x15, 0, 1, 7), op(0x02, 0, 0, 1), op(0x60, 0, 0, 1), op(0x06, 0, 0, 0)],
            ),
            ("byte load", &[op(0x30, 0, 0, 0), op(0x06, 0, 0, 0)]),
        ];
        for (why, program) in rows {
            assert!(Program::check(program).is_err(), "{why}");
        }
        let long = vec![op(0x06, 0, 0, 0); MAX_INSTRUCTIONS + 1];
        assert!(Program::check(&long).is_err());
    }

    #[test]
    fn operations_calculate() {
        let data = Data { number: 40, arguments: [0x1_0000_0002, 0, 0, 0, 0, 9], ..Data::default() };
        let rows: [(&[Instruction], u32); 8] = [
            (&[op(0x20, 0, 0, 0), op(0x04, 0, 0, 2), op(0x16, 0, 0, 0)], 42),
            (&[op(0x20, 0, 0, 16), op(0x16, 0, 0, 0)], 2),
            (&[op(0x20, 0, 0, 20), op(0x16, 0, 0, 0)], 1),
            (&[op(0x20, 0, 0, 56), op(0x07, 0, 0, 0), op(0x0c, 0, 0, 0), op(0x16, 0, 0, 0)], 18),
            (&[op(0x80, 0, 0, 0), op(0x16, 0, 0, 0)], 64),
            (&[op(0x01, 0, 0, 5), op(0x87, 0, 0, 0), op(0x24, 0, 0, 3), op(0x16, 0, 0, 0)], 15),
            (&[op(0x00, 0, 0, 5), op(0x3c, 0, 0, 0), op(0x06, 0, 0, 9)], 0),
            (
                &[
                    op(0x00, 0, 0, 5),
                    op(0x02, 0, 0, 1),
                    op(0x61, 0, 0, 1),
                    op(0xac, 0, 0, 0),
                    op(0x16, 0, 0, 0),
                ],
                0,
            ),
        ];
        for (program, expected) in rows {
            assert_eq!(Program::check(program).unwrap().run(&data), expected, "{program:?}");
        }
    }
}
