//! PAX extended headers (POSIX 1003.1-2001, `pax`): `LENGTH KEY=VALUE\n` records.

use crate::limits::Limits;

/// What the records of one entry say; everything else they may say is without effect for us.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<(i64, u32)>,
    /// GNU sparse format 1.0: the file's name and its logical size.
    pub(crate) sparse: Option<(Vec<u8>, u64)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pax {
    /// Reads the records of an `x` header.
    pub(crate) fn parse(records: &[u8], limits: &Limits) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        let (mut major, mut minor, mut name, mut real_size) = (None, None, None, None);
        let mut xattr_bytes = 0;
        for record in Records(records) {
            let (key, value) = record?;
            // Which of two wins differs between programs; so does what an empty value means.
            if seen.contains(&key) {
                return Err("PAX record is given twice");
            }
            if seen.len() == MAX_RECORDS {
                return Err("too many PAX records");
            }
            seen.push(key);
            if let Some(xattr) = key.strip_prefix(b"SCHILY.xattr.") {
                xattr_bytes += value.len();
                if pax.xattrs.len() == limits.xattrs || xattr_bytes > limits.xattr_bytes {
                    return Err("too many extended attributes");
                }
                if xattr.is_empty() || xattr.len() > 255 || xattr.contains(&0) {
                    return Err("bad name of an extended attribute");
                }
                pax.xattrs.push((xattr.to_vec(), value.to_vec()));
                continue;
            }
            match key {
                b"path" => pax.path = Some(name_value(value)?),
                b"linkpath" => pax.link = Some(name_value(value)?),
                b"size" => pax.size = Some(decimal(value)?),
                b"uid" => pax.uid = Some(decimal(value)?),
                b"gid" => pax.gid = Some(decimal(value)?),
                b"mtime" => pax.mtime = Some(time(value)?),
                b"GNU.sparse.major" => major = Some(decimal(value)?),
                b"GNU.sparse.minor" => minor = Some(decimal(value)?),
                b"GNU.sparse.name" => name = Some(name_value(value)?),
                b"GNU.sparse.realsize" => real_size = Some(decimal(value)?),
                b"hdrcharset" if !matches!(value, b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {
                    return Err("unknown PAX character set");
                }
                // Formats 0.0 and 0.1 of GNU tar before 2005, and star's own: not all readers know them.
                _ if key.starts_with(b"GNU.sparse.") => return Err("old sparse format"),
                // GNU tar makes an entry of a volume's label, and of a dump's list of names.
                _ if key.starts_with(b"GNU.") => return Err("PAX record of a GNU dump or volume"),
                b"SCHILY.realsize" | b"SCHILY.filetype" | b"SCHILY.offset" => {
                    return Err("PAX record of star that changes the entry");
                }
                _ => {}
            }
        }
        pax.sparse = match (major, minor, name, real_size) {
            (None, None, None, None) => None,
            (Some(1), Some(0), Some(name), Some(size)) if pax.path.is_none() => Some((name, size)),
            _ => return Err("incomplete or unknown sparse format"),
        };
        Ok(pax)
    }

    /// Reads the records of a `g` header, which may say only what changes no entry (git's `comment`).
    pub(crate) fn check_global(records: &[u8], limits: &Limits) -> Result<(), &'static str> {
        if Self::parse(records, limits)? == Self::default() {
            Ok(())
        } else {
            Err("global PAX header changes the entries after it")
        }
    }
}

/// More records than any writer has; with more, finding a repeated one would be slow.
const MAX_RECORDS: usize = 256;

struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split_record(self.0);
        self.0 = match record {
            Ok((_, rest)) => rest,
            Err(_) => &[],
        };
        Some(record.map(|(pair, _)| pair))
    }
}

type Pair<'a> = (&'a [u8], &'a [u8]);

fn split_record(records: &[u8]) -> Result<(Pair<'_>, &[u8]), &'static str> {
    const BAD: &str = "malformed PAX record";
    let space = records.iter().take(8).position(|byte| *byte == b' ').ok_or(BAD)?;
    if records[0] == b'0' {
        return Err(BAD);
    }
    let length = usize::try_from(decimal(&records[..space])?).map_err(|_| BAD)?;
    if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
        return Err(BAD);
    }
    let pair = &records[space + 1..length - 1];
    let equals = pair.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
    let (key, value) = (&pair[..equals], &pair[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err(BAD);
    }
    Ok(((key, value), &records[length..]))
}

fn name_value(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    match value {
        b"" => Err("empty PAX record"),
        _ if value.contains(&0) => Err("NUL in a PAX name"),
        _ => Ok(value.to_vec()),
    }
}

/// Decimal digits only: no sign, no spaces.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64, &'static str> {
    const BAD: &str = "bad number in a PAX record";
    if digits.is_empty() {
        return Err(BAD);
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => {
            value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0'))).ok_or(BAD)
        }
        _ => Err(BAD),
    })
}

/// Seconds and nanoseconds of `[-]SECONDS[.FRACTION]`.
fn time(value: &[u8]) -> Result<(i64, u32), &'static str> {
    const BAD: &str = "bad time in a PAX record";
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = value.iter().position(|byte| *byte == b'.');
    let (seconds, fraction) = value.split_at(dot.unwrap_or(value.len()));
    let seconds = i64::try_from(decimal(seconds)?).map_err(|_| BAD)?;
    let fraction = fraction.strip_prefix(b".").unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let mut nanoseconds = 0;
    for position in 0..9 {
        nanoseconds = nanoseconds * 10 + fraction.get(position).map_or(0, |digit| u32::from(digit - b'0'));
    }
    Ok(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pair: &[u8]) -> Vec<u8> {
        let mut length = pair.len() + 3;
        while length.to_string().len() + pair.len() + 2 != length {
            length += 1;
        }
        [length.to_string().as_bytes(), b" ", pair, b"\n"].concat()
    }

    #[test]
    fn reads_what_matters() {
        let records: Vec<u8> = [
            &b"path=a/b"[..],
            b"linkpath=c",
            b"size=12345678901",
            b"mtime=-1.25",
            b"uid=70000",
            b"comment=a=b\nc",
            b"SCHILY.xattr.user.a=\0\x01\n",
            b"LIBARCHIVE.xattr.user.a=AAE",
        ]
        .iter()
        .flat_map(|pair| record(pair))
        .collect();
        let pax = Pax::parse(&records, &Limits::default()).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.link.as_deref(), Some(&b"c"[..]));
        assert_eq!(pax.size, Some(12_345_678_901));
        assert_eq!(pax.mtime, Some((-2, 750_000_000)));
        assert_eq!(pax.uid, Some(70_000));
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"\0\x01\n".to_vec())]);
    }

    #[test]
    fn refuses_what_two_readers_would_read_differently() {
        #[track_caller]
        fn check(records: &[u8]) {
            Pax::parse(records, &Limits::default()).unwrap_err();
        }
        check(b"5 a=b");
        check(b"7 a=b\n");
        check(b"5 a=b\nx");
        check(b"06 a=b\n");
        check(b"+6 a=b\n");
        check(b" 6 a=b\n");
        check(b"99999999999999999999 a=b\n");
        check(b"6 abc\n");
        check(b"5 =b\n");
        check(b"2 \n");
        check(&record(b"path="));
        check(&record(b"path=a\0b"));
        check(&record(b"size=-1"));
        check(&record(b"size= 1"));
        check(&record(b"size=0x1"));
        check(&record(b"size=99999999999999999999"));
        check(&record(b"mtime=1e9"));
        check(&record(b"mtime=1.x"));
        check(&record(b"hdrcharset=EBCDIC"));
        check(&record(b"GNU.sparse.map=0,1"));
        check(&record(b"GNU.sparse.major=1"));
        check(&record(b"GNU.volume.label=v"));
        check(&record(b"GNU.dumpdir=Yx"));
        check(&record(b"SCHILY.filetype=5"));
        check(&record(b"SCHILY.xattr.=x"));
        check(&[record(b"path=a"), record(b"path=b")].concat());
        let global = |pair: &[u8]| Pax::check_global(&record(pair), &Limits::default());
        global(b"comment=0123").unwrap();
        for pair in [&b"path=x"[..], b"size=1", b"SCHILY.xattr.user.a=1", b"mtime=1"] {
            global(pair).unwrap_err();
        }
    }
}
