//! `brig-runtime`: the OCI runtime command line.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the runtime command line on the words after its name.
pub(crate) fn main(_args: Vec<OsString>) -> ExitCode {
    ExitCode::from(crate::error::ENGINE_ERROR)
}
