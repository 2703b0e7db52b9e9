//! Which ids a user's text became.

use testkit::{Bundle, Outcome};
use tests::Brig;

use crate::bundles::{at, command_by};

/// What is no id, and has been taken for one: usually for 0.
pub(crate) const NO_IDS: [&str; 16] = [
    "4294967295",
    "4294967296",
    "4294967297",
    "8589934592",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "-4294967296",
    "+0",
    "0x0",
    " 0",
    "0 ",
    "1e3",
    "00",
    "0:4294967296",
    "0:-1",
];

/// User and group id, when the command that prints them ran.
pub(crate) fn ids(outcome: &Outcome) -> Option<(u32, u32)> {
    let mut lines = outcome.stdout.lines();
    (outcome.code == 0).then(|| Some((lines.next()?.parse().ok()?, lines.next()?.parse().ok()?)))?
}

/// `exec --user` in a container that runs.
pub(crate) fn exec_as(brig: &Brig, id: &str, user: &str) -> Outcome {
    brig.runtime_run(&["exec", "--user", user, id, "sh", "-c", "id -u; id -g"])
}

/// The same in a container of Debian's `program`, for each of `users`; the container is gone afterwards.
pub(crate) fn exec_by(program: &str, brig: &Brig, bundle: &Bundle, users: &[&str]) -> Vec<Outcome> {
    let id = format!("brig-test-user-{program}");
    let mut create = command_by(program, brig, &["run", "--detach", "--bundle", at(bundle), &id]);
    testkit::run_detached(&mut create).success();
    let exec = |user: &&str| {
        let words = ["exec", "--user", user, &id, "sh", "-c", "id -u; id -g"];
        testkit::run(&mut command_by(program, brig, &words))
    };
    let outcomes = users.iter().map(exec).collect();
    testkit::run(&mut command_by(program, brig, &["delete", "--force", &id])).success();
    outcomes
}
