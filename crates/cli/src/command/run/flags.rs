//! The flags of `brig run`: docker's names and grammar, values as text.
//!
//! What a value means is decided in [`super::options`]; here is only which flag takes one, how often, and
//! what help says.

use std::ffi::OsString;

use clap::Parser;
use clap::builder::BoolishValueParser;

use super::health::HealthArguments;
use super::limits::LimitFlags;

/// Run a program in a new container
#[derive(Clone, Debug, Parser)]
#[command(
    override_usage = "brig run [FLAGS] IMAGE [COMMAND [WORDS...]]",
    disable_help_flag = true,
    args_override_self = true
)]
pub(super) struct Flags {
    /// Name of the container
    #[arg(long, value_name = "NAME", help_heading = "Container")]
    pub(super) name: Option<String>,
    /// Remove the container when it ends
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) rm: bool,
    /// Run in the background and print the container's id
    #[arg(short = 'd', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) detach: bool,
    /// Keys that leave a terminal's container running, ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS", help_heading = "Container")]
    pub(super) detach_keys: Option<String>,
    /// Remove a container of that name first
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) replace: bool,
    /// Where output goes: json-file, k8s-file, journald, syslog or none
    #[arg(long, value_name = "DRIVER", help_heading = "Output")]
    pub(super) log_driver: Option<String>,
    /// Of the log: max-size=, max-file=, labels=, env=, tag=, mode= and more
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Output")]
    pub(super) log_opt: Vec<String>,
    #[command(flatten)]
    pub(super) health: HealthArguments,
    /// no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY", help_heading = "Container")]
    pub(super) restart: Option<String>,
    /// Seconds between being asked to stop and being killed
    #[arg(long, value_name = "SECONDS", help_heading = "Container")]
    pub(super) stop_timeout: Option<u32>,
    /// Seconds after which the container is killed
    #[arg(long, value_name = "SECONDS", help_heading = "Container")]
    pub(super) timeout: Option<u32>,
    /// Write the pid of the container's first process to a file
    #[arg(long, value_name = "FILE", help_heading = "Container")]
    pub(super) pidfile: Option<String>,
    /// Who tells the service manager that the container is up: conmon (brig does), container, or ignore
    #[arg(long, value_name = "WHO", help_heading = "Container")]
    pub(super) sdnotify: Option<String>,
    /// Keep standard input open
    #[arg(short = 'i', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) interactive: bool,
    /// Give the program a terminal
    #[arg(short = 't', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) tty: bool,
    /// Label the container
    #[arg(short = 'l', long, value_name = "KEY=VALUE", help_heading = "Container")]
    pub(super) label: Vec<String>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE", help_heading = "Container")]
    pub(super) label_file: Vec<String>,
    /// Annotate the specification
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Container")]
    pub(super) annotation: Vec<String>,
    /// Write the container's id to a new file
    #[arg(long, value_name = "FILE", help_heading = "Container")]
    pub(super) cidfile: Option<String>,
    /// Fetch the image: always, missing (if it is not here), newer or never [default: never]
    #[arg(long, value_name = "WHEN", help_heading = "Container")]
    pub(super) pull: Option<String>,
    /// Platform of the image
    #[arg(long, value_name = "OS/ARCH", help_heading = "Container")]
    pub(super) platform: Option<String>,
    /// Architecture of the image
    #[arg(long, value_name = "ARCH", help_heading = "Container", conflicts_with = "platform")]
    pub(super) arch: Option<String>,
    /// Operating system of the image
    #[arg(long, value_name = "OS", help_heading = "Container", conflicts_with = "platform")]
    pub(super) os: Option<String>,
    /// Variant of the image's architecture
    #[arg(long, value_name = "VARIANT", help_heading = "Container", conflicts_with = "platform")]
    pub(super) variant: Option<String>,
    /// Attach to stdin, stdout or stderr only
    #[arg(short = 'a', long, value_name = "STREAM", help_heading = "Container")]
    pub(super) attach: Vec<String>,
    /// Pass signals on to the program
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) sig_proxy: bool,
    /// Print no progress
    #[arg(short = 'q', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) quiet: bool,
    /// Print what would be done, and do nothing
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Container")]
    pub(super) dry_run: bool,
    /// Run as this user
    #[arg(short = 'u', long, value_name = "USER[:GROUP]", help_heading = "Process")]
    pub(super) user: Option<String>,
    /// Add a supplementary group
    #[arg(long, value_name = "GROUP", help_heading = "Process")]
    pub(super) group_add: Vec<String>,
    /// Working directory
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Process")]
    pub(super) workdir: Option<String>,
    /// Replace the image's entrypoint
    #[arg(long, value_name = "PROGRAM", help_heading = "Process")]
    pub(super) entrypoint: Option<String>,
    /// Set a variable
    #[arg(short = 'e', long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    pub(super) env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub(super) env_file: Vec<String>,
    /// Set a variable to what the image sets and more, as in PATH=${PATH}:/opt/bin
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Process")]
    pub(super) env_merge: Vec<String>,
    /// Leave out a variable that the image sets
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    pub(super) unsetenv: Vec<String>,
    /// Leave out all that the image sets
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Process")]
    pub(super) unsetenv_all: bool,
    /// Time zone: a name such as Europe/Berlin, or local
    #[arg(long, value_name = "ZONE", help_heading = "Process")]
    pub(super) tz: Option<String>,
    /// Execution domain: LINUX or LINUX32
    #[arg(long, value_name = "DOMAIN", help_heading = "Process")]
    pub(super) personality: Option<String>,
    /// Copy your whole environment
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Process")]
    pub(super) env_host: bool,
    /// Copy your proxy variables
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Process")]
    pub(super) http_proxy: bool,
    /// Run a small init that reaps processes
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Process")]
    pub(super) init: bool,
    /// Signal that asks the container to stop
    #[arg(long, value_name = "SIGNAL", help_heading = "Process")]
    pub(super) stop_signal: Option<String>,
    /// File mode creation mask, in octal
    #[arg(long, value_name = "MODE", help_heading = "Process")]
    pub(super) umask: Option<String>,
    /// Resource limit
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Process")]
    pub(super) ulimit: Vec<String>,
    /// How soon the kernel kills it, -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Process")]
    pub(super) oom_score_adj: Option<String>,
    /// standard, strict or docker
    #[arg(long, value_name = "PROFILE", help_heading = "Protection")]
    pub(super) profile: Option<String>,
    /// Fail unless every protection is in force
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Protection")]
    pub(super) require_all: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY", help_heading = "Protection")]
    pub(super) cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY", help_heading = "Protection")]
    pub(super) cap_drop: Vec<String>,
    /// seccomp=, no-new-privileges, apparmor=, label=, mask=, unmask=
    #[arg(long, value_name = "OPTION", help_heading = "Protection")]
    pub(super) security_opt: Vec<String>,
    /// Open nearly everything
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Protection")]
    pub(super) privileged: bool,
    /// Show a hidden kernel file, or ALL
    #[arg(long, value_name = "PATH", help_heading = "Protection")]
    pub(super) unmask: Vec<String>,
    /// Kernel setting of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Protection")]
    pub(super) sysctl: Vec<String>,
    /// Make the root file system read-only
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Protection")]
    pub(super) read_only: bool,
    /// Memory on /tmp, /run and /var/tmp
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Storage")]
    pub(super) read_only_tmpfs: bool,
    /// Allow a bind mount of a path that opens the host
    #[arg(long, value_name = "PATH", help_heading = "Protection")]
    pub(super) allow_host_path: Vec<String>,
    /// host, keep-id or auto[:size=N]
    #[arg(long, value_name = "MODE", help_heading = "Namespaces")]
    pub(super) userns: Option<String>,
    /// Map user ids
    #[arg(long, value_name = "CONTAINER:HOST:SIZE", help_heading = "Namespaces")]
    pub(super) uidmap: Vec<String>,
    /// Map group ids
    #[arg(long, value_name = "CONTAINER:HOST:SIZE", help_heading = "Namespaces")]
    pub(super) gidmap: Vec<String>,
    /// private, host or container:NAME
    #[arg(long, value_name = "MODE", help_heading = "Namespaces")]
    pub(super) pid: Option<String>,
    /// private, shareable, host or container:NAME
    #[arg(long, value_name = "MODE", help_heading = "Namespaces")]
    pub(super) ipc: Option<String>,
    /// private, host or container:NAME
    #[arg(long, value_name = "MODE", help_heading = "Namespaces")]
    pub(super) uts: Option<String>,
    /// private or host
    #[arg(long, value_name = "MODE", help_heading = "Namespaces")]
    pub(super) cgroupns: Option<String>,
    /// none, host, pasta[:OPTION,...], slirp4netns or container:NAME
    #[arg(long, alias = "net", value_name = "MODE", help_heading = "Network")]
    pub(super) network: Option<String>,
    /// Publish a port, on 127.0.0.1 unless an address is named
    #[arg(short = 'p', long, value_name = "[[ADDRESS:][PORT]:]PORT[/udp]", help_heading = "Network")]
    pub(super) publish: Vec<String>,
    /// Publish every exposed port on a free one of 127.0.0.1
    #[arg(short = 'P', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Network")]
    pub(super) publish_all: bool,
    /// Name a port that the program listens on
    #[arg(long, value_name = "PORT[/udp]", help_heading = "Network")]
    pub(super) expose: Vec<String>,
    /// Comes with bridges
    #[arg(long, value_name = "ADDRESS", hide = true, help_heading = "Network")]
    pub(super) ip: Option<String>,
    /// Comes with bridges
    #[arg(long, value_name = "ADDRESS", hide = true, help_heading = "Network")]
    pub(super) ip6: Option<String>,
    /// Comes with bridges
    #[arg(long, value_name = "ADDRESS", hide = true, help_heading = "Network")]
    pub(super) mac_address: Option<String>,
    /// Leave the image's /etc/hosts alone
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Network")]
    pub(super) no_hosts: bool,
    /// Begin /etc/hosts with this file, or with none
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub(super) hosts_file: Option<String>,
    /// Leave the image's /etc/hostname alone
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Network")]
    pub(super) no_hostname: bool,
    /// Host name
    #[arg(short = 'h', long, value_name = "NAME", help_heading = "Namespaces")]
    pub(super) hostname: Option<String>,
    /// Domain name
    #[arg(long, value_name = "NAME", help_heading = "Namespaces")]
    pub(super) domainname: Option<String>,
    /// Add a line to /etc/hosts; the address can be host-gateway
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "Network")]
    pub(super) add_host: Vec<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(super) dns: Vec<String>,
    /// Search domain of names
    #[arg(long, value_name = "DOMAIN", help_heading = "Network")]
    pub(super) dns_search: Vec<String>,
    /// Option of the resolver
    #[arg(long, alias = "dns-opt", value_name = "OPTION", help_heading = "Network")]
    pub(super) dns_option: Vec<String>,
    /// Mount a volume or a host path
    #[arg(short = 'v', long, value_name = "[SOURCE:]TARGET[:OPTIONS]", help_heading = "Storage")]
    pub(super) volume: Vec<String>,
    /// Mount what another container has
    #[arg(long, value_name = "CONTAINER[:ro]", help_heading = "Storage")]
    pub(super) volumes_from: Vec<String>,
    /// The driver of volumes: `local`
    #[arg(long, value_name = "DRIVER", hide = true, help_heading = "Storage")]
    pub(super) volume_driver: Option<String>,
    /// What becomes of the image's volumes: `anonymous` or `ignore`
    #[arg(long, value_name = "HOW", hide = true, help_heading = "Storage")]
    pub(super) image_volume: Option<String>,
    /// Mount a volume, a host path or memory
    #[arg(long, value_name = "type=TYPE,...", help_heading = "Storage")]
    pub(super) mount: Vec<String>,
    /// Mount memory
    #[arg(long, value_name = "TARGET[:OPTIONS]", help_heading = "Storage")]
    pub(super) tmpfs: Vec<String>,
    /// Give a secret: NAME, or with type=mount|env, target=, uid=, gid=, mode=
    #[arg(long, value_name = "NAME[,OPTION...]", help_heading = "Storage")]
    pub(super) secret: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "SIZE", help_heading = "Storage")]
    pub(super) shm_size: Option<String>,
    /// Most bytes of the writable layer: size=SIZE
    #[arg(long, value_name = "size=SIZE", help_heading = "Storage")]
    pub(super) storage_opt: Vec<String>,
    /// Give a device
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]", help_heading = "Storage")]
    pub(super) device: Vec<String>,
    /// Let it use devices whose nodes something else brings, such as 'c 189:* rwm'
    #[arg(long, value_name = "RULE", help_heading = "Storage")]
    pub(super) device_cgroup_rule: Vec<String>,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
    /// Wait instead of being killed (cgroup v1)
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Limits")]
    pub(super) oom_kill_disable: bool,
    /// The same for one device
    #[arg(long, value_name = "DEVICE:WEIGHT", help_heading = "Limits")]
    pub(super) blkio_weight_device: Vec<String>,
    /// Bytes read a second
    #[arg(long, value_name = "DEVICE:SIZE", help_heading = "Limits")]
    pub(super) device_read_bps: Vec<String>,
    /// Bytes written a second
    #[arg(long, value_name = "DEVICE:SIZE", help_heading = "Limits")]
    pub(super) device_write_bps: Vec<String>,
    /// Reads a second
    #[arg(long, value_name = "DEVICE:NUMBER", help_heading = "Limits")]
    pub(super) device_read_iops: Vec<String>,
    /// Writes a second
    #[arg(long, value_name = "DEVICE:NUMBER", help_heading = "Limits")]
    pub(super) device_write_iops: Vec<String>,
    /// Write into a file of the container's control group (cgroup v2)
    #[arg(long, value_name = "FILE=VALUE", help_heading = "Limits")]
    pub(super) cgroup_conf: Vec<String>,
    /// Parent control group
    #[arg(long, value_name = "PATH", help_heading = "Limits")]
    pub(super) cgroup_parent: Option<String>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The image, then the program and its words; nothing after the image is a flag of ours
    #[arg(value_name = "IMAGE", trailing_var_arg = true, required = true, num_args = 1.., allow_hyphen_values = false)]
    pub(super) words: Vec<OsString>,
}
