//! The system calls that `rustix` lacks, and all of this workspace's `unsafe` code.
//!
//! Speaks descriptors and typed flags, returns the kernel's errno, holds no policy. What `rustix` has
//! (openat2, fsopen, pidfd, waitid, ...) is used from there and not wrapped again.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod bpf;
pub mod clone;
pub mod exec;
pub mod fork;
pub mod guard;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod process;
pub mod program;
pub mod quota;
pub mod raw;
pub mod seccomp;
pub mod signal;
pub mod stub;
