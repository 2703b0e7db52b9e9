//! Hostile archives, made here byte by byte: each must be refused or land inside, and the outside must
//! not change in any way. Run as whoever runs the tests, and once more as a plain user.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "works on directories of its own")]
#![allow(missing_docs, reason = "test support")]

mod links;
mod paths;
mod sparse;
mod special;
mod structure;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use archive::{Applied, CompressedDigest, Devices, Ids, Limits, Options, Target, Whiteouts, apply};
use links::links;
use paths::paths;
use sparse::sparse;
use special::special;
use structure::structure;
use support::{Header, Place};

/// What must become of an archive.
enum Fate {
    /// Refused with a message that holds this.
    Refused(&'static str),
    /// Accepted, and then this holds inside the root.
    Inside(fn(&Path, &Applied)),
}
use Fate::{Inside, Refused};

type Case = (&'static str, Vec<u8>, Fate);

fn options() -> Options<'static> {
    let root = rustix::process::geteuid().is_root();
    Options {
        ids: if root { Ids::Keep } else { Ids::SingleId },
        whiteouts: if root { Whiteouts::OverlayTrusted } else { Whiteouts::OverlayUser },
        devices: Devices::Skip,
        compressed: CompressedDigest::Skip,
        target: Target::Layer,
    }
}

fn nothing(_: &Path, _: &Applied) {}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Applies every archive, as whoever this process is.
#[test]
fn hostile_archives() {
    let mut count = 0;
    let kinds: [fn(&str) -> Vec<Case>; 5] = [paths, links, |_| structure(), |_| sparse(), special];
    for kind in kinds {
        let number = kind("").len();
        for index in 0..number {
            let place = Place::new();
            let out = place.outside().to_str().unwrap().to_owned();
            let (name, bytes, fate) = kind(&out).swap_remove(index);
            let result = apply(bytes.as_slice(), place.root(), &options(), &Limits::default());
            match (fate, result) {
                (Refused(reason), Err(error)) => {
                    let text = files::chain(&error);
                    assert!(text.contains(reason), "{name}: `{text}` without `{reason}`");
                    assert!(!text.contains('\n'), "{name}: {text}");
                }
                (Inside(check), Ok(applied)) => check(&place.inside(""), &applied),
                (Refused(_), Ok(applied)) => panic!("{name}: accepted: {applied:?}"),
                (Inside(_), Err(error)) => panic!("{name}: refused: {}", files::chain(&error)),
            }
            if let Some(damage) = place.damage() {
                panic!("{name}: the outside changed: {damage}");
            }
            // So that its removal works for a plain user too.
            let _opened =
                fs::set_permissions(place.inside("d"), std::os::unix::fs::PermissionsExt::from_mode(0o700));
            let _opened =
                fs::set_permissions(place.inside("d/e"), std::os::unix::fs::PermissionsExt::from_mode(0o700));
            count += 1;
        }
    }
    assert!(count >= 60, "only {count} archives");
}

/// The same as a plain user.
#[test]
fn hostile_archives_as_a_user() {
    testkit::needs!(root, user);
    let user = testkit::User::without_subids();
    let program = user.install(&std::env::current_exe().unwrap());
    let output = user.command(&program).args(["--exact", "hostile_archives"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Every archive above, cut and bent at random places, must not touch the outside either.
#[test]
fn bent_archives() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let place = Place::new();
    let out = place.outside().to_str().unwrap().to_owned();
    let all = [paths(&out), links(&out), structure(), sparse(), special(&out)].concat_cases();
    for round in 0..6 {
        for bytes in &all {
            if bytes.is_empty() || bytes.len() > 1 << 16 {
                continue;
            }
            let mut bytes = bytes.clone();
            let block = random(bytes.len() / 512 + 1) * 512;
            for _ in 0..=round % 3 {
                let at = (block + random(512)).min(bytes.len() - 1);
                bytes[at] = b"\0/.x0157gKLS\xff"[random(13)];
            }
            if let Some(header) = bytes.get_mut(block..block + 512) {
                let block: [u8; 512] = header.try_into().unwrap();
                header.copy_from_slice(&Header(block).sum());
            }
            let name = format!("{}", random(usize::MAX));
            fs::create_dir(place.inside(&name)).unwrap();
            let root = files::open_directory(place.inside(&name)).unwrap();
            // Refused or not: only the outside matters here.
            let _either =
                apply(bytes.as_slice(), &root, &options(), &Limits { bytes: 1 << 20, ..Limits::default() });
        }
    }
    assert_eq!(place.damage(), None);
}

trait ConcatCases {
    fn concat_cases(self) -> Vec<Vec<u8>>;
}

impl<const N: usize> ConcatCases for [Vec<Case>; N] {
    fn concat_cases(self) -> Vec<Vec<u8>> {
        self.into_iter().flatten().map(|(_, bytes, _)| bytes).collect()
    }
}
