//! What a test needs of its machine, and the counted skip when the machine lacks it.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One thing a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Effective user id 0.
    Root,
    /// An effective user id other than 0.
    Unprivileged,
    /// An account of this process's own user id: dbus-daemon serves nobody else.
    Account,
    /// An unprivileged user to act as: either this process is one, or it is root and can make one.
    User,
    /// This program in `PATH` (or in one of the system's program directories).
    Program(&'static str),
    /// This program, in a version whose `--version` has this word: a control that is known to be vulnerable.
    Version(&'static str, &'static str),
    /// At least this kernel, major and minor.
    Kernel(u32, u32),
    /// A cgroup v2 hierarchy, pure or beside v1.
    CgroupV2,
    /// This controller in the root of a cgroup v2 hierarchy.
    CgroupV2Controller(&'static str),
    /// A mounted cgroup v1 hierarchy with this controller.
    CgroupV1(&'static str),
    /// User namespaces for this user.
    Userns,
    /// `newuidmap` and `newgidmap`, setuid or with their capability.
    Newuidmap,
    /// The overlay file system.
    Overlay,
    /// Landlock, compiled in and on.
    Landlock,
    /// The AppArmor security module.
    AppArmor,
    /// A usable `/dev/kvm`.
    Kvm,
    /// A virtual machine of `cargo xtask vm` of this flavour, from the inside.
    Vm(&'static str),
    /// This path on the host (a device, a tunable).
    Path(&'static str),
    /// A C compiler, for tests that build a hostile program.
    CCompiler,
    /// [`User::with_subids`](crate::User::with_subids) works here.
    UserWithSubids,
    /// [`User::without_subids`](crate::User::without_subids) works here.
    UserWithoutSubids,
}

/// The constructors that [`needs!`](crate::needs!) takes by name.
#[doc(hidden)]
pub mod constructors {
    use super::Need;

    #[must_use]
    pub const fn root() -> Need {
        Need::Root
    }
    #[must_use]
    pub const fn unprivileged() -> Need {
        Need::Unprivileged
    }
    #[must_use]
    pub const fn account() -> Need {
        Need::Account
    }
    #[must_use]
    pub const fn user() -> Need {
        Need::User
    }
    #[must_use]
    pub const fn program(name: &'static str) -> Need {
        Need::Program(name)
    }
    #[must_use]
    pub const fn version(name: &'static str, version: &'static str) -> Need {
        Need::Version(name, version)
    }
    #[must_use]
    pub const fn kernel(major: u32, minor: u32) -> Need {
        Need::Kernel(major, minor)
    }
    #[must_use]
    pub const fn cgroup_v2() -> Need {
        Need::CgroupV2
    }
    #[must_use]
    pub const fn cgroup_v2_controller(name: &'static str) -> Need {
        Need::CgroupV2Controller(name)
    }
    #[must_use]
    pub const fn cgroup_v1(controller: &'static str) -> Need {
        Need::CgroupV1(controller)
    }
    #[must_use]
    pub const fn userns() -> Need {
        Need::Userns
    }
    #[must_use]
    pub const fn newuidmap() -> Need {
        Need::Newuidmap
    }
    #[must_use]
    pub const fn overlay() -> Need {
        Need::Overlay
    }
    #[must_use]
    pub const fn landlock() -> Need {
        Need::Landlock
    }
    #[must_use]
    pub const fn apparmor() -> Need {
        Need::AppArmor
    }
    #[must_use]
    pub const fn kvm() -> Need {
        Need::Kvm
    }
    #[must_use]
    pub const fn vm(flavour: &'static str) -> Need {
        Need::Vm(flavour)
    }
    #[must_use]
    pub const fn path(path: &'static str) -> Need {
        Need::Path(path)
    }
    #[must_use]
    pub const fn c_compiler() -> Need {
        Need::CCompiler
    }
    #[must_use]
    pub const fn user_with_subids() -> Need {
        Need::UserWithSubids
    }
    #[must_use]
    pub const fn user_without_subids() -> Need {
        Need::UserWithoutSubids
    }
}

impl fmt::Display for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(out, "root"),
            Self::Unprivileged => write!(out, "an unprivileged caller"),
            Self::Account => write!(out, "an account in /etc/passwd"),
            Self::User => write!(out, "an unprivileged user to act as"),
            Self::Program(name) => write!(out, "program {name}"),
            Self::Version(name, version) => write!(out, "{name} {version}"),
            Self::Kernel(major, minor) => write!(out, "kernel {major}.{minor}"),
            Self::CgroupV2 => write!(out, "cgroup v2"),
            Self::CgroupV2Controller(name) => write!(out, "cgroup v2 controller {name}"),
            Self::CgroupV1(name) => write!(out, "cgroup v1 controller {name}"),
            Self::Userns => write!(out, "user namespaces"),
            Self::Newuidmap => write!(out, "newuidmap"),
            Self::Overlay => write!(out, "overlayfs"),
            Self::Landlock => write!(out, "landlock"),
            Self::AppArmor => write!(out, "apparmor"),
            Self::Kvm => write!(out, "kvm"),
            Self::Vm(flavour) => write!(out, "vm {flavour} (cargo xtask vm)"),
            Self::Path(path) => write!(out, "{path}"),
            Self::CCompiler => write!(out, "a C compiler"),
            Self::UserWithSubids => write!(out, "an unprivileged user with subordinate ids"),
            Self::UserWithoutSubids => write!(out, "an unprivileged user without subordinate ids"),
        }
    }
}

impl Need {
    /// Whether this machine, for this process, has it.
    #[must_use]
    pub fn is_met(self) -> bool {
        match self {
            Self::Root => rustix::process::geteuid().is_root(),
            Self::Unprivileged => !rustix::process::geteuid().is_root(),
            Self::Account => crate::user::name_of(&rustix::process::geteuid().as_raw().to_string()).is_some(),
            Self::User => Self::Unprivileged.is_met() || find_program("setpriv").is_some(),
            Self::Program(name) => find_program(name).is_some(),
            Self::Version(name, version) => find_program(name).is_some_and(|program| {
                let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
                let text = output.map(|output| output.stdout).unwrap_or_default();
                String::from_utf8_lossy(&text)
                    .split_whitespace()
                    .any(|word| word.split('+').next() == Some(version))
            }),
            Self::Kernel(major, minor) => kernel_version() >= (major, minor),
            Self::CgroupV2 => cgroup_v2_mount().is_some(),
            Self::CgroupV2Controller(name) => cgroup_v2_mount().is_some_and(|mount| {
                let listed = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                listed.split_whitespace().any(|listed| listed == name)
            }),
            Self::CgroupV1(name) => cgroup_v1_mount(name).is_some(),
            Self::Userns => succeeds("unshare", &["-U", "true"]),
            Self::Newuidmap => find_program("newuidmap").is_some() && find_program("newgidmap").is_some(),
            Self::Overlay => file_has_line("/proc/filesystems", |line| line.ends_with("\toverlay")),
            Self::Landlock => has_landlock(),
            Self::AppArmor => file_has_line("/sys/module/apparmor/parameters/enabled", |line| line == "Y"),
            Self::Kvm => OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok(),
            Self::Vm(flavour) => std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| {
                line.split_whitespace().any(|word| word.strip_prefix("brig.vm=") == Some(flavour))
            }),
            Self::Path(path) => Path::new(path).exists(),
            Self::CCompiler => find_program("cc").is_some(),
            Self::UserWithSubids => {
                Self::User.is_met() && Self::Newuidmap.is_met() && (Self::Root.is_met() || own_subids())
            }
            Self::UserWithoutSubids => Self::User.is_met() && (Self::Root.is_met() || !own_subids()),
        }
    }
}

/// States what `test` needs; reports the first unmet need and answers whether the test may go on.
///
/// # Panics
/// With `BRIG_TEST_STRICT=1` an unmet need is a failure.
#[must_use]
pub fn needs(test: &str, wanted: &[Need]) -> bool {
    let Some(unmet) = wanted.iter().find(|need| !need.is_met()) else { return true };
    skip(test, &unmet.to_string());
    false
}

/// Counts `test` as skipped for `need`.
///
/// # Panics
/// With `BRIG_TEST_STRICT=1`.
pub(crate) fn skip(test: &str, need: &str) {
    let line = format!("skipped: {test}: needs {need}\n");
    assert!(std::env::var_os("BRIG_TEST_STRICT").is_none_or(|value| value != "1"), "{line}");
    // Written past libtest's capture, which would swallow a passing test's `println`.
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
    if let Some(path) = std::env::var_os("BRIG_TEST_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(&path).expect("BRIG_TEST_SKIPS");
        file.write_all(line.as_bytes()).expect("BRIG_TEST_SKIPS");
    }
}

/// Returns from the test, counted as skipped, unless the machine has all that is named:
/// `needs!(root, program("runc"), kernel(5, 19))`.
#[macro_export]
macro_rules! needs {
    ($($need:ident $(($($argument:expr),*))?),+ $(,)?) => {{
        fn here() {}
        let here = ::std::any::type_name_of_val(&here);
        let test = here.strip_suffix("::here").unwrap_or(here);
        if !$crate::needs(test, &[$($crate::constructors::$need($($($argument),*)?)),+]) {
            return;
        }
    }};
}

/// Finds a program as a shell would, and in the directories that an unprivileged `PATH` may lack.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Where the cgroup v2 hierarchy is mounted.
#[must_use]
pub fn cgroup_v2_mount() -> Option<PathBuf> {
    cgroup_mount(|kind, _| kind == "cgroup2")
}

/// Where the cgroup v1 hierarchy with this controller is mounted.
#[must_use]
pub fn cgroup_v1_mount(controller: &str) -> Option<PathBuf> {
    cgroup_mount(|kind, options| kind == "cgroup" && options.split(',').any(|option| option == controller))
}

fn cgroup_mount(wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        wanted(kind, options).then(|| PathBuf::from(point))
    })
}

fn kernel_version() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether this process's own user has subordinate ids, by `/etc/subuid`.
fn own_subids() -> bool {
    let uid = rustix::process::getuid().as_raw().to_string();
    let name = crate::user::name_of(&uid).unwrap_or_default();
    file_has_line("/etc/subuid", |line| {
        line.split(':').next().is_some_and(|owner| owner == uid || (!name.is_empty() && owner == name))
    })
}

fn has_landlock() -> bool {
    // securityfs is not mounted everywhere; the symbol says that it is compiled in, the list that it is on.
    std::fs::read_to_string("/sys/kernel/security/lsm").map_or_else(
        |_| file_has_line("/proc/kallsyms", |line| line.ends_with(" __x64_sys_landlock_create_ruleset")),
        |list| list.trim().split(',').any(|name| name == "landlock"),
    )
}

fn file_has_line(path: &str, wanted: impl Fn(&str) -> bool) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(wanted))
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmet_need_returns_before_the_body() {
        fn body(reached: &mut bool) {
            needs!(kernel(2, 6), program("no-such-program-of-brig"));
            *reached = true;
        }
        if std::env::var_os("BRIG_TEST_STRICT").is_some() || std::env::var_os("BRIG_TEST_SKIPS").is_some() {
            return; // this skip is the test's subject, not a fact to be counted
        }
        let mut reached = false;
        body(&mut reached);
        assert!(!reached);
    }

    #[test]
    fn met_needs_go_on() {
        assert!(needs("here", &[Need::Kernel(2, 6), Need::Path("/proc"), Need::Program("sh")]));
        assert!(Need::Root.is_met() != Need::Unprivileged.is_met());
    }
}
