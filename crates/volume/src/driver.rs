//! The options of the `local` driver: what a volume is made of.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// What a volume is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A directory of the store.
    Directory {
        /// Most bytes in it.
        size: Option<u64>,
    },
    /// Memory, of each container that mounts it its own: nobody of ours lives to hold one for several.
    Tmpfs(Tmpfs),
    /// A directory of the host, which passes the guard of bind mounts at each start.
    Bind {
        /// The directory.
        source: String,
        /// Never written to.
        read_only: bool,
    },
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tmpfs {
    /// Most bytes.
    pub size: Option<u64>,
    /// Mode of its root directory.
    pub mode: Option<u32>,
    /// Owner of its root directory.
    pub uid: Option<u32>,
    /// Group of its root directory.
    pub gid: Option<u32>,
    /// Never written to.
    pub read_only: bool,
    /// No programs are executed there.
    pub no_exec: bool,
}

/// Reads the options of `--opt`: docker's `type`, `o` and `device`, and `size`.
///
/// # Errors
/// [`Error::Option`] for what brig does not mount: disks and file systems of the network take root on the host.
pub fn device(options: &BTreeMap<String, String>) -> Result<Device> {
    let bad = |option: &str, reason| Error::Option { option: option.to_owned(), reason };
    if let Some(unknown) =
        options.keys().find(|key| !matches!(key.as_str(), "type" | "o" | "device" | "size"))
    {
        return Err(bad(unknown, "is not known: use `type`, `o`, `device` and `size`"));
    }
    let text = |key: &str| options.get(key).map_or("", String::as_str);
    let words = || text("o").split(',').filter(|word| !word.is_empty());
    match text("type") {
        "tmpfs" => tmpfs(words(), text("size")),
        kind @ ("" | "none" | "bind") => {
            let is_bind = kind == "bind" || words().any(|word| matches!(word, "bind" | "rbind"));
            if is_bind {
                let source = text("device");
                if !source.starts_with('/') {
                    return Err(bad("device", "must be an absolute path for a bind mount"));
                }
                let mut read_only = false;
                for word in words() {
                    match word {
                        "bind" | "rbind" | "rw" => {}
                        "ro" => read_only = true,
                        other => return Err(bad(other, "is no option of a bind mount")),
                    }
                }
                return Ok(Device::Bind { source: source.to_owned(), read_only });
            }
            if !text("device").is_empty() {
                return Err(bad("device", "needs `type=none` with `o=bind`, or `type=tmpfs`"));
            }
            let mut size = Some(text("size")).filter(|size| !size.is_empty());
            for word in words() {
                match word.split_once('=') {
                    Some(("size", value)) => size = Some(value),
                    _ => return Err(bad(word, "needs a `type`")),
                }
            }
            Ok(Device::Directory { size: size.map(bytes).transpose()? })
        }
        other => Err(bad(
            &format!("type={other}"),
            "is not mounted by brig: mount it on the host and use `type=none,o=bind,device=PATH`",
        )),
    }
}

fn tmpfs<'a>(words: impl Iterator<Item = &'a str>, size: &str) -> Result<Device> {
    let mut tmpfs = Tmpfs::default();
    if !size.is_empty() {
        tmpfs.size = Some(bytes(size)?);
    }
    for word in words {
        let bad = || Error::Option { option: word.to_owned(), reason: "is no option of a tmpfs volume" };
        let number = |text: &str, radix| u32::from_str_radix(text, radix).map_err(|_| bad());
        match word.split_once('=') {
            Some(("size", value)) => tmpfs.size = Some(bytes(value)?),
            Some(("mode", value)) => {
                tmpfs.mode = Some(
                    number(value, 8).and_then(|mode| if mode <= 0o7777 { Ok(mode) } else { Err(bad()) })?,
                );
            }
            Some(("uid", value)) => tmpfs.uid = Some(number(value, 10)?),
            Some(("gid", value)) => tmpfs.gid = Some(number(value, 10)?),
            None if word == "ro" => tmpfs.read_only = true,
            None if word == "noexec" => tmpfs.no_exec = true,
            // They hold in any case.
            None if matches!(word, "rw" | "exec" | "nosuid" | "nodev") => {}
            _ => return Err(bad()),
        }
    }
    Ok(Device::Tmpfs(tmpfs))
}

/// A number of bytes: digits and one of `b k m g t`, in steps of 1024.
fn bytes(text: &str) -> Result<u64> {
    let bad =
        || Error::Option { option: text.to_owned(), reason: "is no size: use a number with k, m, g or t" };
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, shift) = match lower.char_indices().next_back() {
        Some((at, 'k')) => (&lower[..at], 10),
        Some((at, 'm')) => (&lower[..at], 20),
        Some((at, 'g')) => (&lower[..at], 30),
        Some((at, 't')) => (&lower[..at], 40),
        _ => (lower, 0),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Device> {
        device(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_a_volume_is_made_of() {
        assert_eq!(parse(&[]).unwrap(), Device::Directory { size: None });
        assert_eq!(parse(&[("size", "10M")]).unwrap(), Device::Directory { size: Some(10 << 20) });
        assert_eq!(parse(&[("o", "size=1g")]).unwrap(), Device::Directory { size: Some(1 << 30) });
        assert_eq!(
            parse(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=7,mode=700,noexec")]).unwrap(),
            Device::Tmpfs(Tmpfs {
                size: Some(1 << 20),
                uid: Some(7),
                mode: Some(0o700),
                no_exec: true,
                ..Tmpfs::default()
            })
        );
        assert_eq!(
            parse(&[("type", "none"), ("o", "bind,ro"), ("device", "/srv/x")]).unwrap(),
            Device::Bind { source: "/srv/x".to_owned(), read_only: true }
        );
    }

    #[test]
    fn what_is_refused() {
        for pairs in [
            &[("type", "nfs"), ("o", "addr=1.2.3.4"), ("device", ":/x")][..],
            &[("type", "ext4"), ("device", "/dev/sda1")],
            &[("type", "none"), ("o", "bind")],
            &[("type", "none"), ("o", "bind"), ("device", "relative")],
            &[("type", "none"), ("o", "bind,exec"), ("device", "/x")],
            &[("device", "/dev/sda1")],
            &[("type", "tmpfs"), ("o", "huge=always")],
            &[("type", "tmpfs"), ("o", "mode=99")],
            &[("size", "0")],
            &[("size", "99999999999999999999")],
            &[("size", "9999999t")],
            &[("size", "-1")],
            &[("size", "1ä")],
            &[("colour", "red")],
        ] {
            assert!(parse(pairs).is_err(), "{pairs:?}");
        }
    }
}
