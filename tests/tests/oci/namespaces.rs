//! `linux.namespaces`, id maps and time offsets.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use tests::{Brig, story};

use crate::{bundle, path, pid_of, push, says, share, shell, unshare};

const ALL: &str =
    "cd /proc/self/ns; for n in cgroup ipc mnt net pid time user uts; do echo $n $(readlink $n); done";

fn table(text: &str) -> BTreeMap<String, String> {
    let row = |line: &str| line.split_once(' ').map(|(name, link)| (name.to_owned(), link.to_owned()));
    text.lines().filter_map(row).collect()
}

fn own() -> BTreeMap<String, String> {
    let link =
        |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned();
    ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
        .map(|name| (name.to_owned(), link(name)))
        .into()
}

story!(each_namespace_is_new_or_shared, [root, user], |brig| {
    for (kind, file) in [
        ("cgroup", "cgroup"),
        ("ipc", "ipc"),
        ("network", "net"),
        ("time", "time"),
        ("uts", "uts"),
        ("pid", "pid"),
    ] {
        for new in [true, false] {
            let inside = table(&says(brig, ALL, |config| {
                share(config, kind);
                if kind == "uts" {
                    config.as_object_mut().unwrap().remove("hostname");
                }
                if new {
                    unshare(config, kind);
                }
                if kind == "pid" && !new && brig.as_user().is_some() {
                    // A procfs of the host's pid namespace cannot be made by a user.
                    config["mounts"][0] = json!({"destination": "/proc", "type": "bind", "source": "/proc",
                        "options": ["rbind"]});
                    config["linux"]["maskedPaths"] = json!([]);
                    config["linux"]["readonlyPaths"] = json!([]);
                }
            }));
            assert_eq!(inside[file] != own()[file], new, "{kind}: {inside:?}");
        }
    }
});

story!(namespaces_are_joined_by_path, [root, user], |brig| {
    let mut first = brig.bundle("first", &["sleep", "1000"]);
    unshare(&mut first.config, "network");
    unshare(&mut first.config, "cgroup");
    first.write();
    brig.start("first", &first);
    let pid = pid_of(brig, "first");
    let theirs = table(&brig.runtime_ok(&["exec", "first", "sh", "-c", ALL]));
    let inside = table(&says(brig, ALL, |config| {
        let kinds = ["ipc", "network", "uts", "pid", "cgroup"];
        config.as_object_mut().unwrap().remove("hostname");
        for kind in kinds {
            share(config, kind);
            let file = if kind == "network" { "net" } else { kind };
            push(
                &mut config["linux"]["namespaces"],
                json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}),
            );
        }
        if brig.as_user().is_some() {
            share(config, "user");
            push(
                &mut config["linux"]["namespaces"],
                json!({"type": "user", "path": format!("/proc/{pid}/ns/user")}),
            );
            config["linux"]["uidMappings"] = json!([]);
            config["linux"]["gidMappings"] = json!([]);
        }
    }));
    for file in ["ipc", "net", "uts", "pid", "cgroup", "user"] {
        assert_eq!(inside[file], theirs[file], "{file}");
    }
    assert_ne!(inside["mnt"], theirs["mnt"]);
    brig.runtime_ok(&["delete", "--force", "first"]);
});

story!(wrong_namespaces_are_refused, [root, user], |brig| {
    for (kind, path) in [
        ("ipc", json!("relative")),
        ("network", json!("/proc/self/ns/uts")),
        ("network", json!("/no/such/file")),
        ("network", json!("/etc/passwd")),
    ] {
        let outcome = shell(brig, "true", |config| {
            share(config, kind);
            push(&mut config["linux"]["namespaces"], json!({"type": kind, "path": path}));
        });
        assert_eq!(outcome.code, 1, "{kind} {path}: {outcome}");
    }
    let outcome = shell(brig, "true", |config| unshare(config, "pid"));
    assert_eq!(outcome.code, 1, "twice: {outcome}");
    let outcome = shell(brig, "true", |config| share(config, "uts"));
    assert_eq!(outcome.code, 1, "a host name without a namespace: {outcome}");
});

story!(clocks_are_offset, [root, user], |brig| {
    let text = says(brig, "cut -d . -f 1 /proc/uptime; cat /proc/self/timens_offsets", |config| {
        unshare(config, "time");
        config["linux"]["timeOffsets"] =
            json!({"boottime": {"secs": 100_000_000}, "monotonic": {"secs": 5000, "nanosecs": 7}});
    });
    let uptime: u64 = text.lines().next().unwrap().parse().unwrap();
    assert!(uptime > 100_000_000, "{text}");
    assert!(text.contains("5000") && text.contains('7'), "{text}");
    for offsets in
        [json!({"realtime": {"secs": 1}}), json!({"boottime": {"secs": 1, "nanosecs": 1_000_000_000u64}})]
    {
        let outcome = shell(brig, "true", |config| {
            unshare(config, "time");
            config["linux"]["timeOffsets"] = offsets.clone();
        });
        assert_eq!(outcome.code, 1, "{outcome}");
    }
});

story!(ids_are_mapped_as_asked, [root], |brig| {
    let mut bundle = bundle(brig, "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g", |config| {
        config["process"]["user"] = json!({"uid": 5, "gid": 6});
    });
    bundle.map_ids(&[(0, 100_000, 10), (10, 200_000, 90)], &[(0, 300_000, 100)]);
    bundle.write();
    let text = brig.runtime_ok(&["run", "--bundle", path(&bundle), "mapped"]);
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "10", "10", "200000", "90", "0", "300000", "100", "5", "6"]);
});

/// The first of a user's subordinate ids.
fn first_subid(brig: &Brig, file: &str) -> u32 {
    let user = brig.as_user().unwrap();
    let text = testkit::run(user.command("cat").arg(file)).success();
    let line = text.lines().find(|line| line.starts_with(&format!("{}:", user.name()))).unwrap();
    line.split(':').nth(1).unwrap().parse().unwrap()
}

story!(a_users_range_is_mapped, [user], |brig| {
    let user = brig.as_user().unwrap();
    let mut bundle = bundle(
        brig,
        "id -u; id -g; sed -n 's/^Groups:\\s*//p' /proc/self/status; stat -c %u /etc",
        |config| {
            config["process"]["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [7]});
            config["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .retain(|namespace| namespace["type"] != "user");
        },
    );
    let (uid, gid) = (first_subid(brig, "/etc/subuid"), first_subid(brig, "/etc/subgid"));
    bundle.map_ids(&[(0, user.uid(), 1), (1, uid, 65_535)], &[(0, user.gid(), 1), (1, gid, 65_535)]);
    bundle.write();
    let text = brig.runtime_ok(&["run", "--bundle", path(&bundle), "ranged"]);
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words, ["1000", "1001", "7", "0"]);
});

story!(ids_that_are_not_the_callers_are_refused, [user, bare], |brig| {
    let user = brig.as_user().unwrap();
    for (outside, count) in [(0, 1), (user.uid() + 1, 1), (user.uid(), 2), (1, 65_536)] {
        let mut bundle = bundle(brig, "id -u", |config| {
            config["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .retain(|namespace| namespace["type"] != "user");
        });
        bundle.map_ids(&[(0, outside, count)], &[(0, user.gid(), 1)]);
        bundle.write();
        let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "stranger"]);
        assert_eq!(outcome.code, 1, "{outside} x {count}: {outcome}");
        assert_eq!(brig.runtime_containers(), Vec::<String>::new());
    }
});

story!(ids_outside_the_map_are_refused, [root, user, bare], |brig| {
    for user in [
        json!({"uid": 70_000, "gid": 0}),
        json!({"uid": 0, "gid": 70_000}),
        json!({"uid": 0, "gid": 0, "additionalGids": [70_000]}),
    ] {
        let mut bundle = bundle(brig, "id", |config| config["process"]["user"] = user);
        if brig.is_root() {
            bundle.map_ids(&[(0, 100_000, 65_536)], &[(0, 100_000, 65_536)]);
        }
        bundle.write();
        let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "unmapped"]);
        assert_eq!(outcome.code, 1, "{outcome}");
    }
});

story!(a_bare_user_runs_with_one_id, [bare], |brig| {
    let text = says(brig, "id -u; cat /proc/self/uid_map; cat /proc/self/setgroups", |_| {});
    let uid = brig.as_user().unwrap().uid().to_string();
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "0", &uid, "1", "deny"]);
});
