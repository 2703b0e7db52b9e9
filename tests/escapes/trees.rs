//! What an attacker puts in place of a directory of the root file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::attack::Canary;

/// What [`replace`] can put there.
pub(crate) const SHAPES: [&str; 8] =
    ["absolute", "relative", "dangling", "to the root", "up", "through proc", "file", "fifo"];

/// Puts a shape in place of `name` in the root; the links lead to the canary.
pub(crate) fn replace(root: &Path, name: &str, shape: &str, canary: &Canary) {
    let place = root.join(name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    if place.is_dir() && !place.is_symlink() {
        fs::remove_dir_all(&place).unwrap();
    }
    let climb = "../".repeat(20);
    let outside = canary.path().to_str().unwrap();
    match shape {
        "absolute" => symlink(outside, &place).unwrap(),
        "relative" => symlink(format!("{climb}{outside}"), &place).unwrap(),
        "dangling" => symlink(format!("{outside}/new"), &place).unwrap(),
        "to the root" => symlink("/", &place).unwrap(),
        "up" => symlink(&climb, &place).unwrap(),
        "through proc" => symlink("/proc/1/root", &place).unwrap(),
        "file" => fs::write(&place, "").unwrap(),
        "fifo" => assert!(Command::new("mkfifo").arg(&place).status().unwrap().success()),
        other => panic!("{other}"),
    }
}

/// A directory of the root that an attack replaces, put back when dropped.
pub(crate) struct Kept {
    place: PathBuf,
    aside: Option<PathBuf>,
    above: Option<PathBuf>,
}

impl Kept {
    /// Moves `name` aside, if it is there.
    pub(crate) fn new(root: &Path, name: &str) -> Self {
        let place = root.join(name);
        let aside = place.is_dir().then(|| root.join("kept"));
        if let Some(aside) = &aside {
            fs::rename(&place, aside).unwrap();
        }
        let above =
            name.split('/').nth(1).map(|second| root.join(name.split('/').next().unwrap()).join(second));
        Self { place, aside, above }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.place.is_dir() || self.place.is_symlink() {
            fs::remove_file(&self.place).unwrap();
        }
        match (&self.aside, &self.above) {
            (Some(aside), _) => fs::rename(aside, &self.place).unwrap(),
            (None, Some(above)) if above.exists() => fs::remove_dir_all(above).unwrap(),
            _ => {}
        }
    }
}
