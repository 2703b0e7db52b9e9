//! What other programs write: umoci, skopeo, and mmdebstrap's Debian.

use std::fs;
use std::path::Path;

use store::LoadOptions;

use crate::fixture::{self, Test, assert_sound, import, reference, run, top_file};

pub(crate) const TESTS: &[Test] = &[
    ("umoci_and_skopeo", umoci_and_skopeo),
    ("skopeo_reads_the_store", skopeo_reads_the_store),
    ("a_debian_tree", a_debian_tree),
];

fn umoci_and_skopeo() {
    testkit::needs!(root, program("umoci"), program("skopeo"), program("gzip"));
    let (directory, store) = fixture::store();
    let text = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let layout = text("layout");
    let image = format!("{layout}:one");
    run("umoci", &["init", "--layout", &layout]);
    run("umoci", &["new", "--image", &image]);
    // not `umoci insert`: that of 0.4.7 writes archives without an end, which GNU tar refuses as well
    for content in ["first", "second"] {
        let bundle = text(content);
        run("umoci", &["unpack", "--image", &image, &bundle]);
        fs::create_dir_all(directory.join(content).join("rootfs/etc")).unwrap();
        fs::write(directory.join(content).join("rootfs/etc/name"), content).unwrap();
        run("umoci", &["repack", "--image", &image, &bundle]);
    }
    run("umoci", &["config", "--image", &image, "--config.cmd", "sh"]);
    let check = |name: &str| {
        let image = store.find(name).unwrap();
        assert_eq!(image.layers.len(), 2, "{name}");
        assert_eq!(image.configuration.config.cmd, ["sh"], "{name}");
        assert_eq!(top_file(&store, &image, "etc/name").unwrap(), b"second", "{name}");
        image
    };
    let named = LoadOptions { name: Some(reference("localhost/umoci")), platform: None };
    store.load(Path::new(&layout), &named).unwrap();
    let first = check("localhost/umoci:one");
    let from = format!("oci:{image}");
    for (kind, file, tag) in [
        ("oci-archive", "oci.tar", "localhost/oci:1"),
        ("docker-archive", "docker.tar", "localhost/docker:1"),
        ("oci", "copy", "localhost/copy:1"),
    ] {
        run("skopeo", &["copy", "--insecure-policy", &from, &format!("{kind}:{}:{tag}", text(file))]);
        store.load(&directory.join(file), &LoadOptions::default()).unwrap();
        assert_eq!(check(tag).layers, first.layers, "{kind}");
    }
    // packed as a whole, and layers packed with zstd
    run("gzip", &[&text("docker.tar")]);
    store.remove("localhost/docker:1", store::Force::No).unwrap();
    store.load(&directory.join("docker.tar.gz"), &LoadOptions::default()).unwrap();
    check("localhost/docker:1");
    let zstd = format!("oci:{}:localhost/zstd:1", text("zstd"));
    run(
        "skopeo",
        &["copy", "--insecure-policy", "--dest-compress-format=zstd", "--dest-compress", &from, &zstd],
    );
    store.load(&directory.join("zstd"), &LoadOptions::default()).unwrap();
    check("localhost/zstd:1");
    assert_sound(&store);
    // and into an empty store, so that nothing was there before
    let (_other, fresh) = fixture::store();
    for file in ["oci.tar", "docker.tar.gz", "zstd"] {
        fresh.load(&directory.join(file), &LoadOptions::default()).unwrap();
        fresh.prune(true).unwrap();
    }
}

fn skopeo_reads_the_store() {
    testkit::needs!(program("skopeo"));
    let (directory, store) = fixture::store();
    import(&store, "x:1", &[("a", b"1")]);
    let from = format!("oci:{}:docker.io/library/x:1", store.path().display());
    let to = format!("docker-archive:{}:x:2", directory.join("out.tar").display());
    run("skopeo", &["copy", "--insecure-policy", &from, &to]);
    store.load(&directory.join("out.tar"), &LoadOptions::default()).unwrap();
    assert_eq!(store.find("x:2").unwrap().layers, store.find("x:1").unwrap().layers);
}

fn a_debian_tree() {
    testkit::needs!(path("/tmp/brig-fixtures/debian.tar"), path("/dev/shm"));
    // in memory: what is measured is our work, and removal of 8,000 files takes some disks half a minute
    let directory = testkit::TempDir::new_in(Path::new("/dev/shm"));
    let store = fixture::open(&directory.join("store"));
    let start = std::time::Instant::now();
    let mut file = fs::File::open("/tmp/brig-fixtures/debian.tar").unwrap();
    let image = store.import(&mut file, &reference("debian:12"), &fixture::OPTIONS).unwrap();
    println!("  imported in {:?}", start.elapsed());
    assert!(top_file(&store, &image, "etc/debian_version").is_some());
    let start = std::time::Instant::now();
    for _ in 0..100 {
        let store = fixture::open(store.path());
        let lock = store.shared().unwrap();
        let image = store.resolve(&reference("debian:12")).unwrap();
        store.prepare(&image).unwrap();
        drop(lock);
    }
    println!("  opened, resolved and prepared in {:?}", start.elapsed() / 100);
    let start = std::time::Instant::now();
    store.remove("debian:12", store::Force::No).unwrap();
    println!("  removed in {:?}", start.elapsed());
    assert_sound(&store);
}
