//! One container's supervisor.
#![forbid(unsafe_code)]

pub mod log;
pub mod restart;
