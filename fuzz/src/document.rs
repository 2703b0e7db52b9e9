//! Manifests, indexes, configurations and docker-archive lists are an error or a value within the limits that is written as it was read, and never both a manifest and an index.

use oci::image::{
    Descriptor, Document, MAX_ARCHIVE_IMAGES, MAX_INDEX_ENTRIES, MAX_LAYERS, chain_ids, media, parse_configuration,
    parse_docker_archive, parse_document, parse_index, parse_manifest,
};
use serde_json::Value;

/// Most bytes of an input.
pub const MAX_LEN: usize = 8192;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let plain = parse_document(bytes, None).ok();
    for listed in [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST] {
        // What is listed as something may be refused, but never becomes another kind than it is without.
        if let (Ok(named), Some(plain)) = (parse_document(bytes, Some(listed)), &plain) {
            assert_eq!(&named, plain, "{listed}");
        }
    }
    match &plain {
        Some(Document::Manifest(manifest)) => {
            assert!(manifest.layers.len() <= MAX_LAYERS);
            assert_eq!(parse_manifest(bytes, None).ok().as_ref(), Some(&**manifest));
            assert!(parse_index(bytes, None).is_err());
            manifest.layers.iter().chain([&manifest.config]).for_each(check_descriptor);
            let again = serde_json::to_vec(manifest).expect("a manifest is made of strings and numbers");
            assert_eq!(parse_manifest(&again, None).ok().as_ref(), Some(&**manifest));
        }
        Some(Document::Index(index)) => {
            assert!(index.manifests.len() <= MAX_INDEX_ENTRIES);
            assert!(parse_manifest(bytes, None).is_err());
            index.manifests.iter().for_each(check_descriptor);
            let again = serde_json::to_vec(index).expect("an index is made of strings and numbers");
            assert_eq!(parse_index(&again, Some(media::INDEX)).ok().as_ref(), Some(&**index));
        }
        None => {}
    }
    if plain.is_some() {
        check_unambiguous(bytes);
    }
    if let Ok(configuration) = parse_configuration(bytes) {
        let diff_ids = &configuration.rootfs.diff_ids;
        assert!(diff_ids.len() <= MAX_LAYERS);
        assert_eq!(chain_ids(diff_ids).len(), diff_ids.len());
        let again = serde_json::to_vec(&configuration).expect("a configuration is made of strings and numbers");
        assert_eq!(parse_configuration(&again).ok().as_ref(), Some(&configuration));
    }
    if let Ok(images) = parse_docker_archive(bytes) {
        assert!(images.len() <= MAX_ARCHIVE_IMAGES);
        let again = serde_json::to_vec(&images).expect("a list is made of strings");
        assert_eq!(parse_docker_archive(&again).ok(), Some(images));
    }
}

fn check_descriptor(descriptor: &Descriptor) {
    assert_eq!(descriptor.digest.to_string().parse().as_ref(), Ok(&descriptor.digest));
}

/// Another reader, which takes the last of two equal keys, must see the same kind.
fn check_unambiguous(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let has = |key: &str| value.get(key).is_some_and(|value| !value.is_null());
    assert!(!(has("manifests") && (has("config") || has("layers") || has("fsLayers"))), "{value}");
}
