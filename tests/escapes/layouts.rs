//! Crafted OCI layouts and docker-archives, and who loads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Outcome, find_program};
use tests::Brig;

use crate::archives::Tar;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The digest by another program than ours.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let sum = testkit::run_with_input(&mut Command::new("sha256sum"), bytes).success();
    format!("sha256:{}", sum.split(' ').next().unwrap())
}

/// A layer with one file.
pub(crate) fn layer() -> Vec<u8> {
    Tar::new().file("hello", "hello").end()
}

/// An image configuration for these uncompressed layers.
pub(crate) fn configuration(diff_ids: &[String]) -> Vec<u8> {
    let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
    let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs});
    serde_json::to_vec(&config).unwrap()
}

/// A descriptor of the content.
pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
}

/// An OCI layout under construction.
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// An empty one named `name`, in place of an older one.
    pub(crate) fn new(brig: &Brig, name: &str) -> Self {
        let directory = brig.directory().join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file of a blob.
    pub(crate) fn blob(&self, descriptor: &Value) -> PathBuf {
        self.0.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
    }

    /// Adds a blob.
    pub(crate) fn put(&self, kind: &str, bytes: &[u8]) -> Value {
        let descriptor = descriptor(kind, bytes);
        fs::write(self.blob(&descriptor), bytes).unwrap();
        descriptor
    }

    /// Adds a document.
    pub(crate) fn put_json(&self, kind: &str, document: &Value) -> Value {
        self.put(kind, &serde_json::to_vec(document).unwrap())
    }

    /// Writes the index: these manifests, the first one with a name that all programs know.
    pub(crate) fn index(&self, mut manifests: Vec<Value>) {
        manifests[0]["annotations"] = json!({"org.opencontainers.image.ref.name": "attack"});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        fs::write(self.0.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }
}

/// The parts of a good image in a layout; an attack changes one of them.
pub(crate) struct Image {
    pub(crate) layer: Value,
    pub(crate) configuration: Value,
    pub(crate) manifest: Value,
}

impl Image {
    /// Adds layer and configuration.
    pub(crate) fn new(layout: &Layout) -> Self {
        Self::of(layout, LAYER, &layer(), &digest(&layer()))
    }

    /// Adds this layer, and a configuration that says what it is uncompressed.
    pub(crate) fn of(layout: &Layout, kind: &str, bytes: &[u8], diff_id: &str) -> Self {
        let layer = layout.put(kind, bytes);
        let configuration = layout.put(CONFIGURATION, &configuration(&[diff_id.to_owned()]));
        let manifest = manifest(&configuration, std::slice::from_ref(&layer));
        Self { layer, configuration, manifest }
    }

    /// Adds the manifest and the index.
    pub(crate) fn finish(&self, layout: &Layout) -> Value {
        let manifest = layout.put_json(MANIFEST, &self.manifest);
        layout.index(vec![manifest.clone()]);
        manifest
    }
}

/// A manifest.
pub(crate) fn manifest(configuration: &Value, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": layers})
}

/// A docker-archive of these layers, named `localhost/attack:latest`.
pub(crate) fn docker_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let sums: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
    let names: Vec<_> = sums.iter().map(|sum| format!("{}.tar", &sum[7..])).collect();
    let configuration = configuration(&sums);
    let config = format!("{}.json", &digest(&configuration)[7..]);
    let entry = json!([{"Config": config, "RepoTags": ["localhost/attack:latest"], "Layers": names}]);
    let mut tar = Tar::new().file(config, configuration);
    for (name, layer) in names.iter().zip(layers) {
        tar = tar.file(name, layer);
    }
    tar.file("manifest.json", serde_json::to_vec(&entry).unwrap()).end()
}

/// `brig load`; with a build that has seams, without the defences that `weaken` names.
pub(crate) fn load(brig: &Brig, path: &Path, weaken: &str) -> Outcome {
    let mut command = brig.command(&["load", "-i", path.to_str().unwrap()]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

/// How many images the store has.
pub(crate) fn images(brig: &Brig) -> usize {
    brig.ok(&["images", "-q"]).lines().count()
}

/// `skopeo copy` of a layout to a new directory, which it answers too.
pub(crate) fn skopeo(brig: &Brig, source: &str) -> (Outcome, PathBuf) {
    let target = brig.directory().join("copied");
    if target.exists() {
        fs::remove_dir_all(&target).unwrap();
    }
    let mut command = Command::new(find_program("skopeo").unwrap());
    command.args(["--insecure-policy", "copy", "--quiet", source]).arg(format!("dir:{}", target.display()));
    (testkit::run(&mut command), target)
}

/// A layout as skopeo names its image.
pub(crate) fn oci(layout: &Layout) -> String {
    format!("oci:{}:attack", layout.path().display())
}

/// `umoci raw unpack` of a layout's image; answers where to.
pub(crate) fn umoci(brig: &Brig, layout: &Layout) -> (Outcome, PathBuf) {
    let target = brig.directory().join("unpacked");
    if target.exists() {
        fs::remove_dir_all(&target).unwrap();
    }
    let image = format!("{}:attack", layout.path().display());
    let mut command = Command::new(find_program("umoci").unwrap());
    (testkit::run(command.args(["raw", "unpack", "--image", &image]).arg(&target)), target)
}
