//! `brig run`.

mod flags;
mod later;
mod options;

use std::ffi::OsString;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use self::flags::Flags;
pub(crate) use self::options::failure;
use crate::command;
use crate::error::Failure;
use crate::global::Global;

/// The name in messages.
const NAME: &str = "brig run";

/// Runs the command.
pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let (flags, image, words) = parse(args)?;
    let options = options::options(&flags, words)?;
    let _ = (global, image, options);
    Err(Failure::environment("the runtime is not there yet"))
}

/// Parses the flags; gives the image and the words after it.
fn parse(args: Vec<OsString>) -> Result<(Flags, String, Vec<String>), Failure> {
    let words = std::iter::once(OsString::from(NAME)).chain(args);
    let mut flags = Flags::try_parse_from(words).map_err(|error| {
        if let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) =
            (error.kind(), error.get(ContextKind::InvalidArg))
            && let Some(instead) = later::instead(flag)
        {
            return Failure::user(format!("`{flag}` is not there yet")).hint(instead);
        }
        command::usage_error(NAME, &error)
    })?;
    let mut words = std::mem::take(&mut flags.words).into_iter().map(|word| {
        word.into_string().map_err(|word| Failure::user(format!("`{}` is not UTF-8", word.to_string_lossy())))
    });
    let image = words.next().transpose()?.unwrap_or_default();
    let words = words.collect::<Result<Vec<_>, _>>()?;
    check(&flags)?;
    Ok((flags, image, words))
}

/// Flags that take only some of docker's values today.
fn check(flags: &Flags) -> Result<(), Failure> {
    match flags.pull.as_deref() {
        None | Some("never" | "missing") => {}
        Some(when @ ("always" | "newer")) => {
            return Err(Failure::user(format!("`--pull {when}` is not there yet"))
                .hint("bring the image with `brig load` or `brig import`"));
        }
        Some(other) => {
            return Err(Failure::user(format!("`--pull` cannot be `{other}`: use never or missing")));
        }
    }
    if let Some(platform) = &flags.platform {
        let host = oci::image::Platform::host();
        let mut parts = platform.split('/');
        let os = parts.next().unwrap_or_default();
        let architecture = parts.next().unwrap_or(&host.architecture);
        if os != host.os || architecture != host.architecture {
            let own = format!("{}/{}", host.os, host.architecture);
            return Err(Failure::user(format!("`--platform` cannot be `{platform}`: this machine is {own}")));
        }
    }
    if !flags.sig_proxy {
        return Err(Failure::user("`--sig-proxy=false` is not there yet")
            .hint("it comes with detached containers: signals reach the program"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
