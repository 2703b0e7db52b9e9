//! Options before the command, and where messages go.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use cgroup::{Controllers, Driver, Hierarchies};
use runtime::CgroupOptions;
use runtime::state::StateRoot;

use super::Failed;

/// What help says about the options.
pub(super) const HELP: &str = "
Options:
  --root DIR            directory of the containers' state [/run/brig-runtime, $XDG_RUNTIME_DIR/brig-runtime]
  --log FILE            write messages there too
  --log-format FORMAT   text or json
  --debug               more messages
  --systemd-cgroup      let systemd make the cgroup
  --rootless BOOL       treat the caller as unprivileged: true, false or auto
  --criu PATH           ignored
  -h, --help            this text
  -v, --version         the version
";

/// The directory beside the containers that keeps compiled filters: no container can have its name.
const FILTER_CACHE: &str = "@seccomp-v1";

/// Options before the command.
#[derive(Debug, Default)]
pub(super) struct Options {
    root: Option<PathBuf>,
    log: Option<PathBuf>,
    json: bool,
    debug: bool,
    systemd: bool,
    rootless: Option<bool>,
    pub(super) help: bool,
    pub(super) version: bool,
}

impl Options {
    /// Takes the options off the front of `args`.
    pub(super) fn parse(args: &mut std::vec::IntoIter<OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(word) = args.as_slice().first() {
            if !word.as_bytes().starts_with(b"-") {
                break;
            }
            let word = args.next().unwrap_or_default();
            let text =
                word.to_str().ok_or_else(|| format!("option `{}` is no text", word.to_string_lossy()))?;
            // Go's flag package takes one dash or two.
            let bare = text.trim_start_matches('-');
            let (name, inline) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (bare, None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| args.next())
                    .ok_or_else(|| format!("option `--{name}` needs a value"))
            };
            match name {
                "root" => options.root = Some(PathBuf::from(value()?)),
                "log" => options.log = Some(PathBuf::from(value()?)),
                "log-format" => options.json = is_json(&value()?)?,
                "rootless" => options.rootless = boolean(&value()?)?,
                "criu" => drop(value()?),
                "debug" => options.debug = true,
                "systemd-cgroup" => options.systemd = inline.is_none_or(|value| value != "false"),
                "help" | "h" => options.help = true,
                "version" | "v" => options.version = true,
                _ => return Err(format!("unknown option `{text}`: `brig-runtime --help` lists them")),
            }
        }
        Ok(options)
    }

    /// The directory of the containers' state.
    pub(super) fn root(&self) -> Result<StateRoot, Failed> {
        let path = match &self.root {
            Some(root) => root.clone(),
            None => {
                let caller = Caller {
                    root: rustix::process::geteuid().is_root(),
                    mapped: in_user_namespace(),
                    named_root: std::env::var_os("USER").is_some_and(|user| user == "root"),
                };
                caller
                    .state_directory(std::env::var_os("XDG_RUNTIME_DIR"))
                    .ok_or("XDG_RUNTIME_DIR is not set: name a directory with `--root`")?
            }
        };
        Ok(StateRoot::open(&path)?)
    }

    /// The directory of compiled filters; without one each start compiles anew.
    pub(super) fn filter_cache(root: &StateRoot) -> Option<std::os::fd::OwnedFd> {
        let path = root.path().join(FILTER_CACHE);
        match rustix::fs::mkdir(&path, rustix::fs::Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => files::open_directory(&path).ok(),
            Err(_) => None,
        }
    }

    /// How the container's cgroup is made.
    ///
    /// An engine names the cgroup, and reads its statistics and changes its limits later: on v1 the container
    /// then joins every hierarchy. A bundle run by hand joins those that its limits need.
    pub(super) fn cgroup(&self, spec: &oci::runtime::Spec) -> Result<CgroupOptions, Failed> {
        let named = spec.linux.as_ref().is_some_and(|linux| linux.cgroups_path.is_some());
        let rootless =
            self.rootless.unwrap_or_else(|| !rustix::process::geteuid().is_root() || in_user_namespace());
        let bus = if self.systemd { Some(crate::global::systemd_bus(rootless)?) } else { None };
        Ok(CgroupOptions {
            driver: if self.systemd { Driver::Systemd } else { Driver::Filesystem },
            rootless,
            hierarchies: if named { Hierarchies::All } else { Hierarchies::Needed },
            controllers: Controllers::NONE,
            bus,
        })
    }

    /// Tells a failure on standard error and in the log.
    pub(super) fn report(&self, error: &dyn std::error::Error) {
        self.message("error", &files::chain(error));
    }

    /// Tells warnings of a command whose standard error is the payload's as well: to the log, or where `--debug`
    /// asks for them. An engine would hand them on as output of the container.
    pub(super) fn warn_beside_payload(&self, warnings: &[String]) {
        if self.log.is_some() || self.debug {
            self.warn(warnings);
        }
    }

    /// Tells warnings.
    pub(super) fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            self.message("warning", warning);
        }
    }

    fn message(&self, level: &str, text: &str) {
        let text = &*crate::error::shorten(text);
        // Engines read the error from the log; a line on standard error is for people. Warnings go to
        // whichever there is, once.
        if level == "error" || self.log.is_none() {
            crate::output::error_line(&format!("brig-runtime: {level}: {text}"));
        }
        let Some(path) = &self.log else { return };
        let line = if self.json {
            let time = runtime::state::now();
            format!("{}\n", serde_json::json!({ "level": level, "msg": text, "time": time }))
        } else {
            format!("time=\"{}\" level={level} msg={text:?}\n", runtime::state::now())
        };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            crate::output::error_line(&format!("brig-runtime: write `{}`: {error}", path.display()));
        }
    }
}

/// Who calls, as far as it decides where state is kept.
struct Caller {
    root: bool,
    /// In a user namespace: podman calls a user's runtime as root of one.
    mapped: bool,
    /// `USER` says root: in a user namespace, somebody who became root in a container.
    named_root: bool,
}

impl Caller {
    /// The directory that runc's rule chooses: a user's own also when he is root of a user namespace.
    fn state_directory(&self, run: Option<OsString>) -> Option<PathBuf> {
        let system = || PathBuf::from("/run/brig-runtime");
        match run.map(|run| PathBuf::from(run).join("brig-runtime")) {
            _ if self.root && (!self.mapped || self.named_root) => Some(system()),
            Some(own) => Some(own),
            None => self.root.then(system),
        }
    }
}

/// Whether this process's ids are not those of the machine (user_namespaces(7)).
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && !map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

fn is_json(value: &OsStr) -> Result<bool, String> {
    match value.as_bytes() {
        b"json" => Ok(true),
        b"text" => Ok(false),
        _ => Err(format!("unknown log format `{}`: use text or json", value.to_string_lossy())),
    }
}

fn boolean(value: &OsStr) -> Result<Option<bool>, String> {
    match value.as_bytes() {
        b"true" | b"1" => Ok(Some(true)),
        b"false" | b"0" => Ok(Some(false)),
        b"auto" => Ok(None),
        _ => Err(format!("`--rootless` cannot be `{}`: use true, false or auto", value.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_state_is_his_own_also_in_a_namespace() {
        let (system, own) = (Some("/run/brig-runtime"), Some("/run/user/7/brig-runtime"));
        for (root, mapped, named_root, set, expected) in [
            (true, false, true, true, system),
            (true, false, false, true, system),
            (true, true, false, true, own),
            (true, true, true, true, system),
            (true, true, false, false, system),
            (false, false, false, true, own),
            (false, true, false, true, own),
            (false, false, false, false, None),
        ] {
            let caller = Caller { root, mapped, named_root };
            let run = set.then(|| OsString::from("/run/user/7"));
            let directory = caller.state_directory(run);
            assert_eq!(
                directory.as_deref(),
                expected.map(std::path::Path::new),
                "{root} {mapped} {named_root} {set}"
            );
        }
    }
}
