//! The keys by which a person leaves a terminal without ending what runs there: docker's `--detach-keys`.

/// Docker's and podman's default.
pub const DEFAULT_DETACH_KEYS: &str = "ctrl-p,ctrl-q";

/// Most keys of one sequence.
const MOST: usize = 16;

/// A sequence of keys, and how much of it was typed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

impl DetachKeys {
    /// Parses a list of keys joined by commas: one character, or `ctrl-` and a letter or one of ``@[\]^_``.
    ///
    /// `None` for anything else, and for more than 16 keys. An empty text is no sequence: nothing leaves then.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut keys = Vec::new();
        for word in text.split(',').filter(|_| !text.is_empty()) {
            let key = match (word.as_bytes(), word.strip_prefix("ctrl-").map(str::as_bytes)) {
                ([key], _) => *key,
                (_, Some([key @ b'a'..=b'z'])) => key - b'a' + 1,
                (_, Some([key @ b'A'..=b'Z'])) => key - b'A' + 1,
                (_, Some([b'@'])) => 0,
                (_, Some([key @ b'['..=b'_'])) => key - b'[' + 27,
                _ => return None,
            };
            keys.push(key);
        }
        (keys.len() <= MOST).then_some(Self { keys, typed: 0 })
    }

    /// Takes what was typed: adds to `out` what is meant for the program, and says whether the sequence is complete.
    ///
    /// The beginning of a sequence is held back until a key shows that it was none.
    pub fn take(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for key in typed {
            if self.keys.get(self.typed) == Some(key) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    self.typed = 0;
                    return true;
                }
                continue;
            }
            // As docker: what was held back goes out whole, and the key may begin anew.
            out.extend_from_slice(&self.keys[..self.typed]);
            self.typed = usize::from(self.keys.first() == Some(key));
            if self.typed == 0 {
                out.push(*key);
            } else if self.keys.len() == 1 {
                self.typed = 0;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        for (text, expected) in [
            ("ctrl-p,ctrl-q", Some(&[16, 17][..])),
            ("a", Some(b"a")),
            ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", Some(&[0, 27, 28, 29, 30, 31])),
            ("ctrl-A,x", Some(b"\x01x")),
            ("", Some(b"")),
            ("ctrl-", None),
            ("ctrl-1", None),
            ("ab", None),
            ("a,,b", None),
            ("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", None),
        ] {
            assert_eq!(DetachKeys::parse(text).map(|keys| keys.keys).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_only_begins_like_the_sequence_is_handed_on() {
        for (keys, typed, out, leaves) in [
            ("ctrl-p,ctrl-q", &["ab\x10", "\x11c"][..], "ab", true),
            ("ctrl-p,ctrl-q", &["\x10", "x"], "\x10x", false),
            ("ctrl-p,ctrl-q", &["\x10\x10\x11"], "\x10", true),
            ("x", &["abx"], "ab", true),
            ("", &["\x10\x11"], "\x10\x11", false),
        ] {
            let mut sequence = DetachKeys::parse(keys).unwrap();
            let mut handed_on = Vec::new();
            let left = typed.iter().any(|part| sequence.take(part.as_bytes(), &mut handed_on));
            assert_eq!((handed_on.as_slice(), left), (out.as_bytes(), leaves), "{keys} {typed:?}");
        }
    }
}
