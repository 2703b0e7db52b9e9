//! A container's configuration and life.
#![forbid(unsafe_code)]
