//! Archives byte by byte: the attack suite makes its own with this too.

/// A header block under construction.
#[derive(Clone)]
pub(crate) struct Header(pub(crate) [u8; 512]);

impl Header {
    /// A POSIX ustar header of mode 0644, owner 0:0 and a fixed time.
    pub(crate) fn new(name: impl AsRef<[u8]>, kind: u8) -> Self {
        let mut header = Self([0; 512]);
        header.put(0, name.as_ref());
        header.put(100, if kind == b'5' { b"0000755\0" } else { b"0000644\0" });
        header.put(108, b"0000000\0");
        header.put(116, b"0000000\0");
        header.put(136, b"14000000000\0");
        header.0[156] = kind;
        header.put(257, b"ustar\x0000");
        header.size(0)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Overwrites bytes, checksum to follow.
    pub(crate) fn set(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.put(at, bytes.as_ref());
        self
    }

    pub(crate) fn size(self, size: u64) -> Self {
        self.set(124, format!("{size:011o}\0"))
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        self.set(100, format!("{mode:07o}\0"))
    }

    pub(crate) fn owner(self, uid: u32, gid: u32) -> Self {
        self.set(108, format!("{uid:07o}\0{gid:07o}\0"))
    }

    pub(crate) fn link(self, target: impl AsRef<[u8]>) -> Self {
        self.set(157, target)
    }

    pub(crate) fn device(self, major: u32, minor: u32) -> Self {
        self.set(329, format!("{major:07o}\0{minor:07o}\0"))
    }

    pub(crate) fn gnu(self) -> Self {
        self.set(257, b"ustar  \0")
    }

    /// The block with its checksum.
    pub(crate) fn sum(mut self) -> [u8; 512] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// An archive under construction.
#[derive(Default, Clone)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn header(self, header: Header) -> Self {
        self.raw(header.sum())
    }

    pub(crate) fn data(self, data: impl AsRef<[u8]>) -> Self {
        let padding = data.as_ref().len().wrapping_neg() % 512;
        self.raw(data).raw(vec![0; padding])
    }

    pub(crate) fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self.header(Header::new(name, b'0').size(data.as_ref().len() as u64)).data(data)
    }

    pub(crate) fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.header(Header::new(name, b'5'))
    }

    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.header(Header::new(name, b'2').link(target))
    }

    pub(crate) fn hard_link(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.header(Header::new(name, b'1').link(target))
    }

    pub(crate) fn pax(self, pairs: &[(&[u8], &[u8])]) -> Self {
        let records: Vec<u8> = pairs.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.extension(b'x', records)
    }

    pub(crate) fn extension(self, kind: u8, data: impl AsRef<[u8]>) -> Self {
        let header = Header::new("././@LongLink", kind).size(data.as_ref().len() as u64);
        self.header(if kind.is_ascii_uppercase() { header.gnu() } else { header }).data(data)
    }

    /// With its end marker.
    pub(crate) fn end(self) -> Vec<u8> {
        self.raw([0; 1024]).0
    }
}

/// One PAX record.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length.to_string().len() + rest != length {
        length += 1;
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}
