//! Every published class of container escapes as a test that is first seen to succeed on something vulnerable: one
//! file for each row of `docs/escapes.md`, which `cargo xtask escapes` writes.
//!
//! A row has parts that the product withstands and controls (`tests::escape`). Canaries and controls live in
//! directories of the part's own.
#![expect(clippy::unwrap_used, reason = "a part that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "what a control saw is shown where it fails")]

mod archives;
mod bundles;
mod copies;
mod doors;
mod engines;
mod files_of_images;
mod labels;
mod layouts;
mod race;
mod sysctls;
#[path = "../../crates/archive/tests/support/tar.rs"]
#[allow(dead_code, reason = "shared with the tests of `archive`, which need more of it")]
mod tar;
mod trees;
mod trojans;
mod users;

mod d01;
mod d03;
mod d04;
mod d05;
mod d06;
mod k02;
mod k03;
mod k04;
mod k05;
mod k06;
mod k07;
mod k08;
mod k09;
mod k10;
mod k11;
mod k12;
mod k13;
mod m01;
mod m02;
mod m03;
mod m05;
mod m08;
mod m09;
mod m10;
mod m13;
mod m15;
mod m16;
mod r01;
mod r02;
mod r03;
mod r04;
mod r05;
mod r06;
mod r07;
mod r08;
mod r09;
mod r10;
mod r11;
mod r12;
mod r13;
mod r14;
mod r15;
mod r16;
mod r17;
mod r18;
mod r19;
mod r20;
mod r21;
mod r22;
mod r23;
mod r24;
mod r25;
mod r26;
mod r27;
mod r28;
mod r29;
mod r30;
mod r31;
mod r32;
mod r33;
mod r34;
mod r36;
mod r37;
mod r38;
mod r39;
mod r40;
mod t01;
mod t02;
mod t03;
mod t04;
mod t05;
mod t06;
mod t07;
mod t08;
mod t09;
mod t10;
mod t11;
mod t12;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A row that no `mod` names would be forgotten in silence, and one that returns early would look held.
#[test]
fn every_row_is_here_and_none_skips_by_itself() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/escapes"));
    let main = include_str!("main.rs");
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_row = name.len() == 3 && name[1..].bytes().all(|byte| byte.is_ascii_digit());
        if !is_row {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let id = format!("{}{}", name[..1].to_uppercase(), name[1..].trim_start_matches('0'));
        assert!(main.contains(&format!("\nmod {name};")), "{name} is not named in main.rs");
        assert!(text.contains(&format!("id: \"{id}\"")), "{name} is not the row {id}");
        assert!(!text.contains("needs!("), "{name}: say `needs [...]` of the part");
        // Parts with their controls that several rows share.
        let shares =
            ["closed_by_default!(", "a_race_of_bundles!("].iter().any(|shared| text.contains(shared));
        assert!(shares || text.contains("held!("), "{name} has no part");
        assert!(shares || text.contains("control!("), "{name} has no control");
        ids.insert(id);
    }
    assert!(!ids.is_empty());
}
