//! What a container needs to reach the package registries as this machine does.
//!
//! All of it is taken from the machine at run time: nothing here names a registry.

use std::path::Path;

/// Where Debian's programs look for the authorities they trust.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The machine's configuration of its package managers. No user's: those may hold tokens.
const FILES: [&str; 2] = ["/etc/pip.conf", "/etc/npmrc"];
const VARIABLES: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
];

/// Flags of `brig run`.
pub(crate) fn flags() -> Vec<String> {
    let mut flags = vec!["--network".to_owned(), "host".to_owned()];
    let authorities = std::env::var("SSL_CERT_FILE").unwrap_or_else(|_| AUTHORITIES.to_owned());
    let files = FILES.iter().map(|file| ((*file).to_owned(), *file)).chain([(authorities, AUTHORITIES)]);
    for (source, target) in files.filter(|(source, _)| Path::new(source).is_file()) {
        flags.extend(["--volume".to_owned(), format!("{source}:{target}:ro")]);
    }
    // npm brings authorities of its own and is told of more.
    flags.extend(["--env".to_owned(), format!("NODE_EXTRA_CA_CERTS={AUTHORITIES}")]);
    for name in VARIABLES {
        if let Ok(value) = std::env::var(name) {
            flags.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
    }
    flags
}
