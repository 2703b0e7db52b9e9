//! Templates of `--format` end within their limits, errors are one short line, and text without braces prints as it is.

use serde_json::json;
use template::Template;

use crate::input::{check_message, text};

/// Most bytes of an input.
pub const MAX_LEN: usize = 1024;

/// Checks one input: a template and, after a NUL byte, the JSON it is about.
pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (format, data) = text.split_once('\0').unwrap_or((text, ""));
    let data = serde_json::from_str(data).unwrap_or_else(|_| {
        json!({"A": "a", "B": ["b", 1, null], "C": {"d": 1.5, "E": {"F": true}}, "n": -1})
    });
    let template = match Template::parse(format) {
        Ok(template) => template,
        Err(error) => return check_message(&error.to_string(), 1024),
    };
    let _ = template.uses("A");
    match template.execute_with(&data, &|name, words| (name == "Label").then(|| words.concat())) {
        Ok(printed) => assert!(format.contains("{{") || printed == format, "{format:?} printed {printed:?}"),
        Err(error) => check_message(&error.to_string(), 64 << 10),
    }
}
