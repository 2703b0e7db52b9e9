//! A bundle's `config.json` becomes one and the same plan each time, or a refusal of one line; a plan's paths climb nowhere, its descriptors exist, and what confines comes before what executes.

use oci::runtime::Spec;
use runtime::plan::step::MountSource;
use runtime::plan::{CgroupView, Facts, InnerPath, Plan, RootKind, RootSource, Slot, Source, Step, build, build_exec};

use crate::input::check_message;

/// Most bytes of an input.
pub const MAX_LEN: usize = 8192;

/// Most bytes of a refusal: a path of `PATH_MAX` bytes, each written as an escape.
const MESSAGE: usize = 48 << 10;

fn facts() -> [Facts; 3] {
    let bundle = || Facts { bundle: "/bundle".to_owned(), ..Facts::default() };
    let view = |name: &str, kind: &str| CgroupView {
        name: name.to_owned(),
        kind: kind.to_owned(),
        options: Vec::new(),
        host_path: "/sys/fs/cgroup/brig".to_owned(),
    };
    [
        Facts { can_make_nodes: true, cgroups: vec![view("", "cgroup2")], ..bundle() },
        Facts {
            root: RootKind::Overlay { lower: 3, writable: true, late: false },
            cgroups: vec![view("memory", "cgroup"), view("unified", "cgroup2")],
            apparmor: true,
            init: true,
            ..bundle()
        },
        Facts {
            root: RootKind::Overlay { lower: 1, writable: false, late: true },
            selinux: true,
            no_pivot: true,
            keep_keyring: true,
            no_input: true,
            ..bundle()
        },
    ]
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(bytes) else { return };
    let again = serde_json::to_vec(&spec).expect("a spec is made of strings and numbers");
    assert_eq!(serde_json::from_slice::<Spec>(&again).ok().as_ref(), Some(&spec));
    for facts in facts() {
        match build(&spec, &facts) {
            Ok(plan) => {
                assert_eq!(build(&spec, &facts).ok().as_ref(), Some(&plan));
                check_plan(&plan);
                check_order(&plan);
                let shown = plan.to_string();
                assert!(shown.lines().count() >= plan.steps.len());
            }
            Err(refusal) => {
                assert_eq!(build(&spec, &facts), Err(refusal.clone()));
                check_message(&refusal.to_string(), MESSAGE);
            }
        }
        let Some(process) = &spec.process else { continue };
        match build_exec(process, &facts, spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref())) {
            Ok(plan) => check_plan(&plan),
            Err(refusal) => check_message(&refusal.to_string(), MESSAGE),
        }
    }
}

fn check_path(path: &InnerPath) {
    for name in path.names() {
        let name = name.to_bytes();
        assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/'), "{path:?}");
    }
}

fn check_plan(plan: &Plan) {
    assert!(plan.steps.len() <= 64 + 6 * 4096 && plan.sources.len() <= 3 * 4096);
    let exists = |slot: &Slot| assert!(slot.0 < plan.sources.len(), "{slot:?}");
    plan.null.iter().for_each(exists);
    for source in &plan.sources {
        match source {
            Source::Root(path) | Source::Bind { path, .. } | Source::Device { path, .. } => {
                assert!(path.starts_with('/'), "{path:?}");
            }
            Source::Directory(path) => assert!(path.starts_with('/'), "{path:?}"),
            Source::Layers { lower, writable, .. } => {
                let mut paths = lower.iter().chain(writable);
                assert!(!lower.is_empty() && paths.all(|path| path.starts_with('/')), "{lower:?} {writable:?}");
            }
            Source::Given(_) => {}
        }
    }
    for step in &plan.steps {
        match step {
            Step::AttachRoot(RootSource::Tree(slot), _) => exists(slot),
            Step::AttachRoot(RootSource::Overlay { lower, upper }, _) => {
                lower.iter().for_each(exists);
                upper.iter().for_each(|(upper, work)| [upper, work].into_iter().for_each(exists));
            }
            Step::Mount(mount) => {
                check_path(&mount.destination);
                if let MountSource::Overlay { lower, upper } = &mount.source {
                    lower.iter().for_each(exists);
                    upper.iter().for_each(|(upper, work)| [upper, work].into_iter().for_each(exists));
                }
                if let MountSource::Tree { slot, .. } = &mount.source {
                    exists(slot);
                }
            }
            Step::Device(device) => {
                check_path(&device.path);
                device.bind.iter().for_each(exists);
                assert!(device.path.relative().is_some() && device.mode <= 0o7777);
            }
            Step::Link { path, .. } | Step::Directory(path) | Step::Mask(path) | Step::Readonly(path) => {
                check_path(path);
            }
            Step::Sysctl { path, value } => {
                let path = path.to_bytes();
                assert!(path.starts_with(b"sys/") || !path.starts_with(b"/"), "{step}");
                assert!(!path.split(|byte| *byte == b'/').any(|part| part == b".." || part.is_empty()), "{step}");
                assert!(!value.to_bytes().contains(&b'\n'), "{step}");
            }
            Step::Hostname(name) | Step::Domainname(name) => assert!(name.to_bytes().len() <= 64, "{step}"),
            Step::Identity(identity) => {
                assert!(identity.uid != u32::MAX && identity.gid != u32::MAX && !identity.groups.contains(&u32::MAX));
            }
            _ => {}
        }
    }
}

/// The host's mounts go away once, and nothing is mounted after that; confinement is complete before the payload.
fn check_order(plan: &Plan) {
    let place = |wanted: fn(&Step) -> bool| plan.steps.iter().position(wanted);
    let last = plan.steps.len() - 1;
    assert_eq!(place(|step| matches!(step, Step::Execute)), Some(last));
    let pivot = place(|step| matches!(step, Step::Pivot | Step::MoveRoot)).expect("the root is entered");
    let attach = place(|step| matches!(step, Step::AttachRoot(..))).expect("the root is attached");
    let identity = place(|step| matches!(step, Step::Identity(_))).expect("the ids are taken");
    assert!(attach < pivot && pivot < identity);
    for (at, step) in plan.steps.iter().enumerate() {
        match step {
            Step::Mount(_) | Step::Device(_) => assert!(attach < at && at < pivot, "{plan}"),
            Step::Mask(_) | Step::Readonly(_) | Step::Sysctl { .. } => assert!(attach < at && at < identity, "{plan}"),
            Step::Filter | Step::NoNewPrivileges => assert!(pivot < at && at < last, "{plan}"),
            _ => {}
        }
    }
}
