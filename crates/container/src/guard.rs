//! Which host paths are refused as bind mounts unless `--allow-host-path` names them.
//!
//! Each opens the machine, not a directory: a container that can write `/etc` or talk to an engine's
//! socket is root on the host. The path is the one after symlinks were resolved, so that a link to
//! `/etc` is `/etc`.

use std::path::{Path, PathBuf};

/// Refused themselves and with everything below.
const TREES: &[(&str, &str)] = &[
    ("/proc", "it holds the kernel's settings and every process"),
    ("/sys", "it holds the kernel's settings and devices"),
    ("/dev", "it holds the devices of the machine: use `--device` for one of them"),
    ("/boot", "it holds the kernel that the machine starts"),
    ("/run/docker", "it belongs to another container engine"),
    ("/run/containerd", "it belongs to another container engine"),
    ("/run/podman", "it belongs to another container engine"),
    ("/run/crio", "it belongs to another container engine"),
    ("/run/buildkit", "it belongs to another container engine"),
    ("/var/lib/docker", "it belongs to another container engine"),
    ("/var/lib/containerd", "it belongs to another container engine"),
    ("/var/lib/containers", "it belongs to another container engine"),
    ("/var/lib/kubelet", "it belongs to another container engine"),
    ("/var/lib/brig", "it belongs to brig itself"),
    ("/run/brig", "it belongs to brig itself"),
];

/// Sockets by which engines and service managers take orders, below the directory that is theirs or a user's
/// `/run/user/<uid>`: who reaches a user's bus has systemd run programs as that user.
pub(crate) const SOCKETS: &[&str] = &[
    "docker.sock",
    "podman.sock",
    "podman/podman.sock",
    "containerd.sock",
    "containerd.sock.ttrpc",
    "containerd/containerd.sock",
    "crio.sock",
    "crio/crio.sock",
    "buildkitd.sock",
    "buildkit/buildkitd.sock",
    "bus",
    "system_bus_socket",
    "systemd/private",
    "private",
];

/// Below `/etc` these are refused even read-only.
const SECRETS: &[&str] = &[
    "shadow",
    "shadow-",
    "gshadow",
    "gshadow-",
    "sudoers",
    "sudoers.d",
    "ssh",
    "security",
    "krb5.keytab",
    "ssl",
    "pki",
    "kubernetes",
    "rancher",
];

/// Below them there are certificates that every program of the host reads, and no keys: images mount them read-only for
/// an organisation's own authorities.
const PUBLIC: &[&str] =
    &["/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/pki/ca-trust/extracted", "/etc/pki/tls/certs"];

/// Why a host path is refused, or `None` where it may be mounted.
///
/// A socket is refused whatever its name, since an engine's may be moved or linked to; `socket` is
/// [`Source::socket`](crate::host::Source::socket). `own` are the engine's own directories (`--root`, `--runroot`),
/// `allowed` those that the person named.
#[must_use]
pub fn refuse(
    path: &Path,
    socket: bool,
    read_only: bool,
    own: &[PathBuf],
    allowed: &[PathBuf],
) -> Option<&'static str> {
    if allowed.iter().any(|named| named == path) {
        return None;
    }
    if path == Path::new("/") {
        return Some("it is the whole host");
    }
    if path == Path::new("/etc") {
        return Some("it holds the host's accounts, keys and services");
    }
    if let Ok(below) = path.strip_prefix("/etc") {
        let public = PUBLIC.iter().any(|public| path.starts_with(public));
        let first = below.components().next().map(|part| part.as_os_str());
        if !public && first.is_some_and(|first| SECRETS.iter().any(|secret| first == *secret)) {
            return Some("it holds secrets of the host");
        }
        if !read_only {
            return Some("it holds the host's configuration: mount it read-only with `:ro`");
        }
    }
    for (tree, reason) in TREES {
        if path.starts_with(tree) {
            return Some(reason);
        }
        // A parent shows what lies below it: /run and /var are as good as the sockets and stores in them.
        if Path::new(tree).starts_with(path) {
            return Some("a container engine's socket or store, or a kernel tree, lies below it");
        }
    }
    if socket {
        return Some(
            "it is or holds a socket: a container may do what the program behind it does for anyone",
        );
    }
    if own.iter().any(|directory| path.starts_with(directory)) {
        return Some("it belongs to brig itself");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_refused_and_directories_are_not() {
        let own = [PathBuf::from("/srv/brig")];
        for (path, read_only, refused) in [
            ("/", true, true),
            ("/etc", true, true),
            ("/etc/hosts", true, false),
            ("/etc/hosts", false, true),
            ("/etc/shadow", true, true),
            ("/etc/ssh/ssh_host_ed25519_key", true, true),
            ("/etc/ssl", true, true),
            ("/etc/ssl/private", true, true),
            ("/etc/ssl/certs", true, false),
            ("/etc/ssl/certs/ca-certificates.crt", true, false),
            ("/etc/ssl/certs", false, true),
            ("/etc/ssl/certs-private", true, true),
            ("/etc/pki/tls/private", true, true),
            ("/proc", true, true),
            ("/proc/1/root", true, true),
            ("/sys/kernel", true, true),
            ("/dev", true, true),
            ("/dev/null", true, true),
            ("/boot", true, true),
            ("/boot/vmlinuz", true, true),
            ("/run", true, true),
            ("/var", true, true),
            ("/var/lib", true, true),
            ("/var/lib/docker/overlay2", true, true),
            ("/run/docker.sock", true, true),
            ("/home/ann/docker.sock", true, true),
            ("/run/user/1000/podman/podman.sock", true, true),
            ("/srv/brig", true, true),
            ("/srv/brig/containers", true, true),
            ("/srv", false, false),
            ("/home/ann", false, false),
            ("/var/www", false, false),
            ("/etcetera", false, false),
            ("/development", false, false),
        ] {
            assert_eq!(
                refuse(Path::new(path), path.ends_with("sock"), read_only, &own, &[]).is_some(),
                refused,
                "{path}"
            );
        }
    }

    #[test]
    fn naming_a_path_opens_that_path_only() {
        let allowed = [PathBuf::from("/etc")];
        assert!(refuse(Path::new("/etc"), false, false, &[], &allowed).is_none());
        assert!(refuse(Path::new("/etc/shadow"), false, false, &[], &allowed).is_some());
        assert!(refuse(Path::new("/"), false, false, &[], &allowed).is_some());
    }
}
