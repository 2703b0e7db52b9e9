//! `exec`: a further process in a container that runs, with the container's own restrictions and never more.

use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::{Capabilities, IdMapping, Process, Status};
use runtime::{DetachKeys, ExecRequest, Report};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::capability::{self, Word};
use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::spec::workdir;
use crate::value::environment::{Entry, Environment, MAX_ENTRIES};
use crate::value::keys;
use crate::value::name::ContainerId;
use crate::value::user::Accounts;
use crate::weakening::{WeakeningKind, Weakenings};

/// Most bytes of the container's account files that are read.
const MAX_ACCOUNTS: u64 = 1 << 20;

/// What a person asked for.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// The program and its words.
    pub command: Vec<String>,
    /// `USER[:GROUP]` as the container's account files have it now; the container's own user where there is none.
    pub user: Option<String>,
    /// Working directory; the container's own where there is none.
    pub workdir: Option<String>,
    /// What is added to the container's environment.
    pub environment: Vec<Entry>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Whether it gets the caller's input.
    pub interactive: bool,
    /// Return once it runs.
    pub detach: bool,
    /// Every capability in the container's user namespace. The filter and the security module's label stay, as with docker.
    pub privileged: bool,
    /// Keys that leave it running; docker's where there are none.
    pub detach_keys: Option<String>,
    /// Number of descriptors from 3 on that it keeps.
    pub preserve_descriptors: u32,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code, or 128 and the signal that ended it; 0 where it was left running.
    pub code: u8,
    /// What works less well than asked for.
    pub warnings: Vec<String>,
}

/// A container that runs, to be joined.
#[derive(Debug)]
pub struct Running<'a> {
    containers: &'a Containers<'a>,
    id: ContainerId,
    container: runtime::Container<'a>,
}

impl<'a> Running<'a> {
    /// Opens a container that runs.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub fn open(containers: &'a Containers<'a>, id: &ContainerId) -> Result<Self> {
        let not_running = || Error::NotRunning { id: id.short().to_owned() };
        let container = match runtime::Container::load(containers.states(), id.as_str()) {
            Err(runtime::Error::NoContainer(_)) => return Err(not_running()),
            result => result?,
        };
        match container.status() {
            Status::Running | Status::Paused => Ok(Self { containers, id: id.clone(), container }),
            Status::Creating | Status::Created | Status::Stopped => Err(not_running()),
        }
    }

    /// Its first process, as the host sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.container.saved().pid
    }

    /// Starts a process in it, and waits for its end unless it is detached. `host` is the caller's environment, of which
    /// only what is named gets in.
    ///
    /// # Errors
    /// [`Error::Status`] for a container that is paused, [`Error::Value`], [`Error::User`], [`Error::Runtime`].
    pub fn exec(&self, exec: &Exec, host: &[(String, String)]) -> Result<Executed> {
        if self.container.status() == Status::Paused {
            return Err(Error::Status { id: self.id.short().to_owned(), status: "paused" });
        }
        let mut warnings = Vec::new();
        let process = self.process(exec, host, &mut warnings)?;
        if exec.privileged {
            self.record_privileged(&exec.command)?;
        }
        let keys = keys::parse(exec.detach_keys.as_deref().unwrap_or(keys::DEFAULT))?;
        let request = ExecRequest {
            process,
            detach: exec.detach,
            interactive: exec.interactive,
            quiet: exec.detach,
            detach_keys: exec.terminal.then(|| DetachKeys::new(keys)),
            console_socket: None,
            pid_file: None,
            preserve_descriptors: exec.preserve_descriptors,
            ignore_paused: false,
        };
        let mut report = Report::default();
        let exit = match runtime::exec(&self.container, &request, &mut report) {
            // It ended since it was looked at.
            Err(runtime::Error::WrongStatus { .. }) => {
                return Err(Error::NotRunning { id: self.id.short().to_owned() });
            }
            result => result?,
        };
        warnings.append(&mut report.warnings);
        Ok(Executed { code: exit.0, warnings })
    }

    /// Its cgroup, where it has one.
    pub(crate) fn cgroup(&self) -> Result<Option<cgroup::Cgroup>> {
        let cgroup = self.container.saved().open_cgroup()?;
        Ok(cgroup.filter(|cgroup| cgroup.driver() != cgroup::Driver::None))
    }

    /// A file of the container as it is now; nothing where there is none.
    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        Ok(files::root::read_bounded(self.root()?, path, limit)?.unwrap_or_default())
    }

    /// The maps of its user namespace, users then groups; none where it shares the host's.
    pub(crate) fn maps(&self) -> (&[IdMapping], &[IdMapping]) {
        let linux = self.container.saved().spec.linux.as_ref();
        linux.map_or((&[], &[]), |linux| (&linux.uid_mappings, &linux.gid_mappings))
    }

    fn process(&self, exec: &Exec, host: &[(String, String)], warnings: &mut Vec<String>) -> Result<Process> {
        let spec = &self.container.saved().spec;
        let mut process = spec.process.clone().unwrap_or_default();
        if exec.command.first().is_none_or(String::is_empty) {
            return Err(Error::NoCommand);
        }
        if exec.command.iter().any(|word| word.contains('\0')) {
            let value = exec.command.join(" ").escape_debug().to_string();
            return Err(Error::value("COMMAND", value, "a NUL ends a string for the kernel"));
        }
        process.args.clone_from(&exec.command);
        process.terminal = exec.terminal;
        process.console_size = None;
        let mut environment = Environment::default();
        for entry in &process.env {
            if let Some((name, value)) = entry.split_once('=') {
                environment.set(name, value);
            }
        }
        if exec.terminal {
            environment.set_default("TERM", "xterm");
        }
        if let Some(text) = &exec.user {
            self.change_user(text, &mut process, &mut environment, warnings)?;
        }
        if exec.environment.len() > MAX_ENTRIES {
            let reason = format!("more than {MAX_ENTRIES} entries");
            return Err(Error::value("--env", exec.environment.len().to_string(), reason));
        }
        for entry in &exec.environment {
            match entry {
                Entry::Assignment(name, value) => environment.set(name, value),
                Entry::FromHost(name) => match host.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => environment.set(name, value),
                    None => environment.remove(name),
                },
            }
        }
        process.env = environment.into_strings();
        if let Some(path) = &exec.workdir {
            process.cwd = workdir(path)?;
        }
        if exec.privileged {
            let all: Vec<String> =
                capability::combine(&[], &[Word::All], &[]).into_iter().map(str::to_owned).collect();
            process.capabilities = Some(Capabilities {
                bounding: all.clone(),
                effective: all.clone(),
                permitted: all,
                ..Capabilities::default()
            });
        }
        Ok(process)
    }

    /// Another user than the container's, of the account files that the container has now.
    fn change_user(
        &self,
        text: &str,
        process: &mut Process,
        environment: &mut Environment,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let read = |path| self.read(path, MAX_ACCOUNTS);
        let accounts = Accounts::parse(&read("etc/passwd")?, &read("etc/group")?)?;
        let user = accounts.resolve(text, &[])?;
        let (uids, gids) = self.maps();
        for (map, id, what) in [(uids, user.uid, "user"), (gids, user.gid, "group")] {
            if !is_mapped(map, id) {
                let reason = format!("the container's user namespace has no such {what}: {id}");
                return Err(Error::User { value: text.escape_debug().to_string(), reason });
            }
        }
        let own_home = accounts.resolve(&process.user.uid.to_string(), &[]).map(|own| own.home);
        if own_home.is_ok_and(|home| environment.get("HOME") == Some(&home)) {
            // It was not chosen by anybody.
            environment.set("HOME", &user.home);
        }
        environment.set_default("HOME", &user.home);
        let was_root = process.user.uid == 0;
        process.user.uid = user.uid;
        process.user.gid = user.gid;
        // A single id of a plain user's: the kernel denies setgroups(2) there for good.
        let single = gids.len() == 1 && gids[0].size == 1;
        process.user.additional_gids = if single {
            Vec::new()
        } else {
            user.groups.into_iter().filter(|id| is_mapped(gids, *id)).collect()
        };
        let mut sets = process.capabilities.take().unwrap_or_default();
        if user.uid == 0 && !was_root {
            // What the container is bounded by, and no more: of one that runs as a user that is nothing.
            sets = Capabilities {
                effective: sets.bounding.clone(),
                permitted: sets.bounding.clone(),
                bounding: sets.bounding,
                ..Capabilities::default()
            };
            if sets.bounding.is_empty() {
                let text = "root has no capability in a container that was started as another user; `--privileged` gives it all";
                warnings.push(text.to_owned());
            }
        } else if user.uid != 0 && was_root {
            sets = Capabilities { bounding: sets.bounding, ..Capabilities::default() };
        }
        process.capabilities = Some(sets);
        Ok(())
    }

    /// The root directory as the container's first process has it.
    fn root(&self) -> Result<OwnedFd> {
        let path = format!("/proc/{}", self.pid());
        let failed = |source| Error::System { action: "open the root of", path: path.clone().into(), source };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let process = rustix::fs::open(&path, flags, Mode::empty()).map_err(failed)?;
        // The number is this process's only as long as it lives, and then the directory is, too.
        if !self.container.saved().is_alive() {
            return Err(Error::NotRunning { id: self.id.short().to_owned() });
        }
        rustix::fs::openat(process.as_fd(), "root", flags, Mode::empty()).map_err(|errno| match errno {
            // It is about to end, and has given its root back.
            Errno::NOENT => Error::NotRunning { id: self.id.short().to_owned() },
            errno => failed(errno),
        })
    }

    /// Writes down that more was opened than the container has (invariant 4).
    fn record_privileged(&self, command: &[String]) -> Result<()> {
        let program = command.first().map_or("", String::as_str);
        let mut opened = Weakenings::default();
        let opens = format!("every capability in the container to `{}`", program.escape_debug());
        opened.open(WeakeningKind::Capability, "exec --privileged", opens);
        self.containers.change_record(&self.id, |record| {
            for weakening in opened.into_vec() {
                if !record.weakenings.contains(&weakening) && record.weakenings.len() < MOST_RECORDED {
                    record.weakenings.push(weakening);
                }
            }
        })
    }
}

/// Most weakenings that `exec` adds to a record: a script that names another program each time must not grow it for ever.
const MOST_RECORDED: usize = 256;

/// Whether an id exists in the container; without maps it shares the host's ids.
fn is_mapped(map: &[IdMapping], id: u32) -> bool {
    map.is_empty()
        || map
            .iter()
            .any(|range| id.checked_sub(range.container_id).is_some_and(|offset| offset < range.size))
}
