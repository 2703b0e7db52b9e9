//! `brig import`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};

use clap::Parser;
use oci::Reference;
use store::ImportOptions;

use crate::command::{self, platform};
use crate::error::Failure;
use crate::global::Global;
use crate::progress::{self, Progress};
use crate::{output, site};

/// Make an image of the tar archive of a root file system
#[derive(Debug, Parser)]
#[command(override_usage = "brig import [FLAGS] FILE|- NAME[:TAG]")]
struct Import {
    /// Dockerfile instruction for the configuration, such as `CMD ["bash"]`
    #[arg(long, short = 'c', value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Remark for the image's history
    #[arg(long, short = 'm', value_name = "TEXT")]
    message: Option<String>,
    /// Platform of the image, as linux/amd64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Print nothing
    #[arg(long, short = 'q')]
    quiet: bool,
    /// The archive (plain, gzip or zstd), or `-` for standard input
    #[arg(value_name = "FILE")]
    file: OsString,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Import = command::parse("brig import", args)?;
    let reference: Reference = command::reference(&flags.name)?;
    let mut size = None;
    let mut reader: Box<dyn Read> = if flags.file == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&flags.file)
            .map_err(|error| Failure::user(format!("open `{}`: {error}", flags.file.display())))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            let directory = flags.file.display();
            return Err(Failure::user(format!("`{directory}` is a directory, not an archive"))
                .hint(format!("tar -C {directory} -c . | brig import - {}", flags.name)));
        }
        size = progress::size(&file);
        Box::new(file)
    };
    let options = ImportOptions {
        changes: flags.change,
        message: flags.message,
        platform: flags.platform.as_deref().map(platform).transpose()?,
    };
    let progress = Progress::start(global, flags.quiet, &format!("import {}", flags.name));
    let mut store = site::tidy_store(global)?;
    progress.begin("reading", size);
    store.measure(progress.meter());
    let image = store.import(reader.as_mut(), &reference, &options).map_err(site::of_store)?;
    drop(progress);
    global.note.object("image", &image.id.to_string(), &flags.name, &["import"]);
    if !flags.quiet {
        output::print(&format!("{}\n", image.id))?;
    }
    Ok(0)
}
