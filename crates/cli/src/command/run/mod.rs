//! `brig run`.

mod flags;
pub(crate) mod health;
mod later;
pub(crate) mod limits;
mod options;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use container::spec::Configured;
use container::value::ids::UserNamespace;
use container::{Attach, Connection, Error, IdSource, Notify, Options, Preview, Ready, Site, Streams};

use self::flags::Flags;
pub(crate) use self::options::{failure, restart_policy};
use crate::command::{self, pull, pull::Policy};
use crate::error::Failure;
use crate::global::Global;
use crate::note::{self, Event};
use crate::progress::Progress;
use crate::remote::Remote;
use crate::{input, output, sealed, site};

/// The name in messages.
const NAME: &str = "brig run";

/// Runs the command.
pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let (flags, image, words) = parse(NAME, args)?;
    let mut options = options::options(&flags, words)?;
    options.detached |= is_watched(&flags, &options);
    if !flags.dry_run {
        bring(global, &flags, &image)?;
    }
    seal(&flags, &options)?;
    site::with(global, |site, ids| {
        if flags.dry_run {
            global.note.forget();
            let preview = container::preview(site, &image, &options, ids).map_err(failure)?;
            warn(global, &preview.configured);
            output::print(&describe(&preview)?)?;
            return Ok(0);
        }
        let ready = prepare(global, site, &flags, &image, &options, ids)?;
        let event = Event::of(site.containers, ready.id());
        global.note.container_of(&event);
        global.note.happened(&["create"]);
        if flags.detach {
            let id = ready.id().to_string();
            ready.detach(site, None, &|text| global.log.warning(text)).map_err(failure)?;
            global.note.happened(&["create", "start"]);
            output::print(&format!("{id}\n"))?;
            return Ok(0);
        }
        if is_watched(&flags, &options) {
            return attached(global, site, ready, &flags, &options);
        }
        global.note.happened(&["create", "start"]);
        // Before it runs: whoever kills this command shall not thereby kill its record.
        note::write(global, None, None);
        let ended = ready.run(site, &|text| global.log.warning(text)).map_err(failure);
        let code = ended.as_ref().map_or_else(|failure| failure.exit_code(), |ended| ended.code);
        let gone: &[&str] = if options.remove { &["die", "destroy"] } else { &["die"] };
        event.with("exitCode", &code).error(ended.as_ref().err()).write(global, gone);
        let ended = ended?;
        for warning in &ended.warnings {
            global.log.warning(warning);
        }
        Ok(ended.code)
    })
}

/// Whether a container of the foreground gets a monitor: one that stays has a log, a terminal can be left, a restart and
/// a health check need somebody who does it, a service manager somebody to watch, and only a client can leave streams and
/// signals out.
///
/// One that goes away at its end is spared it, and its log, unless a log was asked for.
fn is_watched(flags: &Flags, options: &Options) -> bool {
    let restarts = !matches!(options.restart.name.as_str(), "" | "no");
    let is_logged = flags.log_driver.as_deref().is_some_and(|driver| driver != "none");
    let is_checked = flags.health.health_cmd.is_some();
    let is_attached = options.terminal || !flags.sig_proxy || !flags.attach.is_empty();
    options.notify != Notify::Ignore || !options.remove || is_attached || restarts || is_logged || is_checked
}

/// Runs a container with a monitor and stays with it.
fn attached(
    global: &Global,
    site: &Site<'_>,
    ready: Ready,
    flags: &Flags,
    options: &Options,
) -> Result<u8, Failure> {
    let keys = options.detach_keys.as_deref();
    let mut how = Attach::new(options.interactive, options.terminal, keys).map_err(failure)?;
    how.forward_signals = flags.sig_proxy;
    let Streams { stdin, stdout, stderr } = options.attached;
    (how.stdin, how.stdout, how.stderr) = (stdin, stdout, stderr);
    let id = ready.id().clone();
    let (connection, theirs) = Connection::pair(&how).map_err(failure)?;
    ready.detach(site, Some(theirs), &|text| global.log.warning(text)).map_err(failure)?;
    global.note.happened(&["create", "start"]);
    note::write(global, None, None);
    command::attach::stay(site.containers, &id, connection, &how)
}

/// Runs `brig create`.
pub(crate) fn create(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let (flags, image, words) = parse("brig create", args)?;
    let mut options = options::options(&flags, words)?;
    options.detached = true;
    bring(global, &flags, &image)?;
    seal(&flags, &options)?;
    site::with(global, |site, ids| {
        let ready = prepare(global, site, &flags, &image, &options, ids)?;
        global.note.container(site.containers, ready.id());
        let id = ready.set_aside(site).map_err(failure)?;
        global.note.happened(&["create"]);
        output::print(&format!("{id}\n"))?;
        Ok(0)
    })
}

/// A container of the host's user namespace could write to the program that its monitor runs (CVE-2019-5736).
fn seal(flags: &Flags, options: &Options) -> Result<(), Failure> {
    if options.namespaces.user == UserNamespace::Host && !flags.dry_run {
        sealed::seal()?;
    }
    Ok(())
}

/// Makes the container, says what it opens, writes its id where that was asked for.
fn prepare(
    global: &Global,
    site: &Site<'_>,
    flags: &Flags,
    image: &str,
    options: &Options,
    ids: IdSource,
) -> Result<Ready, Failure> {
    let cidfile = flags.cidfile.as_deref().map(input::create_new).transpose()?;
    if let Some(name) = options.name.as_ref().filter(|_| flags.replace) {
        match site.containers.find(name.as_str()) {
            Ok(id) => site.containers.delete(&id, true).map_err(failure)?,
            Err(Error::NoContainer { .. }) => {}
            Err(error) => return Err(failure(error)),
        }
    }
    let ready = container::prepare(site, image, options, ids).map_err(failure)?;
    warn(global, &ready.configured);
    if let Some(file) = cidfile {
        files::write_all(file, ready.id().as_str().as_bytes()).map_err(Failure::environment)?;
    }
    Ok(ready)
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
fn parse(name: &'static str, args: Vec<OsString>) -> Result<(Flags, String, Vec<String>), Failure> {
    command::described::<Flags>(&args)?;
    let usage = format!("{name} [FLAGS] IMAGE [COMMAND [WORDS...]]");
    let mut flags: Flags = command::try_parse(name, args, Some(usage)).map_err(|error| {
        if let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) =
            (error.kind(), error.get(ContextKind::InvalidArg))
            && let Some(instead) = later::instead(flag)
        {
            return Failure::user(format!("`{flag}` is not there yet")).hint(instead);
        }
        command::usage_error(name, &error)
    })?;
    let mut words = std::mem::take(&mut flags.words).into_iter().map(|word| {
        word.into_string().map_err(|word| Failure::user(format!("`{}` is not UTF-8", word.to_string_lossy())))
    });
    let image = words.next().transpose()?.unwrap_or_default();
    let words = words.collect::<Result<Vec<_>, _>>()?;
    check(&flags)?;
    Ok((flags, image, words))
}

/// Pulls the image where `--pull` asks for that. Without the flag nothing is fetched: a name that was mistyped, or that a
/// stranger has on a registry, runs nothing.
fn bring(global: &Global, flags: &Flags, image: &str) -> Result<(), Failure> {
    let Some(when) = &flags.pull else { return Ok(()) };
    let policy = Policy::parse("--pull", when)?;
    let (mut store, _) = site::store(global)?;
    // An id is of an image that is here.
    if policy == Policy::Never || policy == Policy::Missing && store.find(image).is_ok() {
        return Ok(());
    }
    let reference = command::reference(image)?;
    let progress = Progress::start(global, flags.quiet, "pull");
    store.measure(progress.meter());
    pull::one(global, &store, &Remote::default(), &reference, None, policy).map(drop)
}

/// Flags that take only some of docker's values today.
fn check(flags: &Flags) -> Result<(), Failure> {
    if let Some(when) = &flags.pull {
        Policy::parse("--pull", when)?;
    }
    let host = oci::image::Platform::host();
    let own = format!("{}/{}", host.os, host.architecture);
    let is_own = |wanted: Option<&str>, own: &str| wanted.is_none_or(|wanted| wanted == own);
    let platform = flags.platform.as_deref().unwrap_or(&own);
    let mut parts = platform.split('/');
    for (flag, wanted, fits) in [
        ("--platform", platform, is_own(parts.next(), &host.os) && is_own(parts.next(), &host.architecture)),
        ("--os", flags.os.as_deref().unwrap_or_default(), is_own(flags.os.as_deref(), &host.os)),
        (
            "--arch",
            flags.arch.as_deref().unwrap_or_default(),
            is_own(flags.arch.as_deref(), &host.architecture),
        ),
    ] {
        if !fits {
            return Err(Failure::user(format!("`{flag}` cannot be `{wanted}`: this machine is {own}")));
        }
    }
    let known = ["stdin", "stdout", "stderr"];
    if let Some(other) =
        flags.attach.iter().find(|text| !known.iter().any(|name| text.eq_ignore_ascii_case(name)))
    {
        return Err(Failure::user(format!("`--attach` cannot be `{other}`: use stdin, stdout or stderr")));
    }
    if flags.detach && !flags.attach.is_empty() {
        return Err(Failure::user("`--attach` and `--detach` exclude each other"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
