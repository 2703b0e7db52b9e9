//! Blobs, refs, layers and snapshots.
#![forbid(unsafe_code)]
