//! Which containers a command is about: those it names, or all that it fits.

use container::value::name::ContainerId;
use container::{LifeStatus as Status, Site};

use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::site;

/// The containers of a command line.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// All that it can be done to
    #[arg(long, short = 'a', conflicts_with = "containers")]
    pub(super) all: bool,
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "all", value_name = "CONTAINER")]
    pub(super) containers: Vec<String>,
}

impl Chosen {
    /// Does the same to each that was named, or to all whose status `fits`, and prints what was typed for it, or its id.
    pub(super) fn each(
        &self,
        global: &Global,
        fits: impl Fn(Status) -> bool,
        act: impl Fn(&Site<'_>, &ContainerId) -> container::Result<()>,
    ) -> Result<u8, Failure> {
        site::with(global, |site, _| {
            let act =
                |site: &Site<'_>, id: &ContainerId, name: &str| act(site, id).map(|()| Some(name.to_owned()));
            if !self.all {
                return command::each_at(global, site, &self.containers, act);
            }
            let all = site.containers.list().map_err(failure)?.into_iter();
            let fitting = all.filter(|one| fits(one.state.status)).map(|one| one.id.to_string());
            command::each_at(global, site, &fitting.collect::<Vec<_>>(), act)
        })
    }
}

/// Whether it has processes, frozen ones too, or will have them again by itself.
pub(super) fn lives(status: Status) -> bool {
    status.is_running() || status == Status::Restarting
}
