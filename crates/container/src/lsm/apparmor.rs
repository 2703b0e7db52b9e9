//! Our AppArmor profile: its text, its names, whether it can be used here.

use runtime::lsm::apparmor;
use std::path::Path;

use rustix::io::Errno;

use super::Lack;
use crate::capability::Word;
use crate::options::{Options, SeccompChoice};

/// The profile, with places for its name and for what a flag opens.
const CONTAINERS: &str = include_str!("brig-default.profile");
/// The profile of the program itself, with a place for its path.
const PROGRAM: &str = include_str!("brig-program.profile");

/// Which form of the profile a container needs. A flag that opens something must not be taken back by the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All rules.
    Standard,
    /// Every socket family and type: with CAP_NET_RAW, CAP_NET_ADMIN or a filter of the person's own.
    Network,
    /// Mounts too: with the filter for containers in containers.
    Nested,
}

impl Form {
    const ALL: [Self; 3] = [Self::Standard, Self::Network, Self::Nested];

    /// The form that fits what a person asked for.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let opens = |word: &Word| {
            matches!(word, Word::All | Word::One("CAP_NET_RAW" | "CAP_NET_ADMIN" | "CAP_SYS_ADMIN"))
        };
        match &options.security.seccomp {
            SeccompChoice::Set(name) if name == "nested" => Self::Nested,
            SeccompChoice::Docker | SeccompChoice::Custom { .. } | SeccompChoice::Unconfined => Self::Network,
            _ if options.profile == crate::Profile::Docker => Self::Network,
            _ if options.security.capabilities_add.iter().any(opens) => Self::Network,
            _ => Self::Standard,
        }
    }

    /// Its name. The digits are the digest's of the text, so that a changed text is another profile and what runs
    /// under the old one is not touched.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "brig-default-e5a9e391",
            Self::Network => "brig-default-e5a9e391-network",
            Self::Nested => "brig-default-e5a9e391-nested",
        }
    }

    const fn more(self) -> &'static str {
        match self {
            Self::Standard => "",
            Self::Network => "  network,\n",
            Self::Nested => "  network,\n  mount,\n  remount,\n  umount,\n  pivot_root,\n",
        }
    }
}

/// The text of our profiles, for `apparmor_parser`.
#[must_use]
pub fn containers() -> String {
    let forms =
        Form::ALL.map(|form| CONTAINERS.replace("@NAME@", form.name()).replace("@MORE@\n", form.more()));
    forms.join("\n")
}

/// The text of the profile that lets the program at a path make user namespaces; none for a path that a profile
/// would not take as it is.
#[must_use]
pub fn program(path: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    (path.starts_with('/') && path.bytes().all(plain)).then(|| PROGRAM.replace("@PROGRAM@", path))
}

/// What AppArmor can do for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apparmor {
    /// Not in this kernel, or off.
    Off,
    /// On, and not to be used: the person said so.
    Unused,
    /// The profile is loaded, or will be when the container starts.
    Ready(String),
    /// The profile that a person named is not loaded.
    Unknown(String),
    /// Our profile cannot be used; why.
    Missing(Lack),
}

/// Looks at the machine and changes nothing.
#[must_use]
pub fn look(options: &Options) -> Apparmor {
    find(options, || usable_parser().map(drop))
}

/// Looks at the machine; as root loads our profile where it is wanted and not loaded.
#[must_use]
pub fn prepare(options: &Options) -> Apparmor {
    find(options, || {
        usable_parser()?;
        apparmor::load(&containers())
            .map_err(|said| Lack::without_mend(format!("our profile is not loaded: {said}")))
    })
}

const LOAD: &str = "brig doctor --print-profile containers | apparmor_parser --replace";

/// The program that loads profiles, for a person who may load them.
fn usable_parser() -> Result<&'static Path, Lack> {
    if !rustix::process::geteuid().is_root() {
        return Err(Lack::new("our profile is not loaded", LOAD));
    }
    match apparmor::parser() {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err(Lack::new("`apparmor_parser` is not installed", "apt-get install apparmor")),
        Err(path) => Err(Lack::without_mend(format!(
            "`{}` can be changed by others than root: it is not executed",
            path.display()
        ))),
    }
}

fn find(options: &Options, load: impl FnOnce() -> Result<(), Lack>) -> Apparmor {
    if !apparmor::is_on() {
        return Apparmor::Off;
    }
    let form = match options.security.apparmor.as_deref() {
        Some("unconfined") => return Apparmor::Unused,
        Some(name) => {
            return match apparmor::is_loaded(name) {
                // Where it cannot be asked the container's process finds out.
                Ok(true) | Err(_) => Apparmor::Ready(name.to_owned()),
                Ok(false) => Apparmor::Unknown(name.to_owned()),
            };
        }
        None if options.privileged => return Apparmor::Unused,
        None => Form::of(options),
    };
    if let Some(outer) = apparmor::own_profile() {
        return Apparmor::Missing(Lack::without_mend(format!(
            "this process itself is confined by `{outer}`"
        )));
    }
    let name = form.name();
    match apparmor::is_loaded(name) {
        Ok(true) => Apparmor::Ready(name.to_owned()),
        Ok(false) => match load() {
            Ok(()) => Apparmor::Ready(name.to_owned()),
            Err(lack) => Apparmor::Missing(lack),
        },
        Err(Errno::NOENT) => Apparmor::Missing(Lack::new(
            "securityfs is not mounted",
            "mount -t securityfs securityfs /sys/kernel/security",
        )),
        Err(errno) => {
            Apparmor::Missing(Lack::without_mend(format!("ask whether `{name}` is loaded: {errno}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A changed text must be another profile.
    #[test]
    fn names_carry_the_digest_of_the_text() {
        let forms: String = Form::ALL.iter().map(|form| form.more()).collect();
        let digest = oci::Digest::of(format!("{CONTAINERS}{forms}").as_bytes()).hex();
        for form in Form::ALL {
            assert!(form.name().contains(&format!("-{}", &digest[..8])), "the digits are {}", &digest[..8]);
        }
    }

    #[test]
    fn every_form_is_whole() {
        let text = containers();
        assert!(!text.contains('@'), "{text}");
        for form in Form::ALL {
            let header = format!("profile {} flags=(attach_disconnected,mediate_deleted) {{\n", form.name());
            assert_eq!(text.matches(&header).count(), 1, "{form:?}");
            let at = text.find(&header).unwrap();
            let body = &text[at..at + text[at..].find("\n}\n").unwrap()];
            let rule = |rule: &str| body.lines().any(|line| line.trim() == rule);
            assert_eq!(rule("mount,"), form == Form::Nested, "{form:?}");
            assert_eq!(rule("network,"), form != Form::Standard, "{form:?}");
            assert!(rule(&format!("signal (send) peer={},", form.name())), "{form:?}");
        }
        assert!(program("/usr/local/bin/brig").unwrap().contains("profile brig /usr/local/bin/brig flags="));
        for bad in ["brig", "/a b", "/a{b,c}", "/a*", ""] {
            assert!(program(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_flag_is_not_taken_back_by_the_profile() {
        let check = |expected, change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            assert_eq!(Form::of(&options), expected, "{options:?}");
        };
        check(Form::Standard, |_| {});
        check(Form::Standard, |o| o.security.capabilities_add = vec![Word::One("CAP_SYS_PTRACE")]);
        check(Form::Standard, |o| o.security.seccomp = SeccompChoice::Set("debug".into()));
        check(Form::Network, |o| o.security.capabilities_add = vec![Word::One("CAP_NET_RAW")]);
        check(Form::Network, |o| o.security.capabilities_add = vec![Word::All]);
        check(Form::Network, |o| o.security.seccomp = SeccompChoice::Unconfined);
        check(Form::Network, |o| o.profile = crate::Profile::Docker);
        check(Form::Nested, |o| o.security.seccomp = SeccompChoice::Set("nested".into()));
    }
}
