//! Who the process is: `--user`, `--group-add`, and the image's `/etc/passwd` and `/etc/group`.
//!
//! Users have become root by a parser's kindness more than once: a numeric name that the image's passwd
//! redefines (CVE-2016-3697), a number that wraps to 0 (CVE-2024-40635, CVE-2026-46680), a digit read as
//! something else (CVE-2026-30892). So a number is a number, everything else is a plain name, and what is
//! neither is refused.

use idmap::account::{Account, Group, parse_group, parse_passwd};

use crate::error::{Error, Result};
use crate::weaken::{self, Defence};

/// The image's accounts, parsed from bytes that the caller read by descriptor and bounded.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    users: Vec<Account>,
    groups: Vec<Group>,
}

/// The ids that a process starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups: the primary one first, then those of the group file, then `--group-add`.
    /// Never less: a retained or missing group turns a mode such as 0604 around (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// Home directory, absolute.
    pub home: String,
}

/// Most entries of a process's supplementary groups that we take from an image.
const MAX_GROUPS: usize = 1024;

impl Accounts {
    /// Parses the two files; an absent one is empty.
    ///
    /// # Errors
    /// [`Error::Ids`] for a file over 1 MiB or 65,536 lines.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Result<Self> {
        Ok(Self { users: parse_passwd(passwd)?, groups: parse_group(group)? })
    }

    /// Resolves `USER[:GROUP]`; an empty text is root.
    ///
    /// # Errors
    /// [`Error::User`].
    pub fn resolve(&self, text: &str, group_add: &[String]) -> Result<Resolved> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let fail =
            |reason: &str| Error::User { value: text.escape_debug().to_string(), reason: reason.to_owned() };
        // A weakened build does what others did: a name first, and then as many bits as fit.
        let kind = match weaken::is_off(Defence::Numbers) {
            true if self.users.iter().any(|row| row.name == user) => Some(Word::Name(user)),
            true => match user.parse::<i64>().ok().and_then(|id| u32::try_from(id & 0xffff_ffff).ok()) {
                Some(id) => Some(Word::Number(id)),
                None => word(user),
            },
            false => word(user),
        };
        let account = match kind.ok_or_else(|| fail("not a number from 0 to 4294967294 and not a name"))? {
            Word::Empty => Ok(self.users.iter().find(|row| row.uid == 0).ok_or(0)),
            Word::Number(uid) => Ok(self.users.iter().find(|row| row.uid == uid).ok_or(uid)),
            Word::Name(name) => match self.users.iter().find(|row| row.name == name) {
                Some(row) => Ok(Ok(row)),
                None => Err(fail("the image's /etc/passwd has no such name")),
            },
        }?;
        let (uid, own_gid, home) = match account {
            Ok(row) => (row.uid, row.gid, row.home.as_str()),
            Err(uid) => (uid, 0, ""),
        };
        let mut groups = Vec::new();
        let gid = match group {
            Some(group) => self.group(group).map_err(fail)?,
            None => own_gid,
        };
        push(&mut groups, gid);
        if let (None, Ok(row)) = (group, account) {
            for entry in self.groups.iter().filter(|entry| entry.members.contains(&row.name)) {
                push(&mut groups, entry.gid);
            }
        }
        for group in group_add {
            let fail = |reason: &str| Error::User {
                value: format!("--group-add {group}"),
                reason: reason.to_owned(),
            };
            push(&mut groups, self.group(group).map_err(fail)?);
        }
        if groups.len() > MAX_GROUPS {
            return Err(fail("it is in more than 1024 groups of the image's /etc/group"));
        }
        let home = if home.starts_with('/') && !home.chars().any(char::is_control) { home } else { "/" };
        let home = if uid == 0 && home == "/" { "/root" } else { home };
        Ok(Resolved { uid, gid, groups, home: home.to_owned() })
    }

    fn group(&self, text: &str) -> std::result::Result<u32, &'static str> {
        match word(text) {
            None => Err("the group is not a number from 0 to 4294967294 and not a name"),
            Some(Word::Empty) => Err("the group is empty"),
            Some(Word::Number(gid)) => Ok(gid),
            Some(Word::Name(name)) => match self.groups.iter().find(|row| row.name == name) {
                Some(row) => Ok(row.gid),
                None => Err("the image's /etc/group has no such name"),
            },
        }
    }
}

fn push(groups: &mut Vec<u32>, gid: u32) {
    if !groups.contains(&gid) {
        groups.push(gid);
    }
}

enum Word<'a> {
    Empty,
    Number(u32),
    Name(&'a str),
}

/// A decimal number without sign, blank or leading zero that is an id, or a plain name that starts with a
/// letter or `_`; anything else is nothing.
fn word(text: &str) -> Option<Word<'_>> {
    let first = match text.bytes().next() {
        None => return Some(Word::Empty),
        Some(first) => first,
    };
    if first.is_ascii_digit() {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || first != b'0');
        let number = if plain { text.parse::<u32>().ok() } else { None };
        return number.filter(|id| *id != u32::MAX).map(Word::Number);
    }
    let name = text.strip_suffix('$').unwrap_or(text);
    let good = (first.is_ascii_alphabetic() || first == b'_')
        && text.len() <= 256
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-@".contains(&byte));
    good.then_some(Word::Name(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0:trap:/root:/bin/sh\n\
        toor:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nrel:x:7:7::home:/bin/sh\n";
    const GROUP: &[u8] = b"root:x:0:root\nadm:x:4:ann\nann:x:1000:\nwheel:x:10:ann,bob\n0x0:x:9:\n";

    fn accounts() -> Accounts {
        Accounts::parse(PASSWD, GROUP).unwrap()
    }

    fn check(user: &str, add: &[&str], expected: Option<(u32, u32, &[u32], &str)>) {
        let add: Vec<String> = add.iter().map(|text| (*text).to_owned()).collect();
        let got = accounts().resolve(user, &add).ok();
        let got = got.as_ref().map(|one| (one.uid, one.gid, one.groups.as_slice(), one.home.as_str()));
        assert_eq!(got, expected, "{user:?}");
    }

    #[test]
    fn users_and_groups() {
        check("", &[], Some((0, 0, &[0], "/root")));
        check("root", &[], Some((0, 0, &[0], "/root")));
        check("ann", &[], Some((1000, 1000, &[1000, 4, 10], "/home/ann")));
        check("ann", &["wheel", "50"], Some((1000, 1000, &[1000, 4, 10, 50], "/home/ann")));
        check("ann:adm", &[], Some((1000, 4, &[4], "/home/ann")));
        check("5:6", &[], Some((5, 6, &[6], "/")));
        check("5", &[], Some((5, 0, &[0], "/")));
        check("rel", &[], Some((7, 7, &[7], "/")));
        check("nobody", &[], None);
        check("ann:", &[], None);
        check("ann:none", &[], None);
        check("ann", &["none"], None);
    }

    #[test]
    fn cve_2016_3697_a_number_is_never_a_name() {
        check("1000", &[], Some((1000, 1000, &[1000, 4, 10], "/home/ann")));
    }

    #[test]
    fn cve_2024_40635_numbers_do_not_wrap() {
        for user in
            ["4294967296", "4294967295", "-1", "0x0", " 0", "+0", "0 ", "00", "1e3", "99999999999999999999"]
        {
            check(user, &[], None);
            check(&format!("0:{user}"), &[], None);
            check("0", &[user], None);
        }
        check("2147483648", &[], Some((2_147_483_648, 0, &[0], "/")));
        check("4294967294", &[], Some((4_294_967_294, 0, &[0], "/")));
    }

    #[test]
    fn cve_2026_30892_one_is_one() {
        check("1", &[], Some((1, 0, &[0], "/")));
    }

    #[test]
    fn names_with_odd_bytes_are_refused() {
        for user in ["a b", "a\nb", "../root", "ann\0", "é", "ann:adm:x", "$", "-ann"] {
            check(user, &[], None);
        }
    }

    #[test]
    fn cve_2022_36109_the_groups_are_exactly_the_models() {
        let accounts = Accounts::parse(b"u:x:5:6::/h:\n", b"a:x:1234:u\nb:x:6:u\nc:x:7:v\n").unwrap();
        assert_eq!(accounts.resolve("u", &[]).unwrap().groups, [6, 1234]);
    }

    #[test]
    fn missing_files_mean_numbers_only() {
        let none = Accounts::parse(b"", b"").unwrap();
        assert_eq!(none.resolve("", &[]).unwrap().home, "/root");
        assert_eq!(none.resolve("5", &[]).unwrap().gid, 0);
        assert!(none.resolve("root", &[]).is_err());
    }
}
