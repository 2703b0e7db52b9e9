//! Seccomp profiles to BPF.
#![forbid(unsafe_code)]
