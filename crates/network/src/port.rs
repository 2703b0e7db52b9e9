//! Ports that are published: docker's grammar of `-p` and `--expose`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most ports that one container publishes or exposes: each is a socket of the program that connects it.
pub const MAX_PORTS: usize = 4096;

/// Where a port is published unless an address is named. Docker's is every address of the host, which opens what was
/// meant for this machine to everybody who can reach it.
const DEFAULT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Ports from first to last.
type Range = (u16, u16);

/// One `-p`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publish {
    /// The host's address; 127.0.0.1 where none is named.
    pub address: Option<IpAddr>,
    /// The host's ports; free ones where none are named.
    pub host: Option<Range>,
    /// The container's.
    pub container: Range,
    /// Of both.
    pub protocol: Protocol,
}

impl Publish {
    /// The address that the port is published on.
    #[must_use]
    pub fn host_address(&self) -> IpAddr {
        self.address.unwrap_or(DEFAULT_ADDRESS)
    }
}

/// One `--expose`, or one of the image's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// The container's ports.
    pub container: Range,
    /// Their protocol.
    pub protocol: Protocol,
}

/// One port of the host that leads to one of the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The container's port.
    pub container_port: u16,
    /// Of both.
    pub protocol: Protocol,
    /// The host's address.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
}

impl FromStr for Publish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |reason| Error::value("--publish", text, reason);
        let (ports, protocol) = protocol(text).map_err(bad)?;
        let (address, ports) = address(ports).map_err(bad)?;
        let (host, container) = match ports.rsplit_once(':') {
            Some((host, container)) => (Some(host).filter(|host| !host.is_empty()), container),
            None => (None, ports),
        };
        let container = range(container).ok_or_else(|| bad(GRAMMAR))?;
        if container.0 == 0 {
            return Err(bad("the container has no port 0"));
        }
        let host = match host {
            // As docker has it: a free one.
            None | Some("0") => None,
            Some(host) => Some(range(host).ok_or_else(|| bad(GRAMMAR))?),
        };
        let length = |range: Range| range.1 - range.0;
        if host
            .is_some_and(|host| host.0 == 0 || (length(host) != length(container) && length(container) != 0))
        {
            return Err(bad("both ranges must have the same length"));
        }
        Ok(Self { address, host, container, protocol })
    }
}

const GRAMMAR: &str = "use [[ADDRESS:][PORT[-PORT]]:]PORT[-PORT][/tcp|/udp]";

impl FromStr for Exposed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |reason| Error::value("--expose", text, reason);
        let (ports, protocol) = protocol(text).map_err(bad)?;
        let container = range(ports).filter(|range| range.0 > 0);
        Ok(Self { container: container.ok_or_else(|| bad("use PORT[-PORT][/tcp|/udp]"))?, protocol })
    }
}

fn protocol(text: &str) -> std::result::Result<(&str, Protocol), &'static str> {
    match text.rsplit_once('/') {
        None => Ok((text, Protocol::Tcp)),
        Some((ports, word)) => match word.to_ascii_lowercase().as_str() {
            "tcp" => Ok((ports, Protocol::Tcp)),
            "udp" => Ok((ports, Protocol::Udp)),
            "sctp" => Err("sctp is not there yet: pasta carries tcp and udp"),
            _ => Err(GRAMMAR),
        },
    }
}

/// The address in front of the ports, where there is one: IPv6 in brackets.
fn address(text: &str) -> std::result::Result<(Option<IpAddr>, &str), &'static str> {
    const BAD: &str = "the address is none: use 127.0.0.1, 0.0.0.0, [::1] and the like";
    let (address, rest) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(BAD)?;
        (address, rest.strip_prefix(':').ok_or(GRAMMAR)?)
    } else {
        match text.split(':').count() {
            1 | 2 => return Ok((None, text)),
            3 => text.split_once(':').expect("three parts have two colons"),
            _ => return Err(GRAMMAR),
        }
    };
    if address.is_empty() {
        return Ok((None, rest));
    }
    Ok((Some(address.parse().map_err(|_| BAD)?), rest))
}

fn range(text: &str) -> Option<Range> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last),
    }
}

struct Ports(Range);

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.0;
        if first == last { write!(formatter, "{first}") } else { write!(formatter, "{first}-{last}") }
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_address() {
            IpAddr::V6(address) => write!(formatter, "[{address}]:")?,
            IpAddr::V4(address) => write!(formatter, "{address}:")?,
        }
        if let Some(host) = self.host {
            write!(formatter, "{}", Ports(host))?;
        }
        write!(formatter, ":{}/{}", Ports(self.container), self.protocol)
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ports(self.container), self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish() {
        for (text, expected) in [
            ("80", Some("127.0.0.1::80/tcp")),
            ("0:80", Some("127.0.0.1::80/tcp")),
            ("8080:80", Some("127.0.0.1:8080:80/tcp")),
            ("8080:80/UDP", Some("127.0.0.1:8080:80/udp")),
            ("0.0.0.0:8080:80", Some("0.0.0.0:8080:80/tcp")),
            ("10.0.0.1::80", Some("10.0.0.1::80/tcp")),
            (":8080:80", Some("127.0.0.1:8080:80/tcp")),
            ("[::1]:8080:80", Some("[::1]:8080:80/tcp")),
            ("[::]::53/udp", Some("[::]::53/udp")),
            ("8000-8002:80-82", Some("127.0.0.1:8000-8002:80-82/tcp")),
            ("8000-8010:80", Some("127.0.0.1:8000-8010:80/tcp")),
            ("80-82", Some("127.0.0.1::80-82/tcp")),
            ("8000-8001:80-82", None),
            ("8002-8000:80", None),
            ("0", None),
            ("x", None),
            ("", None),
            ("80:", None),
            ("+80", None),
            ("65536", None),
            ("80/sctp", None),
            ("80/", None),
            ("localhost:80:80", None),
            ("::1:80:80", None),
            ("[::1]80", None),
            ("[::1:80", None),
            ("1.2.3:80:80", None),
            ("0-1:80-81", None),
        ] {
            let found = text.parse::<Publish>().ok().map(|publish| publish.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn exposed() {
        for (text, expected) in [
            ("80", Some("80/tcp")),
            ("53/udp", Some("53/udp")),
            ("80-82", Some("80-82/tcp")),
            ("0", None),
            ("a", None),
            ("1:2", None),
        ] {
            assert_eq!(
                text.parse::<Exposed>().ok().map(|port| port.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        }
    }
}
