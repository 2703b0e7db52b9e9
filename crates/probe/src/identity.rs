//! Who this process is: ids, maps, capabilities, the locks that it cannot undo.

use crate::read;
use crate::report::{Report, Verdict};

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP: what the `standard` profile gives.
const STANDARD: u64 = 0x1fb;

pub(crate) fn rows(report: &mut Report) {
    let status = read::text("/proc/self/status").unwrap_or_default();
    ids(report, &status);
    capabilities(report, &status);
    locks(report, &status);
}

fn ids(report: &mut Report, status: &str) {
    const GROUP: &str = "ids and maps";
    let uid = rustix::process::getuid().as_raw();
    report.info(GROUP, "user", uid.to_string(), "the id inside");
    report.info(GROUP, "group", rustix::process::getgid().as_raw().to_string(), "the id inside");
    let groups = read::field(status, "Groups").unwrap_or_default();
    report.info(
        GROUP,
        "supplementary groups",
        if groups.is_empty() { "none" } else { groups },
        "extra file access",
    );
    for (name, path) in [("user map", "/proc/self/uid_map"), ("group map", "/proc/self/gid_map")] {
        let Ok(map) = read::text(path) else {
            report.info(GROUP, name, "cannot be read", "which ids these are outside");
            continue;
        };
        let (answer, holds_root) = map_text(&map);
        report.door(GROUP, name, !holds_root, answer, "an id here that is root outside is root on escape");
    }
    let setgroups = read::line("/proc/self/setgroups").unwrap_or_else(|_| "cannot be read".to_owned());
    report.info(GROUP, "setgroups", setgroups, "denied where the map is a single id");
}

/// A map as `inside:outside:count ...`, and whether it holds id 0 of the namespace above.
fn map_text(map: &str) -> (String, bool) {
    let mut holds_root = false;
    let ranges: Vec<String> = map
        .lines()
        .take(8)
        .map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            holds_root |= fields.get(1) == Some(&"0");
            fields.join(":")
        })
        .collect();
    (if ranges.is_empty() { "empty".to_owned() } else { ranges.join(" ") }, holds_root)
}

fn capabilities(report: &mut Report, status: &str) {
    const GROUP: &str = "capabilities";
    // In the order a process can raise them; inheritable and ambient have to be empty (CVE-2022-24769).
    for (name, field, expected, why) in [
        ("effective", "CapEff", STANDARD, "what this process may do now"),
        ("permitted", "CapPrm", STANDARD, "what it may take up"),
        ("bounding", "CapBnd", STANDARD, "what any program it starts could get"),
        ("inheritable", "CapInh", 0, "lets file capabilities come back after exec"),
        ("ambient", "CapAmb", 0, "survives exec without root"),
    ] {
        match read::field(status, field).and_then(|text| u64::from_str_radix(text, 16).ok()) {
            Some(set) => report.door(GROUP, name, set & !expected == 0, capability_names(set), why),
            None => report.info(GROUP, name, "cannot be read", why),
        }
    }
}

/// `none`, `all`, or names in order of their numbers.
fn capability_names(set: u64) -> String {
    if set == 0 {
        return "none".to_owned();
    }
    if set.count_ones() >= 38 {
        return format!("all ({set:#x})");
    }
    let names = (0..64_usize).filter(|bit| set >> bit & 1 == 1).map(|bit| {
        oci::runtime::CAPABILITIES
            .get(bit)
            .map_or_else(|| format!("capability {bit}"), |name| name[4..].to_owned())
    });
    names.collect::<Vec<_>>().join(" ")
}

fn locks(report: &mut Report, status: &str) {
    const GROUP: &str = "locks";
    let no_new_privileges = read::field(status, "NoNewPrivs").unwrap_or("unknown");
    report.door(
        GROUP,
        "no_new_privs",
        no_new_privileges == "1",
        no_new_privileges,
        "without it, set-id programs of the image give their owner's rights",
    );
    let filters = read::field(status, "Seccomp_filters").unwrap_or("?");
    match read::field(status, "Seccomp") {
        Some("2") => report.door(
            GROUP,
            "seccomp",
            true,
            format!("filter ({filters})"),
            "which kernel code can be reached",
        ),
        Some("0") => report.door(GROUP, "seccomp", false, "disabled", "all kernel code can be reached"),
        other => {
            report.info(GROUP, "seccomp", other.unwrap_or("unknown"), "which kernel code can be reached");
        }
    }
    let label = ["/proc/self/attr/apparmor/current", "/proc/self/attr/current"]
        .iter()
        .find_map(|path| read::line(path).ok().filter(|label| !label.is_empty()))
        .map_or_else(|| "none".to_owned(), |label| label.trim_end_matches('\0').to_owned());
    report.info(GROUP, "security module label", label, "AppArmor's or SELinux's confinement");
    let speculation = read::field(status, "Speculation_Store_Bypass").unwrap_or("unknown");
    report.add(GROUP, "speculative store bypass", Verdict::Info, speculation, "processor side channels");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_sets_in_words() {
        for (set, expected) in [
            (0, "none"),
            (0x1fb, "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP"),
            (1 << 40 | 1 << 50, "CHECKPOINT_RESTORE capability 50"),
            (0x1ff_ffff_ffff, "all (0x1ffffffffff)"),
        ] {
            assert_eq!(capability_names(set), expected);
        }
        assert_eq!(STANDARD.count_ones(), 8);
    }

    #[test]
    fn maps_in_words() {
        assert_eq!(map_text("         0          0 4294967295\n"), ("0:0:4294967295".to_owned(), true));
        assert_eq!(map_text("0 1000 1\n1 100000 65536\n"), ("0:1000:1 1:100000:65536".to_owned(), false));
        assert_eq!(map_text(""), ("empty".to_owned(), false));
    }
}
