//! Secrets: small values that containers get on a file system in memory, and that lie encrypted in the store.
//!
//! `$ROOT/secrets/<name>` is one JSON file: what may be known about the secret, and its value sealed with
//! XChaCha20-Poly1305 under the key in `$ROOT/secrets/.key` (32 bytes, mode 0600, made with the first secret). The name and
//! the id are sealed with it, so that one file cannot be put in another's place.
//!
//! What that protects: a secret's file that leaves the machine without the key (a backup that leaves `.key` out, a log of
//! a disk, a file sent for support) says nothing. What it does not: who can read the store as its owner, or root, has the
//! key too. The value is never in a container's record, specification or `inspect`.
//!
//! `age` was weighed: its crate brings a hundred others for recipients, plug-ins and translations, none of which are
//! used where one key seals and opens.
//!
//! It deliberately knows no container.
#![forbid(unsafe_code)]

mod error;
mod name;
mod seal;
mod secrets;

pub use error::{Error, Result};
pub use name::Name;
pub use seal::Value;
pub use secrets::{MAX_VALUE, Meta, Secrets};
