//! `brig load`: archives and layouts that other programs made.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::TempDir;
use tests::{Brig, story};

fn must(program: &str, arguments: &[&str]) {
    testkit::run(Command::new(program).args(arguments)).success();
}

/// An OCI layout with the busybox image `made:1`, by umoci, which runs `echo configured` by default.
fn layout(directory: &Path) -> PathBuf {
    let (layout, rootfs) = (directory.join("layout"), directory.join("rootfs"));
    testkit::busybox_rootfs(&rootfs);
    let image = format!("{}:1", layout.display());
    must("umoci", &["init", "--layout", layout.to_str().unwrap()]);
    must("umoci", &["new", "--image", &image]);
    must("umoci", &["insert", "--image", &image, rootfs.to_str().unwrap(), "/"]);
    must(
        "umoci",
        &[
            "config",
            "--image",
            &image,
            "--config.cmd",
            "sh",
            "--config.cmd",
            "-c",
            "--config.cmd",
            "echo $WHO $PWD",
            "--config.env",
            "WHO=configured",
            "--config.env",
            "PATH=/bin",
            "--config.workingdir",
            "/var",
            "--config.user",
            "1000",
        ],
    );
    fs::remove_dir_all(rootfs).unwrap();
    layout
}

/// Loads `path` and runs the image that `load` names.
fn loads(brig: &Brig, path: &Path, name: &str) {
    if let Some(user) = brig.as_user() {
        user.give(path);
    }
    let seen = brig.ok(&["load", "-i", path.to_str().unwrap()]);
    assert!(seen.contains(name), "{seen}");
    assert_eq!(brig.ok(&["run", "--rm", name]), "configured /var\n");
    assert_eq!(brig.ok(&["run", "--rm", name, "id", "-u"]), "1000\n");
    brig.ok(&["rmi", name]);
}

story!(archives_made_by_skopeo, [root, user], |brig| {
    testkit::needs!(program("umoci"), program("skopeo"));
    let scratch = TempDir::new_in(brig.directory());
    let layout = layout(scratch.path());
    let source = format!("oci:{}:1", layout.display());
    for (kind, file) in [("docker-archive", "docker.tar"), ("oci-archive", "oci.tar")] {
        let file = scratch.join(file);
        let target = format!("{kind}:{}:localhost/made:1", file.display());
        must("skopeo", &["--insecure-policy", "copy", "--quiet", &source, &target]);
        loads(brig, &file, "localhost/made:1");
    }
});

story!(a_layout_with_zstd_layers, [root, user], |brig| {
    testkit::needs!(program("umoci"), program("skopeo"));
    let scratch = TempDir::new_in(brig.directory());
    let source = format!("oci:{}:1", layout(scratch.path()).display());
    let target = scratch.join("zstd");
    let arguments = ["--insecure-policy", "copy", "--quiet", "--dest-compress-format", "zstd", &source];
    must("skopeo", &[&arguments[..], &[&format!("oci:{}:localhost/made:2", target.display())]].concat());
    loads(brig, &target, "localhost/made:2");
});
