//! `mounts` of the configuration: options, propagation, id maps, places.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};
use tests::{Brig, story};

use crate::{bind, bundle, parse, path, prepared, push, says, shell, unshare};

/// A directory of the person with a file `in` that says `host`.
fn source(brig: &Brig) -> PathBuf {
    let directory = brig.directory().join("source");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("in"), "host\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&directory);
    }
    directory
}

/// Options of the mount at a place, by its mount table.
const OPTIONS_AT: &str =
    "options_at() { awk -v p=\"$1\" '$5 == p { o = $6 } END { print o }' /proc/self/mountinfo; };";

fn add(config: &mut Value, mount: Value) {
    push(&mut config["mounts"], mount);
}

story!(each_option_has_its_effect, [root], |brig| {
    let source = source(brig);
    for (asked, has, has_not) in [
        (&["ro"] as &[&str], "ro", "rw"),
        (&["rw"], "rw", "ro"),
        (&["ro", "rw"], "rw", "ro"),
        (&["nosuid"], "nosuid", "nodev"),
        (&["nosuid", "suid"], "rw", "nosuid"),
        (&["nodev"], "nodev", "nosuid"),
        (&["nodev", "dev"], "rw", "nodev"),
        (&["noexec"], "noexec", "nosuid"),
        (&["noexec", "exec"], "rw", "noexec"),
        (&["noatime"], "noatime", "relatime"),
        (&["noatime", "atime"], "relatime", "noatime"),
        (&["relatime"], "relatime", "noatime"),
        (&["strictatime"], "rw", "relatime"),
        (&["nodiratime"], "nodiratime", "noatime"),
        (&["nodiratime", "diratime"], "rw", "nodiratime"),
        (&["nosymfollow"], "nosymfollow", "nosuid"),
        (&["nosymfollow", "symfollow"], "rw", "nosymfollow"),
    ] {
        for kind in ["bind", "tmpfs"] {
            let mount = match kind {
                "bind" => bind(&source, "/mnt", &[&["bind"], asked].concat()),
                _ => json!({"destination": "/mnt", "type": "tmpfs", "source": "t", "options": asked}),
            };
            let shown = says(brig, &format!("{OPTIONS_AT} options_at /mnt"), |config| add(config, mount));
            let options: Vec<_> = shown.split(',').collect();
            assert!(options.contains(&has) && !options.contains(&has_not), "{kind} {asked:?}: {shown}");
        }
    }
});

story!(recursive_options_reach_what_is_mounted_below, [root], |brig| {
    let source = source(brig);
    for (asked, has) in [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        let plain = asked.strip_prefix('r').unwrap();
        for (option, below) in [(asked, true), (plain, false)] {
            let script = format!("{OPTIONS_AT} options_at /mnt; options_at /mnt/sub");
            let bundle =
                bundle(brig, &script, |config| add(config, bind(&source, "/mnt", &["rbind", option])));
            fs::create_dir_all(source.join("sub")).unwrap();
            let arguments = ["run", "--bundle", path(&bundle), "brig-test-oci"];
            let surroundings = format!(
                "exec unshare -m --propagation private sh -c 'mount -t tmpfs t {}/sub; exec \"$@\"' sh \"$@\"",
                source.display()
            );
            let shown = testkit::run(&mut prepared(brig, &surroundings, &arguments)).success();
            let lines: Vec<Vec<_>> = shown.lines().map(|line| line.split(',').collect()).collect();
            assert!(lines[0].contains(&has), "{option}: {shown}");
            assert_eq!(lines[1].contains(&has), below, "{option}: {shown}");
        }
    }
});

story!(propagation_goes_where_it_was_asked_to_go, [root], |brig| {
    // Option, whether the host's later mount is seen inside, whether the container's is seen outside.
    for (option, down, up) in
        [("rprivate", false, false), ("rslave", true, false), ("rshared", true, true), ("bind", false, false)]
    {
        let source = source(brig);
        let script = "while ! [ -e /tmp/go ]; do sleep 0.02; done; mkdir /mnt/up; mount -t tmpfs t /mnt/up; \
                      touch /mnt/up/seen; ls /mnt/down; touch /tmp/done; sleep 1000";
        let bundle = bundle(brig, script, |config| {
            add(config, bind(&source, "/mnt", &["rbind", option]));
            for set in ["bounding", "effective", "permitted"] {
                push(&mut config["process"]["capabilities"][set], json!("CAP_SYS_ADMIN"));
            }
        });
        let surroundings = "exec unshare -m --propagation private sh -c '
            source=$1 root=$2 bundle=$3 log=$4; shift 4
            mount -t tmpfs t $source; mount --make-shared $source; mkdir $source/down
            \"$@\" create --bundle $bundle brig-test-oci >$log 2>&1 </dev/null || { cat $log; exit 1; }
            \"$@\" start brig-test-oci
            mount -t tmpfs t $source/down; touch $source/down/seen
            touch $root/tmp/go
            i=0; while ! [ -e $root/tmp/done ] && [ $i -lt 500 ]; do sleep 0.02; i=$((i+1)); done
            cat $log; [ -e $source/up/seen ] && echo up
            \"$@\" delete --force brig-test-oci' sh";
        let runtime = brig.runtime(&[]);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("{surroundings} \"$@\""), "sh"]);
        command.args([source.as_path(), &bundle.rootfs(), bundle.path(), &brig.directory().join("log")]);
        command.arg(runtime.get_program()).args(runtime.get_args());
        let text = testkit::run(&mut command).success();
        assert_eq!((text.contains("seen"), text.contains("up\n")), (down, up), "{option}: {text}");
    }
});

story!(a_shared_or_slave_root_is_what_it_says, [root], |brig| {
    for (asked, wanted, not) in [
        ("private", "", "shared:"),
        ("rslave", "master:", "shared:"),
        ("rshared", "shared:", "unbindable"),
        ("unbindable", "unbindable", "shared:"),
    ] {
        let bundle = bundle(brig, "awk '$5 == \"/\"' /proc/self/mountinfo", |config| {
            config["linux"]["rootfsPropagation"] = asked.into();
        });
        let surroundings = format!(
            "exec unshare -m --propagation private sh -c 'mount --bind {0} {0}; mount --make-shared {0}; exec \"$@\"' sh \"$@\"",
            brig.directory().display()
        );
        let arguments = ["run", "--bundle", path(&bundle), "brig-test-oci"];
        let shown = testkit::run(&mut prepared(brig, &surroundings, &arguments)).success();
        assert!(shown.contains(wanted) && !shown.contains(not), "{asked}: {shown}");
    }
    let outcome = shell(brig, "true", |config| config["linux"]["rootfsPropagation"] = "sideways".into());
    assert_eq!(outcome.code, 1, "{outcome}");
});

story!(an_id_map_of_the_mounts_own, [root], |brig| {
    let source = source(brig);
    fs::write(source.join("mapped"), "").unwrap();
    chown(source.join("in"), Some(5), Some(6)).unwrap();
    for option in ["idmap", "ridmap", "bind"] {
        let shown = says(
            brig,
            "stat -c '%u %g' /mnt/mapped /mnt/in; touch /mnt/new && stat -c %u /mnt/new",
            |config| {
                let mut mount = bind(&source, "/mnt", &["rbind", option]);
                mount["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 1},
                {"containerID": 5, "hostID": 0, "size": 1}]);
                mount["gidMappings"] = json!([{"containerID": 0, "hostID": 2000, "size": 1},
                {"containerID": 6, "hostID": 0, "size": 1}]);
                add(config, mount);
            },
        );
        assert_eq!(shown, "1000 2000\n0 0\n0", "{option}");
        use std::os::unix::fs::MetadataExt;
        let made = source.join("new");
        assert_eq!(fs::metadata(&made).unwrap().uid(), 5);
        fs::remove_file(made).unwrap();
    }
});

story!(an_id_map_of_the_containers, [root], |brig| {
    let source = source(brig);
    let shown = |options: &[&str]| {
        let mut bundle = bundle(brig, "stat -c '%u %g' /mnt/in", |config| {
            add(config, bind(&source, "/mnt", options));
        });
        bundle.map_ids(&[(0, 100_000, 65_536)], &[(0, 100_000, 65_536)]);
        bundle.write();
        fs::create_dir(bundle.rootfs().join("mnt")).unwrap();
        brig.runtime_ok(&["run", "--bundle", path(&bundle), "brig-test-oci"]).trim().to_owned()
    };
    assert_eq!(shown(&["bind", "idmap"]), "0 0");
    assert_eq!(shown(&["bind"]), "65534 65534");
});

story!(wrong_id_maps_are_refused, [root, user], |brig| {
    let source = source(brig);
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let mut half = bind(&source, "/mnt", &["bind"]);
    half["uidMappings"] = map.clone();
    let tmpfs = json!({"destination": "/mnt", "type": "tmpfs", "source": "t", "uidMappings": map,
        "gidMappings": map});
    for mount in [half, tmpfs] {
        let outcome = shell(brig, "true", |config| add(config, mount.clone()));
        assert!(outcome.code == 1 && outcome.stderr.contains("/mnt"), "{outcome}");
    }
});

story!(a_tmpfs_can_begin_with_what_it_hides, [root, user], |brig| {
    for options in [json!(["tmpcopyup"]), json!(["tmpcopyup", "ro"]), json!(["tmpcopyup", "mode=700"])] {
        let readonly = options[1] == "ro";
        let script = "cat /data/file; cat /data/deep/file; readlink /data/link; stat -c %a /data/file /data/deep; \
                      touch /data/new 2>/dev/null && echo written; awk '$5 == \"/data\" { print $9 }' /proc/self/mountinfo";
        let bundle = bundle(brig, script, |config| {
            add(
                config,
                json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options}),
            );
        });
        let data = bundle.rootfs().join("data");
        fs::create_dir_all(data.join("deep")).unwrap();
        fs::write(data.join("file"), "one\n").unwrap();
        fs::write(data.join("deep/file"), "two\n").unwrap();
        fs::set_permissions(data.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(data.join("deep"), fs::Permissions::from_mode(0o751)).unwrap();
        symlink("nowhere", data.join("link")).unwrap();
        if let Some(user) = brig.as_user() {
            user.give(&data);
        }
        let text = brig.runtime_ok(&["run", "--bundle", path(&bundle), "brig-test-oci"]);
        let written = if readonly { "" } else { "written\n" };
        assert_eq!(text, format!("one\ntwo\nnowhere\n640\n751\n{written}tmpfs\n"));
        assert!(!data.join("new").exists());
    }
});

story!(parameters_reach_the_file_system, [root, user], |brig| {
    let script = "df -k /data | awk 'END { print $2 }'; stat -c '%a' /data";
    let text = says(brig, script, |config| {
        add(
            config,
            json!({"destination": "/data", "type": "tmpfs", "source": "t", "options": ["size=1024k", "mode=1750"]}),
        );
    });
    assert_eq!(text, "1024\n1750");
    let outcome = shell(brig, "true", |config| {
        add(
            config,
            json!({"destination": "/data", "type": "tmpfs", "source": "t", "options": ["nonsense=1"]}),
        );
    });
    assert!(outcome.code == 1 && outcome.stderr.contains("/data"), "{outcome}");
});

story!(binds_of_files_and_relative_sources, [root, user], |brig| {
    let source = source(brig);
    let text = says(brig, "cat /a/b/file /etc/hostname /rel/in /mnt/in; touch /mnt/in", |config| {
        let file = source.join("in");
        add(config, bind(&file, "/a/b/file", &["bind"]));
        add(config, bind(&file, "/etc/hostname", &["rbind", "ro"]));
        add(config, bind("../source".as_ref(), "/rel", &["bind", "ro"]));
        add(config, json!({"destination": "mnt", "source": source, "options": ["rbind"]}));
    });
    assert_eq!(text, "host\nhost\nhost\nhost");
    for (from, to) in [("in", "/etc"), ("", "/etc/passwd"), ("missing", "/mnt")] {
        let outcome = shell(brig, "true", |config| add(config, bind(&source.join(from), to, &["bind"])));
        assert_eq!(outcome.code, 1, "{from} at {to}: {outcome}");
    }
});

story!(a_bind_mount_can_be_read_only, [root, user], |brig| {
    let source = source(brig);
    let text = says(brig, "touch /mnt/new 2>&1; echo $?; cat /mnt/in", |config| {
        add(config, bind(&source, "/mnt", &["bind", "ro", "nosuid", "nodev", "noexec"]));
    });
    assert!(text.contains("Read-only file system") && text.ends_with("1\nhost"), "{text}");
    assert!(!source.join("new").exists());
});

story!(links_lead_nowhere_outside, [root, user], |brig| {
    let outside = brig.directory().join("outside");
    fs::create_dir_all(&outside).unwrap();
    let source = source(brig);
    for (link, target) in [
        ("link", outside.to_str().unwrap().to_owned()),
        ("up", format!("../../../../../..{}", outside.display())),
    ] {
        let bundle = bundle(brig, &format!("cat /{link}/file"), |config| {
            add(config, bind(&source.join("in"), &format!("/{link}/file"), &["bind"]));
        });
        symlink(&target, bundle.rootfs().join(link)).unwrap();
        // Where the link leads does not exist inside: an error or a directory inside are both fine.
        drop(brig.runtime_run(&["run", "--bundle", path(&bundle), "brig-test-oci"]));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{target}");
    }
});

story!(kernel_file_systems_go_through_no_link, [root, user], |brig| {
    let bundle = bundle(brig, "true", |_| {});
    fs::remove_dir(bundle.rootfs().join("proc")).unwrap();
    symlink("tmp", bundle.rootfs().join("proc")).unwrap();
    let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "brig-test-oci"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("/proc"), "{outcome}");
});

story!(mounts_that_could_stand_in_for_the_engines_files_are_refused, [root, user], |brig| {
    let source = source(brig);
    for place in ["/", "/proc/self/attr", "/proc/sys", "/proc/../proc/1", "/tmp/..", "//"] {
        let outcome = shell(brig, "true", |config| add(config, bind(&source, place, &["bind"])));
        assert_eq!(outcome.code, 1, "{place}: {outcome}");
    }
    let outcome = shell(brig, "true", |config| add(config, bind(&source, "/proc", &["bind"])));
    assert_eq!(outcome.code, 1, "a directory that is no procfs: {outcome}");
});

story!(file_systems_of_the_kernel, [root], |brig| {
    let text = says(
        brig,
        "awk '{ print $3 }' /proc/mounts | sort -u | tr '\\n' ' '; touch /sys/fs/cgroup/x 2>/dev/null || echo sealed; ls -d /sys/kernel",
        |config| {
            unshare(config, "network");
            unshare(config, "cgroup");
            for (kind, place, options) in [
                ("mqueue", "/dev/mqueue", json!(["nosuid", "noexec", "nodev"])),
                ("sysfs", "/sys", json!(["nosuid", "noexec", "nodev", "ro"])),
                ("cgroup", "/sys/fs/cgroup", json!(["nosuid", "noexec", "nodev", "relatime", "ro"])),
            ] {
                add(config, json!({"destination": place, "type": kind, "source": kind, "options": options}));
            }
        },
    );
    let mut lines = text.lines();
    let kinds = lines.next().unwrap();
    for kind in ["cgroup", "devpts", "mqueue", "proc", "sysfs", "tmpfs"] {
        assert!(kinds.contains(kind), "{kind}: {text}");
    }
    assert!(text.contains("sealed") && text.contains("/sys/kernel"), "{text}");
});

story!(the_containers_cgroup_is_shown_and_sealed, [root], |brig| {
    for own in [true, false] {
        let script = "grep -c . /proc/self/cgroup; for d in /sys/fs/cgroup/*; do [ -d $d ] && touch $d/x 2>/dev/null && echo open $d; \
                      done; cat /sys/fs/cgroup/*/cgroup.procs | grep -qx $$ && echo mine; awk -F: '$2 ~ /pids/ { print $3 }' /proc/self/cgroup";
        let text = says(brig, script, |config| {
            if own {
                unshare(config, "cgroup");
            }
            add(
                config,
                json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                    "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}),
            );
        });
        assert!(!text.contains("open"), "{text}");
        assert!(text.contains("mine"), "{text}");
        assert_eq!(text.ends_with("\n/"), own, "{text}");
    }
});

story!(a_read_only_dev_or_tmpfs_is_still_filled, [root], |brig| {
    let source = source(brig);
    let script = "ls /dev/null /dev/pts/ptmx /data/inner/in; touch /dev/x /data/x 2>&1 | grep -c Read-only";
    let text = says(brig, script, |config| {
        for mount in config["mounts"].as_array_mut().unwrap() {
            if mount["destination"] == "/dev" {
                push(&mut mount["options"], "ro".into());
            }
        }
        add(config, json!({"destination": "/data", "type": "tmpfs", "source": "t", "options": ["ro"]}));
        add(config, bind(&source, "/data/inner", &["bind"]));
    });
    assert_eq!(text, "/data/inner/in\n/dev/null\n/dev/pts/ptmx\n2");
});

story!(remounting_changes_what_is_there, [root], |brig| {
    let source = source(brig);
    let text = says(brig, &format!("{OPTIONS_AT} options_at /mnt"), |config| {
        add(config, bind(&source, "/mnt", &["bind"]));
        add(config, json!({"destination": "/mnt", "options": ["remount", "bind", "ro", "nodev"]}));
    });
    assert!(text.contains("ro") && text.contains("nodev"), "{text}");
});

story!(features_name_no_option_that_does_nothing, [root], |brig| {
    if std::env::var_os("BRIG_TEST_RUNTIME").is_some() {
        return;
    }
    let features = parse(&brig.runtime_ok(&["features"]));
    let source = source(brig);
    for option in features["mountOptions"].as_array().unwrap() {
        let option = option.as_str().unwrap();
        if ["remount", "idmap", "ridmap", "tmpcopyup"].contains(&option) {
            continue;
        }
        let options: &[&str] = &[option, "rbind"];
        let outcome = shell(brig, "cat /mnt/in", |config| add(config, bind(&source, "/mnt", options)));
        assert_eq!(outcome.stdout, "host\n", "{option}: {outcome}");
    }
});
