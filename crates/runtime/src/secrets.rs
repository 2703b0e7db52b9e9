//! What a container gets that is never written to a disk, nor into its state: secrets as files and as variables.

use std::ffi::CString;
use std::fmt;

use crate::Result;
use crate::plan::step::SecretFile as Planned;
use crate::plan::{InnerPath, Refusal};

/// Secrets for one start.
#[derive(Default)]
pub struct Secrets {
    /// Files on a file system in memory at `/run/secrets`.
    pub files: Vec<SecretFile>,
    /// Variables `NAME=value` that replace those of the spec.
    pub environment: Vec<String>,
}

/// A secret as a file.
pub struct SecretFile {
    /// Name below `/run/secrets`.
    pub name: String,
    /// Another path where it is mounted too.
    pub target: Option<String>,
    /// What it holds.
    pub content: Vec<u8>,
    /// Owner, as the container has ids.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({} files, {} variables)", self.files.len(), self.environment.len())
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretFile({:?}, {} bytes)", self.name, self.content.len())
    }
}

impl Secrets {
    /// What the plan may know.
    pub(crate) fn plan(&self) -> Result<Vec<Planned>> {
        let planned = |file: &SecretFile| {
            let name = CString::new(file.name.as_str()).map_err(|_| Refusal::Nul("secret"))?;
            if file.name.contains('/') || matches!(file.name.as_str(), "" | "." | "..") {
                return Err(Refusal::SecretName(file.name.clone()).into());
            }
            let target = file.target.as_deref().map(|path| {
                InnerPath::new(path).map_err(|error| Refusal::path("secret's target", path, error))
            });
            let owner = (file.uid, file.gid);
            Ok(Planned { name, target: target.transpose()?, owner, mode: file.mode & 0o777 })
        };
        self.files.iter().map(planned).collect()
    }
}
