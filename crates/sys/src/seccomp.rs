//! `seccomp(2)`: install a filter, receive its notify descriptor.
