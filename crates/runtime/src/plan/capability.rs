//! Capability names and bits, `<linux/capability.h>` as of Linux 6.18.

use super::step::CapabilitySets;

/// Names in the order of their bits, without the `CAP_` prefix.
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The mask of all capabilities we know.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// The bit of a capability, with or without its prefix, in any case.
pub fn bit(name: &str) -> Option<u64> {
    let name = match name.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => &name[4..],
        _ => name,
    };
    NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|position| 1 << position)
}

/// The sets of a process. Names that nobody knows are left out and returned: runtime-spec `config.md`
/// asks for a warning there, not an error.
pub fn sets(capabilities: &oci::runtime::Capabilities) -> (CapabilitySets, Vec<String>) {
    let mut unknown = Vec::new();
    let mut mask = |names: &[String]| {
        names.iter().fold(0, |mask, name| match bit(name) {
            Some(bit) => mask | bit,
            None => {
                if !unknown.contains(name) {
                    unknown.push(name.clone());
                }
                mask
            }
        })
    };
    let sets = CapabilitySets {
        bounding: mask(&capabilities.bounding),
        effective: mask(&capabilities.effective),
        permitted: mask(&capabilities.permitted),
        inheritable: mask(&capabilities.inheritable),
        ambient: mask(&capabilities.ambient),
    };
    (sets, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_follow_the_kernel() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("cap_sys_admin"), Some(1 << 21));
        assert_eq!(bit("MKNOD"), Some(1 << 27));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(bit("CAP_"), None);
    }

    #[test]
    fn unknown_names_are_reported_once() {
        let names = vec!["CAP_KILL".to_owned(), "CAP_MOON".to_owned()];
        let capabilities =
            oci::runtime::Capabilities { bounding: names.clone(), permitted: names, ..Default::default() };
        let (sets, unknown) = sets(&capabilities);
        assert_eq!((sets.bounding, sets.permitted, sets.ambient), (1 << 5, 1 << 5, 0));
        assert_eq!(unknown, ["CAP_MOON"]);
    }
}
