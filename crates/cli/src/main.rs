//! `brig`: arguments, output and exit codes; one file per command.
//!
//! One binary with several names. `main` looks at the name it was called by and at the first word before
//! anything else: an OCI runtime (`brig-runtime`, `brig runtime`), the program of the built-in image
//! (`hello`), or the command line for people (`brig`). Only the parser of the command in use is built, since
//! a parser for the whole tree costs four times as much as one.
//!
//! Reading the environment, the home directory and the terminal happens here and nowhere below; the
//! libraries get plain values. No command holds logic that another program could want: that lives in
//! `container`, `store` and `runtime`.
#![forbid(unsafe_code)]

mod command;
mod error;
mod format;
mod global;
mod input;
mod note;
mod output;
mod progress;
mod remote;
mod runtime;
mod sealed;
mod site;
mod target;
mod watch;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// Ends a test build that allocates between clone and exec.
#[cfg(feature = "test-weaken")]
#[global_allocator]
static GUARD: sys::guard::Allocator = sys::guard::Allocator;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let mut args: Vec<OsString> = words.collect();
    match basename(&name) {
        b"brig-runtime" => runtime::main(args),
        b"hello" => ExitCode::from(probe::main(&args)),
        _ if args.first().is_some_and(|word| word == "monitor") => watch::monitor(&args[1..]),
        _ if args.first().is_some_and(|word| word == "monitor-end") => watch::end(&args[1..]),
        _ if args.first().is_some_and(|word| word == "monitor-start") => watch::start(&args[1..]),
        _ if args.first().is_some_and(|word| word == "runtime") => {
            args.remove(0);
            runtime::main(args)
        }
        _ => command::main(args),
    }
}

/// The last component of the name we were called by; a login shell's leading `-` does not matter to us.
fn basename(name: &OsStr) -> &[u8] {
    let bytes = name.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => &bytes[slash + 1..],
        None => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_component() {
        for (name, expected) in [
            ("brig", "brig"),
            ("/usr/bin/brig-runtime", "brig-runtime"),
            ("./hello", "hello"),
            ("", ""),
            ("x/", ""),
        ] {
            assert_eq!(basename(OsStr::new(name)), expected.as_bytes(), "{name}");
        }
    }
}
