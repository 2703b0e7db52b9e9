//! Control groups: v2 first, v1 where that is all there is.
#![forbid(unsafe_code)]
