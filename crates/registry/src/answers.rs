//! What an answer that is no success says.

use fetch::Answer;
use serde::Deserialize;

use crate::error::Error;

/// Most bytes of an error document that are read.
const MAX_BYTES: u64 = 64 << 10;
/// Most characters of what a registry says that are shown.
const MAX_SHOWN: usize = 300;

/// The errors of distribution-spec, "Error Codes".
#[derive(Deserialize)]
struct Document {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The error that a status and its document are.
pub(crate) fn failure(what: &str, answer: Answer, has_credentials: bool) -> Error {
    let status = answer.status;
    let remaining = answer.header("ratelimit-remaining").map(str::to_owned);
    let wait = answer.header("retry-after").map(str::to_owned);
    let what = what.to_owned();
    // What it says beside the status helps a person and decides nothing.
    let body = answer.bytes(MAX_BYTES).unwrap_or_default();
    let mut detail = said(&body);
    match status {
        401 | 403 => {
            let who = if has_credentials {
                "the credentials that it was shown"
            } else {
                "who shows no credentials"
            };
            Error::Denied { what, who, detail }
        }
        404 => Error::NotFound { what, detail },
        429 => {
            if let Some(remaining) = remaining {
                detail.push_str(&format!("; left: {}", plain(&remaining)));
            }
            if let Some(wait) = wait {
                detail.push_str(&format!("; try again in {} s", plain(&wait)));
            }
            Error::TooMany { what, detail }
        }
        status => Error::Status { what, status, detail },
    }
}

fn said(body: &[u8]) -> String {
    let Ok(document) = serde_json::from_slice::<Document>(body) else { return String::new() };
    let words: Vec<String> = document
        .errors
        .iter()
        .take(3)
        .map(|entry| if entry.message.is_empty() { plain(&entry.code) } else { plain(&entry.message) })
        .collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join("; ")) }
}

/// What somebody else wrote, without what drives a terminal, and not for pages.
pub(crate) fn plain(text: &str) -> String {
    let mut plain: String =
        text.chars().filter(|character| !character.is_control()).take(MAX_SHOWN).collect();
    if text.chars().count() > MAX_SHOWN {
        plain.push_str("...");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_short_and_plain() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such \u001b[2Jname"}]}"#,
                ": no such [2Jname",
            ),
            (r#"{"errors":[{"code":"A"},{"code":"B"}]}"#, ": A; B"),
            (r#"{"errors":[]}"#, ""),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(said(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(plain(&"a".repeat(301)).len(), 303);
    }
}
