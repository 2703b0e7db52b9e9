//! `--secret`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::value::mount::{parse_mode, split_csv, target};

/// Mode of a secret's file, as in podman.
const MODE: u32 = 0o444;
/// Where a target must not be: the kernel's files.
const KERNEL_TREES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// How a container gets a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretKind {
    /// As a file.
    Mount {
        /// File name below `/run/secrets`, or another absolute path.
        target: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Permission bits.
        mode: u32,
    },
    /// As a variable of its environment, which every process in it hands on.
    Env {
        /// Name of the variable.
        name: String,
    },
}

/// One secret as asked for; never what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRequest {
    /// The secret's name or id.
    pub source: String,
    /// How.
    pub kind: SecretKind,
}

/// Parses `--secret NAME[,type=mount|env,target=,uid=,gid=,mode=]`; docker's `source=` and `src=` name it too.
///
/// # Errors
/// [`Error::Value`].
pub fn parse(text: &str) -> Result<SecretRequest> {
    let flag = "--secret";
    let bad = |reason: String| Error::value(flag, text, reason);
    let (mut source, mut is_env, mut place) = (None, false, None);
    let (mut uid, mut gid, mut mode) = (None, None, None);
    for (at, field) in split_csv(text).ok_or_else(|| bad("a quote is not closed".into()))?.iter().enumerate()
    {
        let number = |value: &str| value.parse().map_err(|_| bad(format!("`{field}` is no id")));
        match field.split_once('=') {
            None if at == 0 => source = Some(field.clone()),
            Some(("source" | "src" | "id", value)) => source = Some(value.to_owned()),
            Some(("type", "mount")) => is_env = false,
            Some(("type", "env")) => is_env = true,
            Some(("target" | "dst", value)) => place = Some(value.to_owned()),
            Some(("uid", value)) => uid = Some(number(value)?),
            Some(("gid", value)) => gid = Some(number(value)?),
            Some(("mode", value)) => mode = Some(parse_mode(flag, value)? & 0o777),
            _ => return Err(bad(format!("`{field}` is not known"))),
        }
    }
    let source =
        source.filter(|source| !source.is_empty()).ok_or_else(|| bad("it names no secret".into()))?;
    let place = place.filter(|place| !place.is_empty()).unwrap_or_else(|| source.clone());
    if is_env {
        if uid.is_some() || gid.is_some() || mode.is_some() {
            return Err(bad("a variable has no owner and no mode".into()));
        }
        if place.contains(['=', '\0']) {
            return Err(bad(format!("`{place}` is no variable's name")));
        }
        return Ok(SecretRequest { source, kind: SecretKind::Env { name: place } });
    }
    if place.starts_with('/') {
        target(flag, text, &place)?;
        if KERNEL_TREES.iter().any(|tree| std::path::Path::new(&place).starts_with(tree)) {
            return Err(bad(format!("`{place}` is the kernel's")));
        }
    } else if place.contains('/') || matches!(place.as_str(), "." | "..") {
        return Err(bad(format!("`{place}` is neither a file name nor an absolute path")));
    }
    let (uid, gid, mode) = (uid.unwrap_or(0), gid.unwrap_or(0), mode.unwrap_or(MODE));
    Ok(SecretRequest { source, kind: SecretKind::Mount { target: place, uid, gid, mode } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let file =
            |target: &str, uid, gid, mode| SecretKind::Mount { target: target.to_owned(), uid, gid, mode };
        for (text, kind) in [
            ("a", Some(file("a", 0, 0, 0o444))),
            ("source=a,target=b", Some(file("b", 0, 0, 0o444))),
            ("a,target=/etc/key,uid=1,gid=2,mode=0400", Some(file("/etc/key", 1, 2, 0o400))),
            ("a,type=env", Some(SecretKind::Env { name: "a".to_owned() })),
            ("a,type=env,target=PASSWORD", Some(SecretKind::Env { name: "PASSWORD".to_owned() })),
            ("", None),
            ("type=env", None),
            ("a,type=file", None),
            ("a,target=b/c", None),
            ("a,target=..", None),
            ("a,target=/etc/../x", None),
            ("a,target=/proc/self/x", None),
            ("a,type=env,mode=400", None),
            ("a,type=env,target=A=B", None),
            ("a,uid=x", None),
            ("a,b", None),
        ] {
            assert_eq!(parse(text).ok().map(|request| request.kind), kind, "{text}");
        }
    }
}
