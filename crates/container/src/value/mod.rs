//! The grammars of flag values, each parsed once into a type that cannot hold a bad one.

pub mod device;
pub mod environment;
pub mod generated;
pub mod health;
pub mod ids;
pub mod keys;
pub mod label;
pub mod log;
pub mod mount;
pub mod name;
pub mod rlimit;
pub mod secret;
pub mod size;
pub mod sysctl;
pub mod time;
pub mod user;
