//! R16: a user id that does not fit wraps to root.

use std::fs;

use serde_json::json;
use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::run;
use crate::users::{NO_IDS, exec_as, exec_by, ids};

pub(crate) const ROW: Row = Row {
    id: "R16",
    title: "user ids that wrap to 0",
    faults: &["CVE-2024-40635", "CVE-2026-46680"],
    kinds: &[Kind::Static],
    defence: "container/src/value/user.rs: decimal digits below 2^32-1, or a plain name; oci: ids are u32",
};

fn image(brig: &Brig) {
    attack::image(brig, "accounts", &[], |root| {
        let text = "root:x:0:0::/:/bin/sh\nzero:x:0:0::/:/bin/sh\nnegative:x:-1:0::/:/bin/sh\n\
                    big:x:4294967296:0::/:/bin/sh\nwrap:x:18446744073709551616:0::/:/bin/sh\nplus:x:+0:+0::/:/bin/sh\n";
        fs::write(root.join("etc/passwd"), text).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nwrap:x:4294967296:\n").unwrap();
    });
}

fn run_as(brig: &Brig, user: &str, weaken: &str) -> testkit::Outcome {
    let mut command = brig.command(&["run", "--rm", "-u", user, "accounts", "sh", "-c", "id -u; id -g"]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

held!(what_is_no_id_is_refused, [root, user], |brig| {
    image(brig);
    assert_eq!(ids(&run_as(brig, "zero", "")), Some((0, 0)));
    let names = ["negative", "big", "wrap", "plus", "0:wrap", "nobody-there", ":0x0", "root:0:0", "\u{661}"];
    for user in NO_IDS.iter().chain(&names) {
        let outcome = run_as(brig, user, "");
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{user}: {outcome}");
    }
});

held!(an_images_user_is_no_exception, [root], |brig| {
    let archive = testkit::busybox_tar(brig.directory());
    for (number, user) in NO_IDS.iter().filter(|user| user.trim() == **user).enumerate() {
        let name = format!("user{number}");
        let instruction = format!("USER {user}");
        let imported = brig.run(&["import", "-c", &instruction, archive.to_str().unwrap(), &name]);
        let outcome = brig.run(&["run", "--rm", &name, "id", "-u"]);
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{user}: {imported} {outcome}");
    }
});

held!(a_bundle_and_exec_are_none_either, [root], |brig| {
    let mut bundle = brig.bundle("bundle", &["id", "-u"]);
    for id in [json!(4_294_967_296_u64), json!(-1), json!("0"), json!(0.5), json!(4_294_967_295_u32)] {
        for member in ["uid", "gid"] {
            bundle.config["process"]["user"] = json!({"uid": 0, "gid": 0});
            bundle.config["process"]["user"][member] = id.clone();
            bundle.write();
            let outcome = run(brig, &bundle, "");
            assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{member} {id}: {outcome}");
        }
    }
    brig.start("brig-test-user", &brig.bundle("running", &["sleep", "1000"]));
    assert_eq!(ids(&exec_as(brig, "brig-test-user", "0")), Some((0, 0)));
    for user in NO_IDS {
        let outcome = exec_as(brig, "brig-test-user", user);
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{user}: {outcome}");
    }
});

control!(numbers_cut_to_32_bits, Target::Weakened("engine-numbers"), [root], |brig| {
    let weak = brig.with_seams();
    image(&weak);
    ids(&run_as(&weak, "4294967296", "engine-numbers")) == Some((0, 0))
});

control!(runc_cuts_them, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    exec_by("runc", brig, &bundle, &["4294967296"]).iter().all(|outcome| ids(outcome) == Some((0, 0)))
});

control!(crun_cuts_them, Target::Debian("crun", "1.8.1"), [root], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    exec_by("crun", brig, &bundle, &["4294967296"]).iter().all(|outcome| ids(outcome) == Some((0, 0)))
});
