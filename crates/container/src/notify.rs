//! `--sdnotify`: what the service manager that started the caller is told (sd_notify(3)).

use std::os::fd::{AsFd, OwnedFd};

use monitor::notify;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::run::Site;
use crate::value::name::ContainerId;

/// The variable with the manager's socket, of the caller and in the container.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";
/// Where a container has the directory with its socket.
pub(crate) const DIRECTORY: &str = "/run/notify";
/// Its name beside the container's `hosts`.
pub(crate) const NAME: &str = "notify";

/// Who says that the container is up, in podman's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Notify {
    /// Nobody.
    #[default]
    Ignore,
    /// We do, once its payload runs.
    Conmon,
    /// Its payload does, by a socket of its own.
    Container,
}

impl Notify {
    /// Parses the flag's value.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "ignore" => Ok(Self::Ignore),
            "conmon" => Ok(Self::Conmon),
            "container" => Ok(Self::Container),
            _ => {
                let reason = "use conmon, container or ignore";
                Err(Error::value("--sdnotify", text.escape_debug().to_string(), reason))
            }
        }
    }
}

/// The caller's manager, where he has one that can be told.
pub(crate) fn target<'a>(site: &'a Site<'_>) -> Option<&'a str> {
    let (_, value) = site.environment.iter().find(|(name, _)| name == VARIABLE)?;
    Some(value.as_str()).filter(|value| notify::is_address(value))
}

/// Tells the manager which process is the service's from now on, and that it is up where we say that. The caller is the
/// process that the manager started: nobody else is heard where `NotifyAccess=main`.
pub(crate) fn started(site: &Site<'_>, mode: Notify, monitor: i32, warn: &dyn Fn(&str)) {
    let Some(target) = target(site) else { return };
    let message = match mode {
        Notify::Ignore => return,
        Notify::Conmon => format!("{}\nMAINPID={monitor}", notify::READY),
        Notify::Container => format!("MAINPID={monitor}"),
    };
    if let Err(errno) = notify::send(target, &message) {
        warn(&format!("the service manager at {} was not told: {errno}", target.escape_debug()));
    }
}

/// Makes the socket that a container says by that it is up.
pub(crate) fn listen(containers: &Containers<'_>, id: &ContainerId) -> Result<OwnedFd> {
    let failed = |source| Error::System { action: "make", path: containers.etc(id).join(NAME), source };
    let parent = containers.make_etc(id)?;
    match rustix::fs::mkdirat(&parent, NAME, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&parent, NAME, flags, Mode::empty()).map_err(failed)?;
    // Whatever the caller's umask.
    rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o755)).map_err(failed)?;
    notify::listen(directory.as_fd()).map_err(failed)
}
