//! Raw system calls of every ABI, for probes that try what a filter answers.
