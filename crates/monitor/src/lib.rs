//! One container's monitor: waits for its end, keeps its log, serves who attaches to it.
//!
//! A detached container has one process of ours, which runs [`run`]: one loop over poll(2), no thread, no serde, and next to
//! no memory while the container is idle. It is told everything by [`Settings`], lines in a memory file, and by
//! inherited descriptors. Killing it ends nothing and loses nothing: the container holds its fifos open for reading
//! and writing, so what it writes waits there for the monitor that the next command starts.
//!
//! What it deliberately does not do: start containers, take them down, know of images, names, or what a specification is.
//! At the end it executes the program again for that.
#![forbid(unsafe_code)]

mod client;
pub mod control;
pub mod health;
mod life;
pub mod log;
mod memory;
pub mod notify;
mod pair;
pub mod restart;
mod run;
mod settings;

pub use life::{Life, Status, now};
pub use pair::run;
pub use run::{Ended, Outcome};
pub use settings::Settings;
