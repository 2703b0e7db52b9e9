//! References, digests and paths below `refs/` parse to values that print as what parses to them again, and that are safe file names.

use std::str::FromStr;

use oci::{Algorithm, Digest, Reference};

use crate::input::{check_message, text};

/// Most bytes of an input.
pub const MAX_LEN: usize = 700;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match Reference::from_str(text) {
        Ok(reference) => check_reference(text, &reference),
        // Whatever is typed is shown, so that only the length is promised.
        Err(error) => assert!(error.to_string().len() <= 2048, "{error}"),
    }
    match Digest::from_str(text) {
        Ok(digest) => {
            assert_eq!(digest.to_string(), text);
            check_digest(&digest);
        }
        Err(error) => assert!(error.to_string().len() <= 1024, "{error}"),
    }
    if let Some(reference) = store::fuzzing::ref_of_path(text) {
        check_names(&reference);
        let (file, _) = (text.rsplit('/').next().unwrap_or_default(), ());
        assert!(text.starts_with(&reference.name()), "{text:?} is {reference}");
        assert_eq!(text, format!("{}/{file}", reference.name()));
    }
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        if let Ok(digest) = Digest::from_hex(algorithm, text) {
            assert_eq!(digest.hex(), text);
        }
    }
}

fn check_digest(digest: &Digest) {
    let hex = digest.hex();
    assert_eq!(hex.len(), digest.algorithm().hex_len());
    assert!(hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!(Digest::from_hex(digest.algorithm(), &hex).as_ref(), Ok(digest));
}

fn check_reference(text: &str, reference: &Reference) {
    let same = |printed: &str| assert_eq!(Reference::from_str(printed).as_ref(), Ok(reference), "{text:?}: {printed:?}");
    same(&reference.to_string());
    same(&reference.familiar());
    check_names(reference);
    check_message(&reference.to_string(), 1024);
    assert!(reference.tag().is_some() || reference.digest().is_some());
    if let Some(tag) = reference.tag() {
        assert_eq!(reference.with_tag(tag).map(|other| other.name()), Ok(reference.name()));
        assert!(!tag.is_empty() && tag.len() <= 128 && !tag.starts_with(['.', '-']));
        // As it is stored.
        if reference.digest().is_none() {
            let path = format!("{}/:{tag}", reference.name());
            assert_eq!(store::fuzzing::ref_of_path(&path).as_ref(), Some(reference));
        }
    }
    if let Some(local) = reference.local_fallback() {
        assert_eq!(Reference::from_str(&local.to_string()), Ok(local));
    }
}

/// Each part becomes the name of a directory.
fn check_names(reference: &Reference) {
    for part in reference.name().split('/') {
        assert!(!part.is_empty() && part != "." && part != ".." && part.len() <= 261, "{reference}");
        assert!(!part.starts_with(['.', '_', '@']), "{reference}");
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic()), "{reference}");
    }
}
