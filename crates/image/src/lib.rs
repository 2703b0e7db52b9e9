//! Images between the store and registries: pull and push.
//!
//! A pull is a manifest by name, one for the platform chosen from its index, and layers that several processes receive while
//! this one unpacks those that are whole. What came before a break stays, and the next pull goes on from there. A push sends
//! what the registry lacks, the manifest last, so that nobody sees half an image.
//!
//! It deliberately opens no file of configuration: which registries a name means is decided by its caller.
#![forbid(unsafe_code)]

mod downloads;
mod error;
mod host;
mod pull;
mod push;

pub use error::{Error, Result};
pub use host::{Tls, endpoint};
pub use pull::{Pulled, pull};
pub use push::{PushedImage, push};
