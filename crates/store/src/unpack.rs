//! The one place where image content becomes files, and where such files are removed: in a child.
//!
//! Rootless, the child runs in a user namespace with the user's subordinate ids, so that files keep their
//! owners; run by root it keeps ids as they are. Either way the child can be confined, and dies with us.
//! The parent hashed the blob before; the child parses it.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use archive::{CompressedDigest, Confinement, Devices, End, Ids, Layer, Limits, Options, Target, Whiteouts};
use files::meter::Metered;
use files::weaken::{Defence, is_off};
use idmap::{Map, NamespaceRequest, Subordinate, in_user_namespace};
use oci::{Algorithm, Digest};
use rustix::fs::{Gid, Mode, Uid};
use serde::{Deserialize, Serialize};
use sys::fork::Exit;

use crate::error::{Error, Result};

/// Most bytes of a child's answer.
const MAX_ANSWER: usize = 1 << 20;
/// How many left-out things are remembered.
const MAX_SKIPPED: usize = 32;

/// How the files of images are owned on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// As the image says; needs root.
    Kept,
    /// As the image says, seen from a user namespace with these maps.
    Mapped {
        /// Map of user ids.
        uid: Map,
        /// Map of group ids.
        gid: Map,
    },
}

impl Ownership {
    /// What the present user can have: root keeps ids, a plain user maps himself to 0 and his subordinate
    /// ids, read from the files below `etc`, to 1 and up; without any he has his own id alone.
    ///
    /// # Errors
    /// [`Error::Namespace`] for account files that cannot be read.
    pub fn of_user(etc: &Path) -> Result<Self> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if uid == 0 {
            return Ok(Self::Kept);
        }
        let own = Subordinate::for_user(etc, uid)?;
        if !own.is_usable() {
            return Ok(Self::Mapped { uid: Map::single(0, uid)?, gid: Map::single(0, gid)? });
        }
        let uid = Map::rootless(uid, &own.uids, u32::MAX)?;
        let gid = Map::rootless(gid, &own.gids, u32::MAX)?;
        Ok(Self::Mapped { uid, gid })
    }

    /// One line for `meta.json`, such as `kept` or `0 1000 1,1 100000 65536;...`.
    #[must_use]
    pub fn describe(&self) -> String {
        let line = |map: &Map| map.render().trim_end().replace('\n', ",");
        match self {
            Self::Kept => "kept".to_owned(),
            Self::Mapped { uid, gid } => format!("{};{}", line(uid), line(gid)),
        }
    }

    /// Whether all files belong to one id, because there is no other.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(self, Self::Mapped { uid, gid } if uid.count() == 1 || gid.count() == 1)
    }
}

/// One layer to unpack.
pub(crate) struct Job<'a> {
    /// The archive.
    pub(crate) blob: Metered<File>,
    /// An empty directory.
    pub(crate) target: BorrowedFd<'a>,
    /// The layer right below.
    pub(crate) below: Option<OwnedFd>,
}

/// What an unpacked layer turned out to be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unpacked {
    /// Digest of the uncompressed archive.
    pub(crate) diff_id: Digest,
    /// Bytes of the uncompressed archive.
    pub(crate) size: u64,
    /// Entries of the archive.
    pub(crate) entries: u64,
    /// Whether the archive has its end marker: without one it may be cut off between two entries.
    pub(crate) is_whole: bool,
    /// What was left out.
    pub(crate) skipped: Vec<String>,
    /// Protections of the child that were not in force.
    pub(crate) unconfined: Vec<String>,
}

/// Unpacks a layer.
pub(crate) fn unpack(ownership: &Ownership, job: Job<'_>) -> Result<Unpacked> {
    let answer = in_child(ownership, || {
        let unpacked = apply(ownership, job).map_err(|error| files::chain(&error))?;
        serde_json::to_vec(&unpacked).map_err(|error| error.to_string())
    })?;
    serde_json::from_slice(&answer)
        .map_err(|_| Error::Child { message: "the answer of the process that unpacks is damaged".to_owned() })
}

/// Removes a directory that holds files of images.
pub(crate) fn remove_tree(ownership: &Ownership, parent: BorrowedFd<'_>, name: &str) -> Result<()> {
    // a plain user cannot empty a directory without write permission, not even his own: the child can
    if *ownership == Ownership::Kept {
        files::remove_tree(parent, name)?;
        return Ok(());
    }
    in_child(ownership, || match files::remove_tree(parent, name) {
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(files::chain(&error)),
    })?;
    Ok(())
}

/// The digest of an archive without its compression. Decodes in a child as well.
pub(crate) fn diff_id(ownership: &Ownership, blob: File) -> Result<Digest> {
    let answer = in_child(ownership, || {
        let mut plain = archive::decompress(blob, &Limits::default())
            .map_err(|error| files::chain(&Error::from(error)))?;
        let (digest, _) =
            Digest::of_reader(Algorithm::Sha256, &mut plain).map_err(|error| error.to_string())?;
        Ok(digest.to_string().into_bytes())
    })?;
    let text = String::from_utf8_lossy(&answer);
    text.parse()
        .map_err(|_| Error::Child { message: "the answer of the process that unpacks is damaged".to_owned() })
}

/// Runs a closure in the child that may write image files, and returns its answer.
fn in_child(
    ownership: &Ownership,
    work: impl FnOnce() -> std::result::Result<Vec<u8>, String>,
) -> Result<Vec<u8>> {
    let closure = || {
        // modes are the image's, whatever the caller's umask
        rustix::process::umask(Mode::empty());
        match work() {
            Ok(answer) => (0, answer),
            Err(message) => (1, message.into_bytes()),
        }
    };
    let outcome = match ownership {
        Ownership::Mapped { uid, gid } => {
            let request = NamespaceRequest { uid, gid, also_new: 0, answer_limit: MAX_ANSWER };
            in_user_namespace(&request, closure)?
        }
        Ownership::Kept => plain_child(closure)?,
    };
    match outcome {
        idmap::Outcome { exit: Exit::Code(0), answer } => Ok(answer),
        idmap::Outcome { exit: Exit::Code(1), answer } => {
            Err(Error::Child { message: crate::image::clip(&String::from_utf8_lossy(&answer)) })
        }
        idmap::Outcome { exit, .. } => {
            Err(Error::Child { message: format!("the process that unpacks ended with {exit:?}") })
        }
    }
}

/// A child without a user namespace of its own; its answer comes through a pipe.
fn plain_child(closure: impl FnOnce() -> (u8, Vec<u8>)) -> Result<idmap::Outcome> {
    let failed = |operation| move |errno| Error::system(operation, "(unpacking child)", errno);
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("make pipe"))?;
    let parent = rustix::process::getpid();
    let child = sys::fork::fork_closure(0, || {
        let kill = Some(rustix::process::Signal::KILL);
        let dies = rustix::process::set_parent_process_death_signal(kill);
        if dies.is_err() || rustix::process::getppid() != Some(parent) {
            return 126;
        }
        let (code, answer) = closure();
        match files::write_all(&write, &answer) {
            Ok(()) => code,
            Err(_) => 126,
        }
    })
    .map_err(failed("fork"))?;
    drop(write);
    let answer = files::read_all(&read, MAX_ANSWER as u64)?;
    let exit = child.wait().map_err(failed("wait"))?;
    Ok(idmap::Outcome { exit, answer })
}

/// In the child: gives the directory the attributes of the layer below, then applies the archive.
fn apply(ownership: &Ownership, job: Job<'_>) -> Result<Unpacked> {
    let mut limits = Limits::default();
    if is_off(Defence::UnpackRatio) {
        limits.ratio = u64::MAX;
    }
    // no descriptor of anything else is needed from here on, and no path leads anywhere else
    let confinement = (!is_off(Defence::UnpackConfinement)).then(|| archive::confine(job.target, &limits));
    if let Some(below) = &job.below {
        // the merged root directory shows the attributes of the topmost layer's
        let root = rustix::fs::fstat(below).map_err(|errno| Error::system("stat", "layer", errno))?;
        let (uid, gid) = (Uid::from_raw(root.st_uid), Gid::from_raw(root.st_gid));
        rustix::fs::fchown(job.target, Some(uid), Some(gid))
            .map_err(|errno| Error::system("chown", "layer", errno))?;
        rustix::fs::fchmod(job.target, Mode::from_raw_mode(root.st_mode & 0o7777))
            .map_err(|errno| Error::system("chmod", "layer", errno))?;
    }
    let options = Options {
        ids: if ownership.is_single() { Ids::SingleId } else { Ids::Keep },
        // overlay is mounted by root, or with `userxattr` in a user namespace
        whiteouts: match ownership {
            Ownership::Kept => Whiteouts::OverlayTrusted,
            Ownership::Mapped { .. } => Whiteouts::OverlayUser,
        },
        devices: if is_off(Defence::UnpackDevices) { Devices::Make } else { Devices::Skip },
        compressed: CompressedDigest::Skip,
        target: Target::Layer,
    };
    let applied = archive::apply(job.blob, job.target, &options, &limits)?;
    let skipped = applied.skipped.iter().take(MAX_SKIPPED).map(|skipped| format!("{skipped:?}")).collect();
    let (diff_id, size, entries) = (applied.diff_id, applied.bytes, applied.entries);
    let is_whole = applied.end == End::Marker;
    Ok(Unpacked {
        diff_id,
        size,
        entries,
        is_whole,
        skipped,
        unconfined: confinement.as_ref().map(unconfined).unwrap_or_default(),
    })
}

/// What did not confine the child, in words.
fn unconfined(confinement: &Confinement) -> Vec<String> {
    let layers = [
        ("landlock", &confinement.landlock),
        ("no_new_privs", &confinement.no_new_privs),
        ("limits", &confinement.limits),
        ("seccomp", &confinement.seccomp),
    ];
    let words = |(name, layer): (&str, &Layer)| match layer {
        Layer::Applied => None,
        Layer::Weaker(reason) => Some(format!("{name} weaker: {reason}")),
        Layer::Unavailable(reason) => Some(format!("{name} unavailable: {reason}")),
    };
    layers.into_iter().filter_map(words).collect()
}
