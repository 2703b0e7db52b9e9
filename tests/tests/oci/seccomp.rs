//! `linux.seccomp`: what a filter answers, and who is told.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::{Value, json};
use tests::story;

use crate::terminal::receive;
use crate::{parse, path, says, shell};

fn profile(action: &str, errno: Option<u32>) -> Value {
    let mut rule = json!({"names": ["mkdir", "mkdirat"], "action": action});
    if let Some(errno) = errno {
        rule["errnoRet"] = errno.into();
    }
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [rule]})
}

story!(each_action_answers, [root, user], |brig| {
    for (action, errno, wanted) in [
        ("SCMP_ACT_ERRNO", None, "Operation not permitted"),
        ("SCMP_ACT_ERRNO", Some(38), "Function not implemented"),
        ("SCMP_ACT_LOG", None, "made"),
        ("SCMP_ACT_ALLOW", None, "made"),
        ("SCMP_ACT_KILL_PROCESS", None, "159"),
        ("SCMP_ACT_KILL", None, "159"),
        ("SCMP_ACT_TRAP", None, "159"),
    ] {
        for no_new_privileges in [true, false] {
            let script = "mkdir /tmp/made 2>&1; echo $?; [ -d /tmp/made ] && echo made; grep Seccomp: /proc/self/status";
            let text = says(brig, script, |config| {
                config["linux"]["seccomp"] = profile(action, errno);
                config["process"]["noNewPrivileges"] = no_new_privileges.into();
            });
            assert!(text.contains(wanted), "{action}: {text}");
            assert!(text.ends_with("Seccomp:\t2"), "{action}: {text}");
        }
    }
});

story!(the_payload_itself_is_killed, [root, user], |brig| {
    let mut bundle = brig.bundle("bundle", &["mkdir", "/tmp/made"]);
    bundle.config["linux"]["seccomp"] = profile("SCMP_ACT_KILL_PROCESS", None);
    bundle.write();
    let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "killed"]);
    assert_eq!(outcome.code, 128 + 31, "{outcome}");
});

story!(a_listener_is_told, [root, user], |brig| {
    for no_new_privileges in [true, false] {
        let socket = brig.directory().join("listener");
        drop(std::fs::remove_file(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        if let Some(user) = brig.as_user() {
            user.give(&socket);
        }
        let server = thread::spawn(move || -> (String, Option<OwnedFd>) { receive(&listener) });
        let mut seccomp = profile("SCMP_ACT_NOTIFY", None);
        seccomp["listenerPath"] = json!(socket);
        seccomp["listenerMetadata"] = "what is this".into();
        let mut bundle = brig.bundle("bundle", &["sh", "-c", "sleep 0.3; mkdir /tmp/made 2>&1"]);
        bundle.config["linux"]["seccomp"] = seccomp;
        bundle.config["process"]["noNewPrivileges"] = no_new_privileges.into();
        bundle.config["annotations"] = json!({"a": "b"});
        bundle.write();
        testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "told"])).success();
        let (state, descriptor) = server.join().unwrap();
        let state = parse(&state);
        assert!(descriptor.is_some());
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "what is this");
        assert_eq!(state["pid"], crate::pid_of(brig, "told"));
        assert_eq!(state["state"]["id"], "told");
        assert_eq!(state["state"]["status"], "creating");
        assert_eq!(state["state"]["annotations"]["a"], "b");
        brig.runtime_ok(&["start", "told"]);
        // Without a listener the call answers ENOSYS.
        drop(descriptor);
        crate::eventually("the container ends", || {
            parse(&brig.runtime_ok(&["state", "told"]))["status"] == "stopped"
        });
        brig.runtime_ok(&["delete", "told"]);
    }
});

story!(a_listener_that_is_not_there_is_an_error, [root, user], |brig| {
    for listener in [None, Some("/no/such/socket")] {
        let outcome = shell(brig, "true", |config| {
            config["linux"]["seccomp"] = profile("SCMP_ACT_NOTIFY", None);
            if let Some(path) = listener {
                config["linux"]["seccomp"]["listenerPath"] = path.into();
            }
        });
        assert_eq!(outcome.code, 1, "{outcome}");
        assert_eq!(brig.runtime_containers(), Vec::<String>::new());
    }
});

story!(wrong_profiles_are_refused, [root, user], |brig| {
    for profile in [
        json!({"defaultAction": "SCMP_ACT_MAGIC"}),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_MAGIC"]}),
        json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/x"}),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_MAGIC"]}),
        json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}),
    ] {
        let outcome = shell(brig, "true", |config| config["linux"]["seccomp"] = profile.clone());
        assert_eq!(outcome.code, 1, "{profile}: {outcome}");
    }
});
