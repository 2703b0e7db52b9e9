//! R25: the name or the value of a sysctl says more than one setting, or one of the whole machine.

use std::fs;

use serde_json::json;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, run};
use crate::sysctls::{Shared, bundle, changed_by};

pub(crate) const ROW: Row = Row {
    id: "R25",
    title: "sysctls that are not the container's",
    faults: &["CVE-2022-0811", "CVE-2024-3154"],
    kinds: &[Kind::Static],
    defence: "runtime/src/plan/sysctl.rs: a list of settings by namespace; one plain name, one plain value",
};

const HOSTILE: [(&str, &str); 22] = [
    ("kernel.core_pattern", "|/bin/sh"),
    ("kernel/core_pattern", "|/bin/sh"),
    ("kernel.shmmax+kernel.core_pattern", "1"),
    ("kernel.shmmax", "1\nkernel.core_pattern=|/bin/sh"),
    ("kernel.shmmax", "1\0"),
    ("kernel.shmmax\nkernel.core_pattern", "1"),
    ("kernel.shm_rmid_forced/../core_pattern", "x"),
    ("net.../../kernel/core_pattern", "x"),
    ("net/../kernel/core_pattern", "x"),
    ("net/ipv4/../../kernel/core_pattern", "x"),
    ("net.ipv4.\u{2e}\u{2e}.x", "x"),
    ("fs.mqueue../../kernel/core_pattern", "x"),
    ("kernel.hostname", "x"),
    ("kernel.modprobe", "/bin/sh"),
    ("kernel.sysrq", "1"),
    ("vm.swappiness", "1"),
    ("user.max_user_namespaces", "1"),
    ("fs.file-max", "1"),
    ("", "x"),
    (".", "x"),
    ("/", "x"),
    ("net.", "x"),
];

fn host() -> Vec<String> {
    [
        "kernel/core_pattern",
        "kernel/shmmax",
        "kernel/hostname",
        "kernel/modprobe",
        "kernel/sysrq",
        "vm/swappiness",
    ]
    .iter()
    .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default())
    .collect()
}

held!(they_are_refused, [root, user], |brig| {
    let before = host();
    let mut bundle = brig.bundle("bundle", &["true"]);
    for (name, value) in HOSTILE {
        bundle.config["linux"]["sysctl"] = json!({name: value});
        bundle.write();
        let outcome = run(brig, &bundle, "");
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{name}={value:?}: {outcome}");
    }
    // Annotations that other engines hand on to systemd or the kernel are not orders.
    bundle.config["linux"].as_object_mut().unwrap().remove("sysctl");
    bundle.config["annotations"] = json!({
        "org.systemd.property.ExecStart": "'/bin/sh'",
        "io.kubernetes.cri-o.Sysctl": "kernel.core_pattern=x",
        "run.oci.sysctl": "kernel.core_pattern=x",
    });
    bundle.write();
    run(brig, &bundle, "").success();
    brig.import_busybox();
    for sysctl in ["kernel.core_pattern=x", "kernel.shmmax=1\nkernel.core_pattern=x", "net.ipv4.ip_forward"] {
        assert_ne!(brig.shell(&["--sysctl", sysctl], "true").code, 0, "{sysctl}");
    }
    assert_eq!(host(), before);
});

held!(one_of_its_own_is_set, [root], |brig| {
    let mut bundle = brig.bundle("bundle", &["cat", "/proc/sys/kernel/msgmax"]);
    bundle.config["linux"]["sysctl"] = json!({"kernel.msgmax": "1234"});
    bundle.write();
    assert_eq!(run(brig, &bundle, "").success(), "1234\n");
});

/// Sets the host name of a caller who has one to throw away.
fn attack(brig: &Brig, weaken: &str) -> Vec<String> {
    let bundle = bundle(brig, "uts", Shared::Unlisted, "kernel.hostname", "attacked");
    changed_by(&brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-sysctl"]), weaken)
}

held!(the_callers_name_stays, [root] needs [program("unshare")], |brig| {
    assert_eq!(attack(brig, ""), Vec::<String>::new());
});

control!(without_the_list, Target::Weakened("sysctl"), [root] needs [program("unshare")], |brig| {
    attack(&brig.with_seams(), "sysctl") == ["hostname=attacked"]
});
