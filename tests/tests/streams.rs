//! Standard streams: a container has its own, and what goes through them arrives whole and in order.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use tests::{Brig, story};

/// Runs a script with standard output and error in one file that has a line already; the file's mode and content.
fn into_file(brig: &Brig, flags: &[&str], script: &str, weaken: &str) -> (u32, String) {
    let path = brig.directory().join("log");
    fs::write(&path, "earlier\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&path);
    }
    let file = File::options().append(true).open(&path).unwrap();
    let arguments = [&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat();
    let mut command = brig.command(&arguments);
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).env("BRIG_WEAKEN", weaken);
    assert!(command.status().unwrap().success(), "{}", fs::read_to_string(&path).unwrap());
    (fs::metadata(&path).unwrap().mode() & 0o7777, fs::read_to_string(&path).unwrap())
}

story!(whoever_runs_inside_opens_its_output_again, [root, user], |brig| {
    brig.import_busybox();
    for flags in [&[][..], &["--user", "1000"]] {
        let script = "echo one > /dev/stdout; echo two > /dev/stderr; echo three >&2; echo four";
        let (_, text) = into_file(brig, flags, script, "");
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("warning: ")).collect();
        assert_eq!(lines, ["earlier", "one", "two", "three", "four"], "{flags:?}");
    }
});

// Seen to fail with the caller's own descriptors.
story!(a_file_of_the_caller_is_out_of_reach, [root, user], |brig| {
    let script = "chmod 4777 /proc/self/fd/1; exit 0";
    for (weaken, held) in [("", true), ("streams", false)] {
        // Ids that are not mapped could not change the mode either way.
        let brig = brig.with_seams();
        brig.import_busybox();
        let ids: &[&str] = if brig.is_root() { &["--userns=host"] } else { &[] };
        let (mode, text) = into_file(&brig, ids, script, weaken);
        assert!(text.starts_with("earlier\n"), "{text}");
        assert_eq!(mode == 0o666, held, "weakened `{weaken}`: {mode:o} {text}");
    }
});

story!(a_reader_that_leaves_ends_the_writer, [root, user], |brig| {
    brig.import_busybox();
    let mut command = brig.command(&["run", "--rm", "busybox", "yes"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = [0; 2];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(&first, b"y\n");
    drop(child.stdout.take());
    assert!(!child.wait().unwrap().success());
});

story!(input_arrives_whole, [root, user], |brig| {
    brig.import_busybox();
    let input = vec![b'x'; 3 << 20];
    let mut command = brig.command(&["run", "--rm", "-i", "busybox", "wc", "-c"]);
    assert_eq!(testkit::run_with_input(&mut command, &input).success(), format!("{}\n", input.len()));
    // What nobody reads is no error.
    let mut command = brig.command(&["run", "--rm", "-i", "busybox", "head", "-c", "4"]);
    assert_eq!(testkit::run_with_input(&mut command, &input).success(), "xxxx");
    let mut command = brig.command(&["run", "--rm", "busybox", "wc", "-c"]);
    assert_eq!(testkit::run_with_input(&mut command, b"unasked").success(), "0\n");
});

// A full disk: the container ran on with nobody to watch it, while its ids and its files were free for others.
story!(output_that_cannot_be_written_is_told_at_the_end, [root, user], |brig| {
    brig.import_busybox();
    // More than a pipe holds.
    let script = "head -c 300000 /dev/zero; touch /shared/after; exit $0";
    for (code, expected) in [("0", 125), ("3", 3)] {
        let shared = brig.directory().join(format!("shared-{code}"));
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        let volume = format!("{}:/shared", shared.display());
        let mut command = brig.command(&["run", "--rm", "-v", &volume, "busybox", "sh", "-c", script, code]);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = command.stdin(Stdio::null()).stdout(full).output().unwrap();
        let messages = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(expected), "{messages}");
        assert!(messages.contains("output of the container is lost"), "{messages}");
        assert!(shared.join("after").exists(), "the container did not run to its end");
    }
});

story!(output_that_does_not_wait_arrives_whole, [root, user], |brig| {
    brig.import_busybox();
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let mut command = brig.command(&["run", "--rm", "busybox", "head", "-c", "3000000", "/dev/zero"]);
    let mut child = command.stdin(Stdio::null()).stdout(std::os::fd::OwnedFd::from(writer)).spawn().unwrap();
    drop(command);
    let mut whole = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut whole).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(whole.len(), 3_000_000);
});

// Of a container in the host's pid namespace processes are left when its first one ends.
story!(those_who_write_on_do_not_keep_the_command, [root], |brig| {
    brig.import_busybox();
    let script = "for i in 1 2 3 4; do yes & done; head -c 1000000 /dev/zero; exit 3";
    let mut command = brig.command(&["run", "--rm", "--pid=host", "busybox", "sh", "-c", script]);
    let ended = command.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
});

// `--userns=host`: root inside owns the host's device nodes.
story!(the_null_device_of_the_host_cannot_be_changed, [root], |brig| {
    brig.import_busybox();
    // The mode that it has: nothing changes where it works.
    let script = "for fd in 0 1 2; do chmod 666 /proc/self/fd/$fd && exit 1; done; echo x; cat; exit 7";
    let mut command = brig.command(&["run", "--rm", "--userns=host", "busybox", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(7));
});
