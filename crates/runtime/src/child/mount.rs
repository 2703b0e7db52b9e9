//! Mounts, devices, masks and links inside the root, by descriptor only.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
};
use sys::mount::{Attributes, Reach, attribute, set_attributes};

use super::failure::{During, Failure, Operation, Outcome};
use super::{Child, identity};
use crate::lsm::Label;
use crate::opened::Opened;
use crate::plan::option::Parameter;
use crate::plan::step::{Device, Mount, MountSource, Secrets};
use crate::plan::{InnerPath, Slot};
use crate::weaken::{self, Defence};

/// How often a resolution that raced with a rename is tried again (openat2(2): `EAGAIN`).
const ATTEMPTS: u32 = 128;

/// Inode of the root of a procfs (`PROC_ROOT_INO` of the kernel's `proc_fs.h`).
const PROC_ROOT_INODE: u64 = 1;

/// Directories below which masks, read-only paths, devices and other mounts go. Once something is mounted there it is
/// reached by its own descriptor: a neighbour who shares the root may rename the place of a mount of this namespace, and
/// a path would then lead past the mount, and leave it without its masks (CVE-2019-19921, CVE-2023-27561).
pub(super) const HELD: [&[u8]; 3] = [b"proc", b"sys", b"dev"];

/// What the destination of a mount is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Directory,
    File,
}

impl Child<'_> {
    pub(super) fn root(&self) -> Outcome<BorrowedFd<'_>> {
        match &self.root {
            Some(root) => Ok(root.as_fd()),
            None => Err(Failure { operation: Operation::OpenRoot, errno: Errno::BADF }),
        }
    }

    /// Opens a path inside the root; symbolic links stay inside, magic links are refused.
    pub(super) fn open(&self, path: &CStr, flags: OFlags, more: ResolveFlags) -> Result<OwnedFd, Errno> {
        let (root, path) = self.base(path)?;
        if weaken::is_off(Defence::Root) {
            return rustix::fs::openat(root, path, flags | OFlags::CLOEXEC, Mode::empty());
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        for _ in 1..ATTEMPTS {
            match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The mount that holds a path, and the path below it; else the root.
    fn base<'a>(&'a self, path: &'a CStr) -> Result<(&'a OwnedFd, &'a CStr), Errno> {
        let bytes = path.to_bytes();
        let end = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
        if let Some(index) = HELD.iter().position(|name| *name == &bytes[..end])
            && let Some(mount) = &self.held[index]
        {
            let below =
                path.to_bytes_with_nul().get(end + 1..).and_then(|rest| CStr::from_bytes_with_nul(rest).ok());
            return Ok((mount, below.unwrap_or(c".")));
        }
        self.root.as_ref().map(|root| (root, path)).ok_or(Errno::BADF)
    }

    /// Holds on to what was mounted at one of [`HELD`].
    fn hold(&mut self, destination: &InnerPath, tree: OwnedFd) {
        let place =
            destination.relative().and_then(|path| HELD.iter().position(|name| *name == path.to_bytes()));
        match place {
            Some(index) if !weaken::is_off(Defence::Mounted) => self.held[index] = Some(tree),
            // What is mounted over the root hides all that was mounted before.
            None if destination.relative().is_none() => self.held = [const { None }; HELD.len()],
            _ => {}
        }
    }

    /// Opens the place to mount upon, and makes it where there is none.
    fn destination(&self, path: &InnerPath, target: Target, no_symlinks: bool) -> Outcome<OwnedFd> {
        let more = if no_symlinks { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::empty() };
        let mut flags = OFlags::PATH;
        if target == Target::Directory {
            flags |= OFlags::DIRECTORY;
        }
        let Some(relative) = path.relative() else {
            return self.open(c".", flags, more).during(Operation::OpenDestination);
        };
        match self.open(relative, flags, more) {
            Err(Errno::NOENT) => {}
            result => return result.during(Operation::OpenDestination),
        }
        match target {
            Target::Directory => self.make_directory(path),
            Target::File => self.make_file(path),
        }
    }

    /// Makes a directory and those above it, each in the descriptor of the one before (CVE-2024-45310).
    pub(super) fn make_directory(&self, path: &InnerPath) -> Outcome<OwnedFd> {
        self.walk(path, path.names().len())
    }

    fn walk(&self, path: &InnerPath, count: usize) -> Outcome<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut here = self.open(c".", flags, ResolveFlags::empty()).during(Operation::OpenDestination)?;
        for (prefix, name) in path.prefixes().iter().zip(path.names()).take(count) {
            here = match self.open(prefix, flags, ResolveFlags::empty()) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => {
                    self.pause("make-directory", path);
                    let mode = Mode::from_raw_mode(0o755);
                    let made = if weaken::is_off(Defence::Root) {
                        rustix::fs::mkdirat(self.root()?, prefix.as_c_str(), mode)
                    } else {
                        rustix::fs::mkdirat(&here, name.as_c_str(), mode)
                    };
                    match made {
                        // Made by another meanwhile; or a dangling link, which the next line refuses.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(Failure { operation: Operation::MakeDestination, errno }),
                    }
                    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    rustix::fs::openat2(&here, name.as_c_str(), flags, Mode::empty(), resolve)
                        .during(Operation::MakeDestination)?
                }
                Err(errno) => return Err(Failure { operation: Operation::OpenDestination, errno }),
            };
        }
        Ok(here)
    }

    pub(super) fn make_file(&self, path: &InnerPath) -> Outcome<OwnedFd> {
        let (parent, name) = self.parent(path)?;
        self.pause("make-file", path);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Failure { operation: Operation::MakeDestination, errno }),
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&parent, name, flags, Mode::empty(), resolve).during(Operation::MakeDestination)
    }

    /// The descriptor of the directory above, made where missing, and the last name.
    fn parent<'p>(&self, path: &'p InnerPath) -> Outcome<(OwnedFd, &'p CStr)> {
        let Some(name) = path.names().last() else {
            return Err(Failure { operation: Operation::MakeDestination, errno: Errno::EXIST });
        };
        Ok((self.walk(path, path.names().len() - 1)?, name))
    }

    pub(super) fn mount(&mut self, mount: &Mount) -> Outcome {
        let (tree, target) = match &mount.source {
            MountSource::Filesystem { kind, source, parameters } => {
                (new_instance(kind, source.as_deref(), parameters)?, Target::Directory)
            }
            MountSource::Proc { parameters } => (self.take_proc(parameters)?, Target::Directory),
            MountSource::Tree { slot, recursive } => {
                let directory = self.prepared.source(*slot).is_none_or(Opened::is_directory);
                let tree = self.clone_source(*slot, *recursive)?;
                (tree, if directory { Target::Directory } else { Target::File })
            }
            MountSource::Overlay { lower, upper } => {
                // Whoever mounts in a user namespace of his own may write no others.
                let user_attributes = upper.is_some() || self.prepared.user_attributes;
                (self.overlay(lower, *upper, (true, user_attributes))?, Target::Directory)
            }
            MountSource::Existing => return self.change_existing(mount),
        };
        apply(&tree, Reach::Tree, mount.recursive)?;
        apply(&tree, Reach::One, mount.attributes)?;
        let destination = self.destination(&mount.destination, target, mount.no_symlinks)?;
        self.guard_proc(mount, &tree, &destination)?;
        self.pause("mount", &mount.destination);
        for (kind, below) in &mount.propagation {
            let reach = if *below { Reach::Tree } else { Reach::One };
            let change = Attributes::propagation(*kind);
            set_attributes(tree.as_fd(), c"", reach, &change).during(Operation::Propagation)?;
        }
        if mount.copy_up {
            super::copy::copy_up(&destination, &tree)?;
        }
        if weaken::is_off(Defence::Destination) {
            let (root, path) = (self.root()?, mount.destination.relative().map_or(c".", CString::as_c_str));
            let again = rustix::fs::openat(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .during(Operation::OpenDestination)?;
            attach(&tree, &again)?;
        } else {
            attach(&tree, &destination)?;
        }
        if target == Target::Directory {
            self.hold(&mount.destination, tree);
        }
        Ok(())
    }

    /// Only a procfs goes onto `/proc`, and nothing goes onto another place of one but single files.
    fn guard_proc(&self, mount: &Mount, tree: &OwnedFd, destination: &OwnedFd) -> Outcome {
        let is_procfs = |file: &OwnedFd| {
            rustix::fs::fstatfs(file).map(|stat| stat.f_type == PROC_SUPER_MAGIC).during(Operation::NotProcfs)
        };
        let refuse = Err(Failure { operation: Operation::NotProcfs, errno: Errno::PERM });
        if mount.destination.relative().is_some_and(|path| path.to_bytes() == b"proc") {
            return if weaken::is_off(Defence::LabelVerify) || is_procfs(tree)? { Ok(()) } else { refuse };
        }
        // The plan lets through those below /proc that may be mounted upon; any other destination that
        // turns out to be in a procfs got there by a link.
        if !mount.destination.starts_with(b"proc") && is_procfs(destination)? { refuse } else { Ok(()) }
    }

    fn change_existing(&self, mount: &Mount) -> Outcome {
        let flags = OFlags::PATH;
        let more = if mount.no_symlinks { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::empty() };
        let path = mount.destination.relative().map_or(c".", CString::as_c_str);
        let place = self.open(path, flags, more).during(Operation::OpenDestination)?;
        apply(&place, Reach::Tree, mount.recursive)?;
        apply(&place, Reach::One, mount.attributes)?;
        for (kind, below) in &mount.propagation {
            let reach = if *below { Reach::Tree } else { Reach::One };
            let change = Attributes::propagation(*kind);
            set_attributes(place.as_fd(), c"", reach, &change).during(Operation::Propagation)?;
        }
        Ok(())
    }

    /// A detached mount of a source that the parent opened.
    pub(super) fn clone_source(&mut self, slot: Slot, recursive: bool) -> Outcome<OwnedFd> {
        let missing = Failure { operation: Operation::OpenSource, errno: Errno::BADF };
        match self.prepared.source(slot) {
            Some(Opened::Tree { mount, .. }) => {
                rustix::io::fcntl_dupfd_cloexec(mount, 3).during(Operation::CloneTree)
            }
            Some(Opened::Late { index, .. }) => {
                let index = *index;
                self.late.get_mut(index).and_then(Option::take).ok_or(missing)
            }
            Some(Opened::Path { path, identity, .. }) => {
                let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                if recursive {
                    flags |= OpenTreeFlags::AT_RECURSIVE;
                }
                let tree = match rustix::mount::open_tree(CWD, path.as_c_str(), flags) {
                    // A tree with mounts that another namespace locked can be bound only whole.
                    Err(Errno::INVAL) => {
                        rustix::mount::open_tree(CWD, path.as_c_str(), flags | OpenTreeFlags::AT_RECURSIVE)
                    }
                    result => result,
                }
                .during(Operation::CloneTree)?;
                require_identity(&tree, *identity)?;
                Ok(tree)
            }
            None => Err(missing),
        }
    }

    /// A detached mount of one of the host's device nodes. Where the host's mounts are shared (systemd) the clone would
    /// be a peer of its `/dev`: a mount over the node in here would be one over the host's node.
    fn clone_node(&mut self, slot: Slot) -> Outcome<OwnedFd> {
        let node = self.clone_source(slot, false)?;
        let private = Attributes::propagation(u64::from(MountPropagationFlags::PRIVATE.bits()));
        set_attributes(node.as_fd(), c"", Reach::One, &private).during(Operation::Propagation)?;
        Ok(node)
    }

    /// The private procfs, made on first use.
    fn private_proc(&mut self) -> Outcome<BorrowedFd<'_>> {
        if self.proc.is_none() {
            self.proc = Some(match make_proc(&[]) {
                // The pids of another user namespace: no procfs of our own can be had for them.
                Err(Failure { errno: Errno::PERM, .. }) => open_visible_proc()?,
                result => result?,
            });
        }
        match &self.proc {
            Some(proc) => Ok(proc.as_fd()),
            None => Err(Failure { operation: Operation::OpenKernelFile, errno: Errno::BADF }),
        }
    }

    fn take_proc(&mut self, parameters: &[Parameter]) -> Outcome<OwnedFd> {
        // The mount that becomes /proc stays open as the one that is written through: same instance, and
        // a descriptor of its root is not affected by what is mounted over it later.
        let proc = make_proc(parameters)?;
        self.proc = Some(rustix::io::fcntl_dupfd_cloexec(&proc, 3).during(Operation::MakeMount)?);
        Ok(proc)
    }

    /// Where a race test changes the root between resolving and using; nothing in a product.
    fn pause(&self, point: &str, path: &InnerPath) {
        self.prepared.pauses.at(point, path.relative().map_or(b"", |path| path.to_bytes()));
    }

    pub(super) fn write_sysctl(&mut self, path: &CStr, value: &[u8]) -> Outcome {
        if weaken::is_off(Defence::Procfs) {
            return self.write_in_root(path, value);
        }
        let proc = self.private_proc()?;
        let file = open_kernel_file(proc, path, OFlags::WRONLY)?;
        self.prepared.pauses.at("kernel-file", path.to_bytes());
        write_all(&file, value)
    }

    /// What a runtime did before 2025: the file that the root has at that path.
    fn write_in_root(&self, path: &CStr, value: &[u8]) -> Outcome {
        let proc =
            self.open(c"proc", OFlags::PATH, ResolveFlags::empty()).during(Operation::OpenKernelFile)?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&proc, path, flags, Mode::empty()).during(Operation::OpenKernelFile)?;
        write_all(&file, value)
    }

    /// Writes a security label of the calling process, and reads it back (CVE-2019-16884).
    pub(super) fn write_label(&mut self, label: &Label) -> Outcome {
        let mut buffer = [0; 64];
        let path = identity::own_file(&label.file, &mut buffer)?;
        if weaken::is_off(Defence::LabelVerify) {
            return self.write_in_root(path, label.written.to_bytes());
        }
        let proc = self.private_proc()?;
        let target = open_kernel_file(proc, path, OFlags::RDWR)?;
        write_all(&target, label.written.to_bytes()).map_err(|failure| match failure.errno {
            Errno::NOENT | Errno::INVAL => Failure { operation: Operation::KnowLabel, ..failure },
            _ => failure,
        })?;
        let mut answer = [0; 4096];
        let length = rustix::io::pread(&target, &mut answer, 0).during(Operation::VerifyKernelFile)?;
        if label.is_shown_by(&answer[..length]) {
            Ok(())
        } else {
            Err(Failure { operation: Operation::VerifyKernelFile, errno: Errno::PERM })
        }
    }

    pub(super) fn device(&mut self, device: &Device) -> Outcome {
        if let Some(slot) = device.bind {
            let node = self.clone_node(slot)?;
            let destination = self.destination(&device.path, Target::File, false)?;
            return attach(&node, &destination);
        }
        let (parent, name) = self.parent(&device.path)?;
        let number = rustix::fs::makedev(device.number.0, device.number.1);
        let kind = FileType::from_raw_mode(device.kind);
        self.pause("make-node", &device.path);
        // No creation mask: a mode set later would be set by name, and a neighbour who shares the root could
        // have put a link to a file of the host there.
        let mask = sys::process::set_umask(0);
        let made = rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(device.mode), number);
        sys::process::set_umask(mask);
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => return check_node(&parent, name, device, number),
            Err(errno) => return Err(Failure { operation: Operation::MakeNode, errno }),
        }
        self.pause("node-made", &device.path);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::openat(&parent, name, flags, Mode::empty()).during(Operation::NodeOwner)?;
        identity::change_owner(&node, device.owner)
    }

    /// Puts secrets on a file system in memory that only this container has, and makes it read-only. The way to a
    /// secret's other place is the root's: it is resolved inside.
    pub(super) fn secrets(&self, secrets: &Secrets) -> Outcome {
        let tmpfs = new_instance(c"tmpfs", Some(c"tmpfs"), &secrets.parameters)?;
        for (file, content) in secrets.files.iter().zip(&self.prepared.secrets) {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&tmpfs, file.name.as_c_str(), flags, Mode::RUSR)
                .during(Operation::MakeSecret)?;
            let mut rest = content.as_slice();
            while !rest.is_empty() {
                let written = rustix::io::write(&opened, rest).during(Operation::MakeSecret)?;
                rest = &rest[written..];
            }
            let (uid, gid) = (Uid::from_raw(file.owner.0), Gid::from_raw(file.owner.1));
            rustix::fs::fchown(&opened, Some(uid), Some(gid)).during(Operation::MakeSecret)?;
            rustix::fs::fchmod(&opened, Mode::from_raw_mode(file.mode)).during(Operation::MakeSecret)?;
        }
        let seal =
            Attributes::new(attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC, 0);
        apply(&tmpfs, Reach::One, seal)?;
        let destination = self.destination(&secrets.directory, Target::Directory, false)?;
        if !is_outside_procfs(&destination)? {
            return Err(Failure { operation: Operation::NotProcfs, errno: Errno::PERM });
        }
        attach(&tmpfs, &destination)?;
        for file in &secrets.files {
            let Some(target) = &file.target else { continue };
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&tmpfs, file.name.as_c_str(), flags, Mode::empty())
                .during(Operation::OpenSource)?;
            let destination = self.destination(target, Target::File, false)?;
            if !is_outside_procfs(&destination)? {
                return Err(Failure { operation: Operation::NotProcfs, errno: Errno::PERM });
            }
            attach(&clone_mount(&opened)?, &destination)?;
        }
        Ok(())
    }

    pub(super) fn link(&self, path: &InnerPath, target: &CStr) -> Outcome {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::symlinkat(target, &parent, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Failure { operation: Operation::Link, errno }),
        }
    }

    /// Hides a path. What does not exist needs no hiding; any other failure is one (CVE-2025-31133).
    pub(super) fn mask(&mut self, path: &InnerPath) -> Outcome {
        let Some(relative) = path.relative() else {
            return Err(Failure { operation: Operation::Mask, errno: Errno::INVAL });
        };
        let place = match self.open(relative, OFlags::PATH, ResolveFlags::empty()) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(Failure { operation: Operation::Mask, errno }),
        };
        self.pause("mask", path);
        let stat = rustix::fs::fstat(&place).during(Operation::Mask)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.mask_directory(&place)
        } else {
            self.mask_file(&place)
        }
    }

    /// A read-only empty directory: one tmpfs for all masks of a container.
    ///
    /// The first mask is the mount itself and all others are clones of it: a mount that is attached nowhere
    /// cannot be cloned before Linux 6.15.
    fn mask_directory(&mut self, place: &OwnedFd) -> Outcome {
        if let Some(empty) = &self.empty {
            return attach(&clone_mount(empty)?, place);
        }
        let tmpfs = new_instance(c"tmpfs", Some(c"tmpfs"), self.prepared.label.as_slice())?;
        let seal =
            Attributes::new(attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC, 0);
        apply(&tmpfs, Reach::One, seal)?;
        attach(&tmpfs, place)?;
        self.empty = Some(tmpfs);
        Ok(())
    }

    /// The host's `/dev/null`, checked by the parent: never the one in the root, which an image or another
    /// container could have replaced (CVE-2025-31133).
    fn mask_file(&mut self, place: &OwnedFd) -> Outcome {
        if weaken::is_off(Defence::Mask) {
            let null = self.open(c"dev/null", OFlags::PATH, ResolveFlags::empty()).during(Operation::Mask)?;
            return attach(&clone_mount(&null)?, place);
        }
        if let Some(null) = &self.null {
            return attach(&clone_mount(null)?, place);
        }
        let Some(slot) = self.plan.null else {
            return Err(Failure { operation: Operation::Mask, errno: Errno::BADF });
        };
        let null = self.clone_node(slot)?;
        attach(&null, place)?;
        self.null = Some(null);
        Ok(())
    }

    pub(super) fn make_readonly(&self, path: &InnerPath) -> Outcome {
        let Some(relative) = path.relative() else { return self.set_root(attribute::RDONLY) };
        let place = match self.open(relative, OFlags::PATH, ResolveFlags::empty()) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(Failure { operation: Operation::OpenDestination, errno }),
        };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = rustix::mount::open_tree(&place, c"", flags).during(Operation::CloneTree)?;
        apply(&tree, Reach::Tree, Attributes::new(attribute::RDONLY, 0))?;
        attach(&tree, &place)
    }
}

/// Whether a place is in no procfs, where what is mounted would stand in for a file that the engine writes.
fn is_outside_procfs(place: &OwnedFd) -> Outcome<bool> {
    rustix::fs::fstatfs(place).map(|stat| stat.f_type != PROC_SUPER_MAGIC).during(Operation::NotProcfs)
}

fn check_node(parent: &OwnedFd, name: &CStr, device: &Device, number: u64) -> Outcome {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).during(Operation::MakeNode)?;
    let same_kind = FileType::from_raw_mode(stat.st_mode) == FileType::from_raw_mode(device.kind);
    if same_kind && (stat.st_rdev == number || FileType::from_raw_mode(device.kind) == FileType::Fifo) {
        Ok(())
    } else {
        Err(Failure { operation: Operation::MakeNode, errno: Errno::EXIST })
    }
}

/// A new instance of a file system, detached.
fn new_instance(kind: &CStr, source: Option<&CStr>, parameters: &[Parameter]) -> Outcome<OwnedFd> {
    let context =
        rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).during(Operation::OpenFileSystem)?;
    if let Some(source) = source {
        rustix::mount::fsconfig_set_string(&context, c"source", source).during(Operation::Configure)?;
    }
    for parameter in parameters {
        match &parameter.value {
            Some(value) => {
                rustix::mount::fsconfig_set_string(&context, parameter.key.as_c_str(), value.as_c_str())
            }
            None => rustix::mount::fsconfig_set_flag(&context, parameter.key.as_c_str()),
        }
        .during(Operation::Configure)?;
    }
    rustix::mount::fsconfig_create(&context).during(Operation::CreateFileSystem)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .during(Operation::MakeMount)
}

fn make_proc(parameters: &[Parameter]) -> Outcome<OwnedFd> {
    let proc = new_instance(c"proc", Some(c"proc"), parameters)?;
    let safe = Attributes::new(attribute::NOSUID | attribute::NODEV | attribute::NOEXEC, 0);
    apply(&proc, Reach::One, safe)?;
    Ok(proc)
}

/// The procfs at `/proc`, checked to be the root of one.
fn open_visible_proc() -> Outcome<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = rustix::fs::open(c"/proc", flags, Mode::empty()).during(Operation::OpenKernelFile)?;
    let magic = rustix::fs::fstatfs(&proc).during(Operation::OpenKernelFile)?.f_type;
    let inode = rustix::fs::fstat(&proc).during(Operation::OpenKernelFile)?.st_ino;
    if magic == PROC_SUPER_MAGIC && inode == PROC_ROOT_INODE {
        Ok(proc)
    } else {
        Err(Failure { operation: Operation::NotProcfs, errno: Errno::XDEV })
    }
}

fn clone_mount(mount: &OwnedFd) -> Outcome<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(mount, c"", flags).during(Operation::CloneTree)
}

fn attach(tree: &OwnedFd, place: &OwnedFd) -> Outcome {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", place, c"", flags).during(Operation::Attach)
}

/// Sets attributes. Where clearing is refused, because an outer namespace locked a flag (mount_namespaces(7)),
/// the flag stays: the mount is then safer than asked for.
fn apply(tree: &OwnedFd, reach: Reach, attributes: Attributes) -> Outcome {
    if attributes.is_empty() {
        return Ok(());
    }
    match set_attributes(tree.as_fd(), c"", reach, &attributes) {
        Err(Errno::PERM) if attributes.clear != 0 => {
            let only_set = Attributes::new(attributes.set & !attribute::ATIME, 0);
            set_attributes(tree.as_fd(), c"", reach, &only_set).during(Operation::Attributes)
        }
        result => result.during(Operation::Attributes),
    }
}

pub(super) fn require_identity(file: &OwnedFd, identity: (u64, u64)) -> Outcome {
    let stat = rustix::fs::fstat(file).during(Operation::OpenSource)?;
    if (stat.st_dev, stat.st_ino) == identity {
        Ok(())
    } else {
        Err(Failure { operation: Operation::ChangedSource, errno: Errno::STALE })
    }
}

/// Opens a file of the private procfs without leaving it, and checks that it is one.
fn open_kernel_file(proc: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Outcome<OwnedFd> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = rustix::fs::openat2(proc, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
        .during(Operation::OpenKernelFile)?;
    let magic = rustix::fs::fstatfs(&file).during(Operation::OpenKernelFile)?.f_type;
    if magic == PROC_SUPER_MAGIC {
        Ok(file)
    } else {
        Err(Failure { operation: Operation::OpenKernelFile, errno: Errno::XDEV })
    }
}

fn write_all(file: &OwnedFd, value: &[u8]) -> Outcome {
    let written = rustix::io::write(file, value).during(Operation::WriteKernelFile)?;
    if written == value.len() {
        Ok(())
    } else {
        Err(Failure { operation: Operation::WriteKernelFile, errno: Errno::IO })
    }
}
