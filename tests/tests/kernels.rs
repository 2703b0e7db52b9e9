//! The ways that older kernels take, forced on this one. On old kernels themselves: docs/compatibility.md, "Kernels".
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use tests::story;

// Before Linux 6.15 layers are mounted by their paths: as root in a process that attaches the id-mapped ones first, as a
// user by the container's process.
story!(layers_are_mounted_by_paths, [root, user], |brig| {
    let old = brig.with_seams();
    old.import_busybox();
    let script = "touch /root/new && rm /bin/cat && stat -c %u:%g /root/new /bin && \
                  test ! -e /bin/cat && grep -c \"^overlay / .*lowerdir=/proc/self/fd/\" /proc/mounts";
    for flags in [&[][..], &["--userns=host"], &["-u", "0:0", "--init"], &["--read-only", "--tmpfs", "/root"]]
    {
        let read_only = flags.contains(&"--read-only");
        let script = if read_only { "touch /bin/new || touch /root/new && echo read-only" } else { script };
        let arguments = [&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat();
        let outcome = testkit::run(old.command(&arguments).env("BRIG_WEAKEN", "layer-descriptors"));
        let expected = if read_only { "read-only\n" } else { "0:0\n0:0\n1\n" };
        assert_eq!((outcome.code, outcome.stdout.as_str()), (0, expected), "{flags:?}: {outcome}");
    }
    // Nothing of it is in the host's own mounts.
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("lowerdir=/proc/self/fd/"), "{mounts}");
});
