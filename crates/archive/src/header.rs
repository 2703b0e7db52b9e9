//! One 512-byte header block: v7, POSIX ustar and GNU.
//!
//! Strict on purpose: a block that two tar programs would read differently is refused, because what a
//! scanner saw must be what is unpacked (RUSTSEC-2026-0068, CVE-2025-62518).

/// Size of every tar block in bytes.
pub(crate) const BLOCK: usize = 512;

/// A tar block.
pub(crate) type Block = [u8; BLOCK];

/// The largest size that eleven octal digits hold; beyond it a PAX record or base-256 carries the size.
pub(crate) const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;

/// Which tar wrote the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Before POSIX: no magic, no prefix.
    V7,
    /// POSIX 1003.1-1988 and pax: a name prefix.
    Ustar,
    /// GNU tar: times and a sparse map where ustar has the prefix.
    Gnu,
}

/// The fields of a header block, each checked on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: Format,
    pub(crate) kind: u8,
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) device: (u32, u32),
}

impl Header {
    /// Reads a block that is not all zero.
    pub(crate) fn parse(block: &Block) -> Result<Self, &'static str> {
        check_sum(block)?;
        let format = match &block[257..265] {
            b"ustar\x0000" => Format::Ustar,
            b"ustar  \0" => Format::Gnu,
            [0, 0, 0, 0, 0, 0, 0, 0] => Format::V7,
            _ => return Err("unknown magic"),
        };
        let mut path = Vec::with_capacity(100);
        if format == Format::Ustar {
            let prefix = text(&block[345..500]);
            if !prefix.is_empty() {
                path.extend_from_slice(prefix);
                path.push(b'/');
            }
        }
        path.extend_from_slice(text(&block[..100]));
        let kind = block[156];
        // Python puts these bytes before the name whatever the magic is. GNU tar has times and a sparse map there, and
        // of those that belong to a layer only in a sparse file.
        if format != Format::Ustar && kind != b'S' && block[345..500].iter().any(|byte| *byte != 0) {
            return Err("name prefix in a format without one");
        }
        // Python reads them for every type, and takes a header in which they are no numbers for the end of the archive.
        let numbers = (unsigned(&block[329..337])?, unsigned(&block[337..345])?);
        let device = if matches!(kind, b'3' | b'4') && format != Format::V7 {
            (device_number(numbers.0)?, device_number(numbers.1)?)
        } else {
            (0, 0)
        };
        Ok(Self {
            format,
            kind,
            path,
            link: text(&block[157..257]).to_vec(),
            // The upper bits repeat the type in some writers; the type flag decides.
            mode: u32::try_from(unsigned(&block[100..108])? & 0o7777).map_err(|_| "mode is out of range")?,
            uid: unsigned(&block[108..116])?,
            gid: unsigned(&block[116..124])?,
            size: unsigned(&block[124..136])?,
            mtime: number(&block[136..148])?,
            device,
        })
    }
}

/// A text field up to its first NUL.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A numeric field that cannot be negative.
pub(crate) fn unsigned(field: &[u8]) -> Result<u64, &'static str> {
    u64::try_from(number(field)?).map_err(|_| "negative number")
}

/// A numeric field: octal digits between spaces and NULs, or GNU's base-256 when the top bit is set.
fn number(field: &[u8]) -> Result<i64, &'static str> {
    if field[0] & 0x80 != 0 {
        return base256(field);
    }
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = field[start..].iter().take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let (digits, rest) = field[start..].split_at(digits);
    if rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return Err("number is not octal");
    }
    // At most twelve digits of three bits: 36 bits.
    Ok(digits.iter().fold(0, |value, digit| value * 8 + i64::from(digit - b'0')))
}

/// Big-endian two's complement, the first byte being 0x80, or 0xff for a negative number.
fn base256(field: &[u8]) -> Result<i64, &'static str> {
    // Go and libarchive take the other seven bits as a part of the number, GNU tar and Python do not.
    if !matches!(field[0], 0x80 | 0xff) {
        return Err("number is out of range");
    }
    let negative = field[0] & 0x40 != 0;
    let fill = if negative { 0xff } else { 0 };
    let first = (field[0] & 0x7f) | if negative { 0x80 } else { 0 };
    let mut bytes = [fill; 16];
    bytes[16 - field.len()..].copy_from_slice(field);
    bytes[16 - field.len()] = first;
    i64::try_from(i128::from_be_bytes(bytes)).map_err(|_| "number is out of range")
}

fn device_number(number: u64) -> Result<u32, &'static str> {
    // Linux has 12 bits for major and 20 for minor numbers.
    u32::try_from(number).ok().filter(|number| *number < 1 << 20).ok_or("device is out of range")
}

fn check_sum(block: &Block) -> Result<(), &'static str> {
    let all: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    let computed = all - field + 8 * u32::from(b' ');
    if unsigned(&block[148..156])? == u64::from(computed) { Ok(()) } else { Err("checksum is wrong") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        #[track_caller]
        fn check(field: &[u8], expected: Result<i64, &str>) {
            assert_eq!(number(field), expected, "{field:?}");
        }
        check(b"0000644\0", Ok(0o644));
        check(b"  644 \0\0", Ok(0o644));
        check(b"77777777", Ok(0o7777_7777));
        check(&[0; 8], Ok(0));
        check(b"        ", Ok(0));
        check(b"0000648\0", Err("number is not octal"));
        check(b"-000644\0", Err("number is not octal"));
        check(b"+000644\0", Err("number is not octal"));
        check(b"0x00644\0", Err("number is not octal"));
        check(b"0644\x00644", Err("number is not octal"));
        check(b"\x80\0\0\0\0\0\x01\0", Ok(256));
        check(b"\x80\0\0\0\0\0\0\0\0\0\0\x07", Ok(7));
        check(&[0xff; 12], Ok(-1));
        check(b"\xc0\0\0\0\0\0\0\x01", Err("number is out of range"));
        check(b"\x81\0\0\0\0\0\0\x01", Err("number is out of range"));
        check(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Ok(i64::MAX));
        check(b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err("number is out of range"));
        check(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Err("number is out of range"));
        assert_eq!(unsigned(&[0xff; 12]), Err("negative number"));
    }
}
