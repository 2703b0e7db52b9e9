//! What the built-in `hello` finds open from inside: the suite's probe of the kernel's dangerous calls and files.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use tests::Brig;

use crate::engines::{forget_podman, podman_run};

/// Everything that guards the kernel left out, as far as the caller may.
pub(crate) const WIDE: [&str; 3] = ["--userns=host", "--cap-add=ALL", "--security-opt=seccomp=unconfined"];

/// A row of the report: its group and its name.
pub(crate) type Door = (&'static str, &'static str);

/// Runs `hello` with these flags; the verdict of each row, `closed`, `open` or `info`.
pub(crate) fn verdicts(brig: &Brig, flags: &[&str]) -> BTreeMap<(String, String), String> {
    parse(&brig.ok(&[&["run", "--rm"], flags, &["hello", "--json"]].concat()))
}

/// Whether each door is open to the same program in a container of podman with its default profile.
pub(crate) fn are_open_under_podman(brig: &Brig, doors: &[Door]) -> bool {
    let root = brig.directory().join("root");
    for name in ["", "dev", "etc", "proc", "run", "sys", "tmp"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    // The program looks at its name.
    fs::copy(testkit::brig(), root.join("hello")).unwrap();
    let image = root.to_str().unwrap();
    let outcome = podman_run(brig, image, &["--rootfs"], &["/hello", "--json"]);
    forget_podman(brig);
    let closed = others(&parse(&outcome.stdout), doors, "open");
    println!("not open: {closed:?} {}", outcome.stderr);
    closed.is_empty()
}

fn parse(report: &str) -> BTreeMap<(String, String), String> {
    let report: Value = serde_json::from_str(report).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = report["rows"].as_array().unwrap();
    rows.iter().map(|row| ((text(row, "group"), text(row, "name")), text(row, "verdict"))).collect()
}

/// Those of the doors that are not as expected.
pub(crate) fn others(
    found: &BTreeMap<(String, String), String>,
    doors: &[Door],
    expected: &str,
) -> Vec<String> {
    let verdict = |(group, name): &Door| found.get(&((*group).to_owned(), (*name).to_owned())).cloned();
    let differ = doors.iter().filter(|door| verdict(door).as_deref() != Some(expected));
    differ.map(|door| format!("{door:?} is {:?}", verdict(door))).collect()
}

/// Fails unless each door is closed.
pub(crate) fn assert_closed(brig: &Brig, flags: &[&str], doors: &[Door]) {
    let open = others(&verdicts(brig, flags), doors, "closed");
    assert!(open.is_empty(), "{flags:?}: {open:?}");
}

/// Whether each door is open with these flags.
pub(crate) fn are_open(brig: &Brig, flags: &[&str], doors: &[Door]) -> bool {
    let closed = others(&verdicts(brig, flags), doors, "open");
    // Shown where the control fails.
    println!("not open: {closed:?}");
    closed.is_empty()
}

/// The parts of a row whose doors are closed by default, under both profiles; and open to root with everything given, and
/// to a user without the filter.
macro_rules! closed_by_default {
    ($closed:expr, opened to root: $built:expr, to a user: $free:expr) => {
        tests::held!(closed_by_default, [root, user, bare], |brig| {
            crate::doors::assert_closed(brig, &[], $closed);
            crate::doors::assert_closed(brig, &["--profile=strict"], $closed);
        });

        tests::control!(
            open_without_filter_and_namespace,
            tests::escape::Target::Opened("--userns=host --cap-add=ALL seccomp=unconfined"),
            [root],
            |brig| { crate::doors::are_open(brig, &crate::doors::WIDE, $built) }
        );

        tests::control!(
            open_without_filter,
            tests::escape::Target::Opened("--security-opt seccomp=unconfined"),
            [user],
            |brig| { crate::doors::are_open(brig, &["--security-opt=seccomp=unconfined"], $free) }
        );
    };
}
pub(crate) use closed_by_default;
