//! A container that exchanges a directory for a link to the host while files are copied to and from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::Brig;
use tests::attack::{self, Canary};
use tests::running::Running;

use crate::race::{Until, for_a_while};

/// Exchanges two names for ever, with pauses of several lengths.
const FLIP: &str = r"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) {
    static const int pauses[] = {0, 0, 0, 20, 0, 50, 0, 200, 500, 2000};
    for (unsigned at = 0;; at++) {
        if (renameat2(AT_FDCWD, words[1], AT_FDCWD, words[2], RENAME_EXCHANGE)) return perror(words[1]), 1;
        if (pauses[at % 10]) usleep(pauses[at % 10]);
    }
}";

fn flipper(directory: &Path) -> PathBuf {
    let (source, program) = (directory.join("flip.c"), directory.join("flip"));
    fs::write(&source, FLIP).unwrap();
    let compiled =
        Command::new("cc").args(["-static", "-O1", "-o"]).arg(&program).arg(&source).status().unwrap();
    assert!(compiled.success());
    program
}

/// What the copies go through in the container, as seen in it.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// `/flip/dir`, a directory.
    Directory,
    /// `/flip/dir/volume`, on which a volume is mounted.
    Volume,
}

impl Way {
    fn path(self) -> &'static str {
        match self {
            Self::Directory => "/flip/dir",
            Self::Volume => "/flip/dir/volume",
        }
    }
}

/// Copies in and out for a while; answers whether the host was reached.
pub(crate) fn reaches_the_host(brig: &Brig, weaken: &str, way: Way, until: Until) -> bool {
    let canary = Canary::new(brig.directory(), "canary");
    let secret = match way {
        Way::Directory => canary.path().join("secret"),
        // Where the volume is mounted below the directory, the canary has an own directory.
        Way::Volume => canary.path().join("volume/secret"),
    };
    if let Way::Volume = way {
        fs::create_dir(secret.parent().unwrap()).unwrap();
        fs::write(&secret, "canary\n").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(secret.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let program = flipper(brig.directory());
    attack::image(brig, "racer", &[], |root| {
        fs::copy(&program, root.join("bin/flip")).unwrap();
    });
    let script = format!(
        "mkdir -p {way} /flip; echo inside > {way}/secret; ln -s {} /flip/link; flip /flip/dir /flip/link &",
        canary.path().display(),
        way = way.path()
    );
    let flags: &[&str] = match way {
        Way::Directory => &[],
        Way::Volume => &["-v", "/flip/dir/volume"],
    };
    let running = Running::of(brig, "racer", flags, "racer", &script);
    let given = brig.directory().join("given");
    fs::write(&given, "given\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&given);
    }
    // Of ours only: the machine has others meanwhile.
    let own = brig.directory().to_str().unwrap().to_owned();
    let mounts = || {
        fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains(&own)).count()
    };
    let before = mounts();
    let (inside, given) = (format!("racer:{}/secret", way.path()), given.to_str().unwrap().to_owned());
    let (reached, count) = for_a_while(until, || {
        let run = |arguments: &[&str]| brig.command(arguments).env("BRIG_WEAKEN", weaken).output().unwrap();
        let out = run(&["cp", "-L", &inside, "-"]);
        let leaked = String::from_utf8_lossy(&out.stdout).contains("canary");
        run(&["cp", &given, &inside]);
        leaked || fs::read_to_string(&secret).unwrap() != "canary\n"
    });
    drop(running);
    assert!(count > 0 && mounts() == before, "a mount stayed on the host");
    println!("{count} pairs of copies");
    reached
}
