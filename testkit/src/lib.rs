//! Fixtures for the tests, and the needs that a test states before it starts.
//!
//! A test that cannot run on this machine says so: `testkit::needs!(root, program("runc"))` prints
//! `skipped: <test>: needs <need>`, writes the same line to the file that `cargo xtask test` counts,
//! and returns. Nothing here changes the host's own files, and nothing here is linked into a product.
#![forbid(unsafe_code)]

mod bundle;
mod hygiene;
mod need;
mod program;
mod rootfs;
mod tempdir;
mod user;

pub use bundle::{Bundle, CAPABILITIES};
pub use hygiene::Hygiene;
#[doc(hidden)]
pub use need::constructors;
pub use need::{Need, cgroup_v1_mount, cgroup_v2_mount, find_program, needs};
pub use program::{Outcome, brig, build, run, run_detached, run_with_input};
pub use rootfs::{busybox_rootfs, busybox_tar, tar};
pub use tempdir::TempDir;
pub use user::User;
