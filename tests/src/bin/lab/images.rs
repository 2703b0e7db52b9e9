//! The images of the lab, each made by another program than ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::Brig;

use crate::run;

/// Programs that make them.
pub(crate) const PROGRAMS: [&str; 5] = ["mmdebstrap", "umoci", "skopeo", "busybox", "script"];

const PACKAGES: &str = "--include=nginx-light,redis-server,postgresql,nodejs,python3,iputils-ping,sudo,procps,cron,\
                        openssh-server,curl";

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
pub(crate) fn make(directory: &Path) -> Result<(), String> {
    for (name, extra) in [("debian.tar", "--variant=minbase"), ("lab.tar", PACKAGES)] {
        let archive = directory.join(name);
        if !archive.exists() {
            eprintln!("making {name}");
            // The suffix chooses the format, so the unfinished archive needs the right one, too.
            let part = directory.join(format!("part-{name}"));
            run(Command::new("mmdebstrap")
                .args(["--quiet", "--variant=minbase", extra, "bookworm"])
                .arg(&part))?;
            fs::rename(&part, &archive).map_err(|error| format!("rename {name}: {error}"))?;
        }
    }
    if !directory.join("docker.tar").exists() {
        archives(directory)?;
    }
    Ok(())
}

/// An image of two layers by umoci, as a docker-archive and as an oci-archive by skopeo.
fn archives(directory: &Path) -> Result<(), String> {
    let scratch = testkit::TempDir::new();
    testkit::busybox_rootfs(&scratch.join("rootfs"));
    fs::write(scratch.join("note"), "two layers\n").map_err(|error| format!("write note: {error}"))?;
    let umoci = |words: &[&str]| run(Command::new("umoci").args(words).current_dir(scratch.path()));
    umoci(&["init", "--layout", "layout"])?;
    umoci(&["new", "--image", "layout:lab"])?;
    let rootless: &[&str] = if testkit::Need::Root.is_met() { &[] } else { &["--rootless"] };
    umoci(&[&["insert", "--image", "layout:lab"], rootless, &["rootfs", "/"]].concat())?;
    umoci(&[&["insert", "--image", "layout:lab"], rootless, &["note", "/note"]].concat())?;
    let entry = ["--config.entrypoint", "/bin/cat", "--config.cmd", "/note"];
    umoci(&[&["config", "--image", "layout:lab"][..], &entry].concat())?;
    for (kind, file, name) in [
        ("oci-archive", "oci.tar", "example.org/lab/oci:1"),
        ("docker-archive", "docker.tar", "example.org/lab/docker:1"),
    ] {
        let target = format!("{kind}:{}:{name}", directory.join(file).display());
        let source = format!("oci:{}:lab", scratch.join("layout").display());
        run(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &source, &target]))?;
    }
    Ok(())
}

/// Imports or loads every image into the person's store.
pub(crate) fn bring(brig: &Brig, directory: &Path) -> Result<(), String> {
    let archive = |name: &str| directory.join(name);
    let import = |path: &Path, name: &str| run(brig.command(&["import", "--quiet"]).arg(path).arg(name));
    let busybox = testkit::busybox_tar(brig.directory());
    import(&archive("debian.tar"), "debian:12")?;
    import(&archive("lab.tar"), "lab")?;
    import(&busybox, "busybox")?;
    let musl = archive("musl.tar");
    if !musl.exists() {
        make_musl(brig, &musl)?;
    }
    import(&musl, "musl")?;
    for name in ["docker.tar", "oci.tar"] {
        run(brig.command(&["load", "--quiet", "-i"]).arg(archive(name)))?;
    }
    Ok(())
}

/// Compiled by the first person in a Debian container of theirs: the archive comes out through standard output.
fn make_musl(brig: &Brig, archive: &Path) -> Result<(), String> {
    let part = archive.with_extension("part");
    let file = fs::File::create(&part).map_err(|error| format!("create {}: {error}", part.display()))?;
    let mut command = brig.command(&["run", "--rm", "--network", "host", "debian:12", "sh", "-c", MUSL]);
    let status = command.stdin(Stdio::null()).stdout(file).status();
    let status = status.map_err(|error| format!("{command:?}: {error}"))?;
    if !status.success() {
        return Err(format!("compiling for musl: {status}"));
    }
    fs::set_permissions(&part, PermissionsExt::from_mode(0o644))
        .and_then(|()| fs::rename(&part, archive))
        .map_err(|error| format!("{}: {error}", archive.display()))
}
