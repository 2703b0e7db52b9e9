//! The child: interprets the plan's steps between clone and exec.
//!
//! No allocation, no lock, no standard I/O, no panic: what can fail was done by the parent, what fails
//! here is a [`Failure`] sent over the socket. Ends in exec or `_exit`.

mod copy;
mod failure;
mod hook;
mod identity;
mod mount;
mod root;
mod terminal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Rlimit};
use rustix::thread::CpuSet;
use sys::mount::attribute;

pub(crate) use failure::During;
pub use failure::{Failure, Operation, Outcome};
pub(crate) use identity::format_path;

use crate::message::{self, MAX_DESCRIPTORS, Message};
use crate::opened::Prepared;
use crate::plan::{Plan, Step};
use crate::weaken::{self, Defence};

/// Exit code of a child that could not set the container up; the parent has the reason.
const SETUP_FAILED: i32 = 125;
/// File mode creation mask until the payload's own is set.
const SETUP_UMASK: u32 = 0o022;

/// Whose namespaces the process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// New ones, which it sets up.
    New,
    /// Those of a running container, which it joined.
    Joined,
}

/// What the child knows and has made so far.
struct Child<'a> {
    plan: &'a Plan,
    prepared: &'a mut Prepared,
    socket: BorrowedFd<'a>,
    /// The mounted root, after [`Step::AttachRoot`].
    root: Option<OwnedFd>,
    /// Procfs of the container's pid namespace: written through, then mounted.
    proc: Option<OwnedFd>,
    /// What is mounted at each of [`mount::HELD`]: a neighbour who shares the root can give their places other names.
    held: [Option<OwnedFd>; mount::HELD.len()],
    /// The first masked directory, which the others are clones of.
    empty: Option<OwnedFd>,
    /// The first masked file.
    null: Option<OwnedFd>,
    /// Mounts that came with `Go`.
    late: [Option<OwnedFd>; MAX_DESCRIPTORS],
    /// The working directory could not be entered as root (a directory of a network file system): once more
    /// as the user.
    directory_pending: bool,
    /// Of one that joined the root is `/`.
    origin: Origin,
}

/// Runs the plan; never returns.
pub fn run(plan: &Plan, prepared: &mut Prepared, socket: BorrowedFd<'_>, origin: Origin) -> ! {
    sys::guard::forbid();
    let mut child = Child {
        plan,
        prepared,
        socket,
        root: None,
        proc: None,
        held: [const { None }; mount::HELD.len()],
        empty: None,
        null: None,
        late: [const { None }; MAX_DESCRIPTORS],
        directory_pending: false,
        origin,
    };
    let (step, failure) = match child.start() {
        Err(failure) => (0, failure),
        Ok(()) => child.interpret(),
    };
    child.report(step, failure);
    sys::exec::exit_now(SETUP_FAILED)
}

impl Child<'_> {
    fn start(&mut self) -> Outcome {
        self.wait_for_go()?;
        self.prepared.pauses.at("set-up", b"");
        // What is made for the container does not depend on the caller's mask.
        sys::process::set_umask(SETUP_UMASK);
        for file in &self.prepared.cgroup_files {
            rustix::io::write(file, b"0").during(Operation::JoinCgroup)?;
        }
        if self.origin == Origin::Joined {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.root = Some(rustix::fs::open(c"/", flags, Mode::empty()).during(Operation::OpenRoot)?);
        }
        Ok(())
    }

    /// Performs step after step; comes back only with a failure.
    fn interpret(&mut self) -> (usize, Failure) {
        let plan = self.plan;
        for (index, step) in plan.steps.iter().enumerate() {
            if let Err(failure) = self.perform(step) {
                return (index, failure);
            }
        }
        (plan.steps.len(), Failure { operation: Operation::Execute, errno: Errno::INVAL })
    }

    fn wait_for_go(&mut self) -> Outcome {
        let mut next = 0;
        let late = &mut self.late;
        let answer = message::receive(self.socket, |descriptor| {
            if let Some(place) = late.get_mut(next) {
                *place = Some(descriptor);
            }
            next += 1;
        })
        .during(Operation::Synchronise)?;
        match answer {
            Some(Message::Go) => Ok(()),
            // The parent gave up, and says why itself.
            None => sys::exec::exit_now(SETUP_FAILED),
            Some(_) => Err(Failure { operation: Operation::Synchronise, errno: Errno::PROTO }),
        }
    }

    fn perform(&mut self, step: &Step) -> Outcome {
        match step {
            Step::BecomeRoot { uid, gid } => identity::take_ids(*uid, *gid),
            Step::NewSession => rustix::process::setsid().map(drop).during(Operation::Session),
            Step::NewCgroupNamespace => {
                sys::namespace::unshare(sys::clone::flags::NEWCGROUP).during(Operation::Unshare)
            }
            Step::NewTimeNamespace { offsets } => new_time_namespace(offsets.to_bytes()),
            Step::Loopback => sys::network::bring_up_loopback().during(Operation::Loopback),
            Step::NewKeyring if weaken::is_off(Defence::Keyring) => Ok(()),
            Step::NewKeyring => match sys::process::new_session_keyring() {
                // A kernel without keyrings has none to leak; one with a full quota must not hand ours on.
                Err(Errno::NOSYS) => Ok(()),
                result => result.during(Operation::Keyring),
            },
            Step::Propagation(kind) => root::change_propagation(c"/", *kind),
            Step::AttachRoot(source, propagation) => self.attach_root(source, *propagation),
            Step::NosuidRoot => self.set_root(attribute::NOSUID),
            Step::Mount(mount) => self.mount(mount),
            Step::Secrets(secrets) => self.secrets(secrets),
            Step::Device(device) => self.device(device),
            Step::Link { path, target } => self.link(path, target),
            Step::Terminal { size, owner } => self.terminal(*size, *owner),
            Step::Directory(path) => self.make_directory(path).map(drop),
            Step::RuntimeHooks => self.ask_parent(Message::RuntimeHooks),
            Step::ContainerHooks => self.run_hooks(hook::Moment::Create),
            Step::Pivot => self.pivot(),
            Step::MoveRoot => self.move_root(),
            Step::RootPropagation(kind) => root::change_root_propagation(*kind),
            Step::ReadonlyRoot => self.set_root(attribute::RDONLY),
            Step::Hostname(name) => rustix::system::sethostname(name.to_bytes()).during(Operation::Name),
            Step::Domainname(name) => rustix::system::setdomainname(name.to_bytes()).during(Operation::Name),
            Step::Sysctl { path, value } => self.write_sysctl(path, value.to_bytes()),
            Step::Mask(path) => self.mask(path),
            Step::Readonly(path) => self.make_readonly(path),
            Step::Scheduler(attributes) => {
                sys::process::set_scheduler(0, *attributes).during(Operation::Schedule)
            }
            Step::IoPriority(class, level) => {
                sys::process::set_io_priority(0, *class, *level).during(Operation::Schedule)
            }
            Step::MemoryPolicy(mode, nodes) => {
                sys::process::set_memory_policy(*mode, nodes).during(Operation::Schedule)
            }
            Step::Personality(domain) => sys::process::set_personality(*domain).during(Operation::Schedule),
            Step::NoInput => no_input(),
            Step::Streams => self.take_streams(),
            Step::Tidy => self.tidy(),
            Step::Limits => self.set_limits(),
            Step::Affinity(mask) => {
                rustix::thread::sched_setaffinity(None, &processor_set(mask)).during(Operation::Schedule)
            }
            Step::FindProgram => self.find_program(),
            Step::Ready => self.ready(),
            Step::StartHooks => self.run_hooks(hook::Moment::Start),
            Step::Label(label) => self.write_label(label),
            Step::Identity(identity) => {
                identity::take(identity, &self.prepared.streams)?;
                if self.directory_pending {
                    self.enter_pending_directory()?;
                }
                Ok(())
            }
            Step::WorkingDirectory(path) => self.enter_directory(path),
            Step::NoNewPrivileges => {
                rustix::thread::set_no_new_privs(true).during(Operation::NoNewPrivileges)
            }
            Step::Filter => self.install_filter(),
            Step::Init => identity::stay_as_init(),
            Step::Execute => self.execute(),
        }
    }

    fn set_limits(&self) -> Outcome {
        let value = |limit: u64| (limit != u64::MAX).then_some(limit);
        self.plan.limits.iter().try_for_each(|limit| {
            let wanted = Rlimit { current: value(limit.soft), maximum: value(limit.hard) };
            rustix::process::setrlimit(limit.resource, wanted).during(Operation::Schedule)
        })
    }

    fn ask_parent(&self, question: Message) -> Outcome {
        message::send(self.socket, question, &[]).during(Operation::Synchronise)?;
        match message::receive(self.socket, drop).during(Operation::Synchronise)? {
            Some(Message::Go) => Ok(()),
            _ => sys::exec::exit_now(SETUP_FAILED),
        }
    }

    fn take_streams(&self) -> Outcome {
        for (pipe, stream) in &self.prepared.streams {
            sys::exec::replace_stream(pipe.as_fd(), *stream).during(Operation::TakeTerminal)?;
        }
        Ok(())
    }

    /// Says that everything is in place, and for a created container waits for `start`.
    fn ready(&self) -> Outcome {
        let Some(gate) = &self.prepared.start else { return Ok(()) };
        // Also where the creating command was killed: it may be joined from now on.
        rustix::fs::flock(&gate.directory, FlockOperation::Unlock).during(Operation::Synchronise)?;
        message::send(self.socket, Message::Ready, &[]).during(Operation::Synchronise)?;
        let mut byte = [0];
        loop {
            match rustix::io::read(&gate.go, &mut byte) {
                Ok(1) => return Ok(()),
                Err(Errno::INTR) => {}
                Ok(_) => return Err(Failure { operation: Operation::Synchronise, errno: Errno::PIPE }),
                Err(errno) => return Err(Failure { operation: Operation::Synchronise, errno }),
            }
        }
    }

    /// Tells whoever listens: the creating command, else the one that started.
    fn report(&self, step: usize, failure: Failure) {
        let message = Message::Failed {
            step: u16::try_from(step).unwrap_or(u16::MAX),
            operation: failure.operation.number(),
            errno: failure.errno.raw_os_error(),
        };
        // Nobody is left to tell that telling failed.
        if message::send(self.socket, message, &[]).is_err()
            && let Some(gate) = &self.prepared.start
        {
            message::write(gate.done.as_fd(), message).ok();
        }
    }

    /// Chooses the first of the prepared paths that is an executable regular file.
    fn find_program(&mut self) -> Outcome {
        let mut answer = Errno::NOENT;
        let mut found = None;
        for (index, path) in self.prepared.arguments.choices().iter().enumerate() {
            match rustix::fs::statat(CWD, path.as_c_str(), AtFlags::empty()) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                    answer = Errno::ACCESS;
                }
                Ok(_) => {
                    match rustix::fs::accessat(CWD, path.as_c_str(), Access::EXEC_OK, AtFlags::empty()) {
                        Ok(()) => {
                            found = Some(index);
                            break;
                        }
                        Err(errno) => answer = errno,
                    }
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => answer = errno,
            }
        }
        let Some(index) = found else {
            return Err(Failure { operation: Operation::FindProgram, errno: answer });
        };
        self.prepared.arguments.choose(index);
        Ok(())
    }

    /// Enters the working directory, and checks where that led: a descriptor of the host that was left open
    /// would do (CVE-2024-21626).
    fn enter_directory(&mut self, path: &std::ffi::CStr) -> Outcome {
        match rustix::process::chdir(path) {
            Err(Errno::ACCESS | Errno::PERM) if !self.directory_pending => {
                self.directory_pending = true;
                return Ok(());
            }
            result => result.during(Operation::WorkingDirectory)?,
        }
        self.directory_pending = false;
        let mut buffer = [0; 4096];
        let place = sys::exec::working_directory(&mut buffer).during(Operation::OutsideRoot)?;
        if place.first() == Some(&b'/') || weaken::is_off(Defence::Directory) {
            Ok(())
        } else {
            Err(Failure { operation: Operation::OutsideRoot, errno: Errno::XDEV })
        }
    }

    fn enter_pending_directory(&mut self) -> Outcome {
        let plan = self.plan;
        let path = plan.steps.iter().find_map(|step| match step {
            Step::WorkingDirectory(path) => Some(path),
            _ => None,
        });
        path.map_or(Ok(()), |path| self.enter_directory(path))
    }

    fn install_filter(&self) -> Outcome {
        let Some(filter) = &self.prepared.filter else {
            return Err(Failure { operation: Operation::Filter, errno: Errno::INVAL });
        };
        let listener = sys::seccomp::install(&filter.instructions, filter.flags).during(Operation::Filter)?;
        if let Some(listener) = listener {
            message::send(self.socket, Message::Listener, &[listener.as_fd()])
                .during(Operation::SendListener)?;
        }
        Ok(())
    }

    fn tidy(&self) -> Outcome {
        sys::signal::reset_all().during(Operation::Signals)?;
        if weaken::is_off(Defence::Descriptors) {
            return Ok(());
        }
        sys::exec::close_on_exec_from(3 + self.prepared.preserved).during(Operation::Descriptors)
    }

    fn execute(&self) -> Outcome {
        self.prepared.pauses.at("execute", b"");
        let prepared = &*self.prepared;
        if weaken::is_off(Defence::Stub) {
            let errno = sys::exec::execve_chosen(&prepared.arguments, &prepared.environment);
            return Err(Failure { operation: Operation::Execute, errno });
        }
        let errno = match &prepared.stub_path {
            None => sys::exec::execve_descriptor(prepared.stub(), &prepared.arguments, &prepared.environment),
            Some(path) => sys::exec::execve(path, &prepared.arguments, &prepared.environment),
        };
        Err(Failure { operation: Operation::Execute, errno })
    }
}

/// Makes the process unreadable for everybody who lacks CAP_SYS_PTRACE in the user namespace of the one
/// who started it: its `/proc/<pid>/exe` and `fd` lead to the host (CVE-2016-9962, CVE-2019-5736).
pub fn hide_from_ptrace() -> Outcome {
    if weaken::is_off(Defence::Dumpable) {
        return Ok(());
    }
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).during(Operation::SetIds)
}

fn no_input() -> Outcome {
    let null = open_null(OFlags::RDONLY).during(Operation::OpenSource)?;
    sys::exec::replace_stream(null.as_fd(), 0).during(Operation::TakeTerminal)?;
    for (stream, number) in [(rustix::stdio::stdout(), 1), (rustix::stdio::stderr(), 2)] {
        let is_null = rustix::fs::fstat(stream).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
                && stat.st_rdev == rustix::fs::makedev(1, 3)
        });
        if is_null {
            let null = open_null(OFlags::WRONLY).during(Operation::OpenSource)?;
            sys::exec::replace_stream(null.as_fd(), number).during(Operation::TakeTerminal)?;
        }
    }
    Ok(())
}

/// The host's `/dev/null` through a read-only mount of its own: where root inside is root outside he could change the
/// mode and the owner of the host's. Who may not make the mount does not own the file either.
fn open_null(access: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::mount::OpenTreeFlags;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let read_only = sys::mount::Attributes::new(attribute::RDONLY, 0);
    let mount = rustix::mount::open_tree(CWD, c"/dev/null", flags).and_then(|mount| {
        sys::mount::set_attributes(mount.as_fd(), c"", sys::mount::Reach::One, &read_only)?;
        Ok(mount)
    });
    let flags = access | OFlags::CLOEXEC;
    let Ok(mount) = mount else { return rustix::fs::open(c"/dev/null", flags, Mode::empty()) };
    let mut path = [0; 32];
    let number = std::os::fd::AsRawFd::as_raw_fd(&mount).unsigned_abs();
    match format_path(b"/proc/self/fd/", number, b"", &mut path) {
        Ok(path) => rustix::fs::open(path, flags, Mode::empty()),
        Err(failure) => Err(failure.errno),
    }
}

/// A mask as the set that sched_setaffinity(2) takes.
pub(crate) fn processor_set(mask: &[u64]) -> CpuSet {
    let mut set = CpuSet::new();
    for processor in
        (0..CpuSet::MAX_CPU).filter(|bit| mask.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1))
    {
        set.set(processor);
    }
    set
}

/// time_namespaces(7): the offsets are those of the namespace for children, while it is empty.
fn new_time_namespace(offsets: &[u8]) -> Outcome {
    use sys::clone::flags::NEWTIME;
    sys::namespace::unshare(NEWTIME).during(Operation::Unshare)?;
    let open = |path: &std::ffi::CStr, flags| {
        rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).during(Operation::OpenKernelFile)
    };
    if !offsets.is_empty() {
        let file = open(c"/proc/self/timens_offsets", OFlags::WRONLY)?;
        rustix::io::write(&file, offsets).during(Operation::WriteKernelFile)?;
    }
    let namespace = open(c"/proc/self/ns/time_for_children", OFlags::RDONLY)?;
    sys::namespace::join(namespace.as_fd(), NEWTIME).during(Operation::Join)
}
