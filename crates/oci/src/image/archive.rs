//! `manifest.json` of a docker-archive, the format of `docker save`.

use serde::{Deserialize, Serialize};

use super::{ImageError, MAX_LAYERS, MAX_MANIFEST, at_most, bounded};
use crate::runtime::null_as_default;

/// Most images of one docker-archive.
pub const MAX_ARCHIVE_IMAGES: usize = 1024;

/// One image of a docker-archive. All paths are names of archive members and hostile: they are
/// compared with member names and never reach a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerArchiveImage {
    /// Member that holds the image configuration.
    pub config: String,
    /// Names of the image.
    #[serde(default, deserialize_with = "null_as_default")]
    pub repo_tags: Vec<String>,
    /// Members that hold the layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<String>,
}

/// Parses a docker-archive's `manifest.json`.
///
/// # Errors
/// [`ImageError`]: too large, not JSON, or too many images, names or layers.
pub fn parse_docker_archive(bytes: &[u8]) -> Result<Vec<DockerArchiveImage>, ImageError> {
    const WHAT: &str = "docker-archive manifest";
    bounded(WHAT, bytes, MAX_MANIFEST)?;
    let images: Vec<DockerArchiveImage> =
        serde_json::from_slice(bytes).map_err(|source| ImageError::Json { what: WHAT, source })?;
    at_most(WHAT, "images", images.len(), MAX_ARCHIVE_IMAGES)?;
    for image in &images {
        at_most(WHAT, "layers", image.layers.len(), MAX_LAYERS)?;
        at_most(WHAT, "names", image.repo_tags.len(), MAX_ARCHIVE_IMAGES)?;
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_save() {
        let text = br#"[{"Config":"ab.json","RepoTags":null,"Layers":["ab/layer.tar"],"LayerSources":{}}]"#;
        let images = parse_docker_archive(text).unwrap();
        assert_eq!(images[0].config, "ab.json");
        assert!(images[0].repo_tags.is_empty());
        assert!(parse_docker_archive(b"{}").is_err());
        assert!(parse_docker_archive(br#"[{"Layers":[]}]"#).is_err());
    }
}
