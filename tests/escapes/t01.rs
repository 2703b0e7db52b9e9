//! T1: names and links of an archive that lead out of the directory it is unpacked into.

use std::collections::BTreeSet;
use std::process::Command;

use testkit::find_program;
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::archives::{BOTH, PYTHON, Tar, gnu_tar, hold, import, python, write};

pub(crate) const ROW: Row = Row {
    id: "T1",
    title: "archive entries that lead out of the layer",
    faults: &[
        "CVE-2014-6407",
        "CVE-2014-9356",
        "CVE-2015-3627",
        "CVE-2018-15664",
        "CVE-2021-21272",
        "CVE-2021-29136",
        "CVE-2026-50162",
        "CVE-2026-50163",
    ],
    kinds: &[Kind::Static, Kind::Corpus, Kind::Shape],
    defence: "archive/src/directories.rs: one name at a time by openat2 without links; archive/src/confine.rs: \
              Landlock lets nothing else be opened",
};

fn archives(canary: &Canary) -> Vec<(&'static str, Vec<u8>)> {
    let out = canary.path().to_str().unwrap();
    let climb = format!("{}{}", "../".repeat(24), &out[1..]);
    let inner = |name: &str| format!("{out}/{name}");
    let pax = |name: &str| Tar::new().pax(&[(b"path", name.as_bytes())]).file("x", "evil").end();
    let link = |key: &'static [u8], target: &str, kind: fn(Tar) -> Tar| {
        kind(Tar::new().pax(&[(key, target.as_bytes())])).file("l", "evil").end()
    };
    let through = |target: &str| Tar::new().pax(&[(b"linkpath", target.as_bytes())]).symlink("l", "x");
    vec![
        ("a name that climbs", pax(&format!("{climb}/new"))),
        ("a name that climbs in the middle", pax(&format!("a/{climb}/new"))),
        ("a climbing name by GNU's header", {
            Tar::new().extension(b'L', format!("{climb}/new\0")).file("x", "evil").end()
        }),
        ("an absolute name", pax(&inner("new"))),
        ("an absolute name with slashes", pax(&format!("//{out}//new"))),
        ("a link, then a file through it", through(out).file("l/new", "evil").end()),
        ("a link, then a file that exists through it", through(out).file("l/secret", "evil").end()),
        ("a climbing link, then a file through it", through(&climb).file("l/new", "evil").end()),
        ("a link, then a directory through it", through(out).dir("l/new").end()),
        ("a link, then a link through it", through(out).symlink("l/new", "x").end()),
        ("a link, then a pipe through it", {
            through(out).header(crate::archives::Header::new("l/new", b'6')).end()
        }),
        ("a link, then a directory in its place, then a file", {
            through(out).dir("l").file("l/new", "evil").end()
        }),
        ("two links, then a file", through(out).symlink("m", "l").file("m/new", "evil").end()),
        ("a link deep down", {
            Tar::new()
                .dir("a")
                .dir("a/b")
                .pax(&[(b"linkpath", out.as_bytes())])
                .symlink("a/b/c", "x")
                .file("a/b/c/new", "")
                .end()
        }),
        ("a file through a link to a file", through(&inner("secret")).file("l", "evil").end()),
        (
            "a hard link outside, then its content",
            link(b"linkpath", &inner("secret"), |t| t.hard_link("l", "x")),
        ),
        ("a climbing hard link, then its content", {
            link(b"linkpath", &format!("{climb}/secret"), |t| t.hard_link("l", "x"))
        }),
        ("a hard link through a link", through(out).hard_link("h", "l/secret").file("h", "evil").end()),
        ("a hard link to a link, then a file through it", {
            through(out).hard_link("h", "l").file("h/new", "evil").end()
        }),
        ("the root as a link", {
            Tar::new().pax(&[(b"linkpath", out.as_bytes())]).symlink(".", "x").file("new", "evil").end()
        }),
        ("the root as a link with a slash", {
            Tar::new().pax(&[(b"linkpath", out.as_bytes())]).symlink("./", "x").file("./new", "evil").end()
        }),
        ("a magic link of procfs", {
            let root = format!("/proc/self/root{out}");
            Tar::new().pax(&[(b"linkpath", root.as_bytes())]).symlink("l", "x").file("l/new", "").end()
        }),
    ]
}

held!(nothing_is_written_outside, [root, user, bare], |brig| {
    hold(brig, "", archives);
});

held!(resolution_holds_without_confinement, [root, user], |brig| {
    hold(&brig.with_seams(), "unpack-confinement", archives);
});

held!(confinement_holds_without_resolution, [root, user], |brig| {
    hold(&brig.with_seams(), "unpack-resolution", archives);
});

/// Whether a process reads the staged layer, more of it than its first bytes, before Landlock and a filter confine it,
/// or opens anything by a path from its working directory afterwards.
fn parses_unconfined(brig: &Brig, weaken: &str) -> bool {
    let path = write(brig, &Tar::new().dir("d").file("d/f", "content").end());
    let command = brig.command(&["import", path.to_str().unwrap(), "attack"]);
    let mut traced = Command::new(find_program("strace").unwrap());
    traced.args([
        "-f",
        "-qq",
        "-y",
        "-e",
        "trace=read,pread64,openat,openat2,seccomp,landlock_restrict_self",
    ]);
    traced.args(["-E", &format!("BRIG_WEAKEN={weaken}")]).arg(command.get_program()).args(command.get_args());
    let outcome = testkit::run(&mut traced);
    assert_eq!(outcome.code, 0, "{outcome}");
    let (mut landlocked, mut filtered, mut reads) = (BTreeSet::new(), BTreeSet::new(), 0);
    for line in outcome.stderr.lines() {
        let (process, call) =
            line.strip_prefix("[pid").and_then(|rest| rest.split_once("] ")).unwrap_or(("", line));
        let process = process.trim();
        let result: i64 = call
            .rsplit("= ")
            .next()
            .and_then(|text| text.split(['<', ' ']).next()?.parse().ok())
            .unwrap_or(-1);
        if call.starts_with("landlock_restrict_self(") && result == 0 {
            landlocked.insert(process);
        } else if call.starts_with("seccomp(SECCOMP_SET_MODE_FILTER") && result == 0 {
            filtered.insert(process);
        } else if call.contains("open") && filtered.contains(process) && call.contains("AT_FDCWD") {
            return true;
        } else if call.contains("read") && call.contains("/ingest/") && call.contains("/part-") && result > 4
        {
            if !landlocked.contains(process) || !filtered.contains(process) {
                return true;
            }
            reads += 1;
        }
    }
    assert!(reads > 0, "nobody reads the layer: {outcome}");
    false
}

held!(what_parses_is_confined_before_it_reads, [root] needs [program("strace")], |brig| {
    assert!(!parses_unconfined(brig, ""));
});

control!(reads_unconfined, Target::Weakened("unpack-confinement"), [root] needs [program("strace")], |brig| {
    parses_unconfined(&brig.with_seams(), "unpack-confinement")
});

control!(without_both, Target::Weakened(BOTH), [root, user], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    archives(&canary).iter().any(|(_, bytes)| {
        drop(import(&weak, bytes, BOTH));
        !canary.changes().is_empty()
    })
});

control!(python_writes_through_links, PYTHON, [root] needs [program("python3")], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    archives(&canary).iter().any(|(_, bytes)| {
        drop(python(brig, bytes));
        !canary.changes().is_empty()
    })
});

control!(tar_takes_absolute_names, Target::Unconfined("GNU tar -P"), [root], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    archives(&canary).iter().any(|(_, bytes)| {
        drop(gnu_tar(brig, &["-P"], bytes));
        !canary.changes().is_empty()
    })
});
