//! `brig image`: the commands on images under their noun.

use std::ffi::OsString;

use super::group::Group;
use crate::command::{Command, diff, exists, images, inspect, prune, rmi, tree};
use crate::error::Failure;
use crate::global::Global;

const IMAGE: Group = Group {
    name: "image",
    about: "Commands on images",
    own: &[
        Command { name: "exists", about: "Ask whether there is such an image", run: exists::image },
        Command { name: "inspect", about: "Print everything about images as JSON", run: inspect::image },
        Command { name: "list", about: "List images", run: images::run },
        Command { name: "ls", about: "List images", run: images::run },
        Command { name: "diff", about: "List what an image's top layer changes", run: diff::run },
        Command { name: "prune", about: "Remove images that have no name", run: prune::image },
        Command { name: "remove", about: "Remove images", run: rmi::run },
        Command { name: "rm", about: "Remove images", run: rmi::run },
        Command { name: "tree", about: "Show the layers of an image", run: tree::run },
    ],
    shared: &["history", "import", "load", "pull", "push", "save", "tag", "untag"],
};

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    IMAGE.run(global, args)
}
