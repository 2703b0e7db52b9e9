//! R20: an abstract socket of the engine's, which whoever shares the host's network can talk to.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use testkit::Bundle;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "R20",
    title: "abstract sockets of the engine",
    faults: &["CVE-2020-15257"],
    kinds: &[Kind::Inside],
    defence: "runtime: processes of ours talk through unnamed socket pairs, which belong to no namespace",
};

/// The abstract sockets that a container with these flags sees, while another one runs and is joined.
fn seen(brig: &Brig, flags: &[&str]) -> Vec<String> {
    brig.import_busybox();
    let running: Bundle = brig.bundle("running", &["sleep", "1000"]);
    brig.start("brig-test-running", &running);
    let mut joined = brig.runtime(&["exec", "brig-test-running", "sleep", "1000"]).spawn().unwrap();
    let sockets = brig.shell(flags, "cat /proc/net/unix").success();
    brig.runtime_ok(&["delete", "--force", "brig-test-running"]);
    joined.wait().unwrap();
    let abstracts = sockets.lines().filter_map(|line| line.split_once('@').map(|(_, name)| name.to_owned()));
    abstracts.collect()
}

/// One of the machine's, as an engine would have it.
fn listener() -> (UnixListener, String) {
    let name = format!("engine-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    (UnixListener::bind_addr(&address).unwrap(), name)
}

held!(we_have_none, [root, user], |brig| {
    let ours: Vec<_> =
        seen(brig, &["--network=host"]).into_iter().filter(|name| name.contains("brig")).collect();
    assert_eq!(ours, Vec::<String>::new());
});

held!(those_of_the_machine_are_out_of_reach, [root, user], |brig| {
    let (_listener, _) = listener();
    assert_eq!(seen(brig, &[]), Vec::<String>::new());
});

control!(seen_in_the_hosts_network, Target::Opened("--network host"), [root, user], |brig| {
    let (_listener, name) = listener();
    seen(brig, &["--network=host"]).contains(&name)
});
