//! Mounts: runtime-spec `config.md`, "Mounts".

use serde::{Deserialize, Serialize};

use super::{IdMapping, null_as_default};

/// One mount, made in the order listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Path inside the container; a relative one counts from `/`.
    pub destination: String,
    /// File system type, ignored for bind mounts.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Device, directory name or any label; for bind mounts a path, absolute or relative to the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Options in `fstab` style.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// User ids of an id-mapped mount (Linux 5.12).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of an id-mapped mount (Linux 5.12).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub gid_mappings: Vec<IdMapping>,
}

impl Mount {
    /// Whether the options ask for a bind mount.
    pub fn is_bind(&self) -> bool {
        self.options.iter().any(|option| option == "bind" || option == "rbind")
            || (self.kind.as_deref() == Some("bind"))
    }
}
