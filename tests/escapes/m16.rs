//! M16: who joins a container believes what its `/proc` says: how many capabilities there are, which label to write.
//!
//! The container's root mounts over it what it likes. Links in place of `/proc` are R5 to R7, inheritable capabilities
//! R18.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testkit::Bundle;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, command_by, mount};

pub(crate) const ROW: Row = Row {
    id: "M16",
    title: "joining a container whose `/proc` lies",
    faults: &["CVE-2015-1334", "CVE-2018-10856"],
    kinds: &[Kind::Static, Kind::Inside],
    defence: "runtime/src/child: kernel files are read and written through a procfs of the host's, and the kernel says \
              itself which capabilities it has",
};

/// Numbers and files that a lie is about; the payload mounts them over the real ones.
const LIES: [(&str, &str); 2] = [
    (
        "settings",
        "mount -t tmpfs none /proc/sys && mkdir /proc/sys/kernel && echo 0 >/proc/sys/kernel/cap_last_cap",
    ),
    (
        "all of it",
        "mount -t tmpfs none /proc && mkdir -p /proc/sys/kernel /proc/1/attr /proc/1/fd && \
         echo 0 >/proc/sys/kernel/cap_last_cap && echo 1 >/proc/1/oom_score_adj && echo x >/proc/1/attr/exec && \
         echo x >/proc/1/uid_map && echo Seccomp: 0 >/proc/1/status && ln -s 1 /proc/self && ln -s 1 /proc/thread-self",
    ),
];

const ID: &str = "brig-test-lies";

/// A container with the right to mount, which tells its lie and waits.
fn bundle(brig: &Brig, lie: &str) -> Bundle {
    let script = format!("{lie} && touch /lied && exec sleep 1000");
    let mut bundle = brig.bundle("bundle", &["sh", "-c", &script]);
    let sets = ["CAP_SYS_ADMIN", "CAP_KILL", "CAP_CHOWN", "CAP_MKNOD", "CAP_NET_RAW"];
    bundle.config["process"]["capabilities"] =
        json!({"bounding": sets, "effective": sets, "permitted": sets});
    bundle.config["root"]["readonly"] = false.into();
    bundle.config["mounts"] = json!([mount("/proc", "proc")]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.write();
    if let Some(user) = brig.as_user() {
        user.give(bundle.path());
    }
    bundle
}

/// A process without any right, as a file for `exec --process`.
fn powerless(brig: &Brig, bundle: &Bundle) -> PathBuf {
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(["sleep", "1000"]);
    process["capabilities"] = json!({"bounding": [], "effective": [], "permitted": [], "inheritable": []});
    process["noNewPrivileges"] = true.into();
    process["oomScoreAdj"] = 500.into();
    process["terminal"] = false.into();
    let path = brig.directory().join("process.json");
    fs::write(&path, process.to_string()).unwrap();
    path
}

/// Waits until the container has told its lie.
fn has_lied(bundle: &Bundle) -> bool {
    (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        bundle.rootfs().join("lied").exists()
    })
}

/// Joins with [`powerless`]; what the host's `/proc` says of the process, and how it differs from what was asked.
fn differences(brig: &Brig, bundle: &Bundle, command: impl Fn(&[&str]) -> Command) -> Vec<String> {
    let (process, number) = (powerless(brig, bundle), brig.directory().join("pid"));
    let create = ["create", "--bundle", at(bundle), ID];
    testkit::run_detached(&mut command(&create)).success();
    testkit::run(&mut command(&["start", ID])).success();
    let lied = has_lied(bundle);
    let words = [
        "exec",
        "--detach",
        "--pid-file",
        number.to_str().unwrap(),
        "--process",
        process.to_str().unwrap(),
        ID,
    ];
    let outcome = testkit::run_detached(&mut command(&words));
    let mut found = Vec::new();
    if outcome.code == 0 {
        let pid = fs::read_to_string(&number).unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for (key, expected) in [
            ("CapInh", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapEff", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
        ] {
            let line =
                status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap().trim();
            if line != expected {
                found.push(format!("{key} is {line}"));
            }
        }
        let adjusted = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        if adjusted.trim() != "500" {
            found.push(format!("oom_score_adj is {adjusted}"));
        }
    } else {
        found.push(outcome.to_string());
    }
    testkit::run(&mut command(&["delete", "--force", ID])).success();
    assert!(lied, "the container could not lie");
    found
}

held!(the_kernel_is_asked, [root, user], |brig| {
    for (name, lie) in LIES {
        let bundle = bundle(brig, lie);
        let found = differences(brig, &bundle, |words| brig.runtime(words));
        assert_eq!(found, Vec::<String>::new(), "{name}");
        fs::remove_dir_all(bundle.path()).unwrap();
    }
});

held!(joining_works_all_the_same, [root, user], |brig| {
    for (name, lie) in LIES {
        let bundle = bundle(brig, lie);
        brig.start(ID, &bundle);
        assert!(has_lied(&bundle), "{name}: the container could not lie");
        let outcome = brig.runtime_run(&["exec", ID, "echo", "joined"]);
        assert!(outcome.stdout.contains("joined"), "{name}: {outcome}");
        let state: Value = serde_json::from_str(&brig.runtime_ok(&["state", ID])).unwrap();
        assert_eq!(state["status"], "running", "{name}");
        brig.runtime_ok(&["delete", "--force", ID]);
        fs::remove_dir_all(bundle.path()).unwrap();
    }
});

control!(runc_counts_what_it_is_told, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let bundle = bundle(brig, LIES[0].1);
    let found = differences(brig, &bundle, |words| command_by("runc", brig, words));
    found.iter().any(|line| line.starts_with("CapBnd"))
});
