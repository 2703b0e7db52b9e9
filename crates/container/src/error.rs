//! What can be wrong with a request to run a container.

use std::path::PathBuf;

use crate::protection::Protection;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A flag's value does not follow its grammar.
    #[error("`{flag}` cannot be `{value}`: {reason}")]
    Value {
        /// The flag as typed.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Two flags, or a flag and a profile, contradict each other.
    #[error("`{first}` and `{second}` exclude each other: {reason}")]
    Conflict {
        /// One of the two.
        first: String,
        /// The other.
        second: String,
        /// Why.
        reason: &'static str,
    },
    /// A flag or value that a later release brings.
    #[error("`{what}` is not there yet: {instead}")]
    NotYet {
        /// The flag, with its value where that matters.
        what: String,
        /// What to do today.
        instead: &'static str,
    },
    /// A user or group that the image does not know, or a number that is no id.
    #[error("user `{value}`: {reason}")]
    User {
        /// As given by `--user`, `--group-add` or the image.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something in the image's configuration cannot be used.
    #[error("the image's `{field}` is `{value}`: {reason}")]
    Image {
        /// The field of the image configuration.
        field: &'static str,
        /// What it holds.
        value: String,
        /// Why that is refused.
        reason: String,
    },
    /// Neither the image nor the command line names a program.
    #[error("the image names no program to run: add a command after it")]
    NoCommand,
    /// A host path that opens the machine.
    #[error("`{}` is refused as a mount: {reason}", path.display())]
    HostPath {
        /// The path after its symlinks were resolved.
        path: PathBuf,
        /// What it would open.
        reason: &'static str,
    },
    /// The source of a bind mount or device could not be looked at.
    #[error("`{}`", path.display())]
    Source {
        /// The path as typed.
        path: PathBuf,
        /// Why.
        source: rustix::io::Errno,
    },
    /// A user namespace map cannot be made.
    #[error("map the container's users")]
    Ids(#[from] idmap::Error),
    /// A container of that name exists.
    #[error("the name `{name}` belongs to container `{id}`")]
    NameInUse {
        /// The name.
        name: String,
        /// The short id of its holder.
        id: String,
    },
    /// A container's volume is gone.
    #[error("no such volume: {name}")]
    NoVolume {
        /// Its name.
        name: String,
    },
    /// A part of a volume that is not there, or cannot be reached.
    #[error("`{}` in volume `{name}`", path.escape_debug())]
    Subpath {
        /// The volume.
        name: String,
        /// The path in it.
        path: String,
        /// Why.
        source: rustix::io::Errno,
    },
    /// A secret could not be used.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// A volume could not be used.
    #[error(transparent)]
    Volume(#[from] volume::Error),
    /// Its writable layer cannot be kept below a size, or no longer is.
    #[error("the size of the container's writable layer")]
    Quota(#[from] files::quota::Error),
    /// There is no such container, or several ids start so.
    #[error("no container `{name}`")]
    NoContainer {
        /// What was asked for.
        name: String,
    },
    /// A container that does not run cannot do what was asked.
    #[error("container `{id}` is not running")]
    NotRunning {
        /// Its short id.
        id: String,
    },
    /// A container of the foreground that goes away has nothing to start again from.
    #[error("container `{id}` cannot be started again: it was run in the foreground, to be removed")]
    NotStartable {
        /// Its short id.
        id: String,
    },
    /// A command in the foreground has the container's streams.
    #[error("container `{id}` runs in the foreground of another command, which has its streams")]
    Foreground {
        /// Its short id.
        id: String,
    },
    /// A container's state forbids what was asked.
    #[error("container `{id}` is {status}")]
    Status {
        /// Its short id.
        id: String,
        /// Docker's word.
        status: &'static str,
    },
    /// A container's monitor could not start it.
    #[error("{message}")]
    Start {
        /// What it said.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// The exit code of the command.
        code: u8,
    },
    /// Root's files belong to root: there is no namespace of his own to enter.
    #[error("you are root: the store's files are yours, so there is no user namespace to enter")]
    RootNeedsNone,
    /// A program of the host's cannot be executed.
    #[error("execute `{}`", path.display())]
    Program {
        /// As it was named.
        path: PathBuf,
        /// Why.
        source: rustix::io::Errno,
        /// 127 where it is not there, else 126.
        code: u8,
    },
    /// A process did not end.
    #[error("container `{id}` did not end after it was killed")]
    StillRunning {
        /// Its short id.
        id: String,
    },
    /// Nobody said how to find out whether the container works.
    #[error("container `{id}` has no health check")]
    NoHealthcheck {
        /// Its short id.
        id: String,
    },
    /// The log that the container's output is to be sent to is not there.
    #[error("nobody listens for the log driver `{driver}`")]
    NoReceiver {
        /// The driver.
        driver: String,
        /// What the system says.
        source: rustix::io::Errno,
    },
    /// The container's log is not kept where it could be read.
    #[error("container `{id}` keeps no log: its driver is `{driver}`")]
    NoLog {
        /// Its short id.
        id: String,
        /// The driver.
        driver: String,
    },
    /// A container that runs is not removed unasked.
    #[error("container `{id}` is running")]
    Running {
        /// Its short id.
        id: String,
    },
    /// A container's record cannot be read.
    #[error("the record of container `{id}` is damaged")]
    Damaged {
        /// Its id.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A container's files could not be removed.
    #[error("remove container `{id}`: {reason}")]
    Remove {
        /// Its id.
        id: String,
        /// What the child said.
        reason: String,
    },
    /// A helper process could not do its work.
    #[error("{message}")]
    Helper {
        /// What it said, without control characters.
        message: String,
    },
    /// Somebody is about to start the container.
    #[error("container `{id}` is being started or changed")]
    Busy {
        /// Its short id.
        id: String,
    },
    /// A copy that makes no sense.
    #[error("copy `{}`: {reason}", .path.escape_debug())]
    Copy {
        /// The path as it was given.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The system refused something.
    #[error("{action} `{}`", path.display())]
    System {
        /// What we tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: rustix::io::Errno,
    },
    /// A file of the engine could not be read or written.
    #[error("the engine's own files")]
    Files(#[from] files::Error),
    /// The container's network.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The runtime could not start the container, or lost it.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// The image could not be found or used.
    #[error("use the image")]
    Store(#[from] store::Error),
    /// `--require-all` and at least one protection is not applied in full.
    #[error("`--require-all`: {}", list(.0))]
    Unprotected(Vec<Protection>),
}

impl Error {
    pub(crate) fn value(flag: &'static str, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { flag, value: value.into(), reason: reason.into() }
    }

    /// The exit code that docker gives for it: 127 where the program does not exist, 126 where it cannot be
    /// executed, 125 for everything of the engine.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Runtime(error) => error.exit_code(),
            Self::Start { code, .. } | Self::Program { code, .. } => *code,
            _ => 125,
        }
    }

    /// What to type or to do next, where there is something better to say than the message.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::HostPath { path, .. } => {
                Some(format!("if that is meant, add `--allow-host-path {}`", path.display()))
            }
            Self::Source { path, source }
                if *source == rustix::io::Errno::NOENT && !path.starts_with("/dev") =>
            {
                Some(format!("create it first: `mkdir -p {}`", path.display()))
            }
            Self::Network(error) => error.hint(),
            Self::Runtime(runtime::Error::Connect(source)) => {
                source.downcast_ref::<Self>().and_then(Self::hint)
            }
            Self::Runtime(error) => error.hint(),
            Self::Secret(error) => error.hint().map(str::to_owned),
            Self::Volume(error) => error.hint().map(str::to_owned),
            Self::Quota(error) => Some(error.hint().to_owned()),
            Self::Start { hint, .. } => hint.clone(),
            Self::RootNeedsNone => Some("run the program as it is, without `brig unshare`".to_owned()),
            Self::NotRunning { id } => Some(format!("`brig start {id}` starts it")),
            Self::NameInUse { .. } => {
                Some("choose another name, or remove that container with `brig rm`".to_owned())
            }
            Self::Busy { .. } => Some("try again in a moment".to_owned()),
            Self::Running { .. } => Some("end it first, or use `brig rm --force`".to_owned()),
            Self::Ids(_) => Some("`brig doctor` says what is missing and how to mend it".to_owned()),
            Self::Unprotected(_) => Some("`brig doctor` says how to get each protection".to_owned()),
            _ => None,
        }
    }
}

fn list(protections: &[Protection]) -> String {
    let lines: Vec<String> = protections.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
