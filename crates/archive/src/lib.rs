//! Layer archives: parse hostile tar, apply to a directory by descriptor.
#![forbid(unsafe_code)]
