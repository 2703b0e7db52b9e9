//! Flags of docker and podman that a later release brings, so that the message says so.

/// The flag as clap names it in its error, and what to do today.
const LATER: &[(&str, &str)] = &[
    ("--health-log-destination", "results are in `brig inspect`, the last five of 4096 bytes"),
    ("--health-max-log-count", "the last five results are kept"),
    ("--health-max-log-size", "4096 bytes of a result are kept"),
    ("--link", "docker has deprecated it: join a container's network with `--network container:NAME`"),
    ("--network-alias", "it comes with bridges"),
    ("--storage-opt", "brig sets no quotas yet: keep the store on a file system of its own"),
    ("--gpus", "name the device files with `--device`"),
    ("--device-cgroup-rule", "name the device files with `--device`"),
    ("--runtime", "brig is its own runtime"),
    ("--rootfs", "import the directory as an image: `tar -C DIR -c . | brig import - NAME`"),
    ("--pod", "pods come later"),
];

/// What to do instead of a flag that is not there yet.
pub(super) fn instead(flag: &str) -> Option<&'static str> {
    LATER.iter().find(|(known, _)| *known == flag).map(|(_, instead)| *instead)
}
