//! A container's configuration and its life in the foreground.
//!
//! [`Options`] is what a person asked for, [`Host`] what the machine and the caller are, an image's
//! configuration what its author wants: [`spec::build`] makes an [`oci::runtime::Spec`] of the three, and
//! lists every [`Weakening`] and [`Protection`]. [`value`] holds the grammars of the flags.
//!
//! It deliberately prints nothing, reads no environment variable and knows no command line; it starts
//! processes only through `runtime`.
#![forbid(unsafe_code)]

mod error;

mod adopt;
mod attach;
mod boot;
mod capability;
mod changes;
mod check;
mod condition;
mod containers;
mod copy;
mod copy_up;
mod create;
mod end;
mod exec;
mod export;
mod guard;
pub mod health;
mod helper;
mod host;
mod images;
mod inspect;
mod kept;
mod kernel_files;
pub mod logs;
mod lookup;
pub mod lsm;
mod monitors;
mod names;
mod network;
mod notify;
mod options;
mod overlays;
mod peer;
mod process;
mod profile;
mod protection;
mod record;
mod run;
mod secrets;
pub mod spec;
mod start;
mod state;
mod stats;
mod stop;
pub mod time_zone;
pub mod top;
mod unshare;
mod update;
pub mod value;
mod view;
pub mod volumes;
mod wait;
mod weaken;
mod weakening;
mod written;

pub use archive::{Change, ChangeKind, lacking as lacking_confinement};
pub use attach::{Attach, Attached, Connection, attach};
pub use boot::due;
pub use capability::{Word as CapabilityWord, parse as parse_capability};
pub use changes::{changes, commit, image_changes};
pub use check::LeftOver;
pub use condition::{Condition, reach};
pub use containers::{Containers, LATEST, Reserved};
pub use copy::{Copied, CopyOptions, Place, copy};
pub use end::finish;
pub use error::{Error, Result};
pub use exec::{Exec, Executed, Running};
pub use export::export;
pub use guard::refuse as refuse_host_path;
pub use host::{DeviceNode, Host, IdSource, Source, VolumeSource, resolve};
pub use inspect::inspect;
pub use kernel_files::{MASKED, READ_ONLY};
pub use network::{Connected, Network, NetworkConfig, NetworkFacts, NetworkOptions};
pub use notify::Notify;
pub use options::{
    LabelOptions, LimitOptions, NameOptions, NamespaceOptions, Options, ProcessOptions, SeccompChoice,
    SecurityOptions, Sharing,
};
pub use peer::{Peer, Peers};
pub use process::ProcessInfo;
pub use profile::Profile;
pub use protection::{Protection, Status, require_all};
pub use record::{
    Health, LogConfig, MountPoint, ProcessConfig, Record, RestartPolicy, STOP_TIMEOUT, Startup, Streams,
};
pub use run::{Ended, Preview, Ready, Site, ownership, prepare, preview};
pub use start::{reopen, restart, start, start_again};
pub use state::{State, Status as LifeStatus, Summary};
pub use stats::Sample;
pub use stop::{Stop, kill, pause, send, stop, unpause};
pub use unshare::{Unshare, unshare};
pub use update::{Update, restart_of_removed, update};
pub use wait::{Waiting, wait};
pub use weakening::{Weakening, WeakeningKind};
