//! escapes.md R20, R27, R28, R32 to R34: what a process inherits, can look at, or push into another.
//!
//! Each test is seen to fail: by the test build with one defence left out, or with the flag that opens what it tries.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use testkit::{Bundle, Outcome};
use tests::attack;
use tests::{Brig, story};

fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().unwrap()
}

fn run(brig: &Brig, bundle: &Bundle, weaken: &str) -> Outcome {
    let mut command = brig.runtime(&["run", "--bundle", path(bundle), "brig-test-attack"]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

/// A bundle that has the probe.
fn bundle(brig: &Brig, args: &[&str]) -> Bundle {
    let bundle = brig.bundle("bundle", args);
    attack::install_probe(&bundle.rootfs());
    bundle
}

// R20 (CVE-2020-15257): an abstract socket is reachable by whoever shares the host's network.
story!(we_have_no_abstract_socket, [root, user], |brig| {
    use std::os::linux::net::SocketAddrExt;
    brig.import_busybox();
    let name = format!("seen-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let sockets = brig.shell(&["--network", "host"], "cat /proc/net/unix").success();
    assert!(sockets.contains(&format!("@{name}")), "the test shows nothing: {sockets}");
    let ours: Vec<_> = sockets.lines().filter(|line| line.contains('@') && line.contains("brig")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    // And in a network of its own it sees none at all.
    assert!(!brig.shell(&[], "cat /proc/net/unix").success().contains('@'));
});

// R27 (CVE-2023-25809), and the kernel files of escapes.md K10: what a container could write to leave itself.
story!(cgroups_and_kernel_files_are_not_writable, [root, user], |brig| {
    brig.import_busybox();
    let script = "find /sys/fs/cgroup -type f 2>/dev/null | while read f; do \
                  ( : >> \"$f\" ) 2>/dev/null && echo \"$f\"; done; \
                  for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/kernel/modprobe \
                  /proc/sys/vm/panic_on_oom /proc/irq/default_smp_affinity /sys/kernel/uevent_helper \
                  /proc/sys/fs/binfmt_misc/register /proc/1/oom_score_adj /sys/power/state; do \
                  [ $f = /proc/1/oom_score_adj ] || ( : >> $f ) 2>/dev/null && echo $f; done; exit 0";
    let written = brig.shell(&[], script).success();
    assert_eq!(written.lines().filter(|line| *line != "/proc/1/oom_score_adj").count(), 0, "{written}");
});

// R28 (GO-2022-0396): devices are denied unless allowed. Seen to fail by the rule that allows one more.
story!(only_listed_devices_open, [root], |brig| {
    testkit::needs!(c_compiler, cgroup_v1("devices"));
    let mut bundle = bundle(brig, &["probe", "nodes", "/tmp"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
    }
    bundle.write();
    // 0:0 is no device, and no cgroup is asked about it.
    let listed = [
        "c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 5:0", "c 5:1", "c 5:2", "c 136:0", "c 136:1",
        "c 0:0", "made ",
    ];
    let unlisted = |output: &str| -> Vec<String> {
        let open = output.lines().filter(|line| !listed.iter().any(|allowed| line.starts_with(allowed)));
        open.map(str::to_owned).collect()
    };
    let output = run(brig, &bundle, "").success();
    assert!(output.contains("c 1:3 0") && !output.contains("made 0"), "the test shows nothing: {output}");
    assert_eq!(unlisted(&output), Vec::<String>::new());
    // A virtual console: whether the machine has one or not, the cgroup is no obstacle any more.
    bundle.config["linux"]["resources"] =
        json!({"devices": [{"allow": true, "type": "c", "major": 4, "minor": 1, "access": "rwm"}]});
    bundle.write();
    assert_eq!(unlisted(&run(brig, &bundle, "").success()).len(), 1, "the test shows nothing");
});

// R32 (CVE-2016-10124, CVE-2019-7303): keystrokes pushed into a terminal, also with high bits that a filter which
// compares all 64 would not know. Seen to fail without a filter.
story!(nothing_is_typed_into_a_terminal, [root, user], |brig| {
    testkit::needs!(c_compiler);
    attack::image(brig, "typing", &[], attack::install_probe);
    // ioctl: TIOCSTI, the same above 32 bits, TIOCLINUX.
    let calls = [
        "sys",
        "16",
        "0",
        "0x5412",
        "s:X",
        "+",
        "16",
        "0",
        "0x100005412",
        "s:X",
        "+",
        "16",
        "0",
        "0x541c",
        "b:8",
    ];
    let try_with = |flags: &[&str]| {
        let arguments = [&["run", "--rm", "-t"], flags, &["typing", "probe"], &calls].concat();
        brig.run(&arguments).success().replace('\r', "")
    };
    assert_eq!(try_with(&[]), "-1 1\n-1 1\n-1 1\n");
    if fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|value| value.trim() == "1") {
        let typed = try_with(&["--security-opt", "seccomp=unconfined"]);
        assert_eq!(typed.matches("0 0\n").count(), 2, "the test shows nothing: {typed}");
    }
});

// R33 (docker issue 10939): the caller's session keyring, for the first process and for one that joins.
story!(the_session_keyring_is_its_own, [root, user], |brig| {
    testkit::needs!(c_compiler);
    let weak = brig.with_seams();
    let probe =
        weak.as_user().map_or_else(|| attack::probe().to_owned(), |user| user.install(attack::probe()));
    let name = format!("canary-{}", std::process::id());
    // request_key: found only in a keyring that the process possesses.
    let call = ["sys", "249", "s:user", &format!("s:{name}"), "0", "0"];
    let keyed = |command: &Command, weaken: &str| {
        let own: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        let first = own.iter().position(|word| word.to_string_lossy().contains("/bin/brig"));
        let mut keyed = weak.other(&probe);
        keyed.args(["key", &name]).env("BRIG_WEAKEN", weaken);
        match first {
            Some(first) => keyed.args(&own[first..]),
            None => keyed.arg(command.get_program()).args(&own),
        };
        testkit::run(&mut keyed)
    };
    for (weaken, held) in [("", true), ("keyring", false)] {
        let arguments = [&["probe"], &call[..]].concat();
        let ran = bundle(&weak, &arguments);
        let outcome = keyed(&weak.runtime(&["run", "--bundle", path(&ran), "brig-test-key"]), weaken);
        assert_eq!(outcome.stdout.starts_with("-1 "), held, "run weakened `{weaken}`: {outcome}");
        let id = format!("brig-test-joined{weaken}");
        weak.start(&id, &bundle(&weak, &["sleep", "1000"]));
        let exec = [&["exec", &id, "probe"], &call[..]].concat();
        let outcome = keyed(&weak.runtime(&exec), weaken);
        assert_eq!(outcome.stdout.starts_with("-1 "), held, "exec weakened `{weaken}`: {outcome}");
        weak.runtime_ok(&["delete", "--force", &id]);
    }
    // And the calls themselves are refused by default.
    attack::image(brig, "keys", &[], attack::install_probe);
    let arguments = [&["run", "--rm", "keys", "probe"], &call[..]].concat();
    assert_eq!(brig.ok(&arguments), "-1 1\n");
});

// R34 (CVE-2021-3602): the caller's environment. Seen to fail with the flag that copies it.
story!(the_environment_is_clean, [root, user], |brig| {
    brig.import_busybox();
    let see = |flags: &[&str]| {
        let script = "env; tr '\\0' '\\n' < /proc/1/environ";
        let arguments = [&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat();
        let mut command = brig.command(&arguments);
        command.env("BRIG_SECRET", "canary").env("HTTPS_PROXY", "http://name:canary@proxy");
        testkit::run(&mut command).success()
    };
    assert!(!see(&[]).contains("canary"));
    assert!(see(&["--env-host"]).contains("BRIG_SECRET=canary"));
});

// What tests can weaken is not in the program that people get.
#[test]
fn the_product_has_no_seams() {
    let contains = |program: &Path, text: &str| {
        fs::read(program).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    };
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let products = [testkit::brig().to_owned(), target.join("release/brig")];
    for text in ["BRIG_WEAKEN", "BRIG_PAUSE_AT", "BRIG_PAUSE_DIR"] {
        assert!(contains(attack::brig_with_seams(), text), "the test shows nothing");
        for product in products.iter().filter(|product| product.exists()) {
            assert!(!contains(product, text), "{} has `{text}`", product.display());
        }
    }
}
