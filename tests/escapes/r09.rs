//! R9: the place of the console, or the terminal that is put there, is swapped for a link.

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;
use testkit::Bundle;
use tests::attack::{Canary, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, command_by, id_by, mount, run};
use crate::race::{Flipper, Until, for_a_while, run_at_once};
use crate::trees::replace;

pub(crate) const ROW: Row = Row {
    id: "R9",
    title: "something else becomes the console",
    faults: &["CVE-2025-52565"],
    kinds: &[Kind::Static, Kind::Race, Kind::BruteRace],
    defence: "runtime/src/child/terminal.rs: the slave comes from the master's descriptor, and goes onto one",
};

/// A bundle with a terminal, in a root without a `/dev` of the container's own.
fn bundle(brig: &Brig, script: &str) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev" && mount["destination"] != "/dev/shm");
    bundle.config["process"]["terminal"] = json!(true);
    bundle.write();
    bundle
}

held!(links_in_its_place, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for shape in ["absolute", "relative", "dangling", "through proc", "fifo"] {
        let bundle = bundle(brig, "tty; stat -c %t /dev/console");
        replace(&bundle.rootfs(), "dev/console", shape, &canary);
        let outcome = run(brig, &bundle, "");
        canary.assert_untouched(format_args!("/dev/console as {shape}"));
        // A mount may lie over a link itself, which leads nowhere then.
        assert!(outcome.code != 0 || outcome.stdout == "/dev/pts/0\r\n88\r\n", "{shape}: {outcome}");
    }
});

/// `/dev` becomes a link to the canary between finding it and making the console's place in it.
fn swapped(weak: &Brig) -> bool {
    let canary = Canary::new(weak.directory(), "canary");
    let bundle = bundle(weak, "true");
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-console"]);
    let paused = Paused::at(&mut command, "make-file:dev/console", &weak.directory().join("pause"));
    let dev = bundle.rootfs().join("dev");
    fs::rename(&dev, bundle.rootfs().join("old")).unwrap();
    symlink(canary.path(), &dev).unwrap();
    let outcome = paused.go();
    let reached = !canary.changes().is_empty();
    // The place was in the directory that was moved away, so the descriptor was what counted.
    assert!(reached || bundle.rootfs().join("old/console").exists(), "{outcome:?}");
    reached
}

held!(a_swap_below_it, [root], |brig| {
    assert!(!swapped(&brig.with_seams()));
});

/// Takes the master of a terminal, and keeps it, so that the container's terminal is not hung up.
fn take_master(path: &Path) -> JoinHandle<Option<OwnedFd>> {
    fs::remove_file(path).ok();
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().ok()?;
        let (mut name, mut space) = ([0; 256], [MaybeUninit::uninit(); 64]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
        control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
    })
}

/// Runs the bundle detached with a console socket, and answers what it wrote to `/result`.
fn result_of(brig: &Brig, bundle: &Bundle, command: &dyn Fn(&[&str]) -> Command, id: &str) -> String {
    let (socket, result) = (brig.directory().join("console"), bundle.rootfs().join("result"));
    fs::remove_file(&result).ok();
    let master = take_master(&socket);
    let arguments =
        ["run", "--detach", "--console-socket", socket.to_str().unwrap(), "--bundle", at(bundle), id];
    let mut run = command(&arguments);
    // What stays would keep a pipe open.
    let status = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    // One that failed before it connected leaves the thread waiting.
    drop(std::os::unix::net::UnixStream::connect(&socket));
    let master = master.join().unwrap();
    for _ in 0..200 {
        if !status.success() || fs::read_to_string(&result).is_ok_and(|text| text.ends_with("done\n")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run_at_once(&mut command(&["delete", "--force", id]));
    drop(master);
    fs::read_to_string(&result).unwrap_or_default()
}

/// Tells when the console is no terminal, and shows what it is.
const LOOK: &str = "{ [ -c /dev/console ] || head -c 16 /dev/console; echo done; } > /result 2>&1";

/// Runs again and again while `one` and `other` below `/dev` change their names; answers whether the console was the
/// masked file of the kernel that one of them leads to.
fn raced(
    brig: &Brig,
    until: Until,
    change: impl Fn(&mut Bundle) -> [String; 2],
    command: &dyn Fn(&[&str]) -> Command,
    id: &str,
) -> (bool, u32) {
    let mut bundle = bundle(brig, LOOK);
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/version"]);
    let [one, other] = change(&mut bundle);
    bundle.write();
    let flipper = Flipper::new(&bundle.rootfs().join(one), &bundle.rootfs().join(other));
    let mut ran = 0;
    let (reached, _) = for_a_while(until, || {
        let result = result_of(brig, &bundle, command, id);
        ran += u32::from(result.ends_with("done\n"));
        result.contains("Linux")
    });
    drop(flipper);
    (reached, ran)
}

/// A `/dev/pts` of the image's own, whose terminal's name leads to the masked file now and then.
fn terminals_of_the_image(bundle: &mut Bundle) -> [String; 2] {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev/pts");
    let mut devpts = mount("/terminals", "devpts");
    devpts["options"] = json!(["newinstance", "ptmxmode=0666", "mode=0620"]);
    mounts.push(devpts);
    let pts = bundle.rootfs().join("dev/pts");
    fs::create_dir(&pts).unwrap();
    symlink("/terminals/ptmx", pts.join("ptmx")).unwrap();
    symlink("/terminals/0", pts.join("0")).unwrap();
    symlink("/proc/version", pts.join("other")).unwrap();
    ["dev/pts/0".to_owned(), "dev/pts/other".to_owned()]
}

/// A place of the console that is a link to the masked file now and then.
fn place_of_the_image(bundle: &mut Bundle) -> [String; 2] {
    let dev = bundle.rootfs().join("dev");
    fs::write(dev.join("console"), "").unwrap();
    symlink("/proc/version", dev.join("other")).unwrap();
    ["dev/console".to_owned(), "dev/other".to_owned()]
}

held!(a_race_for_the_terminal, [root], |brig| {
    let command = |arguments: &[&str]| brig.runtime(arguments);
    // That is refused at once: the terminal multiplexer is not one of the container's devpts.
    assert_eq!(raced(brig, Until::Held, terminals_of_the_image, &command, "brig-test-console"), (false, 0));
});

held!(a_race_for_its_place, [root], |brig| {
    let command = |arguments: &[&str]| brig.runtime(arguments);
    let (reached, ran) = raced(brig, Until::Held, place_of_the_image, &command, "brig-test-console");
    assert!(!reached && ran > 2, "{ran} runs");
});

control!(a_race_against_runc, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let command = |arguments: &[&str]| command_by("runc", brig, arguments);
    raced(brig, Until::Lost, terminals_of_the_image, &command, &id_by("runc")).0
});
