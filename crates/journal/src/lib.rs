//! The journal: who did what to which container, in records that name the hash of the one before.
//!
//! `$ROOT/journal/` holds chains of lines of JSON. Each command that changes something appends one record; each event that
//! no command caused (a container died, was started again) appends one, too. A record names the SHA-256 of the line before
//! it, so [`verify`] finds what was altered, removed, reordered or cut off.
//!
//! * [`Record`]: what is written. [`Caller`]: who it was, as the kernel says. [`redact`]: arguments without secrets.
//! * [`Journal::append`]: a lock for the time of one write. Nobody waits for a process that was stopped while it held the
//!   lock: there are [`CHAINS`] chains, and whoever finds one busy takes the next.
//! * [`Reader`]: all chains as one, by time, in bounded memory, from where it stopped.
//! * [`forward`]: copies to journald, syslog and the kernel's audit, which the owner of the files cannot take back.
//!
//! It deliberately promises nothing against the owner of the files: who can write them can also write another chain, or delete
//! all. It syncs nothing: a power cut may take the last seconds, which `verify` then tells.
#![forbid(unsafe_code)]

mod append;
mod caller;
mod error;
pub mod forward;
mod head;
mod line;
mod read;
mod record;
mod redact;
mod verify;

pub use append::{Journal, KEPT_SEGMENTS, SEGMENT_BYTES};
pub use caller::Caller;
pub use error::{Error, Result};
pub use head::CHAINS;
pub use line::MAX_LINE;
pub use read::Reader;
pub use record::{Dropped, Kind, Object, Record, Seal};
pub use redact::redact;
pub use verify::{Fault, Report, verify};
