//! R24: a container exchanges a directory for a link to the host while files are copied to and from it.

use std::fs;
use std::os::unix::fs::symlink;

use tests::attack::{self, Canary};
use tests::escape::{Kind, Row, Target};
use tests::running::Running;
use tests::{Brig, control, held};

use crate::copies::{Way, reaches_the_host};
use crate::race::Until;

pub(crate) const ROW: Row = Row {
    id: "R24",
    title: "copies through a container's links",
    faults: &["CVE-2018-15664", "CVE-2019-10152", "CVE-2021-41089", "CVE-2014-6407"],
    kinds: &[Kind::Static, Kind::BruteRace],
    defence: "container/src/view.rs: cp joins the container's namespaces; archive/src/apply.rs follows no link below the directory named",
};

/// Links of an image that lead out, each with the copy that would follow it.
fn follows_links(brig: &Brig, weaken: &str) -> bool {
    let canary = Canary::new(brig.directory(), "canary");
    let target = canary.path().to_owned();
    attack::image(brig, "links", &[], |root| {
        symlink(&target, root.join("absolute")).unwrap();
        symlink(format!("../../../../../../../../../..{}", target.display()), root.join("climbing")).unwrap();
        fs::create_dir(root.join("magic")).unwrap();
        symlink("/proc/1/root", root.join("magic/root")).unwrap();
    });
    let running = Running::of(brig, "links", &[], "links", "");
    let given = brig.directory().join("given");
    fs::write(&given, "given\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&given);
    }
    let mut leaked = false;
    for way in ["absolute", "climbing", "magic/root/absolute"] {
        let run = |arguments: &[&str]| brig.command(arguments).env("BRIG_WEAKEN", weaken).output().unwrap();
        let inside = format!("links:/{way}");
        run(&["cp", given.to_str().unwrap(), &inside]);
        run(&["cp", given.to_str().unwrap(), &format!("{inside}/secret")]);
        for source in [format!("{inside}/secret"), format!("{inside}/.")] {
            let out = run(&["cp", &source, "-"]);
            leaked |= String::from_utf8_lossy(&out.stdout).contains("canary\n");
        }
    }
    drop(running);
    leaked || !canary.changes().is_empty()
}

held!(links_stay_inside, [root, user], |brig| {
    assert!(!follows_links(brig, ""));
});

held!(exchanged_names_stay_inside, [root, user] needs [c_compiler()], |brig| {
    assert!(!reaches_the_host(brig, "", Way::Directory, Until::Held));
});

held!(names_in_an_archive_stay_below_the_directory, [root, user], |brig| {
    brig.import_busybox();
    let canary = Canary::new(brig.directory(), "canary");
    let into = brig.directory().join("into");
    fs::create_dir(&into).unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&into);
    }
    // The person has a link in the directory: what comes from the container does not go through it.
    symlink(canary.path(), into.join("tree")).unwrap();
    let script =
        "mkdir -p /out/tree; echo changed > /out/tree/secret; mknod /out/null c 1 3; chmod 6755 /bin/busybox";
    let running = Running::start(brig, "box", &[], script);
    let into = into.to_str().unwrap();
    for arguments in
        [&["cp", "box:/out/.", into][..], &["cp", "-a", "box:/out/.", into], &["cp", "box:/out/tree", into]]
    {
        drop(brig.run(arguments));
        canary.assert_untouched(format!("{arguments:?}"));
    }
    drop(running);
});

control!(without_the_view_links_lead_out, Target::Weakened("engine-copy-view"), [root], |brig| {
    follows_links(&brig.with_seams(), "engine-copy-view")
});

control!(without_the_view_the_race_is_lost, Target::Weakened("engine-copy-view"), [root] needs [c_compiler()], |brig| {
    reaches_the_host(&brig.with_seams(), "engine-copy-view", Way::Directory, Until::Lost)
});
