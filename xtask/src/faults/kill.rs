//! SIGKILL at each step, by strace's injection, and at random moments.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::stage::{Person, SCENES, Scene, Stage};
use super::{Random, Tally};

/// The steps that leave something behind, by kind.
const STEPS: &[&str] = &[
    "write,pwrite64",
    "rename,renameat,renameat2",
    "fsync,fdatasync,syncfs",
    "mkdirat,linkat,symlinkat,unlinkat,openat2",
    "mount,move_mount,open_tree,fsmount,mount_setattr,umount2",
    "clone,clone3,execve",
    "flock,ftruncate,fchmod,fchown,fchownat",
];
/// Random moments, where the time suffices.
const MOMENTS: usize = 500;
/// More steps of one kind than a command has.
const MOST: usize = 400;

/// Kills each scene's command at each step; where the time is short, at as many as fit, spread over all.
pub(crate) fn steps(brig: &Path, person: Person, time: Duration) -> Tally {
    let mut tally = Tally::default();
    let Some(mut stage) = Stage::new(brig, person) else {
        tally.findings.push("the stage could not be made".to_owned());
        return tally;
    };
    let mut points = Vec::new();
    for scene in SCENES {
        for (kind, steps) in STEPS.iter().zip(count(&stage, scene)) {
            points.extend((1..=steps).map(|step| (scene, *kind, step)));
        }
        let (_, findings) = stage.check();
        tally
            .findings
            .extend(findings.iter().map(|finding| format!("{}, undisturbed: {finding}", scene.name)));
    }
    println!("{} points", points.len());
    // Counting them is not of the time for killing.
    let until = Instant::now() + time;
    let mut random = Random(1);
    for last in (1..points.len()).rev() {
        points.swap(last, random.below(last + 1));
    }
    for (scene, kind, step) in points {
        if Instant::now() > until || tally.findings.len() > 20 {
            break;
        }
        if !stage.prepare(scene) {
            tally.findings.push(format!("{}: could not be prepared", scene.name));
            continue;
        }
        strace(&stage, scene, kind, Some(step));
        tally.made += 1;
        settle(&stage, &mut tally, &format!("{} killed at {kind} {step}", scene.name));
        if tally.findings.len() % 4 == 3 {
            // A finding may hide others.
            let Some(fresh) = Stage::new(brig, person) else { break };
            stage = fresh;
        }
    }
    tally
}

/// How many steps of each kind that process of the scene takes that takes most of them.
fn count(stage: &Stage, scene: &Scene) -> Vec<usize> {
    if !stage.prepare(scene) {
        return Vec::new();
    }
    let log = strace(stage, scene, &STEPS.join(","), None);
    let count = |kind: &str| {
        let mut steps = std::collections::BTreeMap::new();
        for line in log.lines() {
            let (process, rest) = line.split_once(' ').unwrap_or_default();
            let call = rest.trim_start().split('(').next().unwrap_or_default();
            if kind.split(',').any(|name| name == call) {
                *steps.entry(process).or_insert(0) += 1;
            }
        }
        steps.into_values().max().unwrap_or(0).min(MOST)
    };
    STEPS.iter().map(|kind| count(kind)).collect()
}

/// Runs a scene's command, killed at its step `step` of this kind; what strace saw.
fn strace(stage: &Stage, scene: &Scene, kind: &str, step: Option<usize>) -> String {
    let log = stage.directory.join("strace");
    let words = stage.words(scene.command);
    let mut command = stage.program("timeout");
    command.args(["--signal", "KILL", "60", "strace", "-f", "-qq", "-e", "signal=none", "-o"]).arg(&log);
    command.args(["-e", &format!("trace={kind}")]);
    if let Some(step) = step {
        command.args(["-e", &format!("inject={kind}:signal=KILL:when={step}")]);
    }
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // How it ends is the fault's matter.
    drop(command.status());
    fs::read_to_string(&log).unwrap_or_default()
}

fn settle(stage: &Stage, tally: &mut Tally, what: &str) {
    let (was_mended, findings) = stage.check();
    tally.mended += usize::from(was_mended);
    for finding in findings {
        println!("{what}: {finding}");
        tally.findings.push(format!("{what}: {finding}"));
    }
}

/// Kills a scene's command after a random time.
pub(crate) fn moments(brig: &Path, person: Person, time: Duration) -> Tally {
    let until = Instant::now() + time;
    let mut tally = Tally::default();
    let Some(stage) = Stage::new(brig, person) else {
        tally.findings.push("the stage could not be made".to_owned());
        return tally;
    };
    let mut random = Random(2);
    while tally.made < MOMENTS && Instant::now() < until && tally.findings.len() <= 20 {
        let scene = &SCENES[random.below(SCENES.len())];
        if !stage.prepare(scene) {
            tally.findings.push(format!("{}: could not be prepared", scene.name));
            continue;
        }
        let mut command = stage.command(scene.command);
        let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else { break };
        // A user's command is made one first, which takes a while.
        let latest = if person == Person::User { 60_000 } else { 30_000 };
        let wait = Duration::from_micros(u64::try_from(random.below(latest)).unwrap_or(0));
        std::thread::sleep(wait);
        // It may have ended by itself.
        drop(child.kill());
        drop(child.wait());
        tally.made += 1;
        settle(&stage, &mut tally, &format!("{} killed after {wait:?}", scene.name));
    }
    tally
}
