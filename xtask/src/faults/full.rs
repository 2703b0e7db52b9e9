//! A disk that is full: a small tmpfs, with less and less room.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Tally;
use super::stage::{Person, SCENES, Stage};

/// Bytes of the disk: what the stage needs, and as much again.
const DISK: u64 = 24 * 1024 * 1024;
/// How much room is left in KiB.
const ROOM: [u64; 12] = [0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 1024];

/// Runs each scene with each amount of room.
pub(crate) fn run(brig: &Path, person: Person, time: Duration) -> Tally {
    let until = Instant::now() + time;
    let mut tally = Tally::default();
    let Some(stage) = small(brig, person) else {
        tally.findings.push("the small disk could not be made".to_owned());
        return tally;
    };
    let disk = stage.directory.join("store");
    for (scene, room) in ROOM.iter().flat_map(|room| SCENES.iter().map(move |scene| (scene, *room))) {
        if Instant::now() > until || tally.findings.len() > 20 {
            break;
        }
        if !stage.prepare(scene) {
            tally.findings.push(format!("{}: could not be prepared", scene.name));
            continue;
        }
        let filler = disk.join("filler");
        fill(&filler, &disk, room);
        let is_stuck = stage.run(scene.command).is_none();
        drop(fs::remove_file(&filler));
        tally.made += 1;
        let what = format!("{} with {room} KiB of room", scene.name);
        if is_stuck {
            tally.findings.push(format!("{what}: did not end"));
        }
        let (was_mended, findings) = stage.check();
        tally.mended += usize::from(was_mended);
        for finding in findings {
            println!("{what}: {finding}");
            tally.findings.push(format!("{what}: {finding}"));
        }
    }
    drop(stage.run(&["rm", "-f", "kept"]));
    let unmounted = Command::new("umount").arg("-l").arg(&disk).status();
    if !unmounted.is_ok_and(|status| status.success()) {
        tally.findings.push("the small disk could not be unmounted".to_owned());
    }
    tally
}

fn small(brig: &Path, person: Person) -> Option<Stage> {
    let stage = Stage::empty(brig, person);
    let disk = stage.directory.join("store");
    fs::create_dir(&disk).ok()?;
    let size = format!("size={DISK},mode=700");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&disk).status();
    stage.give(&disk);
    (mounted.is_ok_and(|status| status.success()) && stage.fill()).then_some(stage)
}

/// Takes all room but so many KiB.
fn fill(filler: &Path, disk: &Path, room: u64) {
    let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(disk).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let free = numbers.next().unwrap_or(0) * numbers.next().unwrap_or(0);
    let take = free.saturating_sub(room * 1024);
    // Room that is gone already needs no filling.
    drop(Command::new("fallocate").args(["-l", &take.max(1).to_string()]).arg(filler).status());
}
