//! `--sysctl`: only what a namespace of the container's own holds (CVE-2022-0811, CVE-2022-0532,
//! GO-2022-0363, CVE-2024-3154).

use crate::error::{Error, Result};

/// Longest value: a page is what `/proc/sys` takes at most.
const MAX_VALUE: usize = 4096;

/// The namespace that a sysctl belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Owner {
    /// `net.*`.
    Network,
    /// System V and POSIX queues.
    Ipc,
}

/// One setting whose name and value were checked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sysctl {
    /// The name as typed, with dots or slashes.
    pub name: String,
    /// What is written.
    pub value: String,
    /// Whose it is; it must be the container's own namespace.
    pub owner: Owner,
}

/// System V names of the IPC namespace (ipc_namespaces(7)).
const IPC: &[&str] = &["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// Parses `NAME=value`.
///
/// # Errors
/// [`Error::Value`] for a name that no namespace of the container owns, a name that is no plain path below
/// `/proc/sys`, and a value with control characters.
pub fn parse(text: &str) -> Result<Sysctl> {
    let bad = |reason: &str| Error::value("--sysctl", text.escape_debug().to_string(), reason);
    let (name, value) = text.split_once('=').ok_or_else(|| bad("use NAME=value"))?;
    if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) {
        return Err(bad("the value is empty, too long, or holds control characters"));
    }
    let plain = |part: &str| {
        !part.is_empty()
            && part != ".."
            && part != "."
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:@".contains(&byte))
    };
    // As sysctl(8): the separator that comes first separates; with slashes a dot belongs to the name.
    let separator = name.find(['.', '/']).map_or('.', |at| char::from(name.as_bytes()[at]));
    let parts: Vec<&str> = name.split(separator).collect();
    if parts.len() > 8 || name.len() > 255 || !parts.iter().all(|part| plain(part)) {
        return Err(bad("not the name of a sysctl"));
    }
    let owner = match parts.as_slice() {
        ["net", _, ..] => Owner::Network,
        ["kernel", leaf] if IPC.contains(leaf) => Owner::Ipc,
        ["fs", "mqueue", _] => Owner::Ipc,
        ["kernel", "hostname" | "domainname"] => return Err(bad("use `--hostname` or `--domainname`")),
        _ => return Err(bad("it belongs to the whole machine, not to a namespace")),
    };
    Ok(Sysctl { name: name.to_owned(), value: value.to_owned(), owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_namespace_owns() {
        for (text, owner) in [
            ("net.ipv4.ip_forward=1", Some(Owner::Network)),
            ("net/ipv4/conf/eth0.1/forwarding=1", Some(Owner::Network)),
            ("kernel.shmmax=1", Some(Owner::Ipc)),
            ("kernel.sem=250 32000 32 128", Some(Owner::Ipc)),
            ("fs.mqueue.msg_max=10", Some(Owner::Ipc)),
            ("kernel.core_pattern=|/bin/sh", None),
            ("kernel.shmmax/../core_pattern=x", None),
            ("net/../kernel/core_pattern=x", None),
            ("net..ipv4=1", None),
            ("net=1", None),
            ("vm.overcommit_memory=1", None),
            ("kernel.hostname=x", None),
            ("fs.mqueue.a.b=1", None),
            ("fs.file-max=1", None),
            ("user.max_user_namespaces=1", None),
            // CVE-2022-0811: a second setting smuggled through the first one's value.
            ("kernel.shm_rmid_forced=1+kernel.core_pattern=|/x", Some(Owner::Ipc)),
            ("kernel.shm_rmid_forced=1\nkernel.core_pattern=|/x", None),
            ("kernel.shm_rmid_forced=1\0", None),
            ("net.ipv4.x y=1", None),
            ("net.ipv4.ip_forward", None),
            ("net.ipv4.ip_forward=", None),
        ] {
            assert_eq!(parse(text).ok().map(|sysctl| sysctl.owner), owner, "{text:?}");
        }
    }

    #[test]
    fn a_plus_is_a_byte_of_the_value() {
        let sysctl = parse("kernel.shm_rmid_forced=1+kernel.core_pattern=|/x").unwrap();
        assert_eq!(sysctl.name, "kernel.shm_rmid_forced");
        assert_eq!(sysctl.value, "1+kernel.core_pattern=|/x");
    }
}
