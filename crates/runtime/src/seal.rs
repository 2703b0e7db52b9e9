//! The sealed stub that executes the payload.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, XattrFlags};
use rustix::io::Errno;

use crate::Error;

/// Makes the stub of [`sys::stub`]: a memory file that nobody can write to any more.
///
/// Under SELinux it has the label of the container's files, since the policy says by the label of what is executed
/// whether the container's label may be entered.
pub(crate) fn stub(label: Option<&CStr>) -> Result<OwnedFd, Error> {
    let failed = |action| move |errno| Error::System { action, object: "the exec stub".to_owned(), errno };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match rustix::fs::memfd_create(c"brig-exec", flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 every memory file is executable.
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"brig-exec", flags),
        result => result,
    }
    .map_err(failed("create"))?;
    files::write_all(&file, &sys::stub::image()).map_err(Error::Files)?;
    if let Some(label) = label {
        rustix::fs::fsetxattr(&file, c"security.selinux", label.to_bytes_with_nul(), XattrFlags::empty())
            .map_err(failed("label"))?;
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(failed("seal"))?;
    Ok(file)
}
