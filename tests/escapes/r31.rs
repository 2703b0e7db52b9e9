//! R31: the engine opens a file of the image that is a pipe, and waits for ever; or one that leads to the host.

use std::process::Command;

use testkit::Outcome;
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::engines::{podman_import, podman_over};
use crate::files_of_images::{image, run};

pub(crate) const ROW: Row = Row {
    id: "R31",
    title: "account files that are pipes or links",
    faults: &["CVE-2024-9676", "CVE-2025-9566", "CVE-2024-9341", "CVE-2024-9407"],
    kinds: &[Kind::Static],
    defence: "container/src/lookup.rs: O_NONBLOCK, O_NOFOLLOW, a regular file or nothing, of a bounded size",
};

/// Seconds after which a command that waits for a pipe is killed. What does not hang is done long before.
const HANGS_AFTER: &str = "15";

/// Runs a command that may hang; answers whether it did.
fn hangs(command: &Command) -> (bool, Outcome) {
    let mut guarded = Command::new("timeout");
    guarded.args(["-s", "KILL", HANGS_AFTER]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        guarded.env(name, value);
    }
    let outcome = testkit::run(&mut guarded);
    (outcome.code == 137, outcome)
}

fn words<'a>(flags: &[&'a str], image: &'a str) -> Vec<&'a str> {
    [&["run", "--rm"], flags, &[image, "true"]].concat()
}

held!(a_pipe_is_not_waited_for, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    image(brig, "pipes", "fifo", &canary);
    for flags in [
        &[][..],
        &["--userns=auto"],
        &["-u", "1000"],
        &["-u", "user"],
        &["--group-add", "extra"],
        &["--hostname", "other", "--add-host", "name:10.0.0.1"],
    ] {
        let (hung, outcome) = hangs(&brig.command(&words(flags, "pipes")));
        assert!(!hung, "{flags:?}: {outcome}");
    }
    let told = brig.run(&words(&["-u", "user"], "pipes"));
    assert!(told.code != 0 && told.stderr.contains("no regular file"), "{told}");
});

held!(the_hosts_accounts_are_not_the_images, [root, user], |brig| {
    // The canary names an account: it must not be found through the link.
    let canary = Canary::new(brig.directory(), "canary");
    std::fs::write(canary.path().join("secret"), "canary:x:0:0::/:/bin/sh\n").unwrap();
    for (name, shape) in [("linked", "link"), ("climbing", "climbing link"), ("proc", "link through proc")] {
        image(brig, name, shape, &canary);
        let outcome = run(brig, &["-u", "canary"], name, "");
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{shape}: {outcome}");
    }
});

control!(podman_waits_for_it, Target::Debian("podman", "4.3.1"), [root] needs [program("runc")], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    image(brig, "pipes", "fifo", &canary);
    podman_import(brig, "pipes", &[]);
    let fixed = ["run", "--rm", "--net", "none", "--ulimit", "nofile=1024:1024", "--userns=auto"];
    let words = [&fixed[..], &["pipes", "true"]].concat();
    // Its storage is in the part's own directory: to have podman remove it would be to wait again.
    let (hung, outcome) = hangs(&podman_over("runc", brig, &words));
    hung && outcome.stdout.is_empty()
});
