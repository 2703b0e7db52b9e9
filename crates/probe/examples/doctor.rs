//! The prerequisites as a program of their own.
use std::process::ExitCode;

use probe::prerequisite::{Host, examine, render_text};

fn main() -> ExitCode {
    let uid = rustix::process::geteuid().as_raw();
    let runtime = std::env::args_os().nth(1).map(Into::into);
    let host =
        Host { uid, store: "/var/lib/brig".into(), run: "/run/brig".into(), runtime, unconfined: None };
    match render_text(&examine(&host), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
