//! R15: the image names an account by a number, with another number as its id.

use std::fs;
use std::process::Command;

use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::users::ids;

pub(crate) const ROW: Row = Row {
    id: "R15",
    title: "an account whose name is a number",
    faults: &["CVE-2016-3697"],
    kinds: &[Kind::Static],
    defence: "container/src/value/user.rs: what is written as a number is that number, never a name",
};

const PASSWD: &str = "root:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n77:x:0:0::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\n1000:x:0:\n77:x:0:\n";

fn image(brig: &Brig, instructions: &[&str]) {
    attack::image(brig, "accounts", instructions, |root| {
        fs::write(root.join("etc/passwd"), PASSWD).unwrap();
        fs::write(root.join("etc/group"), GROUP).unwrap();
    });
}

fn run_as(brig: &Brig, user: &str, weaken: &str) -> testkit::Outcome {
    let mut command = brig.command(&["run", "--rm", "-u", user, "accounts", "sh", "-c", "id -u; id -g"]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

held!(a_number_is_an_id, [root, user], |brig| {
    image(brig, &["USER 1000"]);
    for (user, expected) in [("1000", (1000, 0)), ("1000:1000", (1000, 1000)), ("77:77", (77, 77))] {
        assert_eq!(ids(&run_as(brig, user, "")), Some(expected), "{user}");
    }
    // The image's own choice, and `--group-add`.
    let own = brig.run(&["run", "--rm", "--group-add", "77", "accounts", "sh", "-c", "id -u; id -g; id -G"]);
    assert_eq!(own.success(), "1000\n0\n0 77\n");
    // A name is still looked up: the file is read at all.
    assert_eq!(ids(&run_as(brig, "root", "")), Some((0, 0)));
});

control!(names_before_numbers, Target::Weakened("engine-numbers"), [root], |brig| {
    let weak = brig.with_seams();
    image(&weak, &[]);
    assert_eq!(ids(&run_as(&weak, "1000", "")), Some((1000, 0)));
    ids(&run_as(&weak, "1000", "engine-numbers")) == Some((0, 0))
});

control!(
    chroot_looks_the_name_up,
    Target::Unconfined("chroot(1) --userspec, which reads the root's accounts"),
    [root],
    |brig| {
        let root = brig.directory().join("root");
        testkit::busybox_rootfs(&root);
        fs::write(root.join("etc/passwd"), PASSWD).unwrap();
        fs::write(root.join("etc/group"), GROUP).unwrap();
        let mut command = Command::new("chroot");
        command.arg("--userspec=1000").arg(&root).args(["/bin/sh", "-c", "id -u; id -g"]);
        ids(&testkit::run(&mut command)).is_some_and(|(user, _)| user == 0)
    }
);
