//! Subordinate ids and user namespace maps.
#![forbid(unsafe_code)]
