//! Connecting one container: between the clone of its process and the start of its payload.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::port::Published;
use crate::process::Start;
use crate::state::{self, Directories, Driver, State};
use crate::{pasta, provider, slirp};

/// What a container is to get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The program that connects it.
    pub program: PathBuf,
    /// Whether that is `slirp4netns`.
    pub slirp: bool,
    /// What is published.
    pub ports: Vec<Published>,
    /// Options of the person's own, as [`crate::parse_options`] has them.
    pub options: Vec<String>,
    /// Whether the gateway's address leads to the host's loopback.
    pub map_gateway: bool,
    /// Whether the container asks [`Stack::name_server`], which asks the host's own.
    pub forward_names: bool,
    /// The only interface of the host that the container's traffic may take: for one that can forge addresses.
    pub only_interface: Option<String>,
}

impl Stack {
    /// The address of the name server that stands for the host's.
    #[must_use]
    pub fn name_server(&self) -> IpAddr {
        if self.slirp { slirp::NAME_SERVER.parse().expect("an address") } else { pasta::NAME_SERVER }
    }

    /// The container's addresses.
    #[must_use]
    pub fn addresses(&self, host: &Host) -> Vec<IpAddr> {
        if self.slirp {
            return slirp::ADDRESSES.iter().map(|address| address.parse().expect("an address")).collect();
        }
        let mut own = self.options.iter().skip_while(|option| *option != "--address").skip(1);
        if let Some(address) = own.next().and_then(|address| address.parse().ok()) {
            return vec![address];
        }
        let has = |name: &str| self.options.iter().any(|option| option == name);
        let v4 = host.address.filter(|_| !has("--ipv6-only")).map(IpAddr::V4);
        let v6 = host.address6.filter(|_| !has("--ipv4-only")).map(IpAddr::V6);
        v4.into_iter().chain(v6).collect()
    }
}

/// The host's ids of a container's root.
pub type Ids = (u32, u32);

/// Which container.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The directory of its first process in `/proc`.
    pub process: BorrowedFd<'a>,
    /// The host's ids of its root, where it has a user namespace of its own and that has a root.
    pub root: Option<Ids>,
    /// Whether it has a user namespace of its own.
    pub user_namespace: bool,
}

/// Who the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// The caller: it joins the container's user namespace, which is his.
    Caller,
    /// The container's root, as which it is executed.
    Contained(Ids),
    /// Root of the host, with two capabilities left.
    Root,
}

impl Identity {
    fn choose(target: &Target<'_>, ports: &[Published]) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Caller);
        }
        // A right on the host's own ports is the host's, which no root of a container has.
        let low = ports.iter().any(|port| port.host_port < lowest_free_port());
        match target.root {
            Some(ids) if target.user_namespace && !low => Ok(Self::Contained(ids)),
            None if target.user_namespace => Err(Error::Unavailable(
                "the container's user namespace has no root, whom the program would be".to_owned(),
            )),
            _ => Ok(Self::Root),
        }
    }
}

/// The lowest port that every user may take, ip_unprivileged_port_start of ip-sysctl.
fn lowest_free_port() -> u16 {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/sys/net/ipv4/ip_unprivileged_port_start", flags, Mode::empty())
        .ok()
        .and_then(|file| files::read_all(file, 16).ok())
        .and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok())
        .unwrap_or(1024)
}

/// Connects a container: starts the program for its network namespace and waits until it is ready. `parent` holds the
/// directories of all containers' networks.
///
/// The caller has one thread only ([`sys::fork`]).
///
/// # Errors
/// [`Error::Program`] with the program's own words, [`Error::System`]. Nothing is left behind then.
pub fn connect(
    target: &Target<'_>,
    parent: BorrowedFd<'_>,
    id: &str,
    stack: &Stack,
    host: &Host,
) -> Result<State> {
    // Of a container that was killed before its own was removed.
    state::disconnect(parent, id)?;
    connect_in(target, parent, id, stack, host).inspect_err(|_| {
        // The first error is the one to tell.
        drop(state::disconnect(parent, id));
    })
}

fn connect_in(
    target: &Target<'_>,
    parent: BorrowedFd<'_>,
    id: &str,
    stack: &Stack,
    host: &Host,
) -> Result<State> {
    let identity = Identity::choose(target, &stack.ports)?;
    let owner = match identity {
        Identity::Contained(ids) => Some(ids),
        Identity::Caller | Identity::Root => None,
    };
    let directories = Directories::make(parent, id, owner)?;
    let open = |name: &'static str| {
        rustix::fs::openat(target.process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::system("open", "the container's namespaces"))
    };
    let network = open("ns/net")?;
    let user =
        if target.user_namespace && identity != Identity::Root { Some(open("ns/user")?) } else { None };
    let pid = run(stack, identity, &directories, &network, user.as_ref())?;
    let start_time = state::start_time(pid).ok_or_else(|| Error::Program {
        program: stack.program.clone(),
        said: "it ended at once".to_owned(),
    })?;
    let gateway = if stack.slirp { "10.0.2.2".parse().ok() } else { host.gateway.map(IpAddr::V4) };
    let state = State {
        driver: if stack.slirp { Driver::Slirp4netns } else { Driver::Pasta },
        pid,
        start_time,
        addresses: stack.addresses(host),
        gateway,
        ports: stack.ports.clone(),
    };
    directories.write(&state)?;
    if stack.slirp {
        slirp::publish(&stack.program, directories.program.as_fd(), &stack.ports)?;
    }
    Ok(state)
}

/// Starts the program and waits until it is ready; its process id.
fn run(
    stack: &Stack,
    identity: Identity,
    directories: &Directories,
    network: &OwnedFd,
    user: Option<&OwnedFd>,
) -> Result<i32> {
    let joins = identity == Identity::Caller && user.is_some();
    let start = |arguments: &[String], keep: Option<BorrowedFd<'_>>| {
        Start {
            program: &stack.program,
            arguments,
            directory: directories.program.as_fd(),
            network: network.as_fd(),
            user: user.map(AsFd::as_fd),
            // slirp4netns cannot confine itself when it joins the user namespace by itself.
            become_root: matches!(identity, Identity::Contained(_)) || (stack.slirp && user.is_some()),
            own_device: matches!(identity, Identity::Contained(_)) && !provider::is_tun_for_all(),
            keep,
        }
        .start()
    };
    if stack.slirp {
        let (ready, word) =
            pipe_with(PipeFlags::CLOEXEC).map_err(Error::system("make", "a pipe for the program"))?;
        let started = start(&slirp::arguments(stack, word.as_raw_fd()), Some(word.as_fd()))?;
        drop(word);
        return started.wait_for_word(&stack.program, &ready);
    }
    let arguments = pasta::arguments(stack, joins, identity == Identity::Root);
    start(&arguments, None)?.wait_for_background(&stack.program)?;
    let pid = directories.pid()?;
    check_owner(pid, identity)?;
    Ok(pid)
}

/// Whether the process belongs to whom the program is: one that lies about its number must not have another one killed.
fn check_owner(pid: i32, identity: Identity) -> Result<()> {
    let failed = || Error::system("find", "the process of the program");
    let expected = match identity {
        Identity::Contained((uid, _)) => uid,
        Identity::Caller | Identity::Root => rustix::process::geteuid().as_raw(),
    };
    let status =
        rustix::fs::open(format!("/proc/{pid}/status"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(failed())?;
    let status = files::read_all(status, 16 << 10)?;
    let text = String::from_utf8_lossy(&status);
    let uids = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    let real = uids.and_then(|uids| uids.split_ascii_whitespace().next()?.parse::<u32>().ok());
    if real == Some(expected) { Ok(()) } else { Err(failed()(Errno::SRCH)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_way_out() {
        let host = Host {
            address: Some("192.0.2.7".parse().unwrap()),
            address6: Some("2001:db8::7".parse().unwrap()),
            ..Host::default()
        };
        let texts =
            |stack: &Stack| stack.addresses(&host).iter().map(ToString::to_string).collect::<Vec<_>>();
        let with =
            |options: &str| Stack { options: crate::parse_options(options).unwrap(), ..Stack::default() };
        assert_eq!(texts(&with("")), ["192.0.2.7", "2001:db8::7"]);
        assert_eq!(texts(&with("-4")), ["192.0.2.7"]);
        assert_eq!(texts(&with("-a,10.9.9.9")), ["10.9.9.9"]);
        assert_eq!(texts(&Stack { slirp: true, ..Stack::default() }), ["10.0.2.100"]);
    }
}
