//! A host and a world of the story's own: two network namespaces with one cable between them.
//!
//! The story's thread is in the host, and so is what it starts; the world has a default route's other end, where the
//! story listens and asks from. No test sends a packet to a real interface.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::thread::JoinHandle;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

/// The host's addresses.
pub const HOST: (&str, &str) = ("10.77.0.1", "fd77::1");
/// The world's, which is the host's gateway.
pub const WORLD: (&str, &str) = ("10.77.0.2", "fd77::2");

/// The world. It goes with the story's thread.
#[derive(Debug)]
pub struct World {
    namespace: OwnedFd,
}

impl World {
    /// Moves the story's thread to a host of its own. Needs root and `ip`.
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    pub fn make() -> Self {
        let flags = sys::clone::flags::NEWNET;
        let namespace = std::thread::spawn(move || {
            sys::namespace::unshare(flags).expect("a network of its own");
            OwnedFd::from(fs::File::open("/proc/thread-self/ns/net").expect("/proc"))
        });
        let namespace = namespace.join().expect("the world's thread");
        sys::namespace::unshare(flags | sys::clone::flags::NEWNS).expect("namespaces of its own");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .expect("private mounts");
        // A machine without udev keeps the device to root.
        mount(c"tmpfs", "/dev/net", c"tmpfs", MountFlags::NOSUID, Some(c"mode=0755"))
            .expect("a directory of its own");
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
        rustix::fs::mknodat(rustix::fs::CWD, "/dev/net/tun", kind, mode, rustix::fs::makedev(10, 200))
            .expect("mknod");
        rustix::fs::chmod("/dev/net/tun", mode).expect("mode");
        let world = Self { namespace };
        ip("link set lo up");
        ip("link add cable type veth peer name other");
        // Who is asked to take the other end is named by a process: one that waits in the world.
        world.inside(
            || {
                let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
                child.try_wait().expect("our own child");
                child
            },
            |child| ip(&format!("link set other netns {}", child.id())),
        );
        for (address, prefix) in [(HOST.0, 24), (HOST.1, 64)] {
            ip(&format!("addr add {address}/{prefix} dev cable{}", if prefix == 64 { " nodad" } else { "" }));
        }
        ip("link set cable up");
        world.enter(|| {
            ip("link set lo up");
            for (address, prefix) in [(WORLD.0, 24), (WORLD.1, 64)] {
                ip(&format!(
                    "addr add {address}/{prefix} dev other{}",
                    if prefix == 64 { " nodad" } else { "" }
                ));
            }
            ip("link set other up");
        });
        ip(&format!("route add default via {}", WORLD.0));
        ip(&format!("-6 route add default via {}", WORLD.1));
        world
    }

    /// Runs `then` while a process of the world's lives.
    fn inside(
        &self,
        start: impl FnOnce() -> std::process::Child + Send + 'static,
        then: impl FnOnce(&std::process::Child),
    ) {
        let mut child = self.enter(start);
        then(&child);
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }

    /// Runs something in the world; sockets that it makes stay there.
    ///
    /// # Panics
    /// When it does.
    pub fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.spawn(work).join().expect("the world's thread")
    }

    /// The same in a thread that goes on.
    ///
    /// # Panics
    /// When the world is gone.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let namespace = self.namespace.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            sys::namespace::join(namespace.as_fd(), sys::clone::flags::NEWNET).expect("the world");
            work()
        })
    }

    /// Listens in the world, answers `connections` times with the address of who asks, over TCP.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn answer_tcp(&self, address: &str, connections: usize) -> (u16, JoinHandle<()>) {
        let address = format!("{}:0", bracketed(address));
        let listener = self.enter(move || TcpListener::bind(address).expect("a port of the world's"));
        let port = listener.local_addr().expect("bound").port();
        (port, std::thread::spawn(move || answer(&listener, connections)))
    }

    /// The same over UDP.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn answer_udp(&self, address: &str) -> (u16, JoinHandle<()>) {
        let address = format!("{}:0", bracketed(address));
        let socket = self.enter(move || UdpSocket::bind(address).expect("a port of the world's"));
        let port = socket.local_addr().expect("bound").port();
        (
            port,
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    drop(socket.send_to(from.ip().to_string().as_bytes(), from));
                }
            }),
        )
    }

    /// What a server says to who asks from the world; nothing if there is none.
    #[must_use]
    pub fn ask_tcp(&self, address: &str, port: u16) -> Option<String> {
        let target = format!("{}:{port}", bracketed(address));
        self.enter(move || ask_tcp(&target))
    }

    /// The same over UDP.
    #[must_use]
    pub fn ask_udp(&self, address: &str, port: u16) -> Option<String> {
        let target = format!("{}:{port}", bracketed(address));
        self.enter(move || ask_udp(&target))
    }
}

/// Answers each connection with the address of who asks.
fn answer(listener: &TcpListener, connections: usize) {
    use std::io::{Read as _, Write as _};
    for _ in 0..connections {
        if let Ok((mut peer, from)) = listener.accept() {
            // What was not read would make a reset of the end.
            drop(peer.read(&mut [0; 4]));
            drop(peer.write_all(from.ip().to_string().as_bytes()));
        }
    }
}

/// What a server says over TCP; nothing if there is none.
#[must_use]
pub fn ask_tcp(target: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut text = String::new();
    let mut stream = TcpStream::connect_timeout(&target.parse().ok()?, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"word").ok()?;
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then(|| text.trim().to_owned())
}

/// What a server says over UDP; nothing if there is none.
#[must_use]
pub fn ask_udp(target: &str) -> Option<String> {
    let own = if target.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(own).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.connect(target).ok()?;
    socket.send(b"word").ok()?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// Lets the host's `resolv.conf` be this text, for the story only.
///
/// # Panics
/// When it cannot be mounted.
pub fn set_resolver(text: &str) {
    // In the story's own directory: it goes with the story's mounts.
    fs::write("/dev/net/resolv.conf", text).expect("a directory of its own");
    mount_bind("/dev/net/resolv.conf", "/etc/resolv.conf").expect("mount");
}

/// A name server that knows one answer: every question of an address gets `10.9.8.7`. Answers until it is closed.
///
/// # Panics
/// When the address is taken.
pub fn serve_names(socket: UdpSocket) {
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if length < 12 || &buffer[..length] == b"stop" {
                return;
            }
            drop(socket.send_to(&answer_to(&buffer[..length]), from));
        }
    });
}

/// RFC 1035, section 4: the question again, and for an address (type 1) one record that points at its name.
fn answer_to(question: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).map_or(0, |at| at + 5);
    let is_address = question.get(end - 4..end - 2) == Some(&[0, 1]);
    let mut text = question[..end.min(question.len())].to_vec();
    text[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    if is_address {
        text.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 7]);
    }
    text
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip");
    assert!(status.success(), "ip {arguments}");
}
