//! An archive lists the same however slowly it comes, holds no more than its bytes and limits allow, and a name with `..` never gets below a root.

use archive::fuzzing::{Listed, list};
use archive::{End, Limits};

use crate::archives::{BLOCK, repaired};
use crate::input::Slowly;

/// Most bytes of an input.
pub const MAX_LEN: usize = 16 << 10;

fn limits() -> Limits {
    Limits { bytes: 1 << 20, entries: 24, depth: 8, extension: 4096, xattrs: 4, segments: 64, ..Limits::default() }
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    read(bytes);
    let repaired = repaired(bytes);
    if repaired != bytes {
        read(&repaired);
    }
}

fn read(bytes: &[u8]) {
    let limits = limits();
    let whole = list(bytes, &limits).map_err(|error| error.to_string());
    for step in [1, 511] {
        let slow = list(Slowly::new(bytes, step), &limits).map_err(|error| error.to_string());
        assert_eq!(slow, whole);
    }
    let Ok((entries, end)) = whole else { return };
    // Each entry has a header and whole blocks of data, the last padding aside.
    let used: u64 = entries.iter().map(|entry| BLOCK as u64 + entry.stored).sum();
    assert!(used <= bytes.len() as u64);
    let logical: u64 = entries.iter().map(|entry| entry.size).sum();
    assert!(logical <= limits.bytes);
    if end == End::Marker {
        assert!(bytes.len() >= 2 * BLOCK && bytes.ends_with(&[0; 2 * BLOCK]));
    }
    entries.iter().for_each(check_entry);
}

fn check_entry(entry: &Listed) {
    let Listed { path, kind, link, stored, mode, owner, is_below_root, .. } = entry;
    assert!(!path.contains(&0) && !link.contains(&0), "{entry:?}");
    assert!(*mode <= 0o7777 && owner.0 != u32::MAX && owner.1 != u32::MAX, "{entry:?}");
    assert!(*kind == '-' || (*stored == 0 && !entry.is_sparse), "{entry:?}");
    assert!(*kind == 'd' || !path.ends_with(b"/"), "{entry:?}");
    let climbs = path.split(|byte| *byte == b'/').any(|part| part == b"..");
    assert!(!(*is_below_root && (climbs || path.is_empty())), "{entry:?}");
}
