//! Plans of whole specs as snapshots, and a table of specs that become none.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use oci::runtime::{NamespaceKind, Spec};
use runtime::plan::attributes::AttributeError;
use runtime::plan::option::OptionError;
use runtime::plan::path::PathError;
use runtime::plan::step::{MountSource, Step};
use runtime::plan::sysctl::SysctlError;
use runtime::plan::{CgroupView, Facts, Refusal, build, build_exec};
use serde_json::{Value, json};

/// What root has on a machine with cgroup v2.
fn facts() -> Facts {
    Facts {
        can_make_nodes: true,
        cgroups: vec![CgroupView { kind: "cgroup2".to_owned(), ..CgroupView::default() }],
        bundle: "/bundle".to_owned(),
        ..Facts::default()
    }
}

/// The bundle that `brig-runtime spec` writes, with fewer paths and a short filter.
fn standard() -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP"]);
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["sh"], "env": ["PATH=/bin"], "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "brig",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "cgroup"}],
            "maskedPaths": ["/proc/kcore", "/proc/acpi"],
            "readonlyPaths": ["/proc/sys"],
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}
        }
    })
}

fn rootless() -> Value {
    let mut spec = standard();
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    spec
}

fn spec(value: Value) -> Spec {
    serde_json::from_value(value).unwrap()
}

fn shown(value: Value, facts: &Facts) -> String {
    build(&spec(value), facts).unwrap().to_string()
}

#[test]
fn the_standard_plan() {
    insta::assert_snapshot!(shown(standard(), &facts()));
}

#[test]
fn a_plan_without_rights_over_the_host() {
    let facts = Facts { can_make_nodes: false, ..facts() };
    insta::assert_snapshot!(shown(rootless(), &facts));
}

#[test]
fn a_plan_with_a_terminal() {
    let mut value = standard();
    value["process"]["terminal"] = true.into();
    value["process"]["consoleSize"] = json!({"height": 24, "width": 100_000});
    value["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [5]});
    insta::assert_snapshot!(shown(value, &facts()));
}

#[test]
fn a_plan_with_hooks() {
    let mut value = standard();
    let hook = json!([{"path": "/bin/hook", "timeout": 5}]);
    value["hooks"] = json!({"prestart": hook, "createRuntime": hook, "createContainer": hook, "startContainer": hook,
        "poststart": hook, "poststop": hook});
    insta::assert_snapshot!(shown(value, &facts()));
}

#[test]
fn a_plan_with_everything_else() {
    let mut value = standard();
    value["process"]["cwd"] = "/work/here".into();
    value["process"]["noNewPrivileges"] = false.into();
    value["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
    value["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 4});
    value["process"]["oomScoreAdj"] = 100.into();
    value["domainname"] = "example.test".into();
    value["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    value["linux"]["devices"] = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]);
    value["linux"]["rootfsPropagation"] = "rshared".into();
    value["linux"]["timeOffsets"] = json!({"boottime": {"secs": 7}});
    value["linux"]["personality"] = json!({"domain": "LINUX32"});
    value["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0-1"});
    value["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_NOTIFY"});
    push(&mut value["linux"]["namespaces"], json!({"type": "time"}));
    push(
        &mut value["mounts"],
        json!({"destination": "/data", "type": "tmpfs", "source": "t", "options": ["ro", "tmpcopyup"]}),
    );
    push(
        &mut value["mounts"],
        json!({"destination": "/src", "source": "src", "options": ["rbind", "rro", "rslave", "ridmap"],
            "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": 5, "size": 1}]}),
    );
    insta::assert_snapshot!(shown(value, &facts()));
}

#[test]
fn a_plan_of_one_that_joins() {
    let mut process = standard()["process"].clone();
    process["terminal"] = true.into();
    process["execCPUAffinity"] = json!({"initial": "0", "final": "0,2-3"});
    let process = serde_json::from_value(process).unwrap();
    let plan = build_exec(&process, &Facts { keep_keyring: true, ..Facts::default() }, None).unwrap();
    insta::assert_snapshot!(plan.to_string());
}

fn push(list: &mut Value, entry: Value) {
    list.as_array_mut().unwrap().push(entry);
}

/// The refusal of the standard spec after one change.
fn refusal(change: impl FnOnce(&mut Value)) -> Refusal {
    let mut value = standard();
    change(&mut value);
    match build(&spec(value), &facts()) {
        Err(refusal) => {
            // One line, bounded, whatever the bundle holds.
            let text = refusal.to_string();
            assert!(!text.contains('\n') && !text.contains('\0'), "{text}");
            refusal
        }
        Ok(plan) => panic!("it became a plan:\n{plan}"),
    }
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

fn refusal_of_mount(entry: Value) -> Refusal {
    refusal(|value| push(&mut value["mounts"], entry))
}

#[test]
fn versions() {
    for version in
        ["", "0.2.0", "1", "1.0", "2.0.0", "1.x.0", "-1.0.0", "1.0.0\n", "v1.0.0", "99999999999.0.0"]
    {
        let found = refusal(|value| value["ociVersion"] = version.into());
        assert!(matches!(found, Refusal::Version(_)), "{version:?}: {found:?}");
    }
    for version in ["1.0.0", "1.0.2-dev", "1.2.1", "1.3.0"] {
        let mut value = standard();
        value["ociVersion"] = version.into();
        assert!(build(&spec(value), &facts()).is_ok(), "{version}");
    }
}

#[test]
fn what_must_be_there() {
    for (field, missing) in [("root", "root"), ("process", "process")] {
        let found = refusal(|value| drop(value.as_object_mut().unwrap().remove(field)));
        assert_eq!(found, Refusal::Missing(missing));
    }
    assert_eq!(refusal(|value| value["process"]["args"] = json!([])), Refusal::Missing("process.args"));
}

#[test]
fn what_is_not_supported_is_said() {
    let found = refusal(|value| value["vm"] = json!({"kernel": {"path": "/k"}}));
    assert_eq!(found, Refusal::Unsupported("vm"));
    let found = refusal(|value| value["linux"]["intelRdt"] = json!({"closID": "a"}));
    assert_eq!(found, Refusal::Unsupported("linux.intelRdt"));
    let found = refusal(|value| value["linux"]["netDevices"] = json!({"eth0": {}}));
    assert_eq!(found, Refusal::Unsupported("linux.netDevices"));
}

#[test]
fn lists_have_an_end() {
    let many = |count: usize, entry: Value| Value::Array(vec![entry; count]);
    let limit = |found: Refusal| match found {
        Refusal::TooMany { count, limit, .. } => assert!(count > limit),
        other => panic!("{other:?}"),
    };
    limit(refusal(|value| value["mounts"] = many(100_000, mount("/a", "tmpfs", "t", &[]))));
    limit(refusal(|value| value["linux"]["maskedPaths"] = many(5000, "/a".into())));
    limit(refusal(|value| value["linux"]["readonlyPaths"] = many(5000, "/a".into())));
    limit(refusal(|value| {
        value["linux"]["devices"] = many(5000, json!({"path": "/a", "type": "c", "major": 1, "minor": 3}));
    }));
    limit(refusal(|value| {
        let entries = (0..5000).map(|number| (format!("net.ipv4.a{number}"), "1".into()));
        value["linux"]["sysctl"] = Value::Object(entries.collect());
    }));
    limit(refusal(|value| value["process"]["args"] = many(70_000, "a".into())));
    limit(refusal(|value| value["process"]["env"] = many(70_000, "A=b".into())));
    limit(refusal(|value| value["process"]["user"]["additionalGids"] = many(70_000, 1.into())));
    limit(refusal(|value| value["hooks"] = json!({"poststop": many(5000, json!({"path": "/a"}))})));
    // Found by the fuzz target `spec`.
    limit(refusal(|value| value["hostname"] = "a".repeat(65).into()));
    limit(refusal(|value| value["domainname"] = "a".repeat(65).into()));
    let options = vec!["ro"; 300];
    let found = refusal_of_mount(mount("/a", "tmpfs", "t", &options));
    assert_eq!(found, Refusal::MountOption { destination: "/a".to_owned(), error: OptionError::TooMany });
}

#[test]
fn long_strings_and_nul_bytes() {
    let long = "a/".repeat(32 * 1024);
    for (what, change) in [
        (
            "mount destination",
            (|value, text| push(&mut value["mounts"], mount(text, "tmpfs", "t", &[])))
                as fn(&mut Value, &str),
        ),
        ("masked", |value, text| push(&mut value["linux"]["maskedPaths"], text.into())),
        ("read-only", |value, text| push(&mut value["linux"]["readonlyPaths"], text.into())),
        ("process.cwd", |value, text| value["process"]["cwd"] = format!("/{text}").into()),
        ("device", |value, text| {
            value["linux"]["devices"] =
                json!([{"path": format!("/{text}"), "type": "c", "major": 1, "minor": 3}]);
        }),
    ] {
        for (text, wanted) in [(long.as_str(), PathError::TooLong), ("a\0b", PathError::Nul)] {
            match refusal(|value| change(value, text)) {
                Refusal::Path { what: found, error, .. } => assert_eq!((found, error), (what, wanted)),
                other => panic!("{what}: {other:?}"),
            }
        }
    }
    assert_eq!(refusal(|value| value["hostname"] = "a\0b".into()), Refusal::Nul("hostname"));
    assert_eq!(refusal(|value| value["domainname"] = "a\0b".into()), Refusal::Nul("domainname"));
    assert_eq!(refusal_of_mount(mount("/a", "bind", "/a\0b", &[])), Refusal::Nul("mount source"));
    assert_eq!(refusal_of_mount(mount("/a", "tmp\0fs", "t", &[])), Refusal::Nul("mount"));
    let found = refusal_of_mount(mount("/a", "tmpfs", "t", &["size=1\0"]));
    assert!(matches!(found, Refusal::MountOption { error: OptionError::Nul(_), .. }), "{found:?}");
}

#[test]
fn namespaces() {
    let found = refusal(|value| push(&mut value["linux"]["namespaces"], json!({"type": "pid"})));
    assert_eq!(found, Refusal::DuplicateNamespace(NamespaceKind::Pid));
    let found =
        refusal(|value| push(&mut value["linux"]["namespaces"], json!({"type": "time", "path": "ns"})));
    assert_eq!(found, Refusal::RelativePath { what: "namespace", path: "ns".to_owned() });
    let share = |value: &mut Value, kind: &str| {
        value["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != kind);
    };
    let found = refusal(|value| share(value, "mount"));
    assert_eq!(found, Refusal::NeedsNamespace { field: "root", kind: NamespaceKind::Mount });
    let found = refusal(|value| share(value, "uts"));
    assert_eq!(found, Refusal::NeedsNamespace { field: "hostname", kind: NamespaceKind::Uts });
    let found = refusal(|value| {
        share(value, "uts");
        value["hostname"] = "".into();
        value["domainname"] = "a".into();
    });
    assert_eq!(found, Refusal::NeedsNamespace { field: "domainname", kind: NamespaceKind::Uts });
    let found = refusal(|value| value["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1}}));
    assert_eq!(found, Refusal::NeedsNamespace { field: "linux.timeOffsets", kind: NamespaceKind::Time });
    let found = refusal(|value| {
        push(&mut value["linux"]["namespaces"], json!({"type": "time"}));
        value["linux"]["timeOffsets"] = json!({"realtime\n": {"secs": 1}});
    });
    assert!(matches!(found, Refusal::Clock(_)), "{found:?}");
}

#[test]
fn id_maps() {
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let with_user = |value: &mut Value| push(&mut value["linux"]["namespaces"], json!({"type": "user"}));
    assert_eq!(refusal(with_user), Refusal::IdMaps);
    assert_eq!(refusal(|value| value["linux"]["uidMappings"] = map.clone()), Refusal::IdMaps);
    let half = |value: &mut Value| {
        with_user(value);
        value["linux"]["uidMappings"] = map.clone();
    };
    assert_eq!(refusal(half), Refusal::IdMaps);
    for (user, refused) in [
        (json!({"uid": 10, "gid": 0}), ("user id", 10)),
        (json!({"uid": 0, "gid": 11}), ("group id", 11)),
        (json!({"uid": 0, "gid": 0, "additionalGids": [1, 4_294_967_295u32]}), ("group id", u32::MAX)),
    ] {
        let found = refusal(|value| {
            half(value);
            value["linux"]["gidMappings"] = map.clone();
            value["process"]["user"] = user;
        });
        assert_eq!(found, Refusal::UnmappedId { what: refused.0, id: refused.1 });
    }
}

#[test]
fn mounts() {
    for place in ["/", "", "//", "/.", "/..", "/a/..", "../.."] {
        assert_eq!(refusal_of_mount(mount(place, "tmpfs", "t", &[])), Refusal::MountOnRoot, "{place:?}");
    }
    for (place, kind) in [
        ("/proc", "tmpfs"),
        ("/proc/self", "bind"),
        ("/proc/sys/kernel", "proc"),
        ("proc/1", "bind"),
        ("/a/../proc/self/attr", "bind"),
        ("/proc/./cpuinfo/..//self", "tmpfs"),
    ] {
        let found = refusal_of_mount(mount(place, kind, "/source", &[]));
        assert!(matches!(found, Refusal::MountInProc(_)), "{place}: {found:?}");
    }
    let at = || "/a".to_owned();
    assert_eq!(refusal_of_mount(mount("/a", "bind", "", &[])), Refusal::NoSource(at()));
    assert_eq!(refusal_of_mount(mount("/a", "bind", "/b", &["tmpcopyup"])), Refusal::CopyUp(at()));
    assert_eq!(refusal_of_mount(mount("/a", "bind", "/b", &["idmap"])), Refusal::IdMapWithoutUser(at()));
    assert_eq!(refusal_of_mount(mount("/a", "tmpfs", "t", &["idmap"])), Refusal::IdMapNeedsBind(at()));
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let mut half = mount("/a", "bind", "/b", &[]);
    half["uidMappings"] = map;
    assert_eq!(refusal_of_mount(half), Refusal::HalfIdMap(at()));
    let found = refusal(|value| value["linux"]["rootfsPropagation"] = "sideways".into());
    assert_eq!(found, Refusal::Propagation("sideways".to_owned()));
}

#[test]
fn devices() {
    let device = |device: Value| refusal(|value| value["linux"]["devices"] = json!([device]));
    let path = || "/dev/x".to_owned();
    let found = device(json!({"path": "/dev/x", "type": "z"}));
    assert_eq!(found, Refusal::DeviceKind { path: path(), kind: "z".to_owned() });
    for number in [-1, i64::MAX, i64::from(u32::MAX) + 1] {
        let found = device(json!({"path": "/dev/x", "type": "c", "major": number, "minor": 1}));
        assert_eq!(found, Refusal::DeviceNumber { path: path() });
    }
    let found = device(json!({"path": "dev/x", "type": "c"}));
    assert_eq!(found, Refusal::RelativePath { what: "device", path: "dev/x".to_owned() });
}

#[test]
fn hooks() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        let found = refusal(|value| value["hooks"] = json!({kind: [{"path": "bin/hook"}]}));
        assert_eq!(found, Refusal::RelativePath { what: "hook", path: "bin/hook".to_owned() });
        for timeout in [0, -5] {
            let found = refusal(|value| value["hooks"] = json!({kind: [{"path": "/h", "timeout": timeout}]}));
            assert_eq!(found, Refusal::HookTimeout { path: "/h".to_owned(), timeout });
        }
    }
}

#[test]
fn attributes_of_the_process() {
    for (field, entry) in [
        ("scheduler", json!({"policy": "SCHED_MAGIC"})),
        ("scheduler", json!({"policy": "SCHED_OTHER", "flags": ["MAGIC"]})),
        ("scheduler", json!({"policy": "SCHED_OTHER", "nice": -21})),
        ("scheduler", json!({"policy": "SCHED_RR", "priority": 100})),
        ("ioPriority", json!({"class": "MAGIC", "priority": 0})),
        ("ioPriority", json!({"class": "IOPRIO_CLASS_RT", "priority": -1})),
        ("rlimits", json!([{"type": "RLIMIT_MAGIC", "soft": 0, "hard": 0}])),
        ("rlimits", json!([{"type": "RLIMIT_CORE", "soft": 1, "hard": 0}])),
        (
            "rlimits",
            json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]),
        ),
    ] {
        let found = refusal(|value| value["process"][field] = entry.clone());
        assert!(matches!(found, Refusal::Attribute(_)), "{entry}: {found:?}");
    }
    for (field, entry) in [
        ("personality", json!({"domain": "MAGIC"})),
        ("personality", json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]})),
        ("memoryPolicy", json!({"mode": "MAGIC", "nodes": "0"})),
        ("memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "5000"})),
        ("memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MAGIC"]})),
    ] {
        let found = refusal(|value| value["linux"][field] = entry.clone());
        assert!(matches!(found, Refusal::Attribute(AttributeError::Unknown { .. })), "{entry}: {found:?}");
    }
    let found = refusal(|value| value["process"]["apparmorProfile"] = "p".into());
    assert!(matches!(found, Refusal::NoSecurityModule(_)));
    let found = refusal(|value| value["process"]["selinuxLabel"] = "l".into());
    assert!(matches!(found, Refusal::NoSecurityModule(_)));
    let found = refusal(|value| value["process"]["cwd"] = "relative".into());
    assert_eq!(found, Refusal::RelativePath { what: "process.cwd", path: "relative".to_owned() });
}

#[test]
fn sysctls() {
    for (name, value) in [
        ("kernel.core_pattern", "|/x"),
        ("net.ipv4.a/../../kernel", "1"),
        ("net.ipv4.a", "1\n2"),
        ("kernel.hostname", "a"),
    ] {
        let found = refusal(|spec| spec["linux"]["sysctl"] = json!({name: value}));
        assert!(matches!(found, Refusal::Sysctl(_)), "{name}: {found:?}");
    }
    let found = refusal(|spec| {
        spec["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "uts"}]);
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    });
    assert!(matches!(found, Refusal::Sysctl(SysctlError::Shared(_, NamespaceKind::Network))), "{found:?}");
}

/// A label is written after everything that takes a right of ours, and before no_new_privs and the filter; keys and
/// file systems get theirs when they are made. Only what the kernel labels also for a user namespace is labelled.
#[test]
fn labels_have_their_places() {
    let mut spec = standard();
    spec["process"]["apparmorProfile"] = "profile".into();
    spec["process"]["selinuxLabel"] = "u:r:t:s0:c1,c2".into();
    spec["linux"]["mountLabel"] = "u:object_r:f:s0:c1,c2".into();
    spec["mounts"].as_array_mut().unwrap().push(json!(
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["context=x:y:z"]}
    ));
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let steps =
        |plan: runtime::plan::Plan| -> Vec<String> { plan.steps.iter().map(ToString::to_string).collect() };
    let facts = Facts { apparmor: true, selinux: true, ..facts() };
    let new = steps(build(&spec, &facts).unwrap());
    let at = |steps: &[String], start: &str| {
        steps.iter().position(|step| step.starts_with(start)).unwrap_or_else(|| panic!("{start}: {steps:#?}"))
    };
    let joined = steps(build_exec(spec.process.as_ref().unwrap(), &facts, None).unwrap());
    for steps in [&new, &joined] {
        let [keys, keyring, profile, label, privileges, execute] = [
            "write the label `u:r:t:s0:c1,c2` to attr/keycreate",
            "join a new session keyring",
            "write the label `exec profile` to attr/apparmor/exec",
            "write the label `u:r:t:s0:c1,c2` to attr/exec",
            "set no_new_privs",
            "execute",
        ]
        .map(|start| at(steps, start));
        assert!(keys < keyring && keyring < profile && profile < label, "{steps:#?}");
        assert!(label < privileges && privileges < execute, "{steps:#?}");
    }
    let context = "context=u:object_r:f:s0:c1,c2";
    let labelled = |place: &str| new[at(&new, place)].contains(context);
    assert!(labelled("mount tmpfs at /dev") && labelled("mount devpts at /dev/pts"), "{new:#?}");
    assert!(!labelled("mount sysfs at /sys") && !labelled("mount tmpfs at /tmp"), "{new:#?}");
    // Where SELinux is off nothing of it is left.
    let mut spec = standard();
    spec["linux"]["mountLabel"] = "u:object_r:f:s0".into();
    let off = build(&serde_json::from_value(spec).unwrap(), &self::facts()).unwrap();
    assert!(steps(off).iter().all(|step| !step.contains("label") && !step.contains("context=")));
}

/// Whatever tree of the host is mounted, its propagation is chosen: on a host whose mounts are shared, as systemd's are,
/// it would else be a peer of the host's.
#[test]
fn no_tree_of_the_host_stays_its_peer() {
    let mut spec = standard();
    spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
    let mounts = spec["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/a", "type": "bind", "source": "/srv", "options": ["rbind"]}));
    mounts
        .push(json!({"destination": "/b", "type": "bind", "source": "/srv", "options": ["bind", "rslave"]}));
    let v1 =
        |name: &str| CgroupView { name: name.to_owned(), kind: "cgroup".to_owned(), ..CgroupView::default() };
    for cgroups in [facts().cgroups, vec![v1("cpu"), v1("pids")]] {
        let views = cgroups.len();
        let facts = Facts { cgroups, ..facts() };
        let plan = build(&serde_json::from_value(spec.clone()).unwrap(), &facts).unwrap();
        let trees = plan.steps.iter().filter_map(|step| match step {
            Step::Mount(mount) if matches!(mount.source, MountSource::Tree { .. }) => Some(mount),
            _ => None,
        });
        assert_eq!(trees.clone().count(), 2 + views, "{plan}");
        assert!(trees.clone().all(|mount| !mount.propagation.is_empty()), "{plan}");
    }
}
