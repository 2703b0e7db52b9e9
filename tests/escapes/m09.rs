//! M9: mounts that are made on one side of a bind mount appear on the other, and targets that climb.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::Outcome;
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::race::{Flipper, Until, for_a_while};

pub(crate) const ROW: Row = Row {
    id: "M9",
    title: "mounts that cross a bind mount",
    faults: &["CVE-2024-9407", "CVE-2024-9675", "CVE-2024-11218"],
    kinds: &[Kind::Static, Kind::Inside, Kind::BruteRace],
    defence: "container/src/spec/mounts.rs: a bind mount is private unless it is asked to be shared; \
              container/src/volumes.rs: a part of a volume is resolved in it, and the runtime opens that very inode",
};

/// Runs a shell script in a mount namespace of its own in which `data`, the source, is a shared mount. `$@` is
/// `brig run` with the source mounted at `/mnt`.
fn with_shared_source(brig: &Brig, options: &str, flags: &[&str], script: &str) -> Outcome {
    let data = brig.directory().join("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    let volume = format!("{}:/mnt{options}", data.display());
    let run = brig.command(
        &[&["run", "--rm", "--userns=host", "-v", &volume], flags, &["busybox", "sh", "-c"]].concat(),
    );
    let mut command = Command::new("unshare");
    let prepare = "cd \"$0\" && mount --bind data data && mount --make-shared data && ";
    command.args(["--mount", "--propagation", "private", "sh", "-c"]).arg(format!("{prepare}{script}"));
    command.arg(brig.directory()).arg(run.get_program()).args(run.get_args());
    testkit::run(&mut command)
}

/// Mounts outside while the container runs; answers whether it is seen inside.
fn outside_in(brig: &Brig, options: &str) -> bool {
    let inside = "touch /mnt/runs; while [ ! -e /mnt/mounted ]; do sleep 0.1; done; ls /mnt/sub; echo looked";
    let outside = format!(
        "{{ \"$@\" '{inside}' & }} && until [ -e data/runs ]; do sleep 0.1; done && \
         mount -t tmpfs none data/sub && touch data/sub/crossed data/mounted && wait"
    );
    let outcome = with_shared_source(brig, options, &[], &outside);
    assert!(outcome.stdout.contains("looked"), "{outcome}");
    outcome.stdout.contains("crossed")
}

/// Mounts inside, with all rights it takes; answers whether it is seen outside.
fn inside_out(brig: &Brig, options: &str) -> bool {
    let inside = "mount -t tmpfs none /mnt/sub && touch /mnt/sub/crossed && echo mounted && \
                  touch /mnt/runs && while [ ! -e /mnt/end ]; do sleep 0.1; done";
    let outside = format!(
        "{{ \"$@\" '{inside}' & }} && until [ -e data/runs ]; do sleep 0.1; done && \
         ls data/sub; touch data/end; wait"
    );
    let outcome = with_shared_source(brig, options, &["--privileged"], &outside);
    assert!(outcome.stdout.contains("mounted"), "{outcome}");
    outcome.stdout.contains("crossed")
}

held!(no_mount_gets_in, [root], |brig| {
    brig.import_busybox();
    for options in ["", ":rprivate", ":private"] {
        assert!(!outside_in(brig, options), "`{options}`");
        again(brig);
    }
});

held!(no_mount_gets_out, [root], |brig| {
    brig.import_busybox();
    for options in ["", ":rprivate", ":rslave", ":private", ":slave"] {
        assert!(!inside_out(brig, options), "`{options}`");
        again(brig);
    }
});

/// The next try starts anew.
fn again(brig: &Brig) {
    fs::remove_dir_all(brig.directory().join("data")).unwrap();
}

// Targets that climb, or that the image leads elsewhere.
held!(no_target_climbs, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let outside = canary.path().to_str().unwrap();
    tests::attack::image(brig, "climbing", &[], |root| {
        std::os::unix::fs::symlink(outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink("../../../../../../..", root.join("up")).unwrap();
    });
    let data = brig.directory().join("data");
    fs::create_dir(&data).unwrap();
    let source = data.to_str().unwrap();
    let mut started = 0;
    for target in targets(canary.path()) {
        for flag in [format!("--volume={source}:{target}"), format!("--tmpfs={target}")] {
            let outcome = brig.run(&["run", "--rm", &flag, "climbing", "true"]);
            started += usize::from(outcome.code == 0);
            canary.assert_untouched(&flag);
        }
    }
    assert!(started > 0, "no container was started");
});

fn targets(canary: &Path) -> Vec<String> {
    let outside = canary.display();
    let climb = "../".repeat(20);
    vec![
        format!("/{climb}{outside}/new"),
        format!("/mnt/{climb}{outside}/new"),
        "/link/new".to_owned(),
        "/link/../link/new".to_owned(),
        format!("/up{outside}/new"),
        format!("/link/{climb}{outside}/new/deeper"),
    ]
}

/// Mounts a part of a volume again and again while a neighbour who has the whole volume exchanges that part with a link
/// out of it; answers whether the canary was seen.
fn subpath_race(brig: &Brig, until: Until, weak: &str) -> bool {
    brig.import_busybox();
    let canary = Canary::new(brig.directory(), "canary");
    brig.ok(&["volume", "create", "shared"]);
    let data = brig.store().join("volumes/shared/data");
    fs::create_dir_all(data.join("part")).unwrap();
    std::os::unix::fs::symlink(canary.path(), data.join("link")).unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&data.join("part"));
    }
    let flipper = Flipper::new(&data.join("part"), &data.join("link"));
    let mount = "type=volume,src=shared,dst=/p,volume-subpath=part";
    let (lost, count) = for_a_while(until, || {
        let arguments = ["run", "--rm", "--mount", mount, "busybox", "cat", "/p/secret"];
        let outcome = testkit::run(brig.command(&arguments).env("BRIG_WEAKEN", weak));
        outcome.stdout.contains("canary")
    });
    drop(flipper);
    assert!(count > 0, "nothing was tried");
    canary.assert_untouched("parts of a volume");
    lost
}

held!(a_part_of_a_volume_is_in_it, [root, user], |brig| {
    assert!(!subpath_race(brig, Until::Held, ""), "the canary was mounted");
});

control!(a_joined_part_is_anywhere, Target::Weakened("engine-subpath"), [root], |brig| {
    subpath_race(&brig.with_seams(), Until::Lost, "engine-subpath")
});

control!(a_shared_mount_gets_in_and_out, Target::Opened(":rshared"), [root], |brig| {
    brig.import_busybox();
    let inwards = outside_in(brig, ":rshared");
    again(brig);
    inwards && inside_out(brig, ":rshared")
});

control!(a_target_is_made_on_the_host, Target::Weakened("root"), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    tests::attack::image(&weak, "climbing", &[], |root| {
        std::os::unix::fs::symlink(canary.path(), root.join("link")).unwrap();
    });
    let mut command =
        weak.command(&["run", "--rm", "--userns=host", "--tmpfs=/link/new", "climbing", "true"]);
    drop(testkit::run(command.env("BRIG_WEAKEN", "root")));
    !canary.changes().is_empty()
});
