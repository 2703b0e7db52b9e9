//! What can be wrong with a container's network.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::port::Protocol;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of `--publish`, `--expose` or `--network` that does not follow its grammar.
    #[error("`{flag}` cannot be `{}`: {reason}", value.escape_debug())]
    Value {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
    /// A port of the host that cannot be had.
    #[error("port `{address}/{protocol}` of the host: {reason}")]
    Port {
        /// Address and port.
        address: SocketAddr,
        /// Its protocol.
        protocol: Protocol,
        /// Why not.
        reason: &'static str,
        /// What the system said.
        source: Errno,
    },
    /// Nothing on this host can connect a container.
    #[error("no network for containers: {0}")]
    Unavailable(String),
    /// The program that connects a container said no.
    #[error("`{}` could not connect the container: {said}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Its own words, escaped, on one line.
        said: String,
    },
    /// The system refused something.
    #[error("{action} {object}")]
    System {
        /// What we tried.
        action: &'static str,
        /// On what.
        object: &'static str,
        /// Why.
        source: Errno,
    },
    /// A file of the engine could not be read or written.
    #[error("the files of the container's network")]
    Files(#[from] files::Error),
}

impl Error {
    pub(crate) fn system(action: &'static str, object: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::System { action, object, source }
    }

    pub(crate) fn value(flag: &'static str, value: &str, reason: &'static str) -> Self {
        Self::Value { flag, value: value.to_owned(), reason }
    }

    /// What to type or to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Port { source: Errno::ACCESS | Errno::PERM, address, .. } => Some(format!(
                "publish a port from 1024 on, or let every user have it: `sysctl net.ipv4.ip_unprivileged_port_start={}`",
                address.port()
            )),
            Self::Port { source: Errno::ADDRINUSE, .. } => {
                Some("name another port of the host, or none: `-p PORT` takes a free one".to_owned())
            }
            Self::Port { source: Errno::ADDRNOTAVAIL, .. } => {
                Some("`ip address` lists the host's own".to_owned())
            }
            Self::Unavailable(_) => {
                Some("install passt, or run with `--network none` or `--network host`".to_owned())
            }
            _ => None,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
