//! The flags before the command, and the two directories that the environment decides.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use crate::error::Failure;
use crate::note::Note;
use crate::output::Log;

/// The least serious level printed on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    /// Errors and their hints.
    Error,
    /// Also warnings; the default.
    Warning,
    /// Also notes.
    Info,
    /// Everything.
    Debug,
}

/// How a line on standard error looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// `warning: ...`
    Text,
    /// One JSON object a line.
    Json,
}

/// What every command gets.
#[derive(Clone, Debug)]
pub(crate) struct Global {
    root: Option<PathBuf>,
    runroot: Option<PathBuf>,
    /// Where and how to print warnings.
    pub(crate) log: Log,
    /// What this command did, for the journal.
    pub(crate) note: Rc<Note>,
}

/// What stands at the place of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    /// Nothing special: the next word is the command.
    Command,
    /// `--help`, `-h`.
    Help,
    /// `--version`, `-v`.
    Version,
}

impl Default for Global {
    fn default() -> Self {
        let log = Log { level: LogLevel::Warning, format: LogFormat::Text };
        Self { root: None, runroot: None, log, note: Rc::default() }
    }
}

impl Global {
    /// The flags of a command that is told its directories.
    pub(crate) fn with_directories(root: &Path, runroot: &Path) -> Self {
        Self { root: Some(root.to_owned()), runroot: Some(runroot.to_owned()), ..Self::default() }
    }

    /// Takes the global flags off the front of `args`; what remains starts with the command.
    pub(crate) fn parse(&mut self, args: &mut std::vec::IntoIter<OsString>) -> Result<Early, Failure> {
        while let Some(word) = args.as_slice().first() {
            let bytes = word.as_bytes();
            if !bytes.starts_with(b"-") {
                return Ok(Early::Command);
            }
            let word = args.next().unwrap_or_default();
            let (name, inline) = split_value(&word);
            match name {
                b"--help" | b"-h" => return Ok(Early::Help),
                b"--version" | b"-v" => return Ok(Early::Version),
                b"--debug" | b"-D" => self.log.level = LogLevel::Debug,
                b"--root" | b"--runroot" | b"--log-level" | b"--log-format" => {
                    let value = match inline {
                        Some(value) => value.to_owned(),
                        None => args.next().ok_or_else(|| missing_value(&word))?,
                    };
                    self.set(name, &value)?;
                }
                _ => {
                    let text = format!("unknown flag `{}`", word.to_string_lossy());
                    return Err(Failure::user(text).hint("`brig --help` lists the global flags and commands"));
                }
            }
        }
        Ok(Early::Command)
    }

    fn set(&mut self, name: &[u8], value: &OsStr) -> Result<(), Failure> {
        match name {
            b"--root" => self.root = Some(absolute(value)?),
            b"--runroot" => self.runroot = Some(absolute(value)?),
            b"--log-level" => {
                self.log.level = match value.as_bytes() {
                    b"error" | b"fatal" | b"panic" => LogLevel::Error,
                    b"warn" | b"warning" => LogLevel::Warning,
                    b"info" => LogLevel::Info,
                    b"debug" | b"trace" => LogLevel::Debug,
                    _ => return Err(bad_value("--log-level", value, "error, warn, info or debug")),
                }
            }
            _ => {
                self.log.format = match value.as_bytes() {
                    b"text" => LogFormat::Text,
                    b"json" => LogFormat::Json,
                    _ => return Err(bad_value("--log-format", value, "text or json")),
                }
            }
        }
        Ok(())
    }

    /// The directory of images and containers: `--root`, `/var/lib/brig`, or the user's data directory.
    pub(crate) fn root(&self) -> Result<PathBuf, Failure> {
        if let Some(root) = &self.root {
            return Ok(root.clone());
        }
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/brig"));
        }
        if let Some(data) = directory_variable("XDG_DATA_HOME") {
            return Ok(data.join("brig"));
        }
        match directory_variable("HOME") {
            Some(home) => Ok(home.join(".local/share/brig")),
            None => Err(Failure::environment("neither `XDG_DATA_HOME` nor `HOME` names a directory")
                .hint("name the store with `brig --root DIR`")),
        }
    }

    /// The directory of locks and sockets, gone after a reboot: `--runroot`, `/run/brig`, the user's run-time
    /// directory, or a private directory in `/tmp` whose owner and mode are checked.
    pub(crate) fn runroot(&self) -> Result<PathBuf, Failure> {
        if let Some(runroot) = &self.runroot {
            return Ok(runroot.clone());
        }
        let user = rustix::process::geteuid();
        if user.is_root() {
            return Ok(PathBuf::from("/run/brig"));
        }
        if let Some(run) = directory_variable("XDG_RUNTIME_DIR")
            && is_private_directory(&run)
        {
            return Ok(run.join("brig"));
        }
        let fallback = PathBuf::from(format!("/tmp/brig-{}", user.as_raw()));
        match rustix::fs::mkdir(&fallback, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(Failure::environment(format!("create `{}`: {error}", fallback.display())));
            }
        }
        if is_private_directory(&fallback) {
            return Ok(fallback);
        }
        Err(Failure::environment(format!("`{}` is not a private directory of yours", fallback.display()))
            .hint("set XDG_RUNTIME_DIR, or name a directory with `brig --runroot DIR`"))
    }
}

/// The socket of the bus of the systemd that makes scopes: the user's own, or the system's.
pub(crate) fn systemd_bus(rootless: bool) -> Result<PathBuf, Failure> {
    if !rootless {
        return Ok(PathBuf::from("/run/dbus/system_bus_socket"));
    }
    // A monitor has no environment: pam_systemd(8) makes the directory there.
    let usual = || PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
    let run = directory_variable("XDG_RUNTIME_DIR")
        .or_else(|| Some(usual()).filter(|run| is_private_directory(run)))
        .ok_or_else(|| {
            Failure::environment("XDG_RUNTIME_DIR names no directory, so there is no bus of yours")
        })?;
    Ok(run.join("bus"))
}

/// The bus of the systemd that makes our scopes: where systemd runs the machine (sd_booted(3)), with cgroup v2 alone,
/// and can be talked to. Elsewhere cgroups are directories that we make.
pub(crate) fn scope_bus() -> Option<PathBuf> {
    if !Path::new("/run/systemd/system").is_dir() || !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    {
        return None;
    }
    systemd_bus(!rustix::process::geteuid().is_root()).ok().filter(|socket| socket.exists())
}

/// A directory (not a link to one) that belongs to us and that nobody else can enter.
fn is_private_directory(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_mode & 0o077 == 0
    })
}

/// An environment variable that holds an absolute path; the XDG rules say to ignore any other value.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the program that reads the environment for its libraries"
)]
pub(crate) fn directory_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn absolute(value: &OsStr) -> Result<PathBuf, Failure> {
    let path = Path::new(value);
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    if value.is_empty() {
        return Err(Failure::user("a directory name is empty"));
    }
    let here = std::env::current_dir().map_err(Failure::environment)?;
    Ok(here.join(path))
}

/// Splits `--name=value`; a short flag has no inline value.
fn split_value(word: &OsStr) -> (&[u8], Option<&OsStr>) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) if bytes.starts_with(b"--") => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        _ => (bytes, None),
    }
}

fn missing_value(word: &OsStr) -> Failure {
    Failure::user(format!("`{}` needs a value", word.to_string_lossy()))
}

fn bad_value(flag: &str, value: &OsStr, expected: &str) -> Failure {
    Failure::user(format!("`{flag}` cannot be `{}`: use {expected}", value.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<(Global, Early, Vec<OsString>), String> {
        let mut global = Global::default();
        let mut args = words.iter().map(OsString::from).collect::<Vec<_>>().into_iter();
        let early = global.parse(&mut args).map_err(|failure| failure.chain())?;
        Ok((global, early, args.collect()))
    }

    #[test]
    fn flags_end_at_the_command() {
        let (global, early, rest) =
            parse(&["--root=/a", "--runroot", "/b", "--log-level", "debug", "run", "--root", "x"]).unwrap();
        assert_eq!(early, Early::Command);
        assert_eq!(global.root().unwrap(), Path::new("/a"));
        assert_eq!(global.runroot().unwrap(), Path::new("/b"));
        assert_eq!(global.log.level, LogLevel::Debug);
        assert_eq!(rest, ["run", "--root", "x"]);
    }

    #[test]
    fn bad_flags_are_refused() {
        for (words, message) in [
            (&["--nope"][..], "unknown flag `--nope`"),
            (&["--root"], "`--root` needs a value"),
            (&["--log-level=loud"], "`--log-level` cannot be `loud`: use error, warn, info or debug"),
            (&["--log-format", "xml"], "`--log-format` cannot be `xml`: use text or json"),
            (&["--root="], "a directory name is empty"),
        ] {
            assert_eq!(parse(words).unwrap_err(), message);
        }
    }

    #[test]
    fn help_and_version_come_before_the_command() {
        assert_eq!(parse(&["--help", "run"]).unwrap().1, Early::Help);
        assert_eq!(parse(&["-v"]).unwrap().1, Early::Version);
        assert_eq!(parse(&[]).unwrap().1, Early::Command);
    }
}
