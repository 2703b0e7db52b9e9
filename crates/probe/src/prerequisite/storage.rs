//! Storage: room, directories, overlayfs in a user namespace, id-mapped mounts.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use idmap::{Map, NamespaceRequest, in_user_namespace};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, mount, mount_change, open_tree};
use sys::fork::Exit;
use sys::mount::{Attributes, Reach, set_attributes};

use super::{Finding, Host, kernel};
use crate::report::errno_name;

/// Room for a few images, in bytes.
const ROOM: u64 = 2 << 30;
/// The first Linux whose overlays take layers with an id map.
const OVERLAY_OF_MAPPED_LAYERS: (u32, u32) = (5, 19);

pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let mut findings = vec![room(host), overlay(host)];
    if host.is_root() {
        findings.push(id_mapped(host));
    } else {
        findings.push(runtime_directory(host));
    }
    findings
}

/// The directory itself, or the nearest one above that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|path| rustix::fs::access(*path, rustix::fs::Access::EXISTS).is_ok())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

fn room(host: &Host) -> Finding {
    const NAME: &str = "disk";
    let directory = existing(&host.store);
    match rustix::fs::statvfs(&directory) {
        Err(errno) => {
            Finding::unavailable(NAME, format!("`{}`: {}", directory.display(), errno_name(errno)), None)
        }
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let detail = format!("{} MiB free for `{}`", free >> 20, host.store.display());
            if stat.f_favail == 0 && stat.f_files > 0 {
                Finding::unavailable(NAME, format!("no inodes left for `{}`", host.store.display()), None)
            } else if free < ROOM {
                Finding::weaker(NAME, detail, Some("brig image prune".to_owned()))
            } else {
                Finding::applied(NAME, detail)
            }
        }
    }
}

fn runtime_directory(host: &Host) -> Finding {
    const NAME: &str = "XDG_RUNTIME_DIR";
    let uid = host.uid;
    let Some(directory) = &host.runtime else {
        return Finding::weaker(
            NAME,
            format!("not set: `{}` is used", host.run.display()),
            Some(format!(
                "loginctl enable-linger {uid} && echo 'export XDG_RUNTIME_DIR=/run/user/{uid}' >> ~/.profile"
            )),
        );
    };
    let path = directory.display();
    match rustix::fs::lstat(directory) {
        Err(errno) => Finding::weaker(
            NAME,
            format!("`{path}`: {}", errno_name(errno)),
            Some(format!("install -d -m 0700 -o {uid} {path}")),
        ),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
            Finding::weaker(NAME, format!("`{path}` is not a directory"), None)
        }
        Ok(stat) if stat.st_uid != uid => {
            Finding::weaker(NAME, format!("`{path}` is not yours"), Some(format!("chown {uid} {path}")))
        }
        Ok(stat) if stat.st_mode & 0o077 != 0 => {
            Finding::weaker(NAME, format!("others can enter `{path}`"), Some(format!("chmod 0700 {path}")))
        }
        Ok(_) => Finding::applied(NAME, path.to_string()),
    }
}

/// Really mounts an overlay on a tmpfs, in a user namespace that ends with the try.
fn overlay(host: &Host) -> Finding {
    const NAME: &str = "overlayfs";
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (Ok(uid), Ok(gid)) = (Map::single(0, own.0), Map::single(0, own.1)) else {
        return Finding::weaker(NAME, "your own id cannot be mapped", None);
    };
    let request =
        NamespaceRequest { uid: &uid, gid: &gid, also_new: sys::clone::flags::NEWNS, answer_limit: 256 };
    let mend = || Some("modprobe overlay".to_owned());
    match in_user_namespace(&request, try_overlay) {
        Ok(outcome) if outcome.exit == Exit::Code(0) => Finding::applied(
            NAME,
            if host.is_root() { "works in a user namespace too" } else { "works without root" },
        ),
        Ok(outcome) => {
            let detail = format!("in a user namespace: {}", String::from_utf8_lossy(&outcome.answer));
            if host.is_root() {
                Finding::weaker(NAME, detail, None)
            } else {
                Finding::unavailable(NAME, detail, mend())
            }
        }
        Err(idmap::Error::Threads) => Finding::weaker(NAME, "not tried: this process has threads", None),
        Err(error) => Finding::unavailable(NAME, format!("not tried: {error}"), None),
    }
}

fn try_overlay() -> (u8, Vec<u8>) {
    let step = |what: &str, errno: Errno| format!("{what}: {}", errno_name(errno)).into_bytes();
    let result = || -> Result<(), Vec<u8>> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(|errno| step("private mounts", errno))?;
        mount("none", "/tmp", "tmpfs", MountFlags::empty(), None)
            .map_err(|errno| step("mount tmpfs", errno))?;
        for name in ["l", "u", "w", "m"] {
            rustix::fs::mkdir(format!("/tmp/{name}"), Mode::RWXU).map_err(|errno| step("mkdir", errno))?;
        }
        let options = c"lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,userxattr";
        mount("overlay", "/tmp/m", "overlay", MountFlags::empty(), Some(options))
            .map_err(|errno| step("mount overlay", errno))
    };
    match result() {
        Ok(()) => (0, Vec::new()),
        Err(answer) => (1, answer),
    }
}

/// Really gives a detached copy of the store's mount an id map: whether that works is up to its file system.
fn id_mapped(host: &Host) -> Finding {
    const NAME: &str = "id-mapped mounts";
    let directory = existing(&host.store);
    let place = directory.display().to_string();
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match try_id_mapped(&directory) {
        Ok(()) if kernel::numbers(&release).is_some_and(|numbers| numbers < OVERLAY_OF_MAPPED_LAYERS) => {
            Finding::weaker(
                NAME,
                format!(
                    "overlays take them since Linux 5.19, not {release}: containers of root need `--userns=host`"
                ),
                None,
            )
        }
        Ok(()) => Finding::applied(NAME, format!("the file system of `{place}` takes them")),
        Err(None) => {
            Finding::weaker(NAME, "not tried: this process has threads or may not make namespaces", None)
        }
        Err(Some(errno)) => Finding::weaker(
            NAME,
            format!(
                "{} from the file system of `{place}`: containers of root need `--userns=host`",
                errno_name(errno)
            ),
            Some("move the store to ext4, xfs, btrfs, f2fs or tmpfs: brig --root DIR".to_owned()),
        ),
    }
}

fn try_id_mapped(directory: &Path) -> Result<(), Option<Errno>> {
    let map = Map::contiguous(0, idmap::allocate::DEFAULT_START, idmap::allocate::SLOT).map_err(|_| None)?;
    let namespace = idmap::namespace_of(&map, &map).map_err(|_| None)?;
    let at = |flags: OFlags| rustix::fs::open(directory, flags | OFlags::CLOEXEC, Mode::empty());
    let opened: OwnedFd = at(OFlags::PATH | OFlags::DIRECTORY).map_err(Some)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&opened, "", flags).or_else(|_| open_tree(CWD, directory, flags)).map_err(Some)?;
    let attributes = Attributes::default().with_id_map(namespace.as_fd());
    set_attributes(tree.as_fd(), c"", Reach::One, &attributes).map_err(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prerequisite::Status;

    #[test]
    fn the_nearest_directory_that_exists() {
        assert_eq!(existing(Path::new("/proc/self/none/such")), Path::new("/proc/self"));
        assert_eq!(existing(Path::new("/nonexistent-at-all")), Path::new("/"));
    }

    #[test]
    fn runtime_directories() {
        let host = |uid, runtime: Option<&str>| Host {
            unconfined: None,
            uid,
            store: "/".into(),
            run: "/tmp/brig-1".into(),
            runtime: runtime.map(PathBuf::from),
        };
        for (uid, path, expected) in [
            (1, None, "not set"),
            (1, Some("/nonexistent"), "ENOENT"),
            (4_000_000, Some("/proc"), "not yours"),
            (0, Some("/usr"), "others can enter"),
            (0, Some("/dev/null"), "not a directory"),
        ] {
            let finding = runtime_directory(&host(uid, path));
            assert_eq!(finding.status, Status::Weaker);
            assert!(finding.detail.contains(expected), "{finding:?}");
        }
    }
}
