//! A neighbour who exchanges two names as fast as it goes, while a program runs in a loop.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tests::escape::race_seconds;

/// How long each name stays, in microseconds: what is looked at and used at once is lost to a fast exchange, what is used
/// some calls later to a slow one.
const PAUSES: [u64; 12] = [0, 0, 0, 0, 0, 10, 0, 0, 50, 100, 0, 200];

/// Exchanges two names until it is dropped, and leaves them as they were.
pub(crate) struct Flipper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flipper {
    pub(crate) fn new(one: &Path, other: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, one, other) = (Arc::clone(&stop), one.to_owned(), other.to_owned());
        let thread = std::thread::spawn(move || {
            let pauses = PAUSES.iter().cycle();
            for pause in pauses.take_while(|_| !told.load(Ordering::Relaxed)) {
                // Twice, so that it ends as it began.
                for _ in 0..2 {
                    exchange(&one, &other);
                    if *pause > 0 {
                        std::thread::sleep(Duration::from_micros(*pause));
                    }
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

/// Exchanges two names.
pub(crate) fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// For how long a race goes on at most.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// The product: for [`race_seconds`].
    Held,
    /// A control: until it has lost, for which it gets long.
    Lost,
}

impl Until {
    fn limit(self) -> Duration {
        match self {
            Self::Held => Duration::from_secs(race_seconds()),
            Self::Lost => Duration::from_secs(race_seconds().max(60)),
        }
    }
}

/// Runs `attempt` again and again, until it answers that it reached something. Answers that, and how often it was run.
pub(crate) fn for_a_while(until: Until, mut attempt: impl FnMut() -> bool) -> (bool, u32) {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < until.limit() {
        count += 1;
        if attempt() {
            return (true, count);
        }
    }
    (false, count)
}

/// Runs a command without waiting in steps, as `testkit::run` does: a race wants many runs.
pub(crate) fn run_at_once(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Two names for one race: a directory `name` in `root`, and beside it a link to `target` under another name.
pub(crate) fn directory_and_link(root: &Path, name: &str, target: &Path) -> (PathBuf, PathBuf) {
    let (directory, link) = (root.join(name), root.join(format!("{name}-link")));
    std::fs::create_dir_all(&directory).unwrap();
    std::os::unix::fs::symlink(target, &link).unwrap();
    (directory, link)
}

/// A race for a bundle that the row's own `$raced` makes: held by our runtime, lost by Debian's runc.
macro_rules! a_race_of_bundles {
    ($raced:ident) => {
        tests::held!(a_race, [root], |brig| {
            let run = |bundle: &testkit::Bundle| {
                brig.runtime(&["run", "--bundle", crate::bundles::at(bundle), "brig-test-race"])
            };
            assert!(!$raced(brig, crate::race::Until::Held, run));
        });

        tests::control!(
            a_race_against_runc,
            tests::escape::Target::Debian("runc", "1.1.5"),
            [root],
            |brig| {
                $raced(brig, crate::race::Until::Lost, |bundle| {
                    let arguments = ["run", "--bundle", crate::bundles::at(bundle), "brig-test-race"];
                    crate::bundles::command_by("runc", brig, &arguments)
                })
            }
        );
    };
}
pub(crate) use a_race_of_bundles;
