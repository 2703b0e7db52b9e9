//! `--ulimit`.

use crate::error::{Error, Result};

/// The limits of setrlimit(2): docker's name, the runtime-spec's name, the kernel's number on x86_64,
/// aarch64 and riscv64.
pub const KINDS: &[(&str, &str)] = &[
    ("as", "RLIMIT_AS"),
    ("core", "RLIMIT_CORE"),
    ("cpu", "RLIMIT_CPU"),
    ("data", "RLIMIT_DATA"),
    ("fsize", "RLIMIT_FSIZE"),
    ("locks", "RLIMIT_LOCKS"),
    ("memlock", "RLIMIT_MEMLOCK"),
    ("msgqueue", "RLIMIT_MSGQUEUE"),
    ("nice", "RLIMIT_NICE"),
    ("nofile", "RLIMIT_NOFILE"),
    ("nproc", "RLIMIT_NPROC"),
    ("rss", "RLIMIT_RSS"),
    ("rtprio", "RLIMIT_RTPRIO"),
    ("rttime", "RLIMIT_RTTIME"),
    ("sigpending", "RLIMIT_SIGPENDING"),
    ("stack", "RLIMIT_STACK"),
];

/// No limit (`RLIM_INFINITY`).
pub const UNLIMITED: u64 = u64::MAX;

/// One limit as asked for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Ulimit {
    /// `RLIMIT_*`.
    pub kind: &'static str,
    /// Enforced limit; [`UNLIMITED`] for none.
    pub soft: u64,
    /// Ceiling of the soft limit.
    pub hard: u64,
}

/// A limit as it is kept on disk.
#[derive(serde::Deserialize)]
struct Stored {
    kind: String,
    soft: u64,
    hard: u64,
}

impl<'de> serde::Deserialize<'de> for Ulimit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::try_from(Stored::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl TryFrom<Stored> for Ulimit {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        let known = KINDS.iter().find(|(_, kind)| *kind == stored.kind);
        let (_, kind) =
            known.ok_or_else(|| format!("no limit is called `{}`", stored.kind.escape_debug()))?;
        Ok(Self { kind, soft: stored.soft, hard: stored.hard })
    }
}

/// Parses `NAME=SOFT[:HARD]`; `-1` and `unlimited` mean no limit.
///
/// # Errors
/// [`Error::Value`] for an unknown name, a bad number, or a soft limit over the hard one.
pub fn parse(text: &str) -> Result<Ulimit> {
    let bad = |reason: &str| Error::value("--ulimit", text, reason);
    let (name, limits) = text.split_once('=').ok_or_else(|| bad("use NAME=SOFT[:HARD]"))?;
    let kind = KINDS.iter().find(|(short, _)| *short == name).ok_or_else(|| bad("no such limit"))?.1;
    let number = |part: &str| match part {
        "-1" | "unlimited" => Some(UNLIMITED),
        _ if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse().ok(),
        _ => None,
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (Some(soft), Some(hard)) = (number(soft), number(hard)) else {
        return Err(bad("limits are whole numbers or `unlimited`"));
    };
    if soft > hard {
        return Err(bad("the soft limit is above the hard one"));
    }
    Ok(Ulimit { kind, soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (text, expected) in [
            ("nofile=1024", Some(("RLIMIT_NOFILE", 1024, 1024))),
            ("nofile=1024:2048", Some(("RLIMIT_NOFILE", 1024, 2048))),
            ("core=0:-1", Some(("RLIMIT_CORE", 0, UNLIMITED))),
            ("memlock=unlimited", Some(("RLIMIT_MEMLOCK", UNLIMITED, UNLIMITED))),
            ("nofile=2:1", None),
            ("nofile=-2", None),
            ("nofile=+2", None),
            ("nofile=", None),
            ("nofile", None),
            ("files=1", None),
        ] {
            let got = parse(text).ok().map(|limit| (limit.kind, limit.soft, limit.hard));
            assert_eq!(got, expected, "{text}");
        }
    }
}
