//! What a container reaches and who reaches it: `--network`, `-p`, names. Each story has a host and a world of its own.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::path::PathBuf;
use std::process::Command;

use tests::world::{self, HOST, WORLD, World};
use tests::{Brig, attack, story};

/// A world, and an image `peer` with a server and a client in it.
macro_rules! world {
    ($brig:ident) => {{
        testkit::needs!(root, program("ip"), program("pasta"), c_compiler);
        attack::image($brig, "peer", &[], attack::install_probe);
        World::make()
    }};
}

/// Starts a container in the background; its id.
fn start(brig: &Brig, flags: &[&str], command: &[&str]) -> String {
    let arguments = [&["run", "-d"], flags, &["peer"], command].concat();
    let outcome = testkit::run_detached(&mut brig.command(&arguments));
    outcome.success().trim().to_owned()
}

/// A server in a container that answers on port 80 with the address of who asks.
fn serve(brig: &Brig, flags: &[&str]) -> String {
    let id = start(brig, flags, &["probe", "answer", "80"]);
    until(|| brig.ok(&["logs", &id]).contains("ready"));
    id
}

/// What the client in a container with these flags says.
fn ask(brig: &Brig, flags: &[&str], kind: &str, address: &str, port: u16) -> String {
    let port = port.to_string();
    let arguments = [&["run", "--rm"], flags, &["peer", "probe", "ask", kind, address, &port]].concat();
    brig.ok(&arguments).trim().to_owned()
}

/// Waits for what comes soon; the harness ends a test that waits for ever.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

/// The state of a container's network.
fn state(brig: &Brig, id: &str) -> serde_json::Value {
    let path = brig.directory().join("run/net").join(id).join("state.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The program that connects a container, as a path in `/proc`.
fn program(brig: &Brig, id: &str) -> PathBuf {
    let process = PathBuf::from(format!("/proc/{}", state(brig, id)["pid"]));
    assert!(fs::read_to_string(process.join("comm")).unwrap().starts_with("pas"));
    process
}

fn host_port(brig: &Brig, id: &str) -> u16 {
    u16::try_from(state(brig, id)["ports"][0]["hostPort"].as_u64().unwrap()).unwrap()
}

/// Whether a process is gone; a zombie of a program that nobody waits for is.
fn is_gone(process: &std::path::Path) -> bool {
    fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z "))
}

story!(a_container_reaches_the_world, [root, user, bare], |brig| {
    let world = world!(brig);
    for (address, from) in [(WORLD.0, HOST.0), (WORLD.1, HOST.1)] {
        let (port, server) = world.answer_tcp(address, 1);
        assert_eq!(ask(brig, &[], "tcp", address, port), from);
        server.join().unwrap();
        let (port, server) = world.answer_udp(address);
        assert_eq!(ask(brig, &[], "udp", address, port), from);
        server.join().unwrap();
    }
    // It has addresses of its own, and its name is among them.
    let seen = brig.ok(&["run", "--rm", "-h", "web", "peer", "sh", "-c", "ip -o a; cat /etc/hosts"]);
    assert!(seen.contains("eth0") && seen.contains(&format!("{}\tweb", HOST.0)), "{seen}");
    assert!(seen.contains(&format!("{}\tweb", HOST.1)), "{seen}");
    // Low ports and ping need no capability there either.
    let settings = "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range";
    let settings = brig.ok(&["run", "--rm", "peer", "sh", "-c", settings]);
    assert!(settings.starts_with("0\n0\t"), "{settings}");
    // Without a network there is the loopback device only.
    let none = brig.ok(&["run", "--rm", "--network", "none", "peer", "ip", "-o", "link"]);
    assert!(none.lines().count() == 1 && none.contains("lo"), "{none}");
    let strict = brig.ok(&["run", "--rm", "--profile", "strict", "peer", "ip", "-o", "link"]);
    assert!(strict.lines().count() == 1 && strict.contains("lo"), "{strict}");
});

story!(names_are_found, [root, user], |brig| {
    let world = world!(brig);
    // A server in the world is asked as it is.
    world::serve_names(world.enter(|| UdpSocket::bind((WORLD.0, 53)).unwrap()));
    world::set_resolver(&format!("nameserver {}\nsearch corp.example\n", WORLD.0));
    let script = "cat /etc/resolv.conf; nslookup some.name";
    let seen = brig.ok(&["run", "--rm", "peer", "sh", "-c", script]);
    assert!(seen.contains(&format!("nameserver {}\nsearch corp.example\n", WORLD.0)), "{seen}");
    assert!(seen.contains("10.9.8.7"), "{seen}");
    // One on the host's loopback, as systemd-resolved's, is asked through pasta.
    world::serve_names(UdpSocket::bind("127.0.0.53:53").unwrap());
    world::set_resolver("nameserver 127.0.0.53\noptions edns0\n");
    let seen = brig.ok(&["run", "--rm", "peer", "sh", "-c", script]);
    assert!(seen.contains("nameserver 169.254.1.1\noptions edns0\n") && seen.contains("10.9.8.7"), "{seen}");
    let flags =
        ["--dns", WORLD.0, "--dns-search", "a.b", "--dns-option", "ndots:2", "--add-host", "db:10.1.2.3"];
    let seen =
        brig.ok(&[&["run", "--rm"], &flags[..], &["peer", "cat", "/etc/resolv.conf", "/etc/hosts"]].concat());
    assert!(seen.contains(&format!("nameserver {}\nsearch a.b\noptions ndots:2\n", WORLD.0)), "{seen}");
    assert!(seen.contains("10.1.2.3\tdb\n"), "{seen}");
    let hosts = brig.directory().join("hosts");
    fs::write(&hosts, "10.4.4.4 four").unwrap();
    let seen =
        brig.ok(&["run", "--rm", "--hosts-file", hosts.to_str().unwrap(), "peer", "cat", "/etc/hosts"]);
    assert!(seen.starts_with("10.4.4.4 four\n") && !seen.contains("localhost"), "{seen}");
    let left =
        brig.run(&["run", "--rm", "--no-hosts", "--no-hostname", "peer", "cat", "/proc/self/mountinfo"]);
    let left = left.success();
    assert!(
        !left.contains(" /etc/hosts ")
            && !left.contains(" /etc/hostname ")
            && left.contains(" /etc/resolv.conf ")
    );
});

story!(a_port_is_published_where_it_was_named, [root, user, bare], |brig| {
    let world = world!(brig);
    let before = listeners();
    let public = format!("{}:8080:80", HOST.0);
    let id = serve(
        brig,
        &["-p", &public, "-p", &format!("{}:8053:80/udp", HOST.0), "-p", &format!("[{}]:8081:80", HOST.1)],
    );
    // D3 of escapes.md: nothing of ours listens anywhere else.
    let mut ours = listeners();
    ours.retain(|socket| !before.contains(socket));
    assert_eq!(
        ours,
        [format!("tcp {}:8080", HOST.0), format!("tcp6 [{}]:8081", HOST.1), format!("udp {}:8053", HOST.0)]
    );
    // The server sees who asks.
    assert_eq!(world.ask_tcp(HOST.0, 8080).as_deref(), Some(WORLD.0));
    assert_eq!(world.ask_udp(HOST.0, 8053).as_deref(), Some(WORLD.0));
    // Until its own address is known to be nobody else's (RFC 4862, 5.4) the container answers nobody over IPv6.
    until(|| world.ask_tcp(HOST.1, 8081).as_deref() == Some(WORLD.1));
    assert_eq!(world.ask_tcp(HOST.0, 80), None);
    let ports = brig.ok(&["port", &id]);
    assert_eq!(
        ports,
        format!("80/tcp -> {}:8080\n80/tcp -> [{}]:8081\n80/udp -> {}:8053\n", HOST.0, HOST.1, HOST.0)
    );
    assert_eq!(brig.ok(&["port", &id, "80/udp"]), format!("{}:8053\n", HOST.0));
    assert_eq!(brig.run(&["port", &id, "81"]).code, 1);
    brig.ok(&["rm", "-f", &id]);
    assert_eq!(listeners(), before);
    // Without an address the port is this machine's only, and without a port a free one.
    let id = serve(brig, &["-p", "80", "-p", "9000-9002:80-82", "--expose", "90", "-P"]);
    let port = host_port(brig, &id);
    assert!(world::ask_tcp(&format!("127.0.0.1:{port}")).is_some());
    assert!(world::ask_tcp("127.0.0.1:9000").is_some());
    assert_eq!(world.ask_tcp(HOST.0, port), None);
    let ports = brig.ok(&["port", &id]);
    assert!(
        ports.contains(&format!("80/tcp -> 127.0.0.1:{port}\n"))
            && ports.contains("82/tcp -> 127.0.0.1:9002\n")
    );
    assert!(ports.contains("90/tcp -> 127.0.0.1:"), "{ports}");
    // The ports come back with the container.
    brig.ok(&["restart", "-t", "0", &id]);
    until(|| world::ask_tcp("127.0.0.1:9000").is_some());
    brig.ok(&["rm", "-f", &id]);
    assert_eq!(listeners(), before);
});

/// Listening TCP sockets and bound UDP sockets of the story's host.
fn listeners() -> Vec<String> {
    let output = Command::new("ss").args(["-H", "-l", "-n", "-t", "-u"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<String> = text
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let six = if fields[4].starts_with('[') { "6" } else { "" };
            format!("{}{six} {}", fields[0], fields[4])
        })
        .collect();
    found.sort();
    found
}

story!(a_port_that_cannot_be_had_is_an_error_before_the_start, [root, user], |brig| {
    let _world = world!(brig);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (publish, part) in [
        (format!("{port}:80"), "it is taken"),
        ("203.0.113.9:8080:80".to_owned(), "the host has no such address"),
        ("80:80".to_owned(), "a port below 1024 is not yours"),
    ] {
        if publish == "80:80" && brig.is_root() {
            continue;
        }
        let outcome = brig.run(&["run", "--rm", "-p", &publish, "peer", "echo", "ran"]);
        assert_eq!(outcome.code, 125, "{outcome}");
        assert!(outcome.stderr.contains(part) && outcome.stderr.contains("hint: "), "{outcome}");
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
    let outcome = brig.run(&["run", "--rm", "--network", "none", "-p", "80", "peer", "true"]);
    assert!(outcome.code == 0 && outcome.stderr.contains("the container has no network"), "{outcome}");
    if brig.is_root() {
        // Root has them, and is told what that costs.
        let outcome = brig.run(&["run", "--rm", "-p", "80:80", "peer", "echo", "ran"]);
        assert_eq!((outcome.code, &*outcome.stdout), (0, "ran\n"), "{outcome}");
        assert!(outcome.stderr.contains("runs as root of the host"), "{outcome}");
    }
    assert_eq!(fs::read_dir(brig.directory().join("run/net")).unwrap().count(), 0);
});

// R20 (CVE-2020-15257) and the class of services that trust 127.0.0.1. Seen to succeed with `host-gateway`.
story!(the_hosts_own_services_are_out_of_reach, [root, user], |brig| {
    let _world = world!(brig);
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        while let Ok((mut peer, _)) = answering.accept() {
            // What was not read would make a reset of the end.
            drop(peer.read(&mut [0; 4]));
            drop(peer.write_all(b"host"));
        }
    });
    let loopback = UdpSocket::bind("127.0.0.1:0").unwrap();
    loopback.set_nonblocking(true).unwrap();
    let udp = loopback.local_addr().unwrap().port();
    let name = format!("brig-story-{}-{port}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let addresses =
        ["127.0.0.1", "::1", HOST.0, HOST.1, WORLD.0, WORLD.1, "169.254.1.1", "0.0.0.0", "127.0.0.53"];
    for flags in [&[][..], &["--cap-add", "NET_RAW"]] {
        for address in addresses {
            let seen = ask(brig, flags, "tcp", address, port);
            assert!(seen.starts_with("errno"), "{address}: {seen}");
        }
        for address in ["127.0.0.1", HOST.0, WORLD.0, "169.254.1.1"] {
            ask(brig, flags, "udp", address, udp);
            assert!(loopback.recv(&mut [0; 16]).is_err(), "{address}");
        }
    }
    assert_eq!(brig.ok(&["run", "--rm", "peer", "probe", "abstract", &name]), "errno 111\n");
    // One who may change routes sends what is meant for 127.0.0.1 out of the container.
    let script = format!(
        "ip route del local 127.0.0.0/8 table local; ip route del local 127.0.0.1 table local; \
         ip route add 127.0.0.1 dev eth0; probe ask tcp 127.0.0.1 {port}"
    );
    let outcome = brig.run(&["run", "--rm", "--cap-add", "NET_ADMIN", "peer", "sh", "-c", &script]);
    assert!(!outcome.stdout.contains("host"), "{outcome}");
    // The control: the door that is opened by name.
    let flags = ["--add-host", "machine:host-gateway"];
    assert_eq!(ask(brig, &flags, "tcp", WORLD.0, port), "host");
    let outcome = brig.run(&["run", "--rm", flags[0], flags[1], "peer", "grep", "machine", "/etc/hosts"]);
    assert_eq!(outcome.stdout, format!("{}\tmachine\n", WORLD.0));
    assert!(outcome.stderr.contains("opens the host's own services"), "{outcome}");
});

story!(pasta_ends_with_the_container, [root, user, bare], |brig| {
    let _world = world!(brig);
    for end in ["exit", "stop", "kill", "rm", "payload"] {
        let id = serve(brig, &["-p", "80"]);
        let (process, port) = (program(brig, &id), host_port(brig, &id));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
        assert!(!uid.starts_with("0\t"), "{status}");
        match end {
            "stop" => drop(brig.ok(&["stop", "-t", "0", &id])),
            "kill" => drop(brig.ok(&["kill", &id])),
            "rm" => drop(brig.ok(&["rm", "-f", &id])),
            "exit" => drop(brig.run(&["exec", &id, "sh", "-c", "kill -9 1; kill 1"])),
            _ => {}
        }
        if matches!(end, "exit" | "payload") {
            kill(&payload(brig, &id));
        }
        until(|| is_gone(&process));
        assert_eq!(world::ask_tcp(&format!("127.0.0.1:{port}")), None, "{end}");
        drop(brig.run(&["rm", "-f", &id]));
    }
    // In the foreground.
    let outcome = brig.run(&["run", "--rm", "peer", "true"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(fs::read_dir(brig.directory().join("run/net")).unwrap().count(), 0);
});

story!(a_container_stays_connected_when_its_monitor_is_killed, [root, user], |brig| {
    let _world = world!(brig);
    let id = serve(brig, &["-p", "80"]);
    let (process, port) = (program(brig, &id), host_port(brig, &id));
    let target = format!("127.0.0.1:{port}");
    assert!(world::ask_tcp(&target).is_some());
    kill(&monitor(brig, &id));
    assert!(world::ask_tcp(&target).is_some());
    // Both are gone: whoever looks next takes down what is left.
    let payload = payload(brig, &id);
    drop(brig.ok(&["logs", &id]));
    kill(&payload);
    until(|| is_gone(&payload));
    until(|| {
        drop(brig.run(&["rm", "-f", &id]));
        is_gone(&process)
    });
    assert_eq!(world::ask_tcp(&target), None);
});

story!(two_containers_share_a_network, [root, user, bare], |brig| {
    let _world = world!(brig);
    let id = serve(brig, &["--name", "owner", "-p", "80"]);
    assert_eq!(ask(brig, &["--network", "container:owner"], "tcp", "127.0.0.1", 80), "127.0.0.1");
    let script = "cat /etc/hosts; id -u; touch /file && cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let outcome = brig.run(&["run", "--rm", "--net", "container:owner", "peer", "sh", "-c", script]);
    assert_eq!(outcome.code, 0, "{outcome}");
    // Names belong to the network; files and processes do not.
    assert!(outcome.stdout.contains(&format!("{}\t{}", HOST.0, &id[..12])), "{outcome}");
    assert!(outcome.stdout.ends_with("\n0\n0\n"), "{outcome}");
    assert!(outcome.stderr.contains("opens that container's network"), "{outcome}");
    assert_eq!(brig.ok(&["exec", "owner", "sh", "-c", "ls /file 2>/dev/null; echo"]), "\n");
    for flags in [&["-p", "81"][..], &["--sysctl", "net.ipv4.ip_forward=1"]] {
        let outcome =
            brig.run(&[&["run", "--rm", "--net", "container:owner"], flags, &["peer", "true"]].concat());
        assert_eq!(outcome.code, 125, "{flags:?}: {outcome}");
    }
    brig.ok(&["stop", "-t", "0", "owner"]);
    let outcome = brig.run(&["run", "--rm", "--network", "container:owner", "peer", "true"]);
    assert_eq!(outcome.code, 125, "{outcome}");
    assert!(
        outcome.stderr.contains("is not running") && outcome.stderr.contains("hint: `brig start"),
        "{outcome}"
    );
    brig.ok(&["rm", "owner"]);
    assert_eq!(brig.run(&["run", "--rm", "--network", "container:owner", "peer", "true"]).code, 125);
});

story!(slirp4netns_connects_where_it_is_named, [root, user], |brig| {
    let world = world!(brig);
    testkit::needs!(program("slirp4netns"));
    let flags = ["--network", "slirp4netns"];
    let (port, server) = world.answer_tcp(WORLD.0, 1);
    assert_eq!(ask(brig, &flags, "tcp", WORLD.0, port), HOST.0);
    server.join().unwrap();
    // Its gateway is not the host.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(ask(brig, &flags, "tcp", "10.0.2.2", port).starts_with("errno"));
    let id = serve(brig, &["--network", "slirp4netns", "-p", "80"]);
    let process = PathBuf::from(format!("/proc/{}", state(brig, &id)["pid"]));
    assert!(world::ask_tcp(&format!("127.0.0.1:{}", host_port(brig, &id))).is_some());
    brig.ok(&["rm", "-f", &id]);
    until(|| is_gone(&process));
});

fn kill(process: &std::path::Path) {
    let pid = process.file_name().unwrap().to_str().unwrap();
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
}

/// The container's first process.
fn payload(brig: &Brig, id: &str) -> PathBuf {
    let state = fs::read(brig.directory().join("run/c").join(id).join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    PathBuf::from(format!("/proc/{}", state["pid"]))
}

/// Who watches it: the parent of its first process.
fn monitor(brig: &Brig, id: &str) -> PathBuf {
    let status = fs::read_to_string(payload(brig, id).join("status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    PathBuf::from(format!("/proc/{parent}"))
}
