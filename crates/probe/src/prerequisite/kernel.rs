//! The kernel: its version, and the calls that a container's walls are made of.

use rustix::io::Errno;
use sys::raw::{Answer, Step, try_in_child};

use super::{Finding, Host};
use crate::read;
use crate::report::answer_text;

/// Oldest kernel that is supported: recursive mount attributes, `cgroup.kill`.
const FLOOR: (u32, u32) = (5, 14);

/// An address that no process has mapped: EFAULT.
const BAD: usize = 1;

pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let mut findings = vec![version(&rustix::system::uname().release().to_string_lossy())];
    findings.extend(calls());
    findings.push(seccomp());
    findings.push(security_modules(host));
    findings.push(ports(host));
    for (name, path, use_, module) in [
        ("/dev/fuse", "/dev/fuse", "file systems by programs (fuse-overlayfs)", "fuse"),
        ("/dev/net/tun", "/dev/net/tun", "rootless networks (pasta, slirp4netns)", "tun"),
    ] {
        findings.push(device(name, path, use_, module));
    }
    findings
}

fn version(release: &str) -> Finding {
    const NAME: &str = "kernel";
    let Some(numbers) = numbers(release) else {
        return Finding::weaker(NAME, format!("version `{release}` cannot be read"), None);
    };
    if numbers < FLOOR {
        let detail = format!("{release} is older than {}.{}", FLOOR.0, FLOOR.1);
        return Finding::unavailable(
            NAME,
            detail,
            Some("apt-get install linux-image-amd64 && reboot".to_owned()),
        );
    }
    Finding::applied(NAME, release)
}

/// The first two numbers of a release.
pub(super) fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Calls that are tried with arguments that do nothing.
fn calls() -> Vec<Finding> {
    let native = |number, arguments| Step::Native { number, arguments, closes: true };
    let steps = [
        // Size 0: EINVAL where there is such a call.
        native(libc::SYS_clone3, [BAD, 0, 0, 0, 0, 0]),
        // LANDLOCK_CREATE_RULESET_VERSION.
        native(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0, 0]),
        native(libc::SYS_openat2, [usize::MAX, BAD, BAD, 0, 0, 0]),
        native(libc::SYS_mount_setattr, [usize::MAX, BAD, 0, BAD, 0, 0]),
        native(libc::SYS_pidfd_open, [0, 0, 0, 0, 0, 0]),
        native(libc::SYS_close_range, [usize::MAX, usize::MAX, 0, 0, 0, 0]),
    ];
    let answers = try_in_child(&steps);
    let has = |name, answer: Answer, use_: &str| match answer {
        Answer::Errno(Errno::NOSYS | Errno::PERM) | Answer::Killed(_) => Finding::unavailable(
            name,
            format!(
                "{}: refused by this kernel or by a filter around this process; {use_}",
                answer_text(answer)
            ),
            None,
        ),
        _ => Finding::applied(name, use_),
    };
    vec![
        has("clone3", answers[0], "starts a container in one call"),
        has("openat2", answers[2], "resolves paths of an image without leaving it"),
        has("mount_setattr", answers[3], "changes a mount tree in one call"),
        has("pidfd_open", answers[4], "names a process without a race"),
        has("close_range", answers[5], "closes what must not be inherited"),
        landlock(answers[1]),
    ]
}

fn landlock(answer: Answer) -> Finding {
    const NAME: &str = "Landlock";
    /// Newest ABI that is used: 6 confines signals and abstract sockets (Linux 6.12).
    const WANTED: u64 = 6;
    match answer {
        Answer::Value(abi) if abi >= WANTED => Finding::applied(NAME, format!("ABI {abi}")),
        Answer::Value(abi) => Finding::weaker(
            NAME,
            format!("ABI {abi}: signals and abstract sockets need {WANTED} (Linux 6.12)"),
            None,
        ),
        Answer::Errno(Errno::OPNOTSUPP) => {
            // The list on the command line replaces the kernel's own: the modules of today stay in it.
            let mend = read::line("/sys/kernel/security/lsm").ok().map(|modules| {
                format!(
                    "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&lsm=landlock,{modules} /' /etc/default/grub && update-grub && reboot"
                )
            });
            Finding::weaker(NAME, "built in and not enabled: helpers are not confined by it", mend)
        }
        other => {
            Finding::weaker(NAME, format!("{}: helpers are not confined by it", answer_text(other)), None)
        }
    }
}

fn seccomp() -> Finding {
    const NAME: &str = "seccomp";
    match read::line("/proc/sys/kernel/seccomp/actions_avail") {
        Err(_) => Finding::unavailable(NAME, "the kernel is built without CONFIG_SECCOMP_FILTER", None),
        Ok(actions) => {
            let missing: Vec<&str> = ["kill_process", "user_notif", "errno", "log"]
                .into_iter()
                .filter(|wanted| !actions.split_ascii_whitespace().any(|action| action == *wanted))
                .collect();
            if missing.is_empty() {
                Finding::applied(NAME, actions)
            } else {
                Finding::weaker(NAME, format!("lacks {}", missing.join(" ")), None)
            }
        }
    }
}

/// Whether one is on, and whether it confines containers.
fn security_modules(host: &Host) -> Finding {
    const NAME: &str = "AppArmor or SELinux";
    let confines = |module: &str| match &host.unconfined {
        None => Finding::applied(NAME, format!("{module}, containers are confined")),
        Some((reason, mend)) => {
            Finding::weaker(NAME, format!("{module}, containers are not confined: {reason}"), mend.clone())
        }
    };
    if let Ok(enforcing) = read::line("/sys/fs/selinux/enforce") {
        return if enforcing == "1" {
            confines("SELinux, enforcing")
        } else {
            Finding::weaker(NAME, "SELinux, permissive", Some("setenforce 1".to_owned()))
        };
    }
    if read::line("/sys/module/apparmor/parameters/enabled").is_ok_and(|enabled| enabled == "Y") {
        return confines("AppArmor");
    }
    Finding::weaker(NAME, "neither is enabled: one wall less behind the others", None)
}

/// Ports that a plain user may publish on the host.
fn ports(host: &Host) -> Finding {
    const NAME: &str = "ports below 1024";
    const WEB: u32 = 80;
    let first: Option<u32> =
        read::line("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok().and_then(|text| text.parse().ok());
    match first {
        _ if host.is_root() => Finding::applied(NAME, "root may publish them all"),
        Some(first) if first <= WEB => Finding::applied(NAME, format!("open from {first} on")),
        Some(first) => Finding::weaker(
            NAME,
            format!("ports below {first} cannot be published by you"),
            Some("sysctl -w net.ipv4.ip_unprivileged_port_start=80".to_owned()),
        ),
        None => Finding::weaker(NAME, "`net.ipv4.ip_unprivileged_port_start` cannot be read", None),
    }
}

fn device(name: &'static str, path: &str, use_: &str, module: &str) -> Finding {
    use rustix::fs::{Access, access};
    let ready = access(path, Access::READ_OK | Access::WRITE_OK);
    match ready {
        Ok(()) => Finding::applied(name, use_),
        Err(Errno::NOENT) => {
            Finding::weaker(name, format!("absent: no {use_}"), Some(format!("modprobe {module}")))
        }
        Err(_) => {
            Finding::weaker(name, format!("not yours to open: no {use_}"), Some(format!("chmod 0666 {path}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prerequisite::Status;

    #[test]
    fn versions() {
        for (release, expected) in [
            ("5.14.0", Status::Applied),
            ("6.18.44-x", Status::Applied),
            ("5.10.0-30-amd64", Status::Unavailable),
            ("4.19", Status::Unavailable),
            ("rolling", Status::Weaker),
        ] {
            assert_eq!(version(release).status, expected, "{release}");
        }
    }

    #[test]
    fn landlock_answers() {
        assert_eq!(landlock(Answer::Value(7)).status, Status::Applied);
        assert_eq!(landlock(Answer::Value(1)).status, Status::Weaker);
        assert_eq!(landlock(Answer::Errno(Errno::OPNOTSUPP)).status, Status::Weaker);
        assert_eq!(landlock(Answer::Errno(Errno::NOSYS)).status, Status::Weaker);
    }
}
