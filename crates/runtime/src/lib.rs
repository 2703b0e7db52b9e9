//! The isolating core.
#![forbid(unsafe_code)]
