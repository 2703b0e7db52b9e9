//! What we keep on disk and may find damaged: an error or a value that is written as it was read.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of an input.
pub const MAX_LEN: usize = 4096;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    round_trip::<runtime::state::Saved>(bytes);
    round_trip::<container::Record>(bytes);
    round_trip::<store::LayerMeta>(bytes);
    round_trip::<cgroup::Saved>(bytes);
    round_trip::<cgroup::Stats>(bytes);
    round_trip::<oci::runtime::State>(bytes);
    round_trip::<oci::runtime::Process>(bytes);
    round_trip::<oci::image::Descriptor>(bytes);
    let _: bool = store::fuzzing::is_answer(bytes);
}

fn round_trip<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).unwrap_or_else(|error| {
        panic!("{}: {error}: {}", std::any::type_name::<T>(), String::from_utf8_lossy(&written))
    });
    assert_eq!(serde_json::to_vec(&again).ok(), Some(written));
}
