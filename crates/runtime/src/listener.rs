//! Handing the notify descriptor of a filter to `listenerPath`: runtime-spec `config-linux.md`, "The Container
//! Process State".

use std::os::fd::OwnedFd;
use std::path::Path;

use oci::runtime::{Spec, State};
use serde::Serialize;

use crate::{Error, Result, console};

#[derive(Serialize)]
struct ProcessState<'a> {
    #[serde(rename = "ociVersion")]
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a State,
}

/// Sends the descriptor with the state of the process.
pub(crate) fn hand_over(spec: &Spec, state: &State, listener: &OwnedFd) -> Result<()> {
    let profile = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let path = profile
        .and_then(|profile| profile.listener_path.as_deref())
        .ok_or(crate::plan::Refusal::Missing("linux.seccomp.listenerPath"))?;
    let message = ProcessState {
        oci_version: oci::runtime::SPEC_VERSION,
        fds: ["seccompFd"],
        pid: state.pid.unwrap_or_default(),
        metadata: profile.and_then(|profile| profile.listener_metadata.as_deref()),
        state,
    };
    let bytes =
        serde_json::to_vec(&message).map_err(|source| Error::State { id: state.id.clone(), source })?;
    console::send_descriptor(Path::new(path), &bytes, listener)
}
