//! `brig pull`.

use std::ffi::OsString;

use clap::Parser;
use image::Pulled;
use oci::Reference;
use oci::image::Platform;
use registry::{Repository, Target};
use store::Store;

use crate::command::{self, platform};
use crate::error::Failure;
use crate::global::Global;
use crate::progress::Progress;
use crate::remote::{self, Remote, of_image, of_registry};
use crate::{output, site};

/// Get images from a registry
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig pull [FLAGS] NAME[:TAG|@DIGEST]...",
    after_help = "Examples:
  brig pull debian:12
  brig pull --platform linux/arm64 quay.io/team/app:1
  brig pull --policy newer localhost:5000/app
  brig pull -a localhost:5000/app"
)]
struct Pull {
    /// All tags of the repository
    #[arg(long, short = 'a')]
    all_tags: bool,
    /// Platform to choose where an image has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// When: always, missing, newer or never
    #[arg(long, value_name = "WHEN", default_value = "always")]
    policy: String,
    /// Print the name only
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Accepted for docker's sake
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    disable_content_trust: Option<Option<bool>>,
    #[command(flatten)]
    remote: Remote,
    /// Images
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// When an image is asked for that may be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Whether it is here or not.
    Always,
    /// If it is not here.
    Missing,
    /// If it is not here, or is another one there.
    Newer,
    /// Not at all.
    Never,
}

impl Policy {
    pub(crate) fn parse(flag: &str, text: &str) -> Result<Self, Failure> {
        Ok(match text {
            "always" | "true" => Self::Always,
            "missing" | "ifnotpresent" | "IfNotPresent" => Self::Missing,
            "newer" | "ifnewer" => Self::Newer,
            "never" | "false" => Self::Never,
            other => {
                let text = format!(
                    "`{flag}` cannot be `{}`: use always, missing, newer or never",
                    other.escape_debug()
                );
                return Err(Failure::user(text));
            }
        })
    }
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Pull = command::parse("brig pull", args)?;
    let policy = Policy::parse("--policy", &flags.policy)?;
    let platform = flags.platform.as_deref().map(platform).transpose()?;
    let mut store = site::tidy_store(global)?;
    let configuration = remote::configuration()?;
    for name in &flags.names {
        let name = name.strip_prefix("docker://").unwrap_or(name);
        let whole = configuration.full_name(name).map_err(of_registry)?;
        let reference = command::reference(&whole)?;
        let progress = Progress::start(global, flags.quiet, "pull");
        store.measure(progress.meter());
        if flags.all_tags {
            if whole != reference.familiar_name() && whole != reference.name() {
                return Err(Failure::user("`--all-tags` takes a name without tag and digest"));
            }
            all(global, &store, &flags, &reference, platform.as_ref())?;
            continue;
        }
        let text = one(global, &store, &flags.remote, &reference, platform.as_ref(), policy)?;
        drop(progress);
        output::print(&if flags.quiet { format!("{reference}\n") } else { text })?;
    }
    Ok(0)
}

/// Pulls an image as the policy says; what docker says of that.
pub(crate) fn one(
    global: &Global,
    store: &Store,
    remote: &Remote,
    reference: &Reference,
    platform: Option<&Platform>,
    policy: Policy,
) -> Result<String, Failure> {
    let here = match store.resolve(reference) {
        Ok(image) => Some(image),
        Err(error) if error.is_not_found() => None,
        // A damaged one is pulled again.
        Err(_) if policy != Policy::Never => None,
        Err(error) => return Err(site::of_store(error)),
    };
    let is_enough = here.is_some() && (policy == Policy::Missing || policy == Policy::Never);
    if is_enough {
        return Ok(format!("Status: Image is here already: {}\n{reference}\n", reference.familiar()));
    }
    if policy == Policy::Never {
        let missing = store::Error::NotFound { name: reference.familiar() };
        return Err(site::of_store(missing));
    }
    let pulled = match from_any(global, store, remote, reference, platform) {
        Err(failure) if policy == Policy::Newer && here.is_some() => {
            global.log.warning(&format!("the image here is used: {}", failure.chain()));
            return Ok(format!("{reference}\n"));
        }
        result => result?,
    };
    let words = if pulled.received.is_new { "Downloaded newer image for" } else { "Image is up to date for" };
    Ok(format!("Digest: {}\nStatus: {words} {}\n{reference}\n", pulled.digest, reference.familiar()))
}

/// Pulls from the first of its sources that has it: mirrors, then the registry itself.
fn from_any(
    global: &Global,
    store: &Store,
    remote: &Remote,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Pulled, Failure> {
    let sources = remote::configuration()?.sources(reference).map_err(of_registry)?;
    let last = sources.len().saturating_sub(1);
    for (at, source) in sources.iter().enumerate() {
        let result =
            remote.open(source).and_then(|repository| pull(global, store, &repository, reference, platform));
        match result {
            Err(failure) if at < last => {
                let place = format!("{}/{}", source.registry, source.repository);
                global
                    .log
                    .warning(&format!("the next source is tried, `{place}` failed: {}", failure.chain()));
            }
            result => return result,
        }
    }
    Err(Failure::user("registries.conf leaves no place to pull from"))
}

fn pull(
    global: &Global,
    store: &Store,
    repository: &Repository,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Pulled, Failure> {
    let target = Target::of(reference);
    let pulled = image::pull(store, repository, &target, reference, platform).map_err(of_image)?;
    global.note.object("image", &pulled.received.id.to_string(), &reference.familiar(), &["pull"]);
    let (own, host) = (&pulled.received.platform, Platform::host());
    if platform.is_none() && !own.runs_on(&host) {
        global.log.warning(&format!(
            "the image is for {}/{}, this machine is {}/{}",
            own.os, own.architecture, host.os, host.architecture
        ));
    }
    Ok(pulled)
}

fn all(
    global: &Global,
    store: &Store,
    flags: &Pull,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<(), Failure> {
    let sources = remote::configuration()?.sources(reference).map_err(of_registry)?;
    let source =
        sources.last().ok_or_else(|| Failure::user("registries.conf leaves no place to pull from"))?;
    let repository = flags.remote.open(source)?;
    for tag in repository.tags().map_err(of_registry)? {
        let tagged = reference.with_tag(&tag).map_err(|error| {
            Failure::environment(format!("the registry lists a tag that is none: {error}"))
        })?;
        let pulled = pull(global, store, &repository, &tagged, platform)?;
        let digest = if flags.quiet { String::new() } else { format!("Digest: {}\n", pulled.digest) };
        output::print(&format!("{digest}{tagged}\n"))?;
    }
    Ok(())
}
