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

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub struct Matcher {
    keys: Vec<u8>,
    /// How many of them were typed last.
    matched: usize,
}

impl Matcher {
    /// A matcher that has seen nothing.
    #[must_use]
    pub const fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes what was typed: what is to be handed on, and whether the keys were completed. Keys of a beginning are held back
    /// until it is known that they are none.
    #[must_use]
    pub fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if *byte != self.keys[self.matched] {
                passed.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (passed, true);
                }
            } else {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
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

    #[test]
    fn keys_in_pieces() {
        for (pieces, passed, done) in [
            (&[&b"ab"[..], b"\x10", b"\x11"][..], &b"ab"[..], true),
            (&[b"\x10x\x10"], b"\x10x", false),
            (&[b"\x10\x10\x11z"], b"\x10", true),
            (&[b"\x11\x10", b"a"], b"\x11\x10a", false),
        ] {
            let mut matcher = Matcher::new(parse(DEFAULT).unwrap());
            let mut all = Vec::new();
            let mut ended = false;
            for piece in pieces {
                let (some, end) = matcher.feed(piece);
                all.extend(some);
                ended |= end;
            }
            assert_eq!((all.as_slice(), ended), (passed, done), "{pieces:?}");
        }
    }
}
