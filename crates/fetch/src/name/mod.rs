//! Names of hosts to addresses: literals, `localhost`, the host's own list, then DNS.
//!
//! Never `getaddrinfo(3)`: in a static glibc binary it loads name service modules at run time.

mod dns;
mod files;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use self::files::Servers;

/// Longest name in bytes, RFC 1035 section 2.3.4.
const MAX_NAME: usize = 253;
/// Most bytes of `/etc/hosts` that are read.
const MAX_HOSTS: u64 = 4 << 20;
/// The same of `resolv.conf`.
const MAX_SERVERS: u64 = 64 << 10;
/// Most addresses that a name has for us.
const MAX_ADDRESSES: usize = 16;

/// Where names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The host's own list, hosts(5).
    pub hosts: PathBuf,
    /// Which servers to ask, resolv.conf(5).
    pub servers: PathBuf,
}

impl Default for Names {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), servers: "/etc/resolv.conf".into() }
    }
}

impl Names {
    /// The addresses of a host, those that there is a route to first; at least one.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        check(host)?;
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let mut found = self.listed(&name)?;
        if found.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
            // RFC 6761 section 6.3.
            found = vec![IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
        }
        if found.is_empty() {
            found = self.asked(&name, host.ends_with('.'))?;
        }
        let mut seen = HashSet::new();
        found.retain(|address| seen.insert(*address));
        found.sort_by_key(|address| !has_route(*address));
        found.truncate(MAX_ADDRESSES);
        Ok(found)
    }

    fn listed(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        Ok(files::listed(&read(&self.hosts, MAX_HOSTS)?, name))
    }

    fn asked(&self, name: &str, is_whole: bool) -> Result<Vec<IpAddr>, String> {
        let servers = Servers::parse(&read(&self.servers, MAX_SERVERS)?);
        let mut reason = "no such name".to_owned();
        for candidate in servers.candidates(name, is_whole) {
            match dns::ask(&servers, &candidate) {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
                Ok(_) => {}
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }
}

/// A file as text; one that is missing is empty.
fn read(path: &Path, limit: u64) -> Result<String, String> {
    let bytes = ::files::read_named_file(path, limit).map_err(|error| ::files::chain(&error))?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

/// Names as DNS and hosts files have them: nothing that could be a path, an option or a terminal's command.
fn check(host: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if host.is_empty() || host.len() > MAX_NAME + 1 || !host.bytes().all(is_plain) || host.contains("..") {
        return Err("it is no name of a host".to_owned());
    }
    // What is all digits and dots and no address was meant as one; a resolver of another kind would take `0x7f.1` for it.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err("it is neither an address nor a name".to_owned());
    }
    Ok(())
}

/// Whether the kernel knows a way there: connecting a datagram socket sends nothing.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind(SocketAddr::new(any, 0))
        .and_then(|socket| socket.connect(SocketAddr::new(address, 53)))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_localhost_need_no_server() {
        let names = Names { hosts: "/nonexistent".into(), servers: "/nonexistent".into() };
        for (host, expected) in
            [("192.0.2.1", vec!["192.0.2.1"]), ("[2001:db8::1]", vec!["2001:db8::1"]), ("::1", vec!["::1"])]
        {
            let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(names.resolve(host).unwrap(), expected, "{host}");
        }
        assert!(names.resolve("localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert!(names.resolve("a.LOCALHOST.").unwrap().iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        let names = Names { hosts: "/nonexistent".into(), servers: "/nonexistent".into() };
        for host in [
            "",
            "a b",
            "a/b",
            "a\n",
            "é.org",
            "1.2.3",
            "0177.1",
            "0x7f.0x1",
            "127.1",
            "a..b",
            &"x".repeat(300),
        ] {
            let error = names.resolve(host).unwrap_err();
            assert!(error.starts_with("it is n"), "{host}: {error}");
        }
    }
}
