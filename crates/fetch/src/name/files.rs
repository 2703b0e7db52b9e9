//! hosts(5) and resolv.conf(5), as text.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Most servers that are asked, as glibc (`MAXNS`).
const MAX_SERVERS: usize = 3;
/// Most domains of `search`, as glibc before 2.26 had it.
const MAX_SEARCH: usize = 6;
/// Port of DNS.
const PORT: u16 = 53;

/// The addresses that the host's own list has for a name.
pub(super) fn listed(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name)) {
            found.push(address);
        }
    }
    found
}

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    pub addresses: Vec<SocketAddr>,
    pub search: Vec<String>,
    /// Dots that a name has for it to be asked for as it is first.
    pub dots: usize,
    pub timeout: Duration,
    pub attempts: u32,
}

impl Servers {
    pub(super) fn parse(text: &str) -> Self {
        let mut servers = Self {
            addresses: Vec::new(),
            search: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            if line.starts_with(['#', ';']) {
                continue;
            }
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if servers.addresses.len() < MAX_SERVERS => {
                    // A scope (`fe80::1%eth0`) names an interface, which only the kernel can count.
                    servers.addresses.extend(words.next().and_then(|word| word.parse().ok()).map(at_port));
                }
                // The last of the two is in force.
                Some("search" | "domain") => {
                    let domain = |word: &str| word.trim_matches('.').to_ascii_lowercase();
                    servers.search =
                        words.map(domain).filter(|word| !word.is_empty()).take(MAX_SEARCH).collect();
                }
                Some("options") => words.for_each(|word| servers.option(word)),
                _ => {}
            }
        }
        if servers.addresses.is_empty() {
            servers.addresses.push(at_port(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        servers
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "ndots" => self.dots = usize::try_from(value.min(15)).unwrap_or(15),
            "timeout" => self.timeout = Duration::from_secs(u64::from(value.clamp(1, 30))),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The names to ask for, in order. One that ends in a dot is whole.
    pub(super) fn candidates(&self, name: &str, is_whole: bool) -> Vec<String> {
        let own = name.to_owned();
        if is_whole {
            return vec![own];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{domain}"));
        if name.matches('.').count() >= self.dots {
            std::iter::once(own).chain(searched).collect()
        } else {
            searched.chain([own]).collect()
        }
    }
}

fn at_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_found_in_any_case() {
        let text = "# 1.1.1.1 web\n10.0.0.1 Web.example web # alias\n::1 web\nnonsense web\n10.0.0.2 other\n";
        let expected: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(listed(text, "web"), expected);
        assert_eq!(listed(text, "web.example"), expected[..1]);
        assert!(listed(text, "alias").is_empty());
    }

    #[test]
    fn servers_and_options() {
        let servers = Servers::parse(
            "; x\nnameserver 10.0.0.1\nnameserver ::1\nnameserver bad\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n\
             domain old\nsearch a.example B.example.\noptions ndots:2 timeout:99 attempts:0 edns0 rotate\n",
        );
        assert_eq!(servers.addresses.len(), 3);
        assert_eq!(servers.addresses[1], "[::1]:53".parse().unwrap());
        assert_eq!(servers.search, ["a.example", "b.example"]);
        assert_eq!((servers.dots, servers.timeout.as_secs(), servers.attempts), (2, 30, 1));
        assert_eq!(Servers::parse("").addresses, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn whole_names_come_first_where_they_have_dots() {
        let servers = Servers::parse("search x\n");
        for (name, whole, expected) in
            [("a", false, vec!["a.x", "a"]), ("a.b", false, vec!["a.b", "a.b.x"]), ("a", true, vec!["a"])]
        {
            assert_eq!(servers.candidates(name, whole), expected, "{name}");
        }
    }
}
