//! R36: labels of an image that an engine takes for orders: a logger to execute, a device, a privilege.

use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "R36",
    title: "orders to the engine in an image's labels",
    faults: &["CVE-2026-53488"],
    kinds: &[Kind::Static],
    defence: "container/src/spec: labels are data; no behaviour is read from them",
};

/// Keys that one engine or another reads as an order, and some that could be ours.
const KEYS: [&str; 17] = [
    "brig.privileged",
    "io.brig.runtime",
    "org.brig.seccomp",
    "brig.log-driver",
    "io.containerd.runc.v2.group",
    "io.podman.annotations.privileged",
    "io.podman.annotations.seccomp",
    "io.kubernetes.cri-o.Devices",
    "run.oci.keep_original_groups",
    "run.oci.seccomp.receiver",
    "run.oci.hooks.stderr",
    "org.systemd.property.ExecStart",
    "io.katacontainers.config.hypervisor.path",
    "com.docker.compose.project",
    "nerdctl/log-uri",
    "run.oci.handler",
    "org.opencontainers.image.stopSignal",
];

/// The plan of a container of an image with these instructions, without what names the image.
fn plan(brig: &Brig, image: &str, instructions: &[&str]) -> String {
    attack::image(brig, image, instructions, |_| {});
    let plan = brig.ok(&["run", "--dry-run", image, "true"]);
    let same = |line: &&str| !line.contains("sha256") && !line.contains(image);
    plan.lines().filter(same).collect::<Vec<_>>().join("\n")
}

fn labelled(brig: &Brig) -> String {
    let labels: Vec<String> =
        KEYS.iter().map(|key| format!("LABEL {key}=binary:///bin/sh?-c=touch")).collect();
    plan(brig, "labelled", &labels.iter().map(String::as_str).collect::<Vec<_>>())
}

held!(the_plan_is_that_of_the_plain_image, [root, user], |brig| {
    assert_eq!(labelled(brig), plan(brig, "plain", &[]));
});

// The comparison sees what an image may decide.
control!(
    the_plan_shows_what_an_image_decides,
    Target::Opened("STOPSIGNAL, USER and ENV of the image"),
    [root, user],
    |brig| {
        let plain = plan(brig, "plain", &[]);
        ["USER 1000", "ENV A=b", "WORKDIR /tmp"]
            .iter()
            .enumerate()
            .all(|(number, instruction)| plan(brig, &format!("changed{number}"), &[instruction]) != plain)
    }
);
