//! M1: an image names a volume that climbs or is a link, and the engine copies what is there into the container.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::{Bundle, Outcome};
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{mount, run};

pub(crate) const ROW: Row = Row {
    id: "M1",
    title: "files of the host copied into a volume",
    faults: &["CVE-2022-23648"],
    kinds: &[Kind::Static],
    defence: "container/src/copy_up.rs, runtime/src/child/copy.rs: what is copied is found in the image or inside \
              the root, by descriptor",
};

/// What the canary's file says: it must not be seen inside.
const SECRET: &str = "canary";

/// Volumes as a hostile image names them.
fn volumes(canary: &Canary) -> Vec<String> {
    let outside = canary.path().display();
    let climb = "../".repeat(20);
    vec![
        format!("/{climb}{outside}"),
        format!("{climb}{outside}"),
        outside.to_string(),
        "/link".to_owned(),
        "/link/empty".to_owned(),
        "/up".to_owned(),
        format!("/up{outside}"),
        "/proc/1/root".to_owned(),
        "/".to_owned(),
        ".".to_owned(),
    ]
}

fn links(root: &std::path::Path, canary: &Canary) {
    symlink(canary.path(), root.join("link")).unwrap();
    symlink("../../../../../../../../..", root.join("up")).unwrap();
}

/// The links, and what they lead to inside.
fn inside(root: &std::path::Path, canary: &Canary) {
    links(root, canary);
    fs::create_dir_all(root.join(canary.path().strip_prefix("/").unwrap()).join("empty")).unwrap();
}

/// Looks for the canary's secret from inside, wherever it is, and writes to where it would be.
fn look(canary: &Canary) -> String {
    let outside = canary.path().display();
    format!(
        "cat /link/* {outside}/* /up{outside}/* 2>/dev/null; echo evil >/link/new; find / -xdev -name secret; echo looked"
    )
}

held!(an_images_volume_copies_nothing, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let instruction = format!("VOLUME {:?}", volumes(&canary));
    tests::attack::image(brig, "volumes", &[&instruction], |root| inside(root, &canary));
    let outcome = brig.run(&["run", "--rm", "volumes", "sh", "-c", &look(&canary)]);
    assert!(outcome.stdout.contains("looked"), "{outcome}");
    assert!(!outcome.stdout.contains(SECRET), "{outcome}");
    canary.assert_untouched(instruction);
});

/// What a volume gets that is mounted where the image has a link to the canary.
fn filled(brig: &Brig, weak: &str) -> String {
    let canary = Canary::new(brig.directory(), "canary");
    let outside = canary.path().display().to_string();
    tests::attack::image(brig, "linked", &["VOLUME /link"], |root| inside(root, &canary));
    let mut seen = String::new();
    for target in ["/link".to_owned(), format!("/up{outside}")] {
        let script = format!("cat {target}/secret; echo looked");
        let volume = format!("filled:{target}");
        let mut command = brig.command(&["run", "--rm", "-v", &volume, "linked", "sh", "-c", &script]);
        let outcome = testkit::run(command.env("BRIG_WEAKEN", weak));
        assert!(outcome.stdout.contains("looked"), "{outcome}");
        seen.push_str(&outcome.stdout);
        drop(brig.run(&["volume", "rm", "filled"]));
    }
    canary.assert_untouched("a volume was filled");
    seen
}

held!(a_volume_gets_the_images_files_only, [root, user], |brig| {
    let seen = filled(brig, "");
    assert!(!seen.contains(SECRET), "{seen}");
});

control!(copied_from_a_joined_path, Target::Weakened("engine-copy-up"), [root], |brig| {
    filled(&brig.with_seams(), "engine-copy-up").contains(SECRET)
});

/// A tmpfs that is filled with what was there before.
fn copied(brig: &Brig, canary: &Canary, place: &str) -> Bundle {
    let mut bundle = brig.bundle(
        "bundle",
        &["sh", "-c", "cat /link/secret /secret 2>/dev/null; find /link/ -name of-the-image"],
    );
    links(&bundle.rootfs(), canary);
    // The same path inside, so that there is something to copy.
    let inside = bundle.rootfs().join(canary.path().strip_prefix("/").unwrap());
    fs::create_dir_all(inside.join("empty")).unwrap();
    fs::write(inside.join("of-the-image"), "").unwrap();
    let mut copy = mount(place, "tmpfs");
    copy["options"] = json!(["nosuid", "nodev", "tmpcopyup"]);
    bundle.config["mounts"] = json!([mount("/proc", "proc"), copy]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.write();
    if let Some(user) = brig.as_user() {
        user.give(bundle.path());
    }
    bundle
}

fn is_copied(outcome: &Outcome) -> bool {
    outcome.stdout.contains(SECRET)
}

held!(a_copied_directory_is_the_images, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let mut copied_inside = 0;
    for volume in volumes(&canary) {
        if volume == "/" || volume == "." {
            continue;
        }
        let place = format!("/{}", volume.trim_start_matches('/'));
        let bundle = copied(brig, &canary, &place);
        let outcome = run(brig, &bundle, "");
        assert!(!is_copied(&outcome), "{volume}: {outcome}");
        canary.assert_untouched(&volume);
        copied_inside += usize::from(outcome.stdout.contains("of-the-image"));
        fs::remove_dir_all(bundle.path()).unwrap();
    }
    assert!(copied_inside > 0, "nothing was copied inside");
});

control!(made_by_its_path, Target::Weakened("root"), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    let outcome = run(&weak, &copied(&weak, &canary, "/link/new"), "root");
    is_copied(&outcome) || !canary.changes().is_empty()
});
