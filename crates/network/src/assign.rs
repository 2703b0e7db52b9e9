//! From the ports that were asked for to ports of the host.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

use crate::error::{Error, Result};
use crate::port::{MAX_PORTS, Protocol, Publish, Published};

/// Finds a port of the host for each one of the container's, and makes sure that it can be had.
///
/// The ports are let go again before the program that connects the container takes them: whoever is faster has one, and
/// the start fails, or is tried again where any port would do.
///
/// # Errors
/// [`Error::Port`] for one that is taken or not allowed.
pub fn assign(asked: &[Publish]) -> Result<Vec<Published>> {
    let mut ports = Vec::new();
    let mut held = Vec::new();
    for publish in asked {
        let (first, last) = publish.container;
        if ports.len() + usize::from(last - first) >= MAX_PORTS {
            let reason = "a container publishes 4096 ports at most";
            return Err(Error::value("--publish", &publish.to_string(), reason));
        }
        for container in first..=last {
            let (socket, port) = match publish.host {
                None => take(publish, 0)?,
                // One of several for a single port: the first that is free.
                Some((from, to)) if first == last => take_first(publish, from, to)?,
                Some((from, _)) => take(publish, from + (container - first))?,
            };
            // Held until the last one is found: a free one must not be found twice.
            held.push(socket);
            ports.push(Published {
                container_port: container,
                protocol: publish.protocol,
                host_ip: publish.host_address(),
                host_port: port,
            });
        }
    }
    Ok(ports)
}

fn take_first(publish: &Publish, from: u16, to: u16) -> Result<(OwnedFd, u16)> {
    let mut last = take(publish, from);
    for port in from..to {
        match last {
            Err(Error::Port { source: Errno::ADDRINUSE, .. }) => last = take(publish, port + 1),
            result => return result,
        }
    }
    last
}

fn take(publish: &Publish, port: u16) -> Result<(OwnedFd, u16)> {
    let (protocol, address) = (publish.protocol, SocketAddr::new(publish.host_address(), port));
    let failed = |source| {
        let reason = match source {
            Errno::ADDRINUSE => "it is taken",
            Errno::ACCESS | Errno::PERM => "a port below 1024 is not yours",
            Errno::ADDRNOTAVAIL => "the host has no such address",
            _ => "it cannot be had",
        };
        Error::Port { address, protocol, reason, source }
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).map_err(failed)?;
    if protocol == Protocol::Tcp {
        // Old connections of a former container do not count: the program that takes the port sets it, too.
        sockopt::set_socket_reuseaddr(&socket, true).map_err(failed)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).map_err(failed)?;
    }
    bind(&socket, &address).map_err(failed)?;
    if protocol == Protocol::Tcp {
        // Without it two sockets that may be reused are both bound.
        rustix::net::listen(&socket, 1).map_err(failed)?;
    }
    let bound = getsockname(&socket).and_then(SocketAddr::try_from).map_err(failed)?;
    Ok((socket, bound.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn ports(texts: &[&str]) -> Result<Vec<Published>> {
        let asked: Vec<Publish> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assign(&asked)
    }

    #[test]
    fn free_ports_differ() {
        let found = ports(&["80", "80", "81-83", "53/udp"]).unwrap();
        assert_eq!(found.len(), 6);
        let mut hosts: Vec<_> = found.iter().map(|port| (port.protocol, port.host_port)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        assert_eq!(hosts.len(), 6, "{found:?}");
        assert!(found.iter().all(|port| port.host_ip.is_loopback() && port.host_port > 0));
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (port, protocol) in
            [(tcp.local_addr().unwrap().port(), "tcp"), (udp.local_addr().unwrap().port(), "udp")]
        {
            let error = ports(&[&format!("{port}:80/{protocol}")]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("port `127.0.0.1:{port}/{protocol}` of the host: it is taken")
            );
            assert!(error.hint().is_some());
        }
        // The same one twice.
        let free = ports(&["80"]).unwrap()[0].host_port;
        assert!(ports(&[&format!("{free}:80"), &format!("{free}:81")]).is_err());
        // Of several the next.
        let taken = tcp.local_addr().unwrap().port();
        if taken < u16::MAX - 8 {
            let found = ports(&[&format!("{taken}-{}:80", taken + 8)]).unwrap();
            assert!(found[0].host_port > taken);
        }
    }

    #[test]
    fn an_address_that_the_host_has_not() {
        let error = ports(&["203.0.113.77:8080:80"]).unwrap_err().to_string();
        assert!(error.contains("the host has no such address"), "{error}");
    }
}
