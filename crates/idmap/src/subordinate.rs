use std::path::Path;

use crate::map::decimal;
use crate::{Error, Side, account, helper, read};

/// Consecutive host ids: `start` to `start + count - 1`, which is at most 4294967294.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First id.
    pub start: u32,
    /// Number of ids, at least 1.
    pub count: u32,
}

impl Span {
    /// The last id.
    #[must_use]
    pub const fn last(self) -> u32 {
        self.start.saturating_add(self.count.saturating_sub(1))
    }

    /// Whether an id is in it.
    #[must_use]
    pub const fn contains(self, id: u32) -> bool {
        self.start <= id && id <= self.last()
    }

    /// Whether the two share an id.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start <= other.last() && other.start <= self.last()
    }
}

/// A good line of subuid(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubordinateEntry {
    /// Counted from 1.
    pub line: usize,
    /// Login name, or a uid in decimal.
    pub owner: String,
    /// The ids.
    pub span: Span,
}

/// A line of subuid(5) that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// Why, in words.
    pub reason: &'static str,
}

/// `/etc/subuid` or `/etc/subgid`, with what was wrong in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubordinateTable {
    /// The good lines in file order.
    pub entries: Vec<SubordinateEntry>,
    /// The bad lines in file order.
    pub faults: Vec<Fault>,
}

impl SubordinateTable {
    /// Parses subuid(5): `name-or-uid:start:count`. Empty lines and lines that start with `#` are skipped.
    ///
    /// # Errors
    /// [`Error::TooBig`] over 1 MiB or 65,536 lines. A bad line is a [`Fault`], not an error: it must not
    /// take the ids of other users away.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut table = Self::default();
        for (line, bytes) in read::lines(text, "subordinate ids")? {
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.trim_ascii().is_empty() || bytes.starts_with(b"#") {
                continue;
            }
            match entry(bytes) {
                Ok((owner, span)) => table.entries.push(SubordinateEntry { line, owner, span }),
                Err(reason) => table.faults.push(Fault { line, reason }),
            }
        }
        Ok(table)
    }

    /// Reads `<etc>/subuid` or `<etc>/subgid`; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotRegular`], [`Error::TooBig`].
    pub fn read(etc: &Path, side: Side) -> Result<Option<Self>, Error> {
        read::optional(&etc.join(side.subordinate_file()))?.map(|text| Self::parse(&text)).transpose()
    }

    /// The spans of a user, in file order: lines with his name or his uid as the owner.
    #[must_use]
    pub fn spans_of(&self, name: Option<&str>, uid: u32) -> Vec<Span> {
        self.entries.iter().filter(|entry| entry.is_of(name, uid)).map(|entry| entry.span).collect()
    }
}

impl SubordinateEntry {
    /// Whether the owner is this user, by name or by uid.
    #[must_use]
    pub fn is_of(&self, name: Option<&str>, uid: u32) -> bool {
        Some(self.owner.as_str()) == name || decimal(&self.owner) == Some(uid)
    }
}

fn entry(bytes: &[u8]) -> Result<(String, Span), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    let mut fields = text.split(':');
    let (Some(owner), Some(start), Some(count), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err("is not `user:start:count`");
    };
    if owner.is_empty() {
        return Err("has no user");
    }
    if owner.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err("has a space in the user name");
    }
    let start = decimal(start).ok_or("has a start that is no decimal number up to 4294967294")?;
    let count = decimal(count).ok_or("has a count that is no decimal number up to 4294967294")?;
    if count == 0 {
        return Err("has count 0");
    }
    if start.checked_add(count).is_none() {
        return Err("goes past the last id 4294967294");
    }
    Ok((owner.to_owned(), Span { start, count }))
}

/// The subordinate ids of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subordinate {
    /// Login name, where one is known.
    pub name: Option<String>,
    /// User ids he may map.
    pub uids: Vec<Span>,
    /// Group ids he may map.
    pub gids: Vec<Span>,
}

impl Subordinate {
    /// The ids that a user may map, from the files below `etc` (usually `/etc`).
    ///
    /// Empty lists where he has none: that is no error, he can still map himself alone. Where the `subid:`
    /// line of `nsswitch.conf` names a directory service, shadow-utils' `getsubids` is asked, and `getent`
    /// for a user that `passwd` does not have.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotRegular`], [`Error::TooBig`], or [`Error::HelperFailed`] where a program
    /// could not run.
    pub fn for_user(etc: &Path, uid: u32) -> Result<Self, Error> {
        let switch = read::optional(&etc.join("nsswitch.conf"))?.unwrap_or_default();
        let mut name = account::read_passwd(etc)?.into_iter().find(|row| row.uid == uid).map(|row| row.name);
        if name.is_none() && outside_service(&switch, "passwd") {
            name = ask_name(uid)?;
        }
        let from_service = outside_service(&switch, "subid");
        let side = |side| match &name {
            Some(name) if from_service => ask_spans(name, side),
            _ => Ok(SubordinateTable::read(etc, side)?.unwrap_or_default().spans_of(name.as_deref(), uid)),
        };
        Ok(Self { uids: side(Side::Uid)?, gids: side(Side::Gid)?, name: name.clone() })
    }

    /// Whether there is at least one id of both kinds to map beside the user's own.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        !self.uids.is_empty() && !self.gids.is_empty()
    }
}

/// Whether a database of nsswitch.conf(5) comes from anything but files.
pub(crate) fn outside_service(switch: &[u8], database: &str) -> bool {
    String::from_utf8_lossy(switch).lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_once(':').is_some_and(|(name, services)| {
            name.trim() == database
                && services.split_ascii_whitespace().any(|service| {
                    !matches!(service, "files" | "compat" | "systemd") && !service.starts_with('[')
                })
        })
    })
}

fn ask_name(uid: u32) -> Result<Option<String>, Error> {
    let Some(program) = sys::program::find("getent") else { return Ok(None) };
    let finished = helper::Running::start(&program, &["passwd".to_owned(), uid.to_string()])?.finish()?;
    let accounts = account::parse_passwd(&finished.stdout)?;
    Ok(accounts.into_iter().find(|row| finished.success && row.uid == uid).map(|row| row.name))
}

fn ask_spans(name: &str, side: Side) -> Result<Vec<Span>, Error> {
    let Some(program) = sys::program::find("getsubids") else { return Ok(Vec::new()) };
    let mut arguments = Vec::with_capacity(2);
    if side == Side::Gid {
        arguments.push("-g".to_owned());
    }
    // A name that starts with a dash would be an option.
    if name.starts_with('-') {
        return Ok(Vec::new());
    }
    arguments.push(name.to_owned());
    let finished = helper::Running::start(&program, &arguments)?.finish()?;
    Ok(if finished.success { parse_getsubids(&finished.stdout, name) } else { Vec::new() })
}

/// Lines of `getsubids`: `0: user 100000 65536`.
pub(crate) fn parse_getsubids(output: &[u8], name: &str) -> Vec<Span> {
    let text = String::from_utf8_lossy(output);
    let row = |line: &str| {
        let (_, rest) = line.split_once(": ")?;
        let mut fields = rest.split_ascii_whitespace();
        let (owner, start, count) = (fields.next()?, decimal(fields.next()?)?, decimal(fields.next()?)?);
        (owner == name && count > 0 && start.checked_add(count).is_some()).then_some(Span { start, count })
    };
    text.lines().filter_map(row).take(crate::MAX_RANGES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_subuid() {
        let text =
            b"# ids\nann:100000:65536\n\n1001:200000:1000\r\nbob:0x10:5\nbob:010:5\nbob:5\nbob:1:2:3\n\
            :1:2\nb ob:1:2\nbob:1:0\nbob:4294967295:1\nbob:4294967294:1\nbob:-1:1\n\xff:1:1\nann:300000:10";
        let table = SubordinateTable::parse(text).unwrap();
        let good: Vec<_> =
            table.entries.iter().map(|row| (row.line, row.owner.as_str(), row.span.start)).collect();
        assert_eq!(
            good,
            [(2, "ann", 100_000), (4, "1001", 200_000), (13, "bob", 4_294_967_294), (16, "ann", 300_000)]
        );
        let bad: Vec<_> = table.faults.iter().map(|fault| fault.line).collect();
        assert_eq!(bad, [5, 6, 7, 8, 9, 10, 11, 12, 14, 15]);
        assert_eq!(table.spans_of(Some("ann"), 1000).len(), 2);
        assert_eq!(table.spans_of(Some("eve"), 1001), [Span { start: 200_000, count: 1000 }]);
        assert_eq!(table.spans_of(None, 7), []);
    }

    #[test]
    fn limits_hold() {
        assert!(SubordinateTable::parse(&vec![b'#'; (1 << 20) + 1]).is_err());
        assert!(SubordinateTable::parse(&vec![b'\n'; 65_537]).is_err());
    }

    #[test]
    fn spans() {
        let span = Span { start: 10, count: 5 };
        assert_eq!(span.last(), 14);
        assert!(span.contains(14) && !span.contains(15) && !span.contains(9));
        assert!(span.overlaps(Span { start: 14, count: 1 }) && !span.overlaps(Span { start: 15, count: 9 }));
    }

    #[test]
    fn directory_services_are_recognised() {
        for (text, expected) in [
            ("subid: sss\n", true),
            ("subid: files\n", false),
            ("# subid: sss\n", false),
            ("subid:\n", false),
            ("passwd: sss\nsubid: files # sss\n", false),
            ("subid: [NOTFOUND=return] files", false),
        ] {
            assert_eq!(outside_service(text.as_bytes(), "subid"), expected, "{text:?}");
        }
    }

    #[test]
    fn answers_of_getsubids() {
        let spans = parse_getsubids(b"0: ann 100000 65536\n1: bob 1 1\nrubbish\n2: ann 7 0\n", "ann");
        assert_eq!(spans, [Span { start: 100_000, count: 65_536 }]);
    }
}
