//! Rows of the attack suite: what is attacked, by whom, and on which vulnerable target the attack is seen to succeed.
//!
//! One file of `tests/escapes/` is one row. It holds a [`Row`] named `ROW`, parts that the product must withstand
//! ([`held!`](crate::held)) and controls, which are the same attack on something vulnerable
//! ([`control!`](crate::control)). A row counts only when a part held, none broke, and a control was shown.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::Need;

use crate::Brig;

/// How an attack is carried out: the kinds of escapes.md section 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// K1: a crafted bundle or image, and canaries on the host.
    Static,
    /// K2: a swap between resolving and using, at a pause point of the test build.
    Race,
    /// K2b: the same swap, as fast as it goes, for [`race_seconds`].
    BruteRace,
    /// K3: which system calls the real program makes.
    Shape,
    /// K4: a hostile program inside the container.
    Inside,
    /// K5: a server that lies.
    Server,
    /// K6: malformed input, with the machine's resources as the oracle.
    Corpus,
}

impl Kind {
    /// The name in escapes.md.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "K1",
            Self::Race => "K2",
            Self::BruteRace => "K2b",
            Self::Shape => "K3",
            Self::Inside => "K4",
            Self::Server => "K5",
            Self::Corpus => "K6",
        }
    }
}

/// One class of escapes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its id in escapes.md, which is the file's name in upper case.
    pub id: &'static str,
    /// What is tried, in a few words.
    pub title: &'static str,
    /// The published faults: CVE, GHSA, RUSTSEC or GO ids.
    pub faults: &'static [&'static str],
    /// How it is tried.
    pub kinds: &'static [Kind],
    /// What ends the whole class, and in which file: `runtime/src/child/root.rs: ...`.
    pub defence: &'static str,
}

/// What an attack is seen to succeed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The test build without this defence (`BRIG_WEAKEN`).
    Weakened(&'static str),
    /// Debian 12's program in this version, which lacks the fix.
    Debian(&'static str, &'static str),
    /// The product with a flag, or a bundle, that opens on purpose what is tried.
    Opened(&'static str),
    /// The bare host, or another program that has no such defence.
    Unconfined(&'static str),
}

impl Target {
    fn need(self) -> Option<Need> {
        match self {
            Self::Debian(name, version) => Some(Need::Version(name, version)),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weakened(defence) => write!(out, "test build without `{defence}`"),
            Self::Debian(name, version) => write!(out, "{name} {version}"),
            Self::Opened(flag) => write!(out, "opened by `{flag}`"),
            Self::Unconfined(what) => write!(out, "{what}"),
        }
    }
}

/// Who attacks, and what that needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Root.
    Root,
    /// A fresh user with 65,536 subordinate ids.
    User,
    /// A fresh user with no id but their own.
    Bare,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
            Self::Bare => "bare",
        }
    }

    const fn needs(self) -> &'static [Need] {
        match self {
            Self::Root => &[Need::Root, Need::Program("busybox")],
            Self::User => &[Need::UserWithSubids, Need::Userns, Need::Program("busybox")],
            Self::Bare => &[Need::UserWithoutSubids, Need::Userns, Need::Program("busybox")],
        }
    }

    fn brig(self) -> Brig {
        match self {
            Self::Root => Brig::root(),
            Self::User => Brig::user(),
            Self::Bare => Brig::bare(),
        }
    }
}

/// How long a brute race goes on: `BRIG_RACE_SECONDS`, else 3; `cargo xtask escapes` says 30.
#[must_use]
pub fn race_seconds() -> u64 {
    std::env::var("BRIG_RACE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// How often a control is tried before it counts as not shown.
const CONTROL_TRIES: u32 = 3;

/// Runs one part of a row as a test: skipped and counted where a need is unmet, recorded in `BRIG_ESCAPES`.
///
/// `attack` answers whether the attack succeeded; of the product that is a failure, of a control its absence is.
///
/// # Panics
/// When the attack did what it should not have.
pub fn part(
    row: &Row,
    test: &str,
    who: Who,
    target: Option<Target>,
    needs: &[Need],
    attack: fn(&Brig) -> bool,
) {
    let mut record = Record::start(row, test, who, target);
    let all: Vec<Need> =
        who.needs().iter().chain(needs).copied().chain(target.and_then(Target::need)).collect();
    if let Some(unmet) = all.iter().find(|need| !need.is_met()) {
        record.result = format!("skipped: needs {unmet}");
        assert!(!testkit::needs(&format!("{test}::{}", who.name()), &all));
        return;
    }
    let succeeded = match target {
        None => attack(&who.brig()),
        // Many are races: the attack has to win once. What the product withstands, it withstands the first time.
        Some(_) => {
            (0..CONTROL_TRIES).any(|_| std::panic::catch_unwind(|| attack(&who.brig())).unwrap_or(false))
        }
    };
    match target {
        None => assert!(!succeeded, "{}: the attack succeeded", row.id),
        Some(target) => {
            assert!(succeeded, "{}: the attack does not succeed on {target}: the row shows nothing", row.id);
        }
    }
    record.result = (if target.is_some() { "shown" } else { "held" }).to_owned();
}

/// Two lines of `BRIG_ESCAPES` for each part: one when it starts, so that a part that is killed is not forgotten, and
/// one when it ends, however it ends. The last one counts.
struct Record {
    line: Value,
    start: Instant,
    result: String,
}

impl Record {
    fn start(row: &Row, test: &str, who: Who, target: Option<Target>) -> Self {
        let kinds: Vec<_> = row.kinds.iter().map(|kind| kind.name()).collect();
        let line = json!({
            "id": row.id, "title": row.title, "faults": row.faults, "kinds": kinds, "defence": row.defence,
            "part": test.rsplit("::").next(), "who": who.name(), "target": target.map(|target| target.to_string()),
        });
        let result = if target.is_some() { "not shown" } else { "BROKEN" };
        let record = Self { line, start: Instant::now(), result: result.to_owned() };
        record.write();
        record
    }

    fn write(&self) {
        let Some(path) = std::env::var_os("BRIG_ESCAPES") else { return };
        let mut line = self.line.clone();
        line["result"] = json!(self.result);
        line["seconds"] = json!(self.start.elapsed().as_secs_f64());
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("BRIG_ESCAPES");
        // One write each: the tests are processes of their own and share the file.
        file.write_all(format!("{line}\n").as_bytes()).expect("BRIG_ESCAPES");
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.write();
    }
}

/// Declares a part that the product withstands: `held!(name, [root, user], |brig| { ... });`, or with needs of its
/// own `held!(name, [root] needs [c_compiler(), program("strace")], |brig| { ... });`.
///
/// The body panics, by its own assertions, when the attack reached anything.
#[macro_export]
macro_rules! held {
    ($name:ident, [$($who:ident),+] $(needs [$($need:expr),+])?, |$brig:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports, reason = "a part may use only its argument")]
            use super::*;
            #[allow(unused_imports, reason = "most parts need nothing more")]
            use ::testkit::constructors::*;
            fn part_of_the_row($brig: &$crate::Brig) -> bool { $body; false }
            const TARGET: Option<$crate::escape::Target> = None;
            const NEEDS: &[::testkit::Need] = &[$($($need),+)?];
            $($crate::held!(@ $who);)+
        }
    };
    (@ root) => {
        #[test]
        fn root() {
            $crate::escape::part(&super::ROW, module_path!(), $crate::escape::Who::Root, TARGET, NEEDS, part_of_the_row);
        }
    };
    (@ user) => {
        #[test]
        fn user() {
            $crate::escape::part(&super::ROW, module_path!(), $crate::escape::Who::User, TARGET, NEEDS, part_of_the_row);
        }
    };
    (@ bare) => {
        #[test]
        fn bare() {
            $crate::escape::part(&super::ROW, module_path!(), $crate::escape::Who::Bare, TARGET, NEEDS, part_of_the_row);
        }
    };
}

/// Declares a control: `control!(name, Target::Weakened("root"), [root], |brig| { ... });`. The body answers whether
/// the attack succeeded, and must.
#[macro_export]
macro_rules! control {
    ($name:ident, $target:expr, [$($who:ident),+] $(needs [$($need:expr),+])?, |$brig:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports, reason = "a part may use only its argument")]
            use super::*;
            #[allow(unused_imports, reason = "most parts need nothing more")]
            use ::testkit::constructors::*;
            fn part_of_the_row($brig: &$crate::Brig) -> bool $body
            const TARGET: Option<$crate::escape::Target> = Some($target);
            const NEEDS: &[::testkit::Need] = &[$($($need),+)?];
            $($crate::held!(@ $who);)+
        }
    };
}
