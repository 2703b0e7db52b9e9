//! `brig container prune`, `brig image prune` and `brig system prune`.

use std::ffi::OsString;
use std::io::{self, BufRead};

use clap::Parser;
use container::{Containers, LifeStatus, value};
use store::{Removed, Store};

use crate::command;
use crate::command::run::failure;
use crate::error::Failure;
use crate::format::{Filters, now, parse_moment, parse_time, size};
use crate::global::Global;
use crate::{output, site};

/// Remove all containers that do not run
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig container prune [FLAGS]",
    after_help = "Examples:\n  brig container prune -f\n  brig container prune --filter until=24h --filter label=ci"
)]
struct ContainerPrune {
    #[command(flatten)]
    which: Which,
}

/// Remove images that have no name
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig image prune [FLAGS]",
    after_help = "Examples:\n  brig image prune\n  brig image prune -a -f --filter until=168h\n  brig image prune -f --keep-free 10%"
)]
struct ImagePrune {
    /// All that no container uses
    #[arg(long, short = 'a')]
    all: bool,
    /// Do not ask
    #[arg(long, short = 'f')]
    force: bool,
    /// Only as far as so much room is free where the store is: a size, or a part such as 10%; then of all images that no
    /// container uses, the oldest first
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["all", "filter"])]
    keep_free: Option<String>,
    /// until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE], dangling=BOOL
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Remove containers that do not run, and images that nothing needs
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig system prune [FLAGS]",
    after_help = "Examples:\n  brig system prune\n  brig system prune -a -f --volumes"
)]
struct SystemPrune {
    /// All images that no container uses, not only those without a name
    #[arg(long, short = 'a')]
    all: bool,
    /// Anonymous volumes too
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    which: Which,
}

/// What every prune takes but that of images, which knows one filter more.
#[derive(Debug, clap::Args)]
struct Which {
    /// Do not ask
    #[arg(long, short = 'f')]
    force: bool,
    /// until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

const KEYS: [&str; 3] = ["until", "label", "label!"];

pub(crate) fn container(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: ContainerPrune = command::parse("brig container prune", args)?;
    let filters = Filters::parse(&flags.which.filter, &KEYS)?;
    if !flags.which.force && !agreed("all containers that do not run")? {
        return Ok(0);
    }
    let (store, _) = site::store(global)?;
    let (text, bytes) = prune_containers(global, &store, &filters)?;
    output::print(&format!("{text}Total reclaimed space: {}\n", size(bytes)))?;
    Ok(0)
}

pub(crate) fn image(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: ImagePrune = command::parse("brig image prune", args)?;
    if let Some(text) = &flags.keep_free {
        return keep_free(global, text, flags.force);
    }
    let filters = Filters::parse(&flags.filter, &["until", "label", "label!", "dangling"])?;
    let all = flags.all || filters.boolean("dangling")? == Some(false);
    let which = if all { "all images that no container uses" } else { "all images without a name" };
    if !flags.force && !agreed(which)? {
        return Ok(0);
    }
    let (store, _) = site::store(global)?;
    let (text, bytes) = prune_images(&store, all, &filters)?;
    output::print(&format!("{text}Total reclaimed space: {}\n", size(bytes)))?;
    Ok(0)
}

pub(crate) fn system(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: SystemPrune = command::parse("brig system prune", args)?;
    let filters = Filters::parse(&flags.which.filter, &KEYS)?;
    let images = if flags.all { "all images that no container uses" } else { "all images without a name" };
    let volumes = if flags.volumes { ", all anonymous volumes that no container uses" } else { "" };
    if !flags.which.force && !agreed(&format!("all containers that do not run{volumes} and {images}"))? {
        return Ok(0);
    }
    let (store, _) = site::store(global)?;
    let (text, bytes) = prune_containers(global, &store, &filters)?;
    output::print(&text)?;
    if flags.volumes {
        let words = std::iter::once("--force".to_owned());
        let labels = flags.which.filter.iter().filter(|filter| filter.starts_with("label"));
        let words = words.chain(labels.flat_map(|filter| ["--filter".to_owned(), filter.clone()]));
        command::volume::prune::run(global, words.map(OsString::from).collect())?;
    }
    let (text, more) = prune_images(&store, flags.all, &filters)?;
    output::print(&format!("{text}Total reclaimed space: {}\n", size(bytes + more)))?;
    Ok(0)
}

/// Removes containers that ended or never ran; what it removed, and the bytes of it.
fn prune_containers(global: &Global, store: &Store, filters: &Filters) -> Result<(String, u64), Failure> {
    let containers = Containers::open(store, &global.runroot()?).map_err(failure)?;
    let limit = until(filters)?;
    let (mut removed, mut bytes) = (String::new(), 0);
    for summary in containers.list().map_err(failure)? {
        let ended =
            matches!(summary.state.status, LifeStatus::Created | LifeStatus::Exited | LifeStatus::Dead);
        let created = u64::try_from(summary.record.created).unwrap_or(0);
        let old = limit.is_none_or(|limit| created < limit);
        let labels = &summary.record.labels;
        if !ended
            || summary.state.watched
            || !old
            || !filters.labels(|key| labels.get(key).map(String::as_str))
        {
            continue;
        }
        let written = containers.written(&summary.id).unwrap_or(0);
        match containers.delete(&summary.id, false) {
            Ok(()) => {
                removed.push_str(&format!("{}\n", summary.id));
                bytes += written;
            }
            // Somebody was faster, or started it.
            Err(container::Error::Running { .. } | container::Error::NoContainer { .. }) => {}
            Err(error) => global.log.failure(&failure(error)),
        }
    }
    let text = if removed.is_empty() { removed } else { format!("Deleted Containers:\n{removed}\n") };
    Ok((text, bytes))
}

fn prune_images(store: &Store, all: bool, filters: &Filters) -> Result<(String, u64), Failure> {
    let limit = until(filters)?;
    let select = |configuration: &oci::image::ImageConfiguration| {
        let created = configuration.created.as_deref().and_then(parse_time).unwrap_or(0);
        let labels = &configuration.config.labels;
        limit.is_none_or(|limit| created < limit) && filters.labels(|key| labels.get(key).map(String::as_str))
    };
    let removed = store.prune_where(all, &select).map_err(site::of_store)?;
    let text = told(&removed);
    let text = if text.is_empty() { text } else { format!("Deleted Images:\n{text}\n") };
    Ok((text, removed.freed))
}

/// A line for each name and digest.
fn told(removed: &Removed) -> String {
    let mut text = String::new();
    for reference in &removed.untagged {
        text.push_str(&format!("untagged: {}\n", reference.familiar()));
    }
    for digest in &removed.deleted {
        text.push_str(&format!("deleted: {digest}\n"));
    }
    text
}

/// Bytes that may be written to the file system of the store, and how many it has.
fn room(store: &Store) -> Result<(u64, u64), Failure> {
    let found = rustix::fs::statvfs(store.path()).map_err(Failure::environment)?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// `10g`, or `10%` of all there is.
fn mark(text: &str, all: u64) -> Result<u64, Failure> {
    let Some(part) = text.strip_suffix('%') else {
        let bytes = value::size::parse_size("--keep-free", text).map_err(failure)?;
        return u64::try_from(bytes).map_err(Failure::environment);
    };
    match part.parse::<u64>() {
        Ok(part @ 0..=100) => Ok(all / 100 * part),
        _ => Err(Failure::user(format!("`--keep-free` cannot be `{}`: use 0% to 100%", text.escape_debug()))),
    }
}

/// Removes images until there is so much room. Between two, others get the store's lock.
fn keep_free(global: &Global, text: &str, force: bool) -> Result<u8, Failure> {
    let (store, _) = site::store(global)?;
    let wanted = mark(text, room(&store)?.1)?;
    let is_reached = || Ok::<_, Failure>(room(&store)?.0 >= wanted);
    let which = format!("images that no container uses, the oldest first, until {} are free", size(wanted));
    if !force && !is_reached()? && !agreed(&which)? {
        return Ok(0);
    }
    let mut freed = 0;
    while !is_reached()? {
        let Some(removed) = store.prune_oldest().map_err(site::of_store)? else {
            let free = size(room(&store)?.0);
            global.log.warning(&format!("only {free} are free: a container uses every image that is left"));
            break;
        };
        freed += removed.freed;
        output::print(&told(&removed))?;
    }
    output::print(&format!("Total reclaimed space: {}\n", size(freed)))?;
    Ok(0)
}

/// The time before which things go.
fn until(filters: &Filters) -> Result<Option<u64>, Failure> {
    let mut limit = None;
    for text in filters.values("until") {
        let moment = parse_moment(text, now())
            .ok_or_else(|| Failure::user(format!("`until={}` is no time", text.escape_debug())))?;
        limit = Some(limit.map_or(moment, |other: u64| other.min(moment)));
    }
    Ok(limit)
}

fn agreed(which: &str) -> Result<bool, Failure> {
    output::print(&format!("WARNING! This will remove {which}.\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Failure::environment)?;
    Ok(matches!(answer.trim(), "y" | "Y"))
}
