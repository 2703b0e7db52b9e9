//! R29: the engine keeps its own files in the root file system, where the image has links.

use std::fs;

use tests::attack::{self, Canary};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::files_of_images::{image_with_link, run};

pub(crate) const ROW: Row = Row {
    id: "R29",
    title: "the engine's own files in the image",
    faults: &["CVE-2025-24965"],
    kinds: &[Kind::Static],
    defence: "container/src/run.rs: our files lie with the run-time state; runtime/src/child/mount.rs binds them",
};

/// Directories in which engines keep files of their own.
const DIRECTORIES: [&str; 4] = ["etc", "run", "dev", "sys"];

held!(they_are_not_made_through_links, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for directory in DIRECTORIES {
        image_with_link(brig, directory, directory, &canary);
        for flags in [&[][..], &["--init"], &["-t"], &["--read-only"], &["--hostname", "evil"]] {
            drop(run(brig, flags, directory, ""));
            canary.assert_untouched(format_args!("/{directory} {flags:?}"));
        }
    }
});

held!(there_are_none_but_the_three_of_etc, [root, user], |brig| {
    attack::image(brig, "plain", &[], |_| {});
    let script = "ls -A / /run /etc | sort -u; cat /proc/self/mountinfo | cut -d' ' -f5 | grep -v -E '^/(proc|sys|dev)'";
    let seen = brig.ok(&["run", "--rm", "plain", "sh", "-c", script]);
    for name in [".krun_config.json", ".dockerenv", ".dockerinit", ".containerenv", "config.json", "brig"] {
        assert!(!seen.lines().any(|line| line.contains(name)), "{name}: {seen}");
    }
    let mut mounts: Vec<&str> =
        seen.lines().filter(|line| line.starts_with('/') && !line.ends_with(':')).collect();
    mounts.sort_unstable();
    assert_eq!(mounts, ["/", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"], "{seen}");
    // A configuration of the image's is no configuration of ours.
    attack::image(brig, "configured", &[], |root| {
        for name in [".krun_config.json", "config.json", "etc/brig.json", ".brig.json"] {
            fs::write(
                root.join(name),
                "{\"process\":{\"args\":[\"echo\",\"evil\"]},\"Cmd\":[\"echo\",\"evil\"]}",
            )
            .unwrap();
        }
    });
    assert_eq!(brig.ok(&["run", "--rm", "configured", "echo", "good"]), "good\n");
});

fn attack(brig: &Brig, weaken: &str) -> Vec<String> {
    let canary = Canary::new(brig.directory(), &format!("canary-{weaken}"));
    let image = format!("linked{weaken}");
    image_with_link(brig, &image, "etc", &canary);
    drop(run(brig, &[], &image, weaken));
    canary.changes()
}

control!(made_through_the_link, Target::Weakened("root"), [root], |brig| {
    let weak = brig.with_seams();
    assert_eq!(attack(&weak, ""), Vec::<String>::new());
    attack(&weak, "root").iter().any(|change| change.contains("/hosts"))
});
