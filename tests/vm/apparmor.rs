//! AppArmor: our profile and others', applied and verified, or the start fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use serde_json::json;

use crate::modules::{as_root, as_user, bundle, import_for_user, run_bundle, run_weakened, while_running};
use crate::{Machine, vm_test};

const CURRENT: &str = "cat /proc/1/attr/apparmor/current";
/// What makes mount(2) possible but for the profile.
const MOUNTS: [&str; 4] = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
const FREE: [&str; 2] = ["--security-opt", "apparmor=unconfined"];

fn is_ours(label: &str) -> bool {
    label.trim().starts_with("brig-default-") && label.trim().ends_with(" (enforce)")
}

/// Loads a profile of the test's own.
fn load(machine: &Machine, text: &str) {
    let file = machine.directory().join("profile");
    fs::write(&file, text).unwrap();
    as_root(&format!("apparmor_parser --replace --skip-cache {}", file.display())).success();
}

vm_test!(containers_of_root_are_confined, [apparmor], [root], |machine| {
    machine.import_busybox();
    let first = machine.shell(&[], CURRENT);
    assert!(is_ours(&first.stdout) && !first.stderr.contains("apparmor"), "{first}");
    let preview = machine.ok(&["run", "--dry-run", "busybox", "true"]);
    assert!(preview.contains("protection apparmor is applied"), "{preview}");
    machine.shell(&["--require-all"], "true").success();
    // What the profile is for, with everything else out of the way.
    let refused = machine.shell(&MOUNTS, "mount -t tmpfs none /tmp");
    assert!(refused.code != 0 && refused.stderr.contains("Permission denied"), "{refused}");
    let control = machine.shell(&[&MOUNTS[..], &FREE].concat(), "mount -t tmpfs none /tmp");
    assert_eq!(control.code, 0, "{control}");
    assert!(control.stderr.contains("`--security-opt apparmor=unconfined` opens"), "{control}");
    let kernel = ["--unmask", "/proc/sys", "--cap-add", "NET_ADMIN"];
    let write = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    assert_ne!(machine.shell(&kernel, write).code, 0);
    machine.shell(&[&kernel[..], &FREE].concat(), write).success();
    let own = "echo 'exec unconfined' > /proc/self/attr/apparmor/exec";
    assert_ne!(machine.shell(&[], own).code, 0);
    assert_eq!(machine.shell(&FREE, CURRENT).stdout.trim(), "unconfined");
    // Behind a pid 1 of ours it is the payload's.
    let init = machine.shell(&["--init"], "cat /proc/self/attr/apparmor/current");
    assert!(is_ours(&init.stdout), "{init}");
    // The flags that ask for it get it.
    let nested = ["--cap-add", "SETFCAP", "--security-opt", "seccomp=nested"];
    machine.shell(&nested, "unshare -Urm mount -t tmpfs none /tmp").success();
});

vm_test!(a_profile_that_is_not_loaded_fails_the_start, [apparmor], [root], |machine| {
    machine.import_busybox();
    let error = machine.shell(&["--security-opt", "apparmor=no-such"], "true").fails_with(125);
    assert!(error.contains("`apparmor=no-such`") && error.contains("not loaded"), "{error}");
    let mut bundle = bundle(machine, "bundle", "echo started");
    bundle.config["process"]["apparmorProfile"] = json!("no-such");
    let outcome = run_bundle(machine, &bundle, "one");
    assert!(outcome.code != 0 && !outcome.stdout.contains("started"), "{outcome}");
    assert!(outcome.stderr.contains("the AppArmor profile `no-such` is not loaded"), "{outcome}");
});

vm_test!(without_a_parser_it_is_said_aloud, [apparmor], [root], |machine| {
    machine.import_busybox();
    let planted = machine.directory().join("apparmor_parser");
    fs::write(&planted, format!("#!/bin/sh\ntouch {}\n", machine.directory().join("ran").display())).unwrap();
    as_root(&format!("chmod 755 {}; mount --bind /dev/null /usr/sbin/apparmor_parser", planted.display()))
        .success();
    let mut command = machine.command(&["run", "--rm", "busybox", "sh", "-c", CURRENT]);
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", machine.directory().display());
    let outcome = testkit::run(command.env("PATH", path));
    assert_eq!((outcome.code, outcome.stdout.trim()), (0, "unconfined"), "{outcome}");
    assert!(
        outcome.stderr.contains("apparmor is unavailable: `apparmor_parser` is not installed"),
        "{outcome}"
    );
    assert!(!machine.directory().join("ran").exists(), "a program of $PATH ran as root");
    let error = machine.shell(&["--require-all"], "true").fails_with(125);
    assert!(error.contains("apparmor is unavailable"), "{error}");
    // One that fails, and one that others could have written.
    as_root(&format!(
        "umount /usr/sbin/apparmor_parser; mount --bind {} /usr/sbin/apparmor_parser",
        planted.display()
    ))
    .success();
    fs::write(&planted, "#!/bin/sh\necho no such feature >&2\nexit 1\n").unwrap();
    let outcome = machine.shell(&[], "true");
    assert!(outcome.code == 0 && outcome.stderr.contains("said: no such feature"), "{outcome}");
    as_root(&format!("chmod 777 {}", planted.display())).success();
    let outcome = machine.shell(&[], "true");
    assert!(outcome.code == 0 && outcome.stderr.contains("it is not executed"), "{outcome}");
});

vm_test!(a_user_gets_the_profile_that_root_loaded, [apparmor], [root], |machine| {
    import_for_user(machine);
    let script = format!("$brig run --rm busybox sh -c '{CURRENT}'");
    let before = as_user(&script);
    assert_eq!((before.code, before.stdout.trim()), (0, "unconfined"), "{before}");
    let (_, mend) = before
        .stderr
        .split_once("apparmor is unavailable: our profile is not loaded: as root run `")
        .unwrap();
    let mend = mend.split('`').next().unwrap();
    let doctor = as_user("$brig doctor").stdout;
    assert!(doctor.contains(&format!("mend: {mend}")), "{doctor}");
    let directory = testkit::brig().parent().unwrap().display();
    as_root(&format!("PATH={directory}:$PATH; {mend}")).success();
    let after = as_user(&script);
    assert!(is_ours(&after.stdout) && !after.stderr.contains("apparmor"), "{after}");
});

vm_test!(exec_joins_the_profile, [apparmor], [root], |machine| {
    load(
        machine,
        "profile brig-test flags=(attach_disconnected,mediate_deleted) {\n file,\n capability,\n network,\n signal,\n deny /root/** w,\n}\n",
    );
    let mut bundle = bundle(machine, "bundle", "sleep 1000");
    bundle.config["process"]["apparmorProfile"] = json!("brig-test");
    let process = machine.directory().join("process.json");
    let words = json!({"args": ["cat", "/proc/self/attr/apparmor/current"], "cwd": "/", "env": ["PATH=/bin"],
                       "user": {"uid": 0, "gid": 0}});
    fs::write(&process, words.to_string()).unwrap();
    while_running(machine, &bundle, "one", || {
        let exec = |arguments: &[&str]| {
            testkit::run(&mut crate::modules::runtime(machine, &[&["exec"], arguments].concat()))
        };
        let label =
            exec(&["one", "cat", "/proc/self/attr/apparmor/current", "/proc/1/attr/apparmor/current"]);
        assert_eq!(label.clone().success(), "brig-test (enforce)\n".repeat(2), "{label}");
        // A process of another maker, who names no profile.
        assert_eq!(
            exec(&["--process", &process.to_string_lossy(), "one"]).success(),
            "brig-test (enforce)\n"
        );
        let wrong = exec(&["--apparmor", "no-such", "one", "true"]);
        assert!(wrong.code != 0 && wrong.stderr.contains("`no-such` is not loaded"), "{wrong}");
    });
});

vm_test!(a_profile_of_a_bundle_stops_what_it_denies, [apparmor], [root], |machine| {
    load(
        machine,
        "profile brig-test flags=(attach_disconnected,mediate_deleted) {\n file,\n capability,\n deny /srv/** w,\n}\nprofile brig-locked flags=(attach_disconnected,mediate_deleted) {\n /** r,\n}\n",
    );
    let script = "mkdir -p /srv/d; echo x > /srv/f && echo written";
    let mut bundle = bundle(machine, "bundle", script);
    bundle.config["root"]["readonly"] = json!(false);
    bundle.config["process"]["apparmorProfile"] = json!("unconfined");
    fs::create_dir_all(bundle.rootfs().join("srv")).unwrap();
    let control = run_bundle(machine, &bundle, "control");
    assert!(control.stdout.contains("written"), "{control}");
    bundle.config["process"]["apparmorProfile"] = json!("brig-test");
    let outcome = run_bundle(machine, &bundle, "held");
    assert!(outcome.code != 0 && !outcome.stdout.contains("written"), "{outcome}");
    // A profile that lets nothing be executed.
    bundle.config["process"]["apparmorProfile"] = json!("brig-locked");
    let outcome = run_bundle(machine, &bundle, "locked");
    assert!(outcome.code != 0 && !outcome.stdout.contains("written"), "{outcome}");
});

// CVE-2019-16884, CVE-2023-28642: the image's /proc is no procfs, and takes the label in its place.
vm_test!(a_label_is_not_written_into_the_image, [apparmor], [root], |machine| {
    load(
        machine,
        "profile brig-test flags=(attach_disconnected,mediate_deleted) {\n file,\n capability,\n deny /srv/** w,\n}\n",
    );
    let proc = machine.directory().join("proc");
    fs::create_dir_all(proc.join("1/attr/apparmor")).unwrap();
    fs::write(proc.join("1/attr/apparmor/exec"), "").unwrap();
    let mut bundle = bundle(machine, "bundle", "echo x > /srv/f && echo escaped");
    fs::create_dir_all(bundle.rootfs().join("srv")).unwrap();
    bundle.config["root"]["readonly"] = json!(false);
    bundle.config["process"]["apparmorProfile"] = json!("brig-test");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/proc");
    mounts.push(json!({"destination": "/proc", "type": "bind", "source": proc, "options": ["rbind", "rw"]}));
    let held = run_bundle(machine, &bundle, "held");
    assert!(held.code != 0 && !held.stdout.contains("escaped"), "{held}");
    assert_eq!(fs::read_to_string(proc.join("1/attr/apparmor/exec")).unwrap(), "");
    let control = run_weakened(machine, &bundle, "control", "lsm-verify");
    assert!(control.stdout.contains("escaped"), "{control}");
    assert_eq!(fs::read_to_string(proc.join("1/attr/apparmor/exec")).unwrap(), "exec brig-test");
});
