//! The least that a container's start costs on this kernel: `floor ROOTFS PROGRAM [user]`.
//!
//! One clone3 with the namespaces of the benchmark's bundle, its mounts and default devices, pivot_root, exec, wait.
//! No id range, cgroup, seccomp filter, mask, capability or state: what a runtime does beyond this is its own cost.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{WaitId, WaitIdOptions};
use sys::clone::{Cloned, flags};
use sys::exec::StringArray;

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

#[expect(clippy::print_stderr, reason = "a program for the benchmark, not a library")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let (rootfs, program, is_user) = match arguments.as_slice() {
        [_, rootfs, program] => (rootfs, program, false),
        [_, rootfs, program, word] if word == "user" => (rootfs, program, true),
        _ => {
            eprintln!("usage: floor ROOTFS PROGRAM [user]");
            return ExitCode::from(2);
        }
    };
    match start(rootfs, program, is_user) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::from(125)
        }
    }
}

fn start(rootfs: &str, program: &str, is_user: bool) -> io::Result<u8> {
    let path = CString::new(program)?;
    let arguments = StringArray::new(vec![path.clone()]);
    let environment = StringArray::new(vec![CString::from(c"PATH=/bin")]);
    let mut new =
        flags::NEWPID | flags::NEWNS | flags::NEWIPC | flags::NEWUTS | flags::NEWNET | flags::NEWCGROUP;
    if is_user {
        new |= flags::NEWUSER;
    }
    let (wait_for_maps, maps_written) = io::pipe()?;
    match sys::clone::clone3(new, None)? {
        Cloned::Child => {
            drop(maps_written);
            if is_user {
                // The end of the pipe says that the maps are there.
                (&wait_for_maps).read_to_end(&mut Vec::new())?;
            }
            enter(rootfs, is_user)?;
            Err(sys::exec::execve(&path, &arguments, &environment).into())
        }
        Cloned::Parent { pid, pidfd } => {
            if is_user {
                let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
                fs::write(format!("/proc/{pid}/uid_map"), format!("0 {} 1", uid.as_raw()))?;
                fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
                fs::write(format!("/proc/{pid}/gid_map"), format!("0 {} 1", gid.as_raw()))?;
            }
            drop(maps_written);
            wait(&pidfd)
        }
    }
}

fn wait(pidfd: &OwnedFd) -> io::Result<u8> {
    use std::os::fd::AsFd;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    let code = status.and_then(|status| status.exit_status()).unwrap_or(255);
    Ok(u8::try_from(code).unwrap_or(255))
}

fn enter(rootfs: &str, is_user: bool) -> io::Result<()> {
    let at = |name: &str| format!("{rootfs}/{name}");
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    rustix::mount::mount_bind_recursive(rootfs, rootfs)?;
    let hard = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    rustix::mount::mount("proc", at("proc"), "proc", hard, None)?;
    rustix::mount::mount("tmpfs", at("dev"), "tmpfs", MountFlags::NOSUID, Some(c"mode=755,size=65536k"))?;
    for name in ["pts", "shm", "mqueue"] {
        rustix::fs::mkdir(at(&format!("dev/{name}")), Mode::from(0o755))?;
    }
    let pts = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount(
        "devpts",
        at("dev/pts"),
        "devpts",
        pts,
        Some(c"newinstance,ptmxmode=0666,mode=0620"),
    )?;
    rustix::mount::mount("shm", at("dev/shm"), "tmpfs", hard, Some(c"mode=1777,size=65536k"))?;
    rustix::mount::mount("mqueue", at("dev/mqueue"), "mqueue", hard, None)?;
    rustix::mount::mount("sysfs", at("sys"), "sysfs", hard | MountFlags::RDONLY, None)?;
    for (name, major, minor) in DEVICES {
        let path = at(&format!("dev/{name}"));
        if is_user {
            drop(rustix::fs::open(
                &path,
                OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::from(0o666),
            )?);
            rustix::mount::mount_bind(format!("/dev/{name}"), &path)?;
        } else {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::from(0o666), device)?;
        }
    }
    for (target, name) in LINKS {
        rustix::fs::symlink(target, at(&format!("dev/{name}")))?;
    }
    rustix::system::sethostname(b"floor")?;
    rustix::process::chdir(rootfs)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}
