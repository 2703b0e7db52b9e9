//! The secrets of a container: opened at each start, and in memory only.

use store::Store;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::value::secret::SecretKind;

/// Checks that the secrets are there, at creation: a start opens them anew.
pub(crate) fn check(store: &Store, options: &Options) -> Result<()> {
    if options.secrets.is_empty() {
        return Ok(());
    }
    let secrets = secret::Secrets::open(store.root())?;
    for request in &options.secrets {
        secrets.find(&request.source)?;
    }
    Ok(())
}

/// What the runtime hands to the container.
pub(crate) fn open(store: &Store, options: &Options) -> Result<runtime::Secrets> {
    let mut opened = runtime::Secrets::default();
    if options.secrets.is_empty() {
        return Ok(opened);
    }
    let secrets = secret::Secrets::open(store.root())?;
    for (at, request) in options.secrets.iter().enumerate() {
        let content = secrets.value(&request.source)?.into_bytes();
        match &request.kind {
            SecretKind::Mount { target, uid, gid, mode } => {
                let is_path = target.starts_with('/');
                opened.files.push(runtime::SecretFile {
                    // Two of one secret may have one name each elsewhere.
                    name: if is_path { format!("{}-{at}", request.source) } else { target.clone() },
                    target: is_path.then(|| target.clone()),
                    content,
                    uid: *uid,
                    gid: *gid,
                    mode: *mode,
                });
            }
            SecretKind::Env { name } => {
                let value = String::from_utf8(content).ok().filter(|value| !value.contains('\0'));
                let value = value.ok_or_else(|| {
                    Error::value("--secret", &request.source, "it is no text: use `type=mount`")
                })?;
                opened.environment.push(format!("{name}={value}"));
            }
        }
    }
    Ok(opened)
}
