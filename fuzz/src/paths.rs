//! Paths of bundles and stores: what is taken cannot climb, agrees with a plain walk over its parts, and is not longer than the kernel takes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cgroup::fuzzing::path as cgroup_path;
use files::RelPath;
use runtime::plan::InnerPath;

use crate::input::text;

/// Most bytes of an input.
pub const MAX_LEN: usize = 5000;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    if let Ok(path) = RelPath::new(OsStr::from_bytes(bytes)) {
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
        assert!(bytes.len() <= files::MAX_PATH && !bytes.contains(&0));
        assert!(parts.iter().all(|part| !part.is_empty() && *part != b"." && *part != b".."));
        assert_eq!(path.components().map(OsStr::as_bytes).collect::<Vec<_>>(), parts);
        assert_eq!(Some(&path.file_name().as_bytes()), parts.last());
        let end = parts.last().map_or(0, |part| part.len());
        let parent = path.parent().map(|parent| parent.as_path().as_os_str().as_bytes().to_vec());
        assert_eq!(parent.unwrap_or_default(), bytes[..bytes.len() - end].strip_suffix(b"/").unwrap_or_default());
        if let Ok(joined) = path.join(&path) {
            assert_eq!(joined.components().count(), 2 * parts.len());
        }
    }
    let Some(text) = text(bytes) else { return };
    if let Ok(inner) = InnerPath::new(text) {
        check_inner(text, &inner);
    }
    for base in ["", "user.slice/brig"] {
        if let Ok(below) = cgroup_path(text, base) {
            assert!(below.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.len() <= 255));
            assert!(!below.chars().any(char::is_control));
            assert!(text.starts_with('/') || below.starts_with(base));
        }
    }
}

/// As `cd` would go from the root: `..` leads up, and never further than the root.
fn check_inner(text: &str, inner: &InnerPath) {
    let mut stack: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(stack.pop()),
            part => stack.push(part),
        }
    }
    let names: Vec<_> = inner.names().iter().map(|name| name.to_str().expect("it was text")).collect();
    assert_eq!(names, stack);
    assert_eq!(inner.to_text(), format!("/{}", stack.join("/")));
    assert_eq!(inner.prefixes().len(), stack.len());
    for (count, prefix) in inner.prefixes().iter().enumerate() {
        assert_eq!(prefix.to_str().ok(), Some(stack[..=count].join("/").as_str()));
    }
    let again = InnerPath::new(&inner.to_text()).expect("it is no longer than before");
    assert!(again == *inner);
}
