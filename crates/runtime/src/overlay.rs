//! One overlay of opened layers, on every kernel.
//!
//! * [`Overlay::by_descriptors`]: the layers are handed over as descriptors (Linux 6.13), also those that are
//!   attached nowhere (Linux 6.15).
//! * [`Overlay::by_paths`]: one string of paths for mount(2), as every kernel takes it. `lowerdir+` of Linux 6.7
//!   is not used: it would be a third way that does nothing which the second does not, and fsconfig(2) takes only
//!   255 bytes at once. The layers must be attached in the caller's mount namespace.
//!
//! The container's process mounts by both without allocating.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sys::mount::{Attributes, Reach, set_attributes};

use crate::child::{During, Failure, Operation, Outcome, format_path};
use crate::message::{self, Message};
use crate::weaken::{self, Defence};
use crate::{Error, Result};

/// Most lower layers that the kernel takes (`OVL_MAX_STACK`).
pub(crate) const MAX_LAYERS: usize = 500;
/// Longest `/proc/self/fd/<number>` with its NUL.
const DESCRIPTOR_PATH: usize = 32;
/// Size of the options of mount(2): one page, the last byte of which is NUL.
const PAGE: usize = 4096;

/// What is mounted. The lower layers are given uppermost first.
#[derive(Clone)]
pub(crate) struct Overlay<'a, L> {
    pub lower: L,
    /// Upper and work directory, in one mount.
    pub upper: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// Keep the overlay's attributes where a user namespace may write them (Linux 5.11).
    pub user_attributes: bool,
    /// Whether the upper layer is thrown away with the container. Without `volatile` (Linux 5.10) the kernel writes
    /// the whole file system below to the disk when the overlay goes; with it, it refuses to mount the layer again.
    pub ephemeral: bool,
    /// Ids of the files that the overlay makes for itself, where those are not the caller's.
    pub owner: Option<(u32, u32)>,
    /// The SELinux label of all its files.
    pub label: Option<&'a CStr>,
}

impl<'a, L: Iterator<Item = BorrowedFd<'a>> + Clone> Overlay<'a, L> {
    /// Mounts it, attached nowhere. A kernel that wants paths answers with a failure that [`wants_paths`] knows.
    pub(crate) fn by_descriptors(&self) -> Outcome<OwnedFd> {
        if weaken::is_off(Defence::LayerDescriptors) {
            return Err(Failure { operation: Operation::Configure, errno: Errno::BADF });
        }
        let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .during(Operation::OpenFileSystem)?;
        let set = |key: &CStr, layer: BorrowedFd<'_>| {
            rustix::mount::fsconfig_set_fd(&context, key, layer).during(Operation::Configure)
        };
        for layer in self.lower.clone() {
            set(c"lowerdir+", layer)?;
        }
        if let Some((upper, work)) = self.upper {
            set(c"upperdir", upper)?;
            set(c"workdir", work)?;
        }
        if self.user_attributes {
            rustix::mount::fsconfig_set_flag(&context, c"userxattr").during(Operation::Configure)?;
        }
        if self.ephemeral && self.upper.is_some() {
            rustix::mount::fsconfig_set_flag(&context, c"volatile").during(Operation::Configure)?;
        }
        if let Some(label) = self.label {
            rustix::mount::fsconfig_set_string(&context, c"context", label).during(Operation::Configure)?;
        }
        self.as_owner(|| rustix::mount::fsconfig_create(&context)).during(Operation::CreateFileSystem)?;
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)
            .during(Operation::MakeMount)
    }

    /// The same where the kernel wants paths. The caller's mount namespace must be one of its own: the overlay lies
    /// over its `/` for a moment, the one place that is there without a path of the host.
    pub(crate) fn by_paths(&self) -> Outcome<OwnedFd> {
        let mut page = [0; PAGE];
        let options = self.options(&mut page)?;
        self.as_owner(|| rustix::mount::mount(c"overlay", c"/", c"overlay", MountFlags::NODEV, options))
            .during(Operation::CreateFileSystem)?;
        // `/` is what lies below; `..` of it is followed up to what was mounted last.
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = rustix::mount::open_tree(CWD, c"/..", flags).during(Operation::MakeMount)?;
        rustix::mount::unmount(c"/..", UnmountFlags::DETACH).during(Operation::Detach)?;
        Ok(mount)
    }

    /// The options of mount(2); `E2BIG` when a page does not hold the paths, from some 220 layers on.
    fn options<'p>(&self, page: &'p mut [u8; PAGE]) -> Outcome<&'p CStr> {
        let mut length = 0;
        let mut push = |part: &[u8]| {
            // The page ends in NUL.
            let place = page.get_mut(length..length + part.len()).filter(|_| length + part.len() < PAGE);
            place.ok_or(Errno::TOOBIG).during(Operation::NameLayers)?.copy_from_slice(part);
            length += part.len();
            Ok(())
        };
        let mut add = |key: &[u8], layer: BorrowedFd<'_>| {
            let mut path = [0; DESCRIPTOR_PATH];
            let number = layer.as_raw_fd().unsigned_abs();
            push(key)?;
            push(format_path(b"/proc/self/fd/", number, b"", &mut path)?.to_bytes())
        };
        let mut key: &[u8] = b"lowerdir=";
        for layer in self.lower.clone() {
            add(key, layer)?;
            key = b":";
        }
        if let Some((upper, work)) = self.upper {
            add(b",upperdir=", upper)?;
            add(b",workdir=", work)?;
        }
        if self.user_attributes {
            push(b",userxattr")?;
        }
        if self.ephemeral && self.upper.is_some() {
            push(b",volatile")?;
        }
        if let Some(label) = self.label {
            // Categories are separated by commas, as options are.
            for part in [b",context=\"", label.to_bytes(), b"\""] {
                push(part)?;
            }
        }
        CStr::from_bytes_until_nul(page).map_err(|_| Errno::TOOBIG).during(Operation::NameLayers)
    }

    /// The overlay works with the credentials of whoever creates it: with the ids of `owner` and all of one's
    /// capabilities.
    fn as_owner(&self, create: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let Some(owner) = self.owner else { return create() };
        let capabilities = rustix::thread::capabilities(None)?;
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        sys::process::set_file_ids(owner.0, owner.1)?;
        let created = rustix::thread::set_capabilities(None, capabilities).and_then(|()| create());
        sys::process::set_file_ids(uid, gid)?;
        rustix::thread::set_capabilities(None, capabilities)?;
        created
    }

    /// Mounts layers that are attached nowhere.
    ///
    /// # Errors
    /// [`Error::IdMappedLayers`] before Linux 5.19.
    pub(crate) fn of_detached(&self, mounts: impl Iterator<Item = BorrowedFd<'a>>) -> Result<OwnedFd> {
        let mounted = match self.by_descriptors() {
            Err(failure) if wants_paths(failure) => match self.in_own_namespace(mounts)? {
                // Other things are EINVAL too: the kernel's log tells.
                Err(Failure { operation: Operation::CreateFileSystem, errno: Errno::INVAL })
                    if !maps_layers(&rustix::system::uname().release().to_string_lossy()) =>
                {
                    return Err(Error::IdMappedLayers(Errno::INVAL));
                }
                mounted => mounted,
            },
            mounted => mounted,
        };
        mounted.map_err(|failure| Error::Step { step: "mount the root overlay".to_owned(), failure })
    }

    /// A process with a mount namespace of its own attaches the layers' mounts there, mounts the overlay and
    /// sends it here; its namespace ends with it.
    fn in_own_namespace(&self, mounts: impl Iterator<Item = BorrowedFd<'a>>) -> Result<Outcome<OwnedFd>> {
        const OBJECT: &str = "the process that mounts the layers";
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|errno| Error::system("make", "a socket pair", errno))?;
        let process = sys::fork::fork_closure(sys::clone::flags::NEWNS, || {
            let sent = match attach(mounts).and_then(|()| self.by_paths()) {
                Ok(mount) => message::send(theirs.as_fd(), Message::Mounted, &[mount.as_fd()]),
                Err(Failure { operation, errno }) => {
                    let (operation, errno) = (operation.number(), errno.raw_os_error());
                    message::send(theirs.as_fd(), Message::Failed { step: 0, operation, errno }, &[])
                }
            };
            u8::from(sent.is_err())
        })
        .map_err(|errno| Error::system("clone", OBJECT, errno))?;
        drop(theirs);
        let mut mount = None;
        let answer = message::receive(ours.as_fd(), |descriptor| mount = Some(descriptor))
            .map_err(|errno| Error::system("hear from", OBJECT, errno))?;
        process.wait().map_err(|errno| Error::system("wait for", OBJECT, errno))?;
        match (answer, mount) {
            (Some(Message::Mounted), Some(mount)) => Ok(Ok(mount)),
            (Some(Message::Failed { operation, errno, .. }), _) => {
                Ok(Err(Failure::received(operation, errno)))
            }
            _ => Err(Error::system("hear from", OBJECT, Errno::PROTO)),
        }
    }
}

/// Mounts layers, uppermost first, with or without a writable one (upper and work directory), attached nowhere.
///
/// For a process with a mount namespace of its own in which the layers were opened; nobody else sees the overlay, which
/// ends with its last descriptor. `user_attributes` is for those whom only a user namespace lets mount.
///
/// # Errors
/// [`Error::Step`].
pub fn mount_layers(
    lower: &[OwnedFd],
    writable: Option<(BorrowedFd<'_>, BorrowedFd<'_>)>,
    user_attributes: bool,
) -> Result<OwnedFd> {
    let overlay = Overlay {
        lower: lower.iter().map(AsFd::as_fd),
        upper: writable,
        user_attributes,
        ephemeral: false,
        owner: None,
        label: None,
    };
    let mounted = match overlay.by_descriptors() {
        Err(failure) if wants_paths(failure) => {
            // Nothing of it may reach the host.
            let private =
                Attributes::propagation(u64::from(rustix::mount::MountPropagationFlags::PRIVATE.bits()));
            set_attributes(CWD, c"/", Reach::Tree, &private)
                .during(Operation::Propagation)
                .and_then(|()| overlay.by_paths())
        }
        mounted => mounted,
    };
    mounted.map_err(|failure| Error::Step { step: "mount the layers".to_owned(), failure })
}

/// Attaches mounts over `/`, one over the other: a layer is reached by its descriptor.
fn attach<'a>(mut mounts: impl Iterator<Item = BorrowedFd<'a>>) -> Outcome {
    // Nothing of it may reach the host.
    let private = Attributes::propagation(u64::from(rustix::mount::MountPropagationFlags::PRIVATE.bits()));
    set_attributes(CWD, c"/", Reach::Tree, &private).during(Operation::Propagation)?;
    mounts.try_for_each(|mount| {
        // A clone of a mount that the host shares, as systemd makes all of them, is its peer: what is attached over
        // it would appear on the host, over the layer, for ever.
        set_attributes(mount, c"", Reach::One, &private).during(Operation::Propagation)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(mount, c"", CWD, c"/", flags).during(Operation::Attach)
    })
}

/// Whether overlays of a kernel with this release take layers with an id map: from Linux 5.19 on.
fn maps_layers(release: &str) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 19),
        _ => true,
    }
}

/// Whether a kernel said by this that it wants paths: no descriptors (`EOPNOTSUPP` of 6.1), none of `O_PATH` (`EBADF`
/// of 6.12), no such key (`EINVAL`), or no layer that is attached nowhere (`EINVAL` of the creation, before 6.15).
pub(crate) fn wants_paths(failure: Failure) -> bool {
    match failure.operation {
        Operation::Configure => matches!(failure.errno, Errno::BADF | Errno::OPNOTSUPP | Errno::INVAL),
        Operation::CreateFileSystem => failure.errno == Errno::INVAL,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn options_name_every_layer() {
        let files: Vec<File> = (0..4).map(|_| File::open("/").unwrap()).collect();
        let [lower, base, upper, work] = [0, 1, 2, 3].map(|index: usize| files[index].as_fd());
        let path = |file: BorrowedFd<'_>| format!("/proc/self/fd/{}", file.as_raw_fd());
        let whole = format!(
            "lowerdir={}:{},upperdir={},workdir={},userxattr",
            path(lower),
            path(base),
            path(upper),
            path(work)
        );
        let rows = [
            (vec![lower, base], Some((upper, work)), true, whole),
            (vec![base], None, false, format!("lowerdir={}", path(base))),
        ];
        for (lower, upper, user_attributes, expected) in rows {
            let overlay = Overlay {
                lower: lower.into_iter(),
                upper,
                user_attributes,
                ephemeral: false,
                owner: None,
                label: None,
            };
            assert_eq!(overlay.options(&mut [0; PAGE]).unwrap().to_str(), Ok(expected.as_str()));
        }
    }

    #[test]
    fn options_that_fill_the_page_are_refused() {
        let file = File::open("/").unwrap();
        let length = |count| {
            let lower = std::iter::repeat_n(file.as_fd(), count);
            let overlay = Overlay {
                lower,
                upper: None,
                user_attributes: false,
                ephemeral: true,
                owner: None,
                label: None,
            };
            overlay.options(&mut [0; PAGE]).map(|options| options.count_bytes())
        };
        let each = format!("/proc/self/fd/{}:", file.as_raw_fd()).len();
        // What is left of the page after `lowerdir=`, without the last colon and with the NUL, is for the layers.
        let most = (PAGE - "lowerdir=".len()) / each;
        assert!(most > 200, "{most}");
        assert_eq!(length(most), Ok("lowerdir=".len() + most * each - 1));
        let refused = Failure { operation: Operation::NameLayers, errno: Errno::TOOBIG };
        assert_eq!(length(most + 1), Err(refused));
        assert_eq!(length(MAX_LAYERS), Err(refused));
    }

    #[test]
    fn releases_that_map_layers() {
        for (release, expected) in [
            ("5.14.0-503.el9.x86_64", false),
            ("5.15.0-25-generic", false),
            ("5.19.0", true),
            ("6.1.0-56-cloud-amd64", true),
            ("none", true),
        ] {
            assert_eq!(maps_layers(release), expected, "{release}");
        }
    }

    #[test]
    fn old_kernels_are_told_by_their_answer() {
        use Operation::{Configure, CreateFileSystem, OpenFileSystem};
        let rows = [
            (Configure, Errno::OPNOTSUPP, true),
            (Configure, Errno::BADF, true),
            (Configure, Errno::INVAL, true),
            (CreateFileSystem, Errno::INVAL, true),
            (CreateFileSystem, Errno::PERM, false),
            (Configure, Errno::PERM, false),
            (OpenFileSystem, Errno::NODEV, false),
        ];
        for (operation, errno, expected) in rows {
            assert_eq!(wants_paths(Failure { operation, errno }), expected, "{operation:?} {errno}");
        }
    }
}
