//! The images of the lab, each made by another program than ours.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::Brig;

use crate::limit::within;

/// A root file system with a gigabyte of packages, by a slow mirror.
const MAKES_WITHIN: Duration = Duration::from_secs(1800);
/// An import of it on a busy machine.
const LOADS_WITHIN: Duration = Duration::from_secs(600);

/// Programs that make them.
pub(crate) const PROGRAMS: [&str; 5] = ["mmdebstrap", "umoci", "skopeo", "busybox", "script"];

/// A Debian image: its name, its release, and the packages beyond a minimal system.
const DEBIAN: [(&str, &str, &str); 5] = [
    (BASE, "bookworm", ""),
    ("debian:13", "trixie", "openssh-server,redis-server,python3,nodejs,procps,curl"),
    (
        "lab",
        "bookworm",
        "nginx-light,redis-server,postgresql,nodejs,python3,iputils-ping,sudo,procps,cron,openssh-server,curl,tmux,git,\
         rsync,sqlite3,strace,gosu,locales,gcc,gcc-multilib,make,libc6-dev,dnsmasq-base,bind9-dnsutils,bind9,memcached,\
         haproxy,php-fpm,netcat-openbsd",
    ),
    ("database", "bookworm", "mariadb-server,rabbitmq-server,amqp-tools,procps"),
    (
        "compilers",
        "bookworm",
        "default-jdk-headless,golang-go,rustc,cargo,gcc,libc6-dev,npm,python3-venv,python3-dev,ca-certificates",
    ),
];

/// The image that musl's program is compiled in.
const BASE: &str = "debian:12";

/// What no check reads. The directories of manual pages stay: installing a JDK makes links in them.
const LEFT_OUT: [&str; 4] =
    ["/usr/share/doc/*", "/usr/share/man/*/*", "/usr/share/locale/*", "/usr/share/go-*/test/*"];

/// The image that skopeo writes as an archive of each kind, its file and its name.
const ARCHIVES: [(&str, &str, &str); 2] = [
    ("oci-archive", "oci.tar", "example.org/lab/oci:1"),
    ("docker-archive", "docker.tar", "example.org/lab/docker:1"),
];

/// Compiles a program for musl inside a container and writes a root file system for it to standard output.
const MUSL: &str = r#"
exec 3>&1 >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq -y install --no-install-recommends musl-tools busybox-static >/dev/null || exit
mkdir -p /r/bin /r/lib /r/etc && cd /r && echo 'root:x:0:0:root:/:/bin/sh' >etc/passwd
cat >/probe.c <<'END'
#include <pthread.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
static void *answer(void *seen) { *(int *)seen = 42; return 0; }
int main(int count, char **words, char **environment) {
    int seen = 0, status = 1;
    pid_t pid;
    pthread_t thread;
    if (count > 1) return 7;
    char *again[] = {words[0], "again", 0};
    if (pthread_create(&thread, 0, answer, &seen) || pthread_join(thread, 0) || seen != 42) return 1;
    if (posix_spawn(&pid, "/bin/probe", 0, 0, again, environment) || waitpid(pid, &status, 0) != pid) return 2;
    if (WEXITSTATUS(status) != 7 || !getpwuid(0)) return 3;
    return puts("musl works") < 0;
}
END
musl-gcc -o bin/probe /probe.c && cp -L /lib/ld-musl-*.so.1 lib/ && cp /bin/busybox bin/sh &&
tar -c --numeric-owner --owner=0 --group=0 . >&3
"#;

/// Makes what is not in `directory` yet.
pub(crate) fn make(directory: &Path, wanted: &BTreeSet<&str>) -> Result<(), String> {
    let compiles = wanted.contains("musl") && !directory.join("musl.tar").exists();
    for (name, release, packages) in
        DEBIAN.iter().filter(|(name, ..)| wanted.contains(name) || (compiles && *name == BASE))
    {
        debian(&directory.join(file_of(name)), release, packages)?;
    }
    let is_missing =
        |(_, file, name): &(_, &str, &str)| wanted.contains(name) && !directory.join(file).exists();
    if ARCHIVES.iter().any(is_missing) { archives(directory) } else { Ok(()) }
}

fn file_of(image: &str) -> String {
    format!("{}.tar", image.replace(':', "-"))
}

/// Made again when other packages are asked for.
fn debian(archive: &Path, release: &str, packages: &str) -> Result<(), String> {
    let list = archive.with_extension("packages");
    if archive.exists() && fs::read_to_string(&list).is_ok_and(|made_of| made_of == packages) {
        return Ok(());
    }
    eprintln!("making {}", archive.display());
    // The suffix chooses the format, so the unfinished archive needs the right one, too.
    let part = archive.with_extension("part.tar");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase"]);
    command.args(LEFT_OUT.map(|pattern| format!("--dpkgopt=path-exclude={pattern}")));
    if !packages.is_empty() {
        command.arg(format!("--include={packages}"));
    }
    run(MAKES_WITHIN, command.arg(release).arg(&part))?;
    let kept = fs::rename(&part, archive).and_then(|()| fs::write(&list, packages));
    kept.map_err(|error| format!("{}: {error}", archive.display()))
}

/// An image of two layers by umoci, as a docker-archive and as an oci-archive by skopeo.
fn archives(directory: &Path) -> Result<(), String> {
    let scratch = testkit::TempDir::new();
    testkit::busybox_rootfs(&scratch.join("rootfs"));
    fs::write(scratch.join("note"), "two layers\n").map_err(|error| format!("write note: {error}"))?;
    let umoci =
        |words: &[&str]| run(MAKES_WITHIN, Command::new("umoci").args(words).current_dir(scratch.path()));
    umoci(&["init", "--layout", "layout"])?;
    umoci(&["new", "--image", "layout:lab"])?;
    let rootless: &[&str] = if testkit::Need::Root.is_met() { &[] } else { &["--rootless"] };
    umoci(&[&["insert", "--image", "layout:lab"], rootless, &["rootfs", "/"]].concat())?;
    umoci(&[&["insert", "--image", "layout:lab"], rootless, &["note", "/note"]].concat())?;
    let entry = ["--config.entrypoint", "/bin/cat", "--config.cmd", "/note"];
    umoci(&[&["config", "--image", "layout:lab"][..], &entry].concat())?;
    for (kind, file, name) in ARCHIVES {
        let target = format!("{kind}:{}:{name}", directory.join(file).display());
        let source = format!("oci:{}:lab", scratch.join("layout").display());
        run(
            MAKES_WITHIN,
            Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &source, &target]),
        )?;
    }
    Ok(())
}

/// Imports or loads the images into the person's store.
pub(crate) fn bring(brig: &Brig, directory: &Path, wanted: &BTreeSet<&str>) -> Result<(), String> {
    let import =
        |path: &Path, name: &str| run(LOADS_WITHIN, brig.command(&["import", "--quiet"]).arg(path).arg(name));
    let musl = directory.join("musl.tar");
    let compiles = wanted.contains("musl") && !musl.exists();
    for (name, ..) in DEBIAN.iter().filter(|(name, ..)| wanted.contains(name) || (compiles && *name == BASE))
    {
        import(&directory.join(file_of(name)), name)?;
    }
    if compiles {
        make_musl(brig, &musl)?;
    }
    if wanted.contains("musl") {
        import(&musl, "musl")?;
    }
    if wanted.contains("busybox") {
        import(&testkit::busybox_tar(brig.directory()), "busybox")?;
    }
    for (_, file, _) in ARCHIVES.iter().filter(|(_, _, name)| wanted.contains(name)) {
        run(LOADS_WITHIN, brig.command(&["load", "--quiet", "-i"]).arg(directory.join(file)))?;
    }
    Ok(())
}

/// Runs a command that must succeed.
fn run(limit: Duration, command: &mut Command) -> Result<(), String> {
    let outcome = within(limit, command, "")?;
    if outcome.code == Some(0) { Ok(()) } else { Err(format!("{command:?}: {}", outcome.last_words())) }
}

/// Compiled by the first person in a Debian container of theirs: the archive comes out through standard output.
fn make_musl(brig: &Brig, archive: &Path) -> Result<(), String> {
    let part = archive.with_extension("part");
    let file = fs::File::create(&part).map_err(|error| format!("create {}: {error}", part.display()))?;
    let mut command = brig.command(&["run", "--rm", "--network", "host", BASE, "sh", "-c", MUSL]);
    let status = command.stdin(Stdio::null()).stdout(file).status();
    let status = status.map_err(|error| format!("{command:?}: {error}"))?;
    if !status.success() {
        return Err(format!("compiling for musl: {status}"));
    }
    fs::set_permissions(&part, PermissionsExt::from_mode(0o644))
        .and_then(|()| fs::rename(&part, archive))
        .map_err(|error| format!("{}: {error}", archive.display()))
}
