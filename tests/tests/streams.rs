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
