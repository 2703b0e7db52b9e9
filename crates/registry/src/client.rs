//! One repository of a registry: what is read and written there.

use std::cell::RefCell;
use std::io::Read;
use std::time::Duration;

use fetch::{Answer, Body, Client, Method, Reach, Request, Settings};
use oci::image::{self, Descriptor, Index, MAX_MANIFEST, media};
use oci::{Digest, Reference};
use serde::Deserialize;

use crate::answers::{self, plain};
use crate::authorization::{Asking, Authorization};
use crate::challenge;
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::origin::{Address, Origin};

/// Most redirects that one request follows.
const MAX_REDIRECTS: usize = 5;
/// How often one request is tried.
const ATTEMPTS: u32 = 4;
/// The first pause between two; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest that a registry may ask us to wait.
const MAX_WAIT: u64 = 60;
/// Most bytes of a list of tags, a page.
const MAX_LIST: u64 = 16 << 20;
/// Most names of a list in all.
const MAX_NAMES: usize = 1 << 20;
/// Most pages of a list.
const MAX_PAGES: usize = 10_000;
/// What we take for a manifest, the newest first.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// How a registry is spoken to.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Connections: names, proxies, TLS.
    pub settings: Settings,
    /// Who the person is there.
    pub credentials: Option<Credentials>,
    /// Realms of other domains that a person allows, registry and realm.
    pub realms: Vec<(String, String)>,
}

/// What is done to a repository: tokens are asked for that allow no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads.
    Pull,
    /// Reads and writes.
    Push,
    /// Removes.
    Delete,
}

/// Which manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By a name that may lead elsewhere tomorrow.
    Tag(String),
    /// By its content.
    Digest(Digest),
}

impl Target {
    /// What an image's name asks for: its digest where it has one.
    #[must_use]
    pub fn of(reference: &Reference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Self::Digest(*digest),
            (None, tag) => Self::Tag(tag.unwrap_or(oci::reference::DEFAULT_TAG).to_owned()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => formatter.write_str(tag),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

/// A manifest or an index, its bytes as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its type, digest and size, which were checked.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A repository on a registry's host.
#[derive(Debug)]
pub struct Repository {
    origin: Origin,
    name: String,
    options: Options,
    /// For the registry itself.
    own: Client,
    /// For whom it sends us to.
    others: Client,
    authorization: RefCell<Authorization>,
}

impl Repository {
    /// A repository by its path there. Nothing is opened yet.
    ///
    /// # Errors
    /// [`Error::Fetch`] for settings that cannot be used.
    pub fn new(origin: Origin, name: &str, options: Options) -> Result<Self> {
        let failed = |source| Error::Fetch { what: format!("registry {origin}"), source };
        let own = Client::new(&options.settings).map_err(failed)?;
        // The client's certificate is for the registry; where it sends us to, nobody of this network need be.
        let mut settings = options.settings.clone();
        settings.trust.identity = None;
        if !is_inside(&origin, &options.settings) {
            settings.reach = Reach::Public;
        }
        let others = Client::new(&settings).map_err(failed)?;
        Ok(Self { origin, name: name.to_owned(), options, own, others, authorization: RefCell::default() })
    }

    /// The same with connections of its own, for another process: two that write to one would mix up.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn fresh(&self) -> Result<Self> {
        let fresh = Self::new(self.origin.clone(), &self.name, self.options.clone())?;
        fresh.authorization.replace(self.authorization.borrow().clone());
        Ok(fresh)
    }

    /// Where it is.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Its path there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a manifest or an index. Its digest is the one that was asked for, and its media type the one that it says.
    ///
    /// # Errors
    /// Every one of [`Error`].
    pub fn manifest(&self, target: &Target) -> Result<Document> {
        let what = format!("manifest `{target}` of {}/{}", self.origin, self.name);
        let answer =
            self.read(Method::Get, &format!("manifests/{target}"), &what, &[("accept", MANIFESTS)])?;
        let kind = answer.header("content-type").map(media_type).unwrap_or_default();
        let told = answer.header("docker-content-digest").map(str::to_owned);
        let bytes = answer
            .bytes(MAX_MANIFEST as u64)
            .map_err(|source| Error::Fetch { what: what.clone(), source })?;
        let expected = match target {
            Target::Digest(digest) => Some(*digest),
            Target::Tag(_) => told.as_deref().and_then(|told| told.parse::<Digest>().ok()),
        };
        let algorithm = expected.map_or(oci::Algorithm::Sha256, |digest| digest.algorithm());
        let (digest, _) = Digest::of_reader(algorithm, &mut &bytes[..]).map_err(Error::Input)?;
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(Error::Digest { what, expected: Box::new(expected), found: Box::new(digest) });
        }
        let listed = (media::is_manifest(&kind) || media::is_index(&kind)).then_some(kind.as_str());
        let document = image::parse_document(&bytes, listed)
            .map_err(|source| Error::Document { what: what.clone(), source })?;
        // A server of files says `text/plain`, or nothing: then it is what the document says.
        let own = match &document {
            image::Document::Manifest(manifest) => manifest.media_type.clone(),
            image::Document::Index(index) => index.media_type.clone(),
        };
        let own = own.or_else(|| listed.map(str::to_owned)).unwrap_or_else(|| {
            let is_index = matches!(document, image::Document::Index(_));
            if is_index { media::INDEX } else { media::MANIFEST }.to_owned()
        });
        Ok(Document { descriptor: Descriptor::new(&own, digest, bytes.len() as u64), bytes })
    }

    /// Whether there is such a manifest, and which digest the registry says it has.
    ///
    /// # Errors
    /// Every one of [`Error`] but [`Error::NotFound`].
    pub fn find(&self, target: &Target) -> Result<Option<Digest>> {
        let what = format!("manifest `{target}` of {}/{}", self.origin, self.name);
        let answer = self.read(Method::Head, &format!("manifests/{target}"), &what, &[("accept", MANIFESTS)]);
        let answer = match answer {
            Err(error) if error.is_not_found() => return Ok(None),
            result => result?,
        };
        match answer.header("docker-content-digest").map(str::parse) {
            Some(Ok(digest)) => Ok(Some(digest)),
            // A HEAD may say nothing: then the manifest is read.
            _ => Ok(Some(self.manifest(target)?.descriptor.digest)),
        }
    }

    /// Whether there is such a blob.
    ///
    /// # Errors
    /// Every one of [`Error`] but [`Error::NotFound`].
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let what = format!("blob {digest} of {}/{}", self.origin, self.name);
        match self.read(Method::Head, &format!("blobs/{digest}"), &what, &[]) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a blob from a byte on. The second is where the stream begins: a registry without ranges sends all of it.
    /// The bytes are not checked: that takes all of them.
    ///
    /// # Errors
    /// Every one of [`Error`].
    pub fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<(impl Read + use<>, u64)> {
        let digest = &descriptor.digest;
        let what = format!("blob {digest} of {}/{}", self.origin, self.name);
        let range = format!("bytes={from}-");
        let headers: &[(&str, &str)] = if from > 0 { &[("range", &range)] } else { &[] };
        let answer = self.read(Method::Get, &format!("blobs/{digest}"), &what, headers)?;
        let hostile = |reason: String| Error::Hostile { what: what.clone(), reason };
        let begins = match answer.status {
            206 => {
                let range = answer.header("content-range").unwrap_or_default();
                let start =
                    range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok());
                start
                    .filter(|start| *start == from)
                    .ok_or_else(|| hostile(format!("it sends the range `{}`", plain(range))))?
            }
            _ => 0,
        };
        let left = descriptor.size.saturating_sub(begins);
        if let Some(length) = answer.header("content-length").and_then(|length| length.parse::<u64>().ok())
            && length != left
        {
            return Err(hostile(format!("it sends {length} bytes where {left} are left")));
        }
        // One more than there may be, so that a longer one is seen.
        Ok((answer.take(left + 1), begins))
    }

    /// Reads a small blob whole, such as a configuration; its size and digest are those of the descriptor.
    ///
    /// # Errors
    /// Every one of [`Error`].
    pub fn small_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let what = format!("blob {} of {}/{}", descriptor.digest, self.origin, self.name);
        let hostile = |reason: String| Error::Hostile { what: what.clone(), reason };
        if descriptor.size > image::MAX_CONFIGURATION as u64 {
            return Err(hostile(format!("it says that it has {} bytes", descriptor.size)));
        }
        let (mut reader, _) = self.blob(descriptor, 0)?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| hostile(error.to_string()))?;
        let (found, _) =
            Digest::of_reader(descriptor.digest.algorithm(), &mut &bytes[..]).map_err(Error::Input)?;
        if found != descriptor.digest {
            return Err(Error::Digest {
                what,
                expected: Box::new(descriptor.digest),
                found: Box::new(found),
            });
        }
        Ok(bytes)
    }

    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// Every one of [`Error`].
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let what = format!("tags of {}/{}", self.origin, self.name);
        self.pages(self.address("tags/list"), &what, |bytes| {
            serde_json::from_slice::<Page>(bytes).map(|page| page.tags.unwrap_or_default())
        })
    }

    /// What refers to a manifest (distribution-spec, "Listing Referrers"): by the registry's own list, or by the tag that
    /// stands in for it.
    ///
    /// # Errors
    /// Every one of [`Error`] but [`Error::NotFound`].
    pub fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let what = format!("referrers of {digest} in {}/{}", self.origin, self.name);
        let headers = [("accept", media::INDEX)];
        let bytes = match self.read(Method::Get, &format!("referrers/{digest}"), &what, &headers) {
            Ok(answer) => answer
                .bytes(MAX_MANIFEST as u64)
                .map_err(|source| Error::Fetch { what: what.clone(), source })?,
            Err(error) if error.is_not_found() => {
                let tag = digest.to_string().replace(':', "-");
                match self.manifest(&Target::Tag(tag)) {
                    Ok(document) => document.bytes,
                    Err(error) if error.is_not_found() => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        let index: Index =
            image::parse_index(&bytes, None).map_err(|source| Error::Document { what, source })?;
        Ok(index.manifests)
    }

    /// Writes a manifest or an index.
    ///
    /// # Errors
    /// Every one of [`Error`].
    pub fn put_manifest(&self, target: &Target, kind: &str, bytes: &[u8]) -> Result<()> {
        let what = format!("put manifest `{target}` to {}/{}", self.origin, self.name);
        let address = self.address(&format!("manifests/{target}"));
        let headers = [("content-type", kind)];
        let ask = Ask::new(Method::Put).with(&headers).carrying(bytes);
        let answer = self.ask(&address, Access::Push, &what, ask)?;
        let answer = self.expect(answer, &what, &[201, 202, 200])?;
        let told = answer.header("docker-content-digest").and_then(|told| told.parse::<Digest>().ok());
        let (own, _) =
            Digest::of_reader(told.map_or(oci::Algorithm::Sha256, |told| told.algorithm()), &mut &bytes[..])
                .map_err(Error::Input)?;
        match told {
            Some(told) if told != own => {
                Err(Error::Digest { what, expected: Box::new(own), found: Box::new(told) })
            }
            _ => Ok(()),
        }
    }

    /// Removes a manifest or a tag.
    ///
    /// # Errors
    /// Every one of [`Error`]; many registries allow it to nobody.
    pub fn delete_manifest(&self, target: &Target) -> Result<()> {
        let what = format!("delete manifest `{target}` of {}/{}", self.origin, self.name);
        let address = self.address(&format!("manifests/{target}"));
        let answer = self.ask(&address, Access::Delete, &what, Ask::new(Method::Delete))?;
        self.expect(answer, &what, &[202, 200, 204]).map(drop)
    }

    /// Shows the credentials, to see that they are taken (`login`).
    ///
    /// # Errors
    /// [`Error::Denied`] and others.
    pub fn check(&self) -> Result<()> {
        let what = format!("registry {}", self.origin);
        let address = self.origin.at("/v2/");
        let answer = self.ask_for(&address, "", &what, Ask::new(Method::Get))?;
        self.expect(answer, &what, &[200]).map(drop)
    }

    /// The repositories of the registry, in its order, at most so many.
    ///
    /// # Errors
    /// Every one of [`Error`]; many registries answer this to nobody.
    pub fn catalog(&self, most: usize) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            repositories: Option<Vec<String>>,
        }
        let what = format!("repositories of {}", self.origin);
        let address = self.origin.at("/v2/_catalog");
        let scope = "registry:catalog:*";
        self.pages_for(address, scope, &what, most, &|bytes| {
            serde_json::from_slice::<Page>(bytes).map(|page| page.repositories.unwrap_or_default())
        })
    }

    /// The address of something of the repository.
    pub(crate) fn address(&self, rest: &str) -> Address {
        self.origin.at(format!("/v2/{}/{rest}", self.name))
    }

    fn pages(
        &self,
        first: Address,
        what: &str,
        parse: impl Fn(&[u8]) -> serde_json::Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        let scope = self.scope(Access::Pull);
        self.pages_for(first, &scope, what, MAX_NAMES, &parse)
    }

    /// Follows the pages of a list (distribution-spec, "Listing Tags"), on its own origin only.
    fn pages_for(
        &self,
        first: Address,
        scope: &str,
        what: &str,
        most: usize,
        parse: &dyn Fn(&[u8]) -> serde_json::Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        let hostile = |reason: &str| Error::Hostile { what: what.to_owned(), reason: reason.to_owned() };
        let mut all: Vec<String> = Vec::new();
        let mut address = first;
        for _ in 0..MAX_PAGES {
            let answer = self.ask_for(&address, scope, what, Ask::new(Method::Get))?;
            let answer = self.expect(answer, what, &[200])?;
            let next = answer.header("link").map(next_of).transpose();
            let next = next.map_err(|()| hostile("its link to the next page is none"))?.flatten();
            let next = next.map(|next| address.join(&next)).transpose()?;
            let bytes =
                answer.bytes(MAX_LIST).map_err(|source| Error::Fetch { what: what.to_owned(), source })?;
            let page = parse(&bytes).map_err(|_| hostile("its list is no JSON document"))?;
            let is_empty = page.is_empty();
            all.extend(page);
            if all.len() > MAX_NAMES {
                return Err(hostile("its list has more than a million names"));
            }
            match next {
                Some(next) if !is_empty && all.len() < most => {
                    if next.origin != self.origin {
                        return Err(hostile("the next page is of somebody else"));
                    }
                    address = next;
                }
                _ => {
                    all.truncate(most);
                    return Ok(all);
                }
            }
        }
        Err(hostile("its list has more than 10,000 pages"))
    }

    /// A request that reads, and follows redirects.
    fn read(&self, method: Method, rest: &str, what: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let ask = Ask::new(method).with(headers);
        let mut address = self.address(rest);
        let mut answer = self.ask(&address, Access::Pull, what, ask)?;
        for _ in 0..MAX_REDIRECTS {
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return self.expect(answer, what, &[200, 206]);
            }
            let hostile = |reason: &str| Error::Hostile { what: what.to_owned(), reason: reason.to_owned() };
            let location = answer.header("location").ok_or_else(|| hostile("it redirects to nowhere"))?;
            let next = address.join(location)?;
            if address.origin.secure && !next.origin.secure {
                return Err(hostile("it redirects from https to http"));
            }
            answer = if next.origin == self.origin {
                self.ask(&next, Access::Pull, what, ask)?
            } else {
                // Without credentials: they are the registry's (CVE-2020-15157, CVE-2026-50151).
                self.send(&self.others, &next, what, None, ask)?
            };
            address = next;
        }
        Err(Error::Hostile { what: what.to_owned(), reason: format!("more than {MAX_REDIRECTS} redirects") })
    }

    /// The answer if it has one of these states, else what it means.
    pub(crate) fn expect(&self, answer: Answer, what: &str, states: &[u16]) -> Result<Answer> {
        if states.contains(&answer.status) {
            return Ok(answer);
        }
        Err(answers::failure(what, answer, self.options.credentials.is_some()))
    }

    fn scope(&self, access: Access) -> String {
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
            Access::Delete => "delete",
        };
        format!("repository:{}:{actions}", self.name)
    }

    /// A request to the registry itself, with what it wants to see.
    pub(crate) fn ask(&self, address: &Address, access: Access, what: &str, ask: Ask<'_>) -> Result<Answer> {
        self.ask_for(address, &self.scope(access), what, ask)
    }

    fn ask_for(&self, address: &Address, scope: &str, what: &str, ask: Ask<'_>) -> Result<Answer> {
        let mut shown = self.authorization.borrow().header(scope, self.options.credentials.as_ref());
        for _ in 0..2 {
            let answer = self.send(&self.own, address, what, shown.as_deref(), ask)?;
            if answer.status != 401 || !self.learn(&answer, scope, what)? {
                return Ok(answer);
            }
            shown = self.authorization.borrow().header(scope, self.options.credentials.as_ref());
        }
        self.send(&self.own, address, what, shown.as_deref(), ask)
    }

    /// Does what the challenge of an answer asks for; whether there is something new to show.
    pub(crate) fn learn(&self, answer: &Answer, scope: &str, what: &str) -> Result<bool> {
        let Some(challenges) = challenge::parse(answer.headers("www-authenticate")) else {
            let reason = "its challenge breaks the grammar".to_owned();
            return Err(Error::Hostile { what: what.to_owned(), reason });
        };
        let asking = Asking {
            registry: &self.origin,
            credentials: self.options.credentials.as_ref(),
            pairs: &self.options.realms,
            own: &self.own,
            others: &self.others,
            what,
        };
        self.authorization.borrow_mut().answer(&challenges, scope, &asking)
    }

    /// What is shown for this access, once the registry said what it wants to see.
    pub(crate) fn shown(&self, access: Access) -> Option<String> {
        self.authorization.borrow().header(&self.scope(access), self.options.credentials.as_ref())
    }

    /// [`Self::learn`] for what writes.
    pub(crate) fn learn_push(&self, answer: &Answer, what: &str) -> Result<bool> {
        self.learn(answer, &self.scope(Access::Push), what)
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.options.credentials.is_some()
    }

    /// The client for an address: credentials go to the registry's own origin only.
    pub(crate) fn client_for(&self, address: &Address) -> (&Client, bool) {
        if address.origin == self.origin { (&self.own, true) } else { (&self.others, false) }
    }

    /// Sends a request, again where that may help.
    fn send(
        &self,
        client: &Client,
        address: &Address,
        what: &str,
        shown: Option<&str>,
        ask: Ask<'_>,
    ) -> Result<Answer> {
        let url = address.to_string();
        let mut pause = PAUSE;
        for attempt in 1.. {
            let mut request = Request::new(ask.method, &url);
            for (name, value) in ask.headers {
                request = request.header(name, *value);
            }
            if let Some(shown) = shown {
                request = request.header("authorization", shown);
            }
            if let Some(body) = ask.body {
                request = request.body(Body::Bytes(body));
            }
            let result = client.send(request);
            let wait = match &result {
                _ if attempt == ATTEMPTS => None,
                Ok(answer) => wait_of(answer, pause),
                Err(error) => error.is_transient().then_some(pause),
            };
            match wait {
                Some(wait) => std::thread::sleep(wait),
                None => return result.map_err(|source| Error::Fetch { what: what.to_owned(), source }),
            }
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }
}

/// A request that can be sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    method: Method,
    headers: &'a [(&'a str, &'a str)],
    body: Option<&'a [u8]>,
}

impl<'a> Ask<'a> {
    pub(crate) const fn new(method: Method) -> Self {
        Self { method, headers: &[], body: None }
    }

    pub(crate) const fn with(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    const fn carrying(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// How long to wait before the same is asked again; none where that would not help.
fn wait_of(answer: &Answer, pause: Duration) -> Option<Duration> {
    if !matches!(answer.status, 408 | 429 | 500 | 502 | 503 | 504) {
        return None;
    }
    match answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok()) {
        // Hours, as a registry's quota has them: a person should know.
        Some(wait) if wait > MAX_WAIT => None,
        Some(wait) => Some(Duration::from_secs(wait).max(pause)),
        None => Some(pause),
    }
}

/// Whether the person's registry is in a network of their own: then it may send us to others there.
fn is_inside(origin: &Origin, settings: &Settings) -> bool {
    match origin.address() {
        Some(address) => !fetch::is_public(address),
        // What has no address is not asked for anything.
        None => settings
            .names
            .resolve(&origin.host)
            .is_ok_and(|found| !found.iter().any(|one| fetch::is_public(*one))),
    }
}

/// The media type of a `Content-Type`, without parameters.
fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Where `Link: <...>; rel="next"` leads; nothing for another relation.
fn next_of(value: &str) -> Result<Option<String>, ()> {
    let (target, rest) = value.trim().strip_prefix('<').and_then(|value| value.split_once('>')).ok_or(())?;
    let is_next = rest.split(';').any(|word| {
        let word = word.trim().to_ascii_lowercase();
        word == "rel=next" || word == "rel=\"next\""
    });
    Ok(is_next.then(|| target.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page() {
        for (value, expected) in [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", Ok(Some("/v2/a/tags/list?last=b&n=2"))),
            ("<x>;rel=next", Ok(Some("x"))),
            ("<x>; rel=\"prev\"", Ok(None)),
            ("x", Err(())),
        ] {
            assert_eq!(next_of(value), expected.map(|target| target.map(str::to_owned)), "{value}");
        }
        assert_eq!(media_type("Application/JSON; charset=utf-8"), "application/json");
    }
}
