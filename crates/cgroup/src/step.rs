//! The plan: what to write into which controller's files, as a plain value.

use std::borrow::Cow;

use rustix::io::Errno;

use crate::directory::Directory;
use crate::error::Unapplied;
use crate::{Cgroup, Controller};

/// One write into a kernel file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) controller: Controller,
    pub(crate) file: Cow<'static, str>,
    pub(crate) value: String,
}

impl Write {
    #[expect(clippy::needless_pass_by_value, reason = "callers have numbers and fresh strings")]
    pub(crate) fn new(
        controller: Controller,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Self {
        Self { controller, file: file.into(), value: value.to_string() }
    }
}

/// One step of applying resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write one file.
    Write(Write),
    /// Write each line of the value into a file of the unified hierarchy.
    Unified(Write),
    /// Write one file if the kernel has it: an addition to a limit that already holds without it.
    IfPresent(Write),
    /// Write all, in whichever order the kernel accepts: each bounds the others, and which one must go
    /// first depends on whether the limits are raised or lowered.
    Group(Vec<Write>),
    /// Write the first file that exists (`bfq` has files of its own).
    FirstPresent(Vec<Write>),
    /// Write `<first word of the file as it is> <value>`.
    KeepFirstWord(Write),
    /// Refuse when the first file's number is larger than this limit.
    Guard { current: Write, limit: i64 },
    /// What this version of cgroups does not have.
    Unsupported { controller: Controller, field: &'static str, value: String, reason: &'static str },
}

impl Step {
    /// Applies the step to `cgroup`.
    pub(crate) fn run(&self, cgroup: &Cgroup) -> Result<(), Unapplied> {
        match self {
            Self::Write(write) => put(write, cgroup),
            Self::Unified(write) => {
                let directory = cgroup.v2_directory().ok_or_else(|| Unapplied {
                    hint: Some("raw keys need the container in a cgroup v2 hierarchy"),
                    errno: None,
                    ..unapplied(write, Errno::NOENT)
                })?;
                let mut lines = write.value.lines().filter(|line| !line.is_empty());
                lines
                    .try_for_each(|line| directory.write(&write.file, line))
                    .map_err(|errno| unapplied(write, errno))
            }
            Self::IfPresent(write) => match put(write, cgroup) {
                Err(Unapplied { errno: Some(Errno::NOENT), .. }) => Ok(()),
                other => other,
            },
            Self::Group(writes) => run_group(writes, cgroup),
            Self::FirstPresent(writes) => {
                let present = |write: &&Write| {
                    cgroup.directory_of(write.controller).is_some_and(|directory| directory.has(&write.file))
                };
                writes.iter().find(present).or(writes.last()).map_or(Ok(()), |write| put(write, cgroup))
            }
            Self::KeepFirstWord(write) => {
                let directory = directory_for(write, cgroup)?;
                let content = directory.read(&write.file).map_err(|errno| unapplied(write, errno))?;
                let first = content.split_whitespace().next().unwrap_or("max");
                let value = format!("{first} {}", write.value);
                directory.write(&write.file, &value).map_err(|errno| unapplied(write, errno))
            }
            Self::Guard { current, limit } => {
                let directory = directory_for(current, cgroup)?;
                let content = directory.read(&current.file).map_err(|errno| unapplied(current, errno))?;
                if content.trim().parse::<i64>().is_ok_and(|used| used > *limit) {
                    return Err(Unapplied {
                        hint: Some("more memory than that is in use: stop something in the container first"),
                        errno: None,
                        ..unapplied(current, Errno::BUSY)
                    });
                }
                Ok(())
            }
            Self::Unsupported { controller, field, value, reason } => Err(Unapplied {
                controller: *controller,
                file: (*field).to_owned(),
                value: value.clone(),
                errno: None,
                hint: Some(reason),
            }),
        }
    }
}

/// Repeats the refused writes for as long as others succeed.
fn run_group(writes: &[Write], cgroup: &Cgroup) -> Result<(), Unapplied> {
    let mut left: Vec<&Write> = writes.iter().collect();
    loop {
        let before = left.len();
        let mut first_error = None;
        left.retain(|write| match put(write, cgroup) {
            Ok(()) => false,
            Err(error) => {
                first_error.get_or_insert(error);
                true
            }
        });
        match first_error {
            None => return Ok(()),
            Some(error) if left.len() == before || error.errno != Some(Errno::INVAL) => return Err(error),
            Some(_) => {}
        }
    }
}

fn directory_for<'c>(write: &Write, cgroup: &'c Cgroup) -> Result<&'c Directory, Unapplied> {
    cgroup.directory_of(write.controller).ok_or_else(|| {
        cgroup.without_directory(write.controller, write.file.clone().into_owned(), write.value.clone())
    })
}

fn put(write: &Write, cgroup: &Cgroup) -> Result<(), Unapplied> {
    directory_for(write, cgroup)?.write(&write.file, &write.value).map_err(|errno| unapplied(write, errno))
}

fn unapplied(write: &Write, errno: Errno) -> Unapplied {
    Unapplied {
        controller: write.controller,
        file: write.file.clone().into_owned(),
        value: write.value.clone(),
        errno: Some(errno),
        hint: hint(write, errno),
    }
}

fn hint(write: &Write, errno: Errno) -> Option<&'static str> {
    match (write.controller, errno) {
        (Controller::Memory, Errno::NOENT) if write.file.contains("sw") => {
            Some("swap is not accounted: boot with `swapaccount=1`, or leave the swap limit out")
        }
        (Controller::Devices, Errno::PERM) => Some("the parent cgroup does not allow this device"),
        (_, Errno::NOENT) => {
            Some("the controller is not enabled for this cgroup, or this kernel does not have the file")
        }
        (Controller::Memory, Errno::BUSY) => Some("more memory than that is in use and cannot be reclaimed"),
        (Controller::Cpuset, Errno::INVAL | Errno::ACCESS | Errno::NOSPC | Errno::RANGE) => {
            Some("the parent cgroup does not have these cpus or memory nodes")
        }
        (Controller::Io, Errno::NODEV | Errno::NXIO) => {
            Some("limits go to whole disks: give the major and minor number of one that exists")
        }
        (_, Errno::INVAL | Errno::RANGE) => Some("the kernel does not take this value"),
        _ => crate::error::permission_hint(errno),
    }
}
