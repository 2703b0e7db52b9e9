//! Sealing and opening a value.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

/// Bytes of the key.
pub(crate) const KEY: usize = 32;
/// Bytes of a nonce: long enough to be drawn at random for ever.
const NONCE: usize = 24;

/// A secret's value. It is never printed by mistake.
pub struct Value(Vec<u8>);

impl Value {
    /// Takes a value.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Value({} bytes)", self.0.len())
    }
}

/// Random bytes of the kernel's.
pub(crate) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Errno> {
    let mut bytes = [0; LENGTH];
    let length = rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    if length == LENGTH { Ok(bytes) } else { Err(Errno::IO) }
}

/// Seals a value together with what it belongs to: nonce, then ciphertext and tag.
pub(crate) fn seal(key: &[u8; KEY], belongs_to: &[u8], value: &[u8]) -> Result<Vec<u8>, Errno> {
    let nonce: [u8; NONCE] = random()?;
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let payload = Payload { msg: value, aad: belongs_to };
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| Errno::MSGSIZE)?;
    Ok([&nonce[..], &sealed].concat())
}

/// Opens what [`seal`] made; `None` for another key, another owner, or changed bytes.
pub(crate) fn open(key: &[u8; KEY], belongs_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: belongs_to }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_and_the_owner_open() {
        let key = [7; KEY];
        let sealed = seal(&key, b"name\0id", b"value").unwrap();
        assert_eq!(open(&key, b"name\0id", &sealed).as_deref(), Some(&b"value"[..]));
        assert_eq!(open(&[8; KEY], b"name\0id", &sealed), None);
        assert_eq!(open(&key, b"other\0id", &sealed), None);
        assert_ne!(seal(&key, b"name\0id", b"value").unwrap(), sealed);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&key, b"name\0id", &changed), None, "byte {at}");
            assert_eq!(open(&key, b"name\0id", &sealed[..at]), None, "{at} bytes");
        }
    }

    // draft-irtf-cfrg-xchacha-03, appendix A.3.1: the crate is the cipher that it is called.
    #[test]
    fn the_published_vector() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key: [u8; KEY] =
            hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f").try_into().unwrap();
        let nonce = hex("404142434445464748494a4b4c4d4e4f5051525354555657");
        let aad = hex("50515253c0c1c2c3c4c5c6c7");
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let tag = hex("c0875924c1c7987947deafd8780acf49");
        let cipher = XChaCha20Poly1305::new(&key.into());
        let nonce: [u8; NONCE] = nonce.try_into().unwrap();
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad }).unwrap();
        assert!(sealed.starts_with(&hex("bd6d179d3e83d43b9576579493c0e939")));
        assert!(sealed.ends_with(&tag));
    }

    #[test]
    fn a_value_is_not_printed() {
        assert_eq!(format!("{:?}", Value::new(b"hunter2".to_vec())), "Value(7 bytes)");
    }
}
