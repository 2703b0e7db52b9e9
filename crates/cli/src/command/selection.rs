//! Which containers `--filter` selects, in `ps` and in commands that do the same to several.

use container::{Containers, LifeStatus, Summary};
use store::Store;

use crate::command::ps::{created, health_of, network};
use crate::error::Failure;
use crate::format::{Filters, Pattern};

/// The keys.
pub(super) const FILTERS: &[&str] = &[
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "label!", "name",
    "network", "publish", "since", "status", "volume",
];
/// Docker's words for what a container does.
const STATUSES: &[&str] = &["created", "dead", "exited", "paused", "removing", "restarting", "running"];
/// What `--filter` selects, its values parsed once.
pub(super) struct Selection<'a> {
    filters: &'a Filters,
    names: Vec<Pattern>,
    /// Ids of images, and names as they were typed.
    ancestors: Vec<(Option<String>, String)>,
    before: Option<(i64, u32)>,
    since: Option<(i64, u32)>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(store: &Store, found: &[Summary], filters: &'a Filters) -> Result<Self, Failure> {
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

    pub(super) fn holds(&self, containers: &Containers<'_>, one: &Summary) -> bool {
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
