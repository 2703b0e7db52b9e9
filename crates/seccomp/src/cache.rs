//! Compiled filters by digest, so that no profile is compiled twice on one machine.
//!
//! A key is the digest of everything that decides the program: the profile, the native ABI, the
//! compiler. An entry is believed only if it is a regular file of ours that nobody else may write,
//! carries the right digests, and passes the kernel's own checks; anything else counts as absent.
//! Entries are not synced to disk: a torn one fails its digest and is written again.

use std::os::fd::BorrowedFd;

use oci::runtime::Seccomp;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use sys::seccomp::{Instruction, MAX_INSTRUCTIONS};

use crate::arch::Arch;
use crate::emulate;
use crate::error::Error;

/// Goes up with every change to what programs the same profile gives; a test watches over it.
const COMPILER: u32 = 1;

/// First bytes of an entry; the digit is the format's version.
const MAGIC: &[u8; 8] = b"brigbpf1";
const DIGEST: usize = 32;
const HEADER: usize = MAGIC.len() + DIGEST;
const INSTRUCTION: usize = size_of::<Instruction>();
const LARGEST: usize = HEADER + MAX_INSTRUCTIONS * INSTRUCTION;

/// What an entry is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key([u8; DIGEST]);

impl Key {
    /// The key of a profile's program for a native ABI.
    #[must_use]
    pub fn of(profile: &Seccomp, native: Arch) -> Self {
        let mut hash = Sha256::new();
        let program = Seccomp { listener_path: None, listener_metadata: None, ..profile.clone() };
        hash.update(COMPILER.to_le_bytes());
        hash.update(env!("CARGO_PKG_VERSION").as_bytes());
        hash.update(native.oci_name().as_bytes());
        // Field order is the type's, so the text is canonical; strings and integers always serialize.
        hash.update(serde_json::to_vec(&program).unwrap_or_default());
        Self(hash.finalize().into())
    }

    /// The entry's file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        let mut name = String::with_capacity(2 * DIGEST + 4);
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                name.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        name.push_str(".bpf");
        name
    }

    /// Ties the instructions to the key, so that one entry under another's name is refused.
    fn seal(&self, instructions: &[u8]) -> [u8; DIGEST] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(instructions);
        hash.finalize().into()
    }
}

/// Reads an entry; `None` if there is none to believe.
#[must_use]
pub fn read(directory: BorrowedFd<'_>, key: &Key) -> Option<Vec<Instruction>> {
    // NONBLOCK: a fifo in the entry's place must not stop us.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::openat(directory, key.file_name(), flags, Mode::empty()).ok()?;
    let status = rustix::fs::fstat(&file).ok()?;
    let regular = rustix::fs::FileType::from_raw_mode(status.st_mode).is_file();
    let ours = status.st_uid == rustix::process::geteuid().as_raw();
    let others = Mode::WGRP | Mode::WOTH;
    let shared = Mode::from_raw_mode(status.st_mode).intersects(others);
    let size = usize::try_from(status.st_size).ok()?;
    if !regular || !ours || shared || !(HEADER..=LARGEST).contains(&size) {
        return None;
    }
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match rustix::io::read(&file, &mut bytes[filled..]) {
            Ok(0) => return None,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    decode(&bytes, key)
}

/// Writes an entry under its name at once and whole.
pub fn write(directory: BorrowedFd<'_>, key: &Key, instructions: &[Instruction]) -> Result<(), Error> {
    let name = key.file_name();
    put(directory, &name, &encode(instructions, key)).map_err(|errno| Error::Cache { name, errno })
}

fn put(directory: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let temporary = format!(".{name}.{:016x}", u64::from_le_bytes(random));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::openat(directory, &temporary, flags, mode)?;
    let mut rest = bytes;
    let written = loop {
        if rest.is_empty() {
            break rustix::fs::renameat(directory, &temporary, directory, name);
        }
        match rustix::io::write(&file, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => break Err(errno),
        }
    };
    if written.is_err() {
        // The first error is the one to tell.
        rustix::fs::unlinkat(directory, &temporary, AtFlags::empty()).unwrap_or_default();
    }
    written
}

fn encode(instructions: &[Instruction], key: &Key) -> Vec<u8> {
    let mut body = Vec::with_capacity(instructions.len() * INSTRUCTION);
    for instruction in instructions {
        body.extend(instruction.code.to_le_bytes());
        body.extend([instruction.jt, instruction.jf]);
        body.extend(instruction.k.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(MAGIC);
    bytes.extend(key.seal(&body));
    bytes.extend(body);
    bytes
}

fn decode(bytes: &[u8], key: &Key) -> Option<Vec<Instruction>> {
    let (magic, rest) = bytes.split_at_checked(MAGIC.len())?;
    let (seal, body) = rest.split_at_checked(DIGEST)?;
    let (words, odd) = body.as_chunks::<INSTRUCTION>();
    if magic != MAGIC || seal != key.seal(body) || !odd.is_empty() {
        return None;
    }
    let instructions: Vec<Instruction> = words
        .iter()
        .map(|&[a, b, jt, jf, c, d, e, f]| Instruction {
            code: u16::from_le_bytes([a, b]),
            jt,
            jf,
            k: u32::from_le_bytes([c, d, e, f]),
        })
        .collect();
    emulate::Program::check(&instructions).is_ok().then_some(instructions)
}
