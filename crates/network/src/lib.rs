//! A container's network without a bridge: a program in user space that speaks for the container on the host.
//!
//! * [`Mode`]: what `--network` can say.
//! * [`Publish`], [`Exposed`]: the grammar of `-p` and `--expose`; [`assign`] finds the host's ports.
//! * [`Provider`]: which program is there: passt's `pasta`, else `slirp4netns`.
//! * [`Host`]: what of the host's own network a container is shown: addresses, gateway.
//! * [`connect`] starts the program for a network namespace, [`disconnect`] ends it, [`State`] is what is known of it.
//!
//! The program is not ours and runs for as long as the container does: nothing of ours has to live for it. It ends when
//! [`disconnect`] removes its directory, which whoever cleans a container up does. It has none of our descriptors, an
//! empty environment, and no right on the host that the container's own root has not.
//!
//! It deliberately knows nothing of bridges, firewalls and names of other containers, and reads no environment.
//!
//! ```
//! let publish: network::Publish = "127.0.0.1:8080:80/tcp".parse()?;
//! assert_eq!(publish.to_string(), "127.0.0.1:8080:80/tcp");
//! # Ok::<(), network::Error>(())
//! ```
#![forbid(unsafe_code)]

mod mode;
mod port;

mod assign;
mod host;
mod provider;

mod connect;
mod pasta;
mod process;
mod slirp;
mod state;

mod error;

pub use assign::assign;
pub use connect::{Ids, Stack, Target, connect};
pub use error::{Error, Result};
pub use host::{Host, nameservers};
pub use mode::Mode;
pub use pasta::{Opened, parse_options};
pub use port::{Exposed, MAX_PORTS, Protocol, Publish, Published};
pub use provider::Provider;
pub use state::{Driver, State, disconnect, read};
