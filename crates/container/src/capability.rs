//! Capability names and the set that `--cap-add` and `--cap-drop` make.

use oci::runtime::CAPABILITIES;

use crate::error::{Error, Result};

/// What one word of `--cap-add` or `--cap-drop` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(into = "String")]
pub enum Word {
    /// `CAPABILITIES`.
    All,
    /// One capability, by its full name.
    One(&'static str),
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        match word {
            Word::All => "ALL".to_owned(),
            Word::One(name) => name.to_owned(),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        parse("--cap-add", &String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Parses a word: any case, with or without `CAP_`.
///
/// # Errors
/// [`Error::Value`] for a name that Linux does not have.
pub fn parse(flag: &'static str, text: &str) -> Result<Word> {
    let upper = text.to_ascii_uppercase();
    if upper == "ALL" || upper == "CAP_ALL" {
        return Ok(Word::All);
    }
    oci::runtime::capability_name(&upper)
        .map(Word::One)
        .ok_or_else(|| Error::value(flag, text, "not a capability of Linux, see capabilities(7)"))
}

/// The set after `--cap-drop` and `--cap-add`, in the kernel's order.
///
/// As docker has it: `--cap-add CAPABILITIES` starts from all of them, `--cap-drop CAPABILITIES` from none; single names are
/// then added and dropped, and a name that is both added and dropped is dropped.
pub(crate) fn combine(base: &[&str], add: &[Word], drop: &[Word]) -> Vec<&'static str> {
    let add_all = add.contains(&Word::All);
    let drop_all = drop.contains(&Word::All);
    CAPABILITIES
        .iter()
        .copied()
        .filter(|name| {
            let added = add.contains(&Word::One(name));
            let dropped = drop.contains(&Word::One(name));
            let start = if add_all { true } else { !drop_all && base.contains(name) };
            !dropped && (start || added)
        })
        .collect()
}

/// What a process can do with a capability, for the list of weakenings.
pub(crate) fn opens(name: &str) -> &'static str {
    match name {
        "CAP_SYS_ADMIN" => "mounts, namespaces and most of the kernel's configuration",
        "CAP_SYS_MODULE" => "loading kernel modules",
        "CAP_SYS_RAWIO" => "raw memory and I/O ports",
        "CAP_SYS_PTRACE" => "tracing every process of its user namespace",
        "CAP_DAC_READ_SEARCH" => "opening files by handle, past the container's root",
        "CAP_NET_ADMIN" => "network configuration, netfilter and other large parts of the kernel",
        "CAP_NET_RAW" => "raw and packet sockets, and so forged packets",
        "CAP_MKNOD" => "making device nodes",
        "CAP_BPF" | "CAP_PERFMON" => "the BPF and perf subsystems",
        "CAP_SYS_BOOT" => "rebooting",
        "CAP_SYS_TIME" => "setting the clock",
        "CAP_SYSLOG" => "kernel messages and addresses",
        "CAP_AUDIT_CONTROL" | "CAP_AUDIT_READ" | "CAP_AUDIT_WRITE" => "the audit subsystem",
        "CAP_SYS_CHROOT" => "chroot and entering mount namespaces",
        "CAP_SETFCAP" => "giving files capabilities",
        "CAP_SYS_RESOURCE" => "exceeding resource limits",
        "CAP_SYS_NICE" => "raising priorities",
        "CAP_IPC_LOCK" => "locking memory",
        "CAP_NET_BIND_SERVICE" => "ports below 1024",
        "CAP_LINUX_IMMUTABLE" => "immutable and append-only files",
        "CAP_MAC_ADMIN" | "CAP_MAC_OVERRIDE" => "the security module's policy",
        _ => "one more of root's powers",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_type_them() {
        for (text, expected) in [
            ("NET_ADMIN", Some(Word::One("CAP_NET_ADMIN"))),
            ("cap_net_admin", Some(Word::One("CAP_NET_ADMIN"))),
            ("all", Some(Word::All)),
            ("CAP_ALL", Some(Word::All)),
            ("NET_ADMINISTRATOR", None),
            ("", None),
            ("CAP_", None),
        ] {
            assert_eq!(parse("--cap-add", text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn add_and_drop_combine_as_docker_has_it() {
        let base = &["CAP_CHOWN", "CAP_KILL"];
        let one = |name| Word::One(name);
        for (add, drop, expected) in [
            (vec![], vec![], vec!["CAP_CHOWN", "CAP_KILL"]),
            (vec![one("CAP_MKNOD")], vec![one("CAP_KILL")], vec!["CAP_CHOWN", "CAP_MKNOD"]),
            (vec![one("CAP_MKNOD")], vec![Word::All], vec!["CAP_MKNOD"]),
            (vec![], vec![Word::All], vec![]),
            (vec![one("CAP_KILL")], vec![one("CAP_KILL")], vec!["CAP_CHOWN"]),
        ] {
            assert_eq!(combine(base, &add, &drop), expected);
        }
        assert_eq!(combine(base, &[Word::All], &[]).len(), CAPABILITIES.len());
        assert_eq!(combine(base, &[Word::All], &[one("CAP_SYS_ADMIN")]).len(), CAPABILITIES.len() - 1);
    }

    #[test]
    fn the_table_is_in_the_kernels_order() {
        assert_eq!(CAPABILITIES.len(), 41);
        assert_eq!(CAPABILITIES[21], "CAP_SYS_ADMIN");
        assert_eq!(CAPABILITIES[40], "CAP_CHECKPOINT_RESTORE");
    }
}
