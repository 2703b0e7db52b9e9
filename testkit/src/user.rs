//! An unprivileged user of the test's own, without touching the host's account files.
//!
//! Run by root, each user is a number that no account has, seen through copies of `/etc/passwd`,
//! `/etc/group`, `/etc/subuid` and `/etc/subgid` that only the command's private mount namespace holds.
//! Run by a plain user, it is that user with a home directory of the test's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Need, TempDir};

const ACCOUNT_FILES: [&str; 4] = ["passwd", "group", "subuid", "subgid"];
/// Above the ids that Debian gives out (1000-59999 by `adduser` order), below its reserved ones.
const FIRST_UID: u32 = 20_000;
const UIDS: u32 = 30_000;
/// As many subordinate ids as `useradd` grants.
const SUBIDS: u32 = 65_536;
/// Far above every range that `useradd` or our own range allocator hands out.
const FIRST_SUBID: u32 = 1_500_000_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An unprivileged user with a home and a runtime directory, both removed on drop.
#[derive(Debug)]
pub struct User {
    directory: TempDir,
    uid: u32,
    gid: u32,
    name: String,
    /// The directory whose files stand in for `/etc`'s; `None` when this process is the user.
    accounts: Option<PathBuf>,
}

impl User {
    /// A user with 65,536 subordinate user and group ids. Needs [`Need::UserWithSubids`].
    ///
    /// # Panics
    /// When its files cannot be written.
    #[must_use]
    pub fn with_subids() -> Self {
        Self::make(true)
    }

    /// A user that has none. Needs [`Need::UserWithoutSubids`].
    ///
    /// # Panics
    /// When its files cannot be written.
    #[must_use]
    pub fn without_subids() -> Self {
        Self::make(false)
    }

    fn make(subids: bool) -> Self {
        let directory = TempDir::new();
        let mut user = if Need::Root.is_met() {
            let uid = free_uid();
            Self { directory, uid, gid: uid, name: format!("brigtest{uid}"), accounts: None }
        } else {
            let uid = rustix::process::getuid().as_raw();
            let name = name_of(&uid.to_string()).unwrap_or_else(|| uid.to_string());
            Self { directory, uid, gid: rustix::process::getgid().as_raw(), name, accounts: None }
        };
        for (path, mode) in [(user.home(), 0o755), (user.runtime_dir(), 0o700), (user.bin(), 0o755)] {
            fs::create_dir(&path).expect("directory in our own directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
            chown(&path, Some(user.uid), Some(user.gid)).expect("owner");
        }
        if Need::Root.is_met() {
            user.accounts = Some(user.write_accounts(subids));
        }
        user
    }

    fn write_accounts(&self, subids: bool) -> PathBuf {
        let etc = self.directory.join("etc");
        if ACCOUNT_FILES.iter().all(|name| Path::new("/etc").join(name).exists()) {
            fs::create_dir(&etc).expect("directory in our own directory");
        } else {
            // A file that is not there cannot be mounted over: the whole directory stands in.
            let copied = Command::new("cp").arg("-a").arg("/etc").arg(&etc).status().expect("cp");
            assert!(copied.success(), "cp -a /etc");
        }
        let Self { uid, gid, name, .. } = self;
        let range = FIRST_SUBID + (uid - FIRST_UID) % 8_192 * SUBIDS;
        let subid = if subids { format!("{name}:{range}:{SUBIDS}\n") } else { String::new() };
        let home = self.home();
        for (file, line) in [
            ("passwd", format!("{name}:x:{uid}:{gid}::{}:/bin/sh\n", home.display())),
            ("group", format!("{name}:x:{gid}:\n")),
            ("subuid", subid.clone()),
            ("subgid", subid),
        ] {
            let mut text = fs::read_to_string(Path::new("/etc").join(file)).unwrap_or_default();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&line);
            fs::write(etc.join(file), text).expect("account file of our own");
            fs::set_permissions(etc.join(file), fs::Permissions::from_mode(0o644)).expect("mode");
        }
        fs::set_permissions(&etc, fs::Permissions::from_mode(0o755)).expect("mode");
        etc
    }

    /// Lets `/etc/subuid` and `/etc/subgid` hold `text` for the user's commands. Needs [`Need::Root`].
    ///
    /// # Panics
    /// When this process is the user: the host's files are never changed.
    pub fn set_subids(&self, text: &str) {
        let etc = self.accounts.as_ref().expect("only root shows a user other files");
        for name in ["subuid", "subgid"] {
            fs::write(etc.join(name), text).expect("account file of our own");
        }
    }

    /// The user's id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The user's group id.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The user's login name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The home directory.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// What `XDG_RUNTIME_DIR` names.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.directory.join("run")
    }

    fn bin(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// Copies a program to where the user can reach it (a build directory below `/root` cannot be) and returns the copy.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn install(&self, program: &Path) -> PathBuf {
        let copy = self.bin().join(program.file_name().expect("a program has a name"));
        if !copy.exists() {
            fs::copy(program, &copy).unwrap_or_else(|error| panic!("copy {}: {error}", program.display()));
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("mode");
        }
        copy
    }

    /// Gives a file or a directory tree to the user.
    ///
    /// # Panics
    /// When `chown` fails.
    pub fn give(&self, path: &Path) {
        if self.accounts.is_none() {
            return;
        }
        let owner = format!("{}:{}", self.uid, self.gid);
        let given = Command::new("chown").args(["-hR", &owner]).arg(path).status().expect("chown");
        assert!(given.success(), "chown {}", path.display());
    }

    /// A command that runs as the user, from its home, with a login's bare environment.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match &self.accounts {
            None => Command::new(program.as_ref()),
            Some(etc) => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", ENTER, "sh"]);
                command.arg(etc).arg(self.uid.to_string()).arg(self.gid.to_string()).arg(program.as_ref());
                command
            }
        };
        command
            .env_clear()
            .current_dir(self.home())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.home())
            .env("USER", &self.name)
            .env("LOGNAME", &self.name)
            .env("XDG_RUNTIME_DIR", self.runtime_dir());
        command
    }
}

/// Arguments: directory of account files, user id, group id, program, its arguments.
const ENTER: &str = r#"
etc=$1 uid=$2 gid=$3; shift 3
if [ -e "$etc/hosts" ]; then mount --bind "$etc" /etc || exit 125
else for file in passwd group subuid subgid; do mount --bind "$etc/$file" "/etc/$file" || exit 125; done
fi
exec setpriv --reuid="$uid" --regid="$gid" --clear-groups --inh-caps=-all -- "$@"
"#;

/// The login name of a user id, by `/etc/passwd`.
pub(crate) fn name_of(uid: &str) -> Option<String> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// An id that no account has and that no concurrent test of this machine is likely to pick.
fn free_uid() -> u32 {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let uid = FIRST_UID + std::process::id().wrapping_mul(3).wrapping_add(number) % UIDS;
        if name_of(&uid.to_string()).is_none() {
            return uid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_user_is_itself_and_owns_its_home() {
        crate::needs!(user_with_subids);
        let user = User::with_subids();
        let seen =
            output(user.command("/bin/sh").args(["-c", "id -u; id -un; touch $HOME/a $XDG_RUNTIME_DIR/b"]));
        assert_eq!(seen, format!("{}\n{}\n", user.uid(), user.name()));
        assert!(user.home().join("a").exists());
    }

    #[test]
    fn the_host_keeps_its_account_files() {
        crate::needs!(root, user_with_subids);
        let before = fs::read("/etc/subuid").ok();
        let user = User::with_subids();
        let seen = output(user.command("cat").arg("/etc/subuid"));
        assert!(seen.contains(&format!("{}:", user.name())));
        assert_eq!(fs::read("/etc/subuid").ok(), before);
    }

    #[test]
    fn subordinate_ids_can_be_mapped() {
        crate::needs!(user_with_subids, userns);
        let user = User::with_subids();
        let map = output(user.command("unshare").args(["-r", "--map-auto", "cat", "/proc/self/uid_map"]));
        assert_eq!(map.lines().count(), 2, "{map}");
    }

    #[test]
    fn or_there_are_none() {
        crate::needs!(user_without_subids);
        let user = User::without_subids();
        let seen = output(user.command("cat").arg("/etc/subuid"));
        assert!(!seen.contains(user.name()));
    }
}
