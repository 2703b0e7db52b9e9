//! Import, names, removal, leases, the built-in image.

use std::fs;
use std::os::fd::AsFd;

use store::{Error, Force, ImportOptions};

use crate::fixture::{self, OPTIONS, Test, assert_sound, import, reference, top_file};

pub(crate) const TESTS: &[Test] = &[
    ("import_and_resolve", import_and_resolve),
    ("names_move_and_go", names_move_and_go),
    ("containers_hold_images", containers_hold_images),
    ("removal_by_id", removal_by_id),
    ("hello_is_made_once", hello_is_made_once),
    ("snapshots", snapshots),
    ("privileged_snapshots_make_an_overlay", privileged_snapshots_make_an_overlay),
    ("stores_are_private_and_versioned", stores_are_private_and_versioned),
];

fn import_and_resolve() {
    let (_directory, store) = fixture::store();
    let options = ImportOptions {
        changes: vec!["CMD [\"sh\"]".to_owned(), "ENV A=b".to_owned()],
        message: Some("hi".to_owned()),
        platform: None,
    };
    let archive = fixture::tar(&[("etc/", b""), ("etc/name", b"one")]);
    let image = store.import(&mut &archive[..], &reference("debian:12"), &options).unwrap();
    let found = store.find("debian:12").unwrap();
    assert_eq!(found.id, image.id);
    assert_eq!(found.configuration.config.cmd, ["sh"]);
    assert_eq!(found.configuration.config.env, ["A=b"]);
    assert_eq!(found.configuration.history[0].comment.as_deref(), Some("hi"));
    assert_eq!(found.configuration.rootfs.diff_ids, [oci::Digest::of(&archive)]);
    assert_eq!(top_file(&store, &found, "etc/name").unwrap(), b"one");
    for text in [&image.id.hex()[..12], &image.id.to_string(), &image.descriptor.digest.hex()] {
        assert_eq!(store.find(text).unwrap().id, image.id, "{text}");
    }
    let by_digest = reference("debian:12").with_digest(image.descriptor.digest);
    assert_eq!(store.resolve(&by_digest).unwrap().id, image.id);
    let other = reference("debian:12").with_digest(image.id);
    assert!(store.resolve(&other).unwrap_err().is_not_found());
    assert!(store.find("debian").unwrap_err().is_not_found());
    let meta = store.layer_meta(&image.layers[0]).unwrap();
    assert!(meta.unconfined.iter().all(|what| what.starts_with("landlock")), "{:?}", meta.unconfined);
    let listed = store.images().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].size, archive.len() as u64);
    assert_eq!(fixture::mode(&store.path().join("blobs/sha256").join(image.id.hex())), 0o444);
    // what came packed is kept packed, and unpacks to the same layer
    let error = store.import(&mut &archive[..700], &reference("cut"), &OPTIONS).unwrap_err();
    assert!(matches!(error, Error::Child { .. } | Error::NotAnArchive { .. }), "{error}");
    assert_sound(&store);
}

fn names_move_and_go() {
    let (_directory, store) = fixture::store();
    let first = import(&store, "a/b:1", &[("x", b"1")]);
    import(&store, "a:1", &[("x", b"2")]);
    store.tag("a/b:1", &reference("a/b:2")).unwrap();
    // the last name of the second image goes to a third, which leaves the second untagged
    let second = store.find("a:1").unwrap();
    import(&store, "a:1", &[("x", b"3")]);
    let names = store.names().unwrap();
    let untagged: Vec<_> = names.iter().filter(|named| named.reference.is_none()).collect();
    assert_eq!((untagged.len(), untagged[0].id), (1, second.id));
    let removed = store.remove("a/b:1", Force::No).unwrap();
    assert_eq!(removed.untagged, [reference("a/b:1")]);
    assert_eq!(removed.deleted, []);
    let removed = store.remove("a/b:2", Force::No).unwrap();
    assert_eq!(removed.deleted, [first.id, first.layers[0]]);
    assert!(matches!(store.remove("a/b:2", Force::No), Err(Error::NotFound { .. })));
    assert_sound(&store);
    let pruned = store.prune(false).unwrap();
    assert_eq!(pruned.deleted, [second.id, second.layers[0]]);
    assert_eq!(store.names().unwrap().len(), 1);
    store.prune(true).unwrap();
    assert_eq!(store.names().unwrap(), []);
    for directory in ["blobs/sha256", "layers", "ingest"] {
        assert_eq!(fs::read_dir(store.path().join(directory)).unwrap().count(), 0, "{directory}");
    }
    let index = fs::read(store.path().join("index.json")).unwrap();
    assert_eq!(oci::image::parse_index(&index, None).unwrap().manifests, []);
}

fn containers_hold_images() {
    let (_directory, store) = fixture::store();
    let image = import(&store, "a", &[("x", b"1")]);
    let container = store.path().join("containers/c1");
    fs::create_dir(&container).unwrap();
    store::hold(files::open_directory(&container).unwrap().as_fd(), &image).unwrap();
    store.lease("build-1", &image).unwrap();
    let error = store.remove("a", Force::No).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    let removed = store.remove("a", Force::Yes).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted.len()), (1, 0));
    store.prune(true).unwrap();
    assert_eq!(store.names().unwrap().len(), 1);
    store.prepare(&image).unwrap();
    fs::remove_dir_all(container).unwrap();
    store.prune(true).unwrap();
    store.prepare(&image).unwrap();
    store.release("build-1").unwrap();
    store.release("build-1").unwrap();
    store.prune(true).unwrap();
    assert!(matches!(store.prepare(&image), Err(Error::Missing { .. })));
    // a lease that cannot be read stops the collection, it does not widen it
    let image = import(&store, "a", &[("x", b"1")]);
    fs::write(store.path().join("leases/bad"), "{").unwrap();
    assert!(matches!(store.prune(true), Err(Error::Lease { path }) if path == "leases/bad"));
    store.prepare(&image).unwrap();
}

fn removal_by_id() {
    let (_directory, store) = fixture::store();
    let image = import(&store, "a:1", &[("x", b"1")]);
    let id = image.id.short();
    store.tag(&id, &reference("a:2")).unwrap();
    store.tag(&id, &reference("b:1")).unwrap();
    assert!(matches!(store.remove(&id, Force::No), Err(Error::ManyNames { .. })));
    assert_eq!(store.inspect(&id).unwrap().references.len(), 3);
    let removed = store.remove(&id, Force::Yes).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted.len()), (3, 2));
    assert!(store.find(&id).unwrap_err().is_not_found());
    assert_sound(&store);
}

fn hello_is_made_once() {
    let (directory, store) = fixture::store();
    let program = directory.join("brig");
    fs::write(&program, vec![7; 4_000_001]).unwrap();
    let open = || fs::File::open(&program).unwrap();
    let name = reference("hello");
    assert!(store::is_hello(&name) && store::is_hello(&reference("localhost/hello")));
    assert!(!store::is_hello(&reference("hello:1")) && !store::is_hello(&reference("a/hello")));
    let start = std::time::Instant::now();
    let first = store.resolve_or_hello(&name, open().as_fd()).unwrap();
    println!("  made in {:?}", start.elapsed());
    assert_eq!(top_file(&store, &first, "hello").unwrap(), vec![7; 4_000_001]);
    assert_eq!(first.configuration.config.entrypoint, ["/hello"]);
    let start = std::time::Instant::now();
    let again = store.resolve_or_hello(&name, open().as_fd()).unwrap();
    println!("  a hit took {:?}", start.elapsed());
    assert_eq!(again.descriptor.digest, first.descriptor.digest);
    assert_eq!(store.resolve(&name).unwrap().id, first.id);
    // another binary, another image; the old one is no one's
    fs::write(&program, vec![8; 50]).unwrap();
    let rebuilt = store.resolve_or_hello(&name, open().as_fd()).unwrap();
    assert_ne!(rebuilt.id, first.id);
    assert_eq!(store.names().unwrap().len(), 1);
    store.prune(false).unwrap();
    assert_sound(&store);
    // removed, and made again
    store.remove("hello", Force::No).unwrap();
    store.resolve_or_hello(&name, open().as_fd()).unwrap();
    // a person's own image of that name is not replaced
    let own = import(&store, "hello", &[("x", b"1")]);
    assert_eq!(store.resolve_or_hello(&name, open().as_fd()).unwrap().id, own.id);
    store.remove("hello", Force::No).unwrap();
    let own = import(&store, "localhost/hello", &[("x", b"2")]);
    assert_eq!(store.resolve_or_hello(&name, open().as_fd()).unwrap().id, own.id);
}

fn snapshots() {
    let (directory, store) = fixture::store();
    let layout = fixture::Layout::new(directory.join("layout"));
    let low = fixture::tar(&[("./", b""), ("a", b"low"), ("b", b"low")]);
    let high = fixture::tar(&[("a", b"high"), (".wh.b", b"")]);
    layout.write_index(&[("x:1", &layout.image(&[low, high]))]);
    layout.load(&store).unwrap();
    let image = store.find("x:1").unwrap();
    let snapshot = store.prepare(&image).unwrap();
    assert_eq!(snapshot.lower.len(), 2);
    let read = |at: usize| files::root::read_bounded(&snapshot.lower[at], "a", 10).unwrap().unwrap();
    assert_eq!((read(0), read(1)), (b"high".to_vec(), b"low".to_vec()));
    let container = directory.join("container");
    fs::create_dir(&container).unwrap();
    let upper = store::create_upper(files::open_directory(&container).unwrap().as_fd(), &snapshot).unwrap();
    assert_eq!(fixture::mode(&container.join("upper")), 0o755);
    drop(upper);
}

/// The mount is never attached: it ends with its descriptor.
fn privileged_snapshots_make_an_overlay() {
    testkit::needs!(root, overlay, kernel(6, 13));
    let (directory, store) = fixture::store();
    let layout = fixture::Layout::new(directory.join("layout"));
    let low = [
        ("./", &b""[..]),
        ("a", b"low"),
        ("b", b"low"),
        ("hidden/", b""),
        ("hidden/x", b""),
        ("dir/", b""),
        ("dir/x", b"1"),
    ];
    let high = [
        ("a", &b"high"[..]),
        (".wh.b", b""),
        ("hidden/", b""),
        ("hidden/.wh..wh..opq", b""),
        ("dir/", b""),
        ("dir/y", b""),
    ];
    layout.write_index(&[("x:1", &layout.image(&[fixture::tar(&low), fixture::tar(&high)]))]);
    layout.load(&store).unwrap();
    let snapshot = store.prepare(&store.find("x:1").unwrap()).unwrap();
    let container = directory.join("container");
    fs::create_dir(&container).unwrap();
    let upper = store::create_upper(files::open_directory(&container).unwrap().as_fd(), &snapshot).unwrap();
    let overlay = rustix::mount::fsopen("overlay", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    for lower in &snapshot.lower {
        rustix::mount::fsconfig_set_fd(overlay.as_fd(), "lowerdir+", lower.as_fd()).unwrap();
    }
    rustix::mount::fsconfig_set_fd(overlay.as_fd(), "upperdir", upper.upper.as_fd()).unwrap();
    rustix::mount::fsconfig_set_fd(overlay.as_fd(), "workdir", upper.work.as_fd()).unwrap();
    rustix::mount::fsconfig_create(overlay.as_fd()).unwrap();
    let flags = rustix::mount::FsMountFlags::FSMOUNT_CLOEXEC;
    let root =
        rustix::mount::fsmount(overlay.as_fd(), flags, rustix::mount::MountAttrFlags::empty()).unwrap();
    let read = |name: &str| files::root::read_bounded(&root, name, 10).unwrap();
    assert_eq!(read("a").unwrap(), b"high");
    assert_eq!(read("b"), None);
    assert_eq!(read("hidden/x"), None);
    assert_eq!(read("dir/x").unwrap(), b"1");
    assert_eq!(read("dir/y").unwrap(), b"");
}

fn stores_are_private_and_versioned() {
    let (_directory, store) = fixture::store();
    assert_eq!(fixture::mode(store.path()), 0o700);
    fs::set_permissions(store.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fixture::open(store.path());
    assert_eq!(fixture::mode(store.path()), 0o700);
    fs::remove_file(store.path().join("format")).unwrap();
    fs::write(store.path().join("format"), "2\n").unwrap();
    let error = store::Store::open(store.path(), store::Ownership::Kept).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}
