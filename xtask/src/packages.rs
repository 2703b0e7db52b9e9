//! The Debian packages that the tests can use, each with its reason. A test whose program is missing is skipped and counted.

use std::process::{Command, Stdio};

/// Package and what needs it.
const PACKAGES: &[(&str, &str)] = &[
    ("busybox-static", "the root file system of nearly every story"),
    ("uidmap", "newuidmap and newgidmap: rootless containers with more than one id"),
    ("libseccomp-dev", "the oracle that our filter compiler is compared with"),
    ("pkg-config", "finds libseccomp"),
    ("gcc", "links the tests, builds hostile programs for them"),
    ("g++", "builds libFuzzer"),
    ("python3", "a tar reader that ours is compared with"),
    ("iproute2", "network namespaces in the stories"),
    ("passt", "the default network of a container"),
    ("slirp4netns", "the network where passt is missing"),
    ("procps", "processes as an outside program sees them"),
    ("strace", "tests of which system calls are made"),
    ("zstd", "zstd layers made by another program than ours"),
    ("skopeo", "docker-archive and oci-archive files made by another program than ours"),
    ("umoci", "OCI layouts made by another program than ours"),
    ("mmdebstrap", "a real Debian root file system; the virtual machines' userland"),
    ("qemu-system-x86", "virtual machines with cgroup v2, systemd, AppArmor, SELinux"),
    ("e2fsprogs", "the virtual machines' disks"),
    ("xz-utils", "the virtual machines' kernel modules"),
    ("runc", "a peer, and the caller's idea of an OCI runtime"),
    ("crun", "a peer"),
    ("bubblewrap", "a peer"),
    ("podman", "calls `brig-runtime` in place of its own runtime; a peer"),
    ("docker-registry", "a registry that images go to and come from"),
    ("openssl", "certificates of registries"),
    ("apache2-utils", "passwords of registries"),
    ("containerd", "calls `brig-runtime` in place of its own runtime"),
];

/// Installs what is missing, or says what should be. Never fails: what stays missing is skipped by its tests, aloud.
pub(crate) fn install() {
    let missing: Vec<(&str, &str)> =
        PACKAGES.iter().copied().filter(|(name, _)| !is_installed(name)).collect();
    if missing.is_empty() {
        return;
    }
    println!("Debian packages that the tests can use and that are not installed:");
    for (name, reason) in &missing {
        println!("  {name:16} {reason}");
    }
    if !testkit::Need::Root.is_met() || testkit::find_program("apt-get").is_none() {
        let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        println!("to install them: apt-get install --no-install-recommends {}", names.join(" "));
        return;
    }
    if !apt(&["update"]) {
        println!("apt-get update failed; trying with the package lists that are there");
    }
    let names = missing.iter().map(|(name, _)| *name);
    let arguments: Vec<&str> =
        ["install", "-y", "--no-install-recommends"].into_iter().chain(names).collect();
    if !apt(&arguments) {
        // One package that this release lacks must not take the others along.
        for (name, _) in missing {
            if !apt(&["install", "-y", "--no-install-recommends", name]) {
                println!("could not install `{name}`: its tests will be skipped");
            }
        }
    }
}

fn is_installed(name: &str) -> bool {
    let output =
        Command::new("dpkg-query").args(["-W", "-f", "${Status}", name]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout == b"install ok installed")
}

fn apt(arguments: &[&str]) -> bool {
    crate::succeeds(
        Command::new("apt-get")
            .arg("-qq")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )
}
