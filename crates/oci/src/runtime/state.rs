//! The state of a container: runtime-spec `runtime.md`, "State".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What `state` prints and hooks read on their standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// runtime-spec version the state complies with.
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// Process id as the host sees it; required when `created` or `running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Annotations of the bundle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Where in its life a container is. `paused` is an extension that every runtime has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being created.
    Creating,
    /// Created, the user process has not run yet.
    Created,
    /// The user process runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// The process is gone.
    Stopped,
}
