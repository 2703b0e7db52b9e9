//! `brig volume`: volumes under their noun.

mod create;
mod exists;
mod export;
mod import;
mod inspect;
mod ls;
pub(crate) mod prune;
mod rm;

use std::ffi::OsString;

use volume::{Meta, Name, Volumes};

use crate::command::Command;
use crate::command::group::Group;
use crate::error::Failure;
use crate::global::Global;
use crate::site;

const GROUP: Group = Group {
    name: "volume",
    about: "Volumes: directories that outlive their containers",
    own: &[
        Command { name: "create", about: "Make a volume", run: create::run },
        Command {
            name: "exists",
            about: "Exit with 0 where there is such a volume, else with 1",
            run: exists::run,
        },
        Command { name: "export", about: "Write the files of a volume as a tar archive", run: export::run },
        Command { name: "import", about: "Put the files of a tar archive into a volume", run: import::run },
        Command { name: "inspect", about: "Print everything about volumes as JSON", run: inspect::run },
        Command { name: "ls", about: "List volumes", run: ls::run },
        Command { name: "list", about: "List volumes", run: ls::run },
        Command { name: "prune", about: "Remove volumes that no container has", run: prune::run },
        Command { name: "rm", about: "Remove volumes", run: rm::run },
        Command { name: "remove", about: "Remove volumes", run: rm::run },
    ],
    shared: &[],
};

/// Runs `brig volume`.
pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    GROUP.run(global, args)
}

/// Sorts an error by who can mend it.
fn failure(error: volume::Error) -> Failure {
    crate::command::run::failure(error.into()).code(crate::error::FAILED)
}

fn name(text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(failure)
}

/// Opens the volumes of the store.
fn open(global: &Global) -> Result<Volumes, Failure> {
    let (store, _) = site::store(global)?;
    container::volumes::open(&store).map_err(crate::command::run::failure)
}

/// A volume in docker's JSON.
fn describe(volumes: &Volumes, name: &Name, meta: &Meta) -> serde_json::Value {
    let some = |map: &std::collections::BTreeMap<String, String>| {
        if map.is_empty() { serde_json::Value::Null } else { serde_json::json!(map) }
    };
    let mut labels = meta.labels.clone();
    if meta.anonymous {
        labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
    }
    serde_json::json!({
        "CreatedAt": meta.created_at,
        "Driver": "local",
        "Labels": some(&labels),
        "Mountpoint": volumes.mountpoint(name),
        "Name": name.as_str(),
        "Options": some(&meta.options),
        "Scope": "local",
    })
}
