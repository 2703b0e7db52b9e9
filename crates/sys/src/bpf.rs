//! `bpf(2)`: load and attach cgroup device programs.
