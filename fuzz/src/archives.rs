//! Tar archives as bytes: a mutation breaks a checksum, and without it nothing behind the checksum would be reached.

/// Bytes of a block.
pub const BLOCK: usize = 512;

/// The archive with the right checksum in every block that looks like a header.
#[must_use]
pub fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(BLOCK) {
        if is_header(block) {
            sum(block);
        }
    }
    bytes
}

/// Whether a block has the magic of a header, or, without one, digits where a size stands.
#[must_use]
pub fn is_header(block: &[u8]) -> bool {
    let size = &block[124..135];
    &block[257..262] == b"ustar"
        || (block[257..265] == [0; 8] && block[0] != 0 && size.iter().all(|byte| matches!(byte, b'0'..=b'7')))
}

/// Writes a block's checksum.
pub fn sum(block: &mut [u8]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
