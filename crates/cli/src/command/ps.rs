//! `brig ps`.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::net::SocketAddr;

use clap::Parser;
use container::health::HealthState;
use container::{Containers, LifeStatus, Summary};
use serde_json::{Value, json};
use store::Store;

use crate::command;
use crate::error::{ENGINE_ERROR, Failure};
use crate::format::{self, Filters, Listing, Pattern, date, duration, ellipsis, parse_time};
use crate::global::Global;
use crate::site;

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
const FILTERS: &[&str] = &[
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "label!", "name",
    "network", "publish", "since", "status", "volume",
];
/// Docker's words for what a container does.
const STATUSES: &[&str] = &["created", "dead", "exited", "paused", "removing", "restarting", "running"];
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
    let last = if flags.latest { Some(1) } else { flags.last.and_then(|last| usize::try_from(last).ok()) };
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
    let mut found = containers.list().map_err(command::run::failure)?;
    found.sort_by_key(|one| Reverse(created(one)));
    let selection = Selection::new(&store, &found, &filters)?;
    let all = flags.all || last.is_some() || filters.has("status") || filters.has("exited");
    found.retain(|one| (all || is_listed(one)) && selection.holds(&containers, one));
    found.truncate(last.unwrap_or(usize::MAX));
    sort_by(&mut found, &sort);
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
    listing.print_with(&show, &rows, &|row, method, words| match (method, words) {
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
fn created(one: &Summary) -> (i64, u32) {
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
fn health_of(containers: &Containers<'_>, one: &Summary) -> Option<String> {
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

fn network(record: &container::Record) -> &str {
    &record.network.mode
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

/// What `--filter` selects, its values parsed once.
struct Selection<'a> {
    filters: &'a Filters,
    names: Vec<Pattern>,
    /// Ids of images, and names as they were typed.
    ancestors: Vec<(Option<String>, String)>,
    before: Option<(i64, u32)>,
    since: Option<(i64, u32)>,
}

impl<'a> Selection<'a> {
    fn new(store: &Store, found: &[Summary], filters: &'a Filters) -> Result<Self, Failure> {
        let bad = |key: &str, value: &str, good: &str| {
            Failure::user(format!("invalid filter '{key}={}'", value.escape_debug()))
                .hint(format!("use {good}"))
        };
        if let Some(status) = filters.values("status").find(|status| !STATUSES.contains(status)) {
            return Err(bad("status", status, &STATUSES.join(", ")));
        }
        if let Some(code) = filters.values("exited").find(|code| code.parse::<i32>().is_err()) {
            return Err(bad("exited", code, "an exit code"));
        }
        const HEALTHS: &[&str] = &["healthy", "none", "starting", "unhealthy"];
        if let Some(health) = filters.values("health").find(|health| !HEALTHS.contains(health)) {
            return Err(bad("health", health, &HEALTHS.join(", ")));
        }
        filters.boolean("is-task")?;
        let names = filters
            .values("name")
            .map(|name| Pattern::new(name).ok_or_else(|| bad("name", name, "a name or a simple pattern")))
            .collect::<Result<_, _>>()?;
        let time = |key: &str| {
            filters.values(key).last().map(|wanted| {
                let named = |one: &&Summary| {
                    one.record.name.as_deref() == Some(wanted.trim_start_matches('/'))
                        || one.id.as_str().starts_with(wanted)
                };
                let one = found.iter().find(named).map(created);
                one.ok_or_else(|| Failure::user(format!("no such container: {}", wanted.escape_debug())))
            })
        };
        let ancestors = filters
            .values("ancestor")
            .map(|name| {
                let image = store.inspect(name).ok().map(|details| details.image.id.to_string());
                (image, name.to_owned())
            })
            .collect();
        let (before, since) = (time("before").transpose()?, time("since").transpose()?);
        Ok(Self { filters, names, ancestors, before, since })
    }

    fn holds(&self, containers: &Containers<'_>, one: &Summary) -> bool {
        let filters = self.filters;
        if filters.is_empty() {
            return true;
        }
        let (record, state) = (&one.record, &one.state);
        let name = record.name.as_deref().unwrap_or_default();
        let rooted = format!("/{name}");
        let is_of = |(id, typed): &(Option<String>, String)| {
            id.as_ref() == Some(&record.image_id) || *typed == record.image
        };
        (self.names.is_empty()
            || self.names.iter().any(|pattern| pattern.is_in(name) || pattern.is_in(&rooted)))
            && filters.any("id", |id| one.id.as_str().starts_with(id))
            && filters.labels(|key| record.labels.get(key).map(String::as_str))
            && filters.any("status", |status| state.status.name() == status)
            && filters.any("exited", |code| {
                state.status == LifeStatus::Exited && code.parse() == Ok(i32::from(state.exit_code))
            })
            && (self.ancestors.is_empty() || self.ancestors.iter().any(is_of))
            && self.before.is_none_or(|before| created(one) < before)
            && self.since.is_none_or(|since| created(one) > since)
            && filters.any("is-task", |value| matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False"))
            && filters.any("volume", |wanted| is_mounted(record, wanted))
            && filters.any("network", |wanted| network(record) == wanted)
            && filters.any("publish", |wanted| is_published(record, wanted))
            && filters.any("expose", |wanted| is_exposed(record, wanted))
            && (!filters.has("health") || {
                let health = health_of(containers, one);
                filters.any("health", |wanted| health.as_deref().unwrap_or("none") == wanted)
            })
    }
}

/// By the volume's name, the source or the destination.
fn is_mounted(record: &container::Record, wanted: &str) -> bool {
    let mut mounts = record.mounts.iter();
    mounts.any(|mount| [&mount.name, &mount.source, &mount.destination].iter().any(|text| *text == wanted))
}

/// `port[/protocol]` of the container, tcp unless it says.
fn is_published(record: &container::Record, wanted: &str) -> bool {
    let (port, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    record.network.ports.iter().any(|publish| {
        publish.protocol.to_string() == protocol
            && port.parse().is_ok_and(|port| (publish.container.0..=publish.container.1).contains(&port))
    })
}

/// `port[/protocol]`, tcp unless it says.
fn is_exposed(record: &container::Record, wanted: &str) -> bool {
    let whole = |port: &str| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
    let wanted = whole(wanted);
    record.network.exposed.iter().any(|port| whole(port) == wanted)
}
