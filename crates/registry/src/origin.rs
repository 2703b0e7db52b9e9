//! Where a request goes: scheme, host and port, which is what credentials are bound to (RFC 6454).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::error::{Error, Result};

/// Longest address in bytes.
const MAX_ADDRESS: usize = 8 << 10;

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Whether TLS is spoken.
    pub secure: bool,
    /// A name in lower case, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// An absolute address: an origin, and the path with its query, which begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it is.
    pub origin: Origin,
    /// What is asked for there.
    pub path: String,
}

impl Origin {
    /// The origin of a registry as image names have it, `host[:port]`.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn of_registry(registry: &str, secure: bool) -> Result<Self> {
        authority(registry, secure).ok_or_else(|| bad(registry, "it is no host with an optional port"))
    }

    /// Its host as an address, where it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// An address there.
    #[must_use]
    pub fn at(&self, path: impl Into<String>) -> Address {
        Address { origin: self.clone(), path: path.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.secure { "https://" } else { "http://" })?;
        if self.host.contains(':') {
            write!(formatter, "[{}]", self.host)?;
        } else {
            formatter.write_str(&self.host)?;
        }
        if self.port == default_port(self.secure) { Ok(()) } else { write!(formatter, ":{}", self.port) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.origin, self.path)
    }
}

impl Address {
    /// Parses an absolute `http` or `https` address. What two readers could read in two ways is refused: a user, a backslash, a
    /// control character, a blank, anything but ASCII. A fragment is cut off.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn parse(text: &str) -> Result<Self> {
        check(text)?;
        let (secure, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err(bad(text, "it is neither http nor https")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let origin = authority(host, secure).ok_or_else(|| bad(text, "it names no host that is plain"))?;
        Ok(Self { origin, path: rooted(path) })
    }

    /// What a `Location` means that came from this address (RFC 9110 section 10.2.2).
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn join(&self, location: &str) -> Result<Self> {
        check(location)?;
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.origin.secure { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let head = location.split(['/', '?', '#']).next().unwrap_or_default();
        if head.contains(':') {
            return Self::parse(location);
        }
        if location.starts_with('/') {
            return Ok(self.origin.at(rooted(location)));
        }
        if location.is_empty() || location.starts_with('#') {
            return Ok(self.clone());
        }
        let own = self.path.split('?').next().unwrap_or_default();
        if location.starts_with('?') {
            return Ok(self.origin.at(rooted(&format!("{own}{location}"))));
        }
        let directory = own.rfind('/').map_or("/", |at| &own[..=at]);
        Ok(self.origin.at(rooted(&format!("{directory}{location}"))))
    }

    /// The same with another parameter in its query.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let sign = if self.path.contains('?') { '&' } else { '?' };
        self.origin.at(format!("{}{sign}{name}={}", self.path, escape(value)))
    }
}

/// A value as a query has it: all but RFC 3986's unreserved characters in per cents.
#[must_use]
pub(crate) fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn check(text: &str) -> Result<()> {
    if text.len() > MAX_ADDRESS {
        return Err(bad(text, "it is longer than 8 KiB"));
    }
    if text
        .bytes()
        .any(|byte| !(0x21..0x7f).contains(&byte) || matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`'))
    {
        return Err(bad(text, "it holds what no address may"));
    }
    Ok(())
}

/// `host[:port]`, without a user.
fn authority(text: &str, secure: bool) -> Option<Origin> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let address: Ipv6Addr = host.parse().ok()?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
        (address.to_string(), port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if !host.split('.').all(label) || host.len() > 253 {
            return None;
        }
        (host.to_ascii_lowercase(), port)
    };
    let port = match port {
        None | Some("") => default_port(secure),
        Some(port) if port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok()?
        }
        Some(_) => return None,
    };
    (port != 0).then_some(Origin { secure, host, port })
}

/// A path from the root, without a fragment and without dots (RFC 3986 section 5.2.4).
fn rooted(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut parts: Vec<&str> = Vec::new();
    let mut ends_in_directory = true;
    for part in path.trim_start_matches('/').split('/') {
        ends_in_directory = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut text = format!("/{}", parts.join("/"));
    if ends_in_directory && !text.ends_with('/') {
        text.push('/');
    }
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    text
}

fn bad(text: &str, reason: &str) -> Error {
    let address = text.chars().take(200).collect::<String>().escape_debug().to_string();
    Error::Address { address, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read_in_one_way() {
        for (text, expected) in [
            ("https://Reg.Example", Some("https://reg.example/")),
            ("HTTPS://reg.example:443/a", Some("https://reg.example/a")),
            ("http://reg.example:443/a", Some("http://reg.example:443/a")),
            ("http://[::1]:5000/v2/?a=b#c", Some("http://[::1]:5000/v2/?a=b")),
            ("https://reg.example?a=b", Some("https://reg.example/?a=b")),
            ("https://a/b/../../c/./d/..", Some("https://a/c/")),
            ("https://a#@good/", Some("https://a/")),
            ("https://good@evil/", None),
            ("https://good:x@evil/", None),
            ("https://good\\@evil/", None),
            ("https://good%00.evil/", None),
            ("https://good%2eevil/", None),
            ("https:/evil/", None),
            ("https:evil", None),
            ("//evil/", None),
            ("ftp://evil/", None),
            ("https:///evil", None),
            ("https://a:0/", None),
            ("https://a:99999/", None),
            ("https://a:+1/", None),
            ("https://[::1/", None),
            ("https://[::1]x/", None),
            ("https://é.example/", None),
            ("https://a/ b", None),
            ("https://a/\r\nX: y", None),
            ("", None),
        ] {
            assert_eq!(
                Address::parse(text).ok().map(|address| address.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn locations_go_by_the_address_that_they_came_from() {
        let base = Address::parse("https://reg.example:5000/v2/a/blobs/uploads/?x=y").unwrap();
        for (location, expected) in [
            ("/v2/b", Some("https://reg.example:5000/v2/b")),
            ("c?d=e", Some("https://reg.example:5000/v2/a/blobs/uploads/c?d=e")),
            ("../../../../../c", Some("https://reg.example:5000/c")),
            ("?s=1", Some("https://reg.example:5000/v2/a/blobs/uploads/?s=1")),
            ("", Some("https://reg.example:5000/v2/a/blobs/uploads/?x=y")),
            ("//evil/x", Some("https://evil/x")),
            ("///evil/x", None),
            ("/\\evil", None),
            ("http://evil/", Some("http://evil/")),
            ("http:evil", None),
            ("javascript:x", None),
            ("https://reg.example:5000@evil/", None),
            ("/a\nb", None),
        ] {
            assert_eq!(
                base.join(location).ok().map(|address| address.to_string()).as_deref(),
                expected,
                "{location:?}"
            );
        }
    }

    #[test]
    fn queries_take_any_value() {
        let address = Address::parse("https://a/token").unwrap();
        let address = address.with("scope", "repository:a/b:pull,push").with("n", "é&=");
        assert_eq!(address.path, "/token?scope=repository%3Aa%2Fb%3Apull%2Cpush&n=%C3%A9%26%3D");
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_what_parses_alike(text in "(https?://)?[a-zA-Z0-9:@./?#\\[\\]%\\\\ -]{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address);
            }
        }
    }
}
