//! Small archives and layouts, written by hand so that they can lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::image::{Descriptor, media};
use oci::{Digest, Reference};
use rustix::fs::CWD;
use store::{ImportOptions, LoadOptions, Ownership, Store};

pub(crate) type Test = (&'static str, fn());

pub(crate) const OPTIONS: ImportOptions =
    ImportOptions { changes: Vec::new(), message: None, platform: None };

/// A tar archive of regular files; a name that ends with `/` is a directory, `a -> b` a symbolic link.
pub(crate) fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in entries {
        let (name, link) = name.split_once(" -> ").unwrap_or((name, ""));
        let kind = match (link, name.ends_with('/')) {
            ("", true) => b'5',
            ("", false) => b'0',
            _ => b'2',
        };
        let mut block = [0; 512];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, if kind == b'5' { b"0000755" } else { b"0000644" });
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{:011o}", content.len()).as_bytes());
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(block);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A new store in a directory of its own.
pub(crate) fn store() -> (testkit::TempDir, Store) {
    let directory = testkit::TempDir::new();
    let store = open(&directory.join("store"));
    (directory, store)
}

/// Opens a store as the present user can: as root, or with subordinate ids, or with one id.
pub(crate) fn open(path: &Path) -> Store {
    let ownership = Ownership::of_user(Path::new("/etc")).unwrap();
    Store::open(path, ownership).unwrap()
}

pub(crate) fn import(store: &Store, name: &str, entries: &[(&str, &[u8])]) -> store::Image {
    store.import(&mut &tar(entries)[..], &reference(name), &OPTIONS).unwrap()
}

/// An OCI layout in a directory, with methods that keep it honest; tests then break it.
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
}

impl Layout {
    pub(crate) fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { path }
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        Descriptor::new(media_type, digest, bytes.len() as u64)
    }

    /// Adds an image of plain layers, returns its manifest.
    pub(crate) fn image(&self, layers: &[Vec<u8>]) -> Descriptor {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let layers: Vec<Descriptor> = layers.iter().map(|layer| self.blob(media::LAYER, layer)).collect();
        self.manifest(&layers, &diff_ids)
    }

    pub(crate) fn manifest(&self, layers: &[Descriptor], diff_ids: &[Digest]) -> Descriptor {
        let diff_ids = serde_json::to_string(diff_ids).unwrap();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":{diff_ids}}}}}"#
        );
        let config = self.blob(media::CONFIGURATION, config.as_bytes());
        self.manifest_of(&config, layers)
    }

    pub(crate) fn manifest_of(&self, config: &Descriptor, layers: &[Descriptor]) -> Descriptor {
        let manifest = serde_json::json!({"schemaVersion":2,"mediaType":media::MANIFEST,"config":config,"layers":layers});
        self.blob(media::MANIFEST, manifest.to_string().as_bytes())
    }

    pub(crate) fn index(&self, manifests: &[Descriptor]) -> Vec<u8> {
        serde_json::json!({"schemaVersion":2,"manifests":manifests}).to_string().into_bytes()
    }

    pub(crate) fn write_index(&self, manifests: &[(&str, &Descriptor)]) {
        let named: Vec<Descriptor> = manifests
            .iter()
            .map(|(name, manifest)| {
                let mut entry = (*manifest).clone();
                if !name.is_empty() {
                    let key = "org.opencontainers.image.ref.name".to_owned();
                    entry.annotations.insert(key, (*name).to_owned());
                }
                entry
            })
            .collect();
        fs::write(self.path.join("index.json"), self.index(&named)).unwrap();
    }

    pub(crate) fn load(&self, store: &Store) -> store::Result<Vec<store::Loaded>> {
        store.load(&self.path, &LoadOptions::default())
    }
}

/// Reads a file of an image's top layer.
pub(crate) fn top_file(store: &Store, image: &store::Image, name: &str) -> Option<Vec<u8>> {
    let snapshot = store.prepare(image).unwrap();
    files::root::read_bounded(&snapshot.lower[0], name, 8 << 20).unwrap()
}

/// Nothing is inconsistent, all content has its digest, and no operation left anything.
pub(crate) fn assert_sound(store: &Store) {
    assert_eq!(store.check(store::Depth::Contents).unwrap(), []);
    assert_eq!(fs::read_dir(store.path().join("ingest")).unwrap().count(), 0);
}

/// A command that runs this binary as a child operation.
pub(crate) fn this(operation: &str, arguments: &[&Path]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", operation]).args(arguments);
    command
}

/// What this binary does for another test.
pub(crate) fn child(arguments: &[String]) {
    let path = |at: usize| Path::new(&arguments[at]);
    match arguments[0].as_str() {
        "import" => {
            let mut file = fs::File::open(path(2)).unwrap();
            open(path(1)).import(&mut file, &reference(&arguments[3]), &OPTIONS).unwrap();
        }
        "load" => {
            open(path(1)).load(path(2), &LoadOptions::default()).unwrap();
        }
        "remove" => {
            drop(open(path(1)).remove(&arguments[2], store::Force::No));
        }
        // for `strace`: what the run path costs
        "prepare" => {
            let store = open(path(1));
            let _lock = store.shared().unwrap();
            store.prepare(&store.resolve(&reference(&arguments[2])).unwrap()).unwrap();
        }
        "rootless" => crate::rootless::as_user(path(1)),
        other => panic!("no operation {other}"),
    }
}

/// Runs a program that has to succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn mode(path: &Path) -> u32 {
    rustix::fs::statat(CWD, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap().st_mode & 0o7777
}
