//! One line of a log file becomes an entry. Pure; what is no such line is nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use monitor::log::Stream;
use oci::Moment;
use serde::Deserialize;

/// One message of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it was written to.
    pub stream: Stream,
    /// When.
    pub time: Moment,
    /// The bytes, with the end of the line where it has one.
    pub text: Vec<u8>,
    /// What `--log-opt labels=`, `env=` and `tag=` added.
    pub attributes: BTreeMap<String, String>,
}

impl Entry {
    /// Whether its line ends here.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.text.ends_with(b"\n")
    }
}

/// A line of docker's `json-file`.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// Reads a line of either format, without its end. A file may hold both: the driver of a container does not change, but
/// who adopts old files must not have to know.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Entry> {
    if line.first() == Some(&b'{') { json(line) } else { k8s(line) }
}

fn json(line: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let stream = if line.stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    let time = Moment::parse(&line.time)?;
    Some(Entry { stream, time, text: line.log.into_owned().into_bytes(), attributes: line.attrs })
}

fn k8s(line: &[u8]) -> Option<Entry> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let time = Moment::parse(std::str::from_utf8(words.next()?).ok()?)?;
    let stream = match words.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // Tags are joined by colons; the first says whether the line ends.
    let ends = match words.next()?.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let mut text = words.next()?.to_vec();
    if ends {
        text.push(b'\n');
    }
    Some(Entry { stream, time, text, attributes: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use monitor::log::line;

    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let time = Moment { seconds: 951_782_400, nanoseconds: 5 };
        for text in ["hello", "", "\"\\\t\r\x1b[31m<&>\u{2028}é\0", " F x"] {
            for ends in [true, false] {
                let message = line::Message { text: text.as_bytes(), ends };
                let expected = format!("{text}{}", if ends { "\n" } else { "" });
                for (is_json, stream) in [(true, Stream::Stdout), (false, Stream::Stderr)] {
                    let mut out = Vec::new();
                    match is_json {
                        true => line::json(&mut out, stream, &message, time, r#"{"a":"b"}"#),
                        false => line::k8s(&mut out, stream, &message, time),
                    }
                    let entry = parse(out.strip_suffix(b"\n").unwrap()).unwrap();
                    assert_eq!((entry.stream, entry.time, entry.ends()), (stream, time, ends));
                    assert_eq!(entry.text, expected.as_bytes());
                    assert_eq!(entry.attributes.len(), usize::from(is_json));
                }
            }
        }
    }

    #[test]
    fn nonsense_is_nothing() {
        for line in [
            "",
            "{",
            "{}",
            "[]",
            r#"{"log":1,"stream":"stdout","time":"2000-02-29T00:00:00Z"}"#,
            r#"{"log":"a","stream":"stdout","time":"yesterday"}"#,
            "2000-02-29T00:00:00Z stdout",
            "2000-02-29T00:00:00Z stdin F x",
            "2000-02-29T00:00:00Z stdout X x",
            "x stdout F x",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        let line = format!("{{\"log\":{}", "[".repeat(100_000));
        assert_eq!(parse(line.as_bytes()), None);
    }
}
