//! Which host a registry's name means, and whether it speaks TLS.

use fetch::{Client, Method, Request, Settings};
use oci::reference::DEFAULT_REGISTRY;
use registry::{Error, Origin, Result};

/// Where docker.io answers.
const DOCKER_HOST: &str = "registry-1.docker.io";

/// What a person said of TLS for a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Nothing: it is spoken and checked. A registry on this machine itself may do without, as with docker.
    #[default]
    Usual,
    /// It is spoken and checked, everywhere.
    Required,
    /// Any certificate will do, and none.
    Unchecked,
}

/// Where a registry answers.
///
/// There is no way from https to http but for a host that this was said of: whoever could break a connection could else read
/// what follows (CVE-2014-5277).
///
/// # Errors
/// [`Error::Address`]; what a first request to a registry without TLS meets.
pub fn endpoint(registry: &str, tls: Tls, settings: &Settings) -> Result<Origin> {
    let host = if registry == DEFAULT_REGISTRY { DOCKER_HOST } else { registry };
    let secure = Origin::of_registry(host, true)?;
    let may_be_plain = match tls {
        Tls::Required => false,
        Tls::Unchecked => true,
        Tls::Usual => is_this_machine(&secure),
    };
    if !may_be_plain {
        return Ok(secure);
    }
    let failed = |source| Error::Fetch { what: format!("registry {registry}"), source };
    // Nothing is shown yet, so any certificate will do to see that there is TLS; one that cannot be trusted is no reason to do
    // without.
    let mut any = settings.clone();
    any.trust.any_certificate = true;
    let client = Client::new(&any).map_err(failed)?;
    let url = secure.at("/v2/").to_string();
    match client.send(Request::new(Method::Head, &url)) {
        Ok(_) => Ok(secure),
        Err(fetch::Error::Tls { .. } | fetch::Error::Protocol { .. } | fetch::Error::Connection { .. }) => {
            // Port 80 where none was named.
            Origin::of_registry(host, false)
        }
        Err(source) => Err(failed(source)),
    }
}

/// Whether nothing that is sent there leaves the machine.
fn is_this_machine(origin: &Origin) -> bool {
    origin.host == "localhost" || origin.address().is_some_and(|address| address.is_loopback())
}
