//! K3: which system calls a command really makes, read from strace, and what must be true of them.
//!
//! [`trace`] runs a command with all that it starts; [`Tracing`] follows one whose container lives on. Only what our
//! program does is looked at: not the helpers that run it as a user, and not the payload.
//!
//! The rules are those of design section 1. Each answers with what breaks it, one line for each call, and each is seen
//! to break on something that does not follow it.

mod parse;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::Outcome;

/// What costs time and tells nothing about paths, descriptors and programs.
const NOISE: &str = "trace=!read,write,readv,writev,pread64,pwrite64,lseek,futex,mmap,munmap,mprotect,madvise,brk,\
                     rt_sigaction,rt_sigprocmask,rt_sigreturn,sigaltstack,poll,ppoll,epoll_pwait,epoll_wait,nanosleep,\
                     clock_nanosleep,sched_yield,getpid,gettid,tgkill,prctl,fstat,getdents64";

/// A system call, with the strings as strace shows them: descriptors as `3</path>`, strings in quotes.
#[derive(Debug, Clone)]
pub struct Call {
    /// The process, by its number outside.
    pub process: u32,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it answered: `3</path>`, `0`, `-1 ENOENT (...)`.
    pub result: String,
    /// Whose root the process had, and whether it was ours yet.
    pub place: Place,
}

/// Where a process is when it makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not our program yet, or the payload already.
    Other,
    /// In the caller's mount namespace.
    Host,
    /// In the container's mount namespace, with the host's root.
    Entered,
    /// In the container's mount namespace and root.
    Rooted,
}

/// What a command did.
#[derive(Debug)]
pub struct Trace {
    calls: Vec<Call>,
}

/// A command that is being traced, with a container that lives on.
#[derive(Debug)]
pub struct Tracing {
    child: Child,
    program: String,
    file: PathBuf,
}

fn strace(command: &Command, file: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "--pidns-translation", "-s", "1024", "-e", NOISE, "-o"]).arg(file);
    traced.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced
}

/// Runs `command`, of which `program` is ours, and all that it starts, and reads what they did. Needs
/// `program("strace")`. `directory` is where the trace is kept.
///
/// # Panics
/// When strace cannot be run.
#[must_use]
pub fn trace(command: &Command, program: &Path, directory: &Path) -> (Outcome, Trace) {
    let file = directory.join("trace");
    let outcome = testkit::run(&mut strace(command, &file));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    (outcome, Trace::parse(&text, &program.to_string_lossy()))
}

impl Tracing {
    /// Starts a command that leaves a container behind, which is traced too.
    ///
    /// # Panics
    /// When strace cannot be run.
    #[must_use]
    pub fn start(command: &Command, program: &Path, directory: &Path) -> Self {
        let file = directory.join("trace-create");
        let mut traced = strace(command, &file);
        traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = traced.spawn().expect("strace");
        Self { child, program: program.to_string_lossy().into_owned(), file }
    }

    /// Waits for the end of all that is traced.
    ///
    /// # Panics
    /// When the trace cannot be read.
    #[must_use]
    pub fn finish(mut self) -> Trace {
        self.child.wait().expect("strace is our child");
        Trace::parse(&fs::read_to_string(&self.file).expect("strace wrote it"), &self.program)
    }
}

impl Trace {
    /// Reads strace's output. `program` is the path of ours, as it is executed.
    #[must_use]
    pub fn parse(text: &str, program: &str) -> Self {
        let mut calls = parse::merge(text);
        parse::place(&mut calls, program);
        calls.retain(|call| call.place != Place::Other);
        Self { calls }
    }

    /// The calls of our program.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// How many calls resolved a path inside a root as it must be.
    #[must_use]
    pub fn resolved_inside(&self) -> usize {
        self.calls.iter().filter(|call| call.name == "openat2" && is_confined(&call.line())).count()
    }

    /// Path strings that lead into the root `root`, as it is named on the host: design section 1, third invariant.
    ///
    /// A path is harmless where the kernel confines it (`openat2` with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`, or
    /// with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), and where it is one name in an open directory that is not
    /// followed when it is a link.
    #[must_use]
    pub fn path_strings(&self, root: &Path) -> Vec<String> {
        let root = root.to_string_lossy();
        self.calls.iter().filter(|call| call.leads_into(&root)).map(Call::line).collect()
    }

    /// Descriptors that were not close-on-exec from the moment they existed, and programs that were executed in a
    /// container while one could be open.
    #[must_use]
    pub fn open_descriptors(&self) -> Vec<String> {
        let mut found: Vec<_> = self.calls.iter().filter(|call| call.leaves_open()).map(Call::line).collect();
        let mut closed = BTreeSet::new();
        for call in &self.calls {
            let was_closed = closed.contains(&call.process);
            if call.name == "close_range" && call.arguments.get(1).is_some_and(|last| last == "4294967295") {
                closed.insert(call.process);
            } else if was_closed && call.name.starts_with("clone") {
                closed.extend(parse::outer_number(&call.result));
            } else if call.is_execution() && call.place != Place::Host && !was_closed {
                found.push(format!("without closing: {}", call.line()));
            }
        }
        found
    }

    /// Programs that were executed in the container's mount namespace, ours and the payload.
    #[must_use]
    pub fn executions(&self) -> Vec<String> {
        let inside = |call: &&Call| call.is_execution() && call.place != Place::Host;
        self.calls.iter().filter(inside).map(Call::program).collect()
    }

    /// Files below `/proc` and `/sys` that were opened for writing by a path string. By a descriptor of the directory
    /// above them, whose file system was checked, they may be.
    #[must_use]
    pub fn kernel_files_by_path(&self) -> Vec<String> {
        let by_path = |call: &&Call| {
            let path = call.path().unwrap_or_default();
            let kernel = ["/proc/", "/sys/"].iter().any(|start| path.starts_with(start));
            let opens = matches!(&*call.name, "open" | "openat" | "openat2" | "creat");
            opens && kernel && (call.line().contains("O_WRONLY") || call.line().contains("O_RDWR"))
        };
        self.calls.iter().filter(by_path).map(Call::line).collect()
    }
}

/// Where a call takes a path: the argument of the directory that it is relative to, and its own.
type Position = (Option<usize>, usize);

/// The calls that take paths.
const PATHS: &[(&str, &[Position])] = &[
    ("open", &[(None, 0)]),
    ("creat", &[(None, 0)]),
    ("openat", &[(Some(0), 1)]),
    ("openat2", &[(Some(0), 1)]),
    ("open_tree", &[(Some(0), 1)]),
    ("stat", &[(None, 0)]),
    ("lstat", &[(None, 0)]),
    ("newfstatat", &[(Some(0), 1)]),
    ("statx", &[(Some(0), 1)]),
    ("statfs", &[(None, 0)]),
    ("access", &[(None, 0)]),
    ("faccessat", &[(Some(0), 1)]),
    ("faccessat2", &[(Some(0), 1)]),
    ("readlink", &[(None, 0)]),
    ("readlinkat", &[(Some(0), 1)]),
    ("mkdir", &[(None, 0)]),
    ("mkdirat", &[(Some(0), 1)]),
    ("mknod", &[(None, 0)]),
    ("mknodat", &[(Some(0), 1)]),
    ("symlink", &[(None, 1)]),
    ("symlinkat", &[(Some(1), 2)]),
    ("link", &[(None, 0), (None, 1)]),
    ("linkat", &[(Some(0), 1), (Some(2), 3)]),
    ("unlink", &[(None, 0)]),
    ("unlinkat", &[(Some(0), 1)]),
    ("rmdir", &[(None, 0)]),
    ("rename", &[(None, 0), (None, 1)]),
    ("renameat", &[(Some(0), 1), (Some(2), 3)]),
    ("renameat2", &[(Some(0), 1), (Some(2), 3)]),
    ("chmod", &[(None, 0)]),
    ("fchmodat", &[(Some(0), 1)]),
    ("fchmodat2", &[(Some(0), 1)]),
    ("chown", &[(None, 0)]),
    ("lchown", &[(None, 0)]),
    ("fchownat", &[(Some(0), 1)]),
    ("utimensat", &[(Some(0), 1)]),
    ("truncate", &[(None, 0)]),
    ("chdir", &[(None, 0)]),
    ("chroot", &[(None, 0)]),
    ("mount", &[(None, 0), (None, 1)]),
    ("umount2", &[(None, 0)]),
    ("pivot_root", &[(None, 0), (None, 1)]),
    ("move_mount", &[(Some(0), 1), (Some(2), 3)]),
    ("mount_setattr", &[(Some(0), 1)]),
    ("setxattr", &[(None, 0)]),
    ("lsetxattr", &[(None, 0)]),
    ("getxattr", &[(None, 0)]),
    ("name_to_handle_at", &[(Some(0), 1)]),
    ("inotify_add_watch", &[(None, 1)]),
];

/// What may name a path inside, where the root is that of the container already.
const ALLOWED_INSIDE: &[(&str, &str, &str)] = &[
    ("chdir", "", "the working directory of the payload: getcwd(2) says afterwards where it is"),
    ("newfstatat", "", "looks for the payload's program, which its own execve(2) resolves again"),
    ("faccessat", "", "looks for the payload's program, which its own execve(2) resolves again"),
    ("faccessat2", "", "looks for the payload's program, which its own execve(2) resolves again"),
    ("open", "/", "the root itself, of one that joined"),
    ("mount_setattr", "/", "the root itself"),
    ("pivot_root", ".", "the root itself, which is the working directory"),
    ("umount2", ".", "the old root, which is stacked over the new one"),
    ("chroot", ".", "the root itself, which is the working directory"),
];

impl Call {
    /// The call as one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{:?} {}({}) = {}", self.place, self.name, self.arguments.join(", "), self.result)
    }

    /// The string of its first path.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        let (_, places) = PATHS.iter().find(|(name, _)| *name == self.name)?;
        self.arguments.get(places.first()?.1).map(|argument| text_of(argument))
    }

    /// Whether the call executes a program, successfully or not.
    #[must_use]
    pub fn is_execution(&self) -> bool {
        matches!(&*self.name, "execve" | "execveat")
    }

    /// The path of the executed program; of one that is executed by its descriptor, what that is.
    #[must_use]
    pub fn program(&self) -> String {
        let first = self.arguments.first().map_or("", String::as_str);
        match self.arguments.get(1).map(|path| text_of(path)) {
            Some("") if self.name == "execveat" => annotation(first).unwrap_or_default().to_owned(),
            Some(path) if self.name == "execveat" => path.to_owned(),
            _ => text_of(first).to_owned(),
        }
    }

    fn leads_into(&self, root: &str) -> bool {
        let Some((_, places)) = PATHS.iter().find(|(name, _)| *name == self.name) else { return false };
        places.iter().any(|(directory, path)| {
            let Some(path) = self.arguments.get(*path).filter(|path| path.starts_with('"')) else {
                return false;
            };
            let directory = directory.and_then(|index| self.arguments.get(index)).map(String::as_str);
            self.path_leads_into(root, directory, text_of(path))
        })
    }

    fn path_leads_into(&self, root: &str, directory: Option<&str>, path: &str) -> bool {
        if path.is_empty() {
            return false;
        }
        let absolute = path.starts_with('/');
        let held = directory.filter(|directory| !directory.starts_with("AT_FDCWD"));
        let below = |path: &str| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        let reaches = match self.place {
            Place::Other => false,
            // Of a detached mount strace knows a path inside it only, so any directory that is held may be in the root.
            Place::Host => {
                let place = directory.and_then(annotation).unwrap_or_default();
                if absolute { below(path) } else { place == root || below(place) }
            }
            Place::Entered => {
                if absolute {
                    below(path)
                } else {
                    held.is_some()
                }
            }
            Place::Rooted => !ALLOWED_INSIDE
                .iter()
                .any(|(name, only, _)| *name == self.name && (only.is_empty() || *only == path)),
        };
        reaches && !(held.is_some() && self.is_safe(path))
    }

    /// Whether a path below a held directory stays in it.
    fn is_safe(&self, path: &str) -> bool {
        let line = self.line();
        if self.name == "openat2" {
            return is_confined(&line);
        }
        let one_name = !path.contains('/') && path != ".." && path != ".";
        let not_followed = match &*self.name {
            "openat" => line.contains("O_NOFOLLOW"),
            "newfstatat" | "fchownat" | "fchmodat2" | "statx" => line.contains("AT_SYMLINK_NOFOLLOW"),
            "mkdirat" | "mknodat" | "symlinkat" | "unlinkat" | "readlinkat" | "renameat2" | "linkat" => true,
            _ => false,
        };
        one_name && not_followed
    }

    /// Whether it made a descriptor that a program executed now would inherit.
    fn leaves_open(&self) -> bool {
        let flag = match &*self.name {
            "open" | "openat" | "openat2" | "dup3" => "O_CLOEXEC",
            "creat" | "dup" | "dup2" => "not possible",
            "pipe2" | "inotify_init1" => "CLOEXEC",
            "socket" | "socketpair" | "accept4" => "SOCK_CLOEXEC",
            "recvmsg" if self.line().contains("SCM_RIGHTS") => "MSG_CMSG_CLOEXEC",
            "memfd_create" => "MFD_CLOEXEC",
            "open_tree" => "OPEN_TREE_CLOEXEC",
            "fsopen" => "FSOPEN_CLOEXEC",
            "fsmount" => "FSMOUNT_CLOEXEC",
            "signalfd4" => "SFD_CLOEXEC",
            "eventfd2" => "EFD_CLOEXEC",
            "epoll_create1" => "EPOLL_CLOEXEC",
            "timerfd_create" => "TFD_CLOEXEC",
            "fcntl" if self.arguments.get(1).is_some_and(|what| what == "F_DUPFD") => "not possible",
            _ => return false,
        };
        // The standard streams are meant to be inherited.
        let number: Option<u32> = self.result.split('<').next().and_then(|number| number.parse().ok());
        let is_stream = matches!(number, Some(0..=2)) && self.name.starts_with("dup");
        !self.result.starts_with('-') && !is_stream && !self.line().contains(flag)
    }
}

fn is_confined(line: &str) -> bool {
    let all = |flags: &[&str]| flags.iter().all(|flag| line.contains(flag));
    all(&["RESOLVE_IN_ROOT", "RESOLVE_NO_MAGICLINKS"]) || all(&["RESOLVE_BENEATH", "RESOLVE_NO_SYMLINKS"])
}

fn text_of(argument: &str) -> &str {
    argument.trim_matches('"')
}

/// The path that strace shows behind a descriptor: `3</path>`.
fn annotation(argument: &str) -> Option<&str> {
    argument.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "7 execve(\"/brig\", [\"brig\"], 0x1 /* 2 vars */) = 0\n";

    fn parsed(lines: &str) -> Trace {
        Trace::parse(&format!("{OURS}{lines}"), "/brig")
    }

    #[test]
    fn halves_arguments_and_places_are_put_together() {
        let trace = parsed(
            "7 clone3({flags=CLONE_NEWNS, stack=NULL} <unfinished ...>\n\
             8 openat(3</a, (b)>, \"x, \\\")\", O_RDONLY) = -1 ENOENT (No such file)\n\
             7 <... clone3 resumed>, 88) = 3 /* 8 in strace's PID NS */\n\
             8 capset({effective=1<<CAP_CHOWN, permitted=0}) = 0\n\
             8 pivot_root(\".\", \".\") = 0\n\
             8 getcwd(\"/\", 3) = 2\n\
             8 execveat(4</memfd:brig-exec>(deleted), \"\", [\"/bin/true\"], 0x1, AT_EMPTY_PATH) = 0\n\
             8 execve(\"/bin/true\", [\"true\"], 0x1) = 0\n\
             8 mkdir(\"/of/the/payload\", 0755) = 0\n",
        );
        let told: Vec<_> =
            trace.calls.iter().map(|call| (call.place, &*call.name, call.arguments.len())).collect();
        use Place::{Entered, Host, Rooted};
        assert_eq!(
            told,
            [
                (Host, "clone3", 2),
                (Entered, "openat", 3),
                (Entered, "capset", 1),
                (Entered, "pivot_root", 2),
                (Rooted, "getcwd", 2),
                (Rooted, "execveat", 5),
                (Rooted, "execve", 3)
            ]
        );
        assert_eq!(trace.calls[1].result, "-1 ENOENT (No such file)");
        assert_eq!(trace.executions(), ["/memfd:brig-exec", "/bin/true"]);
        assert_eq!(trace.open_descriptors().len(), 2, "neither execution closed");
    }

    #[test]
    fn each_rule_tells_good_from_bad() {
        let root = Path::new("/b/rootfs");
        let open = "openat2(5</dev>, \"pts\", {flags=O_PATH|O_CLOEXEC, resolve=";
        for (calls, bad) in [
            (format!("{open}RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}}, 24) = 6</dev/pts>"), false),
            (format!("{open}RESOLVE_IN_ROOT}}, 24) = 6</dev/pts>"), true),
            ("mkdirat(5</dev>, \"pts\", 0755) = 0".to_owned(), false),
            ("mkdirat(5</dev>, \"a/b\", 0755) = 0".to_owned(), true),
            ("mkdirat(AT_FDCWD</b>, \"/b/rootfs/dev/pts\", 0755) = 0".to_owned(), true),
            ("openat(5</dev>, \"null\", O_RDONLY|O_CLOEXEC) = 6</dev/null>".to_owned(), true),
            ("openat(5</dev>, \"null\", O_RDONLY|O_NOFOLLOW|O_CLOEXEC) = 6</dev/null>".to_owned(), false),
            ("open(\"/b/rootfs2/x\", O_RDONLY|O_CLOEXEC) = 6</b/rootfs2/x>".to_owned(), false),
            ("move_mount(6</>, \"\", 5</dev>, \"\", MOVE_MOUNT_F_EMPTY_PATH) = 0".to_owned(), false),
        ] {
            let trace = parsed(&format!("7 unshare(CLONE_NEWNS) = 0\n7 {calls}\n"));
            assert_eq!(!trace.path_strings(root).is_empty(), bad, "{calls}");
        }
        for (calls, bad) in [
            ("openat(AT_FDCWD</>, \"/dev/null\", O_RDONLY|O_CLOEXEC) = 3</dev/null>", true),
            ("mount(\"/dev/null\", \"/proc/keys\", 0x1, MS_BIND, NULL) = 0", true),
            ("chdir(\"/work\") = 0", false),
            ("umount2(\".\", MNT_DETACH) = 0", false),
            ("umount2(\"/mnt\", MNT_DETACH) = 0", true),
        ] {
            let trace = parsed(&format!("7 unshare(CLONE_NEWNS) = 0\n7 chroot(\".\") = 0\n7 {calls}\n"));
            assert_eq!(!trace.path_strings(root).is_empty(), bad, "{calls}");
        }
        for (call, bad) in [
            ("openat(AT_FDCWD</>, \"/a\", O_RDONLY) = 3</a>", true),
            ("openat(AT_FDCWD</>, \"/a\", O_RDONLY) = -1 ENOENT (x)", false),
            ("dup3(7</a>, 0</b>, 0) = 0</a>", false),
            ("dup3(7</a>, 4</b>, 0) = 4</a>", true),
            ("pipe2([3<pipe:[1]>, 4<pipe:[1]>], O_CLOEXEC) = 0", false),
        ] {
            assert_eq!(!parsed(&format!("7 {call}\n")).open_descriptors().is_empty(), bad, "{call}");
        }
        for (call, bad) in [
            ("openat(AT_FDCWD</>, \"/proc/self/attr/exec\", O_WRONLY|O_CLOEXEC) = 3</x>", true),
            ("openat(AT_FDCWD</>, \"/proc/self/status\", O_RDONLY|O_CLOEXEC) = 3</x>", false),
            ("openat(4</proc/7>, \"uid_map\", O_WRONLY|O_CLOEXEC) = 3</proc/7/uid_map>", false),
        ] {
            assert_eq!(!parsed(&format!("7 {call}\n")).kernel_files_by_path().is_empty(), bad, "{call}");
        }
    }
}
