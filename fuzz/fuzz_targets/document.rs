//! Manifests, indexes, configurations and docker-archive lists: an error or a value, never a panic or a flood of memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::image::{parse_configuration, parse_docker_archive, parse_document};

fuzz_target!(|bytes: &[u8]| {
    drop(parse_document(bytes, None));
    drop(parse_configuration(bytes));
    drop(parse_docker_archive(bytes));
});
