//! Manifests and indexes: image-spec `manifest.md` and `image-index.md`.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Descriptor, ImageError, MAX_INDEX_ENTRIES, MAX_LAYERS, MAX_MANIFEST, at_most, bounded, media};
use crate::digest::clip;
use crate::runtime::null_as_default;

/// An image for one platform: its configuration and layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u64,
    /// The document's own media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of an artifact that is packed as an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// Another manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Arbitrary metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests, for example one for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u64,
    /// The document's own media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Manifests, or further indexes.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// Another manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Arbitrary metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

/// What a descriptor of unknown kind may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A manifest.
    Manifest(Box<Manifest>),
    /// An index.
    Index(Box<Index>),
}

/// The fields by which the two kinds are told apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<IgnoredAny>,
}

/// Parses a manifest or an index, whichever it is.
///
/// `listed` is the media type under which the document was named (descriptor or `Content-Type`).
///
/// # Errors
/// [`ImageError`]: too large, not JSON, ambiguous, or not what it was listed as.
pub fn parse_document(bytes: &[u8], listed: Option<&str>) -> Result<Document, ImageError> {
    const WHAT: &str = "image manifest";
    bounded(WHAT, bytes, MAX_MANIFEST)?;
    let json = |source| ImageError::Json { what: WHAT, source };
    let shape: Shape = serde_json::from_slice(bytes).map_err(json)?;
    if shape.schema_version != 2 {
        return Err(ImageError::SchemaVersion(shape.schema_version));
    }
    let like_manifest = shape.config.is_some() || shape.layers.is_some() || shape.fs_layers.is_some();
    if like_manifest && shape.manifests.is_some() {
        return Err(ImageError::Ambiguous);
    }
    if let (Some(own), Some(listed)) = (shape.media_type.as_deref(), listed)
        && own != listed
    {
        return Err(ImageError::MediaTypeMismatch { listed: clip(listed), own: clip(own) });
    }
    let is_index = match shape.media_type.as_deref().or(listed) {
        Some(kind) if media::is_index(kind) => true,
        Some(kind) if media::is_manifest(kind) => false,
        Some(other) => return Err(ImageError::UnknownMediaType(clip(other))),
        None => shape.manifests.is_some(),
    };
    if is_index == like_manifest && (like_manifest || shape.manifests.is_some()) {
        return Err(ImageError::Ambiguous);
    }
    if is_index {
        let index: Index = serde_json::from_slice(bytes).map_err(json)?;
        at_most("image index", "entries", index.manifests.len(), MAX_INDEX_ENTRIES)?;
        Ok(Document::Index(Box::new(index)))
    } else {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(json)?;
        at_most(WHAT, "layers", manifest.layers.len(), MAX_LAYERS)?;
        Ok(Document::Manifest(Box::new(manifest)))
    }
}

/// Parses a manifest.
///
/// # Errors
/// As [`parse_document`]; an index is a [`ImageError::UnknownMediaType`].
pub fn parse_manifest(bytes: &[u8], listed: Option<&str>) -> Result<Manifest, ImageError> {
    match parse_document(bytes, listed)? {
        Document::Manifest(manifest) => Ok(*manifest),
        Document::Index(_) => Err(ImageError::UnknownMediaType(media::INDEX.to_owned())),
    }
}

/// Parses an index.
///
/// # Errors
/// As [`parse_document`]; a manifest is a [`ImageError::UnknownMediaType`].
pub fn parse_index(bytes: &[u8], listed: Option<&str>) -> Result<Index, ImageError> {
    match parse_document(bytes, listed)? {
        Document::Index(index) => Ok(*index),
        Document::Manifest(_) => Err(ImageError::UnknownMediaType(media::MANIFEST.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{SUM}","size":2}}"#)
    }

    fn manifest(own: &str, extra: &str) -> String {
        let config = descriptor(media::CONFIGURATION);
        format!(r#"{{"schemaVersion":2{own},"config":{config},"layers":[]{extra}}}"#)
    }

    #[test]
    fn told_apart() {
        let is_manifest =
            |text: &str, listed| matches!(parse_document(text.as_bytes(), listed), Ok(Document::Manifest(_)));
        let is_index =
            |text: &str, listed| matches!(parse_document(text.as_bytes(), listed), Ok(Document::Index(_)));
        assert!(is_manifest(&manifest("", ""), None));
        assert!(is_manifest(&manifest("", ""), Some(media::DOCKER_MANIFEST)));
        assert!(is_manifest(
            &manifest(&format!(r#","mediaType":"{}""#, media::MANIFEST), ""),
            Some(media::MANIFEST)
        ));
        let index = r#"{"schemaVersion":2,"manifests":null}"#;
        assert!(is_index(r#"{"schemaVersion":2,"manifests":[]}"#, None));
        assert!(is_index(index, Some(media::INDEX)));
    }

    #[test]
    fn confusion_is_refused() {
        let oci = format!(r#","mediaType":"{}""#, media::MANIFEST);
        let odd = r#","mediaType":"text/html""#;
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let config = descriptor(media::CONFIGURATION);
        let refused: &[(&str, Option<&str>)] = &[
            (&manifest("", r#","manifests":[]"#), None),
            (&manifest(&oci, r#","manifests":[]"#), None),
            (&manifest(&oci, ""), Some(media::DOCKER_MANIFEST)),
            (&manifest(&oci, ""), Some(media::INDEX)),
            (&manifest("", ""), Some(media::INDEX)),
            (&manifest("", r#","layers":[]"#), None),
            (&manifest(odd, ""), None),
            (&manifest("", ""), Some("text/html")),
            (index, Some(media::MANIFEST)),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, None),
            (r#"{"schemaVersion":2}"#, None),
            (
                &format!(
                    r#"{{"schemaVersion":2,"config":{config},"layers":[{{"mediaType":"x","digest":"{SUM}","size":-1}}]}}"#
                ),
                None,
            ),
            (
                &format!(
                    r#"{{"schemaVersion":2,"config":{config},"layers":[{{"mediaType":"x","digest":"sha256:../../x","size":1}}]}}"#
                ),
                None,
            ),
            ("", None),
            ("[]", None),
            ("{", None),
        ];
        for (text, listed) in refused {
            assert!(parse_document(text.as_bytes(), *listed).is_err(), "{text} {listed:?}");
        }
    }

    #[test]
    fn limits() {
        let layers = vec![descriptor(media::LAYER); MAX_LAYERS + 1].join(",");
        let config = descriptor(media::CONFIGURATION);
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#);
        assert!(matches!(parse_document(text.as_bytes(), None), Err(ImageError::TooMany { .. })));
        let entries = vec![descriptor(media::MANIFEST); MAX_INDEX_ENTRIES + 1].join(",");
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
        assert!(matches!(parse_document(text.as_bytes(), None), Err(ImageError::TooMany { .. })));
        let large = vec![b' '; MAX_MANIFEST + 1];
        assert!(matches!(parse_document(&large, None), Err(ImageError::TooLarge { .. })));
        let deep = format!(r#"{{"schemaVersion":2,"x":{}"#, "[".repeat(100_000));
        assert!(parse_document(deep.as_bytes(), None).is_err());
    }
}
