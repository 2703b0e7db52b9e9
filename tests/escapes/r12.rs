//! R12: the place of a mount is swapped for a link to the host between the look at it and the mount.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use testkit::Bundle;
use tests::attack::{self, Canary, Paused};
use tests::escape::{Kind, Row, Target};
use tests::shape::{self, Trace, Tracing};
use tests::{Brig, control, held};

use crate::bundles::{at, bind, command_by};
use crate::race::{Flipper, Until, directory_and_link, for_a_while, run_at_once};

pub(crate) const ROW: Row = Row {
    id: "R12",
    title: "a mount lands outside of the root",
    faults: &["CVE-2021-30465"],
    kinds: &[Kind::Race, Kind::BruteRace, Kind::Shape],
    defence: "runtime/src/child/mount.rs: the mount goes onto the descriptor that was looked at",
};

/// Whether the payload, which printed its mountinfo, lacks the mount of `source`.
fn is_lost(mountinfo: &str) -> bool {
    assert!(mountinfo.contains("rootfs / "), "{mountinfo}");
    !mountinfo.contains("/source /")
}

/// A bundle that mounts `source` and prints what is mounted.
fn bundle(brig: &Brig, destination: &str) -> Bundle {
    let source = brig.directory().join("source");
    fs::create_dir_all(&source).unwrap();
    let mut bundle = brig.bundle("bundle", &["cat", "/proc/self/mountinfo"]);
    bundle.config["mounts"].as_array_mut().unwrap().push(bind(destination, &source));
    bundle.write();
    bundle
}

/// Swaps the directory above at the pause; answers whether the mount went astray.
fn swapped(weak: &Brig, weaken: &str) -> bool {
    let canary = Canary::new(weak.directory(), "canary");
    let bundle = bundle(weak, "/a/b/empty");
    let root = bundle.rootfs();
    fs::create_dir_all(root.join("a/b/empty")).unwrap();
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-swap"]);
    command.env("BRIG_WEAKEN", weaken);
    let paused = Paused::at(&mut command, "mount:a/b/empty", &weak.directory().join("pause"));
    fs::rename(root.join("a/b"), root.join("a/old")).unwrap();
    symlink(canary.path(), root.join("a/b")).unwrap();
    let (code, stdout, stderr) = paused.go();
    assert_eq!(code, Some(0), "{stderr}");
    canary.assert_untouched("a mount");
    is_lost(&stdout)
}

held!(a_swap_before_the_mount, [root], |brig| {
    assert!(!swapped(&brig.with_seams(), ""));
});

control!(onto_a_path, Target::Weakened("destination"), [root], |brig| {
    swapped(&brig.with_seams(), "destination")
});

/// Runs again and again while the directory above and a link to the canary change their names; answers whether a mount
/// went astray.
fn raced(brig: &Brig, until: Until, command: impl Fn(&Bundle) -> Command) -> bool {
    let canary = Canary::new(brig.directory(), "canary");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let bundle = bundle(brig, "/shared/empty");
    let (directory, link) = directory_and_link(&bundle.rootfs(), "shared", canary.path());
    fs::create_dir(directory.join("empty")).unwrap();
    let source = brig.directory().join("source");
    let flipper = Flipper::new(&directory, &link);
    let mut ran = 0;
    let (reached, _) = for_a_while(until, || {
        let output = run_at_once(&mut command(&bundle));
        ran += u32::from(output.status.success());
        output.status.success() && is_lost(&String::from_utf8_lossy(&output.stdout))
    });
    drop(flipper);
    canary.assert_untouched("a mount");
    let own = |text: &str| text.lines().filter(|line| line.contains(&*source.to_string_lossy())).count();
    assert_eq!(own(&mounts), own(&fs::read_to_string("/proc/self/mountinfo").unwrap()), "the host's mounts");
    assert!(reached || ran > 5, "only {ran} runs");
    reached
}

held!(a_race, [root], |brig| {
    assert!(!raced(brig, Until::Held, |bundle| brig.runtime(&[
        "run",
        "--bundle",
        at(bundle),
        "brig-test-race"
    ])));
});

control!(a_race_onto_a_path, Target::Weakened("destination"), [root], |brig| {
    let weak = brig.with_seams();
    raced(&weak, Until::Lost, |bundle| {
        let mut command = weak.runtime(&["run", "--bundle", at(bundle), "brig-test-race"]);
        command.env("BRIG_WEAKEN", "destination");
        command
    })
});

/// What `create`, `start`, `exec` and `delete` do, and what one `run` does.
fn life(brig: &Brig) -> Vec<Trace> {
    let traced = |arguments: &[&str]| {
        let (outcome, trace) = shape::trace(&brig.runtime(arguments), brig.program(), brig.directory());
        outcome.success();
        trace
    };
    let mut bundle = bundle(brig, "/new/place");
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.config["process"]["cwd"] = json!("/work/here");
    bundle.write();
    let create = brig.runtime(&["create", "--bundle", at(&bundle), "brig-test-shape"]);
    let creating = Tracing::start(&create, brig.program(), brig.directory());
    tests::eventually("it is created", || {
        let said = brig.runtime_run(&["state", "brig-test-shape"]).stdout;
        serde_json::from_str::<serde_json::Value>(&said).is_ok_and(|state| state["status"] == "created")
    });
    let mut traces = vec![
        traced(&["start", "brig-test-shape"]),
        traced(&["exec", "--cwd", "/tmp", "brig-test-shape", "true"]),
        traced(&["kill", "brig-test-shape", "KILL"]),
    ];
    traces.push(creating.finish());
    traces.push(traced(&["delete", "--force", "brig-test-shape"]));
    bundle.config["process"]["args"] = json!(["true"]);
    bundle.write();
    traces.push(traced(&["run", "--bundle", at(&bundle), "brig-test-shape"]));
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["root"]["readonly"] = json!(true);
    bundle.write();
    traces.push(traced(&["run", "--bundle", at(&bundle), "brig-test-shape"]));
    traces
}

held!(no_path_string_after_the_root_is_open, [root, user] needs [program("strace")], |brig| {
    let traces = life(brig);
    let root = brig.directory().join("bundle/rootfs");
    assert!(traces[3].resolved_inside() > 20 && traces[5].resolved_inside() > 20, "the traces show nothing");
    for trace in &traces {
        assert_eq!(trace.path_strings(&root), Vec::<String>::new());
    }
});

held!(none_by_the_engine_either, [root, user] needs [program("strace")], |brig| {
    attack::image(brig, "shape", &["WORKDIR /work/here"], |_| {});
    let command = brig.command(&[
        "run",
        "--rm",
        "--network=none",
        "-t",
        "--init",
        "--tmpfs",
        "/scratch/new",
        "shape",
        "true",
    ]);
    let (outcome, trace) = shape::trace(&command, brig.program(), brig.directory());
    outcome.success();
    assert!(trace.resolved_inside() > 20, "the trace shows nothing");
    // The root is an overlay that is attached nowhere before: no path of the host leads into it.
    assert_eq!(trace.path_strings(Path::new("/no path of the host")), Vec::<String>::new());
});

control!(the_shape_of_runc, Target::Debian("runc", "1.1.5"), [root] needs [program("strace")], |brig| {
    let bundle = bundle(brig, "/new/place");
    let command = command_by("runc", brig, &["run", "--bundle", at(&bundle), "brig-test-runc"]);
    let program = testkit::find_program("runc").unwrap();
    let (outcome, trace) = shape::trace(&command, &program, brig.directory());
    outcome.success();
    let strings = trace.path_strings(&bundle.rootfs());
    ["mkdirat(", "mknodat(", "mount("].iter().all(|call| strings.iter().any(|line| line.contains(call)))
});
