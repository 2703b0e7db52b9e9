//! Log lines: whatever a file holds is read without a panic; what a container said is read as it was written.

use container::logs;
use monitor::log::{Stream, line};
use oci::Moment;

/// Longest input: three messages of 16 KiB.
pub const MAX_LEN: usize = 48 << 10;

pub fn check(bytes: &[u8]) {
    // As a file that anybody could have written.
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(entry) = logs::parse(line) {
            assert!(entry.text.len() <= line.len() * 3 + 1);
        }
    }
    // As a container's output.
    let time = Moment { seconds: 951_782_400, nanoseconds: 1 };
    let (mut json, mut k8s, mut rest) = (Vec::new(), Vec::new(), bytes);
    while let Some(message) = line::first(rest, true) {
        assert!(message.text.len() <= line::MAX_MESSAGE && message.length() > 0);
        rest = &rest[message.length()..];
        for (said, is_json) in [(&mut json, true), (&mut k8s, false)] {
            let mut out = Vec::new();
            match is_json {
                true => line::json(&mut out, Stream::Stderr, &message, time, ""),
                false => line::k8s(&mut out, Stream::Stderr, &message, time),
            }
            let (end, line) = out.split_last().expect("a line has an end");
            assert!(*end == b'\n' && !line.contains(&b'\n'));
            let entry = logs::parse(line).expect("our own line");
            assert_eq!((entry.stream, entry.time, entry.ends()), (Stream::Stderr, time, message.ends));
            said.extend(entry.text);
        }
    }
    assert!(rest.is_empty());
    assert_eq!(k8s, bytes);
    if std::str::from_utf8(bytes).is_ok() {
        assert_eq!(json, bytes);
    }
}
