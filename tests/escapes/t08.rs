//! T8: a document that is a manifest to one program and an index to another.

use serde_json::{Value, json};
use tests::Brig;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::layouts::{INDEX, Image, Layout, MANIFEST, images, load, umoci};

pub(crate) const ROW: Row = Row {
    id: "T8",
    title: "a manifest that is an index too",
    faults: &["GHSA-77vh-xpmg-72qh", "GHSA-5j5w-g665-5m35", "GO-2022-0360", "GO-2022-0379", "GO-2024-2914"],
    kinds: &[Kind::Static],
    defence: "oci/src/image/manifest.rs: fields of both, or another type than listed, are refused before parsing",
};

/// What is put into a manifest to make it two things, and the type it is listed as.
fn confusions() -> Vec<(&'static str, Value, &'static str)> {
    let other = json!({"mediaType": MANIFEST, "digest": format!("sha256:{}", "1".repeat(64)), "size": 3});
    vec![
        ("manifests beside layers", json!({"manifests": [other]}), MANIFEST),
        ("no manifests beside layers", json!({"manifests": []}), MANIFEST),
        ("listed as an index", json!({"manifests": [other]}), INDEX),
        ("a manifest listed as an index", json!({}), INDEX),
        ("says that it is an index", json!({"mediaType": INDEX}), MANIFEST),
        ("says that it is an index, and listed so", json!({"mediaType": INDEX}), INDEX),
        ("a type of nobody's", json!({"mediaType": "application/json"}), MANIFEST),
        ("layers of an older format", json!({"fsLayers": [], "manifests": []}), MANIFEST),
        ("another version", json!({"schemaVersion": 1}), MANIFEST),
        ("the type in another case", json!({"mediaType": MANIFEST.to_uppercase()}), MANIFEST),
    ]
}

fn layout(brig: &Brig, fields: &Value, listed: &str) -> Layout {
    let layout = Layout::new(brig, "layout");
    let mut image = Image::new(&layout);
    for (key, value) in fields.as_object().unwrap() {
        image.manifest[key] = value.clone();
    }
    let mut manifest = layout.put_json(MANIFEST, &image.manifest);
    manifest["mediaType"] = listed.into();
    layout.index(vec![manifest]);
    layout
}

held!(two_meanings_are_refused, [root, user], |brig| {
    for (name, fields, listed) in confusions() {
        let outcome = load(brig, layout(brig, &fields, listed).path(), "");
        assert_ne!(outcome.code, 0, "{name}: {outcome}");
        assert_eq!(images(brig), 0, "{name}");
    }
    // The same layout without the attack is fine.
    load(brig, layout(brig, &json!({}), MANIFEST).path(), "").success();
});

held!(a_field_that_is_there_twice_is_refused, [root], |brig| {
    let layout = Layout::new(brig, "layout");
    let image = Image::new(&layout);
    let text = serde_json::to_string(&image.manifest).unwrap();
    let twice = format!("{},\"layers\":[]}}", &text[..text.len() - 1]);
    let manifest = layout.put(MANIFEST, twice.as_bytes());
    layout.index(vec![manifest]);
    let outcome = load(brig, layout.path(), "");
    assert!(outcome.code != 0 && outcome.stderr.contains("layers"), "{outcome}");
});

control!(umoci_takes_it_for_a_manifest, Target::Debian("umoci", "0.4.7"), [root], |brig| {
    confusions()[..2].iter().all(|(_, fields, listed)| {
        let (outcome, root) = umoci(brig, &layout(brig, fields, listed));
        outcome.code == 0 && root.join("hello").exists()
    })
});
