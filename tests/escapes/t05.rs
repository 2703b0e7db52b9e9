//! T5: device nodes and extended attributes that an archive wants on the host's file system.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{Header, Tar, gnu_tar, import, walk, write};
use crate::engines::{forget_podman, podman};

pub(crate) const ROW: Row = Row {
    id: "T5",
    title: "device nodes and forged overlay attributes in a layer",
    faults: &["CVE-2014-9357", "CVE-2015-3630", "CVE-2021-3493", "CVE-2023-0386"],
    kinds: &[Kind::Static],
    defence: "archive/src/xattr.rs: attributes by a list; archive/src/apply.rs: no devices; \
              archive/src/filter.rs: mknodat of no device",
};

/// Attributes that redirect, hide or forge what overlayfs shows, or that belong to the host's root.
const FORGED: [&str; 6] = [
    "trusted.overlay.redirect",
    "trusted.overlay.metacopy",
    "trusted.overlay.opaque",
    "user.overlay.redirect",
    "user.overlay.metacopy",
    "trusted.canary",
];

fn nodes() -> Vec<u8> {
    let node = |name, kind, major, minor| Header::new(name, kind).mode(0o666).device(major, minor);
    let tar = Tar::new().dir("dev").header(node("dev/sda", b'4', 8, 0)).header(node("dev/mem", b'3', 1, 1));
    tar.header(node("dev/kmsg", b'3', 1, 11)).file("dev/plain", "x").end()
}

fn attribute(name: &str) -> Vec<u8> {
    let key = format!("SCHILY.xattr.{name}");
    Tar::new().pax(&[(key.as_bytes(), b"/secret")]).dir("d").file("d/f", "x").end()
}

/// Device nodes in a tree, but overlay's whiteouts.
fn devices(top: &Path) -> Vec<String> {
    let is_device = |path: &std::path::PathBuf| {
        let stat = fs::symlink_metadata(path).unwrap();
        (stat.file_type().is_block_device() || stat.file_type().is_char_device()) && stat.rdev() != 0
    };
    walk(top).iter().filter(|path| is_device(path)).map(|path| path.display().to_string()).collect()
}

/// Whether anything in a tree has the attribute.
fn has(top: &Path, name: &str) -> bool {
    walk(top).iter().any(|path| rustix::fs::lgetxattr(path, name, &mut [0_u8; 64][..]).is_ok())
}

/// Capabilities of revision 3, for a root that the archive chooses, or of a wrong size.
fn capabilities(root: u32) -> Vec<u8> {
    [&0x0300_0001_u32.to_le_bytes()[..], &[0xff; 16], &root.to_le_bytes()].concat()
}

held!(nothing_of_it_is_made, [root, user], |brig| {
    // Left out, not refused: base images of old have them.
    import(brig, &nodes(), "").success();
    assert_eq!(devices(&brig.store()), [""; 0]);
    for name in FORGED {
        let outcome = import(brig, &attribute(name), "");
        assert!(outcome.code != 0 && outcome.stderr.contains("extended attribute"), "{name}: {outcome}");
        assert!(!has(&brig.store(), name), "{name}");
    }
    for name in ["security.selinux", "security.ima", "system.posix_acl_access"] {
        import(brig, &attribute(name), "").success();
        assert!(!has(&brig.store(), name), "{name}");
    }
});

held!(capabilities_for_a_chosen_root_are_left_out, [root], |brig| {
    for (root, kept) in [(0, true), (1000, false)] {
        let value = capabilities(root);
        let record = crate::tar::record(b"SCHILY.xattr.security.capability", &value);
        let name = format!("f{root}");
        import(brig, &Tar::new().extension(b'x', record).file(&name, "x").end(), "").success();
        let file = walk(&brig.store()).into_iter().find(|path| path.ends_with(&name)).unwrap();
        let mut found = [0_u8; 64];
        let length = rustix::fs::lgetxattr(&file, "security.capability", &mut found[..]);
        assert_eq!(length.is_ok(), kept, "{root}");
        // For the namespace it is used in: never for a root of the archive's choice.
        assert!(length.is_err() || found[3] == 2, "{root}: {found:?}");
    }
});

held!(the_filter_makes_no_node_whatever_is_asked, [root], |brig| {
    let weak = brig.with_seams();
    import(&weak, &nodes(), "unpack-devices").success();
    assert_eq!(devices(&weak.store()), [""; 0]);
});

control!(nodes_made, Target::Weakened("unpack-devices,unpack-confinement"), [root], |brig| {
    let weak = brig.with_seams();
    import(&weak, &nodes(), "unpack-devices,unpack-confinement").success();
    devices(&weak.store()).len() == 3
});

control!(attributes_set, Target::Weakened("unpack-attributes"), [root], |brig| {
    let weak = brig.with_seams();
    FORGED.iter().all(|name| {
        drop(import(&weak, &attribute(name), "unpack-attributes"));
        has(&weak.store(), name)
    })
});

control!(podman_makes_the_disk, Target::Debian("podman", "4.3.1"), [root], |brig| {
    podman(brig, &["import", write(brig, &nodes()).to_str().unwrap(), "attack"]).success();
    let made = devices(&brig.directory().join("podman/vfs/dir"));
    forget_podman(brig);
    made.iter().any(|path| path.ends_with("dev/sda"))
});

control!(tar_sets_the_attributes, Target::Unconfined("GNU tar --xattrs"), [root], |brig| {
    FORGED.iter().all(|name| {
        let directory = gnu_tar(brig, &["--xattrs", "--xattrs-include=*"], &attribute(name));
        has(&directory, name)
    })
});
