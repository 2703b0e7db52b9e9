//! gzip and zstd streams decode to the same bytes however slowly they come, within the ratio, and what was compressed comes back.

use std::io::{self, Read, Write};

use archive::{Compression, Limits, decompress};

use crate::input::Slowly;

/// Most bytes of an input.
pub const MAX_LEN: usize = 4096;

/// Most bytes that one compressed byte may become in this target, after `FREE` bytes.
const RATIO: u64 = 20;
const FREE: u64 = 64 << 10;
/// Bytes handed out by one read at most: by so much a limit may be passed before it is seen.
const STEP: u64 = 8 << 10;

fn limits() -> Limits {
    Limits { ratio: RATIO, ratio_after: FREE, zstd_window_log: 20, ..Limits::default() }
}

fn decode(input: impl Read) -> Result<Vec<u8>, (Vec<u8>, String)> {
    let mut output = Vec::new();
    let shown = |error: &dyn std::fmt::Display| error.to_string();
    let mut stream = decompress(input, &limits()).map_err(|error| (Vec::new(), shown(&error)))?;
    let mut buffer = vec![0; STEP as usize];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(output),
            Ok(count) => output.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((output, shown(&error))),
        }
    }
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let whole = decode(bytes);
    let slow = decode(Slowly::new(bytes, 7));
    // A limit may be met a step earlier or later, the decision about the stream may not differ.
    match (&whole, &slow) {
        (Ok(whole), Ok(slow)) => assert!(whole == slow, "the pace of the input changes the output"),
        (Err((whole, _)), Err((slow, _))) => {
            let length = whole.len().min(slow.len());
            assert!(whole[..length] == slow[..length], "the pace of the input changes the output");
        }
        (whole, slow) => {
            let limit = |result: &Result<_, (Vec<u8>, String)>| {
                result.as_ref().err().is_some_and(|(_, error)| error.contains("limit"))
            };
            assert!(limit(whole) || limit(slow), "{:?} {:?}", whole.as_ref().err(), slow.as_ref().err());
        }
    }
    let length = match &whole {
        Ok(output) | Err((output, _)) => output.len() as u64,
    };
    match Compression::sniff(bytes) {
        Ok(Compression::None) => assert_eq!(whole.as_deref().ok(), Some(bytes)),
        Ok(_) => assert!(length <= FREE.max((bytes.len() as u64 + 1) * RATIO) + STEP, "{length} of {}", bytes.len()),
        Err(_) => assert_eq!(length, 0),
    }
    if bytes.first() == Some(&b'+') {
        check_round_trip(&bytes[1..]);
    }
}

fn check_round_trip(bytes: &[u8]) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a vector takes every write");
    let packed = encoder.finish().expect("a vector takes every write");
    assert_eq!(decode(&packed[..]).ok().as_deref(), Some(bytes));
    let packed = zstd::stream::encode_all(bytes, 1).expect("a vector takes every write");
    assert_eq!(decode(&packed[..]).ok().as_deref(), Some(bytes));
}
