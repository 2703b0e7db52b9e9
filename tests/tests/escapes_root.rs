//! escapes.md R4 to R13: paths of a root file system that its author, or a neighbour who shares it, chose.
//!
//! Each test is seen to fail: by the test build with one defence left out, and where Debian's runc 1.1.5 is
//! installed by that runc, which touches the canary of the same bundle.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, Outcome};
use tests::attack::{Canary, Paused};
use tests::{Brig, story};

const MOUNTS: [(&str, &str); 7] = [
    ("/proc", "proc"),
    ("/sys", "sysfs"),
    ("/dev", "tmpfs"),
    ("/dev/pts", "devpts"),
    ("/dev/shm", "tmpfs"),
    ("/dev/mqueue", "mqueue"),
    ("/sys/fs/cgroup", "cgroup"),
];

fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().unwrap()
}

fn mount(destination: &str, kind: &str) -> Value {
    json!({"destination": destination, "type": kind, "source": kind, "options": ["nosuid", "noexec"]})
}

fn run(brig: &Brig, bundle: &Bundle, weaken: &str) -> Outcome {
    let mut command = brig.runtime(&["run", "--bundle", path(bundle), "brig-test-attack"]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

/// Whether the installed runc is one that lacks the fixes of 2024 and later.
fn old_runc() -> Option<PathBuf> {
    let program = testkit::find_program("runc")?;
    let version = Command::new(&program).arg("--version").output().ok()?;
    String::from_utf8_lossy(&version.stdout).contains("runc version 1.1.5").then_some(program)
}

/// Puts what an attacker would in place of a directory of the root.
fn replace(root: &Path, name: &str, shape: &str, canary: &Canary) {
    let place = root.join(name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    if place.is_dir() && !place.is_symlink() {
        fs::remove_dir_all(&place).unwrap();
    }
    let climb = "../".repeat(20);
    let outside = canary.path().to_str().unwrap();
    match shape {
        "absolute" => symlink(outside, &place).unwrap(),
        "relative" => symlink(format!("{climb}{outside}"), &place).unwrap(),
        "dangling" => symlink(format!("{outside}/new"), &place).unwrap(),
        "to the root" => symlink("/", &place).unwrap(),
        "up" => symlink(&climb, &place).unwrap(),
        "through proc" => symlink("/proc/1/root", &place).unwrap(),
        "file" => fs::write(&place, "").unwrap(),
        "fifo" => assert!(Command::new("mkfifo").arg(&place).status().unwrap().success()),
        other => panic!("{other}"),
    }
}

/// A directory of the root that an attack replaces, put back when dropped.
struct Kept {
    place: PathBuf,
    aside: Option<PathBuf>,
    above: Option<PathBuf>,
}

impl Kept {
    fn new(root: &Path, name: &str) -> Self {
        let place = root.join(name);
        let aside = place.is_dir().then(|| root.join("kept"));
        if let Some(aside) = &aside {
            fs::rename(&place, aside).unwrap();
        }
        let above =
            name.split('/').nth(1).map(|second| root.join(name.split('/').next().unwrap()).join(second));
        Self { place, aside, above }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.place.is_dir() || self.place.is_symlink() {
            fs::remove_file(&self.place).unwrap();
        }
        match (&self.aside, &self.above) {
            (Some(aside), _) => fs::rename(aside, &self.place).unwrap(),
            (None, Some(above)) if above.exists() => fs::remove_dir_all(above).unwrap(),
            _ => {}
        }
    }
}

const SHAPES: [&str; 8] =
    ["absolute", "relative", "dangling", "to the root", "up", "through proc", "file", "fifo"];

// R4 (CVE-2019-16884), R5 (CVE-2019-19921, CVE-2023-27561), R6 (CVE-2023-28642), R7 (CVE-2025-54867).
// Seen to fail in `without_resolution_in_the_root_the_host_is_reached`.
story!(links_in_place_of_kernel_directories_reach_nothing, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let mut bundle = brig.bundle("bundle", &["true"]);
    for (destination, kind) in MOUNTS {
        let name = destination.trim_start_matches('/');
        for shape in SHAPES {
            let kept = Kept::new(&bundle.rootfs(), name);
            replace(&bundle.rootfs(), name, shape, &canary);
            let mut mounts = vec![mount(destination, kind)];
            if destination != "/proc" {
                mounts.insert(0, mount("/proc", "proc"));
            }
            bundle.config["mounts"] = mounts.into();
            bundle.write();
            let outcome = run(brig, &bundle, "");
            drop(kept);
            let attack = format!("{destination} as {shape}");
            canary.assert_untouched(&attack);
            // Mounted through a link, the file systems that only the kernel fills could be half hidden.
            if kind != "tmpfs" || destination.starts_with("/dev") {
                assert_ne!(outcome.code, 0, "{attack}: {outcome}");
            }
            let told = outcome.stderr.lines().filter(|line| !line.contains("warning")).count();
            assert_eq!(told, usize::from(outcome.code != 0), "{attack}: {outcome}");
        }
    }
});

// R11 (CVE-2026-41579, CVE-2026-47766): nodes and links are made in whatever `/dev` is.
fn dev_without_a_mount(brig: &Brig, canary: &Canary, shape: &str) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["true"]);
    replace(&bundle.rootfs(), "dev", shape, canary);
    bundle.config["mounts"] = json!([mount("/proc", "proc")]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.write();
    bundle
}

story!(nodes_and_links_of_dev_stay_in_the_root, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for shape in SHAPES {
        let bundle = dev_without_a_mount(brig, &canary, shape);
        drop(run(brig, &bundle, ""));
        canary.assert_untouched(format_args!("/dev as {shape}"));
    }
});

story!(without_resolution_in_the_root_the_host_is_reached, [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    let bundle = dev_without_a_mount(&weak, &canary, "absolute");
    drop(run(&weak, &bundle, ""));
    canary.assert_untouched("the test build with all defences");
    drop(run(&weak, &bundle, "root"));
    assert!(!canary.changes().is_empty(), "the test shows nothing");

    let Some(runc) = old_runc() else { return };
    let canary = Canary::new(brig.directory(), "canary");
    let bundle = dev_without_a_mount(brig, &canary, "absolute");
    let mut command = Command::new(runc);
    command.arg("--root").arg(brig.directory().join("runc")).args([
        "run",
        "--bundle",
        path(&bundle),
        "brig-test-runc",
    ]);
    drop(testkit::run(&mut command));
    assert!(!canary.changes().is_empty(), "runc 1.1.5 is vulnerable to R11");
});

// R8 (CVE-2025-31133, CVE-2025-62161): the root's own /dev/null is what old runtimes mask with.
story!(masks_hold_whatever_dev_null_is, [root, user], |brig| {
    let script = "for f in /proc/keys /proc/version; do head -c 64 $f | wc -c; stat -c %t:%T $f; done; \
                  echo x > /proc/keys; ls /proc/scsi /sys/firmware 2>/dev/null | wc -l";
    let canary = Canary::new(brig.directory(), "canary");
    for shape in ["link to the canary", "link to core_pattern", "regular file", "absent"] {
        let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
        let null = bundle.rootfs().join("dev/null");
        match shape {
            "link to the canary" => symlink(canary.path().join("secret"), &null).unwrap(),
            "link to core_pattern" => symlink("/proc/sys/kernel/core_pattern", &null).unwrap(),
            "regular file" => fs::write(&null, "contents of the image\n").unwrap(),
            _ => {}
        }
        // Without a /dev of its own the container has the image's.
        bundle.config["mounts"] = json!([mount("/proc", "proc")]);
        bundle.config["linux"]["maskedPaths"] =
            json!(["/proc/keys", "/proc/version", "/proc/scsi", "/nowhere"]);
        bundle.write();
        let outcome = run(brig, &bundle, "");
        canary.assert_untouched(shape);
        assert!(outcome.code != 0 || outcome.stdout == "0\n1:3\n0\n1:3\n0\n", "{shape}: {outcome}");
        if shape == "absent" {
            assert_eq!(outcome.code, 0, "{shape}: {outcome}");
        }
    }
});

// R8, shown: a neighbour who shares the root replaces /dev/null after the devices are made. Without the host's
// own /dev/null the mask is what the neighbour chose.
story!(a_mask_is_not_what_a_neighbour_chose, [root], |brig| {
    let weak = brig.with_seams();
    for (weaken, masked) in [("", true), ("mask", false)] {
        let mut bundle = weak.bundle("bundle", &["cat", "/proc/keys"]);
        bundle.config["mounts"] = json!([mount("/proc", "proc")]);
        bundle.config["linux"]["maskedPaths"] = json!(["/proc/keys"]);
        bundle.write();
        let mut command = weak.runtime(&["run", "--bundle", path(&bundle), "brig-test-mask"]);
        let paused = Paused::at(
            command.env("BRIG_WEAKEN", weaken),
            "mask:proc/keys",
            &weak.directory().join(format!("pause{weaken}")),
        );
        let null = bundle.rootfs().join("dev/null");
        fs::rename(&null, bundle.rootfs().join("dev/old")).unwrap();
        fs::write(&null, "chosen\n").unwrap();
        let (_, stdout, stderr) = paused.go();
        assert_eq!(stdout == "chosen\n", !masked, "weakened `{weaken}`: {stdout} {stderr}");
        assert!(!masked || stdout.is_empty(), "{stdout} {stderr}");
    }
});

// R9 (CVE-2025-52565): the place of the console is a link, and another terminal's slave is not taken.
story!(the_console_is_bound_inside, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for shape in ["absolute", "relative", "dangling", "through proc", "fifo"] {
        let mut bundle = brig.bundle("bundle", &["sh", "-c", "tty; stat -c %t /dev/console"]);
        // Without a tmpfs /dev/console is the image's.
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/dev");
        bundle.config["process"]["terminal"] = json!(true);
        bundle.write();
        replace(&bundle.rootfs(), "dev/console", shape, &canary);
        let outcome = run(brig, &bundle, "");
        canary.assert_untouched(format_args!("/dev/console as {shape}"));
        // A mount may lie over a link itself, which leads nowhere then.
        assert!(outcome.code != 0 || outcome.stdout == "/dev/pts/0\r\n88\r\n", "{shape}: {outcome}");
    }
});

// R10 (CVE-2025-52881, CVE-2025-62596): what the engine writes to /proc goes to a procfs that nobody else can
// reach. The neighbour swaps the root's /proc for the canary's while the sysctl is written.
story!(kernel_files_are_those_of_the_kernel, [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    let fake = canary.path().join("sys/net/ipv4");
    for (weaken, held) in [("", true), ("procfs", false)] {
        let mut bundle = weak.bundle("bundle", &["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]);
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "network"}));
        bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "7"});
        // The image brings a procfs of its own making, which a bind mount of its volume puts over the real one.
        let source = weak.directory().join("fake");
        fs::create_dir_all(source.join("sys/net/ipv4")).unwrap();
        fs::write(source.join("sys/net/ipv4/ip_unprivileged_port_start"), "").unwrap();
        let mut command = weak.runtime(&["run", "--bundle", path(&bundle), "brig-test-sysctl"]);
        if held {
            // A bundle that mounts over /proc is refused outright.
            let real = bundle.config.clone();
            let mounts = bundle.config["mounts"].as_array_mut().unwrap();
            mounts.push(json!({"destination": "/proc/self/attr", "type": "bind", "source": source, "options": ["bind"]}));
            bundle.write();
            assert!(run(&weak, &bundle, "").stderr.contains("/proc/self/attr"));
            bundle.config = real;
        } else {
            // Without the defence the file is looked for in what the root has at /proc.
            let mounts = bundle.config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/proc");
            let place = bundle.rootfs().join("proc");
            fs::remove_dir(&place).unwrap();
            assert!(Command::new("cp").arg("-a").arg(&source).arg(&place).status().unwrap().success());
        }
        bundle.write();
        let outcome = testkit::run(command.env("BRIG_WEAKEN", weaken));
        let faked = bundle.rootfs().join("proc/sys/net/ipv4/ip_unprivileged_port_start");
        if held {
            assert_eq!(outcome.success(), "7\n");
        } else {
            assert_eq!(fs::read_to_string(faked).unwrap(), "7", "{outcome}");
        }
    }
    assert!(!fake.exists());
    canary.assert_untouched("a sysctl");
});

// R12 (CVE-2021-30465), R13 (CVE-2024-45310): destinations that are links, as they lie there.
story!(destinations_of_mounts_stay_in_the_root, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let source = brig.directory().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "bound\n").unwrap();
    let mut bundle = brig.bundle("bundle", &["true"]);
    let mounts = bundle.config["mounts"].clone();
    for shape in ["absolute", "relative", "dangling", "up", "through proc", "fifo"] {
        for destination in ["/link", "/link/../link/deep/er"] {
            for kind in ["directory", "file", "tmpfs"] {
                let kept = Kept::new(&bundle.rootfs(), "link");
                replace(&bundle.rootfs(), "link", shape, &canary);
                bundle.config["mounts"] = mounts.clone();
                let mounts = bundle.config["mounts"].as_array_mut().unwrap();
                mounts.push(match kind {
                    "tmpfs" => mount(destination, "tmpfs"),
                    "file" => json!({"destination": destination, "type": "bind", "source": source.join("file"), "options": ["bind"]}),
                    _ => json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind"]}),
                });
                bundle.write();
                drop(run(brig, &bundle, ""));
                drop(kept);
                canary.assert_untouched(format_args!("{destination} ({kind}) as {shape}"));
            }
        }
    }
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "bound\n");
});

// R12, R13, raced: a neighbour who shares the root swaps a directory for a link to the canary after it was
// resolved and before it is used. Without resolution in the root the new directory appears on the host.
story!(a_swap_between_resolving_and_using_reaches_nothing, [root], |brig| {
    let weak = brig.with_seams();
    let source = weak.directory().join("source");
    fs::create_dir(&source).unwrap();
    for (number, (point, weaken)) in [
        ("make-directory:a/b/c/d", ""),
        ("mount:a/b/c", ""),
        ("make-file:a/b/node", ""),
        ("make-node:a/b/node", ""),
        ("node-made:a/b/node", ""),
        ("make-directory:a/b/c/d", "root"),
    ]
    .into_iter()
    .enumerate()
    {
        let canary = Canary::new(weak.directory(), &format!("canary{number}"));
        let mut bundle = weak.bundle("bundle", &["true"]);
        let root = bundle.rootfs();
        fs::create_dir_all(root.join("a/b")).unwrap();
        let destination = format!("/{}", point.split_once(':').unwrap().1);
        if point.contains("node") && !point.starts_with("make-file") {
            bundle.config["linux"]["devices"] = json!([{"path": destination, "type": "c", "major": 1, "minor": 3, "fileMode": 0o777, "uid": 5, "gid": 5}]);
        } else {
            let source =
                if point.starts_with("make-file") { canary.path().join("secret") } else { source.clone() };
            let mounts = bundle.config["mounts"].as_array_mut().unwrap();
            mounts.push(
                json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]}),
            );
        }
        bundle.write();
        let mut command = weak.runtime(&["run", "--bundle", path(&bundle), "brig-test-swap"]);
        command.env("BRIG_WEAKEN", weaken);
        let paused = Paused::at(&mut command, point, &weak.directory().join(format!("pause{number}")));
        if point.starts_with("node-made") {
            // The node itself, for a link to a file of the host.
            fs::rename(root.join("a/b/node"), root.join("a/b/old")).unwrap();
            symlink(canary.path().join("secret"), root.join("a/b/node")).unwrap();
        } else {
            fs::rename(root.join("a/b"), root.join("a/old")).unwrap();
            symlink(canary.path(), root.join("a/b")).unwrap();
        }
        let outcome = paused.go();
        let changes = canary.changes();
        // The source of a bind mount of one file is the canary's own, and stays as it is.
        assert_eq!(
            changes.is_empty(),
            weaken.is_empty(),
            "{point} weakened `{weaken}`: {outcome:?}\n{changes:?}"
        );
    }
});

// R9, raced: /dev becomes a link to the canary between finding it and making the console's place in it.
story!(a_swap_below_the_console_reaches_nothing, [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    let mut bundle = weak.bundle("bundle", &["true"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev");
    bundle.config["process"]["terminal"] = json!(true);
    bundle.write();
    let mut command = weak.runtime(&["run", "--bundle", path(&bundle), "brig-test-console"]);
    let paused = Paused::at(&mut command, "make-file:dev/console", &weak.directory().join("pause"));
    let dev = bundle.rootfs().join("dev");
    fs::rename(&dev, bundle.rootfs().join("old")).unwrap();
    symlink(canary.path(), &dev).unwrap();
    let outcome = paused.go();
    canary.assert_untouched(format_args!("the console: {outcome:?}"));
    // Seen to fail: the place was in the directory that was moved away, so the descriptor was what counted.
    assert!(bundle.rootfs().join("old/console").exists(), "{outcome:?}");
});

// R4 (CVE-2019-16884): nothing is mounted where the engine writes labels, and a label that no module would hold is an
// error. Seen to fail by the place beside it, which is mounted.
story!(nothing_is_mounted_over_proc, [root, user], |brig| {
    let source = brig.directory().join("source");
    fs::create_dir_all(source.join("self/attr")).unwrap();
    fs::write(source.join("self/attr/exec"), "").unwrap();
    let mut bundle = brig.bundle("bundle", &["true"]);
    let plain = bundle.config.clone();
    for (destination, held) in [
        ("/proc", true),
        ("/proc/self", true),
        ("/proc/self/attr", true),
        ("/proc/sys", true),
        ("/proc/../proc/self/attr", true),
        ("//proc//self/./attr/", true),
        ("/link/self/attr", true),
        ("/mnt/attr", false),
    ] {
        bundle.config = plain.clone();
        let link = bundle.rootfs().join("link");
        if !link.is_symlink() {
            symlink("proc", link).unwrap();
        }
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.push(
            json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind"]}),
        );
        bundle.write();
        let outcome = run(brig, &bundle, "");
        assert_eq!(outcome.code != 0, held, "{destination}: {outcome}");
    }
    if !Path::new("/sys/kernel/security/apparmor").exists() && !Path::new("/sys/fs/selinux/enforce").exists()
    {
        for (field, value) in
            [("apparmorProfile", "unconfined"), ("selinuxLabel", "system_u:system_r:container_t:s0")]
        {
            bundle.config = plain.clone();
            bundle.config["process"][field] = json!(value);
            bundle.write();
            assert_ne!(run(brig, &bundle, "").code, 0, "{field}");
        }
    }
    brig.import_busybox();
    let volume = format!("{}:/proc", source.display());
    for flags in [
        &["-v", &*volume][..],
        &["--tmpfs", "/proc"],
        &["--tmpfs", "/proc/self/attr"],
        &["--tmpfs", "/proc/sys"],
    ] {
        assert_ne!(brig.shell(flags, "true").code, 0, "{flags:?}");
    }
});
