//! The fuzz targets: one file each, a function of bytes that panics when a promise is broken.
//!
//! `fuzz_targets/` makes a program of each for libFuzzer; `tests/corpus.rs` puts every input of `corpus/` to the same
//! functions on any toolchain; `cargo xtask fuzz` builds, runs and reports. The first line of a target's file says what
//! it promises and stands in `docs/reliability.md`; `MAX_LEN` bounds its inputs.
#![forbid(unsafe_code)]

pub mod archives;
pub mod input;

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// Each target by its name.
        pub const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name::check)),*];
    };
}

targets!(
    accounts,
    bpf,
    cgroup_files,
    changes,
    dbus,
    decompress,
    document,
    id_map,
    layer,
    log_lines,
    members,
    mount_options,
    paths,
    reference,
    resources,
    seccomp_profile,
    seccomp_rules,
    spec,
    state,
    tar,
    template,
    values,
    written,
);
