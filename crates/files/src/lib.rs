//! Work on a hostile directory tree by descriptor only, write files atomically, lock them.
//!
//! Half of all container escapes are one defect: a path string is resolved, then used, on a tree that an
//! attacker changes in between. So every function here takes a directory descriptor and returns a
//! descriptor, and all of them set `O_CLOEXEC`.
//!
//! * [`RelPath`]: a path that cannot be absolute, contain `..`, or be too long.
//! * [`root`]: open, make and read below a hostile root; symlinks are followed inside it only.
//! * [`procfs`]: `/proc` that no container can have replaced.
//! * [`atomic`]: a file is there in full or not at all, also after a power cut.
//! * [`lock`]: `flock(2)`, released when its holder dies.
//! * [`meter`]: how far long work has come, for another process to show.
//! * [`remove_tree`]: however deep, and never out of it.
//! * [`quota`]: a directory that takes no more than so many bytes.
//! * [`pause`]: where a race test stops us; compiled to nothing without the feature `test-pauses`.
//! * [`weaken`]: which defences a control leaves out; none without the feature `test-weaken`.
//!
//! It deliberately knows nothing of mounts, containers, or ownership, and reads no environment
//! variable (the test-only `pause` and `weaken` aside).
//!
//! ```
//! use std::os::fd::AsFd;
//! # fn main() -> Result<(), files::Error> {
//! # let directory = testkit::TempDir::new();
//! let root = files::open_directory(directory.path())?;
//! files::atomic::write(root.as_fd(), "state.json", b"{}", 0o600, files::atomic::Durability::Volatile)?;
//! let state = files::root::read_bounded(root.as_fd(), "/state.json", 4096)?;
//! assert_eq!(state.as_deref(), Some(&b"{}"[..]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod atomic;
mod descriptor;
mod error;
pub mod lock;
pub mod meter;
pub mod pause;
pub mod procfs;
pub mod quota;
mod relpath;
pub mod root;
mod tree;
pub mod weaken;

pub use descriptor::{
    clear_cloexec, is_readable, open_directory, read_all, read_named_file, read_own, set_cloexec, write_all,
};
pub use error::{Error, Result, chain};
pub use relpath::{MAX_COMPONENT, MAX_PATH, RelPath, is_plain_name};
pub use tree::remove_tree;
