//! D6: the engine executes a program that it looked up in a directory which somebody else writes to.
//!
//! The person trusts their `PATH` for what they type. What an engine starts by itself, with root's rights or to become
//! root in a namespace, is another matter: `.`, an empty entry, `/tmp/bin` are in many.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::at;
use crate::trojans::Trojans;

pub(crate) const ROW: Row = Row {
    id: "D6",
    title: "programs looked up in `PATH`",
    faults: &["CVE-2025-15558"],
    kinds: &[Kind::Static],
    defence: "sys/src/program.rs: fixed directories, and files that root alone can change",
};

/// Where the trojans are, as a `PATH` says it.
fn searches(trojans: &Trojans) -> [String; 2] {
    let absolute = trojans.path().display();
    // An empty entry is the working directory, as is a dot.
    [format!("{absolute}:/usr/bin:/bin"), ":.:../trojans:/usr/bin".to_owned()]
}

/// Does what starts programs of the host with each `PATH`; answers how many commands succeeded.
fn attack(brig: &Brig, trojans: &Trojans) -> usize {
    let directory = brig.directory();
    let archive = testkit::busybox_tar(directory);
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    let (root, run, state) = (brig.store(), directory.join("run"), brig.state());
    let mut succeeded = 0;
    let mut tell = |search: &str, words: &[&str], detached: bool| {
        let mut command = trojans.beside(brig, search, brig.program(), words);
        let outcome = if detached { testkit::run_detached(&mut command) } else { testkit::run(&mut command) };
        succeeded += usize::from(outcome.code == 0);
    };
    let [root, run, state] = [&root, &run, &state].map(|path: &std::path::PathBuf| path.to_str().unwrap());
    for search in searches(trojans) {
        for words in [
            &["import", archive.to_str().unwrap(), "busybox"][..],
            &["run", "--rm", "busybox", "true"],
            &["run", "--rm", "--userns=host", "busybox", "true"],
            &["images"],
            &["doctor"],
            &["info"],
        ] {
            tell(&search, &[&["--root", root, "--runroot", run], words].concat(), false);
        }
        let runtime = ["runtime", "--root", state];
        let id = "brig-test-path";
        tell(&search, &[&runtime[..], &["create", "--bundle", at(&bundle), id]].concat(), true);
        for words in [
            &["start", id][..],
            &["ps", id],
            &["ps", id, "-o", "pid,args"],
            &["exec", id, "true"],
            &["events", "--stats", id],
            &["kill", id, "KILL"],
            &["delete", "--force", id],
        ] {
            tell(&search, &[&runtime[..], words].concat(), false);
        }
    }
    succeeded
}

held!(no_directory_of_path_is_searched, [root, user, bare], |brig| {
    let trojans = Trojans::new(brig.directory());
    let succeeded = attack(brig, &trojans);
    assert_eq!(trojans.executed(), "", "of {succeeded} commands");
    assert!(succeeded >= 20, "{succeeded} commands succeeded");
});

control!(runc_searches_ps, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let trojans = Trojans::new(brig.directory());
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    let root = brig.directory().join("runc");
    let runc = |words: &[&str], detached: bool| {
        let words = [&["--root", root.to_str().unwrap()], words].concat();
        let mut command = trojans.beside(brig, &searches(&trojans)[0], Path::new("/usr/sbin/runc"), &words);
        if detached { testkit::run_detached(&mut command) } else { testkit::run(&mut command) }
    };
    runc(&["run", "--detach", "--bundle", at(&bundle), "brig-test-path-runc"], true).success();
    drop(runc(&["ps", "brig-test-path-runc"], false));
    runc(&["delete", "--force", "brig-test-path-runc"], false).success();
    trojans.executed().contains("ps -ef")
});

control!(podman_searches_newuidmap, Target::Debian("podman", "4.3.1"), [user], |brig| {
    let trojans = Trojans::new(brig.directory());
    let words = ["--root", "podman", "--runroot", "podman-run", "unshare", "true"];
    let mut command = trojans.beside(brig, &searches(&trojans)[0], Path::new("/usr/bin/podman"), &words);
    drop(testkit::run(&mut command));
    // It leaves a process behind that keeps its namespace.
    let number = brig.as_user().unwrap().runtime_dir().join("libpod/tmp/pause.pid");
    if let Ok(pid) = fs::read_to_string(number) {
        drop(testkit::run(Command::new("kill").args(["-KILL", pid.trim()])));
    }
    trojans.executed().contains("newuidmap")
});
