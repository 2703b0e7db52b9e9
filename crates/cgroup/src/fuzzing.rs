//! Entrances for the fuzz targets: parsers of kernel files and of what a bus says, without kernel and bus.

use oci::runtime::Resources;

use crate::layout::Version;
use crate::path::CgroupPath;
use crate::step::{Step, Write};
use crate::{Controllers, Result};

pub use crate::device::fuzzing as device;
pub use crate::stats::fuzzing as stats;
#[cfg(feature = "systemd")]
pub use crate::systemd::fuzzing as systemd;

/// A `linux.cgroupsPath` as it is used below `base`.
///
/// # Errors
/// [`Error::BadPath`](crate::Error::BadPath).
pub fn path(given: &str, base: &str) -> Result<String> {
    Ok(CgroupPath::parse(given)?.below(base))
}

/// A list of controllers such as `cgroup.controllers` has.
#[must_use]
pub fn controllers(list: &str, separator: char) -> Controllers {
    Controllers::parse(list, separator)
}

/// The lines of an events file.
#[must_use]
pub fn events(text: &str) -> Vec<(&str, u64)> {
    crate::events::pairs(text).collect()
}

/// What resources of the specification lead to: each file with what is written into it.
///
/// # Errors
/// Those of [`Cgroup::apply`](crate::Cgroup::apply) that need no kernel.
pub fn writes(resources: &Resources, version: Version) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut add = |write: Write| found.push((write.file.into_owned(), write.value));
    for step in crate::plan::plan(resources, |_| version)? {
        match step {
            Step::Write(write)
            | Step::Unified(write)
            | Step::IfPresent(write)
            | Step::KeepFirstWord(write) => {
                add(write);
            }
            Step::Group(writes) | Step::FirstPresent(writes) => writes.into_iter().for_each(&mut add),
            Step::Guard { current, .. } => add(current),
            Step::Unsupported { .. } => {}
        }
    }
    Ok(found)
}

/// The device rules of resources, checked.
///
/// # Errors
/// [`Error::BadValue`](crate::Error::BadValue) and its kin.
pub fn device_rules(resources: &Resources) -> Result<usize> {
    crate::device::parse(&resources.devices).map(|rules| rules.len())
}
