//! The system calls that unpacking, the commit after it, and packing need.

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use seccomp::Arch;

use crate::confine::Layer;

/// Each row: who needs it.
const ALLOWED: &[(&str, &[&str])] = &[
    ("the archive, and the answer to the parent", &["read", "readv", "pread64", "write", "writev", "lseek"]),
    ("sockets and pipes as input", &["recvfrom", "poll", "ppoll"]),
    ("files", &["openat", "openat2", "close", "pwrite64", "ftruncate", "fallocate", "fcntl", "fadvise64"]),
    ("what is there", &["fstat", "newfstatat", "fstatat64", "statx", "fstatfs", "getdents64", "readlinkat"]),
    ("names", &["mkdirat", "symlinkat", "linkat", "unlinkat", "renameat", "renameat2"]),
    ("owners, modes, times", &["fchown", "fchownat", "fchmod", "utimensat", "umask"]),
    ("attributes", &["fsetxattr", "fgetxattr", "flistxattr"]),
    ("the commit", &["fsync", "fdatasync", "syncfs", "flock"]),
    ("memory", &["brk", "munmap", "mremap", "madvise"]),
    ("the Rust and C runtime", &["futex", "getrandom", "clock_gettime", "gettimeofday", "sched_yield"]),
    ("signals, a panic's end", &["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill"]),
    ("who we are", &["getpid", "gettid", "getuid", "geteuid", "getgid", "getegid"]),
    ("the end", &["exit", "exit_group", "restart_syscall", "set_robust_list", "rseq"]),
];

/// `PROT_EXEC` of mmap(2): no page becomes code any more.
const PROT_EXEC: u64 = 4;

/// `EPERM`.
const EPERM: u32 = 1;

fn profile() -> Seccomp {
    let allow = |names: &[&str], args| SeccompRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: "SCMP_ACT_ALLOW".to_owned(),
        errno_ret: None,
        args,
    };
    let not_code =
        SeccompArg { index: 2, value: PROT_EXEC, value_two: 0, op: "SCMP_CMP_MASKED_EQ".to_owned() };
    let mut rules: Vec<_> = ALLOWED.iter().map(|(_, names)| allow(names, Vec::new())).collect();
    rules.push(allow(&["mmap", "mprotect"], vec![not_code]));
    // Whiteouts (0:0) and FIFOs: no node of a device, whatever the archive and the code that reads it.
    let no_device = SeccompArg { index: 3, value: 0, value_two: 0, op: "SCMP_CMP_EQ".to_owned() };
    rules.push(allow(&["mknodat"], vec![no_device]));
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(EPERM),
        syscalls: rules,
        ..Seccomp::default()
    }
}

pub(crate) fn install() -> Layer {
    let Some(native) = native() else { return Layer::Unavailable("no call table for this machine") };
    let Ok(compiled) = seccomp::compile(&profile(), native) else {
        return Layer::Unavailable("the filter does not compile");
    };
    match sys::seccomp::install(compiled.program.instructions(), compiled.program.flags()) {
        Ok(_) => Layer::Applied,
        Err(_) => Layer::Unavailable("seccomp(2) refused"),
    }
}

const fn native() -> Option<Arch> {
    if cfg!(target_arch = "x86_64") {
        Some(Arch::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Arch::Aarch64)
    } else if cfg!(target_arch = "riscv64") {
        Some(Arch::Riscv64)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiles_for_every_machine() {
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
            let compiled = seccomp::compile(&profile(), arch).unwrap();
            assert!(compiled.program.instructions().len() < 200, "{arch:?}");
            assert!(!compiled.program.has_notify());
        }
        assert!(native().is_some());
    }
}
