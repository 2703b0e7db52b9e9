//! `brig push`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Parser;
use files::atomic::{self, Durability};
use oci::Reference;
use registry::{Pushed, Target};
use store::Store;

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::remote::{self, Remote, of_image, of_registry};
use crate::{output, site};

/// Send images to a registry
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig push [FLAGS] IMAGE [NAME[:TAG]]",
    after_help = "Examples:
  brig push localhost:5000/app:1
  brig push app:1 registry.example/team/app:1
  brig push --digestfile digest.txt registry.example/team/app
  brig push -a registry.example/team/app"
)]
struct Push {
    /// All tags of the repository that are here
    #[arg(long, short = 'a')]
    all_tags: bool,
    /// File that gets the digest of the manifest
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Print nothing but the name
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Accepted for docker's sake
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    disable_content_trust: Option<Option<bool>>,
    #[command(flatten)]
    remote: Remote,
    /// A name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where to, if it is not its name
    #[arg(value_name = "NAME[:TAG]", conflicts_with = "all_tags")]
    target: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Push = command::parse("brig push", args)?;
    let store = site::tidy_store(global)?;
    let reference = match &flags.target {
        Some(target) => command::reference(target.strip_prefix("docker://").unwrap_or(target))?,
        None => command::reference(&flags.image)?,
    };
    if reference.digest().is_some() {
        return Err(Failure::user("an image is pushed under a tag: its digest is its content's")
            .hint("`brig push IMAGE NAME:TAG`"));
    }
    if !flags.all_tags {
        return one(global, &store, &flags, &flags.image, &reference).map(|()| 0);
    }
    let names = store.names().map_err(site::of_store)?;
    let tags: Vec<Reference> = names
        .into_iter()
        .filter_map(|named| named.reference)
        .filter(|name| name.name() == reference.name() && name.tag().is_some() && name.digest().is_none())
        .collect();
    if tags.is_empty() {
        return Err(site::of_store(store::Error::NotFound { name: reference.familiar_name() }));
    }
    for tag in tags {
        one(global, &store, &flags, &tag.to_string(), &tag)?;
    }
    Ok(0)
}

fn one(global: &Global, store: &Store, flags: &Push, image: &str, to: &Reference) -> Result<(), Failure> {
    let found = store.find(image).map_err(site::of_store)?;
    // Mirrors are to read; the last source is the place itself.
    let sources = remote::configuration()?.sources(to).map_err(of_registry)?;
    let source = sources.last().ok_or_else(|| Failure::user("registries.conf leaves no place to push to"))?;
    let repository = flags.remote.open(source)?;
    if !flags.quiet {
        output::print(&format!("The push refers to repository [{}]\n", to.name()))?;
    }
    let mut lines = String::new();
    let mut each = |blob: &oci::image::Descriptor, pushed: Pushed| {
        let words = match pushed {
            Pushed::Known => "Layer already exists",
            Pushed::Mounted => "Mounted from another repository",
            Pushed::Sent => "Pushed",
        };
        if blob.digest != found.id {
            lines.push_str(&format!("{}: {words}\n", blob.digest.short()));
        }
    };
    let target = Target::of(to);
    let pushed =
        image::push(store, &found, &repository, &target, &source.registry, &mut each).map_err(of_image)?;
    global.note.object("image", &found.id.to_string(), &to.familiar(), &["push"]);
    if let Some(path) = &flags.digestfile {
        write(path, &pushed.digest.to_string())?;
    }
    if flags.quiet {
        return output::print(&format!("{to}\n"));
    }
    let tag = to.tag().unwrap_or_default();
    output::print(&format!("{lines}{tag}: digest: {} size: {}\n", pushed.digest, pushed.size))
}

/// Puts a text in a file's place.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: files::Error| {
        Failure::user(format!("`--digestfile {}`: {}", path.display(), files::chain(&error)))
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| Failure::user("`--digestfile` names no file"))?;
    let directory = files::open_directory(parent).map_err(failed)?;
    atomic::write(directory.as_fd(), name, text.as_bytes(), 0o644, Durability::Volatile).map_err(failed)
}
