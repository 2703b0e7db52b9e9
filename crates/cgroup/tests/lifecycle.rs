//! Making, joining, freezing, killing and removing.
#![allow(clippy::disallowed_methods, reason = "tests run programs")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod scratch;

use std::fs;

use cgroup::{
    Cgroup, Controller, Controllers, Driver, Error, Hierarchies, Kind, Layout, Prepared, Request, Saved,
    Strictness, Warning,
};
use oci::runtime::Resources;
use rustix::process::Signal;
use scratch::{Scratch, Waiting, resources, until};
use testkit::{User, needs};

/// This machine's v1 hierarchies as if there were no v2.
fn v1_only() -> Layout {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines: Vec<&str> = table.lines().filter(|line| !line.contains(" - cgroup2 ")).collect();
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap();
    Layout::parse(lines.join("\n").as_bytes(), &cgroup)
}

fn check_freeze_and_kill(scratch: &Scratch) {
    let cgroup = scratch.create(r#"{"pids":{"limit":50}}"#);
    let child = Waiting::new(
        "trap '' TERM INT HUP; for i in 1 2 3; do (trap '' TERM; sleep 100; sleep 100) & done; wait",
    );
    cgroup.add(child.pid()).unwrap();
    let mut child = child.go();
    until("the children", || cgroup.pids().unwrap().len() >= 7);
    assert!(cgroup.pids().unwrap().contains(&i32::try_from(child.id()).unwrap()));

    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());

    cgroup.kill(Signal::HUP).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "the trap holds");
    assert!(matches!(cgroup.remove(), Err(Error::Remains { left }) if !left.is_empty()));

    // Also a frozen one dies.
    cgroup.freeze().unwrap();
    cgroup.kill(Signal::KILL).unwrap();
    child.wait().unwrap();
    until("the end of all", || cgroup.is_empty().unwrap());
    cgroup.remove().unwrap();
    cgroup.remove().unwrap();
    for (_, path) in cgroup.paths() {
        assert!(!fs::exists(&path).unwrap(), "{path}");
    }
}

/// The creator is killed before, between and after the directories. Without the plan in `Saved` the first assertion fails.
#[test]
fn privileged_what_a_killed_creator_made_goes() {
    needs!(root, cgroup_v2(), cgroup_v1("pids"));
    let scratch = Scratch::new("planned");
    let (path, limits) = (format!("{}/deep/er", scratch.path()), resources(r#"{"pids":{"limit":50}}"#));
    let prepare = || Prepared::new(scratch.layout(), scratch.request(&path), &limits).unwrap();
    let stored = |prepared: &Prepared<'_>| -> Saved {
        serde_json::from_str(&serde_json::to_string(&prepared.to_saved()).unwrap()).unwrap()
    };
    let prepared = prepare();
    let saved = stored(&prepared);
    // Nothing was made yet.
    Cgroup::from_saved(&saved).unwrap().remove().unwrap();
    let (made, _) = prepared.make(&limits).unwrap();
    let paths: Vec<String> = made.paths().map(|(_, path)| path).collect();
    assert!(paths.len() > 1 && paths.iter().all(|path| fs::exists(path).unwrap()), "{paths:?}");
    fs::remove_dir(&paths[0]).unwrap();
    Cgroup::from_saved(&saved).unwrap().remove().unwrap();
    for path in &paths {
        assert!(!fs::exists(path).unwrap(), "{path}");
        // Of those above only what the creation made.
        assert!(!fs::exists(path.trim_end_matches("/deep/er")).unwrap(), "{path}");
    }
    // Another one's by that name is neither removed nor killed.
    let saved = stored(&prepare());
    let (other, _) = prepare().make(&limits).unwrap();
    let child = Waiting::new("sleep 100");
    other.add(child.pid()).unwrap();
    let mut child = child.go();
    let left = Cgroup::from_saved(&saved).unwrap();
    assert!(left.kill(Signal::KILL).is_err());
    left.remove().unwrap();
    assert!(child.try_wait().unwrap().is_none());
    assert!(paths.iter().all(|path| fs::exists(path).unwrap()), "{paths:?}");
    other.kill(Signal::KILL).unwrap();
    child.wait().unwrap();
    other.remove().unwrap();
}

#[test]
fn privileged_freeze_and_kill_with_both_versions() {
    needs!(root, cgroup_v2(), cgroup_v1("pids"));
    check_freeze_and_kill(&Scratch::new("kill"));
}

#[test]
fn privileged_freeze_and_kill_with_v1_alone() {
    needs!(root, cgroup_v1("freezer"), cgroup_v1("pids"));
    let layout = v1_only();
    assert_eq!(layout.kind(), Kind::V1);
    check_freeze_and_kill(&Scratch::with_layout("kill-v1", layout));
}

#[test]
fn privileged_a_fork_bomb_is_killed() {
    needs!(root, cgroup_v1("freezer"), cgroup_v1("pids"));
    let scratch = Scratch::with_layout("bomb", v1_only());
    let cgroup = scratch.create(r#"{"pids":{"limit":60}}"#);
    let child = Waiting::new("while :; do (sleep 0.01 & sleep 0.01) & done 2>/dev/null");
    cgroup.add(child.pid()).unwrap();
    let mut child = child.go();
    until("the bomb", || cgroup.pids().unwrap().len() > 20);
    cgroup.kill(Signal::KILL).unwrap();
    child.wait().unwrap();
    until("the end of all", || cgroup.is_empty().unwrap());
    cgroup.remove().unwrap();
}

#[test]
fn privileged_nested_cgroups_are_listed_killed_and_removed() {
    needs!(root, cgroup_v1("freezer"));
    for (name, layout) in [("nested", Layout::detect().unwrap()), ("nested-v1", v1_only())] {
        let scratch = Scratch::with_layout(name, layout);
        let cgroup = scratch.create("{}");
        let (_, path) = cgroup.paths().next().unwrap();
        let deep = format!("{path}/{}", ["a"; 40].join("/"));
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(format!("{path}/b/c")).unwrap();
        let child = Waiting::new("sleep 100");
        fs::write(format!("{deep}/cgroup.procs"), child.pid().to_string()).unwrap();
        assert_eq!(cgroup.pids().unwrap(), [child.pid()]);
        assert!(matches!(scratch.try_create("{}"), Err(Error::Occupied { .. })));
        cgroup.kill(Signal::KILL).unwrap();
        let mut child = child.go_quietly();
        child.wait().unwrap();
        cgroup.remove().unwrap();
        assert!(!fs::exists(&path).unwrap());
    }
}

#[test]
fn privileged_an_occupied_cgroup_is_refused_unless_shared() {
    needs!(root);
    let scratch = Scratch::new("occupied");
    let cgroup = scratch.create("{}");
    // Empty: it may be taken.
    scratch.try_create("{}").unwrap();
    let child = Waiting::new("true");
    cgroup.add(child.pid()).unwrap();
    let error = scratch.try_create("{}").unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(cgroup.pids().unwrap(), [child.pid()], "the refusal touched nothing");
    let path = scratch.path();
    let request = Request { shared: true, ..scratch.request(&path) };
    let (shared, _) = Cgroup::create(scratch.layout(), &request, &Resources::default()).unwrap();
    // In use: it stays, and that is no error.
    shared.remove().unwrap();
    assert_eq!(cgroup.pids().unwrap(), [child.pid()]);
    child.finish();
    cgroup.remove().unwrap();
}

#[test]
fn privileged_saved_cgroups_are_found_again() {
    needs!(root);
    let scratch = Scratch::new("saved");
    let cgroup = scratch.create(r#"{"pids":{"limit":9}}"#);
    let json = serde_json::to_string(&cgroup.to_saved()).unwrap();
    let saved: Saved = serde_json::from_str(&json).unwrap();
    let again = Cgroup::from_saved(&saved).unwrap();
    assert!(again.paths().eq(cgroup.paths()));
    again.remove().unwrap();
    assert_eq!(Cgroup::from_saved(&saved).unwrap().paths().count(), 0);
    // By the same path, but another one: not ours.
    let other = scratch.create(r#"{"pids":{"limit":9}}"#);
    if scratch.layout().kind() != Kind::V1 {
        assert_eq!(Cgroup::from_saved(&saved).unwrap().paths().count(), 0);
    }
    other.remove().unwrap();
}

#[test]
fn privileged_all_hierarchies_are_joined_on_demand() {
    needs!(root, cgroup_v1("memory"));
    let scratch = Scratch::new("all");
    let path = scratch.path();
    let request = Request { hierarchies: Hierarchies::All, ..scratch.request(&path) };
    let (cgroup, warnings) = Cgroup::create(scratch.layout(), &request, &Resources::default()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(cgroup.paths().count(), scratch.layout().hierarchies().len());
    let child = Waiting::new("cat /proc/self/cgroup");
    cgroup.add(child.pid()).unwrap();
    let shown = String::from_utf8(child.finish().stdout).unwrap();
    assert!(shown.lines().all(|line| line.ends_with(&path)), "{shown}");
    cgroup.remove().unwrap();
}

#[test]
fn privileged_needed_hierarchies_are_few() {
    needs!(root, cgroup_v2(), cgroup_v1("pids"));
    let scratch = Scratch::new("few");
    let cgroup = scratch.create(r#"{"pids":{"limit":9},"devices":[{"allow":false}]}"#);
    assert_eq!(cgroup.paths().count(), 3);
    assert!(cgroup.v2_dir().is_some());
    assert_eq!(cgroup.join_files().unwrap().len(), 2);
    cgroup.remove().unwrap();
}

/// A JVM that does not find all four believes that it is in no container, and takes a quarter of the machine's memory.
#[test]
fn privileged_who_has_a_limit_sees_all_that_java_looks_for() {
    needs!(root, cgroup_v1("memory"), cgroup_v1("cpu"), cgroup_v1("cpuacct"), cgroup_v1("cpuset"));
    let scratch = Scratch::new("java");
    for json in [r#"{"memory":{"limit":67108864}}"#, r#"{"cpu":{"shares":512}}"#] {
        let cgroup = scratch.create(json);
        for controller in [Controller::Memory, Controller::Cpu, Controller::Cpuacct, Controller::Cpuset] {
            assert!(cgroup.paths().any(|(joined, _)| joined.contains(controller)), "{json}: {controller:?}");
        }
        let child = Waiting::new("true");
        cgroup.add(child.pid()).unwrap();
        assert!(child.finish().status.success());
        cgroup.remove().unwrap();
    }
}

#[test]
fn privileged_a_child_joins_v1_by_itself() {
    use std::os::fd::AsRawFd;
    needs!(root, cgroup_v1("pids"));
    let scratch = Scratch::with_layout("join", v1_only());
    let cgroup = scratch.create(r#"{"pids":{"limit":9}}"#);
    let files = cgroup.join_files().unwrap();
    assert_eq!(files.len(), 2);
    let writes = files.iter().map(|file| format!("echo 0 > /proc/$PPID/fd/{}; ", file.as_raw_fd()));
    let child = Waiting::new(&format!("{}cat /proc/self/cgroup", writes.collect::<String>()));
    let shown = String::from_utf8(child.finish().stdout).unwrap();
    let joined = shown.lines().filter(|line| line.ends_with(&scratch.path())).count();
    assert_eq!(joined, 2, "{shown}");
    cgroup.remove().unwrap();
}

#[test]
fn privileged_a_pressure_trigger_is_armed() {
    needs!(root, cgroup_v2(), path("/proc/pressure/cpu"));
    let scratch = Scratch::new("pressure");
    let cgroup = scratch.create("{}");
    cgroup.pressure_trigger(cgroup::Resource::Memory, 150_000, 2_000_000).unwrap();
    let stats = cgroup.stats().unwrap();
    assert!(stats.pressure.memory.is_some(), "{stats:?}");
    assert!(matches!(cgroup.pressure_trigger(cgroup::Resource::Cpu, 5, 1), Err(Error::Operation { .. })));
    let mut events = cgroup.events().unwrap();
    let child = Waiting::new("true");
    cgroup.add(child.pid()).unwrap();
    let mut seen = Vec::new();
    until("its first process", || {
        seen.extend(events.read().unwrap());
        seen.contains(&cgroup::Event::Populated(true))
    });
    child.finish();
    until("its last one's end", || {
        seen.extend(events.read().unwrap());
        seen.contains(&cgroup::Event::Populated(false))
    });
    cgroup.remove().unwrap();
}

#[test]
fn privileged_many_at_once_make_and_remove_the_same_parent() {
    needs!(root);
    let scratch = Scratch::new("race");
    let layout = scratch.layout();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let parent = scratch.path();
            scope.spawn(move || {
                for round in 0..25 {
                    let path = format!("{parent}/p/{worker}-{round}");
                    let request = Request {
                        id: "x",
                        path: Some(&path),
                        driver: Driver::Filesystem,
                        rootless: false,
                        shared: false,
                        systemd: None,
                        hierarchies: Hierarchies::Needed,
                        controllers: Controllers::NONE,
                    };
                    let limits = resources(r#"{"pids":{"limit":9}}"#);
                    let (cgroup, warnings) = Cgroup::create(layout, &request, &limits).unwrap();
                    assert_eq!(warnings, []);
                    cgroup.apply(&limits, Strictness::Requested).unwrap();
                    cgroup.remove().unwrap();
                }
            });
        }
    });
}

#[test]
fn privileged_the_default_path_leaves_nothing() {
    needs!(root);
    let _scratch = Scratch::new("default");
    let layout = Layout::detect().unwrap();
    let id = format!("brig-test-{}", std::process::id());
    let request = Request {
        id: &id,
        path: None,
        driver: Driver::Filesystem,
        rootless: false,
        shared: false,
        systemd: None,
        hierarchies: Hierarchies::Needed,
        controllers: Controllers::NONE,
    };
    let (cgroup, warnings) = Cgroup::create(&layout, &request, &Resources::default()).unwrap();
    assert_eq!(warnings, []);
    let (_, path) = cgroup.paths().next().unwrap();
    assert!(path.ends_with(&format!("/brig-{id}")), "{path}");
    cgroup.remove().unwrap();
    assert!(!fs::exists(&path).unwrap());
}

#[test]
fn no_driver_makes_requests_errors() {
    let layout = Layout::parse(b"", "");
    let request = Request {
        id: "x",
        path: None,
        driver: Driver::Filesystem,
        rootless: true,
        shared: false,
        systemd: None,
        hierarchies: Hierarchies::Needed,
        controllers: Controllers::NONE,
    };
    let limits = resources(r#"{"pids":{"limit":9},"devices":[{"allow":false}]}"#);
    let (cgroup, warnings) = Cgroup::create(&layout, &request, &limits).unwrap();
    assert_eq!(warnings, [Warning::NoCgroup { reason: None }]);
    assert_eq!(cgroup.driver(), Driver::None);
    assert!(matches!(cgroup.apply(&limits, Strictness::Requested), Err(Error::Limit(_))));
    assert_eq!(cgroup.apply(&limits, Strictness::Default).unwrap().len(), 2);
    assert_eq!(cgroup.apply(&Resources::default(), Strictness::Requested).unwrap(), []);
    cgroup.add(1).unwrap();
    assert!(matches!(cgroup.pids(), Err(Error::NoCgroup { .. })));
    cgroup.remove().unwrap();
}

/// The part of the next test that runs as the user.
#[test]
#[ignore = "run by the test below, as a user"]
fn inner_unprivileged() {
    let delegated = std::env::var("BRIG_TEST_DELEGATED").is_ok();
    let layout = Layout::detect().unwrap();
    let request = Request {
        id: "x",
        path: None,
        driver: Driver::Filesystem,
        rootless: true,
        shared: false,
        systemd: None,
        hierarchies: Hierarchies::Needed,
        controllers: Controllers::NONE,
    };
    let limits = resources(r#"{"pids":{"limit":9}}"#);
    let (cgroup, warnings) = Cgroup::create(&layout, &request, &limits).unwrap();
    if !delegated {
        assert!(matches!(&warnings[..], [Warning::NoCgroup { reason: Some(_) }]), "{warnings:?}");
        let error = cgroup.apply(&limits, Strictness::Requested).unwrap_err();
        assert!(error.to_string().contains("delegated"), "{error}");
        return;
    }
    assert!(
        cgroup.paths().all(|(_, path)| path.contains("/brig-test-")),
        "{:?}",
        cgroup.paths().collect::<Vec<_>>()
    );
    cgroup.apply(&limits, Strictness::Requested).unwrap();
    let child = Waiting::new("sleep 100");
    cgroup.add(child.pid()).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [child.pid()]);
    cgroup.kill(Signal::KILL).unwrap();
    child.go_quietly().wait().unwrap();
    cgroup.remove().unwrap();
}

#[test]
fn privileged_users_need_a_delegated_cgroup() {
    needs!(root, user_without_subids(), cgroup_v1("pids"), cgroup_v2());
    let user = User::without_subids();
    let program = user.install(&std::env::current_exe().unwrap());
    let run = |delegated: Option<&Cgroup>| {
        let mut command = user.command(&program);
        command.args(["--exact", "inner_unprivileged", "--ignored", "--nocapture"]);
        if delegated.is_some() {
            command.env("BRIG_TEST_DELEGATED", "1");
        }
        let child = std::process::Command::new("/bin/sh")
            .args(["-c", "read line; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(cgroup) = delegated {
            cgroup.add(i32::try_from(child.id()).unwrap()).unwrap();
        }
        let mut child = child;
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("1 passed"), "{shown}");
    };
    run(None);
    let scratch = Scratch::new("user");
    // The processes are one floor below what was delegated, as systemd does it.
    let top = scratch.create(r#"{"pids":{"limit":100}}"#);
    let path = format!("{}/session", scratch.path());
    let request = scratch.request(&path);
    let (session, _) =
        Cgroup::create(scratch.layout(), &request, &resources(r#"{"pids":{"limit":100}}"#)).unwrap();
    for (_, path) in top.paths().chain(session.paths()) {
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "tasks"] {
            drop(std::os::unix::fs::chown(format!("{path}/{file}"), Some(user.uid()), Some(user.gid())));
        }
    }
    run(Some(&session));
    session.remove().unwrap();
    top.remove().unwrap();
}
