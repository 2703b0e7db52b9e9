//! Whatever a layer holds, nothing beside its own directory changes.
#![no_main]

use std::fs::{self, File};

use archive::{CompressedDigest, Devices, Ids, Limits, Options, Whiteouts, apply};
use libfuzzer_sys::fuzz_target;
use testkit::TempDir;

fuzz_target!(|bytes: &[u8]| {
    let scratch = TempDir::new();
    let (root, decoy) = (scratch.join("root"), scratch.join("decoy"));
    fs::create_dir(&root).expect("directory in our own directory");
    fs::write(&decoy, "untouched").expect("file in our own directory");
    let root = File::open(&root).expect("directory of our own");
    let options = Options {
        ids: Ids::SingleId,
        whiteouts: Whiteouts::Apply,
        devices: Devices::Skip,
        compressed: CompressedDigest::Compute,
    };
    drop(apply(bytes, &root, &options, &Limits::default()));
    assert_eq!(fs::read(&decoy).ok().as_deref(), Some(&b"untouched"[..]));
    let left = fs::read_dir(scratch.path()).expect("our own directory").count();
    assert_eq!(left, 2);
});
