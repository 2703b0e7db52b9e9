//! What honest archives become, and what limits and confinement stop.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "works on directories of its own")]
#![allow(dead_code, reason = "shared support")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::process::Command;

use archive::{
    Applied, CompressedDigest, Compression, Confinement, Devices, Error, Ids, Layer, Limits, Options, Result,
    SkippedWhat, Target, Whiteouts, apply, confine,
};
use oci::Digest;
use support::{Header, Place, Tar};

const OPTIONS: Options<'static> = Options {
    ids: Ids::SingleId,
    whiteouts: Whiteouts::Apply,
    devices: Devices::Skip,
    compressed: CompressedDigest::Skip,
    target: Target::Layer,
};

fn unpack(place: &Place, bytes: &[u8], options: &Options<'_>) -> Result<Applied> {
    let applied = apply(bytes, place.root(), options, &Limits::default());
    assert_eq!(place.damage(), None);
    applied
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_same_tree_from_every_compression() {
    let tar =
        Tar::new().dir("a").file("a/b", vec![7; 700_000]).symlink("a/l", "b").hard_link("h", "a/b").end();
    let zstd = zstd::stream::encode_all(&tar[..], 1).unwrap();
    for (bytes, compression) in
        [(tar.clone(), Compression::None), (gzip(&tar), Compression::Gzip), (zstd, Compression::Zstd)]
    {
        let place = Place::new();
        let options = Options { compressed: CompressedDigest::Compute, ..OPTIONS };
        let applied = unpack(&place, &bytes, &options).unwrap();
        assert_eq!(applied.compression, compression);
        assert_eq!(applied.diff_id, Digest::of(&tar));
        assert_eq!(applied.bytes, tar.len() as u64);
        assert_eq!(applied.entries, 4);
        assert_eq!(applied.compressed, Some((Digest::of(&bytes), bytes.len() as u64)));
        assert_eq!(fs::read(place.inside("h")).unwrap(), [7; 700_000]);
        let file = place.inside("a/b").metadata().unwrap();
        assert_eq!((file.nlink(), file.mode() & 0o7777, file.mtime()), (2, 0o644, 0o14000000000));
        assert_eq!(place.inside("a").metadata().unwrap().mtime(), 0o14000000000);
        assert_eq!(place.inside("a/l").symlink_metadata().unwrap().mtime(), 0o14000000000);
    }
}

#[test]
fn trailing_zeros_belong_to_the_digest() {
    let tar = [Tar::new().file("a", "b").end(), vec![0; 9000]].concat();
    let applied = unpack(&Place::new(), &tar, &OPTIONS).unwrap();
    assert_eq!((applied.diff_id, applied.bytes), (Digest::of(&tar), tar.len() as u64));
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let place = Place::new();
    let tar = Tar::new()
        .header(Header::new("a", b'5').mode(0o555))
        .header(Header::new("b", b'5').mode(0o1777))
        .file("a/1", "")
        .file("b/1", "")
        .file("a/2", "")
        .file("x/y/z", "")
        .header(Header::new("x", b'5').mode(0o750))
        .end();
    unpack(&place, &tar, &OPTIONS).unwrap();
    for (name, mode) in [("a", 0o555), ("b", 0o1777), ("x", 0o750), ("x/y", 0o755)] {
        let meta = place.inside(name).metadata().unwrap();
        assert_eq!(meta.mode() & 0o7777, mode, "{name}");
        assert_eq!(meta.mtime() == 0o14000000000, name != "x/y", "{name}");
    }
}

#[test]
fn one_id_keeps_nobody_elses_rights() {
    let place = Place::new();
    let tar = Tar::new()
        .header(Header::new("su", b'0').mode(0o4755))
        .header(Header::new("chage", b'0').mode(0o2755).owner(0, 42))
        .header(Header::new("daemon", b'0').mode(0o6755).owner(1, 1))
        .end();
    let applied = unpack(&place, &tar, &OPTIONS).unwrap();
    for (name, mode) in [("su", 0o4755), ("chage", 0o755), ("daemon", 0o755)] {
        assert_eq!(place.inside(name).metadata().unwrap().mode() & 0o7777, mode, "{name}");
    }
    assert_eq!(applied.skipped_count, 4);
    assert_eq!(applied.skipped[0].what, SkippedWhat::Owner(0, 42));
    assert_eq!(applied.skipped[1].what, SkippedWhat::SpecialBits);
}

#[test]
fn owners_are_kept_or_shifted() {
    testkit::needs!(root);
    let tar = Tar::new()
        .header(Header::new("./", b'5').owner(3, 4))
        .header(Header::new("f", b'0').owner(1000, 42).mode(0o6711))
        .header(Header::new("d", b'5').owner(0, 7).mode(0o2770))
        .header(Header::new("d/l", b'2').link("x").owner(5, 6))
        .header(Header::new("d/f", b'0'))
        .header(Header::new("p", b'6').owner(8, 9))
        .end();
    let shift = |uid: u32, gid: u32| (uid < 65_536).then_some((uid + 100_000, gid + 200_000));
    for (ids, uid, gid) in [(Ids::Keep, 0, 0), (Ids::Shift(&shift), 100_000, 200_000)] {
        let place = Place::new();
        unpack(&place, &tar, &Options { ids, ..OPTIONS }).unwrap();
        for (name, owner, mode) in [
            (".", (3, 4), 0o755),
            ("f", (1000, 42), 0o6711),
            ("d", (0, 7), 0o2770),
            ("d/l", (5, 6), 0o777),
            ("d/f", (0, 0), 0o644),
            ("p", (8, 9), 0o644),
        ] {
            let meta = place.inside(name).symlink_metadata().unwrap();
            assert_eq!((meta.uid(), meta.gid()), (owner.0 + uid, owner.1 + gid), "{name}");
            assert_eq!(meta.mode() & 0o7777, mode, "{name}");
        }
    }
    let far = Tar::new().header(Header::new("f", b'0').owner(70_000, 0)).end();
    let error = unpack(&Place::new(), &far, &Options { ids: Ids::Shift(&shift), ..OPTIONS }).unwrap_err();
    assert!(error.to_string().contains("outside of the id range"));
}

#[test]
fn capabilities_and_devices_as_root() {
    testkit::needs!(root);
    let place = Place::new();
    let value = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
    let tar = Tar::new()
        .pax(&[(b"SCHILY.xattr.security.capability", &value), (b"SCHILY.xattr.user.a", b"b")])
        .header(Header::new("ping", b'0').owner(1, 1).mode(0o755))
        .header(Header::new("null", b'3').device(1, 3).mode(0o666))
        .end();
    let options = Options { ids: Ids::Keep, devices: Devices::Make, ..OPTIONS };
    let applied = unpack(&place, &tar, &options).unwrap();
    let mut read = [0; 64];
    let length = rustix::fs::lgetxattr(place.inside("ping"), "security.capability", &mut read[..]).unwrap();
    assert_eq!(&read[..length], value);
    let null = place.inside("null").metadata().unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777), (0x103, 0o666));
    assert_eq!(applied.skipped_count, 0);
}

#[test]
fn whiteouts_delete_what_earlier_layers_left() {
    let place = Place::new();
    let lower = Tar::new()
        .file("gone/deep/file", "")
        .file("kept", "")
        .file("opaque/old", "")
        .file("opaque/sub/old", "")
        .file("both/old", "")
        .symlink("link", place.outside().to_str().unwrap())
        .end();
    unpack(&place, &lower, &OPTIONS).unwrap();
    symlink(place.outside(), place.inside("opaque/out")).unwrap();
    let upper = Tar::new()
        .file("opaque/new", "")
        .file("opaque/sub/new", "")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh.gone", "")
        .file(".wh.link", "")
        .file(".wh.never", "")
        .file("both/new", "")
        .file(".wh.both", "")
        .file("made", "")
        .file(".wh.made", "")
        .end();
    unpack(&place, &upper, &OPTIONS).unwrap();
    let names = |path: &str| {
        let mut names: Vec<_> = fs::read_dir(place.inside(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(""), ["both", "kept", "made", "opaque"]);
    assert_eq!(names("opaque"), ["new", "sub"]);
    assert_eq!(names("opaque/sub"), ["new"]);
    assert_eq!(names("both"), ["new"]);
    assert_eq!(place.damage(), None);
}

#[test]
fn a_link_of_an_earlier_layer_is_not_followed() {
    let place = Place::new();
    symlink(place.outside(), place.inside("link")).unwrap();
    for tar in [
        Tar::new().file("link/x", ""),
        Tar::new().file("link/.wh.file", ""),
        Tar::new().file("link/.wh..wh..opq", ""),
        Tar::new().hard_link("x", "link/file"),
    ] {
        unpack(&place, &tar.end(), &OPTIONS).unwrap_err();
    }
}

#[test]
fn limits_hold() {
    #[track_caller]
    fn check(bytes: &[u8], limits: &Limits, expected: Option<&str>) {
        let place = Place::new();
        let result = apply(bytes, place.root(), &OPTIONS, limits);
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(Error::Limit { what, .. }), Some(expected)) => assert_eq!(what, expected),
            (result, _) => panic!("{result:?}"),
        }
    }
    let small = || Limits { ratio_after: 1 << 16, bytes: 1 << 20, entries: 100, ..Limits::default() };
    let empty_files = |count| (0..count).fold(Tar::new(), |tar, n| tar.file(n.to_string(), "")).end();
    check(&empty_files(100), &small(), None);
    check(&empty_files(101), &small(), Some("entries"));
    check(&gzip(&empty_files(100)), &small(), None);
    check(&Tar::new().file("a", vec![0; 2 << 20]).end(), &small(), Some("uncompressed bytes"));
    check(
        &gzip(&Tar::new().file("a", vec![0; 900_000]).end()),
        &Limits { ratio: 50, ..small() },
        Some("uncompressed bytes per compressed byte"),
    );
    check(
        &gzip(&Tar::new().file("a", vec![0; 2 << 20]).end()),
        &Limits { ratio: 1 << 20, ..small() },
        Some("uncompressed bytes"),
    );
    let comments = (0..500).fold(Tar::new(), |tar, _| tar.extension(b'g', support::record(b"comment", b"x")));
    check(&comments.end(), &small(), Some("headers"));
    let sparse = |n: u64| {
        let header = Header::new(format!("s{n}"), b'S').gnu().set(345, [0; 155]);
        Tar::new().header(header.set(483, format!("{:011o}\0", 600_000)))
    };
    check(&sparse(1).end(), &small(), None);
    check(&sparse(1).raw(sparse(2).0).end(), &small(), Some("bytes of files"));
}

#[test]
fn what_gnu_tar_makes_comes_out_the_same() {
    testkit::needs!(program("tar"));
    let source = testkit::TempDir::new();
    let long = "long-".repeat(50);
    fs::create_dir_all(source.join(format!("tree/{long}/{long}"))).unwrap();
    fs::write(source.join(format!("tree/{long}/{long}/file")), "content").unwrap();
    symlink("x".repeat(200), source.join("tree/link")).unwrap();
    fs::hard_link(source.join(format!("tree/{long}/{long}/file")), source.join("tree/hard")).unwrap();
    fs::File::create(source.join("tree/sparse")).unwrap().set_len(3 << 20).unwrap();
    let holes = fs::OpenOptions::new().write(true).open(source.join("tree/sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"data", 1 << 20).unwrap();
    for format in ["gnu", "posix"] {
        let output = Command::new("tar")
            .args(["--create", "--sparse", "--format", format, "--directory"])
            .arg(source.join("tree"))
            .arg(".")
            .output()
            .unwrap();
        let place = Place::new();
        let options = Options { ids: Ids::SingleId, ..OPTIONS };
        unpack(&place, &output.stdout, &options).unwrap();
        for path in [format!("{long}/{long}/file"), "hard".to_owned(), "sparse".to_owned()] {
            let expected = fs::read(source.join("tree").join(&path)).unwrap();
            assert!(fs::read(place.inside(&path)).unwrap() == expected, "{format}: {path}");
        }
        assert_eq!(fs::read_link(place.inside("link")).unwrap().as_os_str().len(), 200);
        assert_eq!(place.inside("hard").metadata().unwrap().nlink(), 2);
        assert!(place.inside("sparse").metadata().unwrap().blocks() < 2048, "holes stay holes");
    }
}

/// Confines itself for good, so it runs in a process of its own.
#[test]
#[ignore = "the child of another test"]
fn confined_child() {
    let place = std::path::PathBuf::from(std::env::var_os("ARCHIVE_TEST_PLACE").unwrap());
    let root = files::open_directory(place.join("root")).unwrap();
    let Confinement { landlock, no_new_privs, limits, seccomp, .. } = confine(&root, &Limits::default());
    for layer in [landlock, no_new_privs, limits, seccomp] {
        assert_eq!(layer, Layer::Applied);
    }
    fs::write(place.join("outside/new"), "").unwrap_err();
    fs::read(place.join("outside/file")).unwrap_err();
    fs::read_dir("/etc").unwrap_err();
    std::net::TcpStream::connect("127.0.0.1:1").unwrap_err();
    Command::new("/bin/true").status().unwrap_err();
    rustix::mount::unmount("/nowhere", rustix::mount::UnmountFlags::DETACH).unwrap_err();

    let tar = Tar::new()
        .dir("a")
        .file("a/b", "x")
        .hard_link("c", "a/b")
        .symlink("s", "c")
        .header(Header::new("p", b'6'))
        .file("a/.wh.gone", "")
        .file("d/e/f", "")
        .file("d", "")
        .end();
    let options = Options { whiteouts: Whiteouts::OverlayUser, ..OPTIONS };
    apply(&tar[..], &root, &options, &Limits::default()).unwrap();
    rustix::fs::statat(&root, "c", rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn confinement_holds_and_lets_archives_through() {
    testkit::needs!(landlock);
    let place = Place::new();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "confined_child", "--ignored", "--nocapture"])
        .env("ARCHIVE_TEST_PLACE", place.outside().parent().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(place.damage(), None);
}
