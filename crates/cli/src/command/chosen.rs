//! Which containers a command is about: those it names, or all that it fits.

use container::LifeStatus as Status;

use crate::command::run::failure;
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
    /// The names that were given, or the ids of all whose status fits.
    pub(super) fn names(
        self,
        global: &Global,
        fits: impl Fn(Status) -> bool,
    ) -> Result<Vec<String>, Failure> {
        if !self.all {
            return Ok(self.containers);
        }
        site::with(global, |site, _| {
            let all = site.containers.list().map_err(failure)?;
            Ok(all.into_iter().filter(|one| fits(one.state.status)).map(|one| one.id.to_string()).collect())
        })
    }
}

/// Whether it has processes, frozen ones too, or will have them again by itself.
pub(super) fn lives(status: Status) -> bool {
    status.is_running() || status == Status::Restarting
}
