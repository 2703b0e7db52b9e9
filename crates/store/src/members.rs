//! The index of an image archive: names of its members and where their content lies.
//!
//! Only for the outer archive of `load`, whose content is checked by digest later; layers are read by the
//! `archive` crate. Nothing is kept but names, each bounded, and what two programs may read in two ways
//! (sparse files, links with content, unknown types) is refused.

use std::collections::HashMap;
use std::fs::File;

use crate::error::{Error, Result};
use crate::image::clip;

/// Most members of an archive: three for each layer of many images.
const MAX_MEMBERS: usize = 1 << 16;
/// Most headers, those of members that no document can name included.
const MAX_HEADERS: usize = 1 << 20;
/// Most bytes of a long name or an extended header; real names have a digest and a word.
const MAX_EXTENSION: u64 = 64 << 10;
/// Longest member name.
const MAX_NAME: usize = 4096;
/// Bytes of a tar block.
const BLOCK: u64 = 512;
/// The same, as the size of an array.
const HEADER: usize = 512;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// A regular file.
    Content { offset: u64, size: u64 },
    /// A symbolic or hard link to another member, resolved by name only.
    Link(String),
}

/// What extension headers said about the next member.
#[derive(Default)]
struct Next {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Reads the headers of an archive, passing over the content.
pub(crate) fn index(file: &File) -> Result<HashMap<String, Member>> {
    let length = file.metadata().map_err(Error::Input)?.len();
    let mut members = HashMap::new();
    let (mut at, mut next) = (0, Next::default());
    for _ in 0..MAX_HEADERS {
        if at == length {
            return Ok(members);
        }
        let header: [u8; HEADER] =
            read(file, at, BLOCK, length)?.try_into().map_err(|_| bad("it is cut short"))?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(members);
        }
        check_sum(&header)?;
        let kind = header[156];
        let size = match (kind, next.size) {
            (b'x' | b'g' | b'L' | b'K', _) | (_, None) => number(&header[124..136])?,
            (_, Some(size)) => size,
        };
        let offset = at + BLOCK;
        let end = offset.checked_add(size).filter(|end| *end <= length);
        let end = end.ok_or_else(|| bad("a member is cut short"))?;
        // the last block may lack its padding
        at = end.checked_next_multiple_of(BLOCK).unwrap_or(length).min(length);
        match kind {
            b'g' => {}
            b'L' | b'K' => {
                let mut name = extension(file, offset, size, length)?;
                name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                *(if kind == b'L' { &mut next.path } else { &mut next.link }) = Some(name);
            }
            b'x' => extended(&extension(file, offset, size, length)?, &mut next)?,
            b'0' | 0 | b'7' | b'1' | b'2' | b'5' => {
                let next = std::mem::take(&mut next);
                let path = next.path.unwrap_or_else(|| own_name(&header));
                let link = next.link.unwrap_or_else(|| text(&header[157..257]).to_vec());
                let is_file = matches!(kind, b'0' | 0 | b'7');
                if !is_file && size != 0 {
                    return Err(bad("a link or directory has content"));
                }
                // no document can name what is not UTF-8 or climbs
                let Some(name) = utf8(path)?.as_deref().and_then(plain) else { continue };
                let member = match kind {
                    b'5' => continue,
                    b'1' | b'2' => match utf8(link)?.and_then(|link| target(&name, &link, kind)) {
                        Some(target) => Member::Link(target),
                        None => continue,
                    },
                    _ => Member::Content { offset, size },
                };
                // the last of equal names counts, as in tar
                members.insert(name, member);
                if members.len() > MAX_MEMBERS {
                    return Err(Error::Limit {
                        what: "number of archive members",
                        limit: MAX_MEMBERS as u64,
                    });
                }
            }
            other => return Err(bad(&format!("a member is of type {other}, which no image archive has"))),
        }
    }
    Err(Error::Limit { what: "number of archive headers", limit: MAX_HEADERS as u64 })
}

/// A name without `./`, by words alone; `None` if it climbs above the archive or is absolute.
pub(crate) fn plain(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if name.starts_with('/') {
        return None;
    }
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The member that a link means: a symbolic one counts from its own directory.
fn target(name: &str, link: &str, kind: u8) -> Option<String> {
    match (kind, name.rsplit_once('/')) {
        (b'2', Some((above, _))) if !link.starts_with('/') => plain(&format!("{above}/{link}")),
        _ => plain(link),
    }
}

fn bad(reason: &str) -> Error {
    Error::NotAnArchive { reason: clip(reason) }
}

fn utf8(name: Vec<u8>) -> Result<Option<String>> {
    if name.len() > MAX_NAME {
        return Err(Error::Limit { what: "length of a member name", limit: MAX_NAME as u64 });
    }
    Ok(String::from_utf8(name).ok())
}

fn extension(file: &File, offset: u64, size: u64, length: u64) -> Result<Vec<u8>> {
    if size > MAX_EXTENSION {
        return Err(Error::Limit { what: "size of an extended header", limit: MAX_EXTENSION });
    }
    read(file, offset, size, length)
}

/// Reads a few bytes; the caller has bounded `size`.
fn read(file: &File, offset: u64, size: u64, length: u64) -> Result<Vec<u8>> {
    if offset.checked_add(size).is_none_or(|end| end > length) {
        return Err(bad("it is cut short"));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| bad("a member is too long"))?];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, offset).map_err(Error::Input)?;
    Ok(bytes)
}

/// `path`, `linkpath` and `size` of POSIX.1-2001 records, each `<length> <key>=<value>\n`.
fn extended(mut records: &[u8], next: &mut Next) -> Result<()> {
    let broken = || bad("an extended header is broken");
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let digits = std::str::from_utf8(&records[..space]).map_err(|_| broken())?;
        let length: usize = digits.parse().map_err(|_| broken())?;
        let record = records.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => next.path = Some(value.to_vec()),
            b"linkpath" => next.link = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                next.size = Some(size.ok_or_else(broken)?);
            }
            key if key.starts_with(b"GNU.sparse.") => return Err(bad("it has a sparse member")),
            _ => {}
        }
        records = &records[length..];
    }
    Ok(())
}

fn check_sum(header: &[u8]) -> Result<()> {
    let sum = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) };
    if header.iter().enumerate().map(sum).sum::<u64>() == number(&header[148..156])? {
        Ok(())
    } else {
        Err(bad("a tar header has a wrong checksum"))
    }
}

/// Octal digits, or GNU's big-endian binary with the first bit set.
fn number(field: &[u8]) -> Result<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let is_small = high[0] == 0x80 && high[1..].iter().all(|byte| *byte == 0);
        let low: [u8; 8] = low.try_into().map_err(|_| bad("a number is broken"))?;
        return if is_small { Ok(u64::from_be_bytes(low)) } else { Err(bad("a number is too large")) };
    }
    let digits = std::str::from_utf8(text(field)).map_err(|_| bad("a number is broken"))?.trim_matches(' ');
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| bad("a number is broken"))
}

fn own_name(header: &[u8]) -> Vec<u8> {
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    // GNU's `ustar  ` has other fields where POSIX has the prefix
    if header[257..263] != *b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_words_alone() {
        for (name, expected) in [
            ("a/b", Some("a/b")),
            ("./a//b/.", Some("a/b")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("a/../../b", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(plain(name).as_deref(), expected, "{name}");
        }
        assert_eq!(target("a/b", "../c", b'2').as_deref(), Some("c"));
        assert_eq!(target("a/b", "c", b'1').as_deref(), Some("c"));
        assert_eq!(target("a/b", "/c", b'2'), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000017\0").unwrap(), 15);
        assert_eq!(number(b" 17 \0\0\0\0").unwrap(), 15);
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0").unwrap(), 256);
        for field in [
            &b"0000018\0"[..],
            b"-1\0\0\0\0\0\0",
            b"\x80\x01\0\0\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(number(field).is_err(), "{field:?}");
        }
    }

    #[test]
    fn extended_headers() {
        let mut next = Next::default();
        extended(b"12 path=a/b\n11 size=77\n14 linkpath=c\n8 x=yz\n", &mut next).unwrap_err();
        extended(b"12 path=a/b\n11 size=77\n14 linkpath=c\n", &mut next).unwrap();
        assert_eq!(
            (next.path.unwrap(), next.size, next.link.unwrap()),
            (b"a/b".to_vec(), Some(77), b"c".to_vec())
        );
        for records in [
            &b"x"[..],
            b"5 a=b",
            b"99 a=b\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"9 size=-1\n",
            b"22 GNU.sparse.major=1\n",
        ] {
            assert!(extended(records, &mut Next::default()).is_err(), "{records:?}");
        }
    }
}
