//! Entrances for the fuzz targets: the cache's entries without a directory.

use sys::seccomp::Instruction;

use crate::cache::{self, Key};

/// The bytes of an entry.
#[must_use]
pub fn encode(instructions: &[Instruction], key: &Key) -> Vec<u8> {
    cache::encode(instructions, key)
}

/// The program of an entry that is believed.
#[must_use]
pub fn decode(bytes: &[u8], key: &Key) -> Option<Vec<Instruction>> {
    cache::decode(bytes, key)
}
