//! T9: a digest that is a path, in every place where a digest stands.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::find_program;
use tests::Brig;
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::layouts::{Image, Layout, MANIFEST, digest, images, load};

pub(crate) const ROW: Row = Row {
    id: "T9",
    title: "a digest used as a path",
    faults: &["CVE-2024-3727"],
    kinds: &[Kind::Static, Kind::Shape],
    defence: "oci/src/digest.rs: a digest is parsed, and can hold nothing but bytes of a known algorithm",
};

/// Digests that lead to the canary's `secret` from the blobs of a layout beside it, or that are none.
fn digests(canary: &Canary) -> Vec<String> {
    let secret = canary.path().join("secret");
    let good = digest(b"canary\n");
    vec![
        "sha256:../../../canary/secret".to_owned(),
        "../../canary:secret".to_owned(),
        format!("sha256:{}", secret.display()),
        format!("sha256:{}{}", "../".repeat(20), secret.display()),
        format!("sha256:{}/../../../../canary/secret", &good[7..]),
        format!("sha256/../../../canary:{}", &good[7..]),
        format!("md5:{}", "a".repeat(32)),
        good.to_uppercase(),
        good.replace("sha256", "SHA256"),
        format!("{good}\n"),
        format!("{good}\0"),
        good[..70].to_owned(),
        format!("{good}00"),
        good.replace(':', "::"),
        "sha256:".to_owned(),
        ":".to_owned(),
        String::new(),
    ]
}

/// A layout in which `place` has that digest; the content is the canary's.
fn layout(brig: &Brig, place: &str, bad: &str) -> Layout {
    let layout = Layout::new(brig, "layout");
    let mut image = Image::new(&layout);
    let bad = json!(bad);
    match place {
        "manifest" => {
            layout.index(vec![json!({"mediaType": MANIFEST, "digest": bad, "size": 7})]);
            return layout;
        }
        "configuration" => {
            image.manifest["config"]["digest"] = bad;
            image.manifest["config"]["size"] = 7.into();
        }
        "layer" => {
            image.manifest["layers"][0]["digest"] = bad;
            image.manifest["layers"][0]["size"] = 7.into();
        }
        "diff id" => {
            let rootfs = json!({"type": "layers", "diff_ids": [bad]});
            let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs});
            image.manifest["config"] = layout.put_json("application/vnd.oci.image.config.v1+json", &config);
        }
        other => panic!("{other}"),
    }
    image.finish(&layout);
    layout
}

held!(no_document_can_name_a_path, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for place in ["manifest", "configuration", "layer", "diff id"] {
        for bad in digests(&canary) {
            let outcome = load(brig, layout(brig, place, &bad).path(), "");
            assert_ne!(outcome.code, 0, "{place} `{bad}`: {outcome}");
            assert_eq!(
                outcome.stderr.lines().filter(|line| line.starts_with("error")).count(),
                1,
                "{outcome}"
            );
            assert!(!outcome.stderr.contains("canary\n"), "{place} `{bad}`: {outcome}");
        }
    }
    assert_eq!(images(brig), 0);
    canary.assert_untouched("a digest");
});

/// Whether a command opens the canary's file, by its system calls.
fn opens(command: &Command, canary: &Canary) -> bool {
    let mut traced = Command::new(find_program("strace").unwrap());
    traced.args(["-f", "-qq", "-y", "-e", "trace=open,openat,openat2"]).arg(command.get_program());
    let trace = testkit::run(traced.args(command.get_args())).stderr;
    // Where the descriptor that came of it leads.
    let place = format!("<{}>", canary.path().join("secret").display());
    trace.lines().any(|line| line.contains("open") && line.contains(&place))
}

held!(nothing_outside_is_opened, [root] needs [program("strace")], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for place in ["manifest", "configuration", "layer"] {
        for bad in &digests(&canary)[..6] {
            let layout = layout(brig, place, bad);
            let command = brig.command(&["load", "-i", layout.path().to_str().unwrap()]);
            assert!(!opens(&command, &canary), "{place} `{bad}`");
        }
    }
});

held!(names_of_images_are_no_paths_either, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for bad in digests(&canary) {
        for name in [bad.clone(), format!("attack@{bad}")] {
            // No argument can hold these.
            if name.contains('\0') {
                continue;
            }
            for command in ["run", "rmi"] {
                let mut words: Vec<&str> = command.split(' ').collect();
                words.push(&name);
                let outcome = brig.run(&words);
                assert_ne!(outcome.code, 0, "{command} `{name}`: {outcome}");
            }
        }
    }
    canary.assert_untouched("a name");
});

control!(skopeo_opens_the_path, Target::Debian("skopeo", "1.9.3"), [root] needs [program("strace")], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    // The same manifest in its `dir:` format, whose blobs are files beside it.
    let layout = layout(brig, "configuration", "sha256:../canary/secret");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.path().join("index.json")).unwrap()).unwrap();
    let directory = brig.directory().join("dir");
    fs::create_dir(&directory).unwrap();
    fs::copy(layout.blob(&index["manifests"][0]), directory.join("manifest.json")).unwrap();
    let sum = digest(&crate::layouts::layer());
    fs::write(directory.join(&sum[7..]), crate::layouts::layer()).unwrap();
    fs::write(directory.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    let mut command = Command::new(find_program("skopeo").unwrap());
    command.args(["--insecure-policy", "copy", "--quiet"]).arg(format!("dir:{}", directory.display()));
    command.arg(format!("dir:{}", brig.directory().join("copied").display()));
    opens(&command, &canary)
});
