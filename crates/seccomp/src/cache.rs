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
const COMPILER: u32 = 2;

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

pub(crate) fn encode(instructions: &[Instruction], key: &Key) -> Vec<u8> {
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

pub(crate) fn decode(bytes: &[u8], key: &Key) -> Option<Vec<Instruction>> {
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

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use super::*;
    use crate::standard::{self, NamedSet};
    use crate::{compile, load};

    /// A directory of this test's own, gone at the end.
    struct Directory {
        path: std::path::PathBuf,
        fd: OwnedFd,
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own directory")]
    impl Directory {
        fn new(name: &str) -> Self {
            let unique = format!("brig-seccomp-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(unique);
            std::fs::create_dir(&path).unwrap();
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
            Self { path, fd }
        }

        fn entry(&self, key: &Key) -> std::path::PathBuf {
            self.path.join(key.file_name())
        }

        fn bytes(&self, key: &Key) -> Vec<u8> {
            std::fs::read(self.entry(key)).unwrap()
        }

        fn put(&self, key: &Key, bytes: &[u8]) {
            std::fs::write(self.entry(key), bytes).unwrap();
        }

        fn names(&self) -> usize {
            std::fs::read_dir(&self.path).unwrap().count()
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own directory")]
    impl Drop for Directory {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.path).unwrap();
        }
    }

    fn debug() -> Seccomp {
        standard::profile(standard::DEFAULT_CAPABILITIES, &[NamedSet::Debug])
    }

    #[test]
    fn entries_are_written_once_and_found() {
        let directory = Directory::new("found");
        let profile = debug();
        let key = Key::of(&profile, Arch::X86_64);
        assert_eq!(read(directory.fd.as_fd(), &key), None);
        let fresh = load(&profile, Arch::X86_64, Some(directory.fd.as_fd())).unwrap();
        assert_eq!(read(directory.fd.as_fd(), &key).unwrap(), fresh.program.instructions());
        let found = load(&profile, Arch::X86_64, Some(directory.fd.as_fd())).unwrap();
        assert_eq!(found.program, fresh.program);
        assert_eq!(found.program, compile(&profile, Arch::X86_64).unwrap().program);
        assert_eq!(directory.names(), 1);
    }

    #[test]
    fn the_default_profile_needs_no_entry() {
        let directory = Directory::new("default");
        let profile = standard::profile(standard::DEFAULT_CAPABILITIES, &[]);
        load(&profile, Arch::X86_64, Some(directory.fd.as_fd())).unwrap();
        assert_eq!(directory.names(), 0);
    }

    #[test]
    fn damaged_entries_are_never_believed() {
        let directory = Directory::new("damaged");
        let profile = debug();
        let key = Key::of(&profile, Arch::X86_64);
        load(&profile, Arch::X86_64, Some(directory.fd.as_fd())).unwrap();
        let good = directory.bytes(&key);
        for at in [0, 7, 8, 39, 40, 100, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            directory.put(&key, &bad);
            assert_eq!(read(directory.fd.as_fd(), &key), None, "byte {at}");
        }
        for length in [0, 8, 39, 40, 41, good.len() - 8, good.len() - 1] {
            directory.put(&key, &good[..length]);
            assert_eq!(read(directory.fd.as_fd(), &key), None, "length {length}");
        }
        let mut long = good.clone();
        long.extend([0; 8]);
        directory.put(&key, &long);
        assert_eq!(read(directory.fd.as_fd(), &key), None);
        // Sealed, but not a program: only the compiler could have written it.
        let endless = [Instruction { code: 0x20, jt: 0, jf: 0, k: 0 }];
        directory.put(&key, &encode(&endless, &key));
        assert_eq!(read(directory.fd.as_fd(), &key), None);
        // Another profile's entry under this name.
        let other = Key::of(&profile, Arch::Aarch64);
        directory.put(&key, &encode(&decode(&good, &key).unwrap(), &other));
        assert_eq!(read(directory.fd.as_fd(), &key), None);
        // It is made anew.
        load(&profile, Arch::X86_64, Some(directory.fd.as_fd())).unwrap();
        assert_eq!(directory.bytes(&key), good);
    }

    #[test]
    fn foreign_files_are_never_read() {
        let directory = Directory::new("foreign");
        let profile = debug();
        let key = Key::of(&profile, Arch::X86_64);
        let name = key.file_name();
        let program = compile(&profile, Arch::X86_64).unwrap().program;
        write(directory.fd.as_fd(), &key, program.instructions()).unwrap();
        let mode = Mode::RUSR | Mode::WUSR | Mode::WOTH;
        rustix::fs::chmodat(&directory.fd, &name, mode, AtFlags::empty()).unwrap();
        assert_eq!(read(directory.fd.as_fd(), &key), None, "writable by others");
        rustix::fs::renameat(&directory.fd, &name, &directory.fd, "real").unwrap();
        rustix::fs::symlinkat("real", &directory.fd, &name).unwrap();
        assert_eq!(read(directory.fd.as_fd(), &key), None, "symbolic link");
        rustix::fs::unlinkat(&directory.fd, &name, AtFlags::empty()).unwrap();
        rustix::fs::mkfifoat(&directory.fd, &name, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(read(directory.fd.as_fd(), &key), None, "fifo");
        // A directory in the way: nothing can be written, the program comes all the same.
        rustix::fs::unlinkat(&directory.fd, &name, AtFlags::empty()).unwrap();
        rustix::fs::mkdirat(&directory.fd, &name, Mode::RWXU).unwrap();
        assert!(write(directory.fd.as_fd(), &key, program.instructions()).is_err());
        assert_eq!(load(&profile, Arch::X86_64, Some(directory.fd.as_fd())).unwrap().program, program);
        assert_eq!(directory.names(), 2, "no temporary file stays");
    }

    #[test]
    fn keys_tell_profiles_and_machines_apart() {
        let profile = debug();
        let key = Key::of(&profile, Arch::X86_64);
        assert_ne!(key, Key::of(&profile, Arch::Aarch64));
        let mut other = profile.clone();
        other.syscalls[0].names[0].push('x');
        assert_ne!(key, Key::of(&other, Arch::X86_64));
        let mut heard = profile;
        heard.listener_path = Some("/run/agent.sock".to_owned());
        assert_eq!(key, Key::of(&heard, Arch::X86_64));
    }

    /// Old entries must not outlive a change of the compiler: when this digest changes, raise
    /// `COMPILER` and write the new one here.
    #[test]
    fn compiler_version_follows_its_output() {
        let mut hash = Sha256::new();
        for sets in [&[][..], &[NamedSet::Compat32, NamedSet::Debug], &[NamedSet::Docker]] {
            let profile = standard::profile(standard::DEFAULT_CAPABILITIES, sets);
            let program = compile(&profile, Arch::X86_64).unwrap().program;
            hash.update(encode(program.instructions(), &Key([0; DIGEST])));
        }
        let digest: [u8; DIGEST] = hash.finalize().into();
        assert_eq!((COMPILER, Key(digest).file_name()[..16].to_owned()), (2, "88925858f305e136".to_owned()));
    }
}
