//! Whether a container works: the states that checks lead to, kept in `health.json`.
//!
//! A check is a process of its own, `brig healthcheck run`, started by a person or by the container's monitor. What
//! follows from its result is decided here, without doing it.

mod probe;

use std::os::fd::{AsFd, BorrowedFd};

use files::atomic::{self, Durability};
use oci::Moment;
use serde::{Deserialize, Serialize};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::record::Health;
use crate::value::name::ContainerId;

/// File in a container's directory.
const FILE: &str = "health.json";
/// Most bytes of it.
const MAX: u64 = 1 << 20;
/// File that is locked while a result is taken in.
const LOCK: &str = "health.lock";
/// How many results are kept: docker's number.
const KEPT: usize = 5;
/// Most bytes of a check's output that are kept: docker's number.
pub const MAX_OUTPUT: usize = 4096;

/// What checks say about a container, in docker's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No check said yet that it works.
    #[default]
    Starting,
    /// The last check succeeded.
    Healthy,
    /// As many in a row as `retries` failed.
    Unhealthy,
}

impl Status {
    /// Docker's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What is kept: docker's `State.Health`, and how far the startup check is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthState {
    /// What the checks said.
    pub status: Status,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last results, oldest first.
    pub log: Vec<Outcome>,
    /// Whether the startup check succeeded as often as it must.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// Successes in a row of the startup check.
    #[serde(skip_serializing_if = "is_zero")]
    pub startup_successes: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Outcome {
    /// When it started, RFC 3339.
    pub start: String,
    /// When it ended.
    pub end: String,
    /// Its exit code; -1 where it took too long.
    pub exit_code: i32,
    /// The first bytes of what it said.
    pub output: String,
}

/// What follows from a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The status is another one now.
    pub changed: bool,
    /// What `--health-on-failure` says is to be done, or the startup check has failed too often.
    pub act: Option<Act>,
    /// The next check comes after the start's interval.
    pub is_starting: bool,
}

/// What is done to a container that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is killed; its restart policy sees a failure.
    Kill,
    /// It is started again, whatever its policy.
    Restart,
    /// It is stopped.
    Stop,
}

impl HealthState {
    /// Reads it; a container without the file was not checked yet.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn read(container: BorrowedFd<'_>) -> Result<Self> {
        let bytes = files::root::read_bounded(container, FILE, MAX)?.unwrap_or_default();
        // What cannot be read is of a start that a power cut met: the next check writes it anew.
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn write(&self, container: BorrowedFd<'_>) -> Result<()> {
        let bytes = serde_json::to_vec(self).expect("strings and numbers");
        Ok(atomic::write(container, FILE, &bytes, 0o600, Durability::Volatile)?)
    }

    /// Whether the next check is the startup check.
    #[must_use]
    pub fn is_startup(&self, health: &Health) -> bool {
        health.startup.is_some() && !self.started
    }

    /// Takes a result in. `age` is how many nanoseconds after the container's start the check started.
    pub fn take(&mut self, health: &Health, outcome: Outcome, age: i64) -> Verdict {
        let before = self.status;
        let is_good = outcome.exit_code == 0;
        let mut act = None;
        if self.is_startup(health) {
            act = self.take_startup(health, is_good);
        } else if is_good {
            self.failing_streak = 0;
            self.status = Status::Healthy;
        } else if self.status != Status::Starting || age >= health.start_period {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= health.retries {
                self.status = Status::Unhealthy;
                // At every failure from then on, as podman: a kill may have been refused.
                act = match health.on_failure.as_str() {
                    "kill" => Some(Act::Kill),
                    "restart" => Some(Act::Restart),
                    "stop" => Some(Act::Stop),
                    _ => None,
                };
            }
        }
        self.log.push(outcome);
        if self.log.len() > KEPT {
            self.log.drain(..self.log.len() - KEPT);
        }
        let in_start_period = self.status == Status::Starting && age < health.start_period;
        Verdict {
            changed: self.status != before,
            act,
            is_starting: self.is_startup(health) || in_start_period,
        }
    }

    fn take_startup(&mut self, health: &Health, is_good: bool) -> Option<Act> {
        let startup = health.startup.as_ref()?;
        if is_good {
            (self.startup_successes, self.failing_streak) = (self.startup_successes.saturating_add(1), 0);
            self.started = self.startup_successes >= startup.successes;
            return None;
        }
        (self.startup_successes, self.failing_streak) = (0, self.failing_streak.saturating_add(1));
        (startup.retries > 0 && self.failing_streak >= startup.retries).then_some(Act::Restart)
    }
}

/// A check that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its result.
    pub outcome: Outcome,
    /// What the container's state is with it.
    pub state: HealthState,
    /// What follows.
    pub verdict: Verdict,
}

/// Checks a container that runs, and keeps the result.
///
/// # Errors
/// [`Error::NoHealthcheck`], [`Error::NotRunning`], and what the system says. A check that fails is no error.
pub fn check(containers: &Containers<'_>, id: &ContainerId) -> Result<Checked> {
    let record = containers.record(id)?.ok_or_else(|| Error::NoContainer { name: id.short().to_owned() })?;
    let health = record.health.ok_or_else(|| Error::NoHealthcheck { id: id.short().to_owned() })?;
    let before = containers.state(id)?;
    if before.status != crate::state::Status::Running {
        return Err(Error::NotRunning { id: id.short().to_owned() });
    }
    let directory = containers.directory_of(id)?;
    let state = HealthState::read(directory.as_fd())?;
    let (test, timeout) = match &health.startup {
        Some(startup) if state.is_startup(&health) => (&startup.test, startup.timeout),
        _ => (&health.test, health.timeout),
    };
    let age = age(&before.started, Moment::now());
    let outcome = probe::run(containers, id, words(test, &health.shell), timeout)?;
    // Another check may have ended meanwhile: each result counts.
    let _lock = files::lock::exclusive(files::lock::open(directory.as_fd(), LOCK)?)?;
    if containers.state(id)?.started != before.started {
        // It was of a start that is over.
        return Err(Error::NotRunning { id: id.short().to_owned() });
    }
    let mut state = HealthState::read(directory.as_fd())?;
    let verdict = state.take(&health, outcome.clone(), age);
    state.write(directory.as_fd())?;
    Ok(Checked { outcome, state, verdict })
}

fn words(test: &[String], shell: &[String]) -> Vec<String> {
    match test.split_first() {
        Some((kind, line)) if kind == "CMD-SHELL" => [shell, line].concat(),
        Some((_, words)) => words.to_vec(),
        None => Vec::new(),
    }
}

/// Forgets what checks said, and when the monitor of an earlier start was told to check: the container is started.
///
/// # Errors
/// [`Error::Files`].
pub fn reset(container: BorrowedFd<'_>) -> Result<()> {
    atomic::remove(container, FILE, Durability::Volatile)?;
    atomic::remove(container, monitor::health::SCHEDULE, Durability::Volatile)?;
    Ok(())
}

/// When the monitor checks.
#[must_use]
pub fn schedule(health: &Health) -> monitor::health::Schedule {
    let milliseconds = |nanoseconds: i64| (nanoseconds / 1_000_000).max(1);
    let usual = milliseconds(health.interval);
    let eager = match &health.startup {
        Some(startup) => milliseconds(startup.interval),
        None if health.start_period > 0 => milliseconds(health.start_interval),
        None => usual,
    };
    monitor::health::Schedule { eager, usual }
}

/// How long after a container's start a moment is, in nanoseconds; a start that cannot be read was long ago.
#[must_use]
pub fn age(started: &str, now: Moment) -> i64 {
    let Some(started) = Moment::parse(started) else { return i64::MAX };
    (now.seconds - started.seconds)
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(now.nanoseconds) - i64::from(started.nanoseconds))
}

/// The first bytes of a check's output as text, as docker cuts it.
#[must_use]
pub fn output(bytes: &[u8]) -> String {
    if bytes.len() <= MAX_OUTPUT {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    format!("{}...", String::from_utf8_lossy(&bytes[..MAX_OUTPUT]))
}

impl From<Act> for &'static str {
    fn from(act: Act) -> Self {
        match act {
            Act::Kill => "kill",
            Act::Restart => "restart",
            Act::Stop => "stop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Startup;

    fn health() -> Health {
        Health { test: vec!["CMD".into(), "/check".into()], retries: 2, interval: 1, ..Health::default() }
    }

    fn outcome(exit_code: i32) -> Outcome {
        Outcome { start: "s".into(), end: "e".into(), exit_code, output: String::new() }
    }

    /// Each result, when it came, and the status and streak it leads to.
    fn check(health: &Health, steps: &[(i32, i64, Status, u32, Option<Act>)]) {
        let mut state = HealthState::default();
        for (at, (code, age, status, streak, act)) in steps.iter().enumerate() {
            let before = state.status;
            let verdict = state.take(health, outcome(*code), *age);
            assert_eq!(
                (state.status, state.failing_streak, verdict.act),
                (*status, *streak, *act),
                "step {at}"
            );
            assert_eq!(verdict.changed, before != *status, "step {at}");
        }
    }

    #[test]
    fn failures_in_a_row_count() {
        use Status::{Healthy, Starting, Unhealthy};
        let steps = [
            (1, 0, Starting, 1, None),
            (0, 0, Healthy, 0, None),
            (1, 0, Healthy, 1, None),
            (-1, 0, Unhealthy, 2, None),
            (1, 0, Unhealthy, 3, None),
            (0, 0, Healthy, 0, None),
        ];
        check(&health(), &steps);
    }

    #[test]
    fn not_in_the_start_period() {
        use Status::{Healthy, Starting, Unhealthy};
        let health = Health { start_period: 100, on_failure: "kill".into(), ..health() };
        let steps = [
            (1, 0, Starting, 0, None),
            (1, 99, Starting, 0, None),
            (1, 100, Starting, 1, None),
            (1, 101, Unhealthy, 2, Some(Act::Kill)),
            (1, 102, Unhealthy, 3, Some(Act::Kill)),
        ];
        check(&health, &steps);
        // It ends with the first success.
        check(
            &health,
            &[(0, 0, Healthy, 0, None), (1, 1, Healthy, 1, None), (1, 2, Unhealthy, 2, Some(Act::Kill))],
        );
        let mut state = HealthState::default();
        assert!(state.take(&health, outcome(1), 99).is_starting);
        assert!(!state.take(&health, outcome(1), 100).is_starting);
    }

    #[test]
    fn the_startup_check_comes_first() {
        use Status::{Healthy, Starting};
        let startup = Startup { retries: 2, successes: 2, ..Startup::default() };
        let health = Health { startup: Some(startup), ..health() };
        let steps = [
            (1, 0, Starting, 1, None),
            (0, 0, Starting, 0, None),
            (1, 0, Starting, 1, None),
            (1, 0, Starting, 2, Some(Act::Restart)),
            (0, 0, Starting, 0, None),
            (0, 0, Starting, 0, None),
            (0, 0, Healthy, 0, None),
        ];
        check(&health, &steps);
    }

    #[test]
    fn five_results_are_kept_as_docker_names_them() {
        let mut state = HealthState::default();
        for code in 0..9 {
            state.take(&health(), outcome(code), 0);
        }
        let codes: Vec<_> = state.log.iter().map(|outcome| outcome.exit_code).collect();
        assert_eq!(codes, [4, 5, 6, 7, 8]);
        state.log.truncate(1);
        let expected = r#"{"Status":"unhealthy","FailingStreak":8,"Log":[{"Start":"s","End":"e","ExitCode":4,"Output":""}]}"#;
        assert_eq!(serde_json::to_string(&state).unwrap(), expected);
        let base = testkit::TempDir::new();
        let directory = ::files::open_directory(base.path()).unwrap();
        use std::os::fd::AsFd;
        assert_eq!(HealthState::read(directory.as_fd()).unwrap(), HealthState::default());
        state.write(directory.as_fd()).unwrap();
        assert_eq!(HealthState::read(directory.as_fd()).unwrap(), state);
        reset(directory.as_fd()).unwrap();
        reset(directory.as_fd()).unwrap();
        assert_eq!(HealthState::read(directory.as_fd()).unwrap(), HealthState::default());
    }

    #[test]
    fn output_is_cut() {
        assert_eq!(output(b"ok\n"), "ok\n");
        assert_eq!(output(&[b'x'; 5000]), format!("{}...", "x".repeat(4096)));
    }
}
