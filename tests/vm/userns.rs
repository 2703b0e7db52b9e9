//! Machines that refuse user namespaces: who refused is named, and the command that mends it does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::modules::{as_root, as_user, import_for_user};
use crate::vm_test;

/// Changes a switch; a user's `run` must name it and the mend, which must mend it; `doctor` too.
fn check(switch: &str, expected: &str) {
    const RUN: &str = "$brig run --rm busybox echo started";
    as_root(switch).success();
    let failed = as_user(RUN);
    assert!(
        failed.code == 125 && failed.stdout.is_empty() && failed.stderr.contains(expected),
        "{switch}: {failed}"
    );
    let (_, rest) = failed.stderr.split_once(expected).unwrap();
    let (_, mend) = rest.split_once("as root run `").unwrap_or_else(|| panic!("no mend: {failed}"));
    let mend = mend.split('`').next().unwrap();
    let doctor = as_user("$brig doctor");
    assert!(doctor.code == 1 && doctor.stdout.contains(expected), "{doctor}");
    assert!(doctor.stdout.contains(&format!("mend: {mend}")), "{doctor}");
    as_root(mend).success();
    assert_eq!(as_user(RUN).success(), "started\n", "{mend}");
}

vm_test!(the_switch_is_named_with_its_mend, [plain, apparmor], [root], |machine| {
    import_for_user(machine);
    check("sysctl -w user.max_user_namespaces=0", "`user.max_user_namespaces` is 0");
    check("sysctl -w kernel.unprivileged_userns_clone=0", "`kernel.unprivileged_userns_clone` is 0");
});

vm_test!(root_needs_user_namespaces_too, [plain], [root], |machine| {
    machine.import_busybox();
    as_root("sysctl -w user.max_user_namespaces=0").success();
    let error = machine.shell(&[], "true").fails_with(125);
    assert!(error.contains("`user.max_user_namespaces` is 0"), "{error}");
    let one = as_root(
        "sysctl -w user.max_user_namespaces=1; unshare -U sleep 1000 >/dev/null 2>&1 & echo $! > /run/holder; sleep 1",
    );
    one.success();
    let error = machine.shell(&[], "true").fails_with(125);
    as_root("kill $(cat /run/holder)").success();
    assert!(error.contains("`user.max_user_namespaces` is 1, and as many exist"), "{error}");
    // What is for users only does not bind root.
    as_root("sysctl -w user.max_user_namespaces=1000 kernel.unprivileged_userns_clone=0").success();
    machine.shell(&[], "true").success();
});

// Where AppArmor confines the program itself, as Ubuntu does with every program without a profile.
vm_test!(a_profile_around_brig_is_named, [apparmor], [root], |machine| {
    import_for_user(machine);
    let text = format!(
        "profile cage {} flags=(attach_disconnected) {{ file, network, signal, unix, ptrace, capability setuid, }}",
        testkit::brig().display()
    );
    let file = machine.directory().join("cage");
    std::fs::write(&file, text).unwrap();
    as_root(&format!("apparmor_parser --replace --skip-cache {}", file.display())).success();
    let failed = as_user("$brig run --rm busybox true");
    let expected = "AppArmor's profile `cage` confines this process and takes the capabilities in them away";
    assert!(failed.code == 125 && failed.stderr.contains(expected), "{failed}");
    let doctor = as_user("$brig doctor");
    assert!(doctor.code == 1 && doctor.stdout.contains(expected), "{doctor}");
    as_root(&format!("apparmor_parser --remove {}", file.display())).success();
    as_user("$brig run --rm busybox true").success();
});
