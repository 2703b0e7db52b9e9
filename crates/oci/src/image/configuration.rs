//! Image configurations: image-spec `config.md`, and Docker's additions to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ImageError, MAX_CONFIGURATION, MAX_LAYERS, at_most, bounded};
use crate::digest::{Digest, clip};
use crate::runtime::null_as_default;

/// Most entries of an image's history: one for each instruction, with and without a layer.
const MAX_HISTORY: usize = 8192;

/// Describes an image: how to run it and which layers it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfiguration {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// CPU architecture, a `GOARCH` value.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// Operating system, a `GOOS` value.
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    /// CPU variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How to run a container of it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: Config,
    /// Its layers.
    pub rootfs: RootFs,
    /// How each layer came about, lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub history: Vec<History>,
}

/// Defaults for containers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// `user`, `uid`, `user:group` and so on; resolved in the container's own files.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub user: String,
    /// `port`, `port/tcp`, `port/udp`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", with = "set")]
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=value` pairs.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// First words of the command.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub entrypoint: Vec<String>,
    /// Default arguments, or the command where there is no entry point.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub cmd: Vec<String>,
    /// Directories whose data outlives containers.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", with = "set")]
    pub volumes: BTreeSet<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub working_dir: String,
    /// Arbitrary metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// Signal that asks the container to stop, as a name or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds between stop and kill (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to find out whether the container works (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Shell of the builder's shell form (Docker).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub shell: Vec<String>,
    /// Instructions for builds on top (Docker).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub on_build: Vec<String>,
    /// Windows only; kept so that a re-written configuration stays the same.
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_as_default")]
    pub args_escaped: bool,
}

/// Docker's health check. Times are nanoseconds; zero means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// Empty to inherit, `NONE`, or `CMD`/`CMD-SHELL` and words.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// For one check.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// In which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between checks during the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One step in the making of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// By which command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Parses an image configuration.
///
/// # Errors
/// [`ImageError`]: too large, not JSON, or not made of layers.
pub fn parse_configuration(bytes: &[u8]) -> Result<ImageConfiguration, ImageError> {
    const WHAT: &str = "image configuration";
    bounded(WHAT, bytes, MAX_CONFIGURATION)?;
    let configuration: ImageConfiguration =
        serde_json::from_slice(bytes).map_err(|source| ImageError::Json { what: WHAT, source })?;
    if configuration.rootfs.kind != "layers" {
        return Err(ImageError::RootFsType(clip(&configuration.rootfs.kind)));
    }
    at_most(WHAT, "layers", configuration.rootfs.diff_ids.len(), MAX_LAYERS)?;
    at_most(WHAT, "history entries", configuration.history.len(), MAX_HISTORY)?;
    Ok(configuration)
}

/// The chain ids of a stack of layers, lowest first: image-spec `config.md`, "Layer ChainID".
///
/// Each names a layer together with all below it, so equal chain ids mean equal file systems.
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => *diff_id,
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Sets that JSON writes as objects of empty objects.
mod set {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::de::IgnoredAny;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|name| (name, BTreeMap::<(), ()>::new())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_configuration() {
        let text = br#"{"architecture":"amd64","config":{"Hostname":"","User":"www","ExposedPorts":{"80/tcp":{}},
            "Env":["PATH=/bin"],"Cmd":["sh"],"Entrypoint":null,"Volumes":null,"WorkingDir":"/srv","OnBuild":null,
            "Labels":{"a":"b"},"StopSignal":"SIGQUIT","Healthcheck":{"Test":["CMD","true"],"Interval":30000000000}},
            "container_config":{},"created":"2020-01-01T00:00:00Z","docker_version":"20","history":[{"created_by":"x",
            "empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":null}}"#;
        let parsed = parse_configuration(text).unwrap();
        assert_eq!(parsed.config.user, "www");
        assert!(parsed.config.exposed_ports.contains("80/tcp"));
        assert_eq!(parsed.config.healthcheck.as_ref().unwrap().interval, 30_000_000_000);
        let again = parse_configuration(&serde_json::to_vec(&parsed).unwrap()).unwrap();
        assert_eq!(again, parsed);
    }

    #[test]
    fn refused() {
        for text in [
            "{}",
            "[]",
            r#"{"rootfs":{"type":"zfs"}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":["sha256:x"]}}"#,
            r#"{"rootfs":{"type":"layers"},"config":{"Env":"A=b"}}"#,
            r#"{"rootfs":{"type":"layers"},"config":{"Cmd":[1]}}"#,
        ] {
            assert!(parse_configuration(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn chain_of_the_specification() {
        let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
        assert_eq!(chain_ids(&[]), []);
        assert_eq!(chain_ids(&[a]), [a]);
        assert_eq!(chain_ids(&[a, b]), [a, Digest::of(format!("{a} {b}").as_bytes())]);
    }
}
