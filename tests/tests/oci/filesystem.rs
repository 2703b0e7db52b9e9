//! The file system that the payload finds: devices, masked and read-only paths, the root.

use std::fs;

use serde_json::json;
use tests::story;

use crate::{bundle, path, push, says, shell};

story!(default_devices_are_there, [root, user], |brig| {
    let script = "for d in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$d; done; \
                  for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; echo x >/dev/null; head -c 1 /dev/urandom | wc -c";
    let text = says(brig, script, |_| {});
    let wanted = "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n\
                  /dev/urandom 1:9 666\n/dev/tty 5:0 666\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n\
                  /proc/self/fd/2\npts/ptmx\n1";
    assert_eq!(text, wanted);
});

story!(devices_of_the_specification, [root], |brig| {
    let text = says(brig, "stat -c '%n %F %t:%T %a %u:%g' /dev/own /dev/pipe /deep/er/zero", |config| {
        config["linux"]["devices"] = json!([
            {"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o600},
            {"path": "/deep/er/zero", "type": "u", "major": 1, "minor": 5},
        ]);
    });
    let wanted = "/dev/own character special file a:e5 640 7:8\n/dev/pipe fifo 0:0 600 0:0\n\
                  /deep/er/zero character special file 1:5 666 0:0";
    assert_eq!(text, wanted);
});

story!(wrong_devices_are_refused, [root, user], |brig| {
    for device in [
        json!({"path": "/dev/x", "type": "z", "major": 1, "minor": 5}),
        json!({"path": "dev/x", "type": "c", "major": 1, "minor": 5}),
        json!({"path": "/dev/x", "type": "c", "major": -2, "minor": 5}),
    ] {
        let outcome = shell(brig, "true", |config| config["linux"]["devices"] = json!([device.clone()]));
        assert_eq!(outcome.code, 1, "{device}: {outcome}");
    }
});

story!(what_no_rule_allows_is_denied, [root], |brig| {
    testkit::needs!(cgroup_v1("devices"));
    let script = "mknod /tmp/kmsg c 1 11 || exit 9; cat /tmp/kmsg 2>&1 | head -c 60; mknod /tmp/zero c 1 5; \
                  head -c 1 /tmp/zero | wc -c; head -c 1 /dev/own | wc -c";
    let text = says(brig, script, |config| {
        for set in ["bounding", "effective", "permitted"] {
            push(&mut config["process"]["capabilities"][set], json!("CAP_MKNOD"));
        }
        config["linux"]["devices"] = json!([{"path": "/dev/own", "type": "c", "major": 1, "minor": 9}]);
        config["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    });
    assert_eq!(text, "cat: can't open '/tmp/kmsg': Operation not permitted\n1\n1");
});

story!(masked_paths_hide, [root, user], |brig| {
    let script = "cat /secret; ls -a /hidden; cat /hidden/file 2>&1; echo x >/secret; cat /secret; \
                  touch /hidden/new 2>&1; wc -c </proc/keys";
    let bundle = bundle(brig, script, |config| {
        config["linux"]["maskedPaths"] =
            json!(["/secret", "/hidden", "/also", "/not/there", "/secret/not/dir", "/proc/keys"]);
    });
    fs::write(bundle.rootfs().join("secret"), "secret\n").unwrap();
    for name in ["hidden", "also"] {
        fs::create_dir(bundle.rootfs().join(name)).unwrap();
        fs::write(bundle.rootfs().join(name).join("file"), "secret\n").unwrap();
    }
    let text = brig.runtime_run(&["run", "--bundle", path(&bundle), "brig-test-oci"]);
    let wanted = ".\n..\ncat: can't open '/hidden/file': No such file or directory\n\
                  touch: /hidden/new: Read-only file system\n0\n";
    assert_eq!(text.stdout, wanted, "{text}");
    assert_eq!(fs::read_to_string(bundle.rootfs().join("secret")).unwrap(), "secret\n");
});

story!(read_only_paths_refuse_writes, [root, user], |brig| {
    let script = "echo x >/file; touch /kept/new; touch /kept/below/new; echo 1 >/proc/sys/kernel/shm_rmid_forced; cat /file; ls /kept";
    let bundle = bundle(brig, script, |config| {
        push(&mut config["linux"]["readonlyPaths"], "/file".into());
        push(&mut config["linux"]["readonlyPaths"], "/kept".into());
        push(&mut config["linux"]["readonlyPaths"], "/not/there".into());
        push(
            &mut config["mounts"],
            json!({"destination": "/kept/below", "type": "tmpfs", "source": "tmpfs"}),
        );
    });
    fs::write(bundle.rootfs().join("file"), "kept\n").unwrap();
    let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "brig-test-oci"]);
    assert_eq!(outcome.stderr.matches("Read-only file system").count(), 4, "{outcome}");
    assert_eq!(outcome.stdout, "kept\nbelow\n", "{outcome}");
});

story!(a_read_only_root_has_writable_mounts, [root, user], |brig| {
    let text = says(brig, "touch /x 2>&1; echo one >/tmp/x; cat /tmp/x; pwd", |config| {
        config["root"]["readonly"] = true.into();
        config["process"]["cwd"] = "/made/before".into();
        push(&mut config["mounts"], json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    });
    assert_eq!(text, "touch: /x: Read-only file system\none\n/made/before");
});

story!(the_hosts_tree_is_gone, [root, user], |brig| {
    let text = says(brig, "cat /proc/self/mountinfo; ls /; ls /..", |_| {});
    let host = brig.directory().to_str().unwrap();
    let tree: Vec<_> =
        text.lines().filter(|line| line.contains(" / / ") || line.contains("oldroot")).collect();
    assert!(tree.is_empty(), "{tree:?}");
    // Only the root itself is named after a directory of the host.
    assert!(text.lines().filter(|line| line.contains(host)).count() <= 1, "{text}");
    assert!(!text.contains("put_old") && !text.contains("/boot"), "{text}");
});

story!(without_pivot_the_root_is_changed, [root], |brig| {
    let bundle = bundle(brig, "ls /; ls -d /../etc; cat /etc/hostname", |_| {});
    let text = brig.runtime_ok(&["run", "--no-pivot", "--bundle", path(&bundle), "brig-test-oci"]);
    assert!(text.ends_with("/../etc\nfrom-image\n"), "{text}");
});

story!(an_absolute_root_path_counts_from_the_host, [root, user], |brig| {
    let mut bundle = bundle(brig, "cat /etc/hostname", |_| {});
    bundle.config["root"]["path"] = bundle.rootfs().to_str().unwrap().into();
    bundle.write();
    assert_eq!(brig.runtime_ok(&["run", "--bundle", path(&bundle), "brig-test-oci"]), "from-image\n");
});
