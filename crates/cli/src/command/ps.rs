//! `brig ps`.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use container::health::HealthState;
use container::{Containers, LifeStatus, Summary};
use serde_json::{Value, json};
use store::Store;

use crate::command;
use crate::command::selection::{FILTERS, Selection};
use crate::error::{ENGINE_ERROR, Failure};
use crate::format::{self, Filters, Listing, Show, date, duration, ellipsis, parse_time};
use crate::global::Global;
use crate::{output, site};

/// List containers
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig ps [FLAGS]",
    after_help = "Examples:
  brig ps
  brig ps -a --filter status=exited
  brig ps -q --filter label=app=shop
  brig ps --format 'table {{.Names}}\\t{{.Status}}'"
)]
struct Ps {
    /// Also those that do not run
    #[arg(long, short = 'a')]
    all: bool,
    /// Only what matches: ancestor, before, exited, expose, health, id, label, name, network, publish, since, status, volume
    #[arg(long, short = 'f', value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// `table`, `table TEMPLATE`, `json` or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only the last N, also those that do not run
    #[arg(long, short = 'n', value_name = "N", allow_negative_numbers = true)]
    last: Option<i64>,
    /// Only the last one, also if it does not run
    #[arg(long, short = 'l')]
    latest: bool,
    /// Print whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Leave out the heading
    #[arg(long)]
    noheading: bool,
    /// Print ids only
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Print how much each container wrote
    #[arg(long, short = 's')]
    size: bool,
    /// Print the list again every so many seconds
    #[arg(long, short = 'w', value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
    /// created, command, id, image, names, runningfor or status
    #[arg(long, value_name = "FIELD")]
    sort: Option<String>,
}

const FIELDS: &[(&str, &str)] = &[
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Ports", "PORTS"),
    ("RunningFor", "CREATED"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];
const PLAIN: Listing = Listing {
    fields: FIELDS,
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    quiet: "{{.ID}}",
};
const WITH_SIZE: Listing = Listing {
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}",
    ..PLAIN
};
const SORTS: &[&str] = &["command", "created", "id", "image", "names", "runningfor", "status"];
/// Widest command in a table.
const COMMAND_WIDTH: usize = 20;

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Ps = command::parse("brig ps", args)?;
    let listing = if flags.size { WITH_SIZE } else { PLAIN };
    let mut show = listing.show(flags.format.as_deref(), flags.quiet)?;
    show.heading = !flags.noheading;
    if flags.quiet && flags.format.is_some() {
        global.log.warning("`--format` is left out of account: `--quiet` is set");
    }
    let filters = Filters::parse(&flags.filter, FILTERS)?;
    let sort = flags.sort.as_deref().unwrap_or("created").to_ascii_lowercase();
    if !SORTS.contains(&sort.as_str()) {
        return Err(Failure::user(format!("`--sort` cannot be `{}`", sort.escape_debug()))
            .hint(format!("use {}", SORTS.join(", ")))
            .code(ENGINE_ERROR));
    }
    let list = || list(global, &flags, &listing, &show, &filters, &sort);
    let Some(seconds) = flags.watch else { return list() };
    loop {
        if std::io::stdout().is_terminal() {
            output::print(output::CLEAR)?;
        }
        list()?;
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// Looks once, and prints what there is.
fn list(
    global: &Global,
    flags: &Ps,
    listing: &Listing,
    show: &Show,
    filters: &Filters,
    sort: &str,
) -> Result<u8, Failure> {
    let last = if flags.latest { Some(1) } else { flags.last.and_then(|last| usize::try_from(last).ok()) };
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
    let mut found = containers.list().map_err(command::run::failure)?;
    found.sort_by_key(|one| Reverse(created(one)));
    let selection = Selection::new(&store, &found, filters)?;
    let all = flags.all || last.is_some() || filters.has("status") || filters.has("exited");
    found.retain(|one| (all || is_listed(one)) && selection.holds(&containers, one));
    found.truncate(last.unwrap_or(usize::MAX));
    sort_by(&mut found, sort);
    let now = format::now();
    let wants_size = flags.size || (flags.format.is_some() && !flags.quiet && show.uses("Size"));
    let rows = found
        .iter()
        .map(|one| {
            let size = if wants_size { size_of(&store, &containers, one)? } else { String::new() };
            let (health, ports) = (health_of(&containers, one), ports(&containers, one));
            Ok(row(one, (health.as_deref(), &size, &ports), flags.no_trunc, now))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    listing.print_with(show, &rows, &|row, method, words| match (method, words) {
        // The value of one label.
        ("Label", [key]) => {
            let id = row["ID"].as_str().unwrap_or_default();
            let one = found.iter().find(|one| one.id.as_str().starts_with(id))?;
            Some(one.record.labels.get(*key).cloned().unwrap_or_default())
        }
        _ => None,
    })?;
    Ok(0)
}

/// When it was created, in seconds and nanoseconds.
pub(super) fn created(one: &Summary) -> (i64, u32) {
    (one.record.created, one.record.created_nanoseconds)
}

/// Whether a container is listed without `-a`: docker lists those that run, are frozen, or start again.
fn is_listed(one: &Summary) -> bool {
    one.state.status.is_running() || one.state.status == LifeStatus::Restarting
}

fn sort_by(found: &mut [Summary], field: &str) {
    match field {
        "command" => found.sort_by(|a, b| a.record.command.cmp(&b.record.command)),
        "id" => found.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str())),
        "image" => found.sort_by(|a, b| a.record.image.cmp(&b.record.image)),
        "names" => found.sort_by(|a, b| a.record.name.cmp(&b.record.name)),
        "status" => found.sort_by_key(|one| one.state.status.name()),
        _ => {}
    }
}

/// What the checks said last; `None` where there are none.
pub(super) fn health_of(containers: &Containers<'_>, one: &Summary) -> Option<String> {
    one.record.health.as_ref()?;
    let directory = containers.directory_of(&one.id).ok()?;
    Some(HealthState::read(std::os::fd::AsFd::as_fd(&directory)).ok()?.status.name().to_owned())
}

fn size_of(store: &Store, containers: &Containers<'_>, one: &Summary) -> Result<String, Failure> {
    let written = containers.written(&one.id).map_err(command::run::failure)?;
    let below = store.inspect(&one.record.image_id).map_or(0, |details| details.size);
    Ok(format!("{} (virtual {})", format::size(written), format::size(below.saturating_add(written))))
}

fn row(one: &Summary, (health, size, ports): (Option<&str>, &str, &str), whole: bool, now: u64) -> Value {
    let record = &one.record;
    let created = u64::try_from(record.created).unwrap_or(0);
    let words = record.command.join(" ");
    let words = if whole { words } else { ellipsis(&words, COMMAND_WIDTH) };
    let labels: Vec<String> = record.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "Command": format!("\"{}\"", words.escape_debug().to_string().replace("\\'", "'")),
        "CreatedAt": date(created),
        "ID": if whole { one.id.as_str() } else { one.id.short() },
        "Image": image_name(record, whole),
        "Labels": labels.join(","),
        "LocalVolumes": local_volumes(record).to_string(),
        "Mounts": mounts(record, whole).join(","),
        "Names": record.name.clone().unwrap_or_default(),
        "Networks": network(record),
        "Ports": ports,
        "RunningFor": format!("{} ago", duration(now.saturating_sub(created))),
        "Size": size,
        "State": one.state.status.name(),
        "Status": status(one, health, now),
    })
}

/// The image as it was named; an id is cut like one.
fn image_name(record: &container::Record, whole: bool) -> String {
    let is_id =
        record.image.len() > 12 && record.image_id.ends_with(record.image.trim_start_matches("sha256:"));
    if is_id && !whole { format::short_id(&record.image).to_owned() } else { record.image.clone() }
}

fn local_volumes(record: &container::Record) -> usize {
    record.mounts.iter().filter(|mount| mount.kind == "volume").count()
}

/// Names of volumes, sources of others; docker cuts them at fifteen.
fn mounts(record: &container::Record, whole: bool) -> Vec<String> {
    const WIDTH: usize = 15;
    let name = |mount: &container::MountPoint| {
        let name = if mount.kind == "volume" { &mount.name } else { &mount.source };
        if whole { name.clone() } else { ellipsis(name, WIDTH) }
    };
    record.mounts.iter().map(name).collect()
}

/// `127.0.0.1:8080->80/tcp`, and ports that are known and not published; nothing of one that does not run.
fn ports(containers: &Containers<'_>, one: &Summary) -> String {
    if !one.state.status.is_running() {
        return String::new();
    }
    let published = match one.record.network.ports.is_empty() {
        true => Vec::new(),
        false => containers.network(&one.id).ok().flatten().map(|state| state.ports).unwrap_or_default(),
    };
    let outside = |port: &network::Published| SocketAddr::new(port.host_ip, port.host_port);
    let inside = |port: &network::Published| format!("{}/{}", port.container_port, port.protocol);
    let mut texts: Vec<String> =
        published.iter().map(|port| format!("{}->{}", outside(port), inside(port))).collect();
    let is_published = |wanted: &String| published.iter().any(|port| inside(port) == *wanted);
    texts.extend(one.record.network.exposed.iter().filter(|port| !is_published(port)).cloned());
    texts.join(", ")
}

/// `Up 3 minutes (healthy)`, `Exited (0) 2 hours ago`.
fn status(one: &Summary, health: Option<&str>, now: u64) -> String {
    let state = &one.state;
    let since = |time: &str| duration(now.saturating_sub(parse_time(time).unwrap_or(now)));
    let up = || format!("Up {}", since(&state.started));
    match state.status {
        LifeStatus::Created => "Created".to_owned(),
        LifeStatus::Running => match health {
            Some("starting") => format!("{} (health: starting)", up()),
            Some(health @ ("healthy" | "unhealthy")) => format!("{} ({health})", up()),
            _ => up(),
        },
        LifeStatus::Paused => format!("{} (Paused)", up()),
        LifeStatus::Restarting => format!("Restarting ({}) {} ago", state.exit_code, since(&state.finished)),
        LifeStatus::Exited => format!("Exited ({}) {} ago", state.exit_code, since(&state.finished)),
        LifeStatus::Dead => "Dead".to_owned(),
    }
}

pub(super) fn network(record: &container::Record) -> &str {
    &record.network.mode
}
