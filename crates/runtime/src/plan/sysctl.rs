//! Which sysctls a container may have: those that belong to a namespace of its own.

use std::ffi::{CStr, CString};

use oci::runtime::NamespaceKind;

use crate::weaken::{self, Defence};

/// Longest accepted value in bytes; the kernel takes at most a page.
const MAX_VALUE: usize = 4095;

/// Why a sysctl is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlError {
    /// It acts on the whole host.
    #[error("the sysctl `{0}` is not separate for a container")]
    NotNamespaced(String),
    /// It belongs to a namespace that the container shares with the host (GO-2022-0363).
    #[error("the sysctl `{0}` would change the host: the container has no {1:?} namespace of its own")]
    Shared(String, NamespaceKind),
    /// The host name has a field of its own.
    #[error("the sysctl `{0}` cannot be set: use `hostname`")]
    Hostname(String),
    /// A name or value that would not stay one value (CVE-2022-0811).
    #[error("the sysctl `{0}` has a control character, or a name or value of a wrong form")]
    Malformed(String),
}

/// IPC sysctls that are per namespace, ipc_namespaces(7).
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Checks one sysctl; `own` tells whether the container has a namespace of a kind to itself.
///
/// The path below `/proc` and the value are returned as the child writes them.
pub fn check(
    name: &str,
    value: &str,
    own: impl Fn(NamespaceKind) -> bool,
) -> Result<(CString, CString), SysctlError> {
    let malformed = || SysctlError::Malformed(name.escape_default().to_string());
    let dotted = normalise(name);
    if weaken::is_off(Defence::Sysctl) {
        let path = CString::new(format!("sys/{}", dotted.replace('.', "/"))).map_err(|_| malformed())?;
        return Ok((path, CString::new(value).map_err(|_| malformed())?));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
    let parts: Vec<&str> = dotted.split('.').collect();
    if parts.iter().any(|part| part.is_empty() || *part == "/" || !part.bytes().all(plain)) {
        return Err(malformed());
    }
    if value.len() > MAX_VALUE || value.chars().any(|letter| letter.is_control() && letter != '\t') {
        return Err(malformed());
    }
    let kind = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        NamespaceKind::Ipc
    } else if dotted.starts_with("net.") {
        NamespaceKind::Network
    } else if dotted == "kernel.domainname" {
        NamespaceKind::Uts
    } else if dotted == "kernel.hostname" {
        return Err(SysctlError::Hostname(dotted));
    } else {
        return Err(SysctlError::NotNamespaced(dotted));
    };
    if !own(kind) {
        return Err(SysctlError::Shared(dotted, kind));
    }
    // A dot inside an interface name is written as a slash, as sysctl(8) does: the two swap places.
    let swapped: String = dotted
        .chars()
        .map(|letter| match letter {
            '.' => '/',
            '/' => '.',
            letter => letter,
        })
        .collect();
    let path = CString::new(format!("sys/{swapped}")).map_err(|_| malformed())?;
    let value = CString::new(value).map_err(|_| malformed())?;
    if swapped.split('/').any(|part| part == ".." || part == ".") {
        return Err(malformed());
    }
    Ok((path, value))
}

/// The kind of namespace that a path of [`check`] belongs to.
pub(super) fn kind_of(path: &CStr) -> NamespaceKind {
    match path.to_bytes() {
        path if path.starts_with(b"sys/net/") => NamespaceKind::Network,
        b"sys/kernel/domainname" | b"sys/kernel/hostname" => NamespaceKind::Uts,
        _ => NamespaceKind::Ipc,
    }
}

/// sysctl(8) takes `net/ipv4/ip_forward` too: whichever separator comes first is the separator.
fn normalise(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes()[first] == b'/' => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                letter => letter,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> Result<String, SysctlError> {
        check(name, "1", |_| true).map(|(path, _)| path.to_string_lossy().into_owned())
    }

    #[test]
    fn namespaced_ones_pass() {
        assert_eq!(path("net.ipv4.ip_forward").unwrap(), "sys/net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/ip_forward").unwrap(), "sys/net/ipv4/ip_forward");
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding").unwrap(), "sys/net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("fs.mqueue.msg_max").unwrap(), "sys/fs/mqueue/msg_max");
        assert_eq!(path("kernel.shmmax").unwrap(), "sys/kernel/shmmax");
    }

    #[test]
    fn the_hosts_own_are_refused() {
        for name in
            ["kernel.core_pattern", "vm.swappiness", "fs.file-max", "kernel.shmmax2", "kernel", "user.max"]
        {
            assert!(matches!(path(name), Err(SysctlError::NotNamespaced(_))), "{name}");
        }
        assert!(matches!(path("kernel.hostname"), Err(SysctlError::Hostname(_))));
        let shared = check("net.ipv4.ip_forward", "1", |kind| kind != NamespaceKind::Network);
        assert!(matches!(shared, Err(SysctlError::Shared(_, NamespaceKind::Network))));
    }

    #[test]
    fn hostile_names_and_values_are_refused() {
        // CVE-2022-0811: `+` joined further sysctls; the path forms try to leave /proc/sys/net.
        for name in
            ["net.ipv4.a+kernel.core_pattern", "net.//.//.kernel", "net..a", "net.ipv4.a b", "net.\n", "net."]
        {
            assert!(path(name).is_err(), "{name:?}");
        }
        assert!(check("net.a", "1\nkernel.core_pattern=|/x", |_| true).is_err());
        assert!(check("net.a", "1\0", |_| true).is_err());
    }
}
