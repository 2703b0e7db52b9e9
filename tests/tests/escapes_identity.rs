//! escapes.md R14 to R19, R25, R26, R36: who a process is, and what the kernel is told for it.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, Outcome};
use tests::{Brig, attack, story};

fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().unwrap()
}

fn run(brig: &Brig, bundle: &Bundle, weaken: &str) -> Outcome {
    let mut command = brig.runtime(&["run", "--bundle", path(bundle), "brig-test-attack"]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

// R14 (CVE-2021-43784): lengths that overflow. Seen to matter by the error: it names the limit, nothing is made.
story!(giant_bundles_are_plain_errors, [root, user], |brig| {
    let mut bundle = brig.bundle("bundle", &["true"]);
    let small = bundle.config.clone();
    let long = "x".repeat(1 << 16);
    let tmpfs =
        |number: usize| json!({"destination": format!("/m/{number}"), "type": "tmpfs", "source": "tmpfs"});
    let many: Value = (0..100_000).map(tmpfs).collect();
    let ids: Value = (0..100_000).collect();
    for (pointer, value) in [
        ("/mounts", many),
        ("/mounts/1/destination", json!(format!("/{long}"))),
        ("/mounts/1/source", json!(long)),
        ("/mounts/1/options", json!([long])),
        ("/mounts/1/type", json!(long)),
        ("/hostname", json!(long)),
        ("/process/cwd", json!(format!("/{long}"))),
        ("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": ids})),
        ("/linux/maskedPaths", json!([format!("/{long}")])),
        ("/root/path", json!(long)),
    ] {
        bundle.config = small.clone();
        *bundle.config.pointer_mut(pointer).unwrap() = value;
        bundle.write();
        let outcome = run(brig, &bundle, "");
        let told: Vec<_> = outcome.stderr.lines().filter(|line| !line.contains("warning")).collect();
        assert!(outcome.code != 0 && told.len() == 1, "{pointer}: {} {told:?}", outcome.code);
    }
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
});

// R15 (CVE-2016-3697): a number is an id, whatever the image's accounts make of it. Seen to fail by the name beside it.
story!(a_numeric_user_is_a_number, [root, user], |brig| {
    attack::image(brig, "accounts", &[], |root| {
        let text = "root:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\nzero:x:0:0::/:/bin/sh\nnegative:x:-1:0::/:/bin/sh\n\
                    big:x:4294967296:0::/:/bin/sh\nwrap:x:18446744073709551616:0::/:/bin/sh\n";
        fs::write(root.join("etc/passwd"), text).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\n1000:x:0:\nwrap:x:4294967296:\n").unwrap();
    });
    let id = |user: &str| brig.run(&["run", "--rm", "-u", user, "accounts", "sh", "-c", "id -u; id -g"]);
    assert_eq!(id("1000").success(), "1000\n0\n");
    assert_eq!(id("1000:1000").success(), "1000\n1000\n");
    assert_eq!(id("zero").success(), "0\n0\n");
    // R16 (CVE-2024-40635, CVE-2026-46680): what is no id of 32 bits is refused, not cut.
    for user in [
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "-1",
        "+0",
        "0x0",
        " 0",
        "0 ",
        "1e3",
        "negative",
        "big",
        "wrap",
        "0:wrap",
        "0:4294967296",
        "0:-1",
        "nobody-there",
        ":0x0",
        "root:0:0",
        "\u{661}",
    ] {
        let outcome = id(user);
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{user}: {outcome}");
    }
});

// R16 from the image's own configuration.
story!(an_images_user_is_checked_too, [root], |brig| {
    for user in ["4294967296", "-1", "0x0"] {
        let instruction = format!("USER {user}");
        let name = format!("user{}", user.len());
        let archive = testkit::busybox_tar(brig.directory());
        let imported = brig.run(&["import", "-c", &instruction, archive.to_str().unwrap(), &name]);
        if imported.code == 0 {
            assert_ne!(brig.run(&["run", "--rm", &name, "id", "-u"]).code, 0, "{user}");
        }
    }
});

// R17 (CVE-2026-30892): `exec --user 1` is user 1.
story!(exec_takes_the_user_that_it_names, [root], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("brig-test-user", &bundle);
    for (user, expected) in [("1", "1\n0\n"), ("1:2", "1\n2\n"), ("1000", "1000\n0\n")] {
        let seen = brig.runtime_ok(&["exec", "--user", user, "brig-test-user", "sh", "-c", "id -u; id -g"]);
        assert_eq!(seen, expected);
        let caps = brig.runtime_ok(&[
            "exec",
            "--user",
            user,
            "brig-test-user",
            "grep",
            "CapEff",
            "/proc/self/status",
        ]);
        assert_eq!(caps, "CapEff:\t0000000000000000\n");
    }
    for user in ["-1", "4294967296", "root", "1:", "0x1"] {
        let outcome = brig.runtime_run(&["exec", "--user", user, "brig-test-user", "id"]);
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{outcome}");
    }
});

// R18 (CVE-2022-24769): inheritable capabilities give a file its own back. Seen to fail by the bundle that asks.
story!(nothing_is_inheritable, [root, user], |brig| {
    brig.import_busybox();
    let empty = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";
    let script = "grep -E 'CapInh|CapAmb' /proc/self/status";
    for flags in [
        &[][..],
        &["--cap-add", "ALL"],
        &["-u", "1000"],
        &["--privileged"],
        &["--init"],
        &["--profile", "docker"],
    ] {
        let outcome = brig.shell(flags, script);
        assert_eq!(outcome.success(), empty, "{flags:?}");
    }
    let none = brig.shell(&["-u", "1000"], "grep -E 'CapEff|CapPrm' /proc/self/status").success();
    assert_eq!(none, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
    let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
    assert_eq!(run(brig, &bundle, "").success(), empty);
    for set in ["bounding", "effective", "permitted", "inheritable"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_CHOWN"]);
    }
    bundle.write();
    assert_ne!(run(brig, &bundle, "").success(), empty, "the test shows nothing");
});

// R19 (CVE-2022-36109): groups of the caller that stay, or are missing, go around a mode that refuses a group.
story!(groups_are_exactly_those_asked_for, [root], |brig| {
    attack::image(brig, "groups", &[], |root| {
        fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:1234:user\nother:x:77:\n")
            .unwrap();
        fs::write(root.join("tmp/refused"), "canary\n").unwrap();
    });
    let see =
        |flags: &[&str]| brig.run(&[&["run", "--rm"], flags, &["groups", "id", "-G"]].concat()).success();
    assert_eq!(see(&["-u", "user"]), "1000 1234\n");
    assert_eq!(see(&["-u", "1000:1000"]), "1000\n");
    assert_eq!(see(&["-u", "user", "--group-add", "other"]), "1000 77 1234\n");
    let weak = brig.with_seams();
    for (weaken, held) in [("", true), ("groups", false)] {
        let mut bundle = weak.bundle("bundle", &["id", "-G"]);
        bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [1234]});
        bundle.write();
        let command = weak.runtime(&["run", "--bundle", path(&bundle), "brig-test-groups"]);
        let mut caller = Command::new("setpriv");
        caller
            .args(["--groups", "4,24"])
            .arg(command.get_program())
            .args(command.get_args())
            .env("BRIG_WEAKEN", weaken);
        let seen = testkit::run(&mut caller).success();
        assert_eq!(seen == "1000 1234\n", held, "weakened `{weaken}`: {seen}");
        assert_eq!(seen.contains("24"), !held, "weakened `{weaken}`: {seen}");
    }
});

// R25 (CVE-2022-0811), R26 (GO-2022-0363): kernel settings of the host. Seen to fail by the one that is namespaced.
story!(only_settings_of_its_own_namespaces_are_set, [root, user], |brig| {
    let host = || -> Vec<String> {
        [
            "kernel/core_pattern",
            "kernel/shmmax",
            "kernel/msgmax",
            "net/ipv4/ip_forward",
            "kernel/hostname",
            "vm/swappiness",
        ]
        .iter()
        .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default())
        .collect()
    };
    let before = host();
    let mut bundle = brig.bundle("bundle", &["cat", "/proc/sys/kernel/msgmax"]);
    for (name, value) in [
        ("kernel.core_pattern", "|/bin/sh"),
        ("kernel/core_pattern", "|/bin/sh"),
        ("kernel.shmmax+kernel.core_pattern", "1"),
        ("kernel.shmmax", "1\nkernel.core_pattern=|/bin/sh"),
        ("kernel.shmmax", "1\0"),
        ("kernel.shm_rmid_forced/../core_pattern", "x"),
        ("net.ipv4.ip_forward", "1"),
        ("net.../../kernel/core_pattern", "x"),
        ("net/../kernel/core_pattern", "x"),
        ("fs.mqueue../../kernel/core_pattern", "x"),
        ("kernel.hostname", "x"),
        ("vm.swappiness", "1"),
        ("", "x"),
        (".", "x"),
    ] {
        bundle.config["linux"]["sysctl"] = json!({name: value});
        bundle.write();
        let outcome = run(brig, &bundle, "");
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{name}={value:?}: {outcome}");
    }
    // The same for the settings of an ipc namespace that is the host's.
    let namespaces = bundle.config["linux"]["namespaces"].clone();
    let without: Vec<_> =
        namespaces.as_array().unwrap().iter().filter(|it| it["type"] != "ipc").cloned().collect();
    bundle.config["linux"]["namespaces"] = without.into();
    bundle.config["linux"]["sysctl"] = json!({"kernel.msgmax": "1234"});
    bundle.write();
    assert_ne!(run(brig, &bundle, "").code, 0);
    bundle.config["linux"]["namespaces"] = namespaces;
    bundle.write();
    if brig.is_root() {
        assert_eq!(run(brig, &bundle, "").success(), "1234\n");
    }
    assert_eq!(host(), before);
    brig.import_busybox();
    for flags in [
        &["--sysctl", "net.ipv4.ip_forward=1", "--network", "host"][..],
        &["--sysctl", "kernel.core_pattern=x"],
    ] {
        let outcome = brig.shell(flags, "true");
        assert_ne!(outcome.code, 0, "{outcome}");
    }
    assert_eq!(host(), before);
});

// R36 (CVE-2026-53488): what an image says of itself is not an order to the engine. Seen to fail by the flag that is one.
story!(labels_of_an_image_change_nothing, [root, user], |brig| {
    let keys = [
        "brig.privileged",
        "io.brig.runtime",
        "org.brig.seccomp",
        "brig.log-driver",
        "io.containerd.runc.v2.group",
        "io.podman.annotations.privileged",
        "io.podman.annotations.seccomp",
        "io.kubernetes.cri-o.Devices",
        "run.oci.keep_original_groups",
        "run.oci.seccomp.receiver",
        "run.oci.hooks.stderr",
        "org.systemd.property.ExecStart",
        "io.katacontainers.config.hypervisor.path",
        "com.docker.compose.project",
        "nerdctl/log-uri",
        "run.oci.handler",
        "org.opencontainers.image.stopSignal",
    ];
    let labels: Vec<String> =
        keys.iter().map(|key| format!("LABEL {key}=binary:///bin/sh?-c=touch")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    attack::image(brig, "plain", &[], |_| {});
    attack::image(brig, "labelled", &labels, |_| {});
    let planned = |flags: &[&str], image: &str| {
        let plan = brig.ok(&[&["run", "--dry-run"], flags, &[image, "true"]].concat());
        let same = |line: &&str| !line.contains("sha256") && !line.contains(image);
        plan.lines().filter(same).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(planned(&[], "labelled"), planned(&[], "plain"));
    assert_ne!(planned(&["--privileged"], "plain"), planned(&[], "plain"), "the test shows nothing");
});

// R38 (CVE-2020-14370, CVE-2024-36621): containers that start at once share no environment, name or file.
story!(containers_that_start_together_are_apart, [root, user], |brig| {
    brig.import_busybox();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let start = |number: usize| {
            let script = "echo $SECRET > /mine; sleep 0.2; cat /mine; cat /proc/1/environ | tr '\\0' '\\n' | grep SECRET; ls /proc | grep -c '^[0-9]'";
            let environment = format!("SECRET=number-{number}");
            // Two of a kind want one name: one of them gets it.
            let name = format!("brig-test-name-{}", number / 2);
            scope.spawn(move || brig.shell(&["-e", &environment, "--name", &name], script))
        };
        let running: Vec<_> = (0..12).map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (ended, refused): (Vec<_>, Vec<_>) =
        outcomes.into_iter().enumerate().partition(|(_, outcome)| outcome.code == 0);
    assert!(ended.len() >= 6, "{refused:?}");
    for (number, outcome) in ended {
        let expected = format!("number-{number}\nSECRET=number-{number}\n");
        assert!(outcome.stdout.starts_with(&expected), "{outcome}");
    }
    for (number, outcome) in refused {
        assert!(outcome.stderr.contains(&format!("brig-test-name-{}", number / 2)), "{outcome}");
    }
});
