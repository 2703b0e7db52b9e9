//! What a later start of a container needs, in `options.json`.
//!
//! A start builds the specification anew from the image and the options, as the first one did: ranges of ids, labels,
//! sources of mounts and their guard are those of the day. Only the caller's environment is that of the creation.

use std::os::fd::{AsFd, BorrowedFd};

use oci::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::spec::PROXY;
use crate::value::environment::Entry;
use crate::value::name::ContainerId;

/// File in a container's directory.
pub(crate) const KEPT: &str = "options.json";
/// Most bytes of it: options with an environment and a filter of the largest accepted sizes.
const MAX: u64 = 64 << 20;

/// File with the specification of the last start, in the same directory.
pub(crate) const SPEC: &str = "spec.json";
/// Most bytes of it.
const MAX_SPEC: u64 = 40 << 20;

/// The specification of a container's last start; `None` where it was never started or is removed at its end.
pub(crate) fn saved_spec(directory: impl AsFd, id: &ContainerId) -> Result<Option<Spec>> {
    let Some(bytes) = files::read_own(directory, SPEC, MAX_SPEC)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Damaged { id: id.to_string(), source })
}

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What the person asked for.
    pub(crate) options: Options,
    /// The part of his environment that the options name.
    pub(crate) environment: Vec<(String, String)>,
}

impl Kept {
    pub(crate) fn new(options: &Options, environment: &[(String, String)]) -> Self {
        let process = &options.process;
        let is_named = |name: &str| {
            process.environment_host
                || (process.http_proxy && PROXY.iter().any(|proxy| name.eq_ignore_ascii_case(proxy)))
                || process
                    .environment
                    .iter()
                    .any(|entry| matches!(entry, Entry::FromHost(wanted) if wanted == name))
        };
        let environment = environment.iter().filter(|(name, _)| is_named(name)).cloned().collect();
        Self { options: options.clone(), environment }
    }

    pub(crate) fn read(directory: BorrowedFd<'_>, id: &ContainerId) -> Result<Self> {
        let bytes = files::read_own(directory, KEPT, MAX)?
            .ok_or_else(|| Error::NotStartable { id: id.short().to_owned() })?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Damaged { id: id.to_string(), source })
    }
}
