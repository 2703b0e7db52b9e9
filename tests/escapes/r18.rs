//! R18: capabilities that are inheritable come back by a file that has them.

use serde_json::json;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::run;

pub(crate) const ROW: Row = Row {
    id: "R18",
    title: "inheritable capabilities",
    faults: &[
        "CVE-2022-24769",
        "CVE-2022-29162",
        "CVE-2022-27649",
        "CVE-2022-27650",
        "CVE-2022-27651",
        "CVE-2022-27652",
    ],
    kinds: &[Kind::Inside],
    defence: "container/src/spec/security.rs: inheritable and ambient are empty; runtime/src/child/identity.rs",
};

const EMPTY: &str = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";
const SCRIPT: &str = "grep -E 'CapInh|CapAmb' /proc/self/status";

/// What a container of the image can inherit.
fn sets(brig: &Brig, flags: &[&str], weaken: &str) -> String {
    let words = [&["run", "--rm"], flags, &["busybox", "sh", "-c", SCRIPT]].concat();
    testkit::run(brig.command(&words).env("BRIG_WEAKEN", weaken)).success()
}

held!(nothing_is_inheritable, [root, user], |brig| {
    brig.import_busybox();
    for flags in [
        &[][..],
        &["--cap-add", "ALL"],
        &["-u", "1000"],
        &["--privileged"],
        &["--privileged", "-u", "1000"],
        &["--init"],
        &["--profile", "docker"],
        &["--profile", "strict"],
    ] {
        assert_eq!(sets(brig, flags, ""), EMPTY, "{flags:?}");
    }
    assert_eq!(run(brig, &brig.bundle("bundle", &["sh", "-c", SCRIPT]), "").success(), EMPTY);
});

held!(another_user_has_no_capability, [root, user], |brig| {
    brig.import_busybox();
    for flags in [&["-u", "1000"][..], &["-u", "1000", "--profile", "docker"], &["-u", "1:1", "--init"]] {
        let seen = brig.shell(flags, "grep -E 'CapEff|CapPrm' /proc/self/status").success();
        assert_eq!(seen, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n", "{flags:?}");
    }
});

held!(nothing_is_inheritable_in_exec, [root, user], |brig| {
    brig.start("brig-test-running", &brig.bundle("running", &["sleep", "1000"]));
    for flags in [&[][..], &["--cap", "CAP_CHOWN"]] {
        let words = [&["exec"], flags, &["brig-test-running", "sh", "-c", SCRIPT]].concat();
        assert_eq!(brig.runtime_ok(&words), EMPTY, "{flags:?}");
    }
});

control!(the_default_of_old_engines, Target::Weakened("engine-inheritable"), [root, user], |brig| {
    let weak = brig.with_seams();
    weak.import_busybox();
    sets(&weak, &[], "") == EMPTY && sets(&weak, &[], "engine-inheritable") != EMPTY
});

control!(asked_for_by_the_bundle, Target::Opened("`inheritable` of a bundle"), [root, user], |brig| {
    let mut bundle = brig.bundle("bundle", &["sh", "-c", SCRIPT]);
    for set in ["bounding", "effective", "permitted", "inheritable"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_CHOWN"]);
    }
    bundle.write();
    run(brig, &bundle, "").success() != EMPTY
});
