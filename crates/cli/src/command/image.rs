//! `brig image`: the commands on images under their noun.

use std::ffi::OsString;

use crate::command::{Command, dispatch, image_inspect, images, import, listing, load, rmi, save, tag};
use crate::error::Failure;
use crate::global::Global;
use crate::output;

const COMMANDS: &[Command] = &[
    Command {
        name: "import",
        about: "Make an image of the tar archive of a root file system",
        run: import::run,
    },
    Command { name: "inspect", about: "Print everything about images as JSON", run: image_inspect::run },
    Command { name: "load", about: "Load images from an archive or an OCI layout directory", run: load::run },
    Command { name: "ls", about: "List images", run: images::run },
    Command { name: "list", about: "List images", run: images::run },
    Command { name: "rm", about: "Remove images", run: rmi::run },
    Command { name: "remove", about: "Remove images", run: rmi::run },
    Command { name: "save", about: "Write images to an archive or a directory", run: save::run },
    Command { name: "tag", about: "Give an image another name", run: tag::run },
];

pub(crate) fn run(global: &Global, mut args: Vec<OsString>) -> Result<u8, Failure> {
    if args.first().is_none_or(|word| word == "--help" || word == "-h") {
        output::print(&format!(
            "Usage: brig image COMMAND\n\nCommands on images.\n\nCommands:\n{}",
            listing(COMMANDS)
        ))?;
        return Ok(0);
    }
    let word = args.remove(0);
    dispatch(global, COMMANDS, "brig image", &word, args)
}
