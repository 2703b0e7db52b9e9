//! `brig run`.

mod flags;
mod later;
mod options;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::Path;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use container::spec::Configured;
use container::value::ids::UserNamespace;
use container::{Containers, Preview, Site};

use self::flags::Flags;
pub(crate) use self::options::failure;
use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::{input, output, sealed, site};

/// The name in messages.
const NAME: &str = "brig run";

/// Runs the command.
pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let (flags, image, words) = parse(args)?;
    let options = options::options(&flags, words)?;
    if options.namespaces.user == UserNamespace::Host && !flags.dry_run {
        sealed::run_read_only()
            .map_err(|errno| Failure::environment(format!("execute brig from a read-only mount: {errno}")))?;
    }
    let (store, ids) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let binary = input::own_program()?;
    let site = Site {
        store: &store,
        containers: &containers,
        binary: binary.as_fd(),
        environment: environment(),
        etc: Path::new(site::ETC),
        bus: crate::global::scope_bus(),
    };
    if flags.dry_run {
        let preview = container::preview(&site, &image, &options, ids).map_err(failure)?;
        warn(global, &preview.configured);
        output::print(&describe(&preview)?)?;
        return Ok(0);
    }
    let cidfile = flags.cidfile.as_deref().map(input::create_new).transpose()?;
    let ready = container::prepare(&site, &image, &options, ids).map_err(failure)?;
    warn(global, &ready.configured);
    if let Some(file) = cidfile {
        files::write_all(file, ready.id().as_str().as_bytes()).map_err(Failure::environment)?;
    }
    let ended = ready.run(&site, &|text| global.log.warning(text)).map_err(failure)?;
    for warning in &ended.warnings {
        global.log.warning(warning);
    }
    Ok(ended.code)
}

/// Says what was opened and what protects less than it should (invariants 4 and 5).
fn warn(global: &Global, configured: &Configured) {
    for weakening in &configured.weakenings {
        global.log.warning(&weakening.to_string());
    }
    for protection in configured.protections.iter().filter(|protection| !protection.is_applied()) {
        global.log.warning(&protection.to_string());
    }
    for warning in &configured.warnings {
        global.log.warning(warning);
    }
}

/// The caller's environment as text; what is no text cannot be an entry of a specification.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the program that reads the environment for its libraries"
)]
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The steps, then the specification.
fn describe(preview: &Preview) -> Result<String, Failure> {
    let spec = crate::output::json(&preview.configured.spec)?;
    let mut text = format!("image {}\n", preview.image_id);
    for protection in &preview.configured.protections {
        text.push_str(&format!("protection {protection}\n"));
    }
    for weakening in &preview.configured.weakenings {
        text.push_str(&format!("weakening {weakening}\n"));
    }
    text.push_str(&format!("\n{}\n\n{spec}\n", preview.plan.to_string().trim_end()));
    Ok(text)
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
