//! What a process here can see and do.
#![forbid(unsafe_code)]
