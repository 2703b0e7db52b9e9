use std::io::{self, Write};

use rustix::io::Errno;
use serde::Serialize;
use sys::raw::Answer;

/// Whether a door is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Shut: this process cannot do or see it.
    Closed,
    /// Not shut.
    Open,
    /// No door: a fact to know.
    Info,
}

impl Verdict {
    /// The word for it, as printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Info => "info",
        }
    }
}

/// One thing that was tried or read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it belongs to.
    pub group: &'static str,
    /// What it is.
    pub name: String,
    /// Shut or not.
    pub verdict: Verdict,
    /// What the kernel answered: an errno's name, or a value.
    pub answer: String,
    /// Why it matters.
    pub why: &'static str,
}

/// Everything that a process here can see and do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In groups, in the order they are printed.
    pub rows: Vec<Row>,
}

/// Groups whose closed rows with one answer are printed as one line: every row is in the JSON.
const FOLDED: [&str; 2] = ["socket families", "netlink protocols"];

/// Widest name column in characters.
const NAME_WIDTH: usize = 30;

/// Widest answer column in characters.
const ANSWER_WIDTH: usize = 26;

impl Report {
    /// Adds a fact.
    pub(crate) fn info(
        &mut self,
        group: &'static str,
        name: impl Into<String>,
        answer: impl Into<String>,
        why: &'static str,
    ) {
        self.add(group, name, Verdict::Info, answer, why);
    }

    /// Adds a door.
    pub(crate) fn door(
        &mut self,
        group: &'static str,
        name: impl Into<String>,
        closed: bool,
        answer: impl Into<String>,
        why: &'static str,
    ) {
        self.add(group, name, if closed { Verdict::Closed } else { Verdict::Open }, answer, why);
    }

    /// Adds a row.
    pub(crate) fn add(
        &mut self,
        group: &'static str,
        name: impl Into<String>,
        verdict: Verdict,
        answer: impl Into<String>,
        why: &'static str,
    ) {
        self.rows.push(Row {
            group,
            name: printable(name.into()),
            verdict,
            answer: printable(answer.into()),
            why,
        });
    }

    /// How many rows have a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// The one line that says it all: `hello: 90 of 93 doors closed; open: mount bpf (calls); /dev (mounts)`.
    #[must_use]
    pub fn summary(&self) -> String {
        /// Names of one group before the rest is a number: the line has to stay one.
        const MOST: usize = 8;
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in self.rows.iter().filter(|row| row.verdict == Verdict::Open) {
            match groups.iter_mut().find(|(group, _)| *group == row.group) {
                Some((_, names)) => names.push(&row.name),
                None => groups.push((row.group, vec![&row.name])),
            }
        }
        let closed = self.count(Verdict::Closed);
        let all = closed + self.count(Verdict::Open);
        if groups.is_empty() {
            return format!("hello: {closed} of {all} doors closed; none open");
        }
        let open: Vec<String> = groups
            .iter()
            .map(|(group, names)| {
                let more = names.len().saturating_sub(MOST);
                let rest = if more == 0 { String::new() } else { format!(", {more} more") };
                format!("{}{rest} ({group})", names[..names.len() - more].join(", "))
            })
            .collect();
        format!("hello: {closed} of {all} doors closed; open: {}", open.join("; "))
    }

    /// Writes the rows as aligned text, group by group, and the summary as the last line.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn render_text(&self, writer: &mut dyn Write) -> io::Result<()> {
        let mut text = String::with_capacity(16 * 1024);
        let mut index = 0;
        while index < self.rows.len() {
            let group = self.rows[index].group;
            let end = index + self.rows[index..].iter().take_while(|row| row.group == group).count();
            if index > 0 {
                text.push('\n');
            }
            text.push_str(group);
            text.push('\n');
            render_group(&self.rows[index..end], &mut text);
            index = end;
        }
        text.push('\n');
        text.push_str(&self.summary());
        text.push('\n');
        writer.write_all(text.as_bytes())
    }

    /// The report as JSON: `{"summary": {...}, "rows": [...]}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "summary": {
                "text": self.summary(),
                "closed": self.count(Verdict::Closed),
                "open": self.count(Verdict::Open),
                "info": self.count(Verdict::Info),
            },
            "rows": self.rows,
        })
    }
}

fn render_group(rows: &[Row], text: &mut String) {
    let folds = FOLDED.contains(&rows[0].group);
    let is_folded = |row: &Row| folds && row.verdict == Verdict::Closed;
    let shown = || rows.iter().filter(|row| !is_folded(row));
    let width = |field: fn(&Row) -> &str, most: usize| {
        shown().map(|row| field(row).chars().count()).max().unwrap_or(0).clamp(8, most)
    };
    let names = width(|row| &row.name, NAME_WIDTH);
    let answers = width(|row| &row.answer, ANSWER_WIDTH);
    let mut line = |verdict: Verdict, name: &str, answer: &str, why: &str| {
        let full = format!("  {:<6}  {name:<names$}  {answer:<answers$}  {why}", verdict.word());
        text.push_str(full.trim_end());
        text.push('\n');
    };
    for row in shown() {
        line(row.verdict, &row.name, &row.answer, row.why);
    }
    let mut folded: Vec<(&str, usize, &'static str)> = Vec::new();
    for row in rows.iter().filter(|row| is_folded(row)) {
        match folded.iter_mut().find(|(answer, _, _)| *answer == row.answer) {
            Some((_, count, _)) => *count += 1,
            None => folded.push((&row.answer, 1, row.why)),
        }
    }
    for (answer, count, why) in folded {
        line(Verdict::Closed, &format!("{count} others"), answer, why);
    }
}

/// A name or value from the kernel's files, without control characters and cut to a line.
fn printable(text: String) -> String {
    const MOST: usize = 300;
    if text.len() <= MOST && !text.contains(char::is_control) {
        return text;
    }
    text.chars().filter(|character| !character.is_control()).take(MOST).collect()
}

/// An answer in words: the errno's name, the value, the signal.
pub(crate) fn answer_text(answer: Answer) -> String {
    match answer {
        Answer::Value(value) => format!("ok {}", value.cast_signed()),
        Answer::Errno(errno) => errno_name(errno),
        Answer::Killed(31) => "killed by SIGSYS".to_owned(),
        Answer::Killed(signal) => format!("killed by signal {signal}"),
        Answer::NotApplicable => "not applicable".to_owned(),
        Answer::NotTried => "not tried".to_owned(),
    }
}

/// The symbol of an errno.
pub(crate) fn errno_name(errno: Errno) -> String {
    const NAMES: [(Errno, &str); 30] = [
        (Errno::PERM, "EPERM"),
        (Errno::NOENT, "ENOENT"),
        (Errno::SRCH, "ESRCH"),
        (Errno::INTR, "EINTR"),
        (Errno::IO, "EIO"),
        (Errno::NXIO, "ENXIO"),
        (Errno::NOEXEC, "ENOEXEC"),
        (Errno::BADF, "EBADF"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::ACCESS, "EACCES"),
        (Errno::FAULT, "EFAULT"),
        (Errno::BUSY, "EBUSY"),
        (Errno::EXIST, "EEXIST"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::ISDIR, "EISDIR"),
        (Errno::INVAL, "EINVAL"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NOTTY, "ENOTTY"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::ROFS, "EROFS"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::USERS, "EUSERS"),
        (Errno::OPNOTSUPP, "EOPNOTSUPP"),
        (Errno::PROTONOSUPPORT, "EPROTONOSUPPORT"),
        (Errno::SOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
        (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::STALE, "ESTALE"),
        (Errno::NOKEY, "ENOKEY"),
    ];
    NAMES
        .iter()
        .find(|(known, _)| *known == errno)
        .map_or_else(|| format!("errno {}", errno.raw_os_error()), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let mut report = Report::default();
        report.info("ids", "user", "0", "who this is");
        report.door("ids", "capabilities", true, "none", "what root may do");
        for family in ["AX25", "IPX"] {
            report.door("socket families", family, true, "EAFNOSUPPORT", "old code");
        }
        report.door("socket families", "VSOCK", false, "ok 3", "the host's hypervisor");
        report
    }

    #[test]
    fn text_is_aligned_and_ends_in_the_summary() {
        let mut text = Vec::new();
        sample().render_text(&mut text).unwrap();
        let expected = "ids\n  info    user          0         who this is\n  \
            closed  capabilities  none      what root may do\n\nsocket families\n  \
            open    VSOCK     ok 3      the host's hypervisor\n  \
            closed  2 others  EAFNOSUPPORT  old code\n\n\
            hello: 3 of 4 doors closed; open: VSOCK (socket families)\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn json_has_every_row() {
        let json = sample().to_json();
        assert_eq!(json["rows"].as_array().unwrap().len(), 5);
        assert_eq!(json["rows"][0]["verdict"], "info");
        assert_eq!(json["summary"]["open"], 1);
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        assert_eq!(printable("a\nb\x1b[31m".to_owned()), "ab[31m");
        assert_eq!(printable("x".repeat(1000)).len(), 300);
    }
}
