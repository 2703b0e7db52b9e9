//! What of the host's own network a container is shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getsockname, socket_with};

/// Most bytes of the host's table of routes that are read.
const MAX_ROUTES: u64 = 4 << 20;
/// Bits of a route's flags, linux/route.h: it is up, and by a gateway.
const UP_BY_GATEWAY: u32 = 0x3;

/// The host's way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its address towards the rest of the world.
    pub address: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub address6: Option<Ipv6Addr>,
    /// The default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// The interface of the default route.
    pub interface: Option<String>,
}

impl Host {
    /// Asks the kernel. Nothing is sent: a connected datagram socket only looks its route up.
    #[must_use]
    pub fn look() -> Self {
        let routes =
            rustix::fs::openat(CWD, "/proc/net/route", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .ok()
                .and_then(|file| files::read_all(file, MAX_ROUTES).ok())
                .unwrap_or_default();
        let (interface, gateway) = default_route(&String::from_utf8_lossy(&routes)).unzip();
        // RFC 5737 and RFC 3849: addresses that are nobody's.
        let address = match source((Ipv4Addr::new(198, 51, 100, 1), 9).into()) {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        let address6 = match source((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into()) {
            Some(IpAddr::V6(address)) => Some(address),
            _ => None,
        };
        Self { address, address6, gateway, interface }
    }

    /// Whether there is a way out at all.
    #[must_use]
    pub const fn is_online(&self) -> bool {
        self.address.is_some() || self.address6.is_some()
    }
}

fn source(target: SocketAddr) -> Option<IpAddr> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    connect(&socket, &target).ok()?;
    let address = SocketAddr::try_from(getsockname(&socket).ok()?).ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Interface and gateway of the first default route in a table as proc(5) has it.
fn default_route(table: &str) -> Option<(String, Ipv4Addr)> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (interface, target, gateway) = (fields.next()?, fields.next()?, fields.next()?);
        let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        let is_default = target == "00000000" && flags & UP_BY_GATEWAY == UP_BY_GATEWAY;
        // The kernel prints the bytes of the network as a number of its own order.
        is_default.then(|| (interface.to_owned(), Ipv4Addr::from(gateway.to_ne_bytes())))
    })
}

/// The name servers of a resolv.conf(5) that a container can reach, and whether others were left out: those of the host's
/// loopback, and those whose address means something on one interface only.
#[must_use]
pub fn nameservers(text: &str) -> (Vec<IpAddr>, bool) {
    let mut left_out = false;
    let servers = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .filter_map(|word| match word.parse::<IpAddr>() {
            Ok(address) if is_reachable(address) => Some(address),
            _ => {
                left_out = true;
                None
            }
        })
        .collect();
    (servers, left_out)
}

fn is_reachable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";
        for (lines, expected) in [
            ("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n", Some(("eth0", "192.0.2.1"))),
            ("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n", None),
            ("a\t00000000\t00000000\t0001\nb\t00000000\t0100000A\t0003\n", Some(("b", "10.0.0.1"))),
            ("", None),
            ("broken\n", None),
            ("eth0\t00000000\tx\t0003\n", None),
        ] {
            let found = default_route(&format!("{head}{lines}"));
            let expected = expected.map(|(name, address)| (name.to_owned(), address.parse().unwrap()));
            // The table is that of a little-endian machine, as all that the product is built for are.
            assert_eq!(found, expected, "{lines:?}");
        }
    }

    #[test]
    fn servers() {
        for (text, expected, left_out) in [
            ("nameserver 10.0.0.1\nnameserver  2001:db8::1 \n", &["10.0.0.1", "2001:db8::1"][..], false),
            ("nameserver 127.0.0.53\noptions edns0\n", &[], true),
            ("nameserver ::1\nnameserver 9.9.9.9\n", &["9.9.9.9"], true),
            ("nameserver fe80::1%eth0\nnameserver fe80::1\n", &[], true),
            ("# nameserver 9.9.9.9\nnameserver\nnameserverx 1.1.1.1\n", &[], false),
        ] {
            let expected: Vec<IpAddr> = expected.iter().map(|server| server.parse().unwrap()).collect();
            assert_eq!(nameservers(text), (expected, left_out), "{text:?}");
        }
    }
}
