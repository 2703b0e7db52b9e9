//! Mount options in `fstab` style: runtime-spec `config.md`, "Linux mount options".

use std::ffi::CString;

use sys::mount::{Attributes, attribute};

const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// Most options one mount may carry; more is a hostile bundle.
pub const MAX_OPTIONS: usize = 256;

/// A list of options, sorted by what they act upon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Bind mount: `Some(true)` with everything below it.
    pub bind: Option<bool>,
    /// Change the mount that is already there.
    pub remount: bool,
    /// Attributes of the mount itself.
    pub attributes: Attributes,
    /// Attributes of the mount and of all below it.
    pub recursive: Attributes,
    /// Propagation changes, in order: the `MS_*` type and whether it reaches the mounts below.
    pub propagation: Vec<(u64, bool)>,
    /// Map ids: `Some(true)` with everything below it.
    pub id_map: Option<bool>,
    /// Copy what is below the mount point into the new tmpfs.
    pub copy_up: bool,
    /// What the file system itself is told.
    pub parameters: Vec<Parameter>,
}

/// One parameter of `fsconfig(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name.
    pub key: CString,
    /// Value; a flag has none.
    pub value: Option<CString>,
}

/// Why an option cannot be honoured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// It contains a NUL byte.
    #[error("the mount option `{}` contains a NUL byte", .0.escape_debug())]
    Nul(String),
    /// The list is too long.
    #[error("more than {MAX_OPTIONS} mount options")]
    TooMany,
}

impl Options {
    /// Sorts `options`; of two that contradict each other the later wins, as with mount(8).
    pub fn parse(options: &[String]) -> Result<Self, OptionError> {
        if options.len() > MAX_OPTIONS {
            return Err(OptionError::TooMany);
        }
        let mut parsed = Self::default();
        // The spec's lists hold one option an element, but `-o a,b` style joined ones are seen in the wild.
        for option in options.iter().flat_map(|option| option.split(',')) {
            parsed.add(option)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, option: &str) -> Result<(), OptionError> {
        match option {
            "" | "defaults" | "loud" | "silent" | "iversion" | "noiversion" | "acl" | "noacl" => {}
            "bind" => self.bind = self.bind.or(Some(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.id_map = self.id_map.or(Some(false)),
            "ridmap" => self.id_map = Some(true),
            "private" => self.propagation.push((MS_PRIVATE, false)),
            "rprivate" => self.propagation.push((MS_PRIVATE, true)),
            "shared" => self.propagation.push((MS_SHARED, false)),
            "rshared" => self.propagation.push((MS_SHARED, true)),
            "slave" => self.propagation.push((MS_SLAVE, false)),
            "rslave" => self.propagation.push((MS_SLAVE, true)),
            "unbindable" => self.propagation.push((MS_UNBINDABLE, false)),
            "runbindable" => self.propagation.push((MS_UNBINDABLE, true)),
            "sync" | "dirsync" | "mand" | "lazytime" | "async" | "nomand" | "nolazytime" => {
                self.parameters.push(Parameter::new(option, None)?);
            }
            _ => {
                if let Some((set, clear)) = attribute_of(option) {
                    change(&mut self.attributes, set, clear);
                } else if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute_of) {
                    change(&mut self.recursive, set, clear);
                } else {
                    let (key, value) = match option.split_once('=') {
                        Some((key, value)) => (key, Some(value)),
                        None => (option, None),
                    };
                    self.parameters.push(Parameter::new(key, value)?);
                }
            }
        }
        Ok(())
    }
}

impl Parameter {
    /// A parameter for the file system.
    pub fn new(key: &str, value: Option<&str>) -> Result<Self, OptionError> {
        let string = |text: &str| CString::new(text).map_err(|_| OptionError::Nul(text.to_owned()));
        Ok(Self { key: string(key)?, value: value.map(string).transpose()? })
    }
}

/// The attribute bits that an option sets and clears.
fn attribute_of(option: &str) -> Option<(u64, u64)> {
    use attribute::{
        ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME,
    };
    Some(match option {
        "ro" => (RDONLY, 0),
        "rw" => (0, RDONLY),
        "nosuid" => (NOSUID, 0),
        "suid" => (0, NOSUID),
        "nodev" => (NODEV, 0),
        "dev" => (0, NODEV),
        "noexec" => (NOEXEC, 0),
        "exec" => (0, NOEXEC),
        "nodiratime" => (NODIRATIME, 0),
        "diratime" => (0, NODIRATIME),
        "nosymfollow" => (NOSYMFOLLOW, 0),
        "symfollow" => (0, NOSYMFOLLOW),
        // The access time modes are one field, so a mode is set by clearing the field first.
        "relatime" | "nostrictatime" | "atime" => (RELATIME, ATIME),
        "noatime" => (NOATIME, ATIME),
        "strictatime" | "norelatime" => (STRICTATIME, ATIME),
        _ => return None,
    })
}

fn change(attributes: &mut Attributes, set: u64, clear: u64) {
    attributes.set = (attributes.set & !clear) | set;
    attributes.clear = (attributes.clear & !(set & !attribute::ATIME)) | clear;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Options {
        Options::parse(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_later_of_two_opposites_wins() {
        assert_eq!(parse(&["ro", "rw"]).attributes, Attributes::new(0, attribute::RDONLY));
        assert_eq!(parse(&["rw", "ro"]).attributes, Attributes::new(attribute::RDONLY, 0));
        assert_eq!(
            parse(&["noatime", "strictatime"]).attributes,
            Attributes::new(attribute::STRICTATIME, attribute::ATIME)
        );
    }

    #[test]
    fn sorts_by_what_they_act_upon() {
        let options =
            parse(&["rbind", "rro", "rslave", "nosuid", "size=64k", "ridmap", "tmpcopyup", "nodev,noexec"]);
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.recursive, Attributes::new(attribute::RDONLY, 0));
        assert_eq!(options.propagation, vec![(MS_SLAVE, true)]);
        assert_eq!(options.attributes.set, attribute::NOSUID | attribute::NODEV | attribute::NOEXEC);
        assert_eq!(options.parameters, vec![Parameter::new("size", Some("64k")).unwrap()]);
        assert_eq!(options.id_map, Some(true));
        assert!(options.copy_up);
    }

    #[test]
    fn bounds_and_nul() {
        assert_eq!(Options::parse(&vec!["ro".to_owned(); 257]), Err(OptionError::TooMany));
        assert!(matches!(Options::parse(&["a\0b".to_owned()]), Err(OptionError::Nul(_))));
    }
}
