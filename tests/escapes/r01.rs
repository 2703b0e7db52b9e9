//! R1: the program that executes the payload is ours, and a container reaches it through `/proc/<pid>/exe`.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::{Value, json};
use testkit::Bundle;
use tests::attack::{self, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, eventually, held, shape};

use crate::bundles::{at, run};

pub(crate) const ROW: Row = Row {
    id: "R1",
    title: "our own program is overwritten from inside",
    faults: &["CVE-2019-5736"],
    kinds: &[Kind::Static, Kind::BruteRace, Kind::Shape, Kind::Inside],
    defence: "runtime/src/seal.rs: a sealed memory file executes the payload; not dumpable before that",
};

/// How often somebody joins.
const JOINS: usize = 200;

/// A bundle with the probe, and `/entry`, a script whose interpreter is the program that executes it.
fn bundle(brig: &Brig, args: &[&str]) -> Bundle {
    let bundle = brig.bundle("bundle", args);
    attack::install_probe(&bundle.rootfs());
    let entry = bundle.rootfs().join("entry");
    fs::write(&entry, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o755)).unwrap();
    bundle
}

/// `brig runtime` by a copy of the program that may be destroyed.
fn by_copy(brig: &Brig, copy: &Path, weaken: &str, arguments: &[&str]) -> Command {
    let mut command = brig.other(copy);
    command.arg("runtime").arg("--root").arg(brig.state()).args(arguments).env("BRIG_WEAKEN", weaken);
    command
}

/// Joins again and again while somebody inside writes to every program that is not a plain payload; answers whether
/// ours was changed.
fn overwritten(brig: &Brig, weaken: &str) -> bool {
    let copy = brig.directory().join("engine");
    fs::copy(brig.program(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&copy);
    }
    let before = fs::read(&copy).unwrap();
    let bundle = bundle(brig, &["probe", "overwrite", "/tmp"]);
    let told = |name: &str| fs::read_to_string(bundle.rootfs().join("tmp").join(name)).unwrap_or_default();
    brig.start("brig-test-overwrite", &bundle);
    let is_changed = || fs::read(&copy).unwrap() != before;
    let mut changed = false;
    for join in 0..JOINS {
        let joined = if join % 2 == 0 {
            join_script(brig, &copy, weaken)
        } else {
            let mut exec = by_copy(brig, &copy, weaken, &["exec", "brig-test-overwrite", "true"]);
            exec.stdin(Stdio::null()).output().map(drop)
        };
        // Who inside has our program open for writing keeps us from executing it: he has won, and writes in a moment.
        let is_open = joined.is_err();
        if let Err(error) = joined {
            assert_eq!(error.kind(), ErrorKind::ExecutableFileBusy, "{error}");
            eventually("a write to our program, which is open for that inside", is_changed);
        }
        changed = is_open || (join % 10 == 9 && is_changed());
        if changed {
            break;
        }
    }
    fs::write(bundle.rootfs().join("tmp/stop"), "").unwrap();
    // It saw the sealed file, so it would have seen ours, and that cannot be written to.
    assert!(told("found").contains("held "), "the attack saw nothing");
    assert_eq!(told("found").contains("written"), changed, "{}", told("found"));
    changed
}

/// The stub executes the script, and the script the stub: it runs in circles until it is ended.
fn join_script(brig: &Brig, copy: &Path, weaken: &str) -> io::Result<()> {
    let file = brig.directory().join("pid");
    let arguments =
        ["exec", "--detach", "--pid-file", file.to_str().unwrap(), "brig-test-overwrite", "/entry"];
    // What stays would keep a pipe open.
    let mut exec = by_copy(brig, copy, weaken, &arguments);
    let status = exec.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let pid = fs::read_to_string(&file).ok().and_then(|text| Pid::from_raw(text.parse().ok()?));
    // Without the stub it has ended already.
    if let Some(process) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
        assert!(status.success(), "{status}");
        pidfd_send_signal(&process, Signal::KILL).ok();
    }
    fs::remove_file(&file).ok();
    Ok(())
}

held!(two_hundred_joins, [root, user] needs [c_compiler()], |brig| {
    assert!(!overwritten(brig, ""));
});

control!(joins_without_the_sealed_stub, Target::Weakened("stub"), [user] needs [c_compiler()], |brig| {
    overwritten(&brig.with_seams(), "stub")
});

// The stub executes the script, the script the stub: it runs in circles inside, until it is killed.
held!(a_script_of_its_own_executor, [root, user] needs [c_compiler()], |brig| {
    let before = fs::read(brig.program()).unwrap();
    brig.start("brig-test-entry", &bundle(brig, &["/entry"]));
    let state: Value = serde_json::from_str(&brig.runtime_ok(&["state", "brig-test-entry"])).unwrap();
    for _ in 0..20 {
        let exe = fs::read_link(format!("/proc/{}/exe", state["pid"])).unwrap();
        assert!(exe.to_string_lossy().starts_with("/memfd:brig-exec"), "{}", exe.display());
    }
    brig.runtime_ok(&["delete", "--force", "brig-test-entry"]);
    assert!(before == fs::read(brig.program()).unwrap(), "our program was changed");
});

control!(a_script_without_the_sealed_stub, Target::Weakened("stub"), [root, user] needs [c_compiler()], |brig| {
    let weak = brig.with_seams();
    // Our program itself runs as the interpreter, and complains of its argument.
    run(&weak, &bundle(&weak, &["/entry"]), "stub").stderr.contains("/entry")
});

control!(joins_without_stub_and_read_only_mount, Target::Weakened("stub,read-only"), [root] needs [c_compiler()], |brig| {
    overwritten(&brig.with_seams(), "stub,read-only")
});

/// What is executed in the container's mount namespace.
fn executed(brig: &Brig, weaken: &str) -> Vec<String> {
    let bundle = brig.bundle("bundle", &["true"]);
    let mut command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-shape"]);
    let (outcome, trace) = shape::trace(command.env("BRIG_WEAKEN", weaken), brig.program(), brig.directory());
    outcome.success();
    trace.executions()
}

held!(the_stub_executes_the_payload, [root] needs [program("strace")], |brig| {
    assert_eq!(executed(brig, ""), ["/memfd:brig-exec", "/bin/true"]);
});

control!(our_program_executes_the_payload, Target::Weakened("stub"), [root] needs [program("strace")], |brig| {
    executed(&brig.with_seams(), "stub") == ["/bin/true"]
});

// Where the defences above do not reach: who shares our user namespace and may trace can look at any process of ours,
// so our program is executed from a read-only mount there.
held!(a_tracer_cannot_write, [root] needs [c_compiler()], |brig| {
    attack::image(brig, "tracer", &[], attack::install_probe);
    let flags =
        ["--userns=host", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined", "--init"];
    // access(path, W_OK): the program is in use yet, so that open(2) would answer ETXTBSY either way.
    let access = ["probe", "sys", "21", "s:/proc/1/exe", "2"];
    assert_eq!(brig.ok(&[&["run", "--rm"], &flags[..], &["tracer"], &access].concat()), "-1 30\n");

    let answers = seen_by_a_tracer(&brig.with_seams(), "");
    assert!(answers.iter().all(|line| line.ends_with("-1 30")), "{answers:?}");
});

/// Whether a program is writable (`access` and its errno), of each that a tracer sees and that is no plain payload,
/// while one of ours joins.
fn seen_by_a_tracer(weak: &Brig, weaken: &str) -> Vec<String> {
    let mut bundle = bundle(weak, &["sleep", "1000"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_PTRACE"));
    }
    bundle.write();
    weak.start("brig-test-tracer", &bundle);
    let mut exec = weak.runtime(&["exec", "brig-test-tracer", "true"]);
    let paused = Paused::at(exec.env("BRIG_WEAKEN", weaken), "execute", &weak.directory().join("pause"));
    let script = "for p in /proc/[0-9]*; do echo $(readlink $p/exe) $(probe sys 21 s:$p/exe 2); done";
    let answers = weak.runtime_ok(&["exec", "brig-test-tracer", "sh", "-c", script]);
    let (code, _, stderr) = paused.go();
    assert_eq!(code, Some(0), "{stderr}");
    // The one that is stopped is seen.
    let others: Vec<_> =
        answers.lines().filter(|line| !line.starts_with("/bin/")).map(str::to_owned).collect();
    assert!(!others.is_empty(), "{answers}");
    others
}

control!(a_tracer_without_a_read_only_mount, Target::Weakened("read-only"), [root] needs [c_compiler()], |brig| {
    seen_by_a_tracer(&brig.with_seams(), "read-only").iter().any(|line| line.ends_with(" 0 0"))
});
