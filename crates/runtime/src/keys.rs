//! The keys by which a person leaves a terminal without ending what runs there: docker's `--detach-keys`.

/// A sequence of keys, and how much of it was typed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

impl DetachKeys {
    /// Looks for these keys; without any nothing leaves.
    #[must_use]
    pub const fn new(keys: Vec<u8>) -> Self {
        Self { keys, typed: 0 }
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
    fn what_only_begins_like_the_sequence_is_handed_on() {
        for (keys, typed, out, leaves) in [
            ("\x10\x11", &["ab\x10", "\x11c"][..], "ab", true),
            ("\x10\x11", &["\x10", "x"], "\x10x", false),
            ("\x10\x11", &["\x10\x10\x11"], "\x10", true),
            ("x", &["abx"], "ab", true),
            ("", &["\x10\x11"], "\x10\x11", false),
        ] {
            let mut sequence = DetachKeys::new(keys.as_bytes().to_vec());
            let mut handed_on = Vec::new();
            let left = typed.iter().any(|part| sequence.take(part.as_bytes(), &mut handed_on));
            assert_eq!((handed_on.as_slice(), left), (out.as_bytes(), leaves), "{keys} {typed:?}");
        }
    }
}
