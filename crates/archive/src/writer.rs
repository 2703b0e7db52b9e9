//! Writes an archive: POSIX ustar headers, with pax records for what those cannot hold.
//!
//! The same entries give the same bytes: nothing of this machine, no time and no order of its own comes in. What is
//! written is read back alike by the reader of this crate, GNU tar, libarchive, Python and Go.

use std::io::Write;

use crate::header::{BLOCK, Block, MAX_OCTAL_SIZE};
use crate::limits::Limits;
use crate::reader::{Entry, Kind};
use crate::{Error, Result};

/// The largest number that seven octal digits hold: ids and device numbers beyond it are pax records.
const MAX_OCTAL_ID: u32 = 0o777_7777;
/// Bytes of the name and of the link in a header.
const NAME: usize = 100;
/// Name of a pax header: readers that do not know pax make a file of it.
const PAX_NAME: &[u8] = b"./PaxHeaders/entry";

/// An archive that is being written.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    limits: Limits,
    /// Bytes of the present entry's content that are still to come, and zeros after them.
    left: u64,
    padding: usize,
    entries: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, limits: &Limits) -> Self {
        Self { out, limits: limits.clone(), left: 0, padding: 0, entries: 0 }
    }

    /// Begins an entry; the content of the one before has to be written.
    ///
    /// What our own reader would refuse is refused here, where the file that it is can be named.
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<()> {
        debug_assert_eq!(self.left, 0, "content is missing");
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::Limit { what: "entries", limit: self.limits.entries });
        }
        let records = self.records(entry)?;
        if !records.is_empty() {
            let mut header =
                Fields { kind: b'x', size: records.len() as u64, mode: 0o644, ..Fields::default() };
            header.name = PAX_NAME;
            self.out.write_all(&header.block()).map_err(Error::Write)?;
            self.out.write_all(&records).map_err(Error::Write)?;
            self.pad(records.len() as u64)?;
        }
        let size = if entry.kind == Kind::File { entry.data } else { 0 };
        self.out.write_all(&fields(entry, size).block()).map_err(Error::Write)?;
        self.left = size;
        self.padding = padding(size);
        Ok(())
    }

    /// Writes a part of the present entry's content; more than was announced is left out.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.out.write_all(&bytes[..count]).map_err(Error::Write)?;
        self.left -= count as u64;
        Ok(())
    }

    /// Bytes of the present entry's content that are still to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Ends the present entry's content: what was announced and did not come is zeros.
    pub(crate) fn end_data(&mut self) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.left > 0 {
            self.data(&ZEROS)?;
        }
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&ZEROS[..padding]).map_err(Error::Write)
    }

    /// Writes the end marker, and returns the output and how many entries there are.
    pub(crate) fn finish(mut self) -> Result<(W, u64)> {
        self.out.write_all(&[0; 2 * BLOCK]).map_err(Error::Write)?;
        self.out.flush().map_err(Error::Write)?;
        Ok((self.out, self.entries))
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        self.out.write_all(&[0; BLOCK][..padding(size)]).map_err(Error::Write)
    }

    /// The pax records of an entry, in the order of their names.
    fn records(&self, entry: &Entry) -> Result<Vec<u8>> {
        let bad = |reason| Err(Error::entry(&entry.path, reason));
        if entry.path.len() > 4096 {
            return bad("has a name longer than 4095 bytes");
        }
        let xattr_bytes: usize = entry.xattrs.iter().map(|(_, value)| value.len()).sum();
        if entry.xattrs.len() > self.limits.xattrs || xattr_bytes > self.limits.xattr_bytes {
            return bad("has too many extended attributes for an archive");
        }
        let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| pairs.push((key.to_vec(), value.to_vec()));
        let link = link_of(&entry.kind);
        let mut is_text = true;
        for (key, name) in [(&b"path"[..], entry.path.as_slice()), (b"linkpath", link)] {
            if name.len() > NAME {
                add(key, name);
                is_text &= std::str::from_utf8(name).is_ok();
            }
        }
        if !is_text {
            add(b"hdrcharset", b"BINARY");
        }
        if entry.data > MAX_OCTAL_SIZE && entry.kind == Kind::File {
            add(b"size", entry.data.to_string().as_bytes());
        }
        for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
            if id > MAX_OCTAL_ID {
                add(key, id.to_string().as_bytes());
            }
        }
        let (seconds, nanoseconds) = entry.mtime;
        if nanoseconds != 0 || octal_time(seconds).is_none() {
            add(b"mtime", time(seconds, nanoseconds).as_bytes());
        }
        for (name, value) in &entry.xattrs {
            if name.contains(&b'=') || name.is_empty() {
                return bad("has an extended attribute whose name no archive can hold");
            }
            add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        pairs.sort();
        Ok(pairs.iter().flat_map(|(key, value)| record(key, value)).collect())
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length += 1;
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn link_of(kind: &Kind) -> &[u8] {
    match kind {
        Kind::Symlink(target) | Kind::HardLink(target) => target,
        _ => b"",
    }
}

/// Seconds and nanoseconds as a decimal; nanoseconds count upwards from the second before a negative time, too.
fn time(seconds: i64, nanoseconds: u32) -> String {
    let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, _) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{fraction:09}").trim_end_matches('0').to_owned()
}

fn octal_time(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds <= MAX_OCTAL_SIZE)
}

fn padding(size: u64) -> usize {
    usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or(0)
}

#[derive(Default)]
struct Fields<'a> {
    name: &'a [u8],
    link: &'a [u8],
    kind: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u64,
    device: (u32, u32),
}

fn fields(entry: &Entry, size: u64) -> Fields<'_> {
    let (kind, device) = match &entry.kind {
        Kind::File => (b'0', (0, 0)),
        Kind::HardLink(_) => (b'1', (0, 0)),
        Kind::Symlink(_) => (b'2', (0, 0)),
        Kind::Character(major, minor) => (b'3', (*major, *minor)),
        Kind::Block(major, minor) => (b'4', (*major, *minor)),
        Kind::Directory => (b'5', (0, 0)),
        Kind::Fifo => (b'6', (0, 0)),
    };
    Fields {
        // A reader without pax gets a name that is cut, not one of another file; a directory's ends in a slash still.
        name: &entry.path[..entry.path.len().min(NAME)],
        link: &link_of(&entry.kind)[..link_of(&entry.kind).len().min(NAME)],
        kind,
        mode: entry.mode & 0o7777,
        uid: if entry.uid > MAX_OCTAL_ID { 0 } else { entry.uid },
        gid: if entry.gid > MAX_OCTAL_ID { 0 } else { entry.gid },
        size: if size > MAX_OCTAL_SIZE { 0 } else { size },
        mtime: octal_time(entry.mtime.0).unwrap_or(0),
        device,
    }
}

impl Fields<'_> {
    fn block(&self) -> Block {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, self.name);
        put(100, format!("{:07o}\0", self.mode).as_bytes());
        put(108, format!("{:07o}\0", self.uid).as_bytes());
        put(116, format!("{:07o}\0", self.gid).as_bytes());
        put(124, format!("{:011o}\0", self.size).as_bytes());
        put(136, format!("{:011o}\0", self.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0", self.device.0).as_bytes());
        put(337, format!("{:07o}\0", self.device.1).as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.as_bytes().to_vec(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (1_700_000_000, 0),
            xattrs: Vec::new(),
            data: 0,
            sparse: None,
        }
    }

    fn read_back(archive: &[u8]) -> Vec<(Entry, Vec<u8>)> {
        let mut reader = Reader::new(archive, &Limits::default());
        let mut found = Vec::new();
        while let Some(entry) = reader.next().unwrap() {
            let mut content = Vec::new();
            while let bytes @ [_, ..] = reader.data().unwrap() {
                content.extend_from_slice(bytes);
                let count = bytes.len();
                reader.consume(count);
            }
            found.push((entry, content));
        }
        assert_eq!(reader.end(), crate::End::Marker);
        found
    }

    #[test]
    fn what_is_written_is_read() {
        let long = format!("{}/{}", "d".repeat(120), "ä".repeat(60));
        let mut rows = vec![
            entry("a", Kind::File),
            entry("d/", Kind::Directory),
            entry(&format!("{long}/"), Kind::Directory),
            entry(&long, Kind::File),
            entry("s", Kind::Symlink(b"../t".to_vec())),
            entry("sl", Kind::Symlink("x".repeat(300).into())),
            entry("h", Kind::HardLink(long.clone().into())),
            entry("c", Kind::Character(1, 3)),
            entry("b", Kind::Block(8, 0xf_ffff)),
            entry("p", Kind::Fifo),
        ];
        rows.push(Entry { path: [&b"\xff"[..], &[b'n'; 110]].concat(), ..entry("", Kind::File) });
        for (uid, gid, mode) in [(1, 2, 0o7777), (u32::MAX - 1, 0o1000_0000, 0o4755)] {
            rows.push(Entry { uid, gid, mode, ..entry("ids", Kind::File) });
        }
        for mtime in [(0, 1), (-1, 0), (-1, 500_000_000), (-7, 1), (1 << 40, 0), (5, 120_000_000)] {
            rows.push(Entry { mtime, ..entry("time", Kind::File) });
        }
        let xattrs = vec![
            (b"user.a".to_vec(), b"\0\n=\xff".to_vec()),
            (b"security.capability".to_vec(), vec![1, 0, 0, 2]),
            (b"user.long".to_vec(), vec![b'v'; 5000]),
        ];
        rows.push(Entry { xattrs, ..entry("xattrs", Kind::File) });
        for size in [1, 511, 512, 513, 100_000] {
            rows.push(Entry { data: size, ..entry("data", Kind::File) });
        }
        let mut writer = Writer::new(Vec::new(), &Limits::default());
        for row in &rows {
            writer.entry(row).unwrap();
            writer.data(&vec![b'x'; usize::try_from(row.data).unwrap()]).unwrap();
            writer.end_data().unwrap();
        }
        let (archive, count) = writer.finish().unwrap();
        assert_eq!(count, rows.len() as u64);
        let found = read_back(&archive);
        assert_eq!(found.len(), rows.len());
        for ((found, content), mut row) in found.into_iter().zip(rows) {
            assert_eq!(content.len() as u64, row.data);
            row.xattrs.sort();
            assert_eq!(found, row);
        }
    }

    #[test]
    fn content_is_as_long_as_was_said() {
        let mut writer = Writer::new(Vec::new(), &Limits::default());
        for (said, given) in [(10, 3), (3, 10), (600, 0)] {
            writer.entry(&Entry { data: said, ..entry("f", Kind::File) }).unwrap();
            writer.data(&vec![b'x'; given]).unwrap();
            writer.end_data().unwrap();
        }
        let (archive, _) = writer.finish().unwrap();
        let found = read_back(&archive);
        assert_eq!(found[0].1, b"xxx\0\0\0\0\0\0\0");
        assert_eq!(found[1].1, b"xxx");
        assert_eq!(found[2].1, [0; 600]);
    }

    #[test]
    fn what_no_archive_can_hold_is_refused() {
        let mut writer = Writer::new(Vec::new(), &Limits { entries: 5, ..Limits::default() });
        let many = (0..65).map(|number| (format!("user.{number}").into_bytes(), Vec::new())).collect();
        for xattrs in [vec![(b"user.a=b".to_vec(), Vec::new())], many] {
            writer.entry(&Entry { xattrs, ..entry("f", Kind::File) }).unwrap_err();
        }
        writer.entry(&Entry { path: vec![b'a'; 5000], ..entry("", Kind::File) }).unwrap_err();
        writer.entry(&entry("a", Kind::File)).unwrap();
        writer.entry(&entry("a", Kind::File)).unwrap();
        assert!(matches!(writer.entry(&entry("a", Kind::File)), Err(Error::Limit { .. })));
    }
}
