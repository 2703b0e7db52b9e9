//! Our calls through a real `dbus-daemon`, to a systemd of our own making.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use testkit::{TempDir, User, needs};

use super::bus::{set, start, stop};
use super::connection::{BUS, Connection};
use super::fake;
use super::message::{Kind, Message};
use super::wire::Writer;

/// Anybody may do anything; only the login is the daemon's.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow eavesdrop="true"/> <allow send_destination="*" eavesdrop="true"/>
  </policy>
</busconfig>
"#;
/// Tells [`inner_cycle`] where the bus is.
const SOCKET: &str = "BRIG_TEST_BUS";
const CYCLE: [&str; 7] =
    ["StartTransientUnit", "GetUnit", "Get", "SetUnitProperties", "Subscribe", "StopUnit", "ResetFailedUnit"];

struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Starts a bus in a directory, and returns when it listens.
    fn start(mut command: Command, directory: &Path) -> Self {
        let (socket, file) = (directory.join("bus"), directory.join("bus.conf"));
        std::fs::write(&file, CONFIGURATION.replace("SOCKET", socket.to_str().unwrap())).unwrap();
        command.arg("--config-file").arg(&file).args(["--nofork", "--nopidfile", "--print-address"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let daemon = Self { child, socket };
        assert!(address.starts_with("unix:"), "the daemon says `{address}`");
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Answers as systemd until the bus is gone; gives back what it was asked.
fn serve(socket: &Path) -> JoinHandle<Vec<String>> {
    let mut connection = Connection::open(socket).unwrap();
    let mut name = Writer::default();
    name.text("org.freedesktop.systemd1");
    name.word(0);
    let request = Message::call(BUS, "/org/freedesktop/DBus", BUS, "RequestName").with("su", name).unwrap();
    assert_eq!(connection.call(request).unwrap().kind, Kind::Return);
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        while let Ok((call, _)) = connection.receive_message() {
            if call.kind == Kind::Call {
                asked.push(fake::describe(&call));
                for message in fake::answers(&call, "done") {
                    connection.send(message).unwrap();
                }
            }
        }
        asked
    })
}

/// A scope's life.
fn cycle(socket: &Path) {
    let group = start(socket, "brig-web.scope", &fake::properties()).unwrap();
    assert_eq!(group, fake::GROUP);
    set(socket, "brig-web.scope", &fake::properties()[3..]).unwrap();
    stop(socket, "brig-web.scope").unwrap();
}

/// Runs a scope's life, by ourselves or by a command that runs [`inner_cycle`].
fn check(daemon: Daemon, client: Option<&mut Command>) {
    let service = serve(&daemon.socket);
    match client {
        None => cycle(&daemon.socket),
        Some(command) => {
            let name = "systemd::real_bus::inner_cycle";
            command.args(["--exact", name, "--ignored", "--nocapture"]).env(SOCKET, &daemon.socket);
            let outcome = testkit::run(command).success();
            assert!(outcome.contains("1 passed"), "{outcome}");
        }
    }
    drop(daemon);
    let asked = service.join().unwrap();
    let members: Vec<_> = asked.iter().map(|call| call.split(' ').next().unwrap()).collect();
    assert_eq!(members[0], "Subscribe");
    assert_eq!(members[1..], CYCLE);
    for part in ["\"PIDs\", <[Uint32(42)]>", "\"MemoryMax\", <Uint64(1073741824)>", "<[Byte(3)]>"] {
        assert!(asked[1].contains(part), "{part} in {}", asked[1]);
    }
}

#[test]
fn ourselves() {
    needs!(program("dbus-daemon"), account);
    let directory = TempDir::new();
    check(Daemon::start(Command::new("dbus-daemon"), directory.path()), None);
}

#[test]
fn privileged_a_user() {
    needs!(root, program("dbus-daemon"), user_without_subids());
    let user = User::without_subids();
    let program = user.install(&std::env::current_exe().unwrap());
    let daemon = Daemon::start(user.command("dbus-daemon"), &user.runtime_dir());
    check(daemon, Some(&mut user.command(program)));
}

/// As below rootless podman: user id 0 here, the user's for the bus.
#[test]
fn privileged_root_of_a_users_namespace() {
    needs!(root, program("dbus-daemon"), program("unshare"), userns(), user_without_subids());
    let user = User::without_subids();
    let program = user.install(&std::env::current_exe().unwrap());
    let daemon = Daemon::start(user.command("dbus-daemon"), &user.runtime_dir());
    let mut client = user.command("unshare");
    client.args(["--user", "--map-root-user"]).arg(program);
    check(daemon, Some(&mut client));
}

/// What another program makes of our bytes.
#[test]
fn others_read_what_we_write() {
    needs!(program("dbus-daemon"), program("dbus-monitor"), account);
    let directory = TempDir::new();
    let daemon = Daemon::start(Command::new("dbus-daemon"), directory.path());
    let mut monitor = Command::new("dbus-monitor")
        .args(["--address", &format!("unix:path={}", daemon.socket.display())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(monitor.stdout.take().unwrap());
    // The bus takes a monitor's name away: it sees all from here on.
    let mut seen = String::new();
    while !seen.contains("NameLost") {
        assert_ne!(output.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    check(daemon, None);
    output.read_to_string(&mut seen).unwrap();
    monitor.wait().unwrap();
    let words: Vec<_> = seen.split_whitespace().collect();
    let seen = words.join(" ");
    for part in [
        r#"member=StartTransientUnit string "brig-web.scope" string "fail" array [ struct { string "Delegate" variant boolean true }"#,
        r#"struct { string "PIDs" variant array [ uint32 42 ] }"#,
        r#"struct { string "MemoryMax" variant uint64 1073741824 }"#,
        r#"struct { string "AllowedCPUs" variant array of bytes [ 03 ] } ] array [ ]"#,
        r#"member=SetUnitProperties string "brig-web.scope" boolean true array [ struct {"#,
        r#"member=StopUnit string "brig-web.scope" string "replace""#,
    ] {
        assert!(seen.contains(part), "`{part}` in {seen}");
    }
}

/// Run by the tests above, as somebody else.
#[test]
#[ignore = "run by the other tests of this file"]
fn inner_cycle() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    cycle(Path::new(&socket));
}
