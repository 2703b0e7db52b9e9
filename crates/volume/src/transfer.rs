//! A volume's files as a tar archive, out and in.

use std::io::{Read, Write};

use archive::{Applied, Devices, End, Ids, Limits, Mounts, Options, Pack, Whiteouts};
use rustix::fs::{Mode, OFlags};

use crate::error::Result;
use crate::owner::Owner;
use crate::volumes::{Held, Volumes};

impl Held {
    /// Writes what is in the volume as a tar archive. Every object is opened by name in its directory's descriptor: a
    /// container that swaps links meanwhile leads nowhere (CVE-2023-0778).
    ///
    /// # Errors
    /// [`Error::Inside`].
    pub fn export(&self, volumes: &Volumes, out: impl Write) -> Result<()> {
        let mut out = Some(out);
        volumes.owner().work("export", self.name.as_str(), || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let data = rustix::fs::openat(&self.data, ".", flags, Mode::empty())
                .map_err(|errno| errno.to_string())?;
            let Some(out) = out.take() else { return Ok(()) };
            let mut pack = Pack::new(out, Mounts::Stay, &Limits::default());
            pack.tree(&data, b"").map_err(|error| files::chain(&error))?;
            let (mut out, _) = pack.finish().map_err(|error| files::chain(&error))?;
            out.flush().map_err(|error| error.to_string())
        })
    }

    /// Puts the files of a tar archive into the volume, over what is there. The process that reads it is confined to the
    /// volume.
    ///
    /// # Errors
    /// [`Error::Inside`]; a part of the archive may be in the volume then.
    pub fn import(&self, volumes: &Volumes, archive: impl Read) -> Result<()> {
        let mut archive = Some(archive);
        volumes.owner().work_apart("import", self.name.as_str(), || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let data = rustix::fs::openat(&self.data, ".", flags, Mode::empty())
                .map_err(|errno| errno.to_string())?;
            let Some(archive) = archive.take() else { return Ok(()) };
            // Modes are the archive's, whatever the caller's umask.
            rustix::process::umask(Mode::empty());
            let limits = Limits::default();
            archive::confine(&data, &limits);
            let is_single = matches!(volumes.owner(), Owner::Mapped { uid, .. } if uid.to_host(1).is_none());
            let options = Options {
                ids: if is_single { Ids::SingleId } else { Ids::Keep },
                whiteouts: Whiteouts::Apply,
                devices: Devices::Skip,
                compressed: archive::CompressedDigest::Skip,
                target: archive::Target::Tree { overwrite: true, privileges: true },
            };
            let applied: Applied =
                archive::apply(archive, &data, &options, &limits).map_err(|error| files::chain(&error))?;
            match applied.end {
                End::Missing => Err("the archive ends without its end marker: it may be cut off".to_owned()),
                _ => Ok(()),
            }
        })
    }
}
