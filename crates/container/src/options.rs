//! What a person asked for, as types.

use std::path::PathBuf;

use oci::runtime::IdMapping;
use serde::{Deserialize, Serialize};

use crate::capability::Word;
use crate::network::NetworkOptions;
use crate::notify::Notify;
use crate::profile::Profile;
use crate::record::{LogConfig, RestartPolicy, Streams};
use crate::value::device::{BlockValue, DeviceRequest, DeviceRuleRequest};
use crate::value::environment::Entry;
use crate::value::health::HealthOptions;
use crate::value::ids::UserNamespace;
use crate::value::mount::MountRequest;
use crate::value::name::Name;
use crate::value::rlimit::Ulimit;
use crate::value::secret::SecretRequest;
use crate::value::sysctl::Sysctl;

/// Everything that the flags of `brig run` can say. The default is what no flag at all says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    /// `--profile`.
    pub profile: Profile,
    /// `--privileged`.
    pub privileged: bool,
    /// `--name`.
    pub name: Option<Name>,
    /// `--rm`.
    pub remove: bool,
    /// `-i`.
    pub interactive: bool,
    /// `-t`.
    pub terminal: bool,
    /// Who and what runs.
    pub process: ProcessOptions,
    /// Namespaces.
    pub namespaces: NamespaceOptions,
    /// `-v`, `--mount`, `--tmpfs`, in the order given.
    pub mounts: Vec<MountRequest>,
    /// `--secret`.
    pub secrets: Vec<SecretRequest>,
    /// `--volumes-from`.
    pub volumes_from: Vec<String>,
    /// `--image-volume ignore`.
    pub ignore_image_volumes: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `--read-only-tmpfs`: memory on what a program writes to.
    pub scratch: bool,
    /// `--shm-size` in bytes.
    pub shm_size: Option<i64>,
    /// `--storage-opt size=`: the most bytes of its writable layer.
    pub layer_size: Option<u64>,
    /// `--allow-host-path`, resolved.
    pub allowed_host_paths: Vec<PathBuf>,
    /// `--device`.
    pub devices: Vec<DeviceRequest>,
    /// `--device-cgroup-rule`.
    pub device_rules: Vec<DeviceRuleRequest>,
    /// Capabilities, filter, labels, masks.
    pub security: SecurityOptions,
    /// Cgroup limits.
    pub limits: LimitOptions,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--sysctl`.
    pub sysctls: Vec<Sysctl>,
    /// `--label` and `--label-file`.
    pub labels: Vec<(String, String)>,
    /// `--annotation`.
    pub annotations: Vec<(String, String)>,
    /// Contents of `/etc/hosts` and `/etc/resolv.conf`.
    pub names: NameOptions,
    /// `--network`, `--publish`.
    pub network: NetworkOptions,
    /// `--require-all`.
    pub require_all: bool,
    /// Whether a monitor watches it; otherwise the command that runs it does.
    pub detached: bool,
    /// Which of its streams the command that makes it has.
    pub attached: Streams,
    /// `--restart`.
    pub restart: RestartPolicy,
    /// `--log-driver` and `--log-opt`.
    pub log: LogConfig,
    /// `--health-*`.
    pub health: HealthOptions,
    /// `--stop-timeout` in seconds.
    pub stop_timeout: Option<u32>,
    /// `--timeout` in seconds.
    pub timeout: Option<u32>,
    /// `--detach-keys`.
    pub detach_keys: Option<String>,
    /// `--pidfile`, absolute.
    pub pid_file: Option<PathBuf>,
    /// `--sdnotify`.
    pub notify: Notify,
}

/// Who and what runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProcessOptions {
    /// Words after the image.
    pub command: Vec<String>,
    /// `--entrypoint`; an empty list clears the image's.
    pub entrypoint: Option<Vec<String>>,
    /// `--user`.
    pub user: Option<String>,
    /// `--group-add`.
    pub group_add: Vec<String>,
    /// `--workdir`.
    pub workdir: Option<String>,
    /// `--env-file`, then `--env`: later entries win.
    pub environment: Vec<Entry>,
    /// `--env-host`.
    pub environment_host: bool,
    /// `--env-merge`: values in which `${NAME}` is what the image sets.
    pub environment_merge: Vec<(String, String)>,
    /// `--unsetenv`.
    pub environment_unset: Vec<String>,
    /// `--unsetenv-all`: nothing of what the image sets.
    pub environment_cleared: bool,
    /// `--tz`.
    pub time_zone: Option<String>,
    /// `--personality`.
    pub personality: Option<String>,
    /// `--http-proxy`.
    pub http_proxy: bool,
    /// `--umask`.
    pub umask: Option<u32>,
    /// `--init`.
    pub init: bool,
    /// `--stop-signal`.
    pub stop_signal: Option<String>,
    /// `--oom-score-adj`.
    pub oom_score_adj: Option<i32>,
}

/// Whether a namespace is the container's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sharing {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, by name or id; for processes, shared memory and the host name.
    Container(String),
}

impl Sharing {
    /// The container whose namespace it is.
    pub(crate) fn container(&self) -> Option<&str> {
        match self {
            Self::Container(name) => Some(name),
            Self::Private | Self::Host => None,
        }
    }
}

/// Namespaces.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NamespaceOptions {
    /// `--userns`.
    pub user: UserNamespace,
    /// `--uidmap`; with `--gidmap` it replaces `--userns`.
    pub uid_map: Vec<IdMapping>,
    /// `--gidmap`.
    pub gid_map: Vec<IdMapping>,
    /// `--pid`.
    pub pid: Sharing,
    /// `--ipc`.
    pub ipc: Sharing,
    /// `--uts`.
    pub uts: Sharing,
    /// `--cgroupns`.
    pub cgroup: Sharing,
    /// `--network`: its own (with the loopback device only) or the host's.
    pub network: Sharing,
    /// `--hostname`.
    pub host_name: Option<String>,
    /// `--domainname`.
    pub domain_name: Option<String>,
}

/// Which system call filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SeccompChoice {
    /// The profile's own.
    #[default]
    Profile,
    /// The profile's own and a named set on top of it: `debug`, `compat32`, `nested`.
    Set(String),
    /// Docker's.
    Docker,
    /// A profile of the person's own, as JSON.
    Custom {
        /// The file's name, for messages.
        path: String,
        /// Its content: an OCI filter, or the conditional form of docker and podman.
        json: Vec<u8>,
    },
    /// None.
    Unconfined,
}

/// Parts of an SELinux context; the default's where they are unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelOptions {
    /// `disable`: no label of its own.
    pub disable: bool,
    /// `user:`.
    pub user: Option<String>,
    /// `role:`.
    pub role: Option<String>,
    /// `type:`.
    pub kind: Option<String>,
    /// `level:`: sensitivity and categories.
    pub level: Option<String>,
    /// `filetype:`: the type of the container's files.
    pub file_kind: Option<String>,
}

/// Capabilities, filter, labels, masks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityOptions {
    /// `--cap-add`.
    pub capabilities_add: Vec<Word>,
    /// `--cap-drop`.
    pub capabilities_drop: Vec<Word>,
    /// `--security-opt seccomp=`.
    pub seccomp: SeccompChoice,
    /// `--security-opt no-new-privileges`; the profile's choice if unset.
    pub no_new_privileges: Option<bool>,
    /// `--security-opt apparmor=`.
    pub apparmor: Option<String>,
    /// `--security-opt label=`.
    pub label: LabelOptions,
    /// `--security-opt mask=`: more paths to hide.
    pub mask: Vec<String>,
    /// `--unmask`, `--security-opt unmask=`: paths to show, or `ALL`.
    pub unmask: Vec<String>,
}

/// Cgroup limits. All are unset by default; the profile's own defaults come on top where the host can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LimitOptions {
    /// `--memory` in bytes.
    pub memory: Option<i64>,
    /// `--memory-reservation` in bytes.
    pub memory_reservation: Option<i64>,
    /// `--memory-swap`: memory and swap together in bytes, -1 for no limit.
    pub memory_swap: Option<i64>,
    /// `--memory-swappiness`, 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// `--oom-kill-disable`.
    pub oom_kill_disable: bool,
    /// `--cpus` in thousandths.
    pub cpus: Option<u64>,
    /// `--cpu-shares`.
    pub cpu_shares: Option<u64>,
    /// `--cpu-period` in microseconds.
    pub cpu_period: Option<u64>,
    /// `--cpu-quota` in microseconds.
    pub cpu_quota: Option<i64>,
    /// `--cpuset-cpus`.
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<String>,
    /// `--pids-limit`; -1 and 0 mean none.
    pub pids: Option<i64>,
    /// `--blkio-weight`, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// `--blkio-weight-device`.
    pub blkio_weight_device: Vec<BlockValue>,
    /// `--device-read-bps`.
    pub device_read_bps: Vec<BlockValue>,
    /// `--device-write-bps`.
    pub device_write_bps: Vec<BlockValue>,
    /// `--device-read-iops`.
    pub device_read_iops: Vec<BlockValue>,
    /// `--device-write-iops`.
    pub device_write_iops: Vec<BlockValue>,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
    /// `--cgroup-conf`: files of cgroup v2 and what is written into them.
    pub files: std::collections::BTreeMap<String, String>,
}

/// Contents of `/etc/hosts` and `/etc/resolv.conf`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NameOptions {
    /// `--add-host`.
    pub hosts: Vec<(String, std::net::IpAddr)>,
    /// `--add-host NAME:host-gateway`.
    pub gateway: Vec<String>,
    /// `--no-hosts`: the image's file is left alone.
    pub no_hosts: bool,
    /// `--hosts-file`: what the file begins with.
    pub base_hosts: Option<String>,
    /// `--no-hostname`: the image's file is left alone.
    pub no_host_name: bool,
    /// `--dns`.
    pub servers: Vec<std::net::IpAddr>,
    /// `--dns-search`.
    pub search: Vec<String>,
    /// `--dns-option`.
    pub options: Vec<String>,
}
