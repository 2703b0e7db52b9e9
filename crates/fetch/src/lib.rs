//! A blocking HTTPS client: one request, one answer, and nothing that its caller did not decide.
//!
//! It follows no redirect, keeps no cookie, knows no credentials and asks no environment: what to do with a 401 or a 307 is
//! its caller's decision, since there the published faults of registry clients are. Names are resolved here (`/etc/hosts`,
//! then DNS), never by the C library: a static binary would load code for it, and an address must be known before it is
//! connected to ([`Reach`]).
//!
//! TLS is rustls over ring, with the host's roots read when the first connection wants them, or those that the caller
//! names. There is no thread and no async here: a process that fetches may fork.
//!
//! It deliberately knows no registry.
//!
//! ```no_run
//! # fn main() -> fetch::Result<()> {
//! use fetch::{Client, Method, Request, Settings};
//! let client = Client::new(&Settings::default())?;
//! let answer = client.send(Request::new(Method::Get, "https://example.org/v2/"))?;
//! assert_eq!(answer.status, 200);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod answer;
mod client;
mod connect;
mod error;
mod name;
mod reach;
mod trust;

pub use answer::Answer;
pub use client::{Body, Client, Method, Proxies, Request, Settings};
pub use error::{Error, Result};
pub use name::Names;
pub use reach::{Reach, is_public};
pub use trust::{Identity, Roots, Trust};
