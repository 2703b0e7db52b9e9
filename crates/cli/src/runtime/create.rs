//! `create` and `run`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Parser;
use oci::runtime::Spec;
use runtime::{Report, Request};

use super::options::Options;
use super::{Failed, parse};
use crate::sealed;

/// Longest `config.json` in bytes.
const MAX_SPEC: u64 = 32 * 1024 * 1024;

/// Most descriptors taken from a service manager.
const MAX_LISTENING: u32 = 1024;

/// What both take.
#[derive(Debug, clap::Args)]
struct Shared {
    /// Directory of the bundle
    #[arg(long, short, default_value = ".")]
    bundle: PathBuf,
    /// Unix socket that receives the master of the terminal
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// File to write the pid to
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Descriptors after the standard streams to pass on
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    /// Change the root without pivot_root, for a host on a ramdisk
    #[arg(long)]
    no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,
    /// Id of the container
    container_id: String,
}

/// Create a container, which waits for start
#[derive(Debug, Parser)]
struct Create {
    #[command(flatten)]
    shared: Shared,
}

/// Create and start a container
#[derive(Debug, Parser)]
struct Run {
    #[command(flatten)]
    shared: Shared,
    /// Return once the container runs
    #[arg(long, short)]
    detach: bool,
    /// Do not delete the container when it ends
    #[arg(long)]
    keep: bool,
    /// Ignored: a container's orphans are its own pid 1's
    #[arg(long)]
    no_subreaper: bool,
}

pub(super) fn create(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Create = parse("create", args)?;
    let mut report = Report::default();
    with_request(options, &flags.shared, |request| runtime::create(request, &mut report))?;
    options.warn_beside_payload(&report.warnings);
    Ok(0)
}

pub(super) fn run(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Run = parse("run", args)?;
    let mut report = Report::default();
    let exit = with_request(options, &flags.shared, |request| {
        runtime::run(request, flags.detach, flags.keep, &mut report)
    })?;
    if flags.detach {
        options.warn_beside_payload(&report.warnings);
    } else {
        options.warn(&report.warnings);
    }
    Ok(exit.0)
}

fn with_request<T>(
    options: &Options,
    flags: &Shared,
    act: impl FnOnce(Request<'_>) -> runtime::Result<T>,
) -> Result<T, Failed> {
    let bundle = std::path::absolute(&flags.bundle)?;
    let mut spec = read_spec(&bundle)?;
    if sealed::has_neighbours(&spec) {
        sealed::run_read_only()?;
    }
    let listening = listening();
    if let (Some((count, names)), Some(process)) = (&listening, &mut spec.process) {
        process.env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
        process.env.extend(names.iter().map(|names| format!("LISTEN_FDNAMES={names}")));
    }
    let root = options.root()?;
    let cache = Options::filter_cache(&root);
    let bundle = bundle.to_str().ok_or("the bundle's path is no text")?;
    let cgroup = options.cgroup(&spec)?;
    let request = Request {
        id: &flags.container_id,
        spec,
        bundle,
        root: &root,
        layers: None,
        cgroup,
        default_resources: None,
        require_defaults: false,
        announce: None,
        connect: None,
        filter_cache: cache.as_ref().map(AsFd::as_fd),
        console_socket: flags.console_socket.clone(),
        pid_file: flags.pid_file.clone(),
        preserve_descriptors: flags.preserve_fds.saturating_add(listening.map_or(0, |(count, _)| count)),
        no_pivot: flags.no_pivot,
        keep_keyring: flags.no_new_keyring,
        checked_sources: Vec::new(),
        mounts: Vec::new(),
        init: false,
        interactive: true,
        secrets: runtime::Secrets::default(),
    };
    Ok(act(request)?)
}

/// Sockets that a service manager hands to this process, as sd_listen_fds(3) finds them: how many, their names.
fn listening() -> Option<(u32, Option<String>)> {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let count = number("LISTEN_FDS").filter(|count| (1..=MAX_LISTENING).contains(count))?;
    // Meant for another process, which we only inherited the environment from.
    if number("LISTEN_PID")? != std::process::id() {
        return None;
    }
    Some((count, std::env::var("LISTEN_FDNAMES").ok()))
}

fn read_spec(bundle: &Path) -> Result<Spec, Failed> {
    let directory = files::open_directory(bundle)?;
    let bytes = files::root::read_bounded(&directory, "config.json", MAX_SPEC)?
        .ok_or_else(|| format!("no `config.json` in `{}`", bundle.display()))?;
    serde_json::from_slice(&bytes)
        .map_err(|source| runtime::Error::Spec { path: bundle.join("config.json"), source }.into())
}
