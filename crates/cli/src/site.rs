//! Opens the store and the containers for a command.

use std::os::fd::AsFd;
use std::path::Path;

use container::{Containers, IdSource, Site};
use store::Store;

use crate::command::run::failure;
use crate::error::Failure;
use crate::global::Global;
use crate::input;

/// The host's configuration directory.
pub(crate) const ETC: &str = "/etc";

/// Opens the store, and says where the ids of containers come from.
pub(crate) fn store(global: &Global) -> Result<(Store, IdSource), Failure> {
    let (ownership, ids) = container::ownership(Path::new(ETC)).map_err(failure)?;
    let store = Store::open(&global.root()?, ownership).map_err(of_store)?;
    Ok((store, ids))
}

/// Opens store and containers for one command.
pub(crate) fn with<T>(
    global: &Global,
    then: impl FnOnce(&Site<'_>, IdSource) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (store, ids) = store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let binary = input::own_program()?;
    let site = Site {
        store: &store,
        containers: &containers,
        binary: binary.as_fd(),
        environment: environment(),
        etc: Path::new(ETC),
        bus: crate::global::scope_bus(),
    };
    then(&site, ids)
}

/// The caller's environment as text; what is no text cannot be an entry of a specification.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the program that reads the environment for its libraries"
)]
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Opens the store for a command that is not in a hurry, and removes what killed commands left behind.
pub(crate) fn tidy_store(global: &Global) -> Result<Store, Failure> {
    let (store, _) = store(global)?;
    let swept = Containers::open(&store, &global.runroot()?).and_then(|containers| containers.sweep());
    if let Err(error) = swept {
        global.log.warning(&format!("left-over containers remain: {}", failure(error).chain()));
    }
    Ok(store)
}

/// Sorts an error of the store by who can mend it.
pub(crate) fn of_store(error: store::Error) -> Failure {
    use store::Error as Kind;
    let is_missing = error.is_not_found();
    let failure = match error {
        Kind::NotFound { .. }
        | Kind::Ambiguous { .. }
        | Kind::InUse { .. }
        | Kind::ManyNames { .. }
        | Kind::Change { .. }
        | Kind::NotATag { .. } => Failure::user(error),
        _ => Failure::environment(error),
    };
    if is_missing {
        return failure
            .hint("`brig images` lists what is here; `brig pull`, `brig load` and `brig import` bring more");
    }
    failure
}
