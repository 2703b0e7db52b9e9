//! Bytes become messages, and messages become lines of a log file. Pure.
//!
//! A message is a line, or 16 KiB of a longer one, as docker cuts it. Docker also keeps a cut out of its own way
//! nowhere: a character that lies across it is damaged. Here the cut moves before it.

use std::fmt::Write as _;

use oci::Moment;

use super::Stream;

/// Most bytes of one message: docker's, and CRI's.
pub const MAX_MESSAGE: usize = 16 << 10;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its bytes without the line's end.
    pub text: &'a [u8],
    /// Whether the line ends here.
    pub ends: bool,
}

impl Message<'_> {
    /// How many bytes of output it stands for.
    #[must_use]
    pub fn length(&self) -> usize {
        self.text.len() + usize::from(self.ends)
    }
}

/// The first message in `bytes`; none where its end has not come yet. With `last`, nothing more will come.
#[must_use]
pub fn first(bytes: &[u8], last: bool) -> Option<Message<'_>> {
    let window = &bytes[..bytes.len().min(MAX_MESSAGE)];
    if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
        return Some(Message { text: &window[..end], ends: true });
    }
    if bytes.len() < MAX_MESSAGE {
        return (last && !bytes.is_empty()).then_some(Message { text: bytes, ends: false });
    }
    Some(Message { text: &window[..whole_characters(window)], ends: false })
}

/// Length of `bytes` without a character that is cut at its end.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=3.min(bytes.len()) {
        let byte = bytes[bytes.len() - back];
        if byte & 0xc0 == 0x80 {
            continue;
        }
        let needed = match byte {
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf8 => 4,
            _ => 1,
        };
        return if needed > back { bytes.len() - back } else { bytes.len() };
    }
    bytes.len()
}

/// A line of docker's `json-file`: `attributes` is a JSON object or empty.
pub fn json(out: &mut Vec<u8>, stream: Stream, message: &Message<'_>, time: Moment, attributes: &str) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(out, message.text);
    if message.ends {
        out.extend_from_slice(b"\\n");
    }
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    out.push(b'"');
    if !attributes.is_empty() {
        out.extend_from_slice(b",\"attrs\":");
        out.extend_from_slice(attributes.as_bytes());
    }
    out.extend_from_slice(b",\"time\":\"");
    push(out, time);
    out.extend_from_slice(b"\"}\n");
}

/// A line of the container runtime interface's format, `k8s-file`: `F` ends a line, `P` is a part of one.
pub fn k8s(out: &mut Vec<u8>, stream: Stream, message: &Message<'_>, time: Moment) {
    push(out, time);
    out.push(b' ');
    out.extend_from_slice(stream.name().as_bytes());
    out.extend_from_slice(if message.ends { b" F " } else { b" P " });
    out.extend_from_slice(message.text);
    out.push(b'\n');
}

/// Appends a time without an allocation of its own.
pub(crate) fn push(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // Writing to a vector cannot fail.
    let _written = write!(Bytes(out), "{value}");
}

/// Writes `bytes` as the inside of a JSON string, escaping what Go's encoder escapes; bytes that are no UTF-8 become
/// U+FFFD each, as docker writes them.
pub fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid().as_bytes();
        let mut plain = 0;
        let mut at = 0;
        while at < text.len() {
            let (escaped, length): (&[u8], usize) = match text[at] {
                b'"' => (b"\\\"", 1),
                b'\\' => (b"\\\\", 1),
                b'\n' => (b"\\n", 1),
                b'\r' => (b"\\r", 1),
                byte @ (0..0x20 | b'<' | b'>' | b'&') => {
                    out.extend_from_slice(&text[plain..at]);
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\u00");
                    out.push(DIGITS[usize::from(byte >> 4)]);
                    out.push(DIGITS[usize::from(byte & 15)]);
                    at += 1;
                    plain = at;
                    continue;
                }
                // U+2028 and U+2029 end a line of JavaScript.
                0xe2 if text[at..].starts_with(b"\xe2\x80\xa8") => (b"\\u2028", 3),
                0xe2 if text[at..].starts_with(b"\xe2\x80\xa9") => (b"\\u2029", 3),
                _ => {
                    at += 1;
                    continue;
                }
            };
            out.extend_from_slice(&text[plain..at]);
            out.extend_from_slice(escaped);
            at += length;
            plain = at;
        }
        out.extend_from_slice(&text[plain..]);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mut bytes: &[u8], last: bool) -> (Vec<(String, bool)>, usize) {
        let mut messages = Vec::new();
        while let Some(message) = first(bytes, last) {
            messages.push((String::from_utf8_lossy(message.text).into_owned(), message.ends));
            bytes = &bytes[message.length()..];
        }
        (messages, bytes.len())
    }

    #[test]
    fn lines_and_what_is_no_line_yet() {
        for (text, last, expected, left) in [
            ("", true, &[][..], 0),
            ("a\nb\n", false, &[("a", true), ("b", true)], 0),
            ("a\n\nb", false, &[("a", true), ("", true)], 1),
            ("a\nb", true, &[("a", true), ("b", false)], 0),
            ("a\r\n", false, &[("a\r", true)], 0),
        ] {
            let expected: Vec<_> = expected.iter().map(|(text, ends)| ((*text).to_owned(), *ends)).collect();
            assert_eq!(split(text.as_bytes(), last), (expected, left), "{text:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = format!("{}\n", "x".repeat(2 * MAX_MESSAGE));
        let (messages, left) = split(text.as_bytes(), false);
        let lengths: Vec<_> = messages.iter().map(|(text, ends)| (text.len(), *ends)).collect();
        assert_eq!((lengths, left), (vec![(MAX_MESSAGE, false), (MAX_MESSAGE, false), (0, true)], 0));
        for character in ["é", "€", "𝄞"] {
            for shift in 0..4 {
                let text = format!("{}{}\n", "x".repeat(shift), character.repeat(MAX_MESSAGE));
                let (messages, _) = split(text.as_bytes(), false);
                let whole: String = messages.iter().map(|(text, _)| text.as_str()).collect();
                assert_eq!(whole, text.trim_end(), "{character} {shift}");
            }
        }
        // Bytes that are no character at all still go forward.
        let (messages, left) = split(&[0x80; 2 * MAX_MESSAGE], true);
        assert_eq!((messages.len(), left), (2, 0));
    }

    #[test]
    fn docker_writes_it_so() {
        let time = Moment { seconds: 951_782_400, nanoseconds: 120_000_000 };
        for (text, ends, attributes, expected) in [
            (
                &b"hello"[..],
                true,
                "",
                r#"{"log":"hello\n","stream":"stdout","time":"2000-02-29T00:00:00.12Z"}"#,
            ),
            (b"a", false, "", r#"{"log":"a","stream":"stdout","time":"2000-02-29T00:00:00.12Z"}"#),
            (
                b"a",
                true,
                r#"{"tag":"x"}"#,
                r#"{"log":"a\n","stream":"stdout","attrs":{"tag":"x"},"time":"2000-02-29T00:00:00.12Z"}"#,
            ),
            (
                b"\"\\\t\r\x1b[31m<&>\xff\xc3\xa9\xe2\x80\xa8\0",
                true,
                "",
                r#"{"log":"\"\\\u0009\r\u001b[31m\u003c\u0026\u003e\ufffdé\u2028\u0000\n","stream":"stdout","time":"2000-02-29T00:00:00.12Z"}"#,
            ),
        ] {
            let mut out = Vec::new();
            json(&mut out, Stream::Stdout, &Message { text, ends }, time, attributes);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
        }
    }

    #[test]
    fn kubernetes_writes_it_so() {
        let time = Moment { seconds: 951_782_400, nanoseconds: 0 };
        for (text, ends, expected) in [
            (&b"hello"[..], true, &b"2000-02-29T00:00:00Z stderr F hello\n"[..]),
            (b"\xff\x1b", false, b"2000-02-29T00:00:00Z stderr P \xff\x1b\n"),
        ] {
            let mut out = Vec::new();
            k8s(&mut out, Stream::Stderr, &Message { text, ends }, time);
            assert_eq!(out, expected);
        }
    }
}
