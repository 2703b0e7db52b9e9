//! `cargo xtask lab`: what people run in containers, under the default profile, as root and rootless.

use std::process::ExitCode;

use crate::{cargo, succeeds, test};

/// Builds the product and runs `tests/src/bin/lab` with it. `arguments`: a directory that keeps the images.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let Some(brig) = test::brig_binary() else { return ExitCode::FAILURE };
    let run = ["run", "--quiet", "--package", "tests", "--bin", "lab", "--"];
    if succeeds(cargo().args(run).args(arguments).env("BRIG_BIN", brig)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
