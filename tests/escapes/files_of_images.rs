//! Files of an image that engines read and write, and what an attacker puts there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use testkit::Outcome;
use tests::Brig;
use tests::attack::{self, Canary};

/// Every file of an image that an engine reads, writes or makes.
pub(crate) const FILES: [&str; 18] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/mtab",
    "etc/localtime",
    "etc/timezone",
    "etc/subuid",
    "etc/ssl/certs",
    "run/secrets",
    "run/.containerenv",
    "run/.toolboxenv",
    "usr/share/rhel/secrets",
    ".dockerenv",
    ".dockerinit",
    ".krun_config.json",
];

/// What is put in their place.
pub(crate) const SHAPES: [&str; 5] =
    ["link", "climbing link", "dangling link", "link to a directory", "link through proc"];

/// Puts one there.
pub(crate) fn put(root: &Path, name: &str, shape: &str, canary: &Canary) {
    let place = root.join(name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    if place.is_dir() && !place.is_symlink() {
        fs::remove_dir_all(&place).unwrap();
    } else if place.exists() || place.is_symlink() {
        fs::remove_file(&place).unwrap();
    }
    let secret = canary.path().join("secret");
    match shape {
        "link" => symlink(secret, &place).unwrap(),
        "climbing link" => symlink(format!("{}{}", "../".repeat(20), secret.display()), &place).unwrap(),
        "dangling link" => symlink(canary.path().join("new"), &place).unwrap(),
        "link to a directory" => symlink(canary.path(), &place).unwrap(),
        "link through proc" => symlink(format!("/proc/1/root{}", secret.display()), &place).unwrap(),
        "fifo" => assert!(Command::new("mkfifo").arg(&place).status().unwrap().success()),
        other => panic!("{other}"),
    }
}

/// An image in which every one of [`FILES`] has that shape.
pub(crate) fn image(brig: &Brig, name: &str, shape: &str, canary: &Canary) {
    attack::image(brig, name, &[], |root| FILES.iter().for_each(|file| put(root, file, shape, canary)));
}

/// An image whose `/etc`, or another directory, is a link to the canary.
pub(crate) fn image_with_link(brig: &Brig, name: &str, directory: &str, canary: &Canary) {
    attack::image(brig, name, &[], |root| put(root, directory, "link to a directory", canary));
}

/// Runs it without the defence that `weaken` names; the payload reads what could be the host's.
pub(crate) fn run(brig: &Brig, flags: &[&str], image: &str, weaken: &str) -> Outcome {
    let words = ["sh", "-c", "cat /etc/passwd /etc/group /etc/hosts /etc/localtime; id"];
    let arguments = [&["run", "--rm"], flags, &[image], &words].concat();
    testkit::run(brig.command(&arguments).env("BRIG_WEAKEN", weaken))
}
