//! Unpacks an archive (plain, gzip or zstd) into an existing directory: for measuring and for a look.
//!
//! `cargo run --release -p archive --example unpack -- ARCHIVE DIRECTORY`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::fs::File;

use archive::{CompressedDigest, Devices, Ids, Limits, Options, Target, Whiteouts, apply, confine};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(input), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: unpack ARCHIVE DIRECTORY".into());
    };
    let input = File::open(input)?;
    let root = files::open_directory(&directory)?;
    let superuser = rustix::process::geteuid().is_root();
    let options = Options {
        ids: if superuser { Ids::Keep } else { Ids::SingleId },
        whiteouts: if superuser { Whiteouts::OverlayTrusted } else { Whiteouts::OverlayUser },
        devices: Devices::Skip,
        compressed: CompressedDigest::Skip,
        target: Target::Layer,
    };
    let limits = Limits::default();
    let confinement = confine(&root, &limits);
    let applied = apply(input, &root, &options, &limits)?;
    println!("{confinement:?}\n{applied:?}");
    Ok(())
}
