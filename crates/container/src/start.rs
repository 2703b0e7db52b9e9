//! Starting a container that outlives the command: its monitor is made, makes the container, and tells how that went.
//!
//! The monitor is forked before the container is cloned, so that it is the parent who can wait for it. Once the payload
//! runs it executes this program again as the small loop of the `monitor` crate; what this process has in its memory goes.
//! The lock goes along: who kills us at any moment leaves nothing, or a container with its monitor, or one that the
//! next command adopts.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use monitor::{Life, Settings, control};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};
use store::Lease;

use crate::containers::{Containers, Reserved};
use crate::create::give_back;
use crate::end::finish_watched;
use crate::error::{Error, Result};
use crate::health;
use crate::host::IdSource;
use crate::kept::{Kept, SPEC};
use crate::lsm::{Categories, Modules, selinux};
use crate::notify::{self, Notify};
use crate::overlays;
use crate::record::Record;
use crate::run::{self, Ready, Site};
use crate::stop;
use crate::value::log;
use crate::value::name::ContainerId;
use crate::volumes;
use crate::wait;

/// Longest answer of a monitor: a message of the longest kind, escaped.
const MAX_ANSWER: u64 = 256 << 10;
/// Directory of log files in a container's directory.
pub(crate) const LOG: &str = "log";

/// Which start it is of those that a restart policy makes.
#[derive(Clone, Copy, Debug, Default)]
struct Again {
    /// How many there were, this one included; 0 for a person's.
    restart_count: u32,
    /// Milliseconds before it.
    pause: u32,
}

/// How a container's log is kept. Driver and options were checked when it was made.
pub(crate) fn log_settings(record: &Record) -> monitor::log::Settings {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let subject = log::Subject {
        id: &record.id,
        name: record.name.as_deref().unwrap_or_default(),
        image: &record.image,
        image_id: &record.image_id,
        labels: &record.labels,
        environment: &record.process.env,
        host: &host,
    };
    log::settings(&record.log, &subject).unwrap_or_default()
}

/// What a monitor says before it becomes the loop.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// The payload runs.
    Started,
    /// It does not.
    Failed { message: String, hint: Option<String>, code: u8 },
}

/// Makes a container that ended, or was never started, ready to start.
///
/// # Errors
/// [`Error::Running`] where it runs; whatever is wrong with image, options or host. It stays as it was then.
pub fn reopen(site: &Site<'_>, id: &ContainerId, ids: IdSource) -> Result<Ready> {
    wait::settled(site.containers, id)?;
    if site.containers.is_alive(id)? {
        return Err(Error::Running { id: id.short().to_owned() });
    }
    let reserved = site.containers.watch(id)?;
    stop::forget_stopping(reserved.directory.as_fd())?;
    let reopened = reopen_watched(site, reserved, ids);
    match reopened {
        Ok(ready) => Ok(ready),
        Err((reserved, error)) => {
            // The first error is the one to tell.
            drop(site.containers.leave(reserved));
            Err(error)
        }
    }
}

/// As [`reopen`], for the watcher; he gets the container back with an error.
#[expect(clippy::result_large_err, reason = "the caller goes on with what he gets back")]
pub(crate) fn reopen_watched(
    site: &Site<'_>,
    reserved: Reserved,
    ids: IdSource,
) -> std::result::Result<Ready, (Reserved, Error)> {
    match prepare_again(site, &reserved, ids) {
        Ok(parts) => Ok(Ready {
            reserved,
            snapshot: parts.snapshot,
            claim: parts.claim,
            categories: parts.categories,
            options: parts.options,
            configured: parts.configured,
        }),
        Err(error) => Err((reserved, error)),
    }
}

struct Parts {
    snapshot: store::Snapshot,
    claim: Option<idmap::allocate::Claim>,
    categories: Option<Categories>,
    options: crate::Options,
    configured: crate::spec::Configured,
}

fn prepare_again(site: &Site<'_>, reserved: &Reserved, ids: IdSource) -> Result<Parts> {
    let id = &reserved.id;
    let kept = Kept::read(reserved.directory.as_fd(), id)?;
    site.containers.forget_process(id)?;
    site.containers.clear_runtime(id)?;
    // What a volatile overlay left there forbids a second mount.
    site.containers.remove_overlay_work(id);
    site.containers.remove_overlays(id)?;
    if kept.options.layer_size.is_some() {
        files::quota::check(overlays::work(reserved.directory.as_fd())?)?;
    }
    let lease = Lease::read(reserved.directory.as_fd())?;
    let image = site.store.image(&lease.manifest)?;
    let snapshot = site.store.prepare(&image)?;
    let mut options = kept.options;
    let _held = volumes::hold(site.store, &options)?;
    options.detached = true;
    let categories = if selinux::wants_categories(&options) {
        Some(Categories::reserve(site.containers.runtime_directory("mcs")?, id.as_str())?)
    } else {
        None
    };
    let (ids, claim) = run::claim(site, &options, ids, id)?;
    let site = Site { environment: kept.environment, bus: site.bus.clone(), ..*site };
    let files = run::engine_files(&site, id);
    let asked = (&options, Modules::prepare(&options, categories.as_ref()));
    let made = run::configure(&site, &image, asked, ids, &snapshot, id, &files).and_then(|configured| {
        run::write_files(&site, &options, &configured, site.containers.make_etc(id)?.as_fd())?;
        reserved.write_json(SPEC, &configured.spec)?;
        site.containers.change_record(id, |record| {
            record.protections.clone_from(&configured.protections);
            record.weakenings.clone_from(&configured.weakenings);
        })?;
        Ok(configured)
    });
    match made {
        Ok(configured) => Ok(Parts { snapshot, claim, categories, options, configured }),
        Err(error) => {
            // The first error is the one to tell.
            drop(give_back(&site, claim, categories));
            Err(error)
        }
    }
}

pub(crate) fn record(site: &Site<'_>, id: &ContainerId) -> Result<Record> {
    site.containers.record(id)?.ok_or_else(|| Error::NoContainer { name: id.short().to_owned() })
}

impl Ready {
    /// Starts the container with a monitor of its own and returns once its payload runs.
    ///
    /// `client` is a socket of [`control`] whose other end gets all output from the start. `warn` gets what protects less
    /// than it should before the payload runs; it is called in the monitor's process.
    ///
    /// # Errors
    /// What the start met. The container stays, as created; one that goes away at its end is gone.
    pub fn detach(self, site: &Site<'_>, client: Option<OwnedFd>, warn: &dyn Fn(&str)) -> Result<()> {
        let failed = |action| {
            let path = self.reserved.path.clone();
            move |source| Error::System { action, path, source }
        };
        let (answer, teller) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe for"))?;
        let notify = self.options.notify;
        match sys::clone::fork().map_err(failed("make a monitor for"))? {
            0 => {
                drop(answer);
                self.be_monitor(site, client, &teller, warn)
            }
            monitor => {
                // Who ends it gives its ids back, and waits for us if we have them.
                drop((teller, client, self.claim));
                // The monitor has the lock: it is shared over fork.
                heard(&answer)?;
                notify::started(site, notify, monitor, warn);
                Ok(())
            }
        }
    }

    /// The life of the monitor until it is the loop, or until the start failed.
    pub(crate) fn be_monitor(
        self,
        site: &Site<'_>,
        client: Option<OwnedFd>,
        teller: &OwnedFd,
        warn: &dyn Fn(&str),
    ) -> ! {
        let started = leave_the_session()
            .and_then(|()| self.launch(site, Again::default(), client, warn))
            .and_then(|settings| {
                let arguments = settings.hand_over().map_err(monitor_failed)?;
                tell(teller, &Answer::Started);
                Err::<std::convert::Infallible, _>(monitor_failed(become_loop(&arguments)))
            });
        let Err(error) = started;
        let answer =
            Answer::Failed { message: files::chain(&error), hint: error.hint(), code: error.exit_code() };
        tell(teller, &answer);
        sys::exec::exit_now(1)
    }

    /// Starts the container as a child of this process; the settings of its loop.
    fn launch(
        self,
        site: &Site<'_>,
        again: Again,
        client: Option<OwnedFd>,
        warn: &dyn Fn(&str),
    ) -> Result<Settings> {
        let Again { restart_count, pause } = again;
        let Self { reserved, snapshot, claim, categories, options, configured } = self;
        let record = record(site, &reserved.id)?;
        let started = monitor::now();
        let log = log_settings(&record);
        let receiver = monitor::log::check_forward(&log.forward)
            .map_err(|source| Error::NoReceiver { driver: record.log.driver.clone(), source });
        // What checks said of the last start is not true of this one.
        let cleared = receiver.and_then(|()| health::reset(reserved.directory.as_fd()));
        let made = cleared
            .and_then(|()| {
                let speaks = options.notify == Notify::Container;
                speaks.then(|| notify::listen(site.containers, &reserved.id)).transpose()
            })
            .and_then(|notify| Ok((notify, Streams::make(site, &reserved, &options)?)))
            .and_then(|(notify, (streams, theirs))| {
                let mut report = runtime::Report::default();
                let process =
                    run::with_request(site, &reserved, snapshot, &options, configured, warn, |request| {
                        runtime::start(request, theirs, &mut report)
                    })?;
                report.warnings.iter().for_each(|warning| warn(warning));
                Ok((streams, process, notify))
            });
        let (streams, process, notify) = match made {
            Ok(made) => made,
            Err(error) => {
                let left = give_back(site, claim, categories)
                    .and_then(|()| failed(site, reserved, &options, &error));
                if let Err(left) = left {
                    warn(&files::chain(&left));
                }
                return Err(error);
            }
        };
        // The range stays the container's: its name is in the claim, and it is alive.
        drop(claim);
        let life = Life {
            status: monitor::Status::Running,
            pid: process.pid,
            started,
            restart_count,
            ..Life::default()
        };
        // A full disk: the process itself says that it runs.
        drop(life.write(reserved.directory.as_fd()));
        if let Some(master) = &process.terminal {
            do_not_wait(master)?;
        }
        let (memory, memory_around) = kill_counts(site.containers, &reserved.id);
        Ok(Settings {
            id: reserved.id.to_string(),
            root: site.store.path().to_owned(),
            runroot: site.containers.runroot().to_owned(),
            life,
            start_time: process.start_time,
            pause,
            stdin_once: options.interactive && client.is_some(),
            timeout: options.timeout,
            health: record.health.as_ref().map(health::schedule),
            log,
            lock: reserved.alive.into_fd(),
            process: Some(process.process),
            directory: reserved.directory,
            streams: streams.directory,
            listener: streams.listener,
            stdout: streams.stdout,
            stderr: streams.stderr,
            stdin: streams.stdin,
            master: process.terminal,
            memory,
            memory_around,
            notify,
            notify_to: notify::target(site).unwrap_or_default().to_owned(),
            client,
        })
    }
}

/// What counts the kernel's kills for want of memory in a container that runs, and around it; see [`cgroup::Cgroup::kill_counts`].
pub(crate) fn kill_counts(
    containers: &Containers<'_>,
    id: &ContainerId,
) -> (Option<OwnedFd>, Option<OwnedFd>) {
    let container = runtime::Container::load(containers.states(), id.as_str()).ok();
    let cgroup = container.and_then(|container| container.saved().open_cgroup().ok().flatten());
    let (own, around) = cgroup.and_then(|cgroup| cgroup.kill_counts()).unzip();
    (own, around.flatten())
}

/// What is left of a start that failed: the container as created, or nothing.
fn failed(site: &Site<'_>, reserved: Reserved, options: &crate::Options, error: &Error) -> Result<()> {
    if options.remove {
        return site.containers.remove(reserved);
    }
    let before = Life::read(reserved.directory.as_fd()).unwrap_or_default();
    let status = match before.status {
        monitor::Status::Created => monitor::Status::Created,
        _ => monitor::Status::Exited,
    };
    let life = Life { status, error: files::chain(&error), exit_code: error.exit_code(), ..before };
    let written = life.write(reserved.directory.as_fd()).map_err(Error::from);
    reserved.tell_exit_code(error.exit_code());
    written.and(site.containers.clear_runtime(&reserved.id)).and(site.containers.leave(reserved))
}

/// The container's fifos and the monitor's socket.
struct Streams {
    directory: OwnedFd,
    listener: OwnedFd,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
}

impl Streams {
    /// Makes them; the second value are the container's ends.
    fn make(
        site: &Site<'_>,
        reserved: &Reserved,
        options: &crate::Options,
    ) -> Result<(Self, Vec<runtime::Stream>)> {
        let fail =
            |source| Error::System { action: "make the streams of", path: reserved.path.clone(), source };
        let directory = site.containers.make_streams(&reserved.id)?;
        let listener = control::serve(directory.as_fd()).map_err(fail)?;
        match rustix::fs::mkdirat(&reserved.directory, LOG, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(errno)),
        }
        let mut streams = Self { directory, listener, stdout: None, stderr: None, stdin: None };
        if options.terminal {
            return Ok((streams, Vec::new()));
        }
        let mut theirs = Vec::with_capacity(3);
        // Open for both on both sides: neither the end of ours nor of theirs is seen by the other, so no SIGPIPE.
        let (ours, their) = streams.fifo("stdout", OFlags::RDWR).map_err(fail)?;
        (streams.stdout, _) = (Some(ours), theirs.push((their, 1)));
        let (ours, their) = streams.fifo("stderr", OFlags::RDWR).map_err(fail)?;
        (streams.stderr, _) = (Some(ours), theirs.push((their, 2)));
        if options.interactive {
            let (both, their) = streams.fifo("stdin", OFlags::RDONLY).map_err(fail)?;
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let ours = rustix::fs::openat(&streams.directory, "stdin", flags, Mode::empty()).map_err(fail)?;
            drop(both);
            (streams.stdin, _) = (Some(ours), theirs.push((their, 0)));
        }
        Ok((streams, theirs))
    }

    /// A fifo, open for us, who do not wait, and for the container.
    fn fifo(&self, name: &str, theirs: OFlags) -> std::result::Result<(OwnedFd, OwnedFd), Errno> {
        // Whoever the payload runs as opens it again as /dev/stdout; nobody else gets into the directory.
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(&self.directory, name, FileType::Fifo, mode, 0)?;
        let open = |flags| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&self.directory, name, flags, Mode::empty())
        };
        let ours = open(OFlags::RDWR | OFlags::NONBLOCK)?;
        // Whatever the caller's umask.
        rustix::fs::fchmod(&ours, mode)?;
        Ok((ours, open(theirs)?))
    }
}

fn do_not_wait(descriptor: &OwnedFd) -> Result<()> {
    let failed =
        |errno| Error::System { action: "set", path: "the container's terminal".into(), source: errno };
    let flags = rustix::fs::fcntl_getfl(descriptor).map_err(failed)?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).map_err(failed)
}

/// What ends with the caller's login or terminal must not end this process; orphans of the container's are its children.
pub(crate) fn leave_the_session() -> Result<()> {
    rustix::process::setsid().map_err(monitor_failed)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(monitor_failed)?;
    rustix::process::chdir("/").map_err(monitor_failed)
}

pub(crate) fn monitor_failed(source: Errno) -> Error {
    Error::System { action: "become", path: "the container's monitor".into(), source }
}

/// Executes this program as the loop; returns only on failure.
pub(crate) fn become_loop(settings: &OwnedFd) -> Errno {
    let words = [c"brig".to_owned(), c"monitor".to_owned()].into_iter();
    let number = CString::new(settings.as_raw_fd().to_string()).expect("a number holds no NUL");
    let words = sys::exec::StringArray::new(words.chain([number]).collect());
    let null = OFlags::RDWR | OFlags::CLOEXEC;
    let detached = rustix::fs::open("/dev/null", null, Mode::empty())
        .and_then(|null| (0..=2).try_for_each(|stream| sys::exec::replace_stream(null.as_fd(), stream)));
    if let Err(errno) = detached {
        return errno;
    }
    // The caller's environment is none of the loop's: secrets of his would stay in it for as long as the container runs.
    sys::exec::execve(c"/proc/self/exe", &words, &sys::exec::StringArray::new(Vec::new()))
}

fn tell(teller: &OwnedFd, answer: &Answer) {
    let bytes = serde_json::to_vec(answer).expect("strings and numbers");
    // Whoever waited for it was killed: the container does not need him.
    drop(files::write_all(teller, &bytes));
}

/// What a monitor says: its pipe is closed once it is the loop.
fn heard(answer: &OwnedFd) -> Result<()> {
    let bytes = files::read_all(answer, MAX_ANSWER)?;
    let answers = serde_json::Deserializer::from_slice(&bytes).into_iter::<Answer>();
    // Of two the second says that what was meant to follow the start failed.
    match answers.last() {
        Some(Ok(Answer::Started)) => Ok(()),
        Some(Ok(Answer::Failed { message, hint, code })) => Err(Error::Start { message, hint, code }),
        None | Some(Err(_)) => Err(Error::Start {
            message: "the container's monitor was killed".to_owned(),
            hint: Some("`brig ps --all` tells what became of the container".to_owned()),
            code: 125,
        }),
    }
}

/// Starts a container that is created or ended.
///
/// `client` and `warn` are those of [`Ready::detach`].
///
/// # Errors
/// As [`reopen`] and [`Ready::detach`].
pub fn start(site: &Site<'_>, id: &ContainerId, client: Option<OwnedFd>, warn: &dyn Fn(&str)) -> Result<()> {
    let (_, ids) = run::ownership(site.etc)?;
    reopen(site, id, ids)?.detach(site, client, warn)
}

/// Stops a container, where it runs, and starts it.
///
/// # Errors
/// As [`crate::stop`] and [`start`].
pub fn restart(site: &Site<'_>, id: &ContainerId, how: crate::Stop, warn: &dyn Fn(&str)) -> Result<()> {
    crate::stop(site.containers, id, how)?;
    start(site, id, None, warn)
}

/// Starts a container once more, as its restart policy wants it, in the process that holds its lock. Returns only on
/// failure; the container is exited then, or gone.
///
/// # Errors
/// What the start met.
pub fn start_again(site: &Site<'_>, id: &ContainerId, lock: OwnedFd, pause: u32) -> Result<()> {
    let reserved = site.containers.watch_on(id, lock)?;
    let (_, ids) = run::ownership(site.etc)?;
    let before = Life::read(reserved.directory.as_fd()).unwrap_or_default();
    if stop::is_stopping(reserved.directory.as_fd()) {
        return finish_watched(site.containers, reserved, before.exit_code, pause).map(drop);
    }
    let ready = match reopen_watched(site, reserved, ids) {
        Ok(ready) => ready,
        Err((reserved, error)) => {
            let life = Life { status: monitor::Status::Exited, error: files::chain(&error), ..before };
            life.write(reserved.directory.as_fd())?;
            return site.containers.leave(reserved).and(Err(error));
        }
    };
    let again = Again { restart_count: before.restart_count, pause };
    let settings = ready.launch(site, again, None, &|_| {})?;
    let file = settings.hand_over().map_err(monitor_failed)?;
    Err(monitor_failed(become_loop(&file)))
}
