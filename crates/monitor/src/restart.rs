//! Whether and when a container that ended is started again. Pure; docker's rules and times.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);
/// The longest: each is twice the one before.
const LONGEST: Duration = Duration::from_secs(60);
/// A container that ran so long waits as if it had never failed.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// When a container that ended by itself is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// When its exit code was not 0.
    OnFailure {
        /// At most so often; 0 is without end.
        maximum: u32,
    },
    /// Whenever it ended, and at boot.
    Always,
    /// As `always`, but not at boot when it was stopped before.
    UnlessStopped,
}

/// A policy that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl FromStr for Policy {
    type Err = UnknownPolicy;

    /// `no`, `on-failure[:TIMES]`, `always`, `unless-stopped`; an empty text is `no`.
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let (name, times) = match text.split_once(':') {
            Some((name, times)) => (name, Some(times)),
            None => (text, None),
        };
        match (name, times) {
            ("" | "no", None) => Ok(Self::No),
            ("always", None) => Ok(Self::Always),
            ("unless-stopped", None) => Ok(Self::UnlessStopped),
            ("on-failure", None) => Ok(Self::OnFailure { maximum: 0 }),
            ("on-failure", Some(times)) => {
                times.parse().map(|maximum| Self::OnFailure { maximum }).map_err(|_| UnknownPolicy)
            }
            _ => Err(UnknownPolicy),
        }
    }
}

impl Policy {
    /// Its name without the number.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure { .. } => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// How often at most; 0 is without end, or not at all.
    #[must_use]
    pub fn maximum(self) -> u32 {
        if let Self::OnFailure { maximum } = self { maximum } else { 0 }
    }

    /// Whether a container that is not running is started when the machine was.
    #[must_use]
    pub fn starts_at_boot(self, stopped_by_user: bool) -> bool {
        match self {
            Self::Always => true,
            Self::UnlessStopped => !stopped_by_user,
            Self::No | Self::OnFailure { .. } => false,
        }
    }
}

impl fmt::Display for Policy {
    /// As [`Self::from_str`] reads it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure { maximum } if *maximum > 0 => write!(formatter, "on-failure:{maximum}"),
            other => formatter.write_str(other.name()),
        }
    }
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its exit code, or 128 and a signal.
    pub code: i32,
    /// Whether somebody stopped it: no policy overrules that.
    pub stopped: bool,
    /// How long it ran.
    pub ran_for: Duration,
    /// How often it was started again since a person started it.
    pub restarts: u32,
    /// How long the last wait was; zero where there was none.
    pub waited: Duration,
}

/// How long to wait before the next start; none where there is none.
#[must_use]
pub fn wait(policy: Policy, end: &End) -> Option<Duration> {
    let restarts = !end.stopped
        && match policy {
            Policy::No => false,
            Policy::Always | Policy::UnlessStopped => true,
            Policy::OnFailure { maximum } => end.code != 0 && (maximum == 0 || end.restarts < maximum),
        };
    let is_first = end.waited.is_zero() || end.ran_for >= GOOD_RUN;
    let wait = if is_first { FIRST } else { end.waited.saturating_mul(2).min(LONGEST) };
    restarts.then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_and_written() {
        for (text, expected) in [
            ("", Some(Policy::No)),
            ("no", Some(Policy::No)),
            ("always", Some(Policy::Always)),
            ("unless-stopped", Some(Policy::UnlessStopped)),
            ("on-failure", Some(Policy::OnFailure { maximum: 0 })),
            ("on-failure:5", Some(Policy::OnFailure { maximum: 5 })),
            ("on-failure:", None),
            ("on-failure:-1", None),
            ("on-failure:5000000000", None),
            ("always:2", None),
            ("Always", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text:?}");
            if let Some(policy) = expected.filter(|_| !text.is_empty()) {
                assert_eq!(policy.to_string(), text);
            }
        }
    }

    #[test]
    fn who_is_started_again() {
        const FAILURE: Policy = Policy::OnFailure { maximum: 2 };
        for (policy, code, stopped, restarts, expected) in [
            (Policy::No, 1, false, 0, false),
            (Policy::Always, 0, false, 0, true),
            (Policy::Always, 137, false, 1000, true),
            (Policy::Always, 0, true, 0, false),
            (Policy::UnlessStopped, 0, false, 0, true),
            (Policy::UnlessStopped, 1, true, 0, false),
            (Policy::OnFailure { maximum: 0 }, 1, false, 1000, true),
            (Policy::OnFailure { maximum: 0 }, 0, false, 0, false),
            (FAILURE, 1, false, 1, true),
            (FAILURE, 1, false, 2, false),
            (FAILURE, 1, true, 0, false),
        ] {
            let end = End { code, stopped, ran_for: Duration::ZERO, restarts, waited: Duration::ZERO };
            assert_eq!(wait(policy, &end).is_some(), expected, "{policy:?} {end:?}");
        }
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let mut end =
            End { code: 1, stopped: false, ran_for: Duration::ZERO, restarts: 0, waited: Duration::ZERO };
        let mut waits = Vec::new();
        for _ in 0..12 {
            end.waited = wait(Policy::Always, &end).unwrap();
            waits.push(end.waited.as_millis());
        }
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000];
        assert_eq!(waits, expected);
        end.ran_for = GOOD_RUN;
        assert_eq!(wait(Policy::Always, &end), Some(FIRST));
    }

    #[test]
    fn who_is_started_at_boot() {
        for (policy, running, stopped) in [
            (Policy::No, false, false),
            (Policy::OnFailure { maximum: 0 }, false, false),
            (Policy::Always, true, true),
            (Policy::UnlessStopped, true, false),
        ] {
            assert_eq!((policy.starts_at_boot(false), policy.starts_at_boot(true)), (running, stopped));
        }
    }
}
