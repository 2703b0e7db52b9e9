//! `brig secret`: secrets under their noun.

mod create;
mod exists;
mod inspect;
mod ls;
mod rm;

use std::ffi::OsString;

use secret::{Meta, Secrets};

use crate::command::Command;
use crate::command::group::Group;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::site;

const GROUP: Group = Group {
    name: "secret",
    about: "Secrets: values that lie encrypted in the store and that containers get in memory.\nThe key lies beside them (`secrets/.key`): a copy of the store without it says nothing,\nwhoever may read the store as you or root can read the secrets",
    own: &[
        Command { name: "create", about: "Keep a secret", run: create::run },
        Command {
            name: "exists",
            about: "Exit with 0 where there is such a secret, else with 1",
            run: exists::run,
        },
        Command {
            name: "inspect",
            about: "Print what may be known about secrets as JSON",
            run: inspect::run,
        },
        Command { name: "ls", about: "List secrets", run: ls::run },
        Command { name: "list", about: "List secrets", run: ls::run },
        Command { name: "rm", about: "Remove secrets", run: rm::run },
        Command { name: "remove", about: "Remove secrets", run: rm::run },
    ],
    shared: &[],
};

/// Runs `brig secret`.
pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    GROUP.run(global, args)
}

fn failure(error: secret::Error) -> Failure {
    crate::command::run::failure(error.into()).code(FAILED)
}

fn open(global: &Global) -> Result<Secrets, Failure> {
    let (store, _) = site::store(global)?;
    Secrets::open(store.root()).map_err(failure)
}

/// A secret in the JSON of docker and podman.
fn describe(meta: &Meta) -> serde_json::Value {
    serde_json::json!({
        "ID": meta.id,
        "CreatedAt": meta.created_at,
        "UpdatedAt": meta.updated_at,
        "Spec": {
            "Name": meta.name,
            "Driver": { "Name": "file", "Options": {} },
            "Labels": meta.labels,
        },
    })
}
