//! Hostile root file system archives: who reads them, and what they leave in a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Outcome, find_program};
use tests::Brig;
use tests::attack::Canary;
use tests::escape::Target;

pub(crate) use crate::tar::{Header, Tar};

/// Both layers of the defence of unpacking.
pub(crate) const BOTH: &str = "unpack-resolution,unpack-confinement";

/// What many programs unpack with, told to trust the archive.
pub(crate) const PYTHON: Target = Target::Unconfined("Python's tarfile, trusting the archive");

/// Writes an archive into a directory of the part's own.
pub(crate) fn write(brig: &Brig, bytes: &[u8]) -> PathBuf {
    let path = brig.directory().join("attack.tar");
    fs::write(&path, bytes).unwrap();
    path
}

/// `brig import` of the archive; with a build that has seams, without the defences that `weaken` names.
pub(crate) fn import(brig: &Brig, bytes: &[u8], weaken: &str) -> Outcome {
    let path = write(brig, bytes);
    let mut command = brig.command(&["import", path.to_str().unwrap(), "attack"]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

/// An empty directory named `name`.
fn empty(brig: &Brig, name: &str) -> PathBuf {
    let directory = brig.directory().join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory).unwrap();
    }
    fs::create_dir(&directory).unwrap();
    directory
}

/// Unpacks the archive with Python's `tarfile`; answers where to.
pub(crate) fn python(brig: &Brig, bytes: &[u8]) -> PathBuf {
    let (archive, directory) = (write(brig, bytes), empty(brig, "python"));
    let program = "import sys, tarfile\nt = tarfile.open(sys.argv[1])\n\
        t.extraction_filter = staticmethod(lambda member, path: member)\nt.extractall('.')";
    let mut command = Command::new(find_program("python3").unwrap());
    drop(testkit::run(command.args(["-c", program]).arg(archive).current_dir(&directory)));
    directory
}

/// Unpacks the archive with GNU tar and these flags; answers where to.
pub(crate) fn gnu_tar(brig: &Brig, flags: &[&str], bytes: &[u8]) -> PathBuf {
    let (archive, directory) = (write(brig, bytes), empty(brig, "tar"));
    let mut command = Command::new(find_program("tar").unwrap());
    drop(testkit::run(command.args(flags).arg("-xf").arg(archive).current_dir(&directory)));
    directory
}

/// Every file, directory, link and node below a directory.
pub(crate) fn walk(top: &Path) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![top.to_owned()]);
    while let Some(path) = todo.pop() {
        if path.is_dir() && !path.is_symlink() {
            todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        found.push(path);
    }
    found
}

/// Imports every archive with and without one of the two layers of the defence: none may reach the canary.
pub(crate) fn hold(brig: &Brig, weaken: &str, archives: impl Fn(&Canary) -> Vec<(&'static str, Vec<u8>)>) {
    let canary = Canary::new(brig.directory(), "canary");
    for (name, bytes) in archives(&canary) {
        let outcome = import(brig, &bytes, weaken);
        canary.assert_untouched(format_args!("{name}, without `{weaken}`: {outcome}"));
    }
}
