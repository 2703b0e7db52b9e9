//! Whether user namespaces can be made here, and which of the many switches refuses them.

use std::path::Path;

use rustix::io::Errno;

use super::{Finding, Privilege};
use crate::read;

pub(super) const NAME: &str = "user namespaces";

/// What gives brig's program AppArmor's leave to make user namespaces as a plain user.
const LOAD_PROFILE: &str = "brig doctor --print-profile program > /etc/apparmor.d/brig && \
                            apparmor_parser --replace /etc/apparmor.d/brig";

/// What became of making one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was made, and its capabilities work.
    Works,
    /// The kernel refused to make it.
    Refused(Errno),
    /// It was made, and using a capability in it was refused.
    Powerless(Errno),
    /// A process with threads cannot try.
    Untried,
}

impl Attempt {
    /// Makes one with a host name of its own, in a child that ends at once.
    pub(super) fn make() -> Self {
        let child = sys::fork::fork_closure(sys::clone::flags::NEWUSER, || {
            match sys::namespace::unshare(sys::clone::flags::NEWUTS) {
                Ok(()) => 0,
                Err(errno) => u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX),
            }
        });
        match child {
            Err(Errno::DEADLK) => Self::Untried,
            Err(errno) => Self::Refused(errno),
            Ok(child) => match child.wait() {
                Ok(sys::fork::Exit::Code(0)) => Self::Works,
                Ok(sys::fork::Exit::Code(code)) => Self::Powerless(Errno::from_raw_os_error(code.into())),
                _ => Self::Untried,
            },
        }
    }
}

/// Everything that may refuse a user namespace.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    /// `user.max_user_namespaces`; none where the kernel has no user namespaces.
    pub max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, an addition of Debian and Arch.
    pub unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, an addition of Ubuntu.
    pub apparmor_restrict: Option<u64>,
    /// The AppArmor profile that confines this process (Linux 6.7 can refuse by it).
    pub profile: Option<String>,
    /// The SELinux context of this process, where SELinux is on (Linux 6.1 can refuse by it).
    pub context: Option<String>,
    /// Whether a system call filter lies around this process.
    pub filtered: bool,
}

impl Switches {
    /// Reads those of this host.
    #[must_use]
    pub fn of_host() -> Self {
        Self::read(Path::new("/proc/sys"))
    }

    pub(super) fn read(sysctls: &Path) -> Self {
        let text = |path: &Path| {
            let bytes = read::optional(path).ok()??;
            Some(String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ', '\t']).to_owned())
        };
        let number = |name: &str| text(&sysctls.join(name))?.parse().ok();
        let own =
            |name: &str| text(&Path::new("/proc/thread-self").join(name)).filter(|text| !text.is_empty());
        let is_free = |label: &String| label == "unconfined" || label.ends_with(" (unconfined)");
        let name = |label: String| label.rsplit_once(" (").map_or(label.clone(), |(name, _)| name.to_owned());
        let selinux = rustix::fs::access("/sys/fs/selinux/enforce", rustix::fs::Access::EXISTS).is_ok();
        Self {
            max: number("user/max_user_namespaces"),
            unprivileged_clone: number("kernel/unprivileged_userns_clone"),
            apparmor_restrict: number("kernel/apparmor_restrict_unprivileged_userns"),
            profile: own("attr/apparmor/current").filter(|label| !is_free(label)).map(name),
            context: own("attr/current").filter(|_| selinux),
            filtered: own("status").is_some_and(|status| status.lines().any(|line| line == "Seccomp:\t2")),
        }
    }
}

/// Why there is no user namespace, in one line, and the command that mends it.
///
/// For messages of commands that failed: `errno` is what making it gave.
#[must_use]
pub fn refusal(errno: Errno) -> (String, Option<String>) {
    let finding = judge(privilege(), &Switches::of_host(), Attempt::Refused(errno));
    (finding.detail, finding.mend)
}

/// Why capabilities do not work in a user namespace of one's own; none where nothing known takes them away.
#[must_use]
pub fn powerless() -> Option<(String, Option<String>)> {
    let switches = Switches::of_host();
    let restricted = switches.apparmor_restrict.is_some_and(|value| value != 0) || switches.profile.is_some();
    if !restricted || privilege() == Privilege::Root {
        return None;
    }
    let finding = judge(Privilege::User, &switches, Attempt::Powerless(Errno::PERM));
    Some((finding.detail, finding.mend))
}

fn privilege() -> Privilege {
    if rustix::process::geteuid().is_root() { Privilege::Root } else { Privilege::User }
}

/// Judges: what is known to refuse comes first, then what the attempt tells.
pub(super) fn judge(privilege: Privilege, switches: &Switches, attempt: Attempt) -> Finding {
    let refused = |detail: String, mend: Option<String>| Finding::unavailable(NAME, detail, mend);
    let sysctl = |setting: &str| Some(format!("sysctl -w {setting}"));
    let Some(max) = switches.max else {
        return refused("the kernel is built without CONFIG_USER_NS".to_owned(), None);
    };
    if max == 0 {
        return refused(
            "`user.max_user_namespaces` is 0".to_owned(),
            sysctl("user.max_user_namespaces=15000"),
        );
    }
    if privilege == Privilege::User && switches.unprivileged_clone == Some(0) {
        return refused(
            "`kernel.unprivileged_userns_clone` is 0: root alone may make them".to_owned(),
            sysctl("kernel.unprivileged_userns_clone=1"),
        );
    }
    match attempt {
        Attempt::Works => Finding::applied(NAME, format!("up to {max}")),
        Attempt::Refused(errno) => {
            let (detail, mend) = why_refused(switches, max, errno);
            refused(detail, mend)
        }
        Attempt::Powerless(errno) => {
            let (detail, mend) = why_powerless(switches, errno);
            refused(detail, mend)
        }
        Attempt::Untried if privilege == Privilege::User && is_restricted(switches) => {
            let (detail, mend) = why_powerless(switches, Errno::PERM);
            Finding::weaker(NAME, detail, mend)
        }
        Attempt::Untried => Finding::applied(NAME, format!("up to {max}")),
    }
}

fn is_restricted(switches: &Switches) -> bool {
    switches.apparmor_restrict.is_some_and(|value| value != 0)
}

fn why_refused(switches: &Switches, max: u64, errno: Errno) -> (String, Option<String>) {
    match errno {
        Errno::NOSPC | Errno::USERS => (
            format!(
                "{errno}: `user.max_user_namespaces` is {max}, and as many exist, or a container around this process \
                 allows fewer"
            ),
            Some(format!("sysctl -w user.max_user_namespaces={}", max.saturating_mul(2).max(15_000))),
        ),
        Errno::ACCESS | Errno::PERM => match (&switches.profile, &switches.context) {
            // Other namespaces of the same call take a capability in it.
            (Some(_), _) if errno == Errno::PERM => why_powerless(switches, errno),
            (Some(profile), _) => (
                format!(
                    "AppArmor's profile `{profile}` confines this process and has no rule `userns,`: start brig outside of \
                     it, or add the rule"
                ),
                None,
            ),
            (None, Some(context)) if errno == Errno::ACCESS => (
                format!("SELinux refuses `user_namespace create` to `{context}`"),
                Some(
                    "ausearch -m avc -ts recent | audit2allow -M brig-userns && semodule -i brig-userns.pp"
                        .to_owned(),
                ),
            ),
            _ if is_restricted(switches) => why_powerless(switches, errno),
            _ if switches.filtered => (
                format!(
                    "{errno}: a system call filter lies around this process, such as that of an outer container: give that \
                     one a filter that lets user namespaces through"
                ),
                None,
            ),
            _ => (format!("{errno}: a security module refuses, or this process runs in a chroot"), None),
        },
        errno => (errno.to_string(), None),
    }
}

fn why_powerless(switches: &Switches, errno: Errno) -> (String, Option<String>) {
    if let Some(profile) = &switches.profile {
        return (
            format!(
                "AppArmor's profile `{profile}` confines this process and takes the capabilities in them away"
            ),
            None,
        );
    }
    if is_restricted(switches) {
        return (
            "`kernel.apparmor_restrict_unprivileged_userns` is on: AppArmor takes the capabilities in them away from \
             programs without a profile of their own"
                .to_owned(),
            Some(LOAD_PROFILE.to_owned()),
        );
    }
    (format!("{errno}: something takes the capabilities in them away"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Switches), attempt: Attempt, expected: [&str; 2]) {
        let mut switches = Switches { max: Some(1000), ..Switches::default() };
        change(&mut switches);
        let finding = judge(Privilege::User, &switches, attempt);
        let mend = finding.mend.unwrap_or_default();
        assert!(finding.detail.contains(expected[0]), "{}", finding.detail);
        assert!(mend.contains(expected[1]) && mend.is_empty() == expected[1].is_empty(), "{mend}");
    }

    #[test]
    fn each_switch_is_named_with_its_mend() {
        use Attempt::{Powerless, Refused, Untried, Works};
        check(|_| {}, Works, ["up to 1000", ""]);
        check(|_| {}, Untried, ["up to 1000", ""]);
        check(|s| s.max = None, Refused(Errno::INVAL), ["CONFIG_USER_NS", ""]);
        check(
            |s| s.max = Some(0),
            Refused(Errno::NOSPC),
            ["is 0", "sysctl -w user.max_user_namespaces=15000"],
        );
        check(|_| {}, Refused(Errno::NOSPC), ["as many exist", "sysctl -w user.max_user_namespaces=15000"]);
        check(
            |s| s.unprivileged_clone = Some(0),
            Refused(Errno::PERM),
            ["root alone", "sysctl -w kernel.unprivileged_userns_clone=1"],
        );
        check(
            |s| s.apparmor_restrict = Some(1),
            Powerless(Errno::PERM),
            ["takes", "--print-profile program"],
        );
        check(
            |s| s.apparmor_restrict = Some(1),
            Refused(Errno::ACCESS),
            ["takes", "--print-profile program"],
        );
        check(|s| s.apparmor_restrict = Some(1), Untried, ["takes", "--print-profile program"]);
        check(|s| s.apparmor_restrict = Some(1), Works, ["up to 1000", ""]);
        let profile = |s: &mut Switches| s.profile = Some("p".into());
        check(profile, Refused(Errno::ACCESS), ["has no rule `userns,`", ""]);
        check(profile, Refused(Errno::PERM), ["takes the capabilities", ""]);
        check(profile, Powerless(Errno::PERM), ["AppArmor's profile `p`", ""]);
        check(profile, Works, ["up to 1000", ""]);
        let context = |s: &mut Switches| s.context = Some("u:r:t:s0".into());
        check(context, Refused(Errno::ACCESS), ["`user_namespace create` to `u:r:t:s0`", "semodule -i"]);
        check(context, Refused(Errno::PERM), ["a security module refuses", ""]);
        check(|s| s.filtered = true, Refused(Errno::PERM), ["system call filter", ""]);
        check(|_| {}, Refused(Errno::PERM), ["chroot", ""]);
    }

    #[test]
    fn root_is_not_bound_by_what_is_for_users() {
        let switches = Switches {
            max: Some(1000),
            unprivileged_clone: Some(0),
            apparmor_restrict: Some(1),
            ..Switches::default()
        };
        for attempt in [Attempt::Works, Attempt::Untried] {
            assert_eq!(judge(Privilege::Root, &switches, attempt).mend, None);
        }
    }

    #[test]
    fn this_host_is_read() {
        assert!(Switches::of_host().max.is_some());
    }
}
