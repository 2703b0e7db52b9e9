//! `/etc/passwd` and `/etc/group` as text: passwd(5), group(5).
//!
//! Never through NSS: that loads shared objects, which in a container's root are the image's own code
//! (CVE-2019-14271). Also used on the files of an image, so every line is hostile.

use std::path::Path;

use crate::map::decimal;
use crate::{Error, read};

/// A line of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory, as written.
    pub home: String,
}

/// A line of group(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Login names of the members.
    pub members: Vec<String>,
}

/// Parses passwd(5); lines that are malformed or not UTF-8 are left out.
///
/// # Errors
/// [`Error::TooBig`] over 1 MiB or 65,536 lines.
pub fn parse_passwd(text: &[u8]) -> Result<Vec<Account>, Error> {
    Ok(read::lines(text, "passwd")?.filter_map(|(_, line)| account(line)).collect())
}

/// Parses group(5); lines that are malformed or not UTF-8 are left out.
///
/// # Errors
/// [`Error::TooBig`] over 1 MiB or 65,536 lines.
pub fn parse_group(text: &[u8]) -> Result<Vec<Group>, Error> {
    Ok(read::lines(text, "group")?.filter_map(|(_, line)| group(line)).collect())
}

/// The accounts of `<etc>/passwd`; none where there is no such file.
///
/// # Errors
/// [`Error::Io`], [`Error::NotRegular`], [`Error::TooBig`].
pub fn read_passwd(etc: &Path) -> Result<Vec<Account>, Error> {
    parse_passwd(&read::optional(&etc.join("passwd"))?.unwrap_or_default())
}

/// The groups of `<etc>/group`; none where there is no such file.
///
/// # Errors
/// [`Error::Io`], [`Error::NotRegular`], [`Error::TooBig`].
pub fn read_group(etc: &Path) -> Result<Vec<Group>, Error> {
    parse_group(&read::optional(&etc.join("group"))?.unwrap_or_default())
}

fn account(line: &[u8]) -> Option<Account> {
    let mut fields = std::str::from_utf8(line).ok()?.split(':');
    let name = name(fields.next()?)?;
    let (_password, uid, gid) = (fields.next()?, id(fields.next()?)?, id(fields.next()?)?);
    let (_comment, home) = (fields.next()?, fields.next()?);
    Some(Account { name, uid, gid, home: home.to_owned() })
}

fn group(line: &[u8]) -> Option<Group> {
    let mut fields = std::str::from_utf8(line).ok()?.split(':');
    let name = name(fields.next()?)?;
    let (_password, gid) = (fields.next()?, id(fields.next()?)?);
    let members = fields.next()?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Some(Group { name, gid, members })
}

/// A name that is not empty, no NIS marker (`+`, `-`) and no comment.
fn name(text: &str) -> Option<String> {
    (!text.is_empty() && !text.starts_with(['+', '-', '#'])).then(|| text.to_owned())
}

/// An id, which (uid_t)-1 is not.
fn id(text: &str) -> Option<u32> {
    decimal(text).filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines() {
        let text =
            b"root:x:0:0:root:/root:/bin/bash\n\n# c\n+::::::\nbad:x:-1:0::/:\nhuge:x:4294967295:0::/:\n\
            wrap:x:4294967296:0::/:\nshort:x:1\n1000:x:7:8::/h:\nlast:x:5:6:a,b:/home/last:/bin/sh";
        let accounts = parse_passwd(text).unwrap();
        let found: Vec<_> = accounts.iter().map(|row| (row.name.as_str(), row.uid, row.gid)).collect();
        assert_eq!(found, [("root", 0, 0), ("1000", 7, 8), ("last", 5, 6)]);
        assert_eq!(accounts[2].home, "/home/last");
    }

    #[test]
    fn group_lines() {
        let groups = parse_group(b"root:x:0:\nwheel:x:10:ann,bob,\nnone:x:x:\n:x:1:\n").unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[1].members, ["ann", "bob"]);
    }

    #[test]
    fn size_is_bounded() {
        assert!(parse_passwd(&vec![b'a'; (1 << 20) + 1]).is_err());
        assert!(parse_group(&vec![b'\n'; 65_537]).is_err());
        assert!(parse_group(&vec![b'\n'; 65_536]).unwrap().is_empty());
    }
}
