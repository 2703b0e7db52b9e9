//! What a command ends with when it fails: a kind, a chain of causes, hints, an exit code.

use std::error::Error;

/// Exit code for errors of the engine itself, as docker and podman have it.
pub(crate) const ENGINE_ERROR: u8 = 125;
/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The person who typed the command.
    User,
    /// The machine: a permission, a full disk, a missing kernel feature.
    Environment,
    /// Us. Printed with a request to report it.
    Bug,
    /// Nobody has to: the reader of our output went away.
    ClosedPipe,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    code: u8,
    error: Box<dyn Error + 'static>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure that the person who typed the command can mend.
    pub(crate) fn user(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Kind::User, error)
    }

    /// A failure of the machine or of what lies on it.
    pub(crate) fn environment(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Kind::Environment, error)
    }

    /// A failure that should have been impossible.
    #[expect(dead_code, reason = "the commands that reach one come with the next issues")]
    pub(crate) fn bug(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Kind::Bug, error)
    }

    fn new(kind: Kind, error: impl Into<Box<dyn Error>>) -> Self {
        Self { kind, code: ENGINE_ERROR, error: error.into(), hints: Vec::new() }
    }

    /// The reader of our output went away: nothing to say, nothing wrong.
    pub(crate) fn closed_pipe() -> Self {
        Self { code: 0, ..Self::new(Kind::ClosedPipe, "standard output is closed") }
    }

    /// Adds a `hint:` line: what to do or to type next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Replaces the exit code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        self.code
    }

    /// Whether anything is to be printed.
    pub(crate) fn is_silent(&self) -> bool {
        self.kind == Kind::ClosedPipe
    }

    /// The error and its causes, joined by `: `. A cause already quoted by its parent is not repeated.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }

    /// The hints, in the order they were added.
    pub(crate) fn hints(&self) -> Vec<&str> {
        let mut hints: Vec<&str> = self.hints.iter().map(String::as_str).collect();
        if self.kind == Kind::Bug {
            hints.push("this is a bug in brig: please report it with the command you typed");
        }
        hints
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.chain())
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let inner = std::io::Error::from_raw_os_error(libc::ENOENT);
        let failure = Failure::environment(std::io::Error::other(inner));
        let text = failure.chain();
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
        assert_eq!(failure.exit_code(), ENGINE_ERROR);
    }

    #[test]
    fn a_closed_pipe_is_silent_and_fine() {
        assert!(Failure::closed_pipe().is_silent());
        assert_eq!(Failure::closed_pipe().exit_code(), 0);
    }

    #[test]
    fn hints_keep_their_order() {
        let failure = Failure::user("no").hint("first").hint("second").code(127);
        assert_eq!(failure.hints(), ["first", "second"]);
        assert_eq!(failure.exit_code(), 127);
    }
}
