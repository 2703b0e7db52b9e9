//! `brig commit`.

use std::ffi::OsString;

use clap::{ArgAction, Parser};
use container::Containers;
use store::CommitOptions;

use crate::command;
use crate::command::run::failure;
use crate::error::Failure;
use crate::global::Global;
use crate::progress::Progress;
use crate::{input, output, site};

/// Make an image of a container's changes
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig commit [FLAGS] CONTAINER [NAME[:TAG]]",
    after_help = "Examples:\n  brig commit web web:patched\n  brig commit -c 'CMD [\"nginx\"]' -m 'security fix' web web:2"
)]
struct Commit {
    /// Who made it
    #[arg(long, short = 'a', value_name = "NAME")]
    author: Option<String>,
    /// Dockerfile instruction for the configuration, such as `ENV A=b`
    #[arg(long, short = 'c', value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Remark for the image's history
    #[arg(long, short = 'm', value_name = "TEXT")]
    message: Option<String>,
    /// Freeze the container meanwhile
    #[arg(
        long,
        short = 'p',
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    pause: bool,
    /// As --pause=false
    #[arg(long, conflicts_with = "pause")]
    no_pause: bool,
    /// Write the image's id to a file that does not exist yet
    #[arg(long, value_name = "FILE")]
    iidfile: Option<String>,
    /// `oci`: the one format that images are kept in
    #[arg(long, short = 'f', value_name = "FORMAT")]
    format: Option<String>,
    /// Make one layer of all, not one more
    #[arg(long, short = 's')]
    squash: bool,
    /// Print nothing
    #[arg(long, short = 'q')]
    quiet: bool,
    /// A container's name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Commit = command::parse("brig commit", args)?;
    if let Some(format) = flags.format.as_deref().filter(|format| *format != "oci") {
        return Err(Failure::user(format!("`--format` cannot be `{format}`: images are kept as oci"))
            .hint("`brig save --format docker-archive` writes docker's format"));
    }
    let reference = flags.name.as_deref().map(command::reference).transpose()?;
    let progress = Progress::start(global, flags.quiet, &format!("commit {}", flags.container));
    let (mut store, _) = site::store(global)?;
    store.measure(progress.meter());
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let id = containers.find(&flags.container).map_err(failure)?;
    let id_file = flags.iidfile.as_deref().map(input::create_new).transpose()?;
    let options = CommitOptions {
        reference,
        changes: flags.change,
        author: flags.author,
        message: flags.message,
        squash: flags.squash,
        ..CommitOptions::default()
    };
    let pause = flags.pause && !flags.no_pause;
    global.note.container(&containers, &id);
    command::warn_of_confinement(global);
    progress.begin("packing", None);
    let (image, notes) = container::commit(&store, &containers, &id, pause, options).map_err(failure)?;
    drop(progress);
    global.note.happened_by_command();
    global.note.object(
        "image",
        &image.id.to_string(),
        flags.name.as_deref().unwrap_or_default(),
        &["create"],
    );
    for note in &notes {
        global.log.warning(note);
    }
    if let Some(file) = id_file {
        files::write_all(&file, image.id.to_string().as_bytes()).map_err(Failure::environment)?;
    }
    if !flags.quiet {
        output::print(&format!("{}\n", image.id))?;
    }
    Ok(0)
}
