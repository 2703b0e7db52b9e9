//! The client, its requests, and what may go wrong on the way.

use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::Duration;

use ureq::config::{AutoHeaderValue, Config};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector, TcpConnector};
use ureq::{Agent, SendBody, http};

use crate::answer::Answer;
use crate::connect::Lookup;
use crate::error::{Error, Result};
use crate::name::Names;
use crate::reach::Reach;
use crate::trust::Trust;

/// Most bytes of all headers of an answer.
const MAX_HEADERS: usize = 64 << 10;
/// Longest address in bytes.
const MAX_ADDRESS: usize = 16 << 10;
/// Bytes that are read from a connection at a time.
const INPUT: usize = 256 << 10;
/// The same of what is written.
const OUTPUT: usize = 128 << 10;

/// How requests are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `User-Agent` says.
    pub agent: String,
    /// Whom TLS connections trust.
    pub trust: Trust,
    /// Where requests may go.
    pub reach: Reach,
    /// Where names are looked up.
    pub names: Names,
    /// Proxies.
    pub proxies: Proxies,
    /// How long a connection, with its TLS, may take to be made.
    pub connect: Duration,
    /// How long nothing may come or go on one.
    pub idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            agent: format!("brig/{}", env!("CARGO_PKG_VERSION")),
            trust: Trust::default(),
            reach: Reach::default(),
            names: Names::default(),
            proxies: Proxies::default(),
            connect: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        }
    }
}

/// Proxies as people have them in `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; the caller reads those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` addresses.
    pub http: Option<String>,
    /// For `https` addresses.
    pub https: Option<String>,
    /// Hosts without one, separated by commas: names with all below them, addresses; `*` is all.
    pub none: String,
}

/// How a request acts on its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads all but the body.
    Head,
    /// Adds.
    Post,
    /// Writes.
    Put,
    /// Writes a part.
    Patch,
    /// Removes.
    Delete,
}

/// What a request carries.
#[derive(Default)]
pub enum Body<'a> {
    /// Nothing.
    #[default]
    None,
    /// These bytes.
    Bytes(&'a [u8]),
    /// As many bytes of a stream; one that ends before breaks the connection.
    Stream(&'a mut dyn Read, u64),
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => formatter.write_str("None"),
            Self::Bytes(bytes) => write!(formatter, "Bytes({})", bytes.len()),
            Self::Stream(_, length) => write!(formatter, "Stream({length})"),
        }
    }
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    method: Method,
    url: &'a str,
    headers: Vec<(&'a str, String)>,
    body: Body<'a>,
}

impl<'a> Request<'a> {
    /// A request without headers and body. `url` is absolute.
    #[must_use]
    pub fn new(method: Method, url: &'a str) -> Self {
        Self { method, url, headers: Vec::new(), body: Body::None }
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }
}

/// Sends requests, and keeps connections for the next.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    plain: Agent,
    /// Made with the first `https` request: the roots take milliseconds to read.
    secure: OnceLock<Agent>,
}

impl Client {
    /// Makes a client; nothing is opened before the first request.
    ///
    /// # Errors
    /// [`Error::Proxy`].
    pub fn new(settings: &Settings) -> Result<Self> {
        let config = common(settings, settings.proxies.http.as_deref())?;
        let plain = agent(config.build(), settings);
        // So that a bad one is known now.
        common(settings, settings.proxies.https.as_deref())?;
        Ok(Self { settings: settings.clone(), plain, secure: OnceLock::new() })
    }

    /// Sends a request. Any status is an answer, a redirect too.
    ///
    /// # Errors
    /// Every one of [`Error`].
    pub fn send(&self, request: Request<'_>) -> Result<Answer> {
        let bad = |reason: String| Error::Address { url: shorten(request.url), reason };
        if request.url.len() > MAX_ADDRESS {
            return Err(bad(format!("it is longer than {MAX_ADDRESS} bytes")));
        }
        let uri: http::Uri =
            request.url.parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("it names a user".to_owned()));
        }
        let host = uri.host().ok_or_else(|| bad("it names no host".to_owned()))?.to_owned();
        let agent = match uri.scheme_str() {
            Some("https") => self.secure()?,
            Some("http") => &self.plain,
            _ => return Err(bad("it is neither http nor https".to_owned())),
        };
        let mut builder = http::Request::builder().method(request.method.name()).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let length = match &request.body {
            Body::None if matches!(request.method, Method::Post | Method::Put | Method::Patch) => Some(0),
            Body::None => None,
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Stream(_, length) => Some(*length),
        };
        if let Some(length) = length {
            builder = builder.header("content-length", length);
        }
        let refused = |error: http::Error| bad(error.to_string());
        let (mut nothing, mut bytes, mut stream): (_, _, Exactly<'_>);
        let reader: &mut dyn Read = match request.body {
            Body::None => {
                nothing = io::empty();
                &mut nothing
            }
            Body::Bytes(given) => {
                bytes = given;
                &mut bytes
            }
            Body::Stream(given, length) => {
                stream = Exactly { reader: given, left: length };
                &mut stream
            }
        };
        let answer = if length.is_none() {
            agent.run(builder.body(SendBody::none()).map_err(refused)?)
        } else {
            agent.run(builder.body(SendBody::from_reader(reader)).map_err(refused)?)
        };
        let answer = answer.map_err(|error| failed(&host, error))?;
        let (parts, body) = answer.into_parts();
        let headers = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        let headers = headers.collect();
        Ok(Answer::new(parts.status.as_u16(), headers, host, Box::new(body.into_reader())))
    }

    fn secure(&self) -> Result<&Agent> {
        if let Some(agent) = self.secure.get() {
            return Ok(agent);
        }
        let config = common(&self.settings, self.settings.proxies.https.as_deref())?;
        let config = config.tls_config(self.settings.trust.configure()?).build();
        Ok(self.secure.get_or_init(|| agent(config, &self.settings)))
    }
}

/// A stream that has to have as many bytes: of one that ended early the library would wait for the rest for ever.
struct Exactly<'a> {
    reader: &'a mut dyn Read,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match self.reader.read(&mut buffer[..most])? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "what is sent ends before its length")),
            count => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}

type Builder = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

/// What both kinds of connections have.
fn common(settings: &Settings, proxy: Option<&str>) -> Result<Builder> {
    let proxy = proxy.filter(|proxy| !proxy.is_empty()).map(|text| {
        let refused =
            |error: ureq::Error| Error::Proxy { proxy: without_user(text), reason: error.to_string() };
        let plain = ureq::Proxy::new(text).map_err(refused)?;
        let mut builder = ureq::Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
        if let Some(user) = plain.username() {
            builder = builder.username(user).password(plain.password().unwrap_or_default());
        }
        for host in settings.proxies.none.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            builder = builder.no_proxy(host);
        }
        builder.build().map_err(refused)
    });
    Ok(Config::builder()
        .proxy(proxy.transpose()?)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(AutoHeaderValue::Provided(settings.agent.clone().into()))
        // A body is what its digest says, byte by byte.
        .accept_encoding(AutoHeaderValue::None)
        .accept(AutoHeaderValue::None)
        .max_response_header_size(MAX_HEADERS)
        .input_buffer_size(INPUT)
        .output_buffer_size(OUTPUT)
        .timeout_connect(Some(settings.connect))
        .timeout_per_read(Some(settings.idle))
        .timeout_per_write(Some(settings.idle)))
}

fn agent(config: Config, settings: &Settings) -> Agent {
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(RustlsConnector::default());
    let lookup = Lookup { names: settings.names.clone(), reach: settings.reach };
    Agent::with_parts(config, connector, lookup)
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What an error of the library means to us.
fn failed(host: &str, error: ureq::Error) -> Error {
    let host = host.to_owned();
    match error {
        ureq::Error::Other(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => Error::Protocol { host, reason: other.to_string() },
        },
        ureq::Error::Io(error) => broken(&host, error),
        ureq::Error::Timeout(what) => Error::Timeout { host, what: what.to_string() },
        ureq::Error::Tls(reason) => Error::Tls { host, reason: reason.to_owned() },
        ureq::Error::Rustls(error) => Error::Tls { host, reason: error.to_string() },
        ureq::Error::Pem(error) => Error::Tls { host, reason: error.to_string() },
        ureq::Error::HostNotFound => Error::Name { host, reason: "no such name".to_owned() },
        ureq::Error::ConnectProxyFailed(reason) => {
            Error::Protocol { host, reason: format!("the proxy says {reason}") }
        }
        other => Error::Protocol { host, reason: other.to_string() },
    }
}

/// The same of an error on a connection that stood already.
pub(crate) fn broken(host: &str, error: io::Error) -> Error {
    let host = host.to_owned();
    if error.kind() == io::ErrorKind::TimedOut {
        return Error::Timeout { host, what: "nothing came or went".to_owned() };
    }
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if is_tls {
        return Error::Tls { host, reason: error.to_string() };
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        Some(ureq::Error::Timeout(what)) => Error::Timeout { host, what: what.to_string() },
        Some(ureq::Error::Rustls(inner)) => Error::Tls { host, reason: inner.to_string() },
        _ => Error::Connection { host, source: error },
    }
}

/// The start of an address, for messages.
fn shorten(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

/// A proxy without the name and password that its address may hold.
fn without_user(proxy: &str) -> String {
    let (scheme, rest) = proxy.split_once("://").unwrap_or(("", proxy));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    shorten(&if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        for (proxy, expected) in [
            ("http://a:b@proxy:3128", "http://proxy:3128"),
            ("proxy:3128", "proxy:3128"),
            ("a:p@ss@proxy", "proxy"),
        ] {
            assert_eq!(without_user(proxy), expected);
        }
    }

    #[test]
    fn addresses_that_say_two_things_are_refused() {
        let client = Client::new(&Settings::default()).unwrap();
        for url in
            ["", "/v2/", "ftp://a/", "http://good@evil/", "http:///x", "https://a b/", "file:///etc/passwd"]
        {
            let error = client.send(Request::new(Method::Get, url)).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{url}: {error:?}");
        }
    }
}
