//! libseccomp's program for a profile, fed the way runc feeds it. Shared by the oracle and the bench.
#![expect(clippy::unwrap_used, reason = "test code that no test attribute covers")]

use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci::runtime::{Seccomp, SeccompArg};
use seccomp::{Action, Arch};
use sys::seccomp::Instruction;

pub(crate) fn scmp(arch: Arch) -> ScmpArch {
    match arch {
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X86 => ScmpArch::X86,
        Arch::X32 => ScmpArch::X32,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Arm => ScmpArch::Arm,
        Arch::Riscv64 => ScmpArch::Riscv64,
    }
}

fn action(name: &str, errno: Option<u32>) -> ScmpAction {
    let errno = i32::try_from(errno.unwrap_or(1)).unwrap();
    match name {
        "SCMP_ACT_ALLOW" => ScmpAction::Allow,
        "SCMP_ACT_ERRNO" => ScmpAction::Errno(errno),
        "SCMP_ACT_KILL_PROCESS" => ScmpAction::KillProcess,
        "SCMP_ACT_TRAP" => ScmpAction::Trap,
        "SCMP_ACT_LOG" => ScmpAction::Log,
        "SCMP_ACT_TRACE" => ScmpAction::Trace(u16::try_from(errno).unwrap()),
        _ => panic!("{name}"),
    }
}

fn compare(arg: &SeccompArg) -> ScmpArgCompare {
    let (op, value) = match arg.op.as_str() {
        "SCMP_CMP_NE" => (ScmpCompareOp::NotEqual, arg.value),
        "SCMP_CMP_LT" => (ScmpCompareOp::Less, arg.value),
        "SCMP_CMP_LE" => (ScmpCompareOp::LessOrEqual, arg.value),
        "SCMP_CMP_EQ" => (ScmpCompareOp::Equal, arg.value),
        "SCMP_CMP_GE" => (ScmpCompareOp::GreaterEqual, arg.value),
        "SCMP_CMP_GT" => (ScmpCompareOp::Greater, arg.value),
        _ => (ScmpCompareOp::MaskedEqual(arg.value), arg.value_two),
    };
    ScmpArgCompare::new(arg.index, op, value)
}

/// libseccomp asks the kernel at its first use and keeps the answers in globals that no lock guards: two tests of one
/// process may not begin together.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What runc does with a profile, up to its ENOSYS stub.
pub(crate) fn libseccomp_program(
    profile: &Seccomp,
    native: Arch,
    foreign: Action,
) -> Option<Vec<Instruction>> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let default = action(&profile.default_action, profile.default_errno_ret);
    let mut filter = ScmpFilterContext::new(default).unwrap();
    filter
        .set_act_badarch(match foreign {
            Action::Errno(errno) => ScmpAction::Errno(i32::from(errno)),
            _ => ScmpAction::KillProcess,
        })
        .unwrap();
    if scmp(native) != ScmpArch::X8664 {
        filter.add_arch(scmp(native)).unwrap();
        filter.remove_arch(ScmpArch::X8664).unwrap();
    }
    for name in &profile.architectures {
        filter.add_arch(scmp(Arch::from_oci(name).unwrap())).unwrap();
    }
    for rule in &profile.syscalls {
        let act = action(&rule.action, rule.errno_ret);
        if act == default {
            continue;
        }
        let repeated = rule
            .args
            .iter()
            .enumerate()
            .any(|(at, arg)| rule.args[..at].iter().any(|earlier| earlier.index == arg.index));
        for name in &rule.names {
            let Ok(call) = ScmpSyscall::from_name(name) else { continue };
            let conditions: Vec<ScmpArgCompare> = rule.args.iter().map(compare).collect();
            if conditions.is_empty() {
                filter.add_rule(act, call).ok()?;
            } else if repeated {
                for condition in conditions {
                    filter.add_rule_conditional(act, call, &[condition]).ok()?;
                }
            } else {
                filter.add_rule_conditional(act, call, &conditions).ok()?;
            }
        }
    }
    let memfd = rustix::fs::memfd_create("bpf", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    filter.export_bpf(memfd.as_fd()).unwrap();
    let mut file = std::fs::File::from(memfd);
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let decode = |b: &[u8]| Instruction {
        code: u16::from_le_bytes([b[0], b[1]]),
        jt: b[2],
        jf: b[3],
        k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    };
    Some(bytes.chunks_exact(8).map(decode).collect())
}
