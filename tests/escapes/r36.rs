//! R36: labels of an image that an engine takes for orders: a logger to execute, a device, a privilege.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::Outcome;
use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::engines::{forget_podman, podman_over};
use crate::layouts::{Image, LAYER, Layout, digest};

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

/// An image whose manifest has annotations that the runtime crun takes for orders.
fn annotated(brig: &Brig) -> Layout {
    let layout = Layout::new(brig, "layout");
    let layer = fs::read(testkit::busybox_tar(brig.directory())).unwrap();
    let mut image = Image::of(&layout, LAYER, &layer, &digest(&layer));
    image.manifest["annotations"] = json!({
        "run.oci.keep_original_groups": "1",
        "run.oci.systemd.force_cgroup_v1": "/sys/fs/cgroup",
        "io.podman.annotations.privileged": "TRUE",
    });
    image.finish(&layout);
    layout
}

/// Runs a command as somebody in the groups 4 and 24, which no container may have unasked.
fn in_groups(command: &Command) -> Outcome {
    let mut caller = Command::new("setpriv");
    caller.args(["--groups", "4,24"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        caller.env(name, value);
    }
    testkit::run(&mut caller)
}

held!(annotations_of_a_manifest_are_data, [root] needs [program("setpriv")], |brig| {
    let layout = annotated(brig);
    let loaded = brig.ok(&["load", "-i", layout.path().to_str().unwrap()]);
    let image = loaded.split_whitespace().find_map(|word| word.strip_prefix("sha256:")).unwrap();
    let words = ["run", "--rm", "--userns=host", image, "id", "-G"];
    assert_eq!(in_groups(&brig.command(&words)).success(), "0\n");
});

control!(
    podman_hands_them_to_crun,
    Target::Debian("podman", "4.3.1"),
    [root] needs [version("crun", "1.8.1"), program("setpriv")],
    |brig| {
        let layout = annotated(brig);
        let source = format!("oci:{}:attack", layout.path().display());
        let pulled = testkit::run(&mut podman_over("crun", brig, &["pull", &source])).success();
        let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000", "--net=none", "--rm"];
        let words = [&["run"], &limits[..], &[pulled.trim(), "id", "-G"]].concat();
        let outcome = in_groups(&podman_over("crun", brig, &words));
        forget_podman(brig);
        outcome.stdout.split_whitespace().any(|group| group == "24")
    }
);
