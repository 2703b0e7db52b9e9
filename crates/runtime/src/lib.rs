//! The isolating core: puts a process into a container.
//!
//! [`plan`] is a pure function from a spec to a list of steps; the parent opens every descriptor; the
//! child interprets the steps and ends in exec. What it deliberately does not do: know of images, names or
//! people's defaults; print; read the environment; keep a process of its own alive.
#![forbid(unsafe_code)]

pub mod child;
mod error;
pub mod facts;
mod launch;
pub mod message;
pub mod opened;
pub mod plan;
mod prepare;
mod seal;

pub use error::{Error, Result};
pub use prepare::Layers;
