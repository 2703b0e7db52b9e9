//! A container's root file system as one archive.

use std::io::BufWriter;
use std::os::fd::AsFd;
use std::sync::Arc;

use archive::{Limits, Mounts, Pack, Skipped};
use files::meter::{Meter, Metered};
use store::Store;

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::helper::Answer;
use crate::value::name::ContainerId;
use crate::view::{Scope, View};

/// Bytes written at once.
pub(crate) const BUFFER: usize = 256 << 10;

/// Writes a container's root file system to `out`, running or not, without what is mounted in it. Returns what no
/// archive can hold, one line each. Its bytes are counted for who watches.
///
/// # Errors
/// [`Error::NoContainer`], [`Error::Helper`] with what could not be read or written.
pub fn export(
    store: &Store,
    containers: &Containers<'_>,
    id: &ContainerId,
    out: impl AsFd,
    meter: Option<Arc<Meter>>,
) -> Result<Vec<String>> {
    pack(store, containers, id, out, (meter, false))
}

/// The same as the one layer of an image, in which some names are errors.
pub(crate) fn export_layer(
    store: &Store,
    containers: &Containers<'_>,
    id: &ContainerId,
    out: impl AsFd,
) -> Result<Vec<String>> {
    pack(store, containers, id, out, (store.meter(), true))
}

fn pack(
    store: &Store,
    containers: &Containers<'_>,
    id: &ContainerId,
    out: impl AsFd,
    (meter, is_layer): (Option<Arc<Meter>>, bool),
) -> Result<Vec<String>> {
    let out = std::fs::File::from(duplicate(out)?);
    let answer = View::open(store, containers, id, Scope::Root)?.within(|root| {
        archive::confine_reading(&[root]);
        let out = BufWriter::with_capacity(BUFFER, Metered::new(&out, meter));
        let pack = Pack::new(out, Mounts::Stay, &Limits::default());
        let mut pack = if is_layer { pack.layer() } else { pack };
        let packed =
            pack.tree(root, b"").and_then(|()| pack.finish()).map_err(|error| files::chain(&error))?.1;
        lines(&packed.skipped)
    })?;
    Ok(split(&answer))
}

pub(crate) fn duplicate(file: impl AsFd) -> Result<std::os::fd::OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(file, 3).map_err(|source| Error::System {
        action: "duplicate",
        path: "a descriptor".into(),
        source,
    })
}

/// What was left out, as lines that go through a pipe.
pub(crate) fn lines(skipped: &[Skipped]) -> Answer {
    Ok(skipped
        .iter()
        .map(|one| format!("{:?}: left out {:?}\n", one.path, one.what))
        .collect::<String>()
        .into())
}

pub(crate) fn split(answer: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(answer).lines().map(str::to_owned).collect()
}
