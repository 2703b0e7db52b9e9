//! Rules to v1's lists: a default and exceptions from it.

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{MKNOD, READ, Rule, Type, WRITE};
use crate::directory::Directory;

/// One line of `devices.list`; `None` is `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    kind: Type,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

impl Entry {
    fn same_devices(&self, other: &Self) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    /// Tells whether every device of `other` is one of this entry's.
    fn covers(&self, other: &Self) -> bool {
        let wide = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || mine == theirs;
        self.kind == other.kind && wide(self.major, other.major) && wide(self.minor, other.minor)
    }

    /// Tells whether some device is in both.
    fn meets(&self, other: &Self) -> bool {
        let share = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && share(self.major, other.major) && share(self.minor, other.minor)
    }

    fn text(&self) -> String {
        let number = |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |value| value.to_string());
        let letters: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .iter()
            .filter(|(bit, _)| self.access & bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        let kind = if self.kind == Type::Block { 'b' } else { 'c' };
        format!("{kind} {}:{} {letters}", number(self.major), number(self.minor))
    }

    /// Parses a line of `devices.list`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let kind = match words.next()? {
            "b" => Type::Block,
            "c" => Type::Char,
            _ => return None,
        };
        let (major, minor) = words.next()?.split_once(':')?;
        let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
        let bit = |letter| match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => 0,
        };
        let access = words.next()?.chars().map(bit).fold(0, |set, bit| set | bit);
        // A line that gives nothing is no exception: writing it back would be refused.
        (access != 0).then_some(Self { kind, major: number(major)?, minor: number(minor)?, access })
    }
}

/// A policy in v1's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// What holds for devices without an exception.
    allow: bool,
    exceptions: Vec<Entry>,
}

impl List {
    /// Folds rules into one list. v1 has no order, so a rule that takes a part out of a wildcard cannot be
    /// expressed: it is the error.
    pub(super) fn from_rules(rules: &[Rule]) -> Result<Self, String> {
        let mut list = Self::default();
        for rule in rules {
            if rule.is_total() {
                list = Self { allow: rule.allow, exceptions: Vec::new() };
                continue;
            }
            let both = [Type::Block, Type::Char];
            for kind in both.into_iter().filter(|kind| rule.kind.is_none_or(|wanted| wanted == *kind)) {
                let entry = Entry { kind, major: rule.major, minor: rule.minor, access: rule.access };
                if rule.allow == list.allow { list.take(&entry)? } else { list.add(entry) }
            }
        }
        list.widen();
        Ok(list)
    }

    fn add(&mut self, entry: Entry) {
        match self.exceptions.iter_mut().find(|known| known.same_devices(&entry)) {
            Some(known) => known.access |= entry.access,
            None => self.exceptions.push(entry),
        }
    }

    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let hole =
            |known: &&Entry| known.access & entry.access != 0 && known.meets(entry) && !entry.covers(known);
        if self.exceptions.iter().any(|known| hole(&known)) {
            return Err(entry.text());
        }
        for known in &mut self.exceptions {
            if entry.covers(known) {
                known.access &= !entry.access;
            }
        }
        self.exceptions.retain(|known| known.access != 0);
        Ok(())
    }

    /// Gives narrow entries the accesses of the wide ones around them: when one open asks for both read and
    /// write, the kernel looks for a single exception that has both.
    fn widen(&mut self) {
        if self.allow {
            return;
        }
        for index in 0..self.exceptions.len() {
            let entry = self.exceptions[index];
            let around = self.exceptions.iter().filter(|other| other.covers(&entry));
            self.exceptions[index].access = around.fold(0, |set, other| set | other.access);
        }
    }

    /// The exceptions as the kernel takes them.
    #[cfg(feature = "fuzzing")]
    pub(super) fn texts(&self) -> Vec<String> {
        self.exceptions.iter().map(Entry::text).collect()
    }

    /// Parses `devices.list`, which shows no exceptions of an allowing default.
    pub(super) fn parse(text: &str) -> Self {
        let allow = text.lines().any(|line| line.starts_with('a'));
        let exceptions = if allow { Vec::new() } else { text.lines().filter_map(Entry::parse).collect() };
        Self { allow, exceptions }
    }

    /// Writes the difference to what is in force, so that a running container never loses a device that it
    /// keeps. The error names file and value.
    pub(super) fn write(&self, directory: &Directory) -> Result<(), (&'static str, String, Errno)> {
        const ALLOW: &str = "devices.allow";
        const DENY: &str = "devices.deny";
        const LIST: &str = "devices.list";
        let text = directory.read(LIST).map_err(|errno| (LIST, String::new(), errno))?;
        let old = Self::parse(&text);
        let put = |file: &'static str, entries: &mut dyn Iterator<Item = String>| {
            let mut open = None;
            for value in entries {
                let fd = match &open {
                    Some(fd) => fd,
                    None => match directory.file(file, OFlags::WRONLY) {
                        Ok(fd) => open.insert(fd),
                        Err(errno) => return Err((file, value, errno)),
                    },
                };
                if let Err(errno) = rustix::io::write(fd, value.as_bytes()) {
                    return Err((file, value, errno));
                }
            }
            Ok(())
        };
        let texts = |entries: &[Entry]| entries.iter().map(Entry::text).collect::<Vec<_>>();
        if self.allow {
            put(ALLOW, &mut std::iter::once("a".to_owned()))?;
            return put(DENY, &mut texts(&self.exceptions).into_iter());
        }
        if old.allow {
            put(DENY, &mut std::iter::once("a".to_owned()))?;
            return put(ALLOW, &mut texts(&self.exceptions).into_iter());
        }
        let lacks = |list: &Self, entry: &Entry| {
            let known = list.exceptions.iter().find(|known| known.same_devices(entry));
            Entry { access: entry.access & !known.map_or(0, |known| known.access), ..*entry }
        };
        let difference = |from: &Self, to: &Self| {
            let entries = to.exceptions.iter().map(|entry| lacks(from, entry));
            entries.filter(|entry| entry.access != 0).map(|entry| entry.text()).collect::<Vec<_>>()
        };
        put(ALLOW, &mut difference(&old, self).into_iter())?;
        put(DENY, &mut difference(self, &old).into_iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::rules;
    use super::super::{decide, parse};
    use super::*;

    fn check(json: &str, expected: Result<(bool, &[&str]), &str>) {
        let rules = parse(&serde_json::from_str::<Vec<_>>(json).unwrap()).unwrap();
        let list = List::from_rules(&rules);
        let shown =
            list.map(|list| (list.allow, list.exceptions.iter().map(Entry::text).collect::<Vec<_>>()));
        let expected =
            expected.map(|(allow, lines)| (allow, lines.iter().map(|line| (*line).to_owned()).collect()));
        assert_eq!(shown, expected.map_err(str::to_owned), "{json}");
    }

    #[test]
    fn a_line_that_gives_nothing_is_no_exception() {
        let shown = |text: &str| List::parse(text).exceptions.iter().map(Entry::text).collect::<Vec<_>>();
        assert_eq!(shown("c 1:3 rw\nc 1:5 x\nb *:* m\n"), ["c 1:3 rw", "b *:* m"]);
    }

    #[test]
    fn lists() {
        check("[]", Ok((false, &[])));
        check(
            r#"[{"allow":false},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},{"allow":true,"type":"c","access":"m"}]"#,
            Ok((false, &["c 1:3 rwm", "c *:* m"])),
        );
        check(r#"[{"allow":true,"access":"m"}]"#, Ok((false, &["b *:* m", "c *:* m"])));
        check(
            r#"[{"allow":true},{"allow":false,"type":"b","major":8,"access":"w"}]"#,
            Ok((true, &["b 8:* w"])),
        );
        check(
            r#"[{"allow":true,"type":"c","major":1,"minor":3},{"allow":false,"type":"c","major":1,"access":"w"}]"#,
            Ok((false, &["c 1:3 rm"])),
        );
        check(
            r#"[{"allow":true,"type":"c","access":"r"},{"allow":true,"type":"c","major":1,"minor":3,"access":"w"}]"#,
            Ok((false, &["c *:* r", "c 1:3 rw"])),
        );
        check(
            r#"[{"allow":true,"type":"c"},{"allow":false,"type":"c","major":1,"minor":3}]"#,
            Err("c 1:3 rwm"),
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn lists_never_allow_more_than_the_rules(rules in rules()) {
            let Ok(list) = List::from_rules(&rules) else { return Ok(()) };
            for kind in [Type::Block, Type::Char] {
                for (major, minor) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
                    for access in 1..=7_u8 {
                        let device = Entry { kind, major: Some(major), minor: Some(minor), access };
                        let mut around = list.exceptions.iter().filter(|entry| entry.covers(&device));
                        // As the kernel decides: one exception for all bits, or any for one.
                        let allowed = if list.allow {
                            around.all(|entry| entry.access & access == 0)
                        } else {
                            around.any(|entry| access & !entry.access == 0)
                        };
                        let expected = decide(&rules, kind, major, minor, access);
                        prop_assert!(expected || !allowed);
                        // A single bit is exact.
                        prop_assert!(access.count_ones() > 1 || allowed == expected);
                    }
                }
            }
        }
    }
}
