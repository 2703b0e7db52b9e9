//! Which containers a command is about: those it names, or all that it fits.

use container::value::name::ContainerId;
use container::{Error, LATEST, LifeStatus as Status, Site};

use crate::command::selection::{FILTERS, Selection};
use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::format::Filters;
use crate::global::Global;
use crate::{input, site};

/// Most bytes of a file of `--cidfile`.
const MAX_FILE: u64 = 4096;

/// The containers of a command line.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Chosen {
    /// All that it can be done to
    #[arg(long, short = 'a', conflicts_with = "containers")]
    pub(super) all: bool,
    /// The one that was made last
    #[arg(long, short = 'l', conflicts_with_all = ["containers", "all"])]
    pub(super) latest: bool,
    /// Those of all that match, as in `brig ps`
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "containers")]
    pub(super) filter: Vec<String>,
    /// The one whose id is in a file
    #[arg(long, value_name = "FILE")]
    pub(super) cidfile: Vec<String>,
    /// Leave out what is not there
    #[arg(long, short = 'i')]
    pub(super) ignore: bool,
    /// Whether what is not there is said, and no error.
    #[arg(skip)]
    pub(super) forgiving: bool,
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present_any = ["all", "latest", "filter", "cidfile"], value_name = "CONTAINER")]
    pub(super) containers: Vec<String>,
}

/// The container that was named, or the last one.
pub(super) fn one(latest: bool, named: Option<String>) -> Result<String, Failure> {
    match (latest, named) {
        (true, None) => Ok(LATEST.to_owned()),
        (false, Some(name)) => Ok(name),
        (true, Some(_)) => Err(Failure::user("name a container, or ask for the last one with `--latest`")),
        (false, None) => Err(Failure::user("no container is named").hint("`brig ps -a` lists what is there")),
    }
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
            let act = |site: &Site<'_>, id: &ContainerId, name: &str| match act(site, id) {
                Err(Error::NoContainer { .. }) if self.ignore || self.forgiving => Ok(None),
                other => other.map(|()| Some(name.to_owned())),
            };
            command::each_at(global, site, &self.names(global, site, fits)?, act)
        })
    }

    fn names(
        &self,
        global: &Global,
        site: &Site<'_>,
        fits: impl Fn(Status) -> bool,
    ) -> Result<Vec<String>, Failure> {
        let mut names = self.containers.clone();
        for file in &self.cidfile {
            match input::read(file, MAX_FILE) {
                Ok(text) => names.push(String::from_utf8_lossy(&text).trim().to_owned()),
                Err(_) if self.ignore && !std::path::Path::new(file).exists() => {}
                Err(failure) => return Err(failure),
            }
        }
        if self.latest {
            names.push(site.containers.find(LATEST).map_err(|error| failure(error).code(1))?.to_string());
        }
        if self.ignore || self.forgiving {
            names.retain(|name| match site.containers.find(name) {
                Err(error @ Error::NoContainer { .. }) => {
                    if !self.ignore {
                        global.log.warning(&error.to_string());
                    }
                    false
                }
                _ => true,
            });
        }
        if self.all || !self.filter.is_empty() {
            let filters = Filters::parse(&self.filter, FILTERS)?;
            let all = site.containers.list().map_err(failure)?;
            let selection = Selection::new(site.store, &all, &filters)?;
            let fitting = all.iter().filter(|one| fits(one.state.status));
            let selected = fitting.filter(|one| selection.holds(site.containers, one));
            names.extend(selected.map(|one| one.id.to_string()));
        }
        Ok(names)
    }
}

/// Whether it has processes, frozen ones too, or will have them again by itself.
pub(super) fn lives(status: Status) -> bool {
    status.is_running() || status == Status::Restarting
}
