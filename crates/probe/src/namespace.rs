//! Which namespaces this process is in, and whether they are the machine's own.

use crate::read;
use crate::report::Report;

const GROUP: &str = "namespaces";

/// What is known of a kind of namespace.
struct Kind {
    name: &'static str,
    /// Inode number of the initial one (`PROC_*_INIT_INO`); mnt and net have a fixed one since Linux 6.18.
    initial: u64,
    /// Whether being in the initial one opens a door.
    is_door: bool,
    why: &'static str,
}

const KINDS: [Kind; 8] = [
    Kind { name: "user", initial: 0xEFFF_FFFD, is_door: true, why: "root inside is root outside" },
    Kind { name: "mnt", initial: 0xEFFF_FFF8, is_door: true, why: "the machine's file systems" },
    Kind { name: "pid", initial: 0xEFFF_FFFC, is_door: true, why: "the machine's processes" },
    Kind {
        name: "net",
        initial: 0xEFFF_FFF9,
        is_door: true,
        why: "the machine's interfaces and abstract sockets",
    },
    Kind { name: "ipc", initial: 0xEFFF_FFFF, is_door: true, why: "the machine's shared memory" },
    Kind { name: "uts", initial: 0xEFFF_FFFE, is_door: true, why: "the machine's name" },
    Kind { name: "cgroup", initial: 0xEFFF_FFFB, is_door: true, why: "the machine's cgroup tree" },
    Kind { name: "time", initial: 0xEFFF_FFFA, is_door: false, why: "the machine's clocks since boot" },
];

/// Before Linux 6.18 the first mount and network namespaces got numbers at boot, among the first few
/// hundred of the dynamic ones; later namespaces get later numbers.
const BOOT_NUMBERS: std::ops::Range<u64> = 0xF000_0000..0xF000_0100;

pub(crate) fn rows(report: &mut Report) {
    for kind in &KINDS {
        let link = rustix::fs::readlink(format!("/proc/self/ns/{}", kind.name), Vec::new());
        let inode = link.ok().and_then(|link| inode(&link.to_string_lossy()));
        let Some(inode) = inode else {
            report.info(GROUP, kind.name, "cannot be read", kind.why);
            continue;
        };
        let initial = is_initial(kind, inode);
        let answer = format!("{inode} ({})", if initial { "the machine's" } else { "its own" });
        if kind.is_door {
            report.door(GROUP, kind.name, !initial, answer, kind.why);
        } else {
            report.info(GROUP, kind.name, answer, kind.why);
        }
    }
    let processes = rustix::fs::open(
        "/proc",
        rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .ok()
    .and_then(|directory| rustix::fs::Dir::read_from(&directory).ok())
    .map(|entries| {
        let numeric = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_digit);
        entries.filter_map(Result::ok).filter(|entry| numeric(entry.file_name().to_bytes())).count()
    });
    report.info(
        GROUP,
        "visible processes",
        processes.map_or_else(|| "cannot be read".to_owned(), |count| count.to_string()),
        "whose environment and memory could be tried",
    );
    process_one(report);
}

fn is_initial(kind: &Kind, inode: u64) -> bool {
    inode == kind.initial || (matches!(kind.name, "mnt" | "net") && BOOT_NUMBERS.contains(&inode))
}

/// The number in `user:[4026531837]`.
fn inode(link: &str) -> Option<u64> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// Variables of a login or an engine that a container has no use for.
fn is_foreign(name: &str) -> bool {
    const PREFIXES: [&str; 9] =
        ["SSH_", "SUDO_", "XDG_", "DBUS_", "AWS_", "DOCKER_", "KUBE", "LISTEN_", "NOTIFY_"];
    const PARTS: [&str; 5] = ["TOKEN", "SECRET", "PASSW", "_PROXY", "CREDENTIAL"];
    let name = name.to_ascii_uppercase();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || PARTS.iter().any(|part| name.contains(part))
}

fn process_one(report: &mut Report) {
    const WHY: &str = "the caller's secrets and proxies";
    match read::text("/proc/1/environ") {
        Err(errno) => {
            report.door(GROUP, "/proc/1/environ", true, crate::report::errno_name(errno), WHY);
        }
        Ok(text) => {
            let names: Vec<&str> =
                text.split('\0').filter_map(|entry| entry.split_once('=')).map(|(name, _)| name).collect();
            let foreign: Vec<&str> = names.iter().copied().filter(|name| is_foreign(name)).take(8).collect();
            let answer = if foreign.is_empty() {
                format!("{} variables, none from outside", names.len())
            } else {
                foreign.join(" ")
            };
            report.door(GROUP, "/proc/1/environ", foreign.is_empty(), answer, WHY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_namespaces() {
        assert_eq!(inode("user:[4026531837]"), Some(4_026_531_837));
        assert_eq!(inode("user"), None);
        let check = |name: &str, number: u64| {
            is_initial(KINDS.iter().find(|kind| kind.name == name).unwrap(), number)
        };
        assert!(check("user", 4_026_531_837) && !check("user", 4_026_532_500));
        assert!(check("net", 4_026_531_992) && check("net", 4_026_531_833) && !check("net", 4_026_532_300));
        assert!(check("mnt", 4_026_531_840) && !check("pid", 4_026_531_840));
    }

    #[test]
    fn variables_from_outside() {
        for (name, expected) in [
            ("PATH", false),
            ("HOME", false),
            ("TERM", false),
            ("http_proxy", true),
            ("SSH_AUTH_SOCK", true),
            ("GITHUB_TOKEN", true),
            ("DB_PASSWORD", true),
        ] {
            assert_eq!(is_foreign(name), expected, "{name}");
        }
    }
}
