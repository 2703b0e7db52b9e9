//! `brig save`.

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;

use clap::{Parser, ValueEnum};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use store::SaveFormat;

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::progress::Progress;
use crate::site;
use crate::target::Target;

/// Bytes written at once.
const BUFFER: usize = 256 << 10;

/// Write images to an archive or a directory
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig save [FLAGS] IMAGE [IMAGE...]",
    after_help = "Examples:\n  brig save -o web.tar web:1 web:2\n  brig save --format oci-dir -o layout web:1\n  brig save web:1 | ssh host brig load"
)]
struct Save {
    /// Write to this file or directory; an archive to standard output if unset
    #[arg(long, short = 'o', value_name = "FILE|DIR")]
    output: Option<OsString>,
    /// docker-archive, oci-archive, oci-dir or docker-dir
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive", hide_possible_values = true)]
    format: Format,
    /// Accepted for podman's sake: an archive may hold several images
    #[arg(long, short = 'm', hide = true)]
    multi_image_archive: bool,
    /// Show no progress
    #[arg(long, short = 'q', hide = true)]
    quiet: bool,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    DockerArchive,
    OciArchive,
    OciDir,
    DockerDir,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Save = command::parse("brig save", args)?;
    let format = match flags.format {
        Format::DockerArchive => SaveFormat::DockerArchive,
        Format::OciArchive => SaveFormat::OciArchive,
        Format::OciDir => SaveFormat::OciDirectory,
        Format::DockerDir => SaveFormat::DockerDirectory,
    };
    let progress = Progress::start(global, flags.quiet, "save");
    let (mut store, _) = site::store(global)?;
    store.measure(progress.meter());
    if matches!(format, SaveFormat::OciDirectory | SaveFormat::DockerDirectory) {
        let Some(output) = &flags.output else {
            return Err(Failure::user("a directory is not written to standard output")
                .hint("name the directory with `-o DIR`"));
        };
        let saving = store.prepare_save(&flags.images).map_err(site::of_store)?;
        let directory = empty_directory(Path::new(output))?;
        store.save_directory(&saving, format, directory.as_fd()).map_err(site::of_store)?;
        return Ok(0);
    }
    if flags.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::user("standard output is a terminal").hint("name a file with `-o FILE`"));
    }
    let saving = store.prepare_save(&flags.images).map_err(site::of_store)?;
    let target = Target::create(flags.output.as_deref())?;
    let out = BufWriter::with_capacity(BUFFER, target.file()?);
    store.save_archive(&saving, format, out).map_err(site::of_store)?;
    target.finish()?;
    Ok(0)
}

/// Makes a directory, or takes one that is empty: what somebody else put there is not mixed with ours.
fn empty_directory(path: &Path) -> Result<std::os::fd::OwnedFd, Failure> {
    let failed = |errno: Errno| Failure::user(format!("write `{}`: {errno}", path.display()));
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    for entry in rustix::fs::Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Err(Failure::user(format!("`{}` is not empty", path.display()))
                .hint("name a directory that is not there yet"));
        }
    }
    Ok(directory)
}
