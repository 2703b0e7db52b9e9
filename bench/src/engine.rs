//! `bench engine`: what a person does all day with an engine, in turn with its peers, as root.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{TempDir, find_program};

/// Containers of one crowd, as in the numbers that other engines were measured with.
const THIRTY: usize = 30;
/// How long after the last start memory is measured.
const SETTLED: Duration = Duration::from_secs(2);
/// Detached containers for the memory of an idle one.
const CROWDS: [usize; 3] = [1, 30, 200];
/// What a container does that does nothing.
const IDLE: [&str; 3] = ["busybox", "sleep", "86400"];

/// One engine: its name, its command line before the command.
#[derive(Debug)]
struct Engine {
    name: &'static str,
    line: Vec<String>,
    /// Flags of `run`.
    flags: Vec<&'static str>,
}

/// Wall and processor time of one command.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// Measures, and returns the part of the page.
pub(crate) fn measure(rounds: usize) -> io::Result<String> {
    let brig = std::env::current_exe()?.with_file_name("brig");
    let directory = TempDir::new();
    let running = TempDir::new_in(Path::new("/dev/shm"));
    let archive = testkit::busybox_tar(directory.path());
    let (engines, _daemon) = engines(&brig, (directory.path(), running.path()), &archive)?;
    let mut page = String::new();
    row(&mut page, "", engines.iter().map(|engine| engine.name.to_owned()));
    row(&mut page, "---", engines.iter().map(|_| "---:".to_owned()));
    daily(&mut page, &engines, rounds)?;
    listing(&mut page, &engines)?;
    thirty(&mut page, &engines)?;
    hundred(&mut page, &engines)?;
    memory(&mut page, &engines)?;
    Ok(page)
}

impl Engine {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.line[0]);
        command.args(&self.line[1..]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command that must succeed.
    fn cost(&self, words: &[&str]) -> io::Result<Cost> {
        let start = Instant::now();
        let child = self.command(words).spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let ended = sys::process::wait_with_usage(pid, false)?;
        if ended.pid != pid || ended.status != 0 {
            let line = words.join(" ");
            return Err(io::Error::other(format!("{} {line}: status {}", self.name, ended.status)));
        }
        Ok(Cost { wall: start.elapsed(), cpu: ended.cpu })
    }

    fn start(&self, name: &str) -> io::Result<Cost> {
        let words = [&["run", "-d", "--name", name], &self.flags[..], &IDLE].concat();
        self.cost(&words)
    }

    fn remove(&self, names: &[String]) -> io::Result<Cost> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.cost(&[&["rm", "-f"], &names[..]].concat())
    }

    /// Starts all of these at once; how long until the last command ended.
    fn at_once(&self, commands: &[Vec<String>]) -> io::Result<Duration> {
        let start = Instant::now();
        let mut children: Vec<Child> = Vec::with_capacity(commands.len());
        for words in commands {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            children.push(self.command(&words).spawn()?);
        }
        let mut failed = 0;
        for child in &mut children {
            failed += usize::from(!child.wait()?.success());
        }
        if failed > 0 {
            crate::say(&format!("{}: {failed} of {} at once failed", self.name, commands.len()));
        }
        Ok(start.elapsed())
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("crowd{number}")).collect()
}

fn row(page: &mut String, title: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let line = format!("| {title} | {} |", cells.join(" | "));
    crate::say(&line);
    writeln!(page, "{line}").expect("writing to a string does not fail");
}

/// A row of one number for each engine; what an engine cannot do is told and left out.
fn each(
    page: &mut String,
    title: &str,
    engines: &[Engine],
    mut cell: impl FnMut(&Engine) -> io::Result<String>,
) {
    let cells = engines.iter().map(|engine| {
        cell(engine).unwrap_or_else(|error| {
            crate::say(&format!("{title}: {error}"));
            "failed".to_owned()
        })
    });
    let cells: Vec<String> = cells.collect();
    row(page, title, cells.into_iter());
}

fn median(costs: &mut [Cost]) -> String {
    if costs.is_empty() {
        return "failed".to_owned();
    }
    costs.sort_by_key(|cost| cost.wall);
    let cost = costs.get(costs.len() / 2).copied().unwrap_or_default();
    costs.sort_by_key(|cost| cost.cpu);
    let cpu = costs.get(costs.len() / 2).copied().unwrap_or_default().cpu;
    format!("{:.1} ({:.1})", cost.wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3)
}

fn daily(page: &mut String, engines: &[Engine], rounds: usize) -> io::Result<()> {
    let commands: [(&str, &[&str]); 5] = [
        ("`exec true`", &["exec", "day", "true"]),
        ("`ps -a`, 1 container", &["ps", "-a"]),
        ("`images`", &["images"]),
        ("`stop -t 0`", &["stop", "-t", "0", "day"]),
        ("`rm -f`", &["rm", "-f", "day"]),
    ];
    let mut costs = vec![vec![Vec::new(); commands.len() + 1]; engines.len()];
    for _ in 0..rounds {
        for (engine, costs) in engines.iter().zip(&mut costs) {
            costs[0].push(engine.start("day")?);
            for ((_, words), costs) in commands.iter().zip(&mut costs[1..]) {
                match engine.cost(words) {
                    Ok(cost) => costs.push(cost),
                    Err(error) => crate::say(&error.to_string()),
                }
            }
        }
    }
    let titles = std::iter::once("`run -d`").chain(commands.iter().map(|(title, _)| *title));
    for (at, title) in titles.enumerate() {
        row(page, &format!("{title}, ms"), costs.iter_mut().map(|costs| median(&mut costs[at])));
    }
    Ok(())
}

fn listing(page: &mut String, engines: &[Engine]) -> io::Result<()> {
    for count in [100, 1000] {
        let title = format!("`ps -a`, {count} containers, ms");
        each(page, &title, engines, |engine| {
            // A peer takes minutes to make a thousand.
            if count > 100 && engine.name != "brig" {
                return Ok("not measured".to_owned());
            }
            let names = names(count);
            for name in &names {
                engine
                    .cost(&[&["create", "--name", name], &engine.flags[..], &["busybox", "true"]].concat())?;
            }
            let costs: io::Result<Vec<Cost>> = (0..7).map(|_| engine.cost(&["ps", "-a"])).collect();
            engine.remove(&names)?;
            Ok(median(&mut costs?))
        });
    }
    Ok(())
}

fn thirty(page: &mut String, engines: &[Engine]) -> io::Result<()> {
    let names = names(THIRTY);
    let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
    let mut removals = Vec::new();
    each(page, "30 `run -d` one after the other, s", engines, |engine| {
        let start = Instant::now();
        let started: io::Result<Vec<Cost>> = names.iter().map(|name| engine.start(name)).collect();
        let time = start.elapsed();
        removals.push(engine.remove(&names).map_or("failed".to_owned(), |cost| seconds(cost.wall)));
        started.map(|_| seconds(time))
    });
    row(page, "`rm -f` of 30 running, s", removals.into_iter());
    each(page, "30 `run -d` at once, s", engines, |engine| {
        let words = names.iter().map(|name| {
            let words = [&["run", "-d", "--name", name], &engine.flags[..], &IDLE].concat();
            words.into_iter().map(str::to_owned).collect()
        });
        let time = engine.at_once(&words.collect::<Vec<_>>())?;
        engine.remove(&names)?;
        Ok(seconds(time))
    });
    Ok(())
}

fn hundred(page: &mut String, engines: &[Engine]) -> io::Result<()> {
    let words = |engine: &Engine| -> Vec<String> {
        let words = [&["run", "--rm"], &engine.flags[..], &["busybox", "true"]].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    each(page, "100 `run --rm` at once, s", engines, |engine| {
        Ok(format!("{:.2}", engine.at_once(&vec![words(engine); 100])?.as_secs_f64()))
    });
    each(page, "100 `run --rm` one after the other, s", engines, |engine| {
        if engine.name != "brig" {
            return Ok("not measured".to_owned());
        }
        let start = Instant::now();
        for _ in 0..100 {
            engine.at_once(&[words(engine)])?;
        }
        Ok(format!("{:.2}", start.elapsed().as_secs_f64()))
    });
    Ok(())
}

/// Proportional memory of what an engine keeps running for idle containers, the containers' own processes aside.
fn memory(page: &mut String, engines: &[Engine]) -> io::Result<()> {
    for count in CROWDS {
        let mut processes = Vec::new();
        let title = format!("{count} idle: PSS per container, MiB");
        each(page, &title, engines, |engine| {
            if count > THIRTY && engine.name != "brig" {
                processes.push("not measured".to_owned());
                return Ok("not measured".to_owned());
            }
            let before = pids()?;
            let names = names(count);
            for name in &names {
                engine.start(name)?;
            }
            // What is measured is idle: who watches them has come to rest by then.
            std::thread::sleep(SETTLED);
            let mut kibibytes = 0;
            let mut resident = 0;
            for pid in pids()?.difference(&before) {
                let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                if comm.trim() == "sleep" {
                    continue;
                }
                if let Some(pss) = pss(*pid) {
                    kibibytes += pss;
                    resident += 1;
                }
            }
            engine.remove(&names)?;
            processes.push(resident.to_string());
            let each = f64::from(u32::try_from(kibibytes).unwrap_or(u32::MAX))
                / f64::from(u32::try_from(count).unwrap_or(1))
                / 1024.0;
            Ok(format!("{each:.3}"))
        });
        row(page, &format!("{count} idle: processes beside the containers' own"), processes.into_iter());
    }
    Ok(())
}

fn pids() -> io::Result<BTreeSet<u32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// In KiB; none for a process that ended, or of the kernel.
fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A Docker daemon of our own, which ends with us.
#[derive(Debug)]
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(0)) {
            // So that it ends its own containerd, too.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        drop(self.0.wait());
    }
}

/// What runs is kept on a tmpfs, as `/run` is for people.
fn engines(
    brig: &Path,
    (directory, running): (&Path, &Path),
    archive: &Path,
) -> io::Result<(Vec<Engine>, Option<Daemon>)> {
    let path = |name: &str| directory.join(name).display().to_string();
    let run = |name: &str| running.join(name).display().to_string();
    let archive = archive.display().to_string();
    let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut engines = Vec::new();
    let own = brig.display().to_string();
    engines.push(Engine {
        name: "brig",
        line: line(&[&own, "--root", &path("brig"), "--runroot", &run("brig")]),
        flags: vec!["--network", "none"],
    });
    if find_program("podman").is_some() {
        engines.push(Engine {
            name: "podman",
            line: line(&[
                "podman",
                "--root",
                &path("podman"),
                "--runroot",
                &run("podman"),
                "--tmpdir",
                &run("podman-tmp"),
                "--cgroup-manager",
                "cgroupfs",
                "--runtime",
                "/usr/sbin/runc",
                "--events-backend",
                "file",
            ]),
            // The hard limits of the build machines are below what podman 4.3 asks for.
            flags: vec!["--net=none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"],
        });
    }
    let daemon = docker(directory, running)?;
    if daemon.is_some() {
        let socket = format!("unix://{}", path("docker.socket"));
        engines.push(Engine {
            name: "docker",
            line: line(&["docker", "--host", &socket]),
            flags: vec!["--network", "none"],
        });
    }
    for engine in &engines {
        engine.cost(&["import", &archive, "busybox"])?;
    }
    Ok((engines, daemon))
}

fn docker(directory: &Path, running: &Path) -> io::Result<Option<Daemon>> {
    if find_program("dockerd").is_none() || find_program("docker").is_none() {
        return Ok(None);
    }
    let path = |name: &str| directory.join(name).display().to_string();
    let socket = format!("unix://{}", path("docker.socket"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--propagation", "private", "dockerd", "--data-root", &path("docker")]);
    command.args([
        "--exec-root",
        &running.join("docker").display().to_string(),
        "--pidfile",
        &path("docker.pid"),
        "--host",
        &socket,
    ]);
    command.args(["--oom-score-adjust=0", "--iptables=false", "--bridge=none"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let daemon = Daemon(child);
    for _ in 0..300 {
        let asked = Command::new("docker").args(["--host", &socket, "version"]).output()?;
        if asked.status.success() {
            return Ok(Some(daemon));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    crate::say("docker: its daemon did not answer within 30 s");
    Ok(None)
}
