//! Descriptors, openat2, atomic writes and locks.
#![forbid(unsafe_code)]
