//! `brig`: arguments, output and exit codes.
#![forbid(unsafe_code)]
fn main() {}
