//! To whom a registry may send us for a token.
//!
//! The realm of a challenge is the registry's to choose, and gets the password or the refresh token. Clients that sent them to
//! any realm handed them to whoever could answer once in a registry's place (CVE-2026-33540, CVE-2026-48978; the class of
//! CVE-2020-15157). So a realm is taken only where it belongs to the registry's own operator.

use crate::origin::Origin;

/// Registries whose tokens come from another domain: the registry's host, and who gives out its tokens.
const PAIRS: [(&str, &str); 4] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("index.docker.io", "auth.docker.io"),
    ("docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];
/// Domains under which strangers have names of their own, so that a common parent says nothing (from the public suffix list:
/// those with registries below them).
const SHARED: [&str; 22] = [
    "amazonaws.com",
    "appspot.com",
    "azurecr.io",
    "azurewebsites.net",
    "cloudapp.net",
    "co.jp",
    "co.uk",
    "com.au",
    "com.br",
    "com.cn",
    "cr.aws",
    "digitaloceanspaces.com",
    "duckdns.org",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "herokuspace.com",
    "nip.io",
    "onrender.com",
    "run.app",
    "sslip.io",
];

/// Whether credentials for a registry may be shown to a realm. `pairs` are those that a person configured, registry and realm.
#[must_use]
pub(crate) fn may_ask(registry: &Origin, realm: &Origin, pairs: &[(String, String)]) -> bool {
    if registry == realm {
        return true;
    }
    // Never more open than the registry itself.
    if registry.secure && !realm.secure {
        return false;
    }
    if !registry.secure {
        // Without TLS anybody answers in the registry's place: its own host, and no other.
        return registry.host == realm.host;
    }
    let is_pair = |(own, theirs): &(&str, &str)| *own == registry.host && *theirs == realm.host;
    if PAIRS.iter().any(|pair| is_pair(pair) && realm.port == 443)
        || pairs.iter().any(|(own, theirs)| is_pair(&(own, theirs)))
    {
        return true;
    }
    if registry.address().is_some() || realm.address().is_some() {
        return registry.host == realm.host;
    }
    // Another port of the host is another program, perhaps another person's: only of hosts that are named.
    registry.host == realm.host || have_one_owner(&registry.host, &realm.host)
}

/// Whether one name is below the other, or both are directly below a third that is not shared by strangers.
fn have_one_owner(one: &str, other: &str) -> bool {
    let is_below = |name: &str, parent: &str| {
        name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')) && is_owned(parent)
    };
    let parent = |name: &str| name.split_once('.').map(|(_, parent)| parent.to_owned());
    is_below(one, other)
        || is_below(other, one)
        || parent(one).is_some_and(|shared| Some(&shared) == parent(other).as_ref() && is_owned(&shared))
}

/// Whether a domain belongs to one operator: at least two labels, none of them a public suffix of two.
fn is_owned(domain: &str) -> bool {
    domain.contains('.') && !SHARED.contains(&domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Address;

    #[test]
    fn only_the_registrys_own_operator_sees_credentials() {
        let pairs = [("reg.corp".to_owned(), "login.other".to_owned())];
        for (registry, realm, expected) in [
            ("https://reg.example", "https://reg.example/token", true),
            ("https://reg.example", "http://reg.example/token", false),
            ("https://reg.example", "https://reg.example:8443/token", true),
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true),
            ("https://registry-1.docker.io", "https://auth.docker.io:8443/token", true),
            ("https://registry-1.docker.io", "https://auth.docker.io.evil/token", false),
            ("https://registry-1.docker.io", "https://evil.example/token", false),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("https://registry.corp.example", "https://corp.example/jwt", true),
            ("https://corp.example", "https://auth.corp.example/jwt", true),
            ("https://registry.corp.example", "https://auth.corp.example/jwt", true),
            ("https://registry.corp.example", "https://example/jwt", false),
            ("https://reg.example", "https://other.example/jwt", false),
            ("https://a.azurecr.io", "https://b.azurecr.io/oauth2/token", false),
            ("https://a.azurecr.io", "https://a.azurecr.io/oauth2/token", true),
            ("https://1.dkr.ecr.eu.amazonaws.com", "https://amazonaws.com/", false),
            ("https://a.co.uk", "https://b.co.uk/", false),
            ("https://reg.corp", "https://login.other/", true),
            ("https://reg.corp", "http://login.other/", false),
            ("https://reg.example", "https://169.254.169.254/", false),
            ("https://reg.example", "https://127.0.0.1/", false),
            ("https://10.0.0.1", "https://10.0.0.1:8443/", true),
            ("https://10.0.0.1", "https://10.0.0.2/", false),
            ("https://10.0.0.1", "https://11.0.0.1/", false),
            ("http://localhost:5000", "http://localhost:5001/auth", true),
            ("http://localhost:5000", "https://localhost:5001/auth", true),
            ("http://localhost:5000", "http://127.0.0.1:5001/auth", false),
            ("http://reg.corp.example", "http://auth.corp.example/", false),
        ] {
            let registry = Address::parse(registry).unwrap().origin;
            let realm = Address::parse(realm).unwrap().origin;
            assert_eq!(may_ask(&registry, &realm, &pairs), expected, "{registry} {realm}");
        }
    }
}
