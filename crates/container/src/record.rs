//! What is kept about a container on disk, in `config.json`.
//!
//! Every field that came after the first release has a default, so that an older record is read. A secret's value is
//! never in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::network::NetworkConfig;
use crate::protection::Protection;
use crate::value::secret::SecretRequest;
use crate::weakening::Weakening;

/// Docker's time between asking a container to stop and killing it, in seconds.
pub const STOP_TIMEOUT: u32 = 10;

/// What is kept about a container, beside its specification.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The image as it was named.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// Nanoseconds on top, which order those of one second.
    #[serde(default)]
    pub created_nanoseconds: u32,
    /// Whether it is removed when it ends.
    pub remove: bool,
    /// The program and its words.
    pub command: Vec<String>,
    /// The signal that asks it to stop.
    pub stop_signal: i32,
    /// Its labels: the image's and the person's.
    pub labels: BTreeMap<String, String>,
    /// What was opened.
    pub weakenings: Vec<Weakening>,
    /// Which protections are in force.
    pub protections: Vec<Protection>,
    /// Seconds between being asked to stop and being killed; [`STOP_TIMEOUT`] where none was given.
    #[serde(default)]
    pub stop_timeout: Option<u32>,
    /// Seconds after which it is ended, podman's `--timeout`.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// Whether it has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether its standard input is kept open.
    #[serde(default)]
    pub open_stdin: bool,
    /// Keys that leave it running, docker's grammar; the default's where none were given.
    #[serde(default)]
    pub detach_keys: Option<String>,
    /// What happens when it ends.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Where its output goes.
    #[serde(default)]
    pub log: LogConfig,
    /// How to find out whether it works.
    #[serde(default)]
    pub health: Option<Health>,
    /// Its network.
    #[serde(default)]
    pub network: NetworkConfig,
    /// Its process as `inspect` shows it.
    #[serde(default)]
    pub process: ProcessConfig,
    /// Which of its streams the command had that made it.
    #[serde(default)]
    pub attached: Streams,
    /// Its secrets, without what they hold.
    #[serde(default)]
    pub secrets: Vec<SecretRequest>,
    /// What is mounted, beside what every container has.
    #[serde(default)]
    pub mounts: Vec<MountPoint>,
}

/// Standard streams, as docker's `AttachStdin` and its like name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Streams {
    /// Whether input comes from there.
    pub stdin: bool,
    /// Whether output goes there.
    pub stdout: bool,
    /// Whether errors go there.
    pub stderr: bool,
}

/// One mount that the person or the image asked for, as docker's `inspect` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`, or `overlay`.
    pub kind: String,
    /// The volume's name.
    pub name: String,
    /// Path on the host; empty for memory.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// The volume's driver.
    pub driver: String,
    /// Options as they were typed.
    pub mode: String,
    /// Whether it is written to.
    pub rw: bool,
    /// `rprivate` and the like; of bind mounts only.
    pub propagation: String,
    /// Whether the volume goes with the container.
    pub anonymous: bool,
}

/// What happens when a container ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RestartPolicy {
    /// `no` (also when empty), `on-failure`, `always`, `unless-stopped`.
    pub name: String,
    /// Most restarts of `on-failure`; 0 is no limit.
    pub maximum_retry_count: u32,
}

impl RestartPolicy {
    /// As the monitor decides by it.
    ///
    /// # Errors
    /// A name that there is not: of a newer version.
    pub fn policy(&self) -> Result<monitor::restart::Policy, monitor::restart::UnknownPolicy> {
        use monitor::restart::Policy;
        match self.name.parse()? {
            Policy::OnFailure { .. } => Ok(Policy::OnFailure { maximum: self.maximum_retry_count }),
            other => Ok(other),
        }
    }
}

/// Where output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogConfig {
    /// The driver; `json-file` when empty.
    pub driver: String,
    /// Its options, as `--log-opt` names them.
    pub options: BTreeMap<String, String>,
}

/// How to find out whether a container works. Times are nanoseconds, and none is zero but `start_period`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Health {
    /// `CMD` and words, or `CMD-SHELL` and a line for the shell.
    pub test: Vec<String>,
    /// The shell's words.
    pub shell: Vec<String>,
    /// Between two checks.
    pub interval: i64,
    /// For one check.
    pub timeout: i64,
    /// In which failures do not count.
    pub start_period: i64,
    /// Between checks during the start period.
    pub start_interval: i64,
    /// Failures in a row that make the container unhealthy.
    pub retries: u32,
    /// `none`, `kill`, `restart` or `stop`: what happens then.
    pub on_failure: String,
    /// The check that comes before.
    pub startup: Option<Startup>,
}

/// Podman's startup check: until it succeeds the other one waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Startup {
    /// As [`Health::test`].
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: i64,
    /// For one check.
    pub timeout: i64,
    /// Failures after which the container is started again; 0 is never.
    pub retries: u32,
    /// Successes in a row after which it has started.
    pub successes: u32,
}

/// A container's process as `inspect` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProcessConfig {
    /// `NAME=value`.
    pub env: Vec<String>,
    /// As `--user` or the image has it.
    pub user: String,
    /// Working directory.
    pub workdir: String,
    /// The entrypoint, the image's or `--entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// Words after the entrypoint.
    pub arguments: Vec<String>,
    /// Host name.
    pub hostname: String,
    /// Ports that the image names, `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Paths that the image declares as volumes.
    pub image_volumes: Vec<String>,
}
