//! What a command ends with when it fails: a kind, a chain of causes, hints, an exit code.

use std::borrow::Cow;
use std::error::Error;

use crate::command::Described;

/// Exit code of wrong usage, and of `run` for errors of the engine itself, as docker has it.
pub(crate) const ENGINE_ERROR: u8 = 125;
/// Exit code of every other command that failed, as docker has it.
pub(crate) const FAILED: u8 = 1;
/// Longest message in bytes: twice the longest path. What comes from a bundle or an image may be longer.
const LONGEST: usize = 8192;
/// How much of the end of a longer one is kept in bytes: the cause.
const END: usize = 1024;

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
    /// `None` where the command decides.
    code: Option<u8>,
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
        Self { kind, code: None, error: error.into(), hints: Vec::new() }
    }

    /// The reader of our output went away: nothing to say, nothing wrong.
    pub(crate) fn closed_pipe() -> Self {
        Self { code: Some(0), ..Self::new(Kind::ClosedPipe, "standard output is closed") }
    }

    /// Adds a `hint:` line: what to do or to type next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Replaces the exit code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// Sets the exit code of a failure that has none of its own.
    pub(crate) fn code_unless_set(mut self, code: u8) -> Self {
        self.code.get_or_insert(code);
        self
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        self.code.unwrap_or(ENGINE_ERROR)
    }

    /// What a command said of itself, where that was asked for.
    pub(crate) fn described(self) -> Option<Described> {
        self.error.downcast().ok().map(|described| *described)
    }

    /// Whether anything is to be printed.
    pub(crate) fn is_silent(&self) -> bool {
        self.kind == Kind::ClosedPipe
    }

    /// The error and its causes, joined by `: `. A cause already quoted by its parent is not repeated.
    pub(crate) fn chain(&self) -> String {
        shorten(&files::chain(&*self.error)).into_owned()
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

/// Leaves out the middle of a text longer than [`LONGEST`].
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let start = text.floor_char_boundary(LONGEST - END);
    let end = text.ceil_char_boundary(text.len() - END);
    Cow::Owned(format!("{} [{} bytes left out] {}", &text[..start], end - start, &text[end..]))
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
    fn a_giant_is_cut_in_its_middle() {
        for (length, cut) in [(100, false), (4000, false), (50_000, true)] {
            let chain = Failure::user(format!("begin a{} end", "ä".repeat(length)).as_str()).chain();
            assert!(chain.starts_with("begin ") && chain.ends_with(" end"), "{chain:.100}");
            assert_eq!(chain.contains(" bytes left out] "), cut, "{length}");
            assert!(chain.len() < LONGEST + 64, "{}", chain.len());
        }
    }

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
