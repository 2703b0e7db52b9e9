//! escapes.md R21, R29 to R31, R35 and R37: images that want the engine to write or read elsewhere.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tests::attack::{self, Canary};
use tests::{Brig, story};

/// Every file of an image that the engine reads or writes, and others that engines did.
const FILES: [&str; 12] = [
    "etc/passwd",
    "etc/group",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/mtab",
    "etc/localtime",
    "etc/subuid",
    "run/secrets",
    "run/.containerenv",
    ".dockerenv",
    ".krun_config.json",
];

fn put(root: &Path, name: &str, shape: &str, canary: &Canary) {
    let place = root.join(name);
    if place.is_dir() {
        fs::remove_dir(&place).unwrap();
    } else if place.exists() {
        fs::remove_file(&place).unwrap();
    }
    match shape {
        "link" => symlink(canary.path().join("secret"), &place).unwrap(),
        "climbing link" => {
            symlink(format!("{}{}", "../".repeat(20), canary.path().join("secret").display()), &place)
                .unwrap();
        }
        "dangling link" => symlink(canary.path().join("new"), &place).unwrap(),
        "link to a directory" => symlink(canary.path(), &place).unwrap(),
        "fifo" => assert!(Command::new("mkfifo").arg(&place).status().unwrap().success()),
        other => panic!("{other}"),
    }
}

fn run(brig: &Brig, flags: &[&str], image: &str) -> testkit::Outcome {
    brig.run(&[&["run", "--rm"], flags, &[image, "sh", "-c", "cat /etc/passwd /etc/hosts; id"]].concat())
}

// R29 (CVE-2025-24965), R30 (CVE-2024-5154, CVE-2022-4318), R31 (CVE-2025-9566, CVE-2024-9676). Nothing hangs: the
// harness ends a command that does. Seen to fail in `podman_makes_the_working_directory_on_the_host`.
story!(files_of_an_image_lead_nowhere, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for (number, shape) in
        ["link", "climbing link", "dangling link", "link to a directory", "fifo"].into_iter().enumerate()
    {
        let image = format!("files{number}");
        attack::image(brig, &image, &[], |root| {
            FILES.iter().for_each(|name| put(root, name, shape, &canary));
        });
        for flags in [
            &[][..],
            &["-u", "user"],
            &["-u", "1000", "--group-add", "extra"],
            &["--network", "host"],
            &["--read-only"],
        ] {
            let outcome = run(brig, flags, &image);
            canary.assert_untouched(format_args!("{shape} {flags:?}"));
            assert!(!outcome.stdout.contains("canary"), "{shape} {flags:?}: {outcome}");
            if flags.contains(&"user") {
                assert_ne!(outcome.code, 0, "{shape}: {outcome}");
            }
        }
    }
});

// R30 (CVE-2026-55686): `mkdir -p WORKDIR` through a link.
fn workdir_image(brig: &Brig, canary: &Canary) {
    attack::image(brig, "workdir", &["WORKDIR /work/escaped/deep"], |root| {
        symlink(canary.path(), root.join("work")).unwrap();
        symlink(format!("{}{}", "../".repeat(20), canary.path().display()), root.join("climb")).unwrap();
    });
}

story!(a_working_directory_is_made_inside, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    workdir_image(brig, &canary);
    for flags in [
        &[][..],
        &["-w", "/work/new"],
        &["-w", "/climb/new"],
        &["-w", "/work/../work/new"],
        &["-w", "/../../climb"],
    ] {
        drop(run(brig, flags, "workdir"));
        canary.assert_untouched(format_args!("{flags:?}"));
    }
    for volume in ["/work/volume", "/climb/volume"] {
        let source = brig.directory().join("shared");
        fs::create_dir_all(&source).unwrap();
        drop(run(brig, &["-v", &format!("{}:{volume}", source.display()), "--tmpfs", volume], "workdir"));
        drop(run(brig, &["--tmpfs", volume], "workdir"));
        canary.assert_untouched(volume);
    }
});

// The control of R30: the same image under podman 4.3.1 makes the directory on the host.
story!(podman_makes_the_working_directory_on_the_host, [root], |brig| {
    testkit::needs!(program("podman"), program("runc"));
    let podman = |arguments: &[&str]| {
        let directory = |name| brig.directory().join(name).display().to_string();
        let mut command = Command::new("podman");
        command.args([
            "--root",
            &directory("podman"),
            "--runroot",
            &directory("podman-run"),
            "--storage-driver",
            "vfs",
        ]);
        command.args(["--cgroup-manager", "cgroupfs", "--runtime", "runc"]).args(arguments);
        testkit::run(&mut command)
    };
    if !podman(&["--version"]).stdout.contains("4.3.1") {
        return;
    }
    let canary = Canary::new(brig.directory(), "canary");
    workdir_image(brig, &canary);
    let archive = brig.directory().join("workdir.tar");
    podman(&["import", "-c", "WORKDIR /work/escaped/deep", archive.to_str().unwrap(), "workdir"]).success();
    drop(podman(&["run", "--rm", "--net", "none", "--ulimit", "nofile=1024:1024", "workdir", "true"]));
    let changes = canary.changes();
    drop(podman(&["rmi", "--all", "--force"]));
    drop(podman(&["system", "reset", "--force"]));
    assert!(!changes.is_empty(), "podman 4.3.1 is vulnerable to R30");
});

// R37 (CVE-2026-47262): giant files are refused by their size, not read. Seen to fail by the size below the limit.
story!(giant_account_files_are_not_read, [root, user], |brig| {
    let account = "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n";
    for (name, size, runs) in [("small", 1_u64 << 16, true), ("giant", 1 << 31, false)] {
        let archive = brig.directory().join(format!("{name}.tar"));
        let root = brig.directory().join(name);
        testkit::busybox_rootfs(&root);
        for file in ["etc/passwd", "etc/group"] {
            fs::write(root.join(file), account).unwrap();
            fs::File::options().write(true).open(root.join(file)).unwrap().set_len(size).unwrap();
        }
        let mut packed = Command::new("tar");
        packed
            .args(["--sparse", "--owner=0", "--group=0", "-C"])
            .arg(&root)
            .arg("-cf")
            .arg(&archive)
            .arg(".");
        assert!(packed.status().unwrap().success());
        let imported = brig.run(&["import", archive.to_str().unwrap(), name]);
        // A sparse archive may be refused already.
        if imported.code == 0 {
            let outcome = brig.run(&["run", "--rm", "-u", "user", name, "id", "-u"]);
            assert_eq!(outcome.code == 0, runs, "{name}: {outcome}");
        } else {
            assert!(!runs || imported.stderr.contains("sparse"), "{name}: {imported}");
        }
    }
});

// R37: output without an end is not gathered; the memory of ours stays small.
story!(endless_output_costs_no_memory, [root], |brig| {
    let bundle = brig.bundle("bundle", &["sh", "-c", "yes | head -c 200000000"]);
    let mut shell = Command::new("sh");
    let command = brig.runtime(&["run", "--bundle", bundle.path().to_str().unwrap(), "brig-test-yes"]);
    // VmHWM is the most that it ever had: 64 MiB as an address space limit would stop it earlier.
    shell
        .args(["-c", "ulimit -v 262144; \"$@\" | wc -c", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    assert_eq!(testkit::run(&mut shell).success().trim(), "200000000");
});

// R21 (CVE-2019-14271), R22 (CVE-2026-41567): nothing of the image is loaded or executed but the payload.
story!(nothing_of_the_image_runs_but_the_payload, [root, user], |brig| {
    attack::image(brig, "trojan", &[], |root| {
        for name in ["newuidmap", "newgidmap", "tar", "gzip", "xz", "zstd", "unpigz", "mount", "modprobe"] {
            let place = root.join("bin").join(name);
            if place.is_symlink() {
                fs::remove_file(&place).unwrap();
            }
            fs::write(&place, "#!/bin/sh\necho trojan $0 >> /tmp/ran\n").unwrap();
            assert!(Command::new("chmod").arg("755").arg(&place).status().unwrap().success());
        }
        fs::create_dir_all(root.join("lib/x86_64-linux-gnu")).unwrap();
        fs::write(root.join("lib/x86_64-linux-gnu/libnss_files.so.2"), "no library").unwrap();
        fs::write(root.join("etc/nsswitch.conf"), "passwd: files evil\n").unwrap();
        fs::write(root.join("etc/ld.so.preload"), "/lib/x86_64-linux-gnu/libnss_files.so.2\n").unwrap();
    });
    let outcome = brig.run(&["run", "--rm", "-u", "user", "trojan", "sh", "-c", "cat /tmp/ran; id -un"]);
    assert_eq!(outcome.stdout, "user\n", "{outcome}");
    // Seen to fail: what the payload itself starts does run.
    let outcome = brig.run(&["run", "--rm", "trojan", "sh", "-c", "/bin/xz; cat /tmp/ran"]);
    assert!(outcome.stdout.contains("trojan"), "the test shows nothing: {outcome}");
});
