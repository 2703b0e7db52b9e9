//! Limits that really limit, on whatever hierarchies this machine has.
#![allow(clippy::disallowed_methods, reason = "tests run programs")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod scratch;

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;

use cgroup::{Cgroup, Controller, Error, Event, Layout, Strictness, Version};
use rustix::process::Signal;
use scratch::{Scratch, Waiting, resources, until};
use testkit::needs;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn value(cgroup: &Cgroup, controller: Controller, file: &str) -> String {
    let mut paths = cgroup.paths();
    let (_, path) = paths.find(|(controllers, _)| controllers.contains(controller)).unwrap();
    std::fs::read_to_string(format!("{path}/{file}")).unwrap().trim().to_owned()
}

#[test]
fn privileged_pids_limit_stops_forks() {
    needs!(root, cgroup_v1("pids"));
    let scratch = Scratch::new("pids");
    let cgroup = scratch.create(r#"{"pids":{"limit":3}}"#);
    let child = Waiting::new("sleep 20 & sleep 20 & sleep 20 & sleep 20 & echo no limit; kill $!");
    cgroup.add(child.pid()).unwrap();
    let child = child.go();
    until("the shell's failure", || cgroup.pids().unwrap().len() <= 3 && cgroup.pids().unwrap().len() > 1);
    let stats = cgroup.stats().unwrap();
    assert_eq!(stats.pids.unwrap().limit, Some(3));
    assert!(stats.unavailable.contains(&Controller::Memory), "{:?}", stats.unavailable);
    cgroup.kill(Signal::KILL).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!text(&output.stdout).contains("no limit"), "{output:?}");
    cgroup.remove().unwrap();
}

#[test]
fn privileged_memory_limit_kills_and_tells() {
    needs!(root, cgroup_v1("memory"));
    let scratch = Scratch::new("memory");
    let cgroup = scratch.create(r#"{"memory":{"limit":16777216,"swap":16777216,"swappiness":0}}"#);
    let mut events = cgroup.events().unwrap();
    assert_eq!(events.read().unwrap(), []);
    let child = Waiting::new("exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    cgroup.add(child.pid()).unwrap();
    let output = child.finish();
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    let mut seen = Vec::new();
    until("the OOM event", || {
        let mut waiting =
            [rustix::event::PollFd::from_borrowed_fd(events.as_fd(), rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut waiting, Some(&rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        seen.extend(events.read().unwrap());
        seen.contains(&Event::OomKill(1))
    });
    assert!(seen.contains(&Event::Oom), "{seen:?}");
    let memory = cgroup.stats().unwrap().memory.unwrap();
    assert_eq!((memory.limit, memory.swap_limit, memory.oom_kills), (Some(16 << 20), Some(16 << 20), 1));
    assert!(memory.peak.unwrap() > 0 && !memory.raw.is_empty());
    cgroup.remove().unwrap();
}

#[test]
fn privileged_memory_is_raised_lowered_and_lifted_in_any_order() {
    needs!(root, cgroup_v1("memory"));
    let scratch = Scratch::new("memory-update");
    let cgroup = scratch.create(r#"{"memory":{"limit":20000000,"swap":30000000}}"#);
    for (limit, swap) in
        [(60_000_000_i64, 70_000_000_i64), (10_000_000, 10_000_000), (-1, -1), (8_000_000, 9_000_000)]
    {
        let json = format!(r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#);
        cgroup.apply(&resources(&json), Strictness::Requested).unwrap();
        let found = cgroup.stats().unwrap().memory.unwrap();
        let page = |bytes: i64| u64::try_from(bytes).ok().map(|bytes| bytes / 4096 * 4096);
        assert_eq!((found.limit, found.swap_limit), (page(limit), page(swap)));
    }
    cgroup.apply(&resources(r#"{"memory":{"limit":-1}}"#), Strictness::Requested).unwrap();
    assert_eq!(cgroup.stats().unwrap().memory.unwrap().swap_limit, None);
    cgroup.remove().unwrap();
}

#[test]
fn privileged_cpu_limits_arrive() {
    needs!(root, cgroup_v1("cpu"), cgroup_v1("cpuset"));
    let scratch = Scratch::new("cpu");
    let cgroup = scratch
        .create(r#"{"cpu":{"shares":20,"quota":50000,"period":100000,"burst":10000,"cpus":"0","mems":"0"}}"#);
    for (controller, file, expected) in [
        (Controller::Cpu, "cpu.shares", "20"),
        (Controller::Cpu, "cpu.cfs_quota_us", "50000"),
        (Controller::Cpu, "cpu.cfs_burst_us", "10000"),
        (Controller::Cpuset, "cpuset.cpus", "0"),
    ] {
        assert_eq!(value(&cgroup, controller, file), expected, "{file}");
    }
    // Below the old burst: only the other order works.
    cgroup
        .apply(&resources(r#"{"cpu":{"quota":5000,"period":20000,"burst":4000}}"#), Strictness::Requested)
        .unwrap();
    assert_eq!(value(&cgroup, Controller::Cpu, "cpu.cfs_quota_us"), "5000");
    let child = Waiting::new("grep Cpus_allowed_list /proc/self/status");
    cgroup.add(child.pid()).unwrap();
    let output = child.finish();
    assert!(text(&output.stdout).trim().ends_with("\t0"), "{output:?}");
    assert!(cgroup.stats().unwrap().cpu.is_some());
    let error = cgroup.apply(&resources(r#"{"cpu":{"cpus":"4000"}}"#), Strictness::Requested).unwrap_err();
    assert!(matches!(&error, Error::Limit(limit) if limit.errno.is_some()), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("cpus")));
    let warnings = cgroup.apply(&resources(r#"{"cpu":{"cpus":"4000"}}"#), Strictness::Default).unwrap();
    assert_eq!(warnings.len(), 1);
    cgroup.remove().unwrap();
}

const DEVICES: &str = r#"{"devices":[{"allow":false,"access":"rwm"},
    {"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
    {"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"},
    {"allow":false,"type":"c","major":1,"minor":5,"access":"r"}]}"#;

/// Null is allowed, zero only for writing, random not at all; an update then opens random.
fn check_devices(scratch: &Scratch) {
    let cgroup = scratch.create(DEVICES);
    let script = "for device in null zero random; do
        (: < /dev/$device) 2>/dev/null && echo read $device; (: > /dev/$device) 2>/dev/null && echo write $device
        done; true";
    let run = || {
        let child = Waiting::new(script);
        cgroup.add(child.pid()).unwrap();
        text(&child.finish().stdout)
    };
    // Deliberately without /dev/null for the shell's own redirections: they come after the open.
    assert_eq!(run(), "read null\nwrite null\nwrite zero\n");
    let update = r#"{"devices":[{"allow":true,"type":"c","major":1,"access":"rw"}]}"#;
    cgroup.apply(&resources(update), Strictness::Requested).unwrap();
    assert_eq!(run(), "read null\nwrite null\nread zero\nwrite zero\nread random\nwrite random\n");
    cgroup.apply(&resources(r#"{"devices":[{"allow":false}]}"#), Strictness::Requested).unwrap();
    assert_eq!(run(), "");
    cgroup.remove().unwrap();
}

#[test]
fn privileged_devices_are_denied_on_v1() {
    needs!(root, cgroup_v1("devices"));
    check_devices(&Scratch::new("devices-v1"));
    let scratch = Scratch::new("devices-hole");
    let json = r#"{"devices":[{"allow":true,"type":"c"},{"allow":false,"type":"c","major":1,"minor":5}]}"#;
    let (cgroup, _) = scratch.try_create(json).unwrap();
    let error = cgroup.apply(&resources(json), Strictness::Requested).unwrap_err();
    assert!(error.to_string().contains("wildcard"), "{error}");
    cgroup.remove().unwrap();
}

/// This machine's v2 hierarchy as if it were alone.
fn v2_only() -> Layout {
    let layout = Layout::detect().unwrap();
    let mount = &layout.v2().unwrap().mount;
    Layout::parse(format!("1 1 0:1 / {mount} rw - cgroup2 cgroup2 rw\n").as_bytes(), "0::/\n")
}

#[test]
fn privileged_devices_are_denied_by_ebpf_on_v2() {
    needs!(root, cgroup_v2());
    check_devices(&Scratch::with_layout("devices-v2", v2_only()));
}

#[test]
fn privileged_raw_keys_reach_v2() {
    needs!(root, cgroup_v2());
    let scratch = Scratch::new("unified");
    let cgroup = scratch.create(r#"{"unified":{"cgroup.max.depth":"3"}}"#);
    let (_, path) = cgroup.paths().next().unwrap();
    assert_eq!(std::fs::read_to_string(format!("{path}/cgroup.max.depth")).unwrap(), "3\n");
    let json = r#"{"unified":{"memory.no_such_file":"3"}}"#;
    assert!(matches!(cgroup.apply(&resources(json), Strictness::Requested), Err(Error::Limit(_))));
    cgroup.remove().unwrap();
}

#[test]
fn privileged_io_rates_arrive() {
    needs!(root, cgroup_v1("blkio"));
    let disks = std::fs::read_dir("/sys/block").unwrap().filter_map(|entry| {
        let number = std::fs::read_to_string(entry.ok()?.path().join("dev")).ok()?;
        let (major, minor) = number.trim().split_once(':')?;
        Some((major.parse::<i64>().ok()?, minor.parse::<i64>().ok()?))
    });
    let Some((major, minor)) = disks.into_iter().next() else {
        println!("skipped: privileged_io_rates_arrive: needs a disk");
        return;
    };
    let scratch = Scratch::new("io");
    let device = format!(r#"[{{"major":{major},"minor":{minor},"rate":1048576}}]"#);
    let json =
        format!(r#"{{"blockIO":{{"throttleReadBpsDevice":{device},"throttleWriteIOPSDevice":{device}}}}}"#);
    let cgroup = scratch.create(&json);
    let shown = value(&cgroup, Controller::Io, "blkio.throttle.read_bps_device");
    assert_eq!(shown, format!("{major}:{minor} 1048576"));
    assert!(cgroup.stats().unwrap().io.is_some());
    let json = r#"{"blockIO":{"throttleReadBpsDevice":[{"major":4000,"minor":9,"rate":1}]}}"#;
    let error = cgroup.apply(&resources(json), Strictness::Requested).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("disk")), "{error}");
    cgroup.remove().unwrap();
}

#[test]
fn privileged_hugetlb_on_the_v2_side_of_a_hybrid_host() {
    needs!(root, cgroup_v2_controller("hugetlb"), path("/sys/kernel/mm/hugepages/hugepages-2048kB"));
    let layout = Layout::detect().unwrap();
    let control = format!("{}/cgroup.subtree_control", layout.v2().unwrap().mount);
    let before = std::fs::read_to_string(&control).unwrap();
    {
        let scratch = Scratch::new("hugetlb");
        let cgroup = scratch.create(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#);
        assert_eq!(value(&cgroup, Controller::Hugetlb, "hugetlb.2MB.max"), "4194304");
        assert_eq!(cgroup.stats().unwrap().hugetlb["2MB"].usage, 0);
        cgroup.remove().unwrap();
    }
    if !before.contains("hugetlb") {
        // Others may be using it by now: then the kernel keeps it, which is right.
        drop(std::fs::write(&control, "-hugetlb"));
    }
}

#[test]
fn privileged_limits_without_a_controller_are_errors_or_warnings() {
    needs!(root);
    let layout = Layout::detect().unwrap();
    if layout.hierarchy_of(Controller::NetCls).is_some_and(|found| found.version == Version::V1) {
        return;
    }
    let scratch = Scratch::new("missing");
    let json = r#"{"network":{"classID":1048577}}"#;
    let (cgroup, _) = scratch.try_create(json).unwrap();
    let error = cgroup.apply(&resources(json), Strictness::Requested).unwrap_err();
    assert!(error.to_string().contains("net_cls"), "{error}");
    assert_eq!(cgroup.apply(&resources(json), Strictness::Default).unwrap().len(), 1);
    cgroup.remove().unwrap();
}
