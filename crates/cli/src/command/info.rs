//! `brig info`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::AsFd;

use clap::Parser;
use container::LifeStatus;
use serde_json::json;

use crate::command;
use crate::error::Failure;
use crate::format::print_one;
use crate::global::Global;
use crate::{output, site};

/// Print where things are kept and what this machine is
#[derive(Debug, Parser)]
struct Info {
    /// `json` or a Go template
    #[arg(long, short = 'f', value_name = "FORMAT")]
    format: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Info = command::parse("brig info", args)?;
    let store = site::tidy_store(global)?;
    let runroot = global.runroot()?;
    let containers = container::Containers::open(&store, &runroot).map_err(command::run::failure)?;
    let all = containers.list().map_err(command::run::failure)?;
    let count = |status: LifeStatus| all.iter().filter(|one| one.state.status == status).count();
    let (running, paused) = (count(LifeStatus::Running), count(LifeStatus::Paused));
    let images: HashSet<_> =
        store.images().map_err(site::of_store)?.into_iter().map(|image| image.id).collect();
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let kernel = text(system.release());
    let rootless = !rustix::process::geteuid().is_root();
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let quotas = files::open_directory(store.path())
        .map_err(|error| error.to_string())
        .and_then(|root| files::quota::available(root.as_fd()).map_err(|error| error.to_string()))
        .map_or_else(
            |reason| format!("unavailable: {reason}"),
            |()| "project quotas, set by root".to_owned(),
        );
    let helper = match network::Provider::find() {
        network::Provider::Pasta(program) | network::Provider::Slirp(program) => {
            program.to_string_lossy().into_owned()
        }
        network::Provider::Missing(reason) => format!("unavailable: {reason}"),
    };
    let memory = rustix::system::sysinfo();
    let Some(format) = flags.format.as_deref() else {
        output::print(&format!(
            "brig {}\nroot       {}\nrun        {}\nrootless   {rootless}\nkernel     {kernel}\nimages     {}\ncontainers {} ({running} running)\nnetwork    {helper}\nquotas     {quotas}\n",
            env!("CARGO_PKG_VERSION"),
            store.path().display(),
            runroot.display(),
            images.len(),
            all.len(),
        ))?;
        return Ok(0);
    };
    let mut security = vec!["name=seccomp,profile=builtin", "name=userns", "name=no-new-privileges"];
    if rootless {
        security.push("name=rootless");
    }
    if unified {
        security.push("name=cgroupns");
    }
    let value = json!({
        "ID": "",
        "Name": text(system.nodename()),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Containers": all.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": all.len() - running - paused,
        "Images": images.len(),
        "Driver": "overlay",
        "DriverStatus": [["Quotas", quotas]],
        "NetworkHelper": helper,
        "LoggingDriver": "json-file",
        "CgroupVersion": if unified { "2" } else { "1" },
        "SecurityOptions": security,
        "DefaultRuntime": "brig",
        "DockerRootDir": store.path(),
        "RunRoot": runroot,
        "Rootless": rootless,
        "KernelVersion": kernel,
        "OSType": std::env::consts::OS,
        "Architecture": text(system.machine()),
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory.totalram.saturating_mul(u64::from(memory.mem_unit)),
        "LiveRestoreEnabled": true,
        "Warnings": null,
    });
    match format {
        "json" => output::print_json(&value)?,
        format => print_one(format, &value)?,
    }
    Ok(0)
}
