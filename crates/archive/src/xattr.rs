//! Which extended attributes of an image are set.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::{Error, Result};
use files::weaken::{Defence, is_off};

/// What to do with one attribute.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Set it to this value.
    Set(Vec<u8>),
    /// Leave it out, and say so.
    Skip,
}

/// Most bytes of a value, and of all names, in the kernel (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MAX_LIST: usize = 64 << 10;

/// The attribute that carries a program's capabilities.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Judges one attribute.
///
/// Overlay's own attributes would let a layer redirect, forge or hide what is in other layers, and
/// `trusted.*` is for the host's root alone, so these are errors. Labels of the machine that made the
/// image, ACLs and integrity hashes have no meaning here and are left out.
pub(crate) fn judge(path: &[u8], name: &[u8], value: &[u8]) -> Result<Verdict> {
    if is_off(Defence::UnpackAttributes) {
        return Ok(Verdict::Set(value.to_vec()));
    }
    if name.starts_with(b"trusted.") || name.starts_with(b"user.overlay.") {
        return Err(Error::entry(path, "carries an extended attribute that only the engine may set"));
    }
    if name == CAPABILITY {
        return capability(path, value);
    }
    Ok(if name.starts_with(b"user.") { Verdict::Set(value.to_vec()) } else { Verdict::Skip })
}

/// Reads the attributes that an archive of ours carries: a program's capabilities and `user.*`, overlay's own left out.
/// Capabilities for the root of some other user namespace are left out, too: they mean nothing elsewhere.
pub(crate) fn read(file: BorrowedFd<'_>) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in list(file)?.split(|byte| *byte == 0) {
        let wanted =
            name == CAPABILITY || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
        if !wanted {
            continue;
        }
        let Some(value) = value(file, name)? else { continue };
        if let Ok(Verdict::Set(value)) = judge(b"", name, &value) {
            found.push((name.to_vec(), value));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The names of all attributes, each with a NUL after it; nothing where the file system has none.
fn list(file: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let mut names = vec![0; 1024];
    loop {
        match rustix::fs::flistxattr(file, names.as_mut_slice()) {
            Ok(length) => {
                names.truncate(length);
                return Ok(names);
            }
            Err(Errno::RANGE) if names.len() < MAX_LIST => names.resize(MAX_LIST, 0),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        }
    }
}

/// The value of an attribute; `None` for one that is gone or not for us to read.
pub(crate) fn value(file: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    loop {
        match rustix::fs::fgetxattr(file, name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) if value.len() < MAX_LIST => value.resize(MAX_LIST, 0),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// Takes `struct vfs_cap_data` of revision 2, and of revision 3 when it is for user id 0.
///
/// Written as revision 2: inside a user namespace the kernel makes it one of revision 3 for that
/// namespace, so that a root id chosen by the image is never set.
fn capability(path: &[u8], value: &[u8]) -> Result<Verdict> {
    const REVISION_2: u32 = 0x0200_0000;
    const REVISION_3: u32 = 0x0300_0000;
    const EFFECTIVE: u32 = 1;
    let word =
        |at: usize| value.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    match (word(0).map(|magic| magic & !EFFECTIVE), value.len()) {
        (Some(REVISION_2), 20) => Ok(Verdict::Set(value.to_vec())),
        (Some(REVISION_3), 24) if word(20) == Some(0) => {
            let effective = word(0).unwrap_or(0) & EFFECTIVE;
            Ok(Verdict::Set([&(REVISION_2 | effective).to_le_bytes(), &value[4..20]].concat()))
        }
        (Some(REVISION_3), 24) => Ok(Verdict::Skip),
        _ => Err(Error::entry(path, "carries malformed capabilities")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        #[track_caller]
        fn check(name: &[u8], expected: Option<&Verdict>) {
            assert_eq!(judge(b"p", name, b"v").ok().as_ref(), expected);
        }
        check(b"user.comment", Some(&Verdict::Set(b"v".to_vec())));
        check(b"security.selinux", Some(&Verdict::Skip));
        check(b"security.ima", Some(&Verdict::Skip));
        check(b"system.posix_acl_access", Some(&Verdict::Skip));
        check(b"unknown", Some(&Verdict::Skip));
        check(b"user.overlay.redirect", None);
        check(b"trusted.overlay.metacopy", None);
        check(b"trusted.x", None);
        check(b"security.capability", None);
    }

    #[test]
    fn capabilities() {
        let two = [&[1, 0, 0, 2][..], &[7; 16]].concat();
        let three = |root: u8| [&[1, 0, 0, 3][..], &[7; 16], &[root, 0, 0, 0]].concat();
        let check = |value: &[u8]| judge(b"p", CAPABILITY, value).ok();
        assert_eq!(check(&two), Some(Verdict::Set(two.clone())));
        assert_eq!(check(&three(0)), Some(Verdict::Set(two.clone())));
        assert_eq!(check(&three(9)), Some(Verdict::Skip));
        assert_eq!(check(&two[..19]), None);
        assert_eq!(check(&[two, vec![0; 4]].concat()), None);
        assert_eq!(check(&[0; 20]), None);
    }
}
