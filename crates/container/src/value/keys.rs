//! `--detach-keys`.

use crate::error::{Error, Result};

/// Docker's: ctrl-p, then ctrl-q.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";
/// Most keys.
const MAX: usize = 16;

/// Parses keys separated by commas, each one character or `ctrl-` and one of `a` to `z`, `@`, `[`, `\`, `]`, `^`, `_`.
/// No text means no keys.
///
/// # Errors
/// [`Error::Value`].
pub fn parse(text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let bad = || {
        let reason = "use characters or ctrl-X, separated by commas: ctrl-p,ctrl-q";
        Error::value("--detach-keys", text.escape_debug().to_string(), reason)
    };
    let key = |word: &str| match word.strip_prefix("ctrl-").map_or(word.as_bytes(), str::as_bytes) {
        [byte] if word.len() == 1 && byte.is_ascii_graphic() => Ok(*byte),
        [byte @ (b'a'..=b'z')] if word.len() > 1 => Ok(*byte - b'a' + 1),
        [byte @ (b'@' | b'['..=b'_')] if word.len() > 1 => Ok(*byte - b'@'),
        _ => Err(bad()),
    };
    let keys = text.split(',').map(key).collect::<Result<Vec<_>>>()?;
    if keys.len() > MAX { Err(bad()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for (text, expected) in [
            ("ctrl-p,ctrl-q", Some(vec![16, 17])),
            ("", Some(vec![])),
            ("a,ctrl-@,ctrl-[,ctrl-_", Some(vec![b'a', 0, 27, 31])),
            ("ctrl-P", None),
            ("ctrl-", None),
            ("ab", None),
            ("a,,b", None),
            ("\u{1b}", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
    }
}
