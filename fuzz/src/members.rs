//! The index of an image archive points into the archive only, names what cannot climb, and says of each member what the layer reader says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};

use archive::Limits;
use archive::fuzzing::list;

use crate::archives::repaired;

/// Most bytes of an input.
pub const MAX_LEN: usize = 8 << 10;

thread_local! {
    static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let bytes = repaired(bytes);
    let Ok(found) = FILE.with_borrow_mut(|file| {
        let file = file.get_or_insert_with(|| {
            let fd = rustix::fs::memfd_create("members", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
            File::from(fd)
        });
        file.set_len(0).expect("our own file");
        file.rewind().expect("our own file");
        file.write_all(&bytes).expect("our own file");
        store::fuzzing::members(file)
    }) else {
        return;
    };
    for (name, member) in &found {
        let is_plain = |name: &str| {
            !name.contains('\0') && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        };
        assert!(is_plain(name), "{name:?}");
        match member {
            Ok((offset, size)) => {
                assert!(offset.checked_add(*size).is_some_and(|end| end <= bytes.len() as u64), "{name:?}");
            }
            Err(target) => assert!(target.is_empty() || is_plain(target), "{name:?} -> {target:?}"),
        }
    }
    // One parser for what is scanned and what is unpacked (RUSTSEC-2026-0068): the reader of layers takes this archive
    // too, and finds the same files.
    let (entries, _) = list(&bytes[..], &Limits::default()).expect("both readers take an archive, or none does");
    let mut files: BTreeMap<String, u64> = BTreeMap::new();
    for entry in &entries {
        let Ok(name) = std::str::from_utf8(&entry.path) else { continue };
        let plain: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if !name.starts_with('/') && !plain.contains(&"..") && entry.kind == '-' {
            files.insert(plain.join("/"), entry.stored);
        }
    }
    for (name, member) in &found {
        if let (Ok((_, size)), Some(stored)) = (member, files.get(name)) {
            assert_eq!(size, stored, "{name:?}");
        }
    }
}
