//! `brig images`.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::Parser;
use serde_json::{Value, json};
use store::{Listed, Store};

use crate::command::{self, tree};
use crate::error::Failure;
use crate::format::{self, Filters, Listing, NONE, Pattern, ago, date, parse_moment, parse_time, size};
use crate::global::Global;
use crate::{output, site};

/// List images
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig images [FLAGS] [NAME[:TAG]]",
    after_help = "Examples:
  brig images
  brig images 'debian*'
  brig images --filter dangling=true -q
  brig images --tree
  brig images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"
)]
struct Images {
    /// Print ids only
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Print manifest digests too
    #[arg(long)]
    digests: bool,
    /// Only what matches: before, dangling, label, reference, since, until
    #[arg(long, short = 'f', value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// `table`, `table TEMPLATE`, `json` or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Leave out the heading
    #[arg(long, short = 'n')]
    noheading: bool,
    /// Show the platform of each image below it
    #[arg(long, conflicts_with_all = ["quiet", "format", "digests"])]
    tree: bool,
    /// Accepted for docker's sake: every image is listed
    #[arg(long, short = 'a', hide = true)]
    all: bool,
    /// Only images of this name; `*` stands for anything but a slash
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

const FIELDS: &[(&str, &str)] = &[
    ("Containers", "CONTAINERS"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];
const PLAIN: Listing = Listing {
    fields: FIELDS,
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    quiet: "{{.ID}}",
};
const WITH_DIGESTS: Listing = Listing {
    table: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    ..PLAIN
};
const FILTERS: &[&str] = &["before", "dangling", "label", "label!", "reference", "since", "until"];

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Images = command::parse("brig images", args)?;
    let listing = if flags.digests { WITH_DIGESTS } else { PLAIN };
    let mut show = listing.show(flags.format.as_deref(), flags.quiet)?;
    show.heading = !flags.noheading;
    let filters = Filters::parse(&flags.filter, FILTERS)?;
    let store = site::tidy_store(global)?;
    let now = format::now();
    let selection = Selection::new(&store, &filters, flags.name.as_deref(), now)?;
    let mut images = store.images().map_err(site::of_store)?;
    images.retain(|image| selection.holds(image));
    // As docker: the newest first; those of one age by name.
    images.sort_by_key(|image| std::cmp::Reverse(created(image)));
    if flags.tree {
        return tree::list(global, &store, &images, !flags.noheading);
    }
    if flags.quiet {
        let mut seen = HashSet::new();
        images.retain(|image| seen.insert(image.id));
        let id = |image: &Listed| if flags.no_trunc { image.id.to_string() } else { image.id.short() };
        output::print(&images.iter().map(|image| id(image) + "\n").collect::<String>())?;
        return Ok(0);
    }
    let rows: Vec<Value> = images.iter().map(|image| row(image, flags.no_trunc, now)).collect();
    listing.print(&show, &rows)?;
    Ok(0)
}

fn created(image: &Listed) -> u64 {
    image.created.as_deref().and_then(parse_time).unwrap_or(0)
}

fn row(image: &Listed, whole: bool, now: u64) -> Value {
    let reference = image.reference.as_ref();
    let time = image.created.as_deref().and_then(parse_time);
    let bytes = size(image.size);
    json!({
        "Containers": "N/A",
        "CreatedAt": time.map_or_else(|| "N/A".to_owned(), date),
        "CreatedSince": time.map_or_else(|| "N/A".to_owned(), |time| ago(now.saturating_sub(time))),
        "Digest": image.manifest.to_string(),
        "ID": if whole { image.id.to_string() } else { image.id.short() },
        "Repository": reference.map_or_else(|| NONE.to_owned(), oci::Reference::familiar_name),
        "SharedSize": "N/A",
        "Size": bytes,
        "Tag": reference.and_then(oci::Reference::tag).unwrap_or(NONE),
        "UniqueSize": "N/A",
        "VirtualSize": bytes,
    })
}

/// What `--filter` and the name select.
struct Selection<'a> {
    filters: &'a Filters,
    dangling: Option<bool>,
    names: Vec<Pattern>,
    name: Option<Pattern>,
    before: Option<u64>,
    since: Option<u64>,
}

impl<'a> Selection<'a> {
    fn new(store: &Store, filters: &'a Filters, name: Option<&str>, now: u64) -> Result<Self, Failure> {
        let pattern = |text: &str| {
            Pattern::glob(text)
                .ok_or_else(|| Failure::user(format!("`{}` is no pattern of names", text.escape_debug())))
        };
        let time_of = |text: &str| {
            let image = store.inspect(text).map_err(site::of_store)?;
            Ok(image.image.configuration.created.as_deref().and_then(parse_time).unwrap_or(0))
        };
        let latest = |key: &str| filters.values(key).map(time_of).next().transpose();
        let until = filters.values("until").map(|text| {
            parse_moment(text, now)
                .ok_or_else(|| Failure::user(format!("`{}` is no time", text.escape_debug())))
        });
        let mut before: Option<u64> = latest("before")?;
        for time in until {
            let time = time?;
            before = Some(before.map_or(time, |before| before.min(time)));
        }
        Ok(Self {
            filters,
            dangling: filters.boolean("dangling")?,
            names: filters.values("reference").map(pattern).collect::<Result<_, _>>()?,
            name: name.map(pattern).transpose()?,
            before,
            since: latest("since")?,
        })
    }

    fn holds(&self, image: &Listed) -> bool {
        let is_named = |pattern: &Pattern| {
            image.reference.as_ref().is_some_and(|reference| {
                [reference.familiar(), reference.familiar_name(), reference.to_string(), reference.name()]
                    .iter()
                    .any(|name| pattern.is_in(name))
            })
        };
        self.dangling.is_none_or(|wanted| wanted == image.reference.is_none())
            && (self.names.is_empty() || self.names.iter().any(is_named))
            && self.name.as_ref().is_none_or(is_named)
            && self.before.is_none_or(|before| created(image) < before)
            && self.since.is_none_or(|since| created(image) > since)
            && self.filters.labels(|key| image.labels.get(key).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: Option<&str>) -> Listed {
        Listed {
            reference: name.map(|name| name.parse().unwrap()),
            id: oci::Digest::of(b"id"),
            manifest: oci::Digest::of(b"manifest"),
            created: Some("2026-11-22T00:00:00Z".into()),
            size: 4_270_000,
            labels: std::collections::BTreeMap::from([("a".to_owned(), "1".to_owned())]),
        }
    }

    #[test]
    fn rows_are_dockers() {
        let now = parse_time("2026-11-22T02:00:00Z").unwrap();
        let row = row(&listed(Some("debian:12")), false, now);
        for (field, expected) in [
            ("Repository", "debian"),
            ("Tag", "12"),
            ("CreatedSince", "2 hours ago"),
            ("CreatedAt", "2026-11-22 00:00:00 +0000 UTC"),
            ("Size", "4.27MB"),
        ] {
            assert_eq!(row[field], expected);
        }
        for (field, _) in FIELDS {
            assert!(row[field].is_string(), "{field}");
        }
    }

    #[test]
    fn names_and_filters_select() {
        let (named, dangling) = (listed(Some("debian:12")), listed(None));
        for (name, filters, expected) in [
            (Some("debian"), &[][..], [true, false]),
            (Some("debian:12"), &[], [true, false]),
            (Some("debian:11"), &[], [false, false]),
            (Some("deb"), &[], [false, false]),
            (Some("d*:1?"), &[], [true, false]),
            (None, &["dangling=true"], [false, true]),
            (None, &["dangling=0"], [true, false]),
            (None, &["label=a=1"], [true, true]),
            (None, &["label!=a"], [false, false]),
            (None, &["reference=x", "reference=docker.io/library/deb*"], [true, false]),
        ] {
            let filters: Vec<String> = filters.iter().map(|text: &&str| (*text).to_owned()).collect();
            let filters = Filters::parse(&filters, FILTERS).unwrap();
            let pattern = |text: &str| Pattern::glob(text).unwrap();
            let selection = Selection {
                filters: &filters,
                dangling: filters.boolean("dangling").unwrap(),
                names: filters.values("reference").map(pattern).collect(),
                name: name.map(pattern),
                before: None,
                since: None,
            };
            assert_eq!(
                [selection.holds(&named), selection.holds(&dangling)],
                expected,
                "{name:?} {filters:?}"
            );
        }
    }
}
