//! The members of an archive that lies in a file, and where their content begins.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use crate::reader::{Kind, Reader};
use crate::source::Source;
use crate::{Limits, Result};

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name as the archive has it: hostile, and to be compared only.
    pub path: Vec<u8>,
    /// What it is.
    pub place: Place,
}

/// What a member is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A regular file, stored in one piece.
    File {
        /// Where its content begins, in bytes.
        offset: u64,
        /// Bytes of its content, all of which the archive has.
        size: u64,
    },
    /// A regular file that is stored with a sparse map.
    Sparse,
    /// A directory.
    Directory,
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// A hard link, with the member that it names.
    HardLink(Vec<u8>),
    /// A device node or a fifo.
    Node,
}

/// Goes through an uncompressed archive, passing over the content.
pub struct Members<R> {
    reader: Reader<Known<R>>,
}

/// An input whose end is known: seeking behind it would be no error.
struct Known<R> {
    input: R,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Members<R> {
    /// Reads `input` from its beginning.
    ///
    /// # Errors
    /// Those of seeking.
    pub fn new(mut input: R, limits: &Limits) -> io::Result<Self> {
        let length = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let input = Known { input, position: 0, length };
        Ok(Self { reader: Reader::over(Source::seeking(input, limits.bytes, Known::ahead), limits) })
    }

    /// The next member, `None` at the end.
    ///
    /// # Errors
    /// Everything that [`apply`](crate::apply) says of an archive's structure, [`Error::Truncated`](crate::Error) also
    /// for a file whose content is not all there.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would have to know that it ended with an error"
    )]
    pub fn next(&mut self) -> Result<Option<Member>> {
        let Some(entry) = self.reader.next()? else { return Ok(None) };
        let offset = self.reader.offset();
        self.reader.content_is_there()?;
        let place = match entry.kind {
            Kind::File if entry.sparse.is_some() => Place::Sparse,
            Kind::File => Place::File { offset, size: entry.data },
            Kind::Directory => Place::Directory,
            Kind::Symlink(target) => Place::Symlink(target),
            Kind::HardLink(target) => Place::HardLink(target),
            Kind::Character(..) | Kind::Block(..) | Kind::Fifo => Place::Node,
        };
        Ok(Some(Member { path: entry.path, place }))
    }
}

impl<R> fmt::Debug for Members<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Members").finish_non_exhaustive()
    }
}

impl<R: Seek> Known<R> {
    fn ahead(&mut self, count: u64) -> io::Result<u64> {
        let count = count.min(self.length - self.position);
        // Two steps, as one count may not fit a signed number.
        self.position = self.input.seek(SeekFrom::Start(self.position + count))?;
        Ok(count)
    }
}

impl<R: Read> Read for Known<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A file that grows meanwhile is read as long as it was.
        let left = usize::try_from(self.length - self.position).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let count = self.input.read(&mut buffer[..most])?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{Error, apply};

    fn header(name: &str, kind: u8, size: usize) -> Vec<u8> {
        let mut block = vec![0; 512];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644\0");
        put(124, &format!("{size:011o}\0"));
        put(157, if matches!(kind, b'1' | b'2') { "target" } else { "" });
        put(257, "ustar\x0000");
        put(148, "        ");
        block[156] = kind;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn list(archive: &[u8]) -> Result<Vec<(String, Place)>> {
        let mut members = Members::new(Cursor::new(archive), &Limits::default()).unwrap();
        let mut found = Vec::new();
        while let Some(member) = members.next()? {
            found.push((String::from_utf8(member.path).unwrap(), member.place));
        }
        Ok(found)
    }

    #[test]
    fn content_lies_where_it_is_said_to() {
        // Larger than what is read at once, so that it is passed over by seeking.
        let content = vec![7; 700_000];
        let archive = [
            header("a", b'0', 5),
            [&b"hello"[..], &[0; 507]].concat(),
            header("large", b'0', content.len()),
            content.clone(),
            vec![0; content.len().wrapping_neg() % 512],
            header("d/", b'5', 0),
            header("s", b'2', 0),
            header("h", b'1', 0),
            header("p", b'6', 0),
            header("z", b'0', 1),
            vec![b'z'; 1],
        ]
        .concat();
        let found = list(&archive).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "large", "d/", "s", "h", "p", "z"]);
        for (name, expected) in [("a", &b"hello"[..]), ("large", &content), ("z", b"z")] {
            let place = &found.iter().find(|(found, _)| found == name).unwrap().1;
            let Place::File { offset, size } = place else { panic!("{place:?}") };
            let offset = usize::try_from(*offset).unwrap();
            assert_eq!(&archive[offset..offset + usize::try_from(*size).unwrap()], expected);
        }
        let target = b"target".to_vec();
        let rest = [Place::Directory, Place::Symlink(target.clone()), Place::HardLink(target), Place::Node];
        assert!(found[2..6].iter().map(|(_, place)| place).eq(&rest), "{found:?}");
    }

    #[test]
    fn what_is_cut_short_is_no_member() {
        for size in [1, 512, 300_000] {
            let archive = [header("a", b'0', size), vec![1; size - 1]].concat();
            assert!(matches!(list(&archive), Err(Error::Truncated { .. })), "{size}");
        }
    }

    #[test]
    fn what_unpacking_refuses_is_refused() {
        let zeros = vec![0; 512];
        for archive in [
            [header("a", b'0', 0), zeros.clone(), header("b", b'0', 0)].concat(),
            [header("a", b'0', 0), zeros.clone(), zeros, header("b", b'0', 0)].concat(),
            header("a/", b'0', 5),
            header("a", b'V', 0),
            vec![1; 512],
        ] {
            let directory = testkit::TempDir::new();
            let root = std::fs::File::open(directory.path()).unwrap();
            let options = crate::Options {
                ids: crate::Ids::SingleId,
                whiteouts: crate::Whiteouts::Apply,
                devices: crate::Devices::Skip,
                compressed: crate::CompressedDigest::Skip,
                target: crate::Target::Layer,
            };
            list(&archive).unwrap_err();
            apply(&archive[..], &root, &options, &Limits::default()).unwrap_err();
        }
    }
}
