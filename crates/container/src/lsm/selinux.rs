//! SELinux contexts of a container: the policy's type for containers, categories of its own.

use std::os::fd::{AsFd, OwnedFd};

use runtime::lsm::selinux;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Lack;
use crate::error::{Error, Result};
use crate::options::{LabelOptions, Options};

/// What containers get by default with the policies of Fedora, SUSE and Debian (`lxc_contexts`).
const TYPE: &str = "container_t";
/// The type of the files of containers.
const FILE_TYPE: &str = "container_file_t";
/// Categories of every policy with MCS: `c0` to `c1023`.
const CATEGORIES: u32 = 1024;
/// How often a pair is drawn: of half a million pairs one is taken at most as often as containers run.
const ATTEMPTS: usize = 64;

/// What SELinux can do for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selinux {
    /// Not in this kernel, or off.
    Off,
    /// On, and not to be used: the person said so.
    Unused,
    /// These contexts are in the policy.
    Ready {
        /// Of the processes.
        process: String,
        /// Of the files.
        files: String,
        /// Whether the policy is enforced.
        enforcing: bool,
    },
    /// The person named a part that the policy does not have.
    Unknown(String),
    /// The policy has no type for containers.
    Missing(Lack),
}

/// A pair of categories that no other running container has; none where SELinux gives none.
#[derive(Debug)]
pub struct Categories {
    directory: OwnedFd,
    name: String,
}

impl Categories {
    /// Draws a pair and reserves it for a container.
    ///
    /// # Errors
    /// [`Error::System`] for the directory of reservations, or where no pair is found.
    pub fn reserve(directory: OwnedFd, owner: &str) -> Result<Self> {
        let fail = |source| Error::System { action: "reserve", path: "mcs".into(), source };
        for _ in 0..ATTEMPTS {
            let name = pair(draw()?);
            match rustix::fs::symlinkat(owner, &directory, name.as_str()) {
                Ok(()) => return Ok(Self { directory, name }),
                // One that a killed command left keeps its pair until the machine starts again.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
        Err(fail(Errno::NOSPC))
    }

    /// `c1,c2`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Gives the pair back.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn release(self) -> Result<()> {
        rustix::fs::unlinkat(self.directory.as_fd(), self.name.as_str(), AtFlags::empty())
            .map_err(|source| Error::System { action: "release", path: self.name.into(), source })
    }
}

/// Gives back every pair that a container holds, whoever reserved it.
///
/// # Errors
/// [`Error::System`].
pub fn release_all(directory: &OwnedFd, owner: &str) -> Result<()> {
    let fail = |source| Error::System { action: "release", path: "mcs".into(), source };
    for entry in rustix::fs::Dir::read_from(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let target = rustix::fs::readlinkat(directory, name, Vec::new());
        if target.is_ok_and(|target| target.as_bytes() == owner.as_bytes()) {
            rustix::fs::unlinkat(directory, name, AtFlags::empty()).map_err(fail)?;
        }
    }
    Ok(())
}

fn draw() -> Result<u32> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|source| Error::System { action: "draw", path: "random bytes".into(), source })?;
    Ok(u32::from_ne_bytes(bytes))
}

/// Two different categories, the lower first, as the policy writes them.
fn pair(random: u32) -> String {
    let (first, second) = (random % CATEGORIES, random / CATEGORIES % (CATEGORIES - 1));
    // Skipping the first makes the second any other.
    let second = if second >= first { second + 1 } else { second };
    format!("c{},c{}", first.min(second), first.max(second))
}

/// Whether categories are to be reserved: SELinux is on and the person gave no level.
#[must_use]
pub fn wants_categories(options: &Options) -> bool {
    let label = &options.security.label;
    !options.privileged && !label.disable && label.level.is_none() && selinux::is_on()
}

/// Asks the policy for a container's contexts.
#[must_use]
pub fn look(options: &Options, categories: Option<&str>) -> Selinux {
    let label = &options.security.label;
    if !selinux::is_on() {
        return Selinux::Off;
    }
    if label.disable || options.privileged {
        return Selinux::Unused;
    }
    let rootless = !rustix::process::geteuid().is_root();
    let own = selinux::own_context();
    let own_user = own.as_deref().and_then(|own| own.split(':').next()).filter(|_| rootless);
    let user = own_user.unwrap_or("system_u");
    let (process, files) = contexts(label, user, categories);
    let process = match selinux::canonical(&process) {
        Ok(context) => context,
        Err(_) if *label != LabelOptions::default() => return Selinux::Unknown(process),
        Err(Errno::INVAL) => {
            return Selinux::Missing(Lack::without_mend(format!(
                "the policy has no `{process}`: it comes with the package `container-selinux`, where the distribution has it"
            )));
        }
        Err(errno) => {
            return Selinux::Missing(Lack::without_mend(format!("ask the policy for `{process}`: {errno}")));
        }
    };
    // Asked for, it is tried, and the start fails; a default that cannot be entered would let nothing start.
    let enforcing = selinux::is_enforcing();
    if let Some(own) = own.filter(|_| enforcing && *label == LabelOptions::default())
        && !selinux::may_become(&own, &process).unwrap_or(true)
    {
        return Selinux::Missing(Lack::without_mend(format!(
            "the policy does not let `{own}` start programs as `{process}`: it lacks `process transition` or \
             `process2 nnp_transition`"
        )));
    }
    match selinux::canonical(&files) {
        Ok(files) => Selinux::Ready { process, files, enforcing },
        Err(errno) => Selinux::Missing(Lack::without_mend(format!("the policy has no `{files}`: {errno}"))),
    }
}

/// Contexts of processes and files.
fn contexts(label: &LabelOptions, user: &str, categories: Option<&str>) -> (String, String) {
    let part = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_owned());
    let level = part(&label.level, &categories.map_or("s0".to_owned(), |pair| format!("s0:{pair}")));
    let user = part(&label.user, user);
    let process = format!("{user}:{}:{}:{level}", part(&label.role, "system_r"), part(&label.kind, TYPE));
    (process, format!("{user}:object_r:{}:{level}", part(&label.file_kind, FILE_TYPE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_categories_in_order() {
        for random in [0, 1, 1023, 1024, 1025, 1_048_575, u32::MAX] {
            let text = pair(random);
            let numbers: Vec<u32> = text.split(',').map(|part| part[1..].parse().unwrap()).collect();
            assert!(numbers[0] < numbers[1] && numbers[1] < CATEGORIES, "{random}: {text}");
        }
    }

    #[test]
    fn no_two_containers_have_the_same_pair() {
        let directory = testkit::TempDir::new();
        let open = || rustix::fs::open(directory.path(), rustix::fs::OFlags::RDONLY, 0.into()).unwrap();
        let mut taken: Vec<Categories> =
            (0..50).map(|number| Categories::reserve(open(), &format!("c{number}")).unwrap()).collect();
        let names: std::collections::BTreeSet<String> =
            taken.iter().map(|pair| pair.as_str().to_owned()).collect();
        assert_eq!(names.len(), 50);
        taken.drain(..).for_each(|pair| pair.release().unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn parts_of_a_context_can_be_chosen() {
        let label = LabelOptions::default();
        let expected =
            ("system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2");
        let found = contexts(&label, "system_u", Some("c1,c2"));
        assert_eq!((found.0.as_str(), found.1.as_str()), expected);
        let label = LabelOptions {
            user: Some("u".into()),
            role: Some("r".into()),
            kind: Some("t".into()),
            level: Some("s1".into()),
            file_kind: Some("f".into()),
            disable: false,
        };
        assert_eq!(contexts(&label, "x", None), ("u:r:t:s1".to_owned(), "u:object_r:f:s1".to_owned()));
    }
}
