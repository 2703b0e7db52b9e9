//! What can go wrong.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::child::{Failure, Operation};
use crate::plan::Refusal;

/// An operation of the runtime that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The spec cannot become a container.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bundle's `config.json` cannot be read as one.
    #[error("`{path}` is no runtime spec")]
    Spec {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The caller could not connect the container's network.
    #[error("connect the container's network")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A step in the container's process failed.
    #[error("{step}: {}: {}", .failure.operation.text(), .failure.errno)]
    Step {
        /// The step, as the plan prints it.
        step: String,
        /// What the kernel said.
        failure: Failure,
    },
    /// The program was not found in the container's root.
    #[error("`{}`: {}", program.escape_debug(), not_executable(program, *errno))]
    Program {
        /// `argv[0]`.
        program: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The process died before it said why.
    #[error("the container's process ended during set-up ({0})")]
    Died(String),
    /// The seccomp profile.
    #[error(transparent)]
    Seccomp(#[from] seccomp::Error),
    /// The id maps.
    #[error(transparent)]
    IdMap(#[from] idmap::Error),
    /// Layers for a container with a user namespace of its own.
    #[error("the container's own ids cannot be mapped to the layers: {0}")]
    IdMappedLayers(Errno),
    /// The cgroup.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// systemd's driver on a machine whose controllers are not those of cgroup v2.
    #[error("systemd makes cgroups on a machine with cgroup v2 only: leave out `--systemd-cgroup` here")]
    SystemdCgroup,
    /// A file.
    #[error(transparent)]
    Files(files::Error),
    /// The source of a bind mount is not what the caller looked at.
    #[error(
        "`{path}` was replaced while the container was made: somebody else can write to a directory above it"
    )]
    SourceReplaced {
        /// The path.
        path: String,
    },
    /// A system call.
    #[error("{action} {object}: {errno}")]
    System {
        /// What was tried.
        action: &'static str,
        /// On what.
        object: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A container id that could leave its directory.
    #[error("`{0}` is no container id: 1 to 1024 of letters, digits, `_`, `+`, `-`, `.`, not `.` or `..`")]
    BadId(String),
    /// No such container.
    #[error("container `{0}` does not exist")]
    NoContainer(String),
    /// It exists already.
    #[error("container with id `{0}` already exists")]
    Exists(String),
    /// The state does not allow it.
    #[error("cannot {action} container `{id}`: {}", why_not(status))]
    WrongStatus {
        /// What was asked for.
        action: &'static str,
        /// Which container.
        id: String,
        /// Its status.
        status: &'static str,
    },
    /// Its namespaces are those of no thread that could be asked for them.
    #[error(
        "cannot exec in container `{id}`: the first thread of its first process has ended, and with it the way to its namespaces"
    )]
    NoLeader {
        /// Which container.
        id: String,
    },
    /// A hook in the runtime's namespaces failed.
    #[error("{kind} hook `{path}`: {reason}")]
    Hook {
        /// Which kind.
        kind: &'static str,
        /// Program.
        path: String,
        /// How it failed.
        reason: String,
    },
    /// What the kernel shows is not what was planned: the container was killed.
    #[error("the container was killed, since {what} is `{found}` and not `{expected}`")]
    Mismatch {
        /// What was read back.
        what: &'static str,
        /// What was planned.
        expected: String,
        /// What it is.
        found: String,
    },
    /// An SELinux label that the policy of this machine does not have.
    #[error("the policy of this machine has no SELinux label `{label}`: {errno}")]
    Label {
        /// As the spec has it.
        label: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A label that the security module does not have.
    #[error("{what} `{label}` is not loaded here")]
    UnknownLabel {
        /// Whose label.
        what: &'static str,
        /// The label.
        label: String,
    },
    /// A security module does not let the program start under the label that was asked for.
    #[error("{what} `{label}` does not let the program start: {errno}")]
    Confined {
        /// Whose label.
        what: &'static str,
        /// The label.
        label: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The terminal and its options do not fit together.
    #[error("{0}")]
    Terminal(&'static str),
    /// A state file cannot be read.
    #[error("the state of container `{id}` is damaged")]
    State {
        /// Which container.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// containerd and podman look for `container not running`, and take it for success of a kill.
fn why_not(status: &str) -> String {
    if status == "stopped" { "container not running".to_owned() } else { format!("it is {status}") }
}

impl Error {
    /// The exit code that docker and runc give for it: 127 where the program does not exist, 126 where it
    /// cannot be executed, 125 for everything of ours.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Program { errno: Errno::NOENT, .. } => 127,
            Self::Program { .. } => 126,
            Self::Step { failure: Failure { operation: Operation::Execute, .. }, .. } => 126,
            // As docker makes them of runc's message, whose error is of the directory.
            Self::Step { failure: Failure { operation: Operation::WorkingDirectory, errno }, .. } => {
                if matches!(*errno, Errno::NOENT | Errno::NOTDIR) { 127 } else { 126 }
            }
            Self::Confined { .. } => 126,
            _ => 125,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::IdMap(_) => Some("`brig doctor` tells what the user namespace lacks".to_owned()),
            Self::IdMappedLayers(_) => Some(
                "it takes Linux 5.19 and a store on ext4, xfs, btrfs or tmpfs (Linux 6.3); `--userns=host` does without"
                    .to_owned(),
            ),
            Self::Cgroup(error) => error.hint().map(str::to_owned),
            Self::Confined { .. } => {
                Some("the kernel's log names the rule: `dmesg`, or `ausearch -m avc,user_avc`".to_owned())
            }
            Self::UnknownLabel { .. } => Some(
                "root sees what is loaded in /sys/kernel/security/apparmor/profiles; `apparmor_parser --replace FILE` loads"
                    .to_owned(),
            ),
            Self::Step { failure, .. } if matches!(failure.errno, Errno::PERM | Errno::ACCESS) => {
                Some(match idmap::doctor::powerless() {
                    Some((reason, Some(mend))) => format!("{reason}: as root run `{mend}`"),
                    Some((reason, None)) => reason,
                    None => "`brig doctor` tells what this host refuses".to_owned(),
                })
            }
            _ => None,
        }
    }

    pub(crate) fn system(action: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self::System { action, object: object.into(), errno }
    }
}

/// Why a program cannot be executed, in the words that Docker and podman look for in a runtime's message to choose
/// between the exit codes 127 and 126.
fn not_executable(program: &str, errno: Errno) -> String {
    match errno {
        Errno::NOENT if program.contains('/') => "no such file or directory in the container".to_owned(),
        Errno::NOENT => "executable file not found in $PATH of the container".to_owned(),
        Errno::ACCESS => "permission denied: it is no executable file".to_owned(),
        other => other.to_string(),
    }
}

/// Result of the runtime.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_cannot_write_lines_of_its_own() {
        let program = "x\nwarning: forged \u{1b}[2J".to_owned();
        let text = Error::Program { program, errno: Errno::NOENT }.to_string();
        assert!(!text.contains(['\n', '\u{1b}']), "{text}");
    }

    #[test]
    fn engines_find_their_words() {
        let rows = [
            ("/none", Errno::NOENT, "no such file or directory"),
            ("none", Errno::NOENT, "executable file not found in $PATH"),
            ("/etc", Errno::ACCESS, "permission denied"),
            ("/etc/passwd/x", Errno::NOTDIR, "not a directory"),
        ];
        for (program, errno, words) in rows {
            let text = Error::Program { program: program.to_owned(), errno }.to_string();
            assert!(text.contains(program) && text.to_lowercase().contains(&words.to_lowercase()), "{text}");
        }
    }
}
