//! Hooks: runtime-spec `config.md`, "POSIX-platform Hooks".

use serde::{Deserialize, Serialize};

use super::null_as_default;

/// All six kinds of hooks, each run in the order listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// Deprecated: after the environment exists, before `start`, in the runtime namespace.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub prestart: Vec<Hook>,
    /// During `create`, before `pivot_root`, in the runtime namespace.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub create_runtime: Vec<Hook>,
    /// During `create`, before `pivot_root`, in the container namespace (the path resolves in the runtime's).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub create_container: Vec<Hook>,
    /// During `start`, before the user process is executed, in the container namespace.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub start_container: Vec<Hook>,
    /// After the user process started, before `start` returns, in the runtime namespace.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub poststart: Vec<Hook>,
    /// After the container was deleted, before `delete` returns, in the runtime namespace.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub poststop: Vec<Hook>,
}

/// One program to run at a point of the life cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute path of the program.
    pub path: String,
    /// `argv`, including `argv[0]`; empty means the path alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub args: Vec<String>,
    /// `NAME=value` pairs; the runtime's own environment is not inherited.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Seconds until the hook is aborted; must be greater than zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}
