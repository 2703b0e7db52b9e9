//! As whom the files of volumes are worked on.

use idmap::{Map, NamespaceRequest, in_user_namespace};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Most bytes that a failed closure may say.
const MAX_ANSWER: usize = 4096;
/// What a closure that succeeded says; no reason is a NUL.
const DONE: &[u8] = b"\0";

/// As whom the files of volumes are worked on.
#[derive(Clone, Debug)]
pub enum Owner {
    /// As root: ids on disk are the container's.
    Root,
    /// As root of a user's namespace with these maps.
    Mapped {
        /// User ids.
        uid: Map,
        /// Group ids.
        gid: Map,
    },
}

impl Owner {
    /// Runs a closure that may do with the files what the container's root may.
    ///
    /// For a user that is a child process in a new user namespace, which holds copies of all descriptors.
    ///
    /// # Errors
    /// [`Error::Inside`] with what the closure said, [`Error::Ids`].
    pub fn work(
        &self,
        action: &'static str,
        name: &str,
        closure: impl FnOnce() -> std::result::Result<(), String>,
    ) -> Result<()> {
        let fail = |reason: String| Error::Inside { action, name: name.to_owned(), reason };
        match self {
            Self::Root => closure().map_err(fail),
            Self::Mapped { .. } => self.work_apart(action, name, closure),
        }
    }

    /// As [`Self::work`], in a child process for root too: it may confine itself for good.
    ///
    /// # Errors
    /// As [`Self::work`].
    pub fn work_apart(
        &self,
        action: &'static str,
        name: &str,
        closure: impl FnOnce() -> std::result::Result<(), String>,
    ) -> Result<()> {
        let closure = || match closure() {
            Ok(()) => (0, DONE.to_vec()),
            Err(mut reason) => {
                reason.truncate(reason.floor_char_boundary(MAX_ANSWER));
                (1, reason.into_bytes())
            }
        };
        let answer = match self {
            Self::Mapped { uid, gid } => {
                let request = NamespaceRequest { uid, gid, also_new: 0, answer_limit: MAX_ANSWER };
                in_user_namespace(&request, closure)?.answer
            }
            Self::Root => in_child(closure).map_err(Error::system("make a process for", name))?,
        };
        let fail = |reason: String| Error::Inside { action, name: name.to_owned(), reason };
        match answer.as_slice() {
            DONE => Ok(()),
            [] => Err(fail("the process that did it was killed".to_owned())),
            reason => Err(fail(String::from_utf8_lossy(reason).into_owned())),
        }
    }
}

/// Runs a closure in a child process; its answer comes through a pipe.
fn in_child(closure: impl FnOnce() -> (u8, Vec<u8>)) -> std::result::Result<Vec<u8>, Errno> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let parent = rustix::process::getpid();
    let child = sys::fork::fork_closure(0, || {
        let dies = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        if dies.is_err() || rustix::process::getppid() != Some(parent) {
            return 126;
        }
        let (code, answer) = closure();
        // Nobody is left to tell where this fails.
        files::write_all(&write, &answer).ok();
        code
    })?;
    drop(write);
    let answer = files::read_all(&read, MAX_ANSWER as u64).unwrap_or_default();
    child.wait()?;
    Ok(answer)
}
