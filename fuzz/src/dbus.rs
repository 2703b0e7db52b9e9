//! What a bus says: a message that is read has the length it announced and is read again as it was, nothing is read past its end.

use cgroup::fuzzing::systemd::{message, removed, values};

/// Most bytes of an input.
pub const MAX_LEN: usize = 1024;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let sent = message(bytes);
    if let Some((path, result)) = removed(bytes) {
        assert!(sent.is_some() && path.starts_with('/') && !path.contains("..") && !result.contains('\0'));
    }
    // What is sent is itself a message, and sent again the same.
    if let Some(sent) = sent {
        if let Some(again) = message(&sent) {
            assert_eq!(again, sent);
        }
        assert!(sent.len() <= bytes.len() + 64);
    }
    let Some((kinds, body)) = bytes.split_first() else { return };
    let signature: String = (0..8).map(|at| "sogyqutb"[(usize::from(*kinds) + at) % 8..].chars().next().unwrap_or('y')).collect();
    for is_big in [false, true] {
        assert!(values(body, &signature, is_big) <= signature.len());
    }
}
