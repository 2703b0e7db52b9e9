//! A reference or digest that parses prints as text that parses to the same value.
#![no_main]

use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use oci::{Digest, Reference};

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::from_str(text) {
        let printed = reference.to_string();
        assert_eq!(Reference::from_str(&printed).ok().as_ref(), Some(&reference), "{text:?} -> {printed:?}");
        // It becomes part of a path below `refs/`.
        let name = format!("{}/{}", reference.registry(), reference.repository());
        assert!(name.split('/').all(|part| !part.is_empty() && part != "." && part != ".."), "{text:?}");
    }
    if let Ok(digest) = Digest::from_str(text) {
        assert_eq!(digest.to_string(), text);
    }
});
