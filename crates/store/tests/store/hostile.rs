//! Archives and layouts that lie.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use oci::Digest;
use oci::image::{Descriptor, media};
use store::{Error, LoadOptions, Store};

use crate::fixture::{self, Layout, Test, assert_sound, tar};

pub(crate) const TESTS: &[Test] = &[
    ("layouts_that_lie", layouts_that_lie),
    ("indexes", indexes),
    ("docker_archives", docker_archives),
    ("docker_archives_that_lie", docker_archives_that_lie),
    ("mutated_archives", mutated_archives),
    ("not_archives", not_archives),
    ("damage_is_found", damage_is_found),
];

/// Each case breaks a good layout in one way; nothing of it may be left in the store.
fn layouts_that_lie() {
    type Break = fn(&Layout, &Descriptor);
    let layer = || tar(&[("a", b"1")]);
    let cases: &[(&str, Break)] = &[
        ("layer with another content", |layout, _| {
            let path = layout.blob_path(&Digest::of(&tar(&[("a", b"1")])));
            fs::write(path, tar(&[("a", b"2")])).unwrap();
        }),
        ("layer cut short", |layout, _| {
            let path = layout.blob_path(&Digest::of(&tar(&[("a", b"1")])));
            fs::write(path, &tar(&[("a", b"1")])[..1024]).unwrap();
        }),
        ("layer too long", |layout, _| {
            let path = layout.blob_path(&Digest::of(&tar(&[("a", b"1")])));
            fs::write(path, [tar(&[("a", b"1")]), vec![0; 512]].concat()).unwrap();
        }),
        ("layer missing", |layout, _| {
            fs::remove_file(layout.blob_path(&Digest::of(&tar(&[("a", b"1")])))).unwrap();
        }),
        ("layer is a symlink", |layout, _| {
            let path = layout.blob_path(&Digest::of(&tar(&[("a", b"1")])));
            fs::rename(&path, layout.path.join("elsewhere")).unwrap();
            symlink("../../elsewhere", path).unwrap();
        }),
        ("layer is a fifo", |layout, _| {
            let path = layout.blob_path(&Digest::of(&tar(&[("a", b"1")])));
            fs::remove_file(&path).unwrap();
            fixture::run("mkfifo", &[path.to_str().unwrap()]);
        }),
        ("blobs is a symlink", |layout, _| {
            fs::rename(layout.path.join("blobs"), layout.path.join("other")).unwrap();
            symlink("other", layout.path.join("blobs")).unwrap();
        }),
        ("manifest with another content", |layout, manifest| {
            let path = layout.blob_path(&manifest.digest);
            let text =
                fs::read_to_string(&path).unwrap().replace("\"schemaVersion\":2", "\"schemaVersion\": 2");
            fs::write(path, text).unwrap();
        }),
        ("manifest listed with another size", |layout, manifest| {
            let mut lie = manifest.clone();
            lie.size -= 1;
            layout.write_index(&[("x:1", &lie)]);
        }),
        ("manifest listed as huge", |layout, manifest| {
            let mut lie = manifest.clone();
            lie.size = u64::MAX;
            layout.write_index(&[("x:1", &lie)]);
        }),
        ("manifest listed as an index", |layout, manifest| {
            let mut lie = manifest.clone();
            lie.media_type = media::INDEX.to_owned();
            layout.write_index(&[("x:1", &lie)]);
        }),
        ("configuration of other layers", |layout, _| {
            let blob = layout.blob(media::LAYER, &tar(&[("a", b"1")]));
            layout.write_index(&[("x:1", &layout.manifest(&[blob], &[Digest::of(b"another")]))]);
        }),
        ("more layers than diff ids", |layout, _| {
            let blob = layout.blob(media::LAYER, &tar(&[("a", b"1")]));
            let diff = blob.digest;
            layout.write_index(&[("x:1", &layout.manifest(&[blob.clone(), blob], &[diff]))]);
        }),
        ("layer of an unknown type", |layout, _| {
            let blob = layout.blob("application/vnd.oci.image.layer.v1.tar+encrypted", &tar(&[("a", b"1")]));
            let diff = blob.digest;
            layout.write_index(&[("x:1", &layout.manifest(&[blob], &[diff]))]);
        }),
        ("layer that is no tar", |layout, _| {
            let blob = layout.blob(media::LAYER, &[1; 2048]);
            let diff = blob.digest;
            layout.write_index(&[("x:1", &layout.manifest(&[blob], &[diff]))]);
        }),
        ("layer that climbs out", |layout, _| {
            let blob = layout.blob(media::LAYER, &tar(&[("../climbed", b"1")]));
            let diff = blob.digest;
            layout.write_index(&[("x:1", &layout.manifest(&[blob], &[diff]))]);
        }),
        ("name that is a path", |layout, manifest| {
            layout.write_index(&[("../../etc:1", manifest)]);
        }),
        ("name that is too long", |layout, manifest| {
            layout.write_index(&[(&format!("{}:1", "a".repeat(300)), manifest)]);
        }),
        ("configuration missing", |layout, _| {
            let config = Descriptor::new(media::CONFIGURATION, Digest::of(b"missing"), 7);
            layout.write_index(&[("x:1", &layout.manifest_of(&config, &[]))]);
        }),
        ("second image bad", |layout, manifest| {
            let blob = layout.blob(media::LAYER, &tar(&[("b", b"1")]));
            let bad = layout.manifest(&[blob], &[Digest::of(b"another")]);
            layout.write_index(&[("x:1", manifest), ("y:1", &bad)]);
        }),
    ];
    for (name, breaks) in cases {
        let (directory, store) = fixture::store();
        let layout = Layout::new(directory.join("layout"));
        let manifest = layout.image(&[layer()]);
        layout.write_index(&[("x:1", &manifest)]);
        breaks(&layout, &manifest);
        let error = layout.load(&store).expect_err(name);
        assert_empty(&store, name);
        let _printed = error.to_string();
        assert!(!directory.join("climbed").exists() && !store.path().join("climbed").exists());
    }
}

#[track_caller]
fn assert_empty(store: &Store, name: &str) {
    assert_eq!(store.names().unwrap(), [], "{name}");
    for directory in ["blobs/sha256", "layers", "ingest"] {
        assert_eq!(fs::read_dir(store.path().join(directory)).unwrap().count(), 0, "{name}: {directory}");
    }
}

fn platform(mut descriptor: Descriptor, architecture: &str) -> Descriptor {
    let platform = oci::image::Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        ..oci::image::Platform::default()
    };
    descriptor.platform = Some(platform);
    descriptor
}

fn indexes() {
    let (directory, store) = fixture::store();
    let layout = Layout::new(directory.join("layout"));
    let host = oci::image::Platform::host().architecture;
    let [mine, other] = [b"mine", b"othr"].map(|content| layout.image(&[tar(&[("a", content)])]));
    let index = |entries: &[Descriptor]| layout.blob(media::INDEX, &layout.index(entries));
    let both = index(&[platform(other.clone(), "s390x"), platform(mine.clone(), &host)]);
    let nested = index(std::slice::from_ref(&both));
    let artifact = layout.manifest_of(&layout.blob("application/vnd.some.thing+json", b"{}"), &[]);
    layout.write_index(&[("x:1", &nested), ("x:2", &nested), ("signature:1", &artifact)]);
    let loaded = layout.load(&store).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].references.len(), 2);
    assert_eq!(fixture::top_file(&store, &store.find("x:2").unwrap(), "a").unwrap(), b"mine");
    // asked for another platform
    let wanted = LoadOptions { platform: platform(other.clone(), "s390x").platform, name: None };
    store.load(&layout.path, &wanted).unwrap();
    assert_eq!(fixture::top_file(&store, &store.find("x:1").unwrap(), "a").unwrap(), b"othr");
    // none for this machine, none at all, too deep
    layout.write_index(&[("x:1", &index(&[platform(other, "s390x")]))]);
    assert!(matches!(layout.load(&store), Err(Error::Platform { .. })));
    layout.write_index(&[]);
    assert!(matches!(layout.load(&store), Err(Error::Platform { .. })));
    layout.write_index(&[("x:1", &index(&[nested]))]);
    assert!(matches!(layout.load(&store), Err(Error::Limit { .. })));
    // a tag without a name, as umoci writes it
    layout.write_index(&[("latest", &mine)]);
    assert_eq!(layout.load(&store).unwrap()[0].references, []);
    let named = LoadOptions { name: Some(fixture::reference("localhost/y")), platform: None };
    assert_eq!(store.load(&layout.path, &named).unwrap()[0].references, [fixture::reference("localhost/y")]);
    assert_sound(&store);
}

/// A docker-archive of one image with these layers, all members named as given.
fn docker_archive(config_name: Option<&str>, layers: &[(&str, Vec<u8>)], diff_ids: &[Digest]) -> Vec<u8> {
    let config =
        serde_json::json!({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":diff_ids}})
            .to_string();
    let own_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let config_name = config_name.unwrap_or(&own_name);
    let names: Vec<&str> = layers.iter().map(|(name, _)| name.split(" -> ").next().unwrap()).collect();
    let manifest = serde_json::json!([{"Config":config_name,"RepoTags":["d:1"],"Layers":names}]).to_string();
    let mut members: Vec<(&str, &[u8])> = vec![(config_name, config.as_bytes())];
    members.extend(layers.iter().map(|(name, content)| (*name, content.as_slice())));
    members.push(("manifest.json", manifest.as_bytes()));
    tar(&members)
}

fn load(store: &Store, archive: &[u8]) -> store::Result<Vec<store::Loaded>> {
    store.load_stream(&mut &archive[..], &LoadOptions::default())
}

fn docker_archives() {
    let layer = tar(&[("a", b"1")]);
    let diff = Digest::of(&layer);
    // as `docker save` before 25: the second, equal layer is a link to the first
    let old = docker_archive(
        None,
        &[("aa/layer.tar", layer.clone()), ("bb/layer.tar -> ../aa/layer.tar", Vec::new())],
        &[diff, diff],
    );
    let plain = docker_archive(None, &[("aa/layer.tar", layer.clone())], &[diff]);
    let odd_name = docker_archive(Some("config"), &[("x/../aa/layer.tar", layer)], &[diff]);
    for archive in [&old, &plain, &odd_name] {
        let (directory, store) = fixture::store();
        assert_eq!(load(&store, archive).unwrap()[0].references, [fixture::reference("d:1")]);
        // once more, with all its layers there; and from a file
        let path = directory.join("archive.tar");
        fs::write(&path, archive).unwrap();
        store.load(&path, &LoadOptions::default()).unwrap();
        fixture::run("gzip", &[path.to_str().unwrap()]);
        store.load(&directory.join("archive.tar.gz"), &LoadOptions::default()).unwrap();
        let image = store.find("d:1").unwrap();
        assert_eq!(fixture::top_file(&store, &image, "a").unwrap(), b"1");
        assert_sound(&store);
    }
}

fn docker_archives_that_lie() {
    let layer = tar(&[("a", b"1")]);
    let diff = Digest::of(&layer);
    let named = |name: &str| docker_archive(None, &[(name, layer.clone())], &[diff]);
    let link = |name: &str| docker_archive(None, &[(name, Vec::new())], &[diff]);
    let other = format!("{}.json", Digest::of(b"another").hex());
    let cases: &[(&str, Vec<u8>)] = &[
        ("layer above", named("../layer.tar")),
        ("layer absolute", named("/etc/passwd")),
        ("link above", link("aa/layer.tar -> ../../../etc/passwd")),
        ("link absolute", link("aa/layer.tar -> /etc/passwd")),
        ("link to itself", link("aa/layer.tar -> layer.tar")),
        ("another diff id", docker_archive(None, &[("l", layer.clone())], &[Digest::of(b"another")])),
        ("another configuration", docker_archive(Some(&other), &[("l", layer.clone())], &[diff])),
        ("too few layers", docker_archive(None, &[("l", layer.clone())], &[diff, diff])),
        ("no manifest", tar(&[("repositories", b"{}")])),
        ("empty manifest", tar(&[("manifest.json", b"[]")])),
        ("missing members", tar(&[("manifest.json", br#"[{"Config":"x","Layers":["y"]}]"#)])),
        ("fifo-like name", tar(&[("manifest.json", br#"[{"Config":"","Layers":[""]}]"#)])),
        ("cut in a layer", named("l")[..2048].to_vec()),
    ];
    // After one zero block GNU tar goes on and Python stops: the one sees an image that the other does not.
    let mut hidden = tar(&[("other", b"")]);
    hidden.truncate(512);
    hidden.extend([0; 512]);
    hidden.extend(named("l"));
    let cases: Vec<_> = cases.iter().cloned().chain([("two archives in one", hidden)]).collect();
    for (name, archive) in &cases {
        let (directory, store) = fixture::store();
        assert!(load(&store, archive).is_err(), "{name}");
        let path = directory.join("archive");
        fs::write(&path, archive).unwrap();
        assert!(store.load(&path, &LoadOptions::default()).is_err(), "{name}");
        assert_empty(&store, name);
    }
}

/// Whatever a flipped byte makes of an archive: no panic, and a store that is sound.
fn mutated_archives() {
    let layer = tar(&[("etc/", b""), ("etc/name", b"one"), ("link -> name", b"")]);
    let diff = Digest::of(&layer);
    let good =
        docker_archive(None, &[("aa/layer.tar", layer), ("bb -> aa/layer.tar", Vec::new())], &[diff, diff]);
    let (_directory, store) = fixture::store();
    let (mut random, mut loaded) = (0x2545_F491_4F6C_DD1D_u64, 0);
    for _ in 0..400 {
        let mut bad = good.clone();
        for _ in 0..3 {
            // xorshift64
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random >> 8).unwrap() % bad.len();
            bad[at] = random.to_le_bytes()[0];
        }
        loaded += usize::from(load(&store, &bad).is_ok());
    }
    println!("  {loaded} of 400 were still good");
    assert_sound(&store);
    // a name that says it is a tebibyte long
    let mut long = tar(&[("manifest.json", b"[]")]);
    long[156] = b'L';
    long[124..136].copy_from_slice(b"\x80\0\0\0\0\0\x01\0\0\0\0\0");
    let sum = |header: &[u8]| {
        header
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum::<u32>()
    };
    let sum = format!("{:06o}\0 ", sum(&long[..512]));
    long[148..156].copy_from_slice(sum.as_bytes());
    assert!(matches!(load(&store, &long), Err(Error::Archive(archive::Error::Limit { .. }))));
}

fn not_archives() {
    let (directory, store) = fixture::store();
    for (name, content) in [
        ("empty", &b""[..]),
        ("text", b"hello"),
        ("root file system", &tar(&[("etc/passwd", b"x")])),
        ("broken gzip", b"\x1f\x8b\x08\x00"),
        ("xz", b"\xfd7zXZ\0\0"),
    ] {
        let path = directory.join("archive");
        fs::write(&path, content).unwrap();
        assert!(store.load(&path, &LoadOptions::default()).is_err(), "{name}");
        assert_empty(&store, name);
    }
    fs::create_dir(directory.join("empty")).unwrap();
    assert!(store.load(&directory.join("empty"), &LoadOptions::default()).is_err());
    assert!(store.load(Path::new("/nonexistent"), &LoadOptions::default()).is_err());
    let name = fixture::reference("x");
    for content in [&b"hello"[..], b"", &[0; 700]] {
        assert!(store.import(&mut &content[..], &name, &fixture::OPTIONS).is_err());
    }
    assert_empty(&store, "import");
}

fn damage_is_found() {
    let (_directory, store) = fixture::store();
    let image = fixture::import(&store, "x:1", &[("a", b"1")]);
    let blob = store.path().join("blobs/sha256").join(image.manifest.layers[0].digest.hex());
    let config = store.path().join("blobs/sha256").join(image.id.hex());
    let deep = || store.check(store::Depth::Contents).unwrap();
    let good = fs::read(&blob).unwrap();
    let write = |path: &Path, bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write(&blob, b"bad");
    assert!(matches!(deep()[..], [store::Finding::DamagedBlob { .. }]));
    fs::remove_file(&blob).unwrap();
    assert!(matches!(deep()[..], [store::Finding::MissingBlob { .. }]));
    fs::write(&blob, good).unwrap();
    assert_eq!(deep(), []);
    let uid = idmap::Map::single(0, 7).unwrap();
    let others = store::Ownership::Mapped { gid: uid.clone(), uid };
    let findings = Store::open(store.path(), others).unwrap().check(store::Depth::Names).unwrap();
    assert!(matches!(findings[..], [store::Finding::Ownership { .. }]));
    // a damaged configuration is seen on the run path too
    write(&config, b"{}");
    assert!(matches!(store.find("x:1"), Err(Error::Size { .. } | Error::Digest { .. })));
    assert!(deep().iter().any(|finding| matches!(finding, store::Finding::Image { .. })));
    store.remove("x:1", store::Force::No).unwrap();
    assert_eq!(deep(), []);
    let layer = store.path().join("layers/stray");
    fs::create_dir(layer).unwrap();
    assert!(matches!(deep()[..], [store::Finding::Stray { .. }]));
}
