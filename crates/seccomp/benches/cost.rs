//! Instructions and cost per call of our filters and libseccomp's, for the same profiles.
//!
//! `cd crates/seccomp && cargo bench --features oracle`
//!
//! A forked child installs one filter and repeats calls; filters alternate, the best of the rounds
//! counts. The kernel answers calls that a filter always allows from a bitmap (Linux 5.11) without
//! running it: `getppid` shows that. `ioctl` (its arguments are looked at) and `chroot` (refused; without
//! a filter it fails later, in its path) run it.
#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a benchmark, not a library")]

#[path = "../tests/runc/mod.rs"]
mod runc;

use std::time::Instant;

use oci::runtime::Seccomp;
use seccomp::emulate::{Data, Program};
use seccomp::standard::{self, NamedSet};
use seccomp::{Action, Arch, compile};
use sys::seccomp::Instruction;

const ROUNDS: usize = 200;
const CALLS: u32 = 20_000;

fn main() {
    let native = Arch::native().unwrap();
    for (label, set) in [("standard", &[][..]), ("docker", &[NamedSet::Docker])] {
        let profile = standard::profile(standard::DEFAULT_CAPABILITIES, set);
        compare(label, &profile, native);
    }
}

fn compare(label: &str, profile: &Seccomp, native: Arch) {
    let started = Instant::now();
    let ours = compile(profile, native).unwrap().program;
    let our_time = started.elapsed();
    let foreign = if label == "standard" { Action::Errno(38) } else { Action::KillProcess };
    let started = Instant::now();
    let theirs = runc::libseccomp_program(profile, native, foreign).unwrap();
    let their_time = started.elapsed();
    println!("{label}: compile {our_time:?}, libseccomp {their_time:?}");
    println!("{label}: {} instructions, libseccomp {}", ours.instructions().len(), theirs.len());
    let calls = [("getppid", 0), ("ioctl", 1), ("chroot", 2)];
    for (name, call) in calls {
        let mut best = [f64::MAX; 3];
        for _ in 0..ROUNDS {
            for (slot, program) in [&[][..], ours.instructions(), &theirs].into_iter().enumerate() {
                best[slot] = best[slot].min(child(program, call));
            }
        }
        let [none, our, their] = best;
        // FIONREAD for ioctl; the others look at no argument.
        let arguments = [0, 0x541b, 0, 0, 0, 0];
        let data = Data {
            number: native.number(name).unwrap(),
            arch: native.audit(),
            instruction_pointer: 0,
            arguments,
        };
        let steps = |program: &[Instruction]| Program::check(program).unwrap().steps(&data);
        println!(
            "{label}: {name:7} none {none:5.1} ns, ours {our:6.1} ns ({} steps), libseccomp {their:6.1} ns ({} steps), \
             a call ours/libseccomp {:.2}",
            steps(ours.instructions()),
            steps(&theirs),
            our / their
        );
    }
}

/// Nanoseconds per call in a forked child under `program` (none if empty).
fn child(program: &[Instruction], call: u8) -> f64 {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let work = || {
        rustix::thread::set_no_new_privs(true).unwrap();
        if !program.is_empty() {
            sys::seccomp::install(program, 0).unwrap();
        }
        let started = Instant::now();
        for _ in 0..CALLS {
            match call {
                0 => drop(std::hint::black_box(rustix::process::getppid())),
                1 => drop(std::hint::black_box(rustix::io::ioctl_fionread(&reader))),
                _ => drop(std::hint::black_box(rustix::process::chroot(c""))),
            }
        }
        let nanoseconds = started.elapsed().as_nanos() as u64;
        rustix::io::write(&writer, &nanoseconds.to_le_bytes()).unwrap();
        0
    };
    sys::fork::fork_closure(0, work).unwrap().wait().unwrap();
    let mut bytes = [0; 8];
    rustix::io::read(&reader, &mut bytes).unwrap();
    u64::from_le_bytes(bytes) as f64 / f64::from(CALLS)
}
