//! The isolating core: puts a process into a container.
//!
//! [`plan`] is a pure function from a spec to a list of steps; the parent opens every descriptor; the
//! child interprets the steps and ends in exec. What it deliberately does not do: know of images, names or
//! people's defaults; print; read the environment; keep a process of its own alive.
#![forbid(unsafe_code)]

pub mod plan;

pub mod lsm;
mod overlay;
mod prepare;
mod relay;
mod seal;
mod weaken;

pub mod child;
pub mod message;
pub mod opened;

mod launch;
mod verify;

mod console;
mod home;
mod hooks;
mod keys;
mod listener;
mod terminal;

mod allow;
mod create;
mod foreground;
mod join;
mod legacy;
mod lifecycle;
pub mod state;
mod subgroup;

mod secrets;

mod error;
pub mod facts;

pub use create::{
    Announce, CgroupOptions, CheckedSource, Connect, Connected, Report, Request, Started, create, plan_of,
    run, start,
};
pub use error::{Error, Result};
pub use foreground::Exit;
pub use join::{ExecRequest, exec, exec_in};
pub use keys::DetachKeys;
pub use lifecycle::{Container, status_name};
pub use overlay::mount_layers;
pub use prepare::Layers;
pub use relay::Stream;
pub use secrets::{SecretFile, Secrets};
