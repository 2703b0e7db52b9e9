//! What a process here can see and do: the program of the built-in image `hello`, the probe of the attack
//! suite, and the prerequisites that `doctor` judges.
//!
//! Tries things instead of believing configuration. Every try is harmless where it is permitted, runs in a
//! child where it changes or may kill the process, and tells "the kernel's code answered" from "it was
//! refused before". What it deliberately does not do: sleep, write, repair, or draw conclusions beyond a
//! row (that is `audit`'s work).
//!
//! ```
//! let report = probe::report();
//! println!("{}", report.summary());
//! ```
#![forbid(unsafe_code)]

mod call;
mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod limit;

mod mount;
mod namespace;
mod network;
pub mod prerequisite;
mod program;
mod read;
mod report;
mod socket;

pub use program::{main, report};
pub use report::{Report, Row, Verdict};
