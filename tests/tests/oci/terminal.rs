//! `process.terminal` and the console socket.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use tests::{Brig, story};

use crate::{bundle, path, shell};

/// Takes one message with one descriptor from whoever connects first.
pub(crate) fn receive(listener: &UnixListener) -> (String, Option<OwnedFd>) {
    let (stream, _) = listener.accept().unwrap();
    let mut bytes = vec![0; 1 << 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let length =
        recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .unwrap()
            .bytes;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    bytes.truncate(length);
    assert!(descriptors.len() < 2);
    (String::from_utf8(bytes).unwrap(), descriptors.pop())
}

/// A console socket and what will be read from the terminal that it is sent.
struct Console {
    socket: PathBuf,
    reader: JoinHandle<String>,
}

impl Console {
    /// Listens; writes `input` to the terminal, then reads it to its end.
    fn new(brig: &Brig, input: &'static str) -> Self {
        let socket = brig.directory().join("console");
        drop(std::fs::remove_file(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        if let Some(user) = brig.as_user() {
            user.give(&socket);
        }
        let reader = thread::spawn(move || {
            let (_, descriptor) = receive(&listener);
            let mut master = File::from(descriptor.expect("the master of a terminal"));
            master.write_all(input.as_bytes()).unwrap();
            let mut text = Vec::new();
            let mut block = [0; 4096];
            // EIO: the last slave is closed.
            while let Ok(count @ 1..) = master.read(&mut block) {
                text.extend_from_slice(&block[..count]);
            }
            String::from_utf8_lossy(&text).replace('\r', "")
        });
        Self { socket, reader }
    }

    fn flag(&self) -> &str {
        self.socket.to_str().unwrap()
    }

    fn text(self) -> String {
        self.reader.join().unwrap()
    }
}

fn with_terminal(config: &mut Value) {
    config["process"]["terminal"] = true.into();
}

story!(a_terminal_goes_to_the_console_socket, [root, user], |brig| {
    let script = "read line; echo got $line; tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; \
                  ls -l /dev/console | cut -c 1; echo back >/dev/tty; echo console >/dev/console; cut -d ' ' -f 5-7 /proc/$$/stat";
    let bundle = bundle(brig, script, |config| {
        with_terminal(config);
        config["process"]["consoleSize"] = json!({"height": 21, "width": 77});
    });
    let console = Console::new(brig, "hello\n");
    testkit::run_detached(&mut brig.runtime(&[
        "create",
        "--bundle",
        path(&bundle),
        "--console-socket",
        console.flag(),
        "tty",
    ]))
    .success();
    brig.runtime_ok(&["start", "tty"]);
    let text = console.text();
    for wanted in ["got hello\n", "/dev/", "21 77\n", "all\n", "c\n", "back\n", "console\n"] {
        assert!(text.contains(wanted), "{wanted:?}: {text}");
    }
    brig.runtime_ok(&["delete", "--force", "tty"]);
});

story!(a_terminal_belongs_to_its_user, [root], |brig| {
    let bundle = bundle(
        brig,
        "stat -L -c '%u owns' /proc/self/fd/0; echo x >/proc/self/fd/0 && echo opened",
        |config| {
            with_terminal(config);
            config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        },
    );
    let console = Console::new(brig, "");
    let arguments = ["run", "--bundle", path(&bundle), "--console-socket", console.flag(), "tty"];
    testkit::run_detached(&mut brig.runtime(&arguments)).success();
    let text = console.text();
    assert!(text.contains("1000 owns") && text.contains("opened"), "{text}");
});

story!(a_terminal_of_exec, [root, user], |brig| {
    let sleeper = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("tty", &sleeper);
    for detach in [true, false] {
        let console = Console::new(brig, "hello\n");
        let script = "read line; echo got $line; tty; test -t 0 && echo terminal; stat -L -c '%u owns' /proc/self/fd/0";
        let mut arguments = vec!["exec", "--tty", "--console-socket", console.flag()];
        if detach {
            arguments.push("--detach");
        }
        arguments.extend(["tty", "sh", "-c", script]);
        testkit::run_detached(&mut brig.runtime(&arguments)).success();
        let text = console.text();
        for wanted in ["got hello\n", "/dev/pts/", "terminal\n", "0 owns\n"] {
            assert!(text.contains(wanted), "{wanted:?}: {text}");
        }
    }
    brig.runtime_ok(&["delete", "--force", "tty"]);
});

story!(terminal_and_socket_belong_together, [root, user], |brig| {
    let bundle = bundle(brig, "true", with_terminal);
    brig.runtime_run(&["create", "--bundle", path(&bundle), "tty"]).fails_with(1);
    brig.runtime_run(&["create", "--bundle", path(&bundle), "--console-socket", "/no/such", "tty"])
        .fails_with(1);
    let plain = crate::bundle(brig, "true", |_| {});
    brig.runtime_run(&["create", "--bundle", path(&plain), "--console-socket", "/no/such", "tty"])
        .fails_with(1);
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
});

story!(run_relays_a_terminal, [root, user], |brig| {
    let outcome = shell(brig, "tty; test -t 1 && echo terminal", with_terminal);
    let text = outcome.success().replace('\r', "");
    assert!(text.contains("/dev/") && text.contains("terminal\n"), "{text}");
});
