//! Flags of docker and podman that a later release brings, so that the message says so.

/// The flag as clap names it in its error, and what to do today.
const LATER: &[(&str, &str)] = &[
    ("--health-log-destination", "results are in `brig inspect`, the last five of 4096 bytes"),
    ("--health-max-log-count", "the last five results are kept"),
    ("--health-max-log-size", "4096 bytes of a result are kept"),
    ("--link", "docker has deprecated it: join a container's network with `--network container:NAME`"),
    ("--network-alias", "it comes with bridges"),
    ("--gpus", "name the device files with `--device`"),
    ("--runtime", "brig is its own runtime"),
    ("--rootfs", "import the directory as an image: `tar -C DIR -c . | brig import - NAME`"),
    ("--pod", "pods come later"),
    ("--pod-id-file", "pods come later"),
    ("--init-ctr", "pods come later"),
    ("--link-local-ip", "it comes with bridges"),
    ("--requires", "start them in order: `brig start FIRST SECOND`"),
    ("--rmi", "remove the image afterwards: `brig rmi IMAGE`"),
    ("--init-path", "`--init` runs brig's own"),
    ("--systemd", "run the service itself, with `--init` where it leaves processes behind"),
    ("--cgroups", "every container has one of its own; `--cgroup-parent` says where"),
    ("--conmon-pidfile", "`brig inspect -f '{{json .Brig.Monitors}}'` names the monitors"),
    ("--cpu-rt-period", "the kernel shares real time out in cgroup v1 only: use `--ulimit rtprio=N`"),
    ("--cpu-rt-runtime", "the kernel shares real time out in cgroup v1 only: use `--ulimit rtprio=N`"),
    ("--kernel-memory", "the kernel counts it as memory: use `--memory`"),
    ("--chrootdirs", "mount the files with `-v`"),
    ("--passwd", "write the image's /etc/passwd, or mount one with `-v`"),
    ("--passwd-entry", "write the image's /etc/passwd, or mount one with `-v`"),
    ("--group-entry", "write the image's /etc/group, or mount one with `-v`"),
    ("--hostuser", "write the image's /etc/passwd, or mount one with `-v`"),
    ("--seccomp-policy", "an image's own filter is not trusted: name one with `--security-opt seccomp=FILE`"),
    ("--subuidname", "name the ids with `--uidmap`"),
    ("--subgidname", "name the ids with `--gidmap`"),
    ("--tls-verify", "bring the image with `brig load` or `brig import`"),
    ("--authfile", "bring the image with `brig load` or `brig import`"),
    ("--disable-content-trust", "images come from files today: leave it out"),
    ("--use-api-socket", "there is no socket: brig has no daemon"),
    ("--preserve-fds", "mount the files with `-v`, or use `brig exec --preserve-fds`"),
    ("--preserve-fd", "mount the files with `-v`, or use `brig exec --preserve-fds`"),
];

/// What to do instead of a flag that is not there yet.
pub(super) fn instead(flag: &str) -> Option<&'static str> {
    LATER.iter().find(|(known, _)| *known == flag).map(|(_, instead)| *instead)
}
