//! R26: a sysctl of a namespace that the container shares with the host.

use serde_json::json;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, command_by, id_by, run};
use crate::sysctls::{SETTINGS, Shared, bundle, changed_by, moves_the_root};

pub(crate) const ROW: Row = Row {
    id: "R26",
    title: "settings, roots and cgroups of a namespace that is the host's",
    faults: &["GO-2022-0363", "CVE-2022-0532"],
    kinds: &[Kind::Static],
    defence: "runtime/src/plan/sysctl.rs: a namespace of its own; runtime/src/prepare.rs: a joined one is not ours",
};

/// What the product changes of its caller's settings.
fn changes(brig: &Brig, shared: Shared, weaken: &str) -> Vec<String> {
    let attack = |(kind, name, value): &(&str, &str, &str)| {
        let bundle = bundle(brig, kind, shared, name, value);
        changed_by(&brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-sysctl"]), weaken)
    };
    SETTINGS.iter().flat_map(attack).collect()
}

held!(the_callers_stay, [root] needs [program("unshare")], |brig| {
    for shared in [Shared::Unlisted, Shared::ByPath] {
        assert_eq!(changes(brig, shared, ""), Vec::<String>::new(), "{shared:?}");
    }
    // The names of the host are settings too.
    for field in ["hostname", "domainname"] {
        for shared in [Shared::Unlisted, Shared::ByPath] {
            let mut bundle = bundle(brig, "uts", shared, "", "");
            bundle.config[field] = json!("attacked");
            bundle.write();
            let command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-name"]);
            assert_eq!(changed_by(&command, ""), Vec::<String>::new(), "{field} {shared:?}");
        }
    }
});

held!(they_are_refused_by_name, [root, user], |brig| {
    for (kind, name, value) in SETTINGS {
        for shared in [Shared::Unlisted, Shared::ByPath] {
            let outcome = run(brig, &bundle(brig, kind, shared, name, value), "");
            assert!(outcome.code != 0, "{name} {shared:?}: {outcome}");
        }
    }
    brig.import_busybox();
    for flags in [
        ["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"],
        ["--ipc", "host", "--sysctl", "kernel.msgmax=4321"],
        ["--uts", "host", "--sysctl", "kernel.domainname=attacked"],
    ] {
        assert_ne!(brig.shell(&flags, "true").code, 0, "{flags:?}");
    }
});

held!(a_neighbours_namespace_may_be_joined, [root] needs [program("unshare")], |brig| {
    // What is joined and not the caller's is no refusal: pods are made of it.
    let pause = brig.bundle("pause", &["sleep", "1000"]);
    brig.start("brig-test-pause", &pause);
    let state: serde_json::Value =
        serde_json::from_str(&brig.runtime_ok(&["state", "brig-test-pause"])).unwrap();
    let mut bundle = bundle(brig, "ipc", Shared::ByPath, "kernel.msgmax", "4321");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.last_mut().unwrap()["path"] = json!(format!("/proc/{}/ns/ipc", state["pid"]));
    bundle.write();
    run(brig, &bundle, "").success();
    let seen = brig.runtime_ok(&["exec", "brig-test-pause", "cat", "/proc/sys/kernel/msgmax"]);
    assert_eq!(seen, "4321\n");
});

/// Whether the product pivots in the mount namespace of its caller.
fn pivots(brig: &Brig, shared: Shared, weaken: &str) -> bool {
    let bundle = bundle(brig, "mount", shared, "", "");
    moves_the_root(&brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-pivot"]), &bundle, weaken)
}

held!(the_callers_root_stays, [root] needs [program("unshare")], |brig| {
    for shared in [Shared::Unlisted, Shared::ByPath] {
        assert!(!pivots(brig, shared, ""), "{shared:?}");
    }
});

held!(the_callers_cgroups_are_not_shown, [root], |brig| {
    // Its own part is shown without a namespace; with the host's by a path, all would be.
    let show = |shared| {
        let mut bundle = bundle(brig, "cgroup", shared, "", "");
        let options = ["nosuid", "noexec", "nodev", "ro"];
        let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options});
        bundle.config["mounts"].as_array_mut().unwrap().push(mount);
        bundle.config["process"]["args"] = json!(["find", "/sys/fs/cgroup", "-mindepth", "2", "-type", "d"]);
        bundle.write();
        run(brig, &bundle, "")
    };
    let (unlisted, by_path) = (show(Shared::Unlisted), show(Shared::ByPath));
    assert_eq!(unlisted.success(), "");
    assert!(by_path.code != 0 && by_path.stdout.is_empty(), "{by_path}");
});

control!(the_root_without_the_check, Target::Weakened("sysctl"), [root] needs [program("unshare")], |brig| {
    pivots(&brig.with_seams(), Shared::ByPath, "sysctl")
});

control!(runc_moves_its_callers_root, Target::Debian("runc", "1.1.5"), [root] needs [program("unshare")], |brig| {
    let bundle = bundle(brig, "mount", Shared::ByPath, "", "");
    moves_the_root(&command_by("runc", brig, &["run", "--bundle", at(&bundle), &id_by("runc")]), &bundle, "")
});

control!(without_the_check, Target::Weakened("sysctl"), [root] needs [program("unshare")], |brig| {
    changes(&brig.with_seams(), Shared::Unlisted, "sysctl").len() == SETTINGS.len()
        && changes(&brig.with_seams(), Shared::ByPath, "sysctl").len() == SETTINGS.len()
});

/// What Debian's runtimes change, by the path of a namespace.
fn changes_by(program: &str, brig: &Brig) -> Vec<String> {
    let attack = |(kind, name, value): &(&str, &str, &str)| {
        let bundle = bundle(brig, kind, Shared::ByPath, name, value);
        let id = id_by(program);
        changed_by(&command_by(program, brig, &["run", "--bundle", at(&bundle), &id]), "")
    };
    SETTINGS.iter().flat_map(attack).collect()
}

control!(runc_takes_any_path, Target::Debian("runc", "1.1.5"), [root] needs [program("unshare")], |brig| {
    changes_by("runc", brig).contains(&"msgmax=4321".to_owned())
});

control!(crun_takes_any_path, Target::Debian("crun", "1.8.1"), [root] needs [program("unshare")], |brig| {
    changes_by("crun", brig).contains(&"../net/ipv4/ip_forward=1".to_owned())
});
