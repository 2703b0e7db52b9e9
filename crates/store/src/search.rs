//! Which manifest of an index is for a platform.

use std::collections::HashMap;

use oci::Digest;
use oci::image::{self as types, Descriptor, Document, Index, Manifest, Platform, media};

use crate::error::{Error, Result};
use crate::image::clip;

/// Deepest index: `index.json` is the first level, then an image's index, then one more.
const MAX_INDEX_DEPTH: usize = 3;

/// The search of the manifests for a platform, which reads no document twice: indexes of a few kilobytes that name
/// each other thousands of times would otherwise take hours.
pub(crate) struct Search<'a> {
    read: &'a mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>,
    wanted: &'a Platform,
    /// What was passed over, for the message.
    others: Vec<String>,
    /// Where the documents read so far lead: to a manifest, or nowhere.
    pub known: HashMap<Digest, Option<Digest>>,
}

/// A manifest with its descriptor and bytes.
pub(crate) type Found = (Descriptor, Manifest, Vec<u8>);

impl<'a> Search<'a> {
    /// A search that reads documents by `read`, which checks their digests.
    pub(crate) fn new(read: &'a mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>, wanted: &'a Platform) -> Self {
        Self { read, wanted, others: Vec::new(), known: HashMap::new() }
    }

    /// Follows an entry to its manifest; `None` where it leads to another platform or no image.
    pub(crate) fn choose(&mut self, entry: &Descriptor, depth: usize) -> Result<Option<Found>> {
        if self.known.get(&entry.digest) == Some(&None) {
            return Ok(None);
        }
        let found = self.read(entry, depth)?;
        self.known.insert(entry.digest, found.as_ref().map(|(descriptor, _, _)| descriptor.digest));
        Ok(found)
    }

    fn read(&mut self, entry: &Descriptor, depth: usize) -> Result<Option<Found>> {
        if !media::is_manifest(&entry.media_type) && !media::is_index(&entry.media_type) {
            self.pass_over(clip(&entry.media_type));
            return Ok(None);
        }
        let bytes = (self.read)(entry)?;
        let index: Index = match types::parse_document(&bytes, Some(&entry.media_type))? {
            Document::Manifest(manifest) if media::is_configuration(&manifest.config.media_type) => {
                let descriptor = Descriptor::new(&entry.media_type, entry.digest, entry.size);
                return Ok(Some((descriptor, *manifest, bytes)));
            }
            Document::Manifest(manifest) => {
                self.pass_over(clip(&manifest.config.media_type));
                return Ok(None);
            }
            Document::Index(index) => *index,
        };
        if depth == MAX_INDEX_DEPTH {
            return Err(Error::Limit { what: "depth of indexes", limit: MAX_INDEX_DEPTH as u64 });
        }
        // those with the right platform first, then those that do not say
        let (named, unnamed): (Vec<_>, Vec<_>) =
            index.manifests.iter().partition(|inner| inner.platform.is_some());
        for inner in named.into_iter().chain(unnamed) {
            match &inner.platform {
                Some(platform) if !platform.runs_on(self.wanted) => self.pass_over(words(platform)),
                _ => {
                    if let Some(found) = self.choose(inner, depth + 1)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Remembers what was passed over: an index of thousands of entries fills no message.
    pub(crate) fn pass_over(&mut self, what: String) {
        if self.others.len() < 64 {
            self.others.push(what);
        }
    }

    /// That there is no image for the platform.
    pub(crate) fn nothing(self) -> Error {
        let mut others = self.others;
        others.sort_unstable();
        others.dedup();
        others.truncate(16);
        Error::Platform { wanted: words(self.wanted), found: others.join(", ") }
    }
}

/// A platform as people write it.
pub(crate) fn words(platform: &Platform) -> String {
    let mut text = format!("{}/{}", platform.os, platform.architecture);
    if let Some(variant) = &platform.variant {
        text.push('/');
        text.push_str(variant);
    }
    clip(&text)
}
