//! From the text of a template to its pieces: literal text, and the words of each action.

use crate::error::{Error, quote};

/// Most bytes of a template.
pub(crate) const MAX_TEMPLATE: usize = 64 << 10;
/// Most words of all actions together.
const MAX_WORDS: usize = 1 << 14;

/// Text between actions, or one action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Action { line: usize, words: Vec<Word> },
}

/// One word of an action and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// Byte of the template at which it starts.
    pub(crate) at: usize,
    /// Byte after its end.
    pub(crate) end: usize,
    /// Whether a blank precedes it.
    pub(crate) spaced: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `.Name`
    Field(String),
    /// `.`
    Dot,
    /// `$name`, without the dollar.
    Variable(String),
    /// A keyword or a function.
    Name(String),
    /// A string or character, without its quotes.
    Text(String),
    /// A number that JSON can hold.
    Number(serde_json::Number),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `|`
    Pipe,
    /// `,`
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// Line of the template in which a byte stands, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

fn failed<T>(text: &str, at: usize, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Parse { line: line_of(text, at), message: message.into() })
}

/// Cuts a template into pieces.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, Error> {
    if text.len() > MAX_TEMPLATE {
        return failed(text, 0, format!("longer than {MAX_TEMPLATE} bytes"));
    }
    let mut pieces = Vec::new();
    let (mut at, mut words, mut trim) = (0, 0, false);
    while let Some(open) = text[at..].find("{{").map(|found| at + found) {
        let mut literal = &text[at..open];
        if trim {
            literal = literal.trim_start_matches(is_blank);
        }
        let mut inside = open + 2;
        // A dash trims only next to a blank: `{{-1}}` is a number.
        if text[inside..].starts_with('-') && text[inside + 1..].starts_with(is_blank) {
            literal = literal.trim_end_matches(is_blank);
            inside += 1;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.to_owned()));
        }
        let comment = inside + text[inside..].len() - text[inside..].trim_start_matches(is_blank).len();
        if text[comment..].starts_with("/*") {
            (at, trim) = skip_comment(text, open, comment)?;
            continue;
        }
        let mut action = Vec::new();
        (at, trim) = action_words(text, open, inside, &mut action)?;
        words += action.len();
        if words > MAX_WORDS {
            return failed(text, open, format!("more than {MAX_WORDS} words"));
        }
        pieces.push(Piece::Action { line: line_of(text, open), words: action });
    }
    let rest = if trim { text[at..].trim_start_matches(is_blank) } else { &text[at..] };
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Where the text goes on after a comment, and whether its blanks are trimmed.
fn skip_comment(text: &str, open: usize, at: usize) -> Result<(usize, bool), Error> {
    let Some(end) = text[at..].find("*/").map(|found| at + found + 2) else {
        return failed(text, open, "unclosed comment");
    };
    match closing(text, end) {
        Some(found) => Ok(found),
        None => failed(text, open, "comment ends before closing delimiter"),
    }
}

/// The end of an action, where one stands at `at`: what follows it, and whether blanks are trimmed there.
fn closing(text: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &text[at..];
    if rest.starts_with("}}") {
        return Some((at + 2, false));
    }
    let trimmed = rest.trim_start_matches(is_blank);
    (trimmed.len() < rest.len() && trimmed.starts_with("-}}"))
        .then(|| (at + rest.len() - trimmed.len() + 3, true))
}

/// The words of one action; what follows it, and whether blanks are trimmed there.
fn action_words(
    text: &str,
    open: usize,
    start: usize,
    words: &mut Vec<Word>,
) -> Result<(usize, bool), Error> {
    let mut at = start;
    loop {
        if let Some(end) = closing(text, at) {
            return Ok(end);
        }
        let rest = &text[at..];
        let blanks = rest.len() - rest.trim_start_matches(is_blank).len();
        let rest = &rest[blanks..];
        let spaced = blanks > 0 || at == start;
        at += blanks;
        if rest.starts_with("}}") {
            continue;
        }
        let Some(first) = rest.chars().next() else {
            return failed(text, open, "unclosed action");
        };
        let (kind, length) = word(text, at, rest, first)?;
        words.push(Word { at, end: at + length, spaced, kind });
        at += length;
    }
}

/// One word and how many bytes it takes.
fn word(text: &str, at: usize, rest: &str, first: char) -> Result<(Kind, usize), Error> {
    let name_length = |rest: &str| {
        rest.find(|character: char| !(character.is_alphanumeric() || character == '_')).unwrap_or(rest.len())
    };
    let single = |kind| Ok((kind, 1));
    match first {
        '(' => single(Kind::Open),
        ')' => single(Kind::Close),
        '|' => single(Kind::Pipe),
        ',' => single(Kind::Comma),
        '=' => single(Kind::Assign),
        ':' if rest.starts_with(":=") => Ok((Kind::Declare, 2)),
        '"' => quoted(text, at, rest),
        '`' => match rest[1..].find('`') {
            Some(end) => Ok((Kind::Text(rest[1..=end].to_owned()), end + 2)),
            None => failed(text, at, "unterminated raw quoted string"),
        },
        '\'' => character(text, at, rest),
        '$' => {
            let length = name_length(&rest[1..]);
            Ok((Kind::Variable(rest[1..=length].to_owned()), length + 1))
        }
        '.' if !rest[1..].starts_with(|next: char| next.is_ascii_digit()) => match name_length(&rest[1..]) {
            0 => single(Kind::Dot),
            length => Ok((Kind::Field(rest[1..=length].to_owned()), length + 1)),
        },
        '0'..='9' | '+' | '-' | '.' => number(text, at, rest),
        _ if first.is_alphabetic() || first == '_' => {
            let length = name_length(rest);
            Ok((Kind::Name(rest[..length].to_owned()), length))
        }
        _ if rest.starts_with(['}', '{']) => failed(text, at, format!("unexpected \"{first}\" in command")),
        _ => failed(text, at, format!("unexpected \"{}\" in operand", quote(&first.to_string()))),
    }
}

fn number(text: &str, at: usize, rest: &str) -> Result<(Kind, usize), Error> {
    let plain = |next: char| next.is_ascii_alphanumeric() || matches!(next, '.' | '_' | '+' | '-');
    let length = rest.find(|next| !plain(next)).unwrap_or(rest.len());
    let spelled = &rest[..length];
    let digits = spelled.trim_start_matches(['+', '-']).replace('_', "");
    let sign = if spelled.starts_with('-') { -1_i64 } else { 1 };
    let radix = |prefix: &str, radix| {
        digits.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    let whole = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2));
    let is_plain = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let found = match whole.or_else(|| digits.parse().ok().filter(|_| is_plain)) {
        Some(whole) => Some(serde_json::Number::from(sign * whole)),
        None if is_plain && !digits.contains('x') => {
            let float: Option<f64> = digits.parse().ok();
            float.and_then(|float| serde_json::Number::from_f64(if sign < 0 { -float } else { float }))
        }
        None => None,
    };
    match found {
        Some(number) => Ok((Kind::Number(number), length)),
        None => failed(text, at, format!("bad number syntax: \"{}\"", quote(spelled))),
    }
}

/// A string in double quotes with Go's escapes.
fn quoted(text: &str, at: usize, rest: &str) -> Result<(Kind, usize), Error> {
    let mut found = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Ok((Kind::Text(found), position + 1)),
            '\n' => break,
            '\\' => match escape(&mut characters) {
                Some(character) => found.push(character),
                None => return failed(text, at, "invalid syntax in quoted string"),
            },
            _ => found.push(character),
        }
    }
    failed(text, at, "unterminated quoted string")
}

/// A character in single quotes: a number in Go.
fn character(text: &str, at: usize, rest: &str) -> Result<(Kind, usize), Error> {
    let mut characters = rest.char_indices().skip(1);
    let found = match characters.next() {
        Some((_, '\\')) => escape(&mut characters),
        Some((_, character)) if character != '\'' && character != '\n' => Some(character),
        _ => None,
    };
    match (found, characters.next()) {
        (Some(found), Some((end, '\''))) => Ok((Kind::Number(u32::from(found).into()), end + 1)),
        _ => failed(text, at, "malformed character constant"),
    }
}

/// What follows a backslash.
fn escape(characters: &mut impl Iterator<Item = (usize, char)>) -> Option<char> {
    let (_, kind) = characters.next()?;
    let digits = match kind {
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'r' => return Some('\r'),
        '\\' | '"' | '\'' => return Some(kind),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let mut code = 0_u32;
    for _ in 0..digits {
        let (_, digit) = characters.next()?;
        code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?;
    }
    char::from_u32(code)
}
