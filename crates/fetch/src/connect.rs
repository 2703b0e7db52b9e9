//! From a name to a connection, by our own resolver.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use std::net::SocketAddr;

use crate::error::Error;
use crate::name::Names;
use crate::reach::Reach;

/// Resolves names for one client.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub names: Names,
    pub reach: Reach,
}

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            Some("socks5" | "socks4" | "socks4a" | "socks") => 1080,
            _ => 80,
        });
        let named = |reason| carried(Error::Name { host: host.to_owned(), reason });
        let mut found = self.empty();
        for address in self.names.resolve(host).map_err(named)? {
            // All of them: the one that is taken is not ours to choose.
            if !self.reach.allows(address) {
                return Err(carried(Error::Reach { host: host.to_owned(), address }));
            }
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() {
            return Err(named("no such name".to_owned()));
        }
        Ok(found)
    }
}

/// Our own error on its way through the library.
fn carried(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}
