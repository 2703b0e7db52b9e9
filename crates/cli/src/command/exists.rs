//! `brig container exists` and `brig image exists`.

use std::ffi::OsString;

use clap::Parser;
use container::{Containers, Error};

use crate::command::{self, run::failure};
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::site;

/// Exit with 0 where there is one of that name, else with 1
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig container exists CONTAINER\n       brig image exists IMAGE",
    after_help = "Example:
  brig container exists web || brig run -d --name web nginx"
)]
struct Exists {
    /// Its name, its id or the beginning of one
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs `brig container exists`.
pub(crate) fn container(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Exists = command::parse("brig container exists", args)?;
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    match containers.find(&flags.name) {
        Ok(_) => Ok(0),
        Err(Error::NoContainer { .. }) => Ok(FAILED),
        Err(error) => Err(failure(error)),
    }
}

/// Runs `brig image exists`.
pub(crate) fn image(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Exists = command::parse("brig image exists", args)?;
    let (store, _) = site::store(global)?;
    match store.find(&flags.name) {
        Ok(_) => Ok(0),
        Err(error) if error.is_not_found() => Ok(FAILED),
        Err(error) => Err(site::of_store(error)),
    }
}
