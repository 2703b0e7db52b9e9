//! passwd and group files of images: a number stays the number that was typed, a name gets the ids of its first line, nobody becomes root who was not named so.

use container::value::user::Accounts;
use idmap::account::{parse_group, parse_passwd};

use crate::input::text;

/// Most bytes of an input: `USER`, a NUL, passwd, a NUL, group.
pub const MAX_LEN: usize = 4096;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let (user, passwd, group) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let users = parse_passwd(passwd).expect("inputs are shorter than the limit");
    let groups = parse_group(group).expect("inputs are shorter than the limit");
    assert!(users.iter().all(|row| row.uid != u32::MAX && row.gid != u32::MAX && !row.name.contains(['\n', ':'])));
    assert!(groups.iter().all(|row| row.gid != u32::MAX && !row.name.contains(['\n', ':'])));
    let Some(user) = text(user) else { return };
    let accounts = Accounts::parse(passwd, group).expect("inputs are shorter than the limit");
    let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    let Ok(found) = accounts.resolve(user, &[]) else { return };
    let row = match name.parse::<u32>() {
        // Written as the number itself, and never as what passwd makes of it (CVE-2016-3697, CVE-2024-40635).
        Ok(number) => {
            assert_eq!((found.uid, number.to_string().as_str()), (number, name));
            users.iter().find(|row| row.uid == number)
        }
        Err(_) if name.is_empty() => {
            assert_eq!(found.uid, 0);
            users.iter().find(|row| row.uid == 0)
        }
        Err(_) => {
            let row = users.iter().find(|row| row.name == name);
            assert_eq!(Some(found.uid), row.map(|row| row.uid), "{user:?}");
            row
        }
    };
    match group {
        None => assert_eq!(found.gid, row.map_or(0, |row| row.gid), "{user:?}"),
        Some(group) => match group.parse::<u32>() {
            Ok(number) => assert_eq!((found.gid, number.to_string().as_str()), (number, group)),
            Err(_) => {
                let row = groups.iter().find(|row| row.name == group);
                assert_eq!(Some(found.gid), row.map(|row| row.gid), "{user:?}");
            }
        },
    }
    assert_eq!(found.groups.first(), Some(&found.gid));
    assert!(found.groups.len() <= 1024 && !found.groups.contains(&u32::MAX) && found.uid != u32::MAX);
    assert!(found.home.starts_with('/') && !found.home.chars().any(char::is_control));
    let allowed = |gid: &u32| *gid == found.gid || groups.iter().any(|row| row.gid == *gid);
    assert!(found.groups.iter().all(allowed));
    let added = accounts.resolve(user, &["7".to_owned()]).expect("a number can always be added");
    assert!(added.groups.contains(&7) && added.groups.starts_with(&found.groups));
}
