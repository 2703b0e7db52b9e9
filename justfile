# For people; the logic is in xtask. `just` alone lists what there is.
_:
    @just --list

# everything that can run here, with counts
test:
    cargo xtask test

# the quick checks
check:
    cargo fmt --all --check
    cargo xtask floors
    cargo clippy --workspace --all-targets -- --deny warnings

# the start benchmark; writes docs/benchmarks.md
bench:
    cargo xtask bench start

# build, and run the main job
hello:
    cargo run --release -- run --rm hello
