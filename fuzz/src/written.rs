//! What our writer makes of an archive's entries, our reader lists as it listed the archive, and writing it again gives the same bytes.

use archive::Limits;
use archive::fuzzing::{list, rewrite};

use crate::archives::repaired;

/// Most bytes of an input.
pub const MAX_LEN: usize = 16 << 10;

fn limits() -> Limits {
    Limits { bytes: 1 << 20, entries: 24, depth: 8, extension: 4096, xattrs: 4, segments: 64, ..Limits::default() }
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    write(bytes);
    let repaired = repaired(bytes);
    if repaired != bytes {
        write(&repaired);
    }
}

fn write(bytes: &[u8]) {
    let limits = limits();
    let Ok(Some(written)) = rewrite(bytes, &limits) else { return };
    let (mut before, _) = list(bytes, &limits).expect("it was read a moment ago");
    before.retain(|entry| !entry.is_sparse);
    // Names and attributes that filled a header alone may come with more records now.
    let wide = Limits { extension: 1 << 20, bytes: 4 << 20, ..limits };
    let (after, _) = list(&written[..], &wide).expect("what we write we read");
    assert_eq!(after, before);
    let again = rewrite(&written[..], &wide).expect("what we write we read").expect("it was written before");
    assert_eq!(again, written);
}
