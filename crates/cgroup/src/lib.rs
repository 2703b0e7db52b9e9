//! Control groups: v2 first, v1 where that is all there is, both on hybrid machines.
//!
//! Makes a container's cgroup, applies the limits of the runtime specification, lists, freezes, signals and
//! counts what is in it, and removes it. A limit that was requested and cannot be applied is an error, a
//! default that cannot is a [`Warning`]; nothing degrades in silence.
//!
//! It deliberately does not: move processes that are not the container's, touch cgroups that it did not
//! make, read environment variables, start threads, or clone processes (give [`Cgroup::v2_dir`] to
//! `clone3`). Paths from a bundle are hostile: everything is reached by descriptors below a checked mount.
//!
//! ```no_run
//! use cgroup::{Cgroup, Controllers, Driver, Hierarchies, Layout, Request, Strictness};
//! # fn main() -> cgroup::Result<()> {
//! # let (requested, defaults) = (oci::runtime::Resources::default(), oci::runtime::Resources::default());
//! # let pid = 1;
//! let layout = Layout::detect()?;
//! let request = Request {
//!     id: "web",
//!     path: None,
//!     driver: Driver::Filesystem,
//!     rootless: false,
//!     shared: false,
//!     systemd: None,
//!     hierarchies: Hierarchies::Needed,
//!     controllers: Controllers::needed(&defaults),
//! };
//! let (cgroup, warnings) = Cgroup::create(&layout, &request, &requested)?;
//! cgroup.apply(&defaults, Strictness::Default)?;
//! cgroup.apply(&requested, Strictness::Requested)?;
//! cgroup.add(pid)?;
//! cgroup.kill(rustix::process::Signal::KILL)?;
//! cgroup.remove()
//! # }
//! ```
#![forbid(unsafe_code)]

mod cgroup;
mod controller;
mod convert;
mod create;
mod device;
mod directory;
mod error;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod path;
mod plan;
mod process;
mod remove;
mod stats;
mod step;
mod systemd;

pub use cgroup::{Cgroup, Driver, Saved, Strictness};
pub use controller::{Controller, Controllers};
pub use create::{Hierarchies, Prepared, Request};
pub use error::{Error, Result, Unapplied, Warning};
pub use events::{Event, Events, Resource};
pub use layout::{Hierarchy, Kind, Layout, Version};
pub use stats::{
    CpuStats, HugetlbStats, IoStats, MemoryStats, PidsStats, Pressure, Pressures, RdmaStats, Stall, Stats,
};
pub use systemd::SystemdBus;
