//! `brig images`.

use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use serde::Serialize;
use store::Listed;

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::text::{ago, parse_time, size};
use crate::{output, site};

/// List images
#[derive(Debug, Parser)]
#[command(override_usage = "brig images [FLAGS] [NAME[:TAG]]")]
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
    /// `table` or `json`, one object a line
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Accepted for docker's sake: every image is listed
    #[arg(long, short = 'a', hide = true)]
    all: bool,
    /// Only images of this name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// One line of `--format json`: docker's names.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(rename = "Repository")]
    repository: String,
    #[serde(rename = "Tag")]
    tag: String,
    #[serde(rename = "Digest")]
    digest: String,
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "CreatedAt")]
    created_at: String,
    #[serde(rename = "CreatedSince")]
    created_since: String,
    #[serde(rename = "Size")]
    size: String,
}

/// What stands for a missing name, as in docker.
const NONE: &str = "<none>";

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Images = command::parse("brig images", args)?;
    let store = site::tidy_store(global)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let lines: Vec<Line> = store
        .images()
        .map_err(site::of_store)?
        .iter()
        .map(|image| line(image, flags.no_trunc, now))
        .filter(|line| flags.name.as_deref().is_none_or(|name| matches(line, name)))
        .collect();
    if flags.quiet {
        let mut ids: Vec<&str> = lines.iter().map(|line| line.id.as_str()).collect();
        ids.dedup();
        output::print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())?;
        return Ok(0);
    }
    match flags.format.as_deref() {
        None | Some("table") => output::print(&table(&lines, flags.digests))?,
        Some("json" | "{{json .}}") => {
            let mut text = String::new();
            for line in &lines {
                text.push_str(&serde_json::to_string(line).map_err(Failure::environment)?);
                text.push('\n');
            }
            output::print(&text)?;
        }
        Some(other) => {
            return Err(Failure::user(format!("format `{other}` is not known: use table or json")));
        }
    }
    Ok(0)
}

fn line(image: &Listed, whole: bool, now: u64) -> Line {
    let reference = image.reference.as_ref();
    let created = image.created.clone().unwrap_or_default();
    Line {
        repository: reference.map_or_else(|| NONE.to_owned(), oci::Reference::familiar_name),
        tag: reference.and_then(oci::Reference::tag).unwrap_or(NONE).to_owned(),
        digest: image.manifest.to_string(),
        id: if whole { image.id.to_string() } else { image.id.short() },
        created_since: parse_time(&created)
            .map_or_else(|| "N/A".to_owned(), |time| ago(now.saturating_sub(time))),
        created_at: created,
        size: size(image.size),
    }
}

/// Whether a line is of this name; a name without tag means all tags.
fn matches(line: &Line, name: &str) -> bool {
    line.repository == name || format!("{}:{}", line.repository, line.tag) == name
}

fn table(lines: &[Line], digests: bool) -> String {
    let mut heading = vec!["REPOSITORY", "TAG"];
    if digests {
        heading.push("DIGEST");
    }
    heading.extend(["IMAGE ID", "CREATED", "SIZE"]);
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let mut row = vec![line.repository.clone(), line.tag.clone()];
            if digests {
                row.push(line.digest.clone());
            }
            row.extend([line.id.clone(), line.created_since.clone(), line.size.clone()]);
            row
        })
        .collect();
    output::table(&heading, &rows)
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
            labels: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn the_table_is_dockers() {
        let now = parse_time("2026-11-22T02:00:00Z").unwrap();
        let lines = [line(&listed(Some("debian:12")), false, now), line(&listed(None), false, now)];
        let text = table(&lines, false);
        let id = oci::Digest::of(b"id").short();
        assert_eq!(
            text,
            format!(
                "REPOSITORY   TAG      IMAGE ID       CREATED       SIZE\ndebian       12       {id}   2 hours ago   4.27MB\n<none>       <none>   {id}   2 hours ago   4.27MB\n"
            )
        );
    }

    #[test]
    fn a_name_selects() {
        let line = line(&listed(Some("debian:12")), false, 0);
        for (name, expected) in [("debian", true), ("debian:12", true), ("debian:11", false), ("deb", false)]
        {
            assert_eq!(matches(&line, name), expected, "{name}");
        }
    }
}
