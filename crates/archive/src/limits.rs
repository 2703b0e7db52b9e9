//! How much an archive may ask for.

/// Bounds on one archive. All of them fail closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes of the stream, and logical bytes of all files together. Default 64 GiB.
    pub bytes: u64,
    /// Entries of all types, each costs an inode. Default 2,097,152: the largest images hold about a million.
    pub entries: u64,
    /// Components of one path. Default 256: each open level costs a descriptor.
    pub depth: usize,
    /// Bytes of one extension header (PAX or GNU long name). Default 1 MiB, as in Go's `archive/tar`.
    pub extension: u64,
    /// Extended attributes of one entry. Default 64.
    pub xattrs: usize,
    /// Bytes of all extended attributes' values of one entry. Default 128 KiB; Linux allows 64 KiB for one.
    pub xattr_bytes: usize,
    /// Data segments of one sparse file. Default 65,536.
    pub segments: usize,
    /// Uncompressed bytes per compressed byte, once [`Limits::ratio_after`] is reached. Default 200.
    pub ratio: u64,
    /// Uncompressed bytes up to which no ratio is enforced. Default 64 MiB.
    pub ratio_after: u64,
    /// The largest zstd window, as a power of two. Default 27 (128 MiB), as `zstd` itself without `--long`.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 1 << 21,
            depth: 256,
            extension: 1 << 20,
            xattrs: 64,
            xattr_bytes: 128 << 10,
            segments: 1 << 16,
            ratio: 200,
            ratio_after: 64 << 20,
            zstd_window_log: 27,
        }
    }
}
