//! R28: devices that no list names can be made and opened.

use serde_json::json;
use testkit::Bundle;
use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{run, run_by};

pub(crate) const ROW: Row = Row {
    id: "R28",
    title: "devices that are not listed",
    faults: &["GO-2022-0396", "GHSA-g54h-m393-cpwq"],
    kinds: &[Kind::Inside],
    defence: "cgroup/src/device: everything is denied first, whatever the list of the bundle is",
};

/// What a container of each runtime may open: 0:0 is no device, and no cgroup is asked about it.
const LISTED: [&str; 12] = [
    "c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 5:0", "c 5:1", "c 5:2", "c 136:0", "c 136:1", "c 0:0",
    "made ",
];

/// A container that makes a node of every major number, and opens it.
fn bundle(brig: &Brig, devices: &serde_json::Value) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["probe", "nodes", "/tmp"]);
    attack::install_probe(&bundle.rootfs());
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
    }
    bundle.config["linux"]["resources"] = json!({"devices": devices});
    bundle.write();
    bundle
}

fn unlisted(output: &str) -> Vec<String> {
    assert!(output.contains("c 1:3 0") && !output.contains("made 0"), "nothing was tried: {output}");
    let open = output.lines().filter(|line| !LISTED.iter().any(|allowed| line.starts_with(allowed)));
    open.map(str::to_owned).collect()
}

held!(they_do_not_open, [root] needs [c_compiler(), cgroup_v1("devices")], |brig| {
    for devices in [
        json!([]),
        json!([{"allow": false, "access": "rwm"}]),
        json!([{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]),
    ] {
        let output = run(brig, &bundle(brig, &devices), "").success();
        assert_eq!(unlisted(&output), Vec::<String>::new(), "{devices}");
    }
});

// A virtual console: whether the machine has one or not, the cgroup is no obstacle any more.
control!(
    one_more_is_listed,
    Target::Opened("a rule of the bundle for one more device"),
    [root] needs [c_compiler(), cgroup_v1("devices")],
    |brig| {
        let devices = json!([{"allow": true, "type": "c", "major": 4, "minor": 1, "access": "rwm"}]);
        unlisted(&run(brig, &bundle(brig, &devices), "").success()).len() == 1
    }
);

control!(
    a_list_that_allows_all_by_runc,
    Target::Opened("a rule of the bundle for every device, by runc"),
    [root] needs [c_compiler(), cgroup_v1("devices"), program("runc")],
    |brig| {
        let output = run_by("runc", brig, &bundle(brig, &json!([{"allow": true, "access": "rwm"}])));
        unlisted(&output.success()).len() > 10
    }
);
