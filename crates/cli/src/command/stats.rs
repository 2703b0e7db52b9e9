//! `brig stats`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Parser;
use container::value::name::ContainerId;
use container::{Containers, LATEST, Running, Sample};
use serde_json::{Value, json};

use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::format::{Listing, Show, binary_size, short_id, size};
use crate::global::Global;
use crate::{output, site};

/// Between the two samples of `--no-stream`: long enough for the kernel's counters, short enough for a person.
const FIRST: Duration = Duration::from_millis(250);

const LISTING: Listing = Listing {
    fields: &[
        ("BlockIO", "BLOCK I/O"),
        ("CPUPerc", "CPU %"),
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("MemPerc", "MEM %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("Name", "NAME"),
        ("NetIO", "NET I/O"),
        ("PIDs", "PIDS"),
    ],
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    quiet: "{{.ID}}",
};

/// Show what containers use
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig stats [FLAGS] [CONTAINER...]",
    after_help = "Examples:\n  brig stats --no-stream\n  brig stats --format '{{.Name}} {{.MemUsage}}' web"
)]
struct Stats {
    /// Show containers that do not run, too
    #[arg(long, short = 'a')]
    all: bool,
    /// table, json, or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Seconds between two lists
    #[arg(long, short = 'i', value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
    /// Do not clear the screen between two lists
    #[arg(long)]
    no_reset: bool,
    /// Print one list
    #[arg(long)]
    no_stream: bool,
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// The one that was made last
    #[arg(long, short = 'l', conflicts_with = "containers")]
    latest: bool,
    /// Names, ids or beginnings of ids; all that run without one
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

type Samples = BTreeMap<String, Sample>;

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Stats = command::parse("brig stats", args)?;
    if flags.latest {
        flags.containers.push(LATEST.to_owned());
    }
    let mut show = LISTING.show(flags.format.as_deref(), false)?;
    site::with(global, |site, _| {
        let containers = site.containers;
        let named = named(containers, &flags.containers)?;
        let mut earlier = sample(&chosen(containers, &flags, &named)?, containers);
        if earlier.values().any(|sample| sample.summed) {
            global.log.warning(
                "without a control group of its own a container's numbers are sums over its processes that live",
            );
        }
        std::thread::sleep(FIRST);
        let is_screen = std::io::stdout().is_terminal() && !flags.no_stream && !flags.no_reset;
        loop {
            let begin = Instant::now();
            let chosen = chosen(containers, &flags, &named)?;
            let samples = sample(&chosen, containers);
            if is_screen {
                output::print(output::CLEAR)?;
            }
            print(&show, &flags, &chosen, &samples, &earlier)?;
            if flags.no_stream {
                return Ok(0);
            }
            // One heading for a reader that is no screen.
            show.heading = is_screen || flags.no_reset;
            earlier = samples;
            std::thread::sleep(Duration::from_secs(flags.interval).saturating_sub(begin.elapsed()));
        }
    })
}

/// A container that is shown: its id and its name.
#[derive(Clone, Debug)]
struct Shown {
    id: ContainerId,
    name: String,
}

fn named(containers: &Containers<'_>, names: &[String]) -> Result<Vec<ContainerId>, Failure> {
    names.iter().map(|name| containers.find(name).map_err(failure)).collect()
}

/// What is shown now: those that were named, or all that run.
fn chosen(containers: &Containers<'_>, flags: &Stats, named: &[ContainerId]) -> Result<Vec<Shown>, Failure> {
    let name = |id: &ContainerId| {
        let record = containers.record(id).ok().flatten();
        record.and_then(|record| record.name).unwrap_or_else(|| id.short().to_owned())
    };
    if !flags.containers.is_empty() {
        return Ok(named.iter().map(|id| Shown { id: id.clone(), name: name(id) }).collect());
    }
    let mut shown: Vec<(i64, Shown)> = containers
        .list()
        .map_err(failure)?
        .into_iter()
        .filter(|summary| flags.all || summary.state.status.is_running())
        .map(|summary| {
            let name = summary.record.name.unwrap_or_else(|| summary.id.short().to_owned());
            (summary.record.created, Shown { id: summary.id, name })
        })
        .collect();
    // The newest first, as in `ps`.
    shown.sort_by(|(one, first), (other, second)| other.cmp(one).then_with(|| first.name.cmp(&second.name)));
    Ok(shown.into_iter().map(|(_, shown)| shown).collect())
}

/// A container that does not run has none.
fn sample(shown: &[Shown], containers: &Containers<'_>) -> Samples {
    let of = |shown: &Shown| Running::open(containers, &shown.id).and_then(|running| running.sample()).ok();
    shown.iter().filter_map(|shown| Some((shown.id.to_string(), of(shown)?))).collect()
}

fn print(
    show: &Show,
    flags: &Stats,
    shown: &[Shown],
    samples: &Samples,
    earlier: &Samples,
) -> Result<(), Failure> {
    let row = |shown: &Shown| {
        let id = shown.id.as_str();
        let sample = samples.get(id);
        let load = sample.zip(earlier.get(id)).and_then(|(now, before)| now.load_since(before));
        let shown_id = if flags.no_trunc { id } else { short_id(id) };
        row(shown_id, &shown.name, sample, load)
    };
    LISTING.print(show, &shown.iter().map(row).collect::<Vec<_>>())
}

fn row(id: &str, name: &str, sample: Option<&Sample>, load: Option<u64>) -> Value {
    // Docker's sign for what is not known.
    let unknown = || "--".to_owned();
    let pair = |bytes: Option<(u64, u64)>| {
        bytes.map_or_else(|| "-- / --".to_owned(), |(one, other)| format!("{} / {}", size(one), size(other)))
    };
    let percent = |hundredths: u64| format!("{}.{:02}%", hundredths / 100, hundredths % 100);
    let memory = sample.and_then(|sample| Some((sample.memory?, sample.memory_limit)));
    json!({
        "BlockIO": pair(sample.and_then(|sample| sample.block)),
        "CPUPerc": load.map_or_else(unknown, percent),
        "Container": id,
        "ID": id,
        "MemPerc": sample.and_then(Sample::memory_share).map_or_else(unknown, percent),
        "MemUsage": memory.map_or_else(
            || "-- / --".to_owned(),
            |(used, limit)| format!("{} / {}", binary_size(used), binary_size(limit)),
        ),
        "Name": name,
        "NetIO": pair(sample.and_then(|sample| sample.network)),
        "PIDs": sample.and_then(|sample| sample.pids).map_or_else(unknown, |pids| pids.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_dockers() {
        let sample = Sample {
            time: Instant::now(),
            cpu: Some(1),
            memory: Some(3 << 20),
            memory_limit: 1 << 30,
            pids: Some(2),
            network: Some((1500, 0)),
            block: None,
            summed: false,
        };
        let row = row("abc", "web", Some(&sample), Some(123));
        for (field, expected) in [
            ("CPUPerc", "1.23%"),
            ("MemUsage", "3MiB / 1GiB"),
            ("MemPerc", "0.29%"),
            ("NetIO", "1.5kB / 0B"),
            ("BlockIO", "-- / --"),
            ("PIDs", "2"),
        ] {
            assert_eq!(row[field], expected, "{field}");
        }
        let row = super::row("abc", "web", None, None);
        for field in ["CPUPerc", "MemPerc", "PIDs"] {
            assert_eq!(row[field], "--", "{field}");
        }
    }
}
