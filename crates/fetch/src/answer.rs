//! What came back.

use std::io::{self, Read};

use crate::client;
use crate::error::{Error, Result};

/// The answer to a request, its body not read yet.
pub struct Answer {
    /// The status code, 100 to 599.
    pub status: u16,
    headers: Vec<(String, String)>,
    host: String,
    body: Box<dyn Read>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    pub(crate) fn new(
        status: u16,
        headers: Vec<(String, String)>,
        host: String,
        body: Box<dyn Read>,
    ) -> Self {
        Self { status, headers, host, body }
    }

    /// The values of a header, in order; its name in lower case. What is no text in ASCII is left out.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The only value of a header; none where there are several that differ.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers(name);
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }

    /// Whether the status is one of success.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Reads the body to its end, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Protocol`] for one that is longer; [`Error::Connection`], [`Error::Timeout`].
    pub fn bytes(self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let host = self.host.clone();
        let mut body = self.body.take(limit.saturating_add(1));
        body.read_to_end(&mut bytes).map_err(|error| client::broken(&host, error))?;
        if bytes.len() as u64 > limit {
            let reason = format!("a document of more than {limit} bytes");
            return Err(Error::Protocol { host, reason });
        }
        Ok(bytes)
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}
