//! The mounts of this process, with what their flags leave open.

use crate::report::Report;

const GROUP: &str = "mounts";

/// A line of mountinfo, proc_pid_mountinfo(5).
pub(crate) struct Mount<'a> {
    /// Directory of the file system that is mounted.
    root: &'a str,
    /// Where, with spaces still as `\040`.
    pub(crate) target: &'a str,
    /// Options of the mount.
    options: &'a str,
    /// `shared:N`, `master:N`.
    tags: Vec<&'a str>,
    /// Type of the file system.
    pub(crate) kind: &'a str,
    /// Options of the file system.
    super_options: &'a str,
}

impl Mount<'_> {
    fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|known| known == option)
    }

    fn is_read_only(&self) -> bool {
        self.has("ro") || self.super_options.split(',').any(|known| known == "ro")
    }

    /// Where it can leave an image's or the host's set-id files and device nodes in force.
    fn missing(&self) -> Vec<&'static str> {
        let wanted: &[&str] = match self.kind {
            // The kernel itself lets nothing be executed on these and makes their nodes inert
            // (SB_I_NOEXEC, SB_I_NODEV), whatever the mount says; devpts holds terminals alone.
            "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue" | "devpts" => &[],
            // The nodes of /dev are there to be used.
            "tmpfs" | "devtmpfs" if self.target == "/dev" => &["nosuid"],
            // Masks: a null device over a file, an empty read-only directory over another.
            "tmpfs" | "devtmpfs" if self.root.ends_with("/null") => &[],
            "tmpfs" if self.is_read_only() => &[],
            "tmpfs" => &["nosuid", "nodev"],
            // A node bound one by one is meant to be used, and no program.
            "devtmpfs" if self.target.starts_with("/dev/") => &[],
            _ if self.target == "/" => &[],
            _ => &["nosuid", "nodev"],
        };
        let mut missing: Vec<&'static str> =
            wanted.iter().copied().filter(|option| !self.has(option)).collect();
        if matches!(self.kind, "sysfs" | "cgroup") && !self.is_read_only() {
            missing.push("ro");
        }
        if self.tags.iter().any(|tag| tag.starts_with("shared:")) {
            missing.push("private");
        }
        missing
    }
}

/// The lines that are well formed.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(3);
        let (root, target, options) = (fields.next()?, fields.next()?, fields.next()?);
        let tags = fields.collect();
        let mut fields = right.split(' ');
        let (kind, _source, super_options) =
            (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
        Some(Mount { root, target, options, tags, kind, super_options })
    })
}

/// Most mounts that get a row.
const MAX_ROWS: usize = 64;

pub(crate) fn rows(report: &mut Report, text: &str) {
    if text.is_empty() {
        report.info(GROUP, "mountinfo", "cannot be read", "what is mounted");
    }
    let mut count = 0;
    for mount in parse(text) {
        count += 1;
        if count > MAX_ROWS {
            continue;
        }
        let missing = mount.missing();
        let mode = if mount.is_read_only() { "ro" } else { "rw" };
        let mut answer = format!("{} {mode}", mount.kind);
        for flag in ["nosuid", "nodev", "noexec"] {
            if mount.has(flag) {
                answer.push(' ');
                answer.push_str(flag);
            }
        }
        if mount.root != "/" {
            answer.push_str(" (a bind)");
        }
        if !missing.is_empty() {
            answer.push_str("; lacks ");
            answer.push_str(&missing.join(" "));
        }
        let why = if mount.target == "/" { "the root file system" } else { "" };
        report.door(GROUP, mount.target, missing.is_empty(), answer, why);
    }
    if count > MAX_ROWS {
        report.info(GROUP, "more", format!("{} mounts not shown", count - MAX_ROWS), "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    #[test]
    fn flags_decide() {
        let check = |line: &str, expected: Verdict, answer: &str| {
            let mut report = Report::default();
            rows(&mut report, line);
            assert_eq!(
                (report.rows[0].verdict, report.rows[0].answer.as_str()),
                (expected, answer),
                "{line}"
            );
        };
        check(
            "22 27 0:21 / /proc rw,nosuid,nodev,noexec - proc proc rw",
            Verdict::Closed,
            "proc rw nosuid nodev noexec",
        );
        check("22 27 0:21 / /proc rw,relatime - proc proc rw", Verdict::Closed, "proc rw");
        check("22 27 0:21 / /dev/shm rw - tmpfs x rw", Verdict::Open, "tmpfs rw; lacks nosuid nodev");
        check("22 27 0:21 /null /dev/null rw - devtmpfs x rw", Verdict::Closed, "devtmpfs rw (a bind)");
        check(
            "23 27 0:22 / /sys rw,nosuid,nodev,noexec - sysfs sysfs rw",
            Verdict::Open,
            "sysfs rw nosuid nodev noexec; lacks ro",
        );
        check("27 1 0:30 / / rw,relatime - overlay overlay rw,lowerdir=a", Verdict::Closed, "overlay rw");
        check("27 1 0:30 / / rw shared:1 - ext4 /dev/vda rw", Verdict::Open, "ext4 rw; lacks private");
        check(
            "28 27 8:1 /home/x /data rw,nosuid,nodev master:3 - ext4 /dev/sda1 rw",
            Verdict::Closed,
            "ext4 rw nosuid nodev (a bind)",
        );
        check(
            "28 27 8:1 /home/x /data rw - ext4 /dev/sda1 rw",
            Verdict::Open,
            "ext4 rw (a bind); lacks nosuid nodev",
        );
    }

    #[test]
    fn torn_lines_are_left_out() {
        assert_eq!(parse("\n1 2 3\n1 2 0:1 / /x rw - \n - \n").count(), 0);
    }
}
