//! D4: a command on a running container executes or loads what it finds in the container, outside of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::Bundle;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held, shape};

use crate::engines::{forget_podman, podman, podman_import, podman_run};

pub(crate) const ROW: Row = Row {
    id: "D4",
    title: "programs and libraries taken from the container",
    faults: &["CVE-2021-20188", "CVE-2022-1227", "CVE-2019-14271", "CVE-2019-18466"],
    kinds: &[Kind::Static, Kind::Shape],
    defence: "cli: one static program; nothing but the payload is executed in a container",
};

/// Programs and libraries that engines look for, each of which leaves a name in `/executed`.
fn plant(root: &Path) {
    fs::write(root.join("executed"), "").unwrap();
    fs::set_permissions(root.join("executed"), fs::Permissions::from_mode(0o666)).unwrap();
    let write = |path: &str, text: &str| {
        let place = root.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        // What is there is a link to busybox.
        drop(fs::remove_file(&place));
        fs::write(&place, text).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    };
    for name in
        ["ps", "nsenter", "sh", "top", "id", "tar", "xz", "gzip", "getent", "newuidmap", "kill", "true"]
    {
        for directory in ["bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin"] {
            write(&format!("{directory}/{name}"), &format!("#!/bin/busybox ash\necho {name} >>/executed\n"));
        }
    }
    for library in
        ["ld-linux-x86-64.so.2", "libc.so.6", "libnss_files.so.2", "libnss_dns.so.2", "libseccomp.so.2"]
    {
        for directory in ["lib", "lib64", "lib/x86_64-linux-gnu", "usr/lib"] {
            write(&format!("{directory}/{library}"), "no library\n");
        }
    }
    write("etc/ld.so.preload", "/lib/libnss_files.so.2\n");
    write("etc/nsswitch.conf", "passwd: files dns\n");
}

/// A bundle of those, whose own program is busybox itself.
fn bundle(brig: &Brig) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["/bin/busybox", "sleep", "1000"]);
    plant(&bundle.rootfs());
    bundle.config["root"]["readonly"] = false.into();
    bundle.write();
    if let Some(user) = brig.as_user() {
        user.give(bundle.path());
    }
    bundle
}

fn executed(bundle: &Bundle) -> String {
    fs::read_to_string(bundle.rootfs().join("executed")).unwrap()
}

fn pid(brig: &Brig, id: &str) -> String {
    let state: Value = serde_json::from_str(&brig.runtime_ok(&["state", id])).unwrap();
    state["pid"].to_string()
}

const ID: &str = "brig-test-trojans";

/// Commands on a container, and how many programs each executes in it.
const COMMANDS: [(&[&str], usize); 9] = [
    (&["state", ID], 0),
    (&["ps", ID], 0),
    (&["ps", "--format", "json", ID], 0),
    (&["ps", ID, "aux"], 0),
    (&["events", "--stats", ID], 0),
    (&["exec", ID, "/bin/busybox", "true"], 1),
    (&["exec", "--user", "0:0", "--cwd", "/bin", ID, "/bin/busybox", "id"], 1),
    (&["list"], 0),
    (&["kill", ID, "USR1"], 0),
];

held!(no_command_executes_what_is_inside, [root, user], |brig| {
    let bundle = bundle(brig);
    brig.start(ID, &bundle);
    for (words, _) in COMMANDS {
        drop(brig.runtime_run(words));
        assert_eq!(executed(&bundle), "", "{words:?}");
    }
    brig.runtime_ok(&["delete", "--force", ID]);
    assert_eq!(executed(&bundle), "");
});

held!(the_calls_say_so, [root, user] needs [program("strace")], |brig| {
    let bundle = bundle(brig);
    brig.start(ID, &bundle);
    for (words, programs) in COMMANDS {
        let (outcome, trace) = shape::trace(&brig.runtime(words), brig.program(), brig.directory());
        let inside = trace.executions();
        let foreign: Vec<_> = inside.iter().filter(|program| !program.starts_with("/memfd:brig-exec")).collect();
        assert!(foreign.iter().all(|program| *program == "/bin/busybox"), "{words:?}: {inside:?}");
        assert_eq!(foreign.len(), programs, "{words:?}: {inside:?}: {outcome}");
        let loads = |line: &String| line.contains(".so") || line.contains("nsswitch") || line.contains("ld.so");
        let entered = trace.calls().iter().filter(|call| call.place != shape::Place::Host);
        let loaded: Vec<_> = entered.map(shape::Call::line).filter(loads).collect();
        assert_eq!(loaded, Vec::<String>::new(), "{words:?}");
    }
    assert_eq!(executed(&bundle), "");
    brig.runtime_ok(&["delete", "--force", ID]);
});

/// Commands of `brig` on a container that runs, and how many programs each executes in it.
fn engine_commands(id: &str) -> Vec<(Vec<&str>, usize)> {
    vec![
        (vec!["top", id], 0),
        (vec!["top", id, "aux"], 0),
        (vec!["top", id, "pid", "user", "group", "huser", "capeff", "label", "args"], 0),
        (vec!["stats", "--no-stream", id], 0),
        (vec!["update", "--restart", "no", id], 0),
        (vec!["exec", id, "/bin/busybox", "true"], 1),
        (vec!["exec", "-u", "root", "-w", "/bin", id, "/bin/busybox", "id"], 1),
    ]
}

held!(no_command_of_the_engine_executes_what_is_inside, [root, user] needs [program("strace")], |brig| {
    tests::attack::image(brig, "trojans", &[], plant);
    let id = brig.ok(&["run", "-d", "trojans", "/bin/busybox", "sleep", "1000"]).trim().to_owned();
    let executed = || {
        // Copied up with the first word that is written.
        let upper = brig.store().join("containers").join(&id).join("upper/executed");
        fs::read_to_string(upper).unwrap_or_default()
    };
    for (words, programs) in engine_commands(&id) {
        let (outcome, trace) = shape::trace(&brig.command(&words), brig.program(), brig.directory());
        let inside = trace.executions();
        let foreign: Vec<_> = inside.iter().filter(|program| !program.starts_with("/memfd:brig-exec")).collect();
        assert!(foreign.iter().all(|program| *program == "/bin/busybox"), "{words:?}: {inside:?}");
        assert_eq!(foreign.len(), programs, "{words:?}: {inside:?}: {outcome}");
        assert_eq!(outcome.code, 0, "{words:?}: {outcome}");
        assert_eq!(executed(), "", "{words:?}");
    }
    brig.ok(&["rm", "-f", &id]);
});

held!(it_is_one_static_program, [root], |brig| {
    let program = fs::read(brig.program()).unwrap();
    // PT_INTERP names the loader; a static program has none.
    let loader = b"/ld-linux";
    let headers = &program[..4096.min(program.len())];
    assert!(!headers.windows(loader.len()).any(|window| window == loader), "a loader is named");
});

control!(podman_top_executes_ps, Target::Debian("podman", "4.3.1"), [root], |brig| {
    tests::attack::image(brig, "trojans", &[], plant);
    podman_import(brig, "trojans", &[]);
    let shared = brig.directory().join("executed");
    fs::write(&shared, "").unwrap();
    let volume = format!("{}:/executed", shared.display());
    let words = ["/bin/busybox", "sleep", "1000"];
    podman_run(brig, "trojans", &["--detach", "--name", "brig-test-top", "-v", &volume], &words).success();
    drop(podman(brig, &["top", "brig-test-top", "aux"]));
    let executed = fs::read_to_string(&shared).unwrap();
    drop(podman(brig, &["rm", "--force", "--time", "0", "brig-test-top"]));
    forget_podman(brig);
    executed.contains("ps")
});

control!(nsenter_executes_ps, Target::Unconfined("nsenter of the host"), [root], |brig| {
    let bundle = bundle(brig);
    brig.start(ID, &bundle);
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid(brig, ID), "--mount", "--root", "ps"]);
    drop(testkit::run(&mut command));
    brig.runtime_ok(&["delete", "--force", ID]);
    executed(&bundle).contains("ps")
});
