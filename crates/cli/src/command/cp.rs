//! `brig cp`.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Parser;
use container::value::name::ContainerId;
use container::{Containers, CopyOptions, Place};

use crate::command::run::failure;
use crate::command::{self};
use crate::error::Failure;
use crate::format::size;
use crate::global::Global;
use crate::progress::Progress;
use crate::{output, site};

/// Copy files between containers and the host
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig cp [FLAGS] [CONTAINER:]SOURCE [CONTAINER:]TARGET",
    after_help = "Examples:\n  brig cp page.html web:/srv/           into a directory of the container\n  brig cp web:/etc/nginx/. conf         the content of a directory\n  brig cp web:/var/log - | tar -t       as a tar archive\n  tar -c . | brig cp - web:/srv\n\nPaths in a container begin at its root. A name of the host with a colon in it is written `./a:b`."
)]
struct Cp {
    /// Keep owners, set-id bits and capabilities of files
    #[arg(long, short = 'a')]
    archive: bool,
    /// Follow a source that is a symbolic link
    #[arg(long, short = 'L')]
    follow_link: bool,
    /// Let a directory and something else replace each other
    #[arg(long)]
    overwrite: bool,
    /// Do not say what was copied
    #[arg(long, short = 'q')]
    quiet: bool,
    /// A path, CONTAINER:PATH, or `-` for a tar archive on standard input
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// A path, CONTAINER:PATH, or `-` for a tar archive on standard output
    #[arg(value_name = "TARGET")]
    target: OsString,
}

/// One side as it was typed.
enum Typed {
    Host(PathBuf),
    Container(ContainerId, PathBuf),
    Stream,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Cp = command::parse("brig cp", args)?;
    let progress = Progress::start(global, flags.quiet, "cp");
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let source = typed(&containers, &flags.source)?;
    let target = typed(&containers, &flags.target)?;
    match (&source, &target) {
        (Typed::Host(_) | Typed::Stream, Typed::Host(_) | Typed::Stream) => {
            return Err(Failure::user("neither side is in a container")
                .hint("write a path of a container as `CONTAINER:PATH`"));
        }
        (_, Typed::Stream) if io::stdout().is_terminal() => {
            return Err(Failure::user("standard output is a terminal")
                .hint("write the archive to a file with `> FILE`, or read it with `| tar -t`"));
        }
        (Typed::Stream, _) if io::stdin().is_terminal() => {
            return Err(
                Failure::user("standard input is a terminal").hint("tar -c . | brig cp - CONTAINER:PATH")
            );
        }
        _ => {}
    }
    let options = CopyOptions {
        archive: flags.archive,
        follow: flags.follow_link,
        overwrite: flags.overwrite,
        meter: progress.meter(),
    };
    let (input, output) = (io::stdin(), io::stdout());
    let from = source.place(input.as_fd());
    let to = target.place(output.as_fd());
    for side in [&source, &target] {
        if let Typed::Container(id, _) = side {
            global.note.container(&containers, id);
        }
    }
    command::warn_of_confinement(global);
    progress.begin("copying", None);
    let copied = container::copy(&store, &containers, &from, &to, &options).map_err(failure)?;
    drop(progress);
    global.note.happened_by_command();
    for line in &copied.left_out {
        global.log.warning(line);
    }
    // As docker: for people only, and data has the standard output.
    if !flags.quiet && io::stderr().is_terminal() {
        output::error_line(&format!(
            "Successfully copied {} to {}",
            size(copied.bytes),
            flags.target.to_string_lossy()
        ));
    }
    Ok(0)
}

impl Typed {
    fn place<'a>(&'a self, stream: std::os::fd::BorrowedFd<'a>) -> Place<'a> {
        match self {
            Self::Host(path) => Place::Host(path),
            Self::Container(id, path) => Place::Container(id, path),
            Self::Stream => Place::Stream(stream),
        }
    }
}

fn typed(containers: &Containers<'_>, word: &OsStr) -> Result<Typed, Failure> {
    if word == "-" {
        return Ok(Typed::Stream);
    }
    let Some((name, path)) = split(word) else {
        if word.is_empty() {
            return Err(Failure::user("a path is empty"));
        }
        return Ok(Typed::Host(PathBuf::from(word)));
    };
    let id = containers.find(&name).map_err(failure)?;
    // A container's paths begin at its root, whatever its working directory.
    let path = Path::new("/").join(path);
    Ok(Typed::Container(id, path))
}

/// `CONTAINER:PATH`; a word that begins with `/` or `.` is a path of the host.
fn split(word: &OsStr) -> Option<(String, PathBuf)> {
    let bytes = word.as_bytes();
    if matches!(bytes.first(), Some(b'/' | b'.') | None) {
        return None;
    }
    let at = bytes.iter().position(|byte| *byte == b':').filter(|at| *at > 0)?;
    let name = std::str::from_utf8(&bytes[..at]).ok()?;
    Some((name.to_owned(), PathBuf::from(OsStr::from_bytes(&bytes[at + 1..]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_after_a_name_means_a_container() {
        for (word, expected) in [
            ("web:/etc", Some(("web", "/etc"))),
            ("web:etc/.", Some(("web", "etc/."))),
            ("web:", Some(("web", ""))),
            ("web:a:b", Some(("web", "a:b"))),
            ("./a:b", None),
            ("/a:b", None),
            (":x", None),
            ("plain", None),
        ] {
            let found = split(OsStr::new(word));
            let expected = expected.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
            assert_eq!(found, expected, "{word}");
        }
    }
}
