//! Seccomp profiles to BPF: the compiler, the call tables, the default profile, an emulator.
//!
//! Takes an OCI profile ([`oci::runtime::Seccomp`]) and gives the classic BPF that `seccomp(2)`
//! loads; [`standard`] is Brigantine's own profile with its named sets, whose BPF for the default
//! capabilities is part of the binary; [`cache`] keeps what was compiled once; [`profile`] resolves
//! the conditional JSON of Docker and podman; [`emulate`] runs a program without a kernel.
//!
//! It installs nothing (that is [`sys::seccomp::install`], called between clone and exec), talks to
//! no notify listener, and opens no file by path. How rules combine is written in `docs/seccomp.md`;
//! it agrees with libseccomp on what people publish, and tests hold it to that.
//!
//! ```
//! use seccomp::{Arch, compile, standard};
//!
//! let profile = standard::profile(standard::DEFAULT_CAPABILITIES, &[]);
//! let compiled = compile(&profile, Arch::X86_64)?;
//! assert!(compiled.warnings.is_empty());
//! assert!(compiled.program.instructions().len() < 500);
//! # Ok::<(), seccomp::Error>(())
//! ```
#![forbid(unsafe_code)]

mod arch;
mod table;

mod action;
mod condition;
mod policy;

mod assemble;
mod generate;

mod compile;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

pub mod cache;
pub mod emulate;
pub mod profile;
pub mod standard;

pub use action::Action;
pub use arch::Arch;
pub use compile::{Compiled, Program, compile, load};
pub use error::{Error, Warning};
pub use table::Calls;
