//! R32: a terminal shared with the caller: keystrokes pushed into it, also with high bits that a filter which compares
//! all 64 would not know, and keystrokes taken from it.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use testkit::Outcome;
use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::doors::{Door, are_open, are_open_under_podman, assert_closed};

pub(crate) const ROW: Row = Row {
    id: "R32",
    title: "typing into the caller's terminal, or reading what is typed there",
    faults: &["CVE-2016-10124", "CVE-2017-5226", "CVE-2019-7303", "CVE-2019-10063"],
    kinds: &[Kind::Static, Kind::Inside],
    defence: "runtime/src/relay.rs: a terminal or pipes of its own; TIOCSTI and TIOCLINUX refused on the low 32 bits",
};

const DOORS: &[Door] = &[
    ("terminal", "TIOCSTI"),
    ("terminal", "TIOCSTI, high bits set"),
    ("terminal", "TIOCLINUX"),
    ("terminal", "TIOCLINUX, high bits set"),
];

/// TIOCSTI, the same above 32 bits and TIOCLINUX on the container's own terminal: result and errno of each.
fn typed(brig: &Brig, flags: &[&str]) -> String {
    attack::image(brig, "typing", &[], attack::install_probe);
    let calls = ["sys 16 0 0x5412 s:X", "16 0 0x100005412 s:X", "16 0 0x541c b:8"].join(" + ");
    let words: Vec<&str> = calls.split(' ').collect();
    let arguments = [&["run", "--rm", "-t"], flags, &["typing", "probe"], &words].concat();
    brig.run(&arguments).success().replace('\r', "")
}

/// Runs a container whose standard output is a terminal at which somebody types; what it says on standard error.
fn at_a_terminal(brig: &Brig, weaken: &str, script: &str) -> Outcome {
    brig.import_busybox();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = File::options()
        .read(true)
        .write(true)
        .open(ptsname(&master, Vec::new()).unwrap().to_str().unwrap())
        .unwrap();
    let mut terminal = File::from(master);
    let mut command = brig.command(&["run", "--rm", "busybox", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(slave).stderr(Stdio::piped()).env("BRIG_WEAKEN", weaken);
    let child = command.spawn().unwrap();
    terminal.write_all(b"password\n").unwrap();
    let output = child.wait_with_output().unwrap();
    Outcome {
        line: "brig at a terminal".to_owned(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Through its standard output a process reads what is typed at the terminal behind it.
const STEAL: &str = "timeout 2 head -n 1 <&1 >&2; exit 0";

held!(nothing_is_typed, [root, user] needs [c_compiler()], |brig| {
    assert_eq!(typed(brig, &[]), "-1 1\n-1 1\n-1 1\n");
    assert_closed(brig, &["-t"], DOORS);
});

held!(nothing_is_overheard, [root, user], |brig| {
    let outcome = at_a_terminal(brig, "", STEAL);
    assert!(outcome.code == 0 && !outcome.stderr.contains("password"), "{outcome}");
    let outcome =
        at_a_terminal(brig, "", "for fd in 0 1 2; do test -t $fd && echo terminal $fd >&2; done; exit 0");
    assert!(outcome.code == 0 && !outcome.stderr.contains("terminal"), "{outcome}");
});

control!(overheard_through_the_callers_stream, Target::Weakened("streams"), [root, user], |brig| {
    let brig = brig.with_seams();
    at_a_terminal(&brig, "streams", STEAL).stderr.contains("password")
});

control!(typed_without_a_filter, Target::Opened("--security-opt seccomp=unconfined"), [root, user]
    needs [path("/proc/sys/dev/tty/legacy_tiocsti"), c_compiler()], |brig| {
    let unconfined = ["--security-opt=seccomp=unconfined"];
    typed(brig, &unconfined).matches("0 0\n").count() == 2 && are_open(brig, &unconfined, DOORS)
});

control!(typed_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(brig, DOORS)
});
