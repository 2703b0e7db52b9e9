//! R30: the engine makes or edits a file of the image where a link leads.

use std::fs;
use std::os::unix::fs::symlink;

use tests::attack::{self, Canary};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::engines::{forget_podman, podman_import, podman_run};
use crate::files_of_images::{SHAPES, image, run};

pub(crate) const ROW: Row = Row {
    id: "R30",
    title: "files of the image that are links",
    faults: &["CVE-2024-5154", "CVE-2022-4318", "CVE-2026-55686"],
    kinds: &[Kind::Static],
    defence: "runtime/src/child/mount.rs: made by openat2 inside the root; container/src/lookup.rs: read by it",
};

held!(nothing_is_read_or_written_through_them, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for (number, shape) in SHAPES.into_iter().enumerate() {
        let name = format!("files{number}");
        image(brig, &name, shape, &canary);
        for flags in [
            &[][..],
            &["-u", "user"],
            &["-u", "1000", "--group-add", "extra"],
            &["--network", "host"],
            &["--hostname", "other", "--add-host", "name:10.0.0.1", "--dns", "10.0.0.2"],
            &["--read-only"],
        ] {
            let outcome = run(brig, flags, &name, "");
            canary.assert_untouched(format_args!("{shape} {flags:?}"));
            assert!(!outcome.stdout.contains("canary"), "{shape} {flags:?}: {outcome}");
            assert!(!flags.contains(&"user") || outcome.code != 0, "{shape}: {outcome}");
        }
    }
});

const WORKDIR: &str = "WORKDIR /work/escaped/deep";

fn workdir_image(brig: &Brig, canary: &Canary) {
    attack::image(brig, "workdir", &[WORKDIR], |root| {
        symlink(canary.path(), root.join("work")).unwrap();
        symlink(format!("{}{}", "../".repeat(20), canary.path().display()), root.join("climb")).unwrap();
    });
}

held!(a_working_directory_is_made_inside, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    workdir_image(brig, &canary);
    let shared = brig.directory().join("shared");
    fs::create_dir(&shared).unwrap();
    let shared = shared.to_str().unwrap();
    for flags in [
        &[][..],
        &["-w", "/work/new"],
        &["-w", "/climb/new"],
        &["-w", "/work/../work/new"],
        &["-w", "/../../climb"],
        &["--tmpfs", "/work/tmpfs"],
        &["--tmpfs", "/climb/tmpfs"],
        &["-v", &format!("{shared}:/work/volume")],
        &["-v", &format!("{shared}:/climb/volume")],
    ] {
        drop(run(brig, flags, "workdir", ""));
        canary.assert_untouched(format_args!("{flags:?}"));
    }
});

held!(no_line_is_smuggled_into_a_file_of_ours, [root, user], |brig| {
    brig.import_busybox();
    for flags in [
        &["--hostname", "name\n10.9.9.9 evil"][..],
        &["--add-host", "name\n10.9.9.9 evil:10.0.0.1"],
        &["--add-host", "name:10.0.0.1\n10.9.9.9 evil"],
        &["--dns", "10.0.0.1\nnameserver 10.9.9.9"],
        &["--dns-search", "example\nnameserver 10.9.9.9"],
        &["--dns-option", "ndots:1\nnameserver 10.9.9.9"],
    ] {
        let outcome = brig.shell(flags, "cat /etc/hosts /etc/hostname /etc/resolv.conf");
        assert!(!outcome.stdout.contains("10.9.9.9"), "{flags:?}: {outcome}");
        assert_ne!(outcome.code, 0, "{flags:?}: {outcome}");
    }
});

control!(made_where_the_link_leads, Target::Weakened("root"), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    workdir_image(&weak, &canary);
    drop(run(&weak, &[], "workdir", ""));
    canary.assert_untouched("the test build with all defences");
    drop(run(&weak, &[], "workdir", "root"));
    canary.changes().iter().any(|change| change.contains("/escaped"))
});

control!(podman_makes_it_on_the_host, Target::Debian("podman", "4.3.1"), [root] needs [program("runc")], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    workdir_image(brig, &canary);
    podman_import(brig, "workdir", &[WORKDIR]);
    drop(podman_run(brig, "workdir", &[], &["true"]));
    forget_podman(brig);
    canary.changes().iter().any(|change| change.contains("/escaped"))
});
