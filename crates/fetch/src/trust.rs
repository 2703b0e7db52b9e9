//! Whom a TLS connection trusts, and as whom it speaks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::error::{Error, Result};

/// Where distributions keep the roots of their hosts; the first that is there is taken.
const BUNDLES: [&str; 6] = [
    // Debian, Ubuntu, Alpine, Arch, Gentoo
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE
    "/etc/ssl/ca-bundle.pem",
    // others, by OpenSSL's habit
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/cert.pem",
];
/// Most bytes of a file of certificates: a host's bundle has 0.3 MB.
const MAX_FILE: u64 = 16 << 20;

/// Whom a server's certificate may come from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Roots {
    /// The host's own bundle, or this file in its place.
    pub bundle: Option<PathBuf>,
    /// More, as the bytes of PEM files with where they came from.
    pub more: Vec<(String, Vec<u8>)>,
}

/// As whom a client speaks (mTLS).
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where it came from, for messages.
    pub path: String,
    /// The chain of certificates, PEM.
    pub certificates: Vec<u8>,
    /// The key, PEM.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identity").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What TLS connections of a client go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whom a server's certificate may come from.
    pub roots: Roots,
    /// As whom the client speaks.
    pub identity: Option<Identity>,
    /// Take any certificate: whoever sits between reads and changes all. A person said so.
    pub any_certificate: bool,
}

impl Trust {
    /// What rustls takes. Reads the bundle: some milliseconds.
    pub(crate) fn configure(&self) -> Result<TlsConfig> {
        let mut builder = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .disable_verification(self.any_certificate);
        if !self.any_certificate {
            builder = builder.root_certs(RootCerts::new_with_certs(&self.roots.read()?));
        }
        if let Some(identity) = &self.identity {
            builder = builder.client_cert(Some(identity.parse()?));
        }
        Ok(builder.build())
    }
}

impl Roots {
    fn read(&self) -> Result<Vec<Certificate<'static>>> {
        let mut all = Vec::new();
        let own = self.bundle.as_deref();
        for path in own.into_iter().chain(BUNDLES.iter().map(Path::new).filter(|_| own.is_none())) {
            let shown = path.display().to_string();
            let bytes = files::read_named_file(path, MAX_FILE)
                .map_err(|error| Error::Certificates { path: shown.clone(), reason: files::chain(&error) })?;
            match bytes {
                Some(bytes) => {
                    all.extend(certificates(&shown, &bytes)?);
                    break;
                }
                None if own.is_some() => {
                    return Err(Error::Certificates { path: shown, reason: "it is not there".to_owned() });
                }
                None => {}
            }
        }
        for (path, bytes) in &self.more {
            all.extend(certificates(path, bytes)?);
        }
        Ok(all)
    }
}

impl Identity {
    fn parse(&self) -> Result<ClientCert> {
        let chain = certificates(&self.path, &self.certificates)?;
        let key = PrivateKey::from_pem(&self.key)
            .map_err(|error| Error::Certificates { path: self.path.clone(), reason: error.to_string() })?;
        Ok(ClientCert::new_with_certs(&chain, key))
    }
}

/// All certificates of a PEM file; one that has none was meant to have some.
fn certificates(path: &str, bytes: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let failed = |reason: String| Error::Certificates { path: path.to_owned(), reason };
    let mut all = Vec::new();
    for item in parse_pem(bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
            all.push(certificate);
        }
    }
    if all.is_empty() { Err(failed("there is no certificate in it".to_owned())) } else { Ok(all) }
}
