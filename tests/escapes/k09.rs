//! K9: `open_by_handle_at(2)` opens any file of a file system that is mounted anywhere inside: shocker, 2014.

use std::fs;
use std::process::Command;

use tests::attack::{self, install_probe};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::doors::{Door, WIDE, are_open, assert_closed};
use crate::engines::{forget_podman, podman_import, podman_run};

pub(crate) const ROW: Row = Row {
    id: "K9",
    title: "files outside the root opened by their handle",
    faults: &["CVE-2014-3519"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: no handles; container: no CAP_DAC_READ_SEARCH, and none over the host's \
              files",
};

const DOORS: &[Door] = &[("calls", "open_by_handle_at"), ("calls", "name_to_handle_at")];

/// What the attack needs: an image with the probe, a volume, and beside it, on the same file system, a secret.
struct Attack {
    volume: String,
    handle: String,
}

fn prepare(brig: &Brig) -> Attack {
    attack::image(brig, "shocker", &[], install_probe);
    let (volume, secret) = (brig.directory().join("volume"), brig.directory().join("secret"));
    fs::create_dir(&volume).unwrap();
    fs::write(&secret, "canary\n").unwrap();
    let handle = testkit::run(Command::new(attack::probe()).arg("handle").arg(secret)).success();
    Attack { volume: format!("{}:/mnt", volume.display()), handle: handle.trim().to_owned() }
}

/// What a program inside reads by the secret's handle.
fn read(brig: &Brig, attack: &Attack, flags: &[&str]) -> String {
    let words = ["-v", &attack.volume, "shocker", "/bin/probe", "shocker", "/mnt", &attack.handle];
    let outcome = brig.run(&[&["run", "--rm"], flags, &words].concat());
    assert_eq!(outcome.code, 0, "{outcome}");
    outcome.stdout
}

held!(closed_by_default, [root, user, bare] needs [c_compiler()], |brig| {
    let attack = prepare(brig);
    // Each of the defences holds without the others, the last two by the container's own user namespace.
    let alone: [&[&str]; 4] = [
        &[],
        &["--cap-add=DAC_READ_SEARCH"],
        &["--security-opt=seccomp=unconfined"],
        &["--security-opt=seccomp=unconfined", "--cap-add=ALL"],
    ];
    for flags in alone {
        let seen = read(brig, &attack, flags);
        assert!(seen.starts_with("errno "), "{flags:?}: {seen}");
    }
    assert_closed(brig, &[], DOORS);
});

held!(the_capability_is_not_given_over_the_hosts_files, [root] needs [c_compiler()], |brig| {
    let attack = prepare(brig);
    for flags in [&["--userns=host"][..], &["--userns=host", "--security-opt=seccomp=unconfined"]] {
        let seen = read(brig, &attack, flags);
        assert!(seen.starts_with("errno "), "{flags:?}: {seen}");
    }
});

control!(
    open_with_the_capability,
    Target::Opened("--userns=host --cap-add=ALL seccomp=unconfined"),
    [root] needs [c_compiler()],
    |brig| {
        let attack = prepare(brig);
        read(brig, &attack, &WIDE) == "canary\n" && are_open(brig, &WIDE, DOORS)
    }
);

control!(podman_with_one_capability, Target::Debian("podman", "4.3.1"), [root] needs [c_compiler()], |brig| {
    let attack = prepare(brig);
    podman_import(brig, "shocker", &[]);
    let flags = ["--cap-add=DAC_READ_SEARCH", "-v", &attack.volume];
    let outcome = podman_run(brig, "shocker", &flags, &["/bin/probe", "shocker", "/mnt", &attack.handle]);
    forget_podman(brig);
    outcome.stdout == "canary\n"
});
