//! Blobs to a registry: mounted where it has them already, else sent in one stream, and on from where a break left it.

use std::io::{Read, Seek, SeekFrom};

use fetch::{Answer, Body, Method, Request};
use oci::Digest;
use oci::image::Descriptor;

use crate::answers::{self, plain};
use crate::client::{Access, Ask, Repository};
use crate::error::{Error, Result};
use crate::origin::Address;

/// How often an upload is taken up again.
const ATTEMPTS: u32 = 5;

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Known,
    /// The registry took it from another repository of its own.
    Mounted,
    /// All of it was sent.
    Sent,
}

impl Repository {
    /// Sends a blob unless it is there. `from` is another repository of this registry that may have it.
    ///
    /// # Errors
    /// Every one of [`Error`].
    pub fn push_blob(
        &self,
        descriptor: &Descriptor,
        from: Option<&str>,
        content: &mut (impl Read + Seek),
    ) -> Result<Pushed> {
        if self.has_blob(&descriptor.digest)? {
            return Ok(Pushed::Known);
        }
        let what = format!("push blob {} to {}/{}", descriptor.digest, self.origin(), self.name());
        let first = self.address("blobs/uploads/");
        let address = match from {
            Some(from) => first.with("mount", &descriptor.digest.to_string()).with("from", from),
            None => first.clone(),
        };
        let answer = self.ask(&address, Access::Push, &what, Ask::new(Method::Post))?;
        let mut upload = match answer.status {
            201 if from.is_some() => return Ok(Pushed::Mounted),
            202 => location(&answer, &address, &what)?,
            // It may not read the other repository: without a mount then.
            401 | 403 if from.is_some() => {
                let answer = self.ask(&first, Access::Push, &what, Ask::new(Method::Post))?;
                location(&self.expect(answer, &what, &[202])?, &first, &what)?
            }
            _ => return self.expect(answer, &what, &[202]).map(|_| Pushed::Sent),
        };
        let mut sent = 0;
        for attempt in 1.. {
            match self.send_rest(&upload, descriptor, sent, content, &what) {
                Ok(()) => return Ok(Pushed::Sent),
                Err(error) if attempt == ATTEMPTS || !error.is_transient() => return Err(error),
                Err(error) => {
                    // How much of it came, where the registry can tell; else all of it once more.
                    match self.progress(&upload, &what) {
                        Ok((address, bytes)) => (upload, sent) = (address, bytes),
                        Err(lost) if lost.is_not_found() => {
                            let answer = self.ask(&first, Access::Push, &what, Ask::new(Method::Post))?;
                            (upload, sent) =
                                (location(&self.expect(answer, &what, &[202])?, &first, &what)?, 0);
                        }
                        Err(_) => return Err(error),
                    }
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Sends what is left, and ends the upload.
    fn send_rest(
        &self,
        upload: &Address,
        descriptor: &Descriptor,
        sent: u64,
        content: &mut (impl Read + Seek),
        what: &str,
    ) -> Result<()> {
        let left = descriptor.size.saturating_sub(sent);
        let done = |digest: &Digest| upload.with("digest", &digest.to_string());
        if sent == 0 {
            return self
                .stream(Method::Put, &done(&descriptor.digest), None, (content, 0, left), what)
                .map(drop);
        }
        let range = format!("{sent}-{}", descriptor.size.saturating_sub(1));
        let mut address = upload.clone();
        if left > 0 {
            let answer = self.stream(Method::Patch, upload, Some(&range), (content, sent, left), what)?;
            address = location(&answer, upload, what)?;
        }
        let end = address.with("digest", &descriptor.digest.to_string());
        self.stream(Method::Put, &end, None, (content, 0, 0), what).map(drop)
    }

    /// One request whose body is a part of the content.
    fn stream(
        &self,
        method: Method,
        address: &Address,
        range: Option<&str>,
        (content, from, length): (&mut (impl Read + Seek), u64, u64),
        what: &str,
    ) -> Result<Answer> {
        let (client, is_own) = self.client_for(address);
        let url = address.to_string();
        for attempt in 0.. {
            content.seek(SeekFrom::Start(from)).map_err(Error::Input)?;
            let mut request = Request::new(method, &url).header("content-type", "application/octet-stream");
            if let Some(range) = range {
                request = request.header("content-range", range);
            }
            if let Some(shown) = self.shown(Access::Push).filter(|_| is_own) {
                request = request.header("authorization", shown);
            }
            let answer = client
                .send(request.body(Body::Stream(content, length)))
                .map_err(|source| Error::Fetch { what: what.to_owned(), source })?;
            match answer.status {
                200..=299 => return Ok(answer),
                // The token was old by now.
                401 if attempt == 0 && is_own && self.learn_push(&answer, what)? => {}
                _ => return Err(answers::failure(what, answer, self.has_credentials())),
            }
        }
        unreachable!("the second attempt returns")
    }

    /// How many bytes of an upload came (distribution-spec, "Pushing a blob in chunks").
    fn progress(&self, upload: &Address, what: &str) -> Result<(Address, u64)> {
        let (_, is_own) = self.client_for(upload);
        if !is_own {
            return Err(Error::NotFound { what: what.to_owned(), detail: String::new() });
        }
        let answer = self.ask(upload, Access::Push, what, Ask::new(Method::Get))?;
        let answer = self.expect(answer, what, &[204, 202])?;
        let range = answer.header("range").unwrap_or("0-0");
        let last = range
            .strip_prefix("bytes=")
            .unwrap_or(range)
            .strip_prefix("0-")
            .and_then(|last| last.parse::<u64>().ok());
        let Some(last) = last else {
            let reason = format!("it has the range `{}`", plain(range));
            return Err(Error::Hostile { what: what.to_owned(), reason });
        };
        // Of nothing it says `0-0`, which is one byte too many: that byte is never taken on trust.
        let bytes = if last == 0 { 0 } else { last + 1 };
        Ok((location(&answer, upload, what).unwrap_or_else(|_| upload.clone()), bytes))
    }
}

/// Where an upload goes on.
fn location(answer: &Answer, base: &Address, what: &str) -> Result<Address> {
    let hostile = |reason: &str| Error::Hostile { what: what.to_owned(), reason: reason.to_owned() };
    let location = answer.header("location").ok_or_else(|| hostile("it names no place for the blob"))?;
    let address = base.join(location)?;
    if base.origin.secure && !address.origin.secure {
        return Err(hostile("it sends the blob from https to http"));
    }
    Ok(address)
}
