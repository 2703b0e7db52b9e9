//! What runs: words, environment, directory, ids.

use oci::image::Config;
use oci::runtime::User;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::notify::{self, Notify};
use crate::options::{Options, Sharing};
use crate::value::environment::{Entry, Environment, MAX_ENTRIES, expand};
use crate::value::user::Resolved;
use crate::weakening::{WeakeningKind, Weakenings};

/// Where programs are looked for when neither image nor flags say so; as docker has it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names of the variables that `--http-proxy` copies, in both cases.
pub(crate) const PROXY: &[&str] = &["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// The program and its words, by docker's rules: the flag's entrypoint drops the image's command, words
/// after the image replace the image's command.
pub(crate) fn args(config: &Config, options: &Options) -> Result<Vec<String>> {
    let process = &options.process;
    let (mut words, command) = match &process.entrypoint {
        Some(entrypoint) => (entrypoint.clone(), &process.command),
        None if process.command.is_empty() => (config.entrypoint.clone(), &config.cmd),
        None => (config.entrypoint.clone(), &process.command),
    };
    words.extend(command.iter().cloned());
    match words.first() {
        None => return Err(Error::NoCommand),
        Some(program) if program.is_empty() => return Err(Error::NoCommand),
        Some(_) => {}
    }
    if words.iter().any(|word| word.contains('\0')) {
        let value = words.join(" ").replace('\0', "\\0");
        return Err(Error::Image {
            field: "Cmd",
            value,
            reason: "a NUL ends a string for the kernel".into(),
        });
    }
    Ok(words)
}

/// The clean environment: what the image sets, what flags set, and the few variables that every program
/// expects. Nothing of the caller's own environment gets in unasked (CVE-2021-3602).
pub(crate) fn environment(
    config: &Config,
    options: &Options,
    user: &Resolved,
    host_name: &str,
    host: &Host,
    weakenings: &mut Weakenings,
) -> Result<Vec<String>> {
    let process = &options.process;
    let mut environment = Environment::default();
    environment.set("PATH", DEFAULT_PATH);
    if options.terminal {
        environment.set("TERM", "xterm");
    }
    if options.namespaces.uts != Sharing::Host {
        environment.set("HOSTNAME", host_name);
    }
    if process.environment_host {
        weakenings.open(
            WeakeningKind::Environment,
            "--env-host",
            "every variable of your environment, secrets too",
        );
        for (name, value) in &host.environment {
            environment.set(name, value);
        }
    }
    if process.http_proxy {
        weakenings.open(
            WeakeningKind::Environment,
            "--http-proxy",
            "your proxy settings, passwords in them too",
        );
        for name in PROXY {
            for name in [(*name).to_owned(), name.to_uppercase()] {
                if let Some(value) = host.variable(&name) {
                    environment.set(&name, value);
                }
            }
        }
    }
    if config.env.len() + process.environment.len() > MAX_ENTRIES {
        let value = config.env.len().to_string();
        return Err(Error::Image { field: "Env", value, reason: format!("more than {MAX_ENTRIES} entries") });
    }
    let unset = |name: &str| {
        process.environment_cleared || process.environment_unset.iter().any(|unset| unset == name)
    };
    for entry in &config.env {
        match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() && !entry.contains('\0') => {
                if !unset(name) {
                    environment.set(name, value);
                }
            }
            // An entry without a value sets nothing: the host's value must never be what an image names.
            None if !entry.contains('\0') => {}
            _ => {
                let value = entry.escape_debug().to_string();
                return Err(Error::Image { field: "Env", value, reason: "it is no NAME=value".into() });
            }
        }
    }
    for name in &process.environment_unset {
        environment.remove(name);
    }
    for (name, value) in &process.environment_merge {
        let value = expand(value, |name| environment.get(name));
        environment.set(name, &value);
    }
    for entry in &process.environment {
        match entry {
            Entry::Assignment(name, value) => environment.set(name, value),
            Entry::FromHost(name) => match host.variable(name) {
                Some(value) => environment.set(name, value),
                None => environment.remove(name),
            },
        }
    }
    environment.set_default("HOME", &user.home);
    match options.notify {
        Notify::Container => {
            environment.set(notify::VARIABLE, &format!("{}/{}", notify::DIRECTORY, monitor::notify::NAME));
        }
        // The caller's own, which `--env-host` would hand on, is a place of the host's.
        _ if options.process.environment_host => environment.remove(notify::VARIABLE),
        _ => {}
    }
    Ok(environment.into_strings())
}

/// The working directory: the flag's, else the image's, else `/`.
///
/// Made absolute and cleaned here as text only; the runtime resolves and creates it inside the root by
/// descriptor (CVE-2026-55686).
pub(crate) fn working_directory(config: &Config, options: &Options) -> Result<String> {
    if let Some(path) = &options.process.workdir {
        return workdir(path);
    }
    check_directory(&config.working_dir).map_err(|reason| Error::Image {
        field: "WorkingDir",
        value: config.working_dir.escape_debug().to_string(),
        reason: reason.to_owned(),
    })
}

/// The directory of `--workdir`.
pub(crate) fn workdir(path: &str) -> Result<String> {
    let refused = |reason| Error::value("--workdir", path.escape_debug().to_string(), reason);
    if !path.starts_with('/') {
        return Err(refused("the path does not start with `/`"));
    }
    check_directory(path).map_err(refused)
}

fn check_directory(path: &str) -> std::result::Result<String, &'static str> {
    if path.chars().any(char::is_control) {
        return Err("it holds control characters");
    }
    if path.len() >= files::MAX_PATH {
        return Err("it is longer than 4096 bytes");
    }
    Ok(clean(path))
}

/// An absolute path without `.`, `..` and doubled slashes; `..` at the root stays there (CVE-2022-23648).
pub(crate) fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The ids, once every one of them is known to be mapped.
pub(crate) fn user(options: &Options, user: &Resolved, groups: Vec<u32>) -> User {
    User { uid: user.uid, gid: user.gid, umask: options.process.umask, additional_gids: groups }
}

/// Signals by name, as `--stop-signal` and an image's `StopSignal` give them; numbers of x86_64, aarch64
/// and riscv64, which agree.
const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// Parses a signal: a number from 1 to 64, a name with or without `SIG`, or `RTMIN+n`, `RTMAX-n`.
#[must_use]
pub fn signal(text: &str) -> Option<i32> {
    let plain = |text: &str| -> Option<i32> {
        (!text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match (plain(text), name) {
        (Some(number), _) => number,
        (None, "RTMIN") => 34,
        (None, "RTMAX") => 64,
        (None, name) => match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(offset), _) => 34 + plain(offset).filter(|offset| *offset <= 30)?,
            (_, Some(offset)) => 64 - plain(offset).filter(|offset| *offset <= 30)?,
            _ => SIGNALS.iter().find(|(known, _)| *known == name)?.1,
        },
    };
    (1..=64).contains(&number).then_some(number)
}

/// The name of a signal without `SIG`; `None` for a real-time one.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(_, number)| *number == signal).map(|(name, _)| *name)
}

/// The signal that asks the container to stop: the flag's, else the image's, else `TERM`.
pub(crate) fn stop_signal(config: &Config, options: &Options) -> Result<i32> {
    let reason = "not a signal, see signal(7)";
    if let Some(text) = &options.process.stop_signal {
        return signal(text).ok_or_else(|| Error::value("--stop-signal", text, reason));
    }
    match config.stop_signal.as_deref() {
        None | Some("") => Ok(15),
        Some(text) => signal(text).ok_or_else(|| Error::Image {
            field: "StopSignal",
            value: text.escape_debug().to_string(),
            reason: reason.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn entrypoint_and_command_combine_as_docker_has_it() {
        for (entrypoint, cmd, flag, command, expected) in [
            ("", "sh", None, "", Some("sh")),
            ("", "sh", None, "ls -l", Some("ls -l")),
            ("/e a", "b", None, "", Some("/e a b")),
            ("/e a", "b", None, "c", Some("/e a c")),
            ("/e a", "b", Some("/f"), "", Some("/f")),
            ("/e a", "b", Some("/f"), "c d", Some("/f c d")),
            ("/e a", "b", Some(""), "c d", Some("c d")),
            ("/e a", "b", Some(""), "", None),
            ("", "", None, "", None),
        ] {
            let config = Config { entrypoint: words(entrypoint), cmd: words(cmd), ..Config::default() };
            let mut options = Options::default();
            options.process.entrypoint = flag.map(words);
            options.process.command = words(command);
            assert_eq!(
                args(&config, &options).ok(),
                expected.map(words),
                "{entrypoint} {cmd} {flag:?} {command}"
            );
        }
        let config = Config { cmd: vec!["a\0b".into()], ..Config::default() };
        assert!(args(&config, &Options::default()).is_err());
    }

    #[test]
    fn directories_are_cleaned_and_absolute() {
        for (image, flag, expected) in [
            ("", None, Some("/")),
            ("/app/", None, Some("/app")),
            ("app", None, Some("/app")),
            ("/../../etc/./x//y", None, Some("/etc/x/y")),
            ("/app", Some("/w/../v"), Some("/v")),
            ("/app", Some("w"), None),
            ("/a\nb", None, None),
        ] {
            let config = Config { working_dir: image.into(), ..Config::default() };
            let mut options = Options::default();
            options.process.workdir = flag.map(str::to_owned);
            assert_eq!(working_directory(&config, &options).ok().as_deref(), expected, "{image:?} {flag:?}");
        }
    }

    #[test]
    fn signals() {
        for (text, expected) in [
            ("TERM", Some(15)),
            ("sigquit", Some(3)),
            ("9", Some(9)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("RTMIN+31", None),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("NOPE", None),
            ("", None),
        ] {
            assert_eq!(signal(text), expected, "{text}");
        }
    }
}
