//! Measures what a container's cgroup costs: detect, create, apply, join, remove, `cycle [rounds]`.
#![expect(clippy::print_stdout, reason = "a program that measures")]

use std::process::Command;
use std::time::Instant;

use cgroup::{Cgroup, Controllers, Driver, Hierarchies, Layout, Request, Strictness};
use oci::runtime::Resources;
use rustix::process::Signal;

const STEPS: [&str; 7] = ["detect", "create", "apply", "join", "kill", "wait", "remove"];

fn cpu() -> i64 {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    clock.tv_sec * 1_000_000_000 + clock.tv_nsec
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(100), |rounds| rounds.parse::<usize>())?;
    let devices =
        [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, -1)].map(|(major, minor)| {
            format!(r#"{{"allow":true,"type":"c","major":{major},"minor":{minor},"access":"rwm"}}"#)
        });
    let json = format!(
        r#"{{"pids":{{"limit":1024}},"devices":[{{"allow":false,"access":"rwm"}},{}]}}"#,
        devices.join(",")
    );
    let resources: Resources = serde_json::from_str(&json)?;
    let parent = format!("brig-cycle-{}", std::process::id());
    let mut wall = vec![Vec::new(); STEPS.len()];
    let mut spent = vec![Vec::new(); STEPS.len()];
    for round in 0..rounds {
        let mut child = Command::new("sleep").arg("60").spawn()?;
        let pid = i32::try_from(child.id())?;
        let path = format!("/{parent}/{round}");
        let mut step = 0;
        let (mut at, mut busy) = (Instant::now(), cpu());
        let mut lap = || {
            wall[step].push(at.elapsed().as_nanos());
            spent[step].push(cpu() - busy);
            step += 1;
            (at, busy) = (Instant::now(), cpu());
        };
        let layout = Layout::detect()?;
        lap();
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
        let (cgroup, _) = Cgroup::create(&layout, &request, &resources)?;
        lap();
        cgroup.apply(&resources, Strictness::Requested)?;
        lap();
        cgroup.add(pid)?;
        lap();
        cgroup.kill(Signal::KILL)?;
        lap();
        child.wait()?;
        lap();
        cgroup.remove()?;
        lap();
    }
    println!("{:8} {:>10} {:>10}  (median, microseconds)", "step", "wall", "cpu");
    for (name, (mut wall, mut spent)) in STEPS.iter().zip(wall.into_iter().zip(spent)) {
        wall.sort_unstable();
        spent.sort_unstable();
        let middle = rounds / 2;
        println!("{name:8} {:>10} {:>10}", wall[middle] / 1000, spent[middle] / 1000);
    }
    Ok(())
}
