//! Capability names and numbers, `<linux/capability.h>` of Linux 5.9 to 6.18.

/// Every capability in the kernel's order: the position is the number.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The full name of a capability, from a word in any case, with or without `CAP_`.
pub fn capability_name(word: &str) -> Option<&'static str> {
    capability_number(word).map(|number| CAPABILITIES[number])
}

/// The bit of a capability in a mask, from a word in any case, with or without `CAP_`.
pub fn capability_bit(word: &str) -> Option<u64> {
    capability_number(word).map(|number| 1 << number)
}

fn capability_number(word: &str) -> Option<usize> {
    let short = match word.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => &word[4..],
        _ => word,
    };
    CAPABILITIES.iter().position(|name| name[4..].eq_ignore_ascii_case(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_kernel() {
        for (word, bit) in [
            ("CAP_CHOWN", Some(1)),
            ("cap_sys_admin", Some(1 << 21)),
            ("Mknod", Some(1 << 27)),
            ("CAP_CHECKPOINT_RESTORE", Some(1 << 40)),
            ("CAP_", None),
            ("CAP_CAP_KILL", None),
            ("", None),
        ] {
            assert_eq!(capability_bit(word), bit, "{word}");
        }
        assert_eq!(capability_name("kill"), Some("CAP_KILL"));
    }
}
