//! T11: links in an image archive, and names in its documents, that lead to files of the host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tests::Brig;
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{Tar, walk, write};
use crate::layouts::{Image, Layout, digest, images, layer, load, oci, skopeo, umoci};

pub(crate) const ROW: Row = Row {
    id: "T11",
    title: "blobs of a loaded archive that are links to the host's files",
    faults: &["CVE-2014-6408", "CVE-2014-9358"],
    kinds: &[Kind::Static],
    defence: "store/src/source.rs: blobs are opened without links; members of an archive are names, never files",
};

/// A layout in which one blob is a link to a file outside that has the very content: only the link is wrong.
fn layout(brig: &Brig, part: &str, shape: &str) -> (Layout, PathBuf) {
    let layout = Layout::new(brig, "layout");
    let image = Image::new(&layout);
    let manifest = image.finish(&layout);
    let blob = match part {
        "index" => layout.path().join("index.json"),
        "marker" => layout.path().join("oci-layout"),
        "manifest" => layout.blob(&manifest),
        "configuration" => layout.blob(&image.configuration),
        _ => layout.blob(&image.layer),
    };
    let outside = brig.directory().join("outside");
    if outside.exists() {
        fs::remove_dir_all(&outside).unwrap();
    }
    fs::create_dir(&outside).unwrap();
    let secret = outside.join("secret");
    match shape {
        // The whole directory of the blobs leads elsewhere.
        "directory" => {
            let blobs = layout.path().join("blobs");
            fs::rename(&blobs, outside.join("blobs")).unwrap();
            symlink(outside.join("blobs"), blobs).unwrap();
        }
        "relative" => {
            fs::rename(&blob, &secret).unwrap();
            symlink(format!("{}{}", "../".repeat(20), secret.display()), &blob).unwrap();
        }
        "through proc" => {
            fs::rename(&blob, &secret).unwrap();
            symlink(format!("/proc/self/root{}", secret.display()), &blob).unwrap();
        }
        _ => {
            fs::rename(&blob, &secret).unwrap();
            symlink(&secret, &blob).unwrap();
        }
    }
    (layout, secret)
}

const PARTS: [&str; 5] = ["index", "marker", "manifest", "configuration", "layer"];
const SHAPES: [&str; 4] = ["absolute", "relative", "through proc", "directory"];

/// The same layout as an archive, links and all.
fn packed(brig: &Brig, layout: &Layout) -> PathBuf {
    let archive = brig.directory().join("layout.tar");
    testkit::run(Command::new("tar").arg("-C").arg(layout.path()).arg("-cf").arg(&archive).arg("."))
        .success();
    archive
}

held!(links_of_a_layout_are_not_followed, [root, user], |brig| {
    for part in PARTS {
        for shape in SHAPES {
            let (layout, _) = layout(brig, part, shape);
            for input in [layout.path().to_owned(), packed(brig, &layout)] {
                let outcome = load(brig, &input, "");
                assert_ne!(outcome.code, 0, "{part} {shape}: {outcome}");
                assert_eq!(images(brig), 0, "{part} {shape}");
            }
        }
    }
});

/// A docker-archive whose documents name, or whose members are links to, a file of the host.
fn docker_archives(canary: &Canary) -> Vec<(&'static str, Vec<u8>)> {
    let secret = canary.path().join("secret").display().to_string();
    let climb = format!("{}{secret}", "../".repeat(20));
    let config = crate::layouts::configuration(&[digest(&layer())]);
    let archive = |members: Tar, config: &str, layer: &str, tag: &str| {
        let entry = json!([{"Config": config, "RepoTags": [tag], "Layers": [layer]}]);
        members.file("manifest.json", serde_json::to_vec(&entry).unwrap()).end()
    };
    let tag = "localhost/attack:latest";
    let good = || Tar::new().file("c.json", &config).file("l/layer.tar", layer());
    let link =
        |name: &str, target: &str| Tar::new().pax(&[(b"linkpath", target.as_bytes())]).symlink(name, "x");
    let hard = |name: &str| Tar::new().pax(&[(b"linkpath", secret.as_bytes())]).hard_link(name, "x");
    vec![
        (
            "the layer is a link",
            archive(link("l/layer.tar", &secret).file("c.json", &config), "c.json", "l/layer.tar", tag),
        ),
        (
            "the layer climbs",
            archive(link("l/layer.tar", &climb).file("c.json", &config), "c.json", "l/layer.tar", tag),
        ),
        (
            "the layer is a hard link",
            archive(hard("l/layer.tar").file("c.json", &config), "c.json", "l/layer.tar", tag),
        ),
        ("the configuration is a link", {
            archive(link("c.json", &secret).file("l/layer.tar", layer()), "c.json", "l/layer.tar", tag)
        }),
        (
            "a link to itself",
            archive(link("l/layer.tar", "layer.tar").file("c.json", &config), "c.json", "l/layer.tar", tag),
        ),
        ("the layer's name is a path", archive(good(), "c.json", &secret, tag)),
        ("the layer's name climbs", archive(good(), "c.json", &climb, tag)),
        ("the configuration's name climbs", archive(good(), &climb, "l/layer.tar", tag)),
        ("the configuration's name is a path", archive(good(), &secret, "l/layer.tar", tag)),
        ("a tag that climbs", archive(good(), "c.json", "l/layer.tar", "../../../canary:secret")),
        ("a tag with a path", archive(good(), "c.json", "l/layer.tar", "localhost/a:../../secret")),
        ("the manifest is a link", link("manifest.json", &secret).end()),
        (
            "a repositories file of old",
            good().file("repositories", r#"{"../../canary":{"secret":"../x"}}"#).end(),
        ),
    ]
}

held!(members_of_an_archive_are_names, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for (name, bytes) in docker_archives(&canary) {
        let outcome = load(brig, &write(brig, &bytes), "");
        assert_ne!(outcome.code, 0, "{name}: {outcome}");
        assert!(!outcome.stderr.contains("canary\n"), "{name}: {outcome}");
        canary.assert_untouched(name);
    }
    assert_eq!(images(brig), 0);
    assert!(walk(&brig.store()).iter().all(|path| !path.ends_with("secret")));
});

control!(links_followed, Target::Weakened("blob-links"), [root, user], |brig| {
    PARTS.iter().all(|part| {
        let weak = brig.with_seams();
        let (layout, _) = layout(&weak, part, "absolute");
        load(&weak, layout.path(), "").fails_with(1);
        load(&weak, layout.path(), "blob-links").code == 0
    })
});

control!(skopeo_copies_the_hosts_file, Target::Debian("skopeo", "1.9.3"), [root], |brig| {
    let (layout, secret) = layout(brig, "layer", "absolute");
    let (outcome, target) = skopeo(brig, &oci(&layout));
    let copied = target.join(&digest(&fs::read(&secret).unwrap())[7..]);
    outcome.code == 0 && fs::read(copied).unwrap() == fs::read(secret).unwrap()
});

control!(umoci_unpacks_the_hosts_file, Target::Debian("umoci", "0.4.7"), [root], |brig| {
    let (layout, _) = layout(brig, "layer", "absolute");
    let (outcome, root) = umoci(brig, &layout);
    outcome.code == 0 && fs::read(root.join("hello")).unwrap() == b"hello"
});
