//! T7: content that is not what its digest says, when it comes in and when it is used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tests::Brig;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{Tar, walk};
use crate::layouts::{Image, LAYER, Layout, digest, images, layer, load, oci, skopeo};

pub(crate) const ROW: Row = Row {
    id: "T7",
    title: "content that has another digest than its name",
    faults: &["CVE-2026-35172", "CVE-2024-24557", "GO-2024-3038"],
    kinds: &[Kind::Static],
    defence: "store/src/ingest.rs: hashed while it is staged; store/src/unpack.rs: the diff id of what was unpacked; \
              store/src/blob.rs: documents again at each use",
};

/// Which content of an image is exchanged for another of the same length, or cut, or longer.
const PARTS: [&str; 3] = ["manifest", "configuration", "layer"];

/// A bit that changes nothing else: content stays a document, or an archive.
fn tamper(path: &Path, how: &str) {
    let mut bytes = fs::read(path).unwrap();
    match how {
        "changed" if bytes[0] == b'{' => {
            let text = String::from_utf8(bytes).unwrap().replace("amd64", "arm64").replace(":5", ":6");
            bytes = text.replace("\"schemaVersion\":2", "\"schemaVersion\":3").into_bytes();
        }
        "changed" => bytes[513] ^= 1,
        "cut" => bytes.truncate(bytes.len() - 1),
        "longer" => bytes.push(b'\n'),
        other => panic!("{other}"),
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A layout whose `part` is not what its digest says.
fn tampered(brig: &Brig, part: &str, how: &str) -> Layout {
    let layout = Layout::new(brig, "layout");
    let image = Image::new(&layout);
    let manifest = image.finish(&layout);
    let place: &Value = match part {
        "manifest" => &manifest,
        "configuration" => &image.configuration,
        _ => &image.layer,
    };
    tamper(&layout.blob(place), how);
    layout
}

/// A layer that is as its manifest says, and not as its configuration says.
fn other_layer(brig: &Brig) -> Layout {
    let layout = Layout::new(brig, "layout");
    let other = Tar::new().file("evil", "evil").end();
    Image::of(&layout, LAYER, &other, &digest(&layer())).finish(&layout);
    layout
}

held!(it_is_refused_when_it_comes_in, [root, user], |brig| {
    for part in PARTS {
        for how in ["changed", "cut", "longer"] {
            let outcome = load(brig, tampered(brig, part, how).path(), "");
            let reason = ["digest", "bytes"].iter().any(|word| outcome.stderr.contains(word));
            assert!(outcome.code != 0 && reason, "{part} {how}: {outcome}");
            assert_eq!(images(brig), 0, "{part} {how}");
        }
    }
    let outcome = load(brig, other_layer(brig).path(), "");
    assert!(outcome.code != 0 && outcome.stderr.contains("uncompressed layer"), "{outcome}");
    assert_eq!(images(brig), 0);
    // What was refused is not taken for the layer of an honest image either (CVE-2024-24557).
    let layout = Layout::new(brig, "honest");
    Image::new(&layout).finish(&layout);
    load(brig, layout.path(), "").success();
    let names = walk(&brig.store());
    assert!(
        names.iter().any(|path| path.ends_with("hello")) && !names.iter().any(|path| path.ends_with("evil"))
    );
});

/// Loads an honest image, then somebody changes what is in the store.
fn change_in_the_store(brig: &Brig, weaken: &str) -> Vec<(String, testkit::Outcome)> {
    let layout = Layout::new(brig, "honest");
    let image = Image::new(&layout);
    let manifest = image.finish(&layout);
    let loaded = load(brig, layout.path(), "").success();
    let id = digest(&fs::read(layout.blob(&image.configuration)).unwrap());
    assert!(loaded.contains(&id[7..19]), "{loaded}");
    let mut seen = Vec::new();
    for (what, part) in [("manifest", &manifest), ("configuration", &image.configuration)] {
        let stored = brig.store().join(layout.blob(part).strip_prefix(layout.path()).unwrap());
        let before = fs::read(&stored).unwrap();
        let text = String::from_utf8(before.clone()).unwrap();
        // Another command, and another media type that is as good.
        let text = text
            .replace("\"config\":{}", "\"conf1g\":{}")
            .replace("image.layer.v1.tar", "image.Layer.v1.tar");
        assert_ne!(text.as_bytes(), before, "{what}");
        fs::set_permissions(&stored, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&stored, text).unwrap();
        let mut command = brig.command(&["image", "inspect", &id[7..]]);
        seen.push((what.to_owned(), testkit::run(command.env("BRIG_WEAKEN", weaken))));
        fs::write(&stored, before).unwrap();
    }
    seen
}

held!(it_is_refused_when_it_is_used, [root], |brig| {
    for (what, outcome) in change_in_the_store(brig, "") {
        assert!(outcome.code != 0 && outcome.stderr.contains("digest"), "{what}: {outcome}");
    }
});

control!(used_unchecked, Target::Weakened("blob-digests"), [root], |brig| {
    let weak = brig.with_seams();
    change_in_the_store(&weak, "blob-digests").iter().any(|(_, outcome)| outcome.code == 0)
});

control!(taken_unchecked, Target::Weakened("blob-digests"), [root, user], |brig| {
    let weak = brig.with_seams();
    let layout = other_layer(&weak);
    load(&weak, layout.path(), "").fails_with(1);
    load(&weak, layout.path(), "blob-digests").success();
    let poisoned = walk(&weak.store()).iter().any(|path| path.ends_with("evil"));
    let layout = tampered(&weak, "layer", "changed");
    poisoned && load(&weak, layout.path(), "blob-digests").code == 0
});

control!(skopeo_takes_any_layer, Target::Debian("skopeo", "1.9.3"), [root], |brig| {
    skopeo(brig, &oci(&other_layer(brig))).0.code == 0
});
