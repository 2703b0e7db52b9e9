//! What a command prints: data on standard output, everything else on standard error.
//!
//! Lines on standard error are `error:`, `hint:`, `warning:` or, with `--log-format json`, one JSON object
//! each. No colour is used: every line reads the same in a file.

use std::io::{self, IsTerminal, Write};

use crate::error::Failure;
use crate::global::{LogFormat, LogLevel};

/// How lines on standard error are written; set once from the global flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    /// The least serious level that is printed.
    pub(crate) level: LogLevel,
    /// As text or as JSON.
    pub(crate) format: LogFormat,
}

impl Log {
    /// Prints an error, its causes and its hints.
    pub(crate) fn failure(self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        self.line(LogLevel::Error, "error", &failure.chain());
        for hint in failure.hints() {
            self.line(LogLevel::Error, "hint", hint);
        }
    }

    /// Prints a warning: something works less well, or protects less, than asked for.
    pub(crate) fn warning(self, text: &str) {
        self.line(LogLevel::Warning, "warning", text);
    }

    fn line(self, level: LogLevel, label: &str, text: &str) {
        if level > self.level {
            return;
        }
        let text = printable(text);
        let line = match self.format {
            LogFormat::Text => format!("{label}: {text}\n"),
            LogFormat::Json => format!("{}\n", serde_json::json!({ "level": label, "message": text })),
        };
        // Nobody is left to tell when standard error itself is closed.
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
}

/// Prints one line on standard error.
pub(crate) fn error_line(text: &str) {
    // Nobody is left to tell when standard error itself is closed.
    drop(io::stderr().lock().write_all(format!("{}\n", printable(text)).as_bytes()));
}

/// Clears a screen and goes to its first line.
pub(crate) const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Writes data to standard output; a reader that went away ends the command quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::closed_pipe()),
        Err(error) => Err(Failure::environment(error)),
    }
}

/// Writes what a template made to standard output. On a terminal nothing of it drives the terminal; a pipe or a file gets
/// every byte as it is.
pub(crate) fn print_data(text: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() { print(&printable(text)) } else { print(text) }
}

/// Text for one cell of a table: also without tabs and newlines.
pub(crate) fn printable_cell(text: &str) -> String {
    let text = printable(text);
    if text.contains(['\n', '\t']) { text.replace('\n', "\\n").replace('\t', "\\t") } else { text }
}

/// Writes a value as indented JSON to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = json(value)?;
    text.push('\n');
    print(&text)
}

/// A value as indented JSON without a character that drives a terminal. Only strings can hold one: what JSON itself
/// leaves as it is, DEL, C1 and those that change the direction of text, becomes an escape of JSON too.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::environment)?;
    Ok(clean(text))
}

fn clean(text: String) -> String {
    if text.is_ascii() && !text.contains('\x7f') {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && drives_terminal(character) {
            clean.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            clean.push(character);
        }
    }
    clean
}

/// As [`json`], in one line.
pub(crate) fn line(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(Failure::environment)?;
    Ok(clean(text))
}

/// Control characters, and those that make text read in another order than it is written (CVE-2021-42574).
fn drives_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces control characters: names in messages come from images and must not drive a terminal.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if drives_terminal(character) && character != '\n' && character != '\t' {
            clean.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\tb"), "a\tb");
        assert_eq!(printable("a\u{9b}2Jb\u{202e}"), "a\\u{9b}2Jb\\u{202e}");
        let text = json(&["é\u{9b}2J\u{7f}\u{202e}\u{1b}\n"]).unwrap();
        assert_eq!(text, "[\n  \"é\\u009b2J\\u007f\\u202e\\u001b\\n\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&text).unwrap()[0], "é\u{9b}2J\u{7f}\u{202e}\u{1b}\n");
    }
}
