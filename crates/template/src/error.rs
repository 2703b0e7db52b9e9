//! What is wrong with a template or with its use.

/// Most characters of a template that an error quotes.
const QUOTED: usize = 60;

/// An error as Go words it: `template: :1:2: executing "" at <.Nope>: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no template.
    #[error("template: :{line}: {message}")]
    Parse {
        /// Line of the template, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The template does not fit the data.
    #[error("template: :{line}:{column}: executing \"\" at <{context}>: {message}")]
    Execute {
        /// Line of the template, from 1.
        line: usize,
        /// Byte of the line, from 0.
        column: usize,
        /// The part of the template that failed.
        context: String,
        /// What is wrong there.
        message: String,
    },
}

/// What a function or a field says when it cannot be evaluated; the evaluator adds the place.
pub(crate) type Reason = String;

/// Text of the template for a message: short, printable, on one line.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED).flat_map(printable).collect();
    if text.chars().nth(QUOTED).is_some() {
        quoted.push_str("...");
    }
    quoted
}

/// A message on one line that a terminal can show, whatever value or key it names.
///
/// What [`quote`] made stays as it is.
pub(crate) fn on_one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}

fn printable(character: char) -> Vec<char> {
    if character == '"' || character == '\'' {
        return vec![character];
    }
    character.escape_debug().collect()
}
