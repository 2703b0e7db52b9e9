//! Closures in user namespaces, maps written in each way, and a race for ranges.
//!
//! No test harness: that one starts threads, and a process with threads must not fork a closure.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, though clippy cannot know without a harness"
)]

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use idmap::{Error, How, Map, NamespaceRequest, Subordinate, allocate, in_user_namespace};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use rustix::process::{Gid, Uid};
use sys::clone::flags;
use sys::fork::{Exit, PANICKED, fork_closure};

/// A uid that no account of the test machine has.
const USER: u32 = 54_321;

fn main() {
    let mut passed = 0;
    let mut test = |name: &str, body: fn()| {
        println!("test {name} ...");
        body();
        passed += 1;
    };
    test("exits_come_back", exits_come_back);
    test("a_dropped_child_is_gone", a_dropped_child_is_gone);
    test("a_hundred_processes_get_a_hundred_ranges", a_hundred_processes_get_a_hundred_ranges);
    test("privileged_direct_maps", privileged_direct_maps);
    test("privileged_answers_are_bounded", privileged_answers_are_bounded);
    test("privileged_then_a_plain_user_maps_himself", privileged_then_a_plain_user_maps_himself);
    test("privileged_then_a_plain_user_with_helpers", privileged_then_a_plain_user_with_helpers);
    test("privileged_then_a_helper_says_no", privileged_then_a_helper_says_no);
    println!("namespace: {passed} tests ran");
}

fn exits_come_back() {
    for code in [0, 1, 77, 255] {
        assert_eq!(fork_closure(0, || code).unwrap().wait().unwrap(), Exit::Code(code));
    }
    let killed = fork_closure(0, || {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        0
    });
    assert_eq!(killed.unwrap().wait().unwrap(), Exit::Signal(9));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let panicked = fork_closure(0, || panic!("in the child")).unwrap();
    std::panic::set_hook(hook);
    assert_eq!(panicked.wait().unwrap(), Exit::Code(PANICKED));
}

fn a_dropped_child_is_gone() {
    let child = fork_closure(0, sleep).unwrap();
    let pid = child.pid();
    drop(child);
    assert_eq!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH));
}

fn sleep() -> u8 {
    let minute = rustix::thread::Timespec { tv_sec: 60, tv_nsec: 0 };
    // Ended by a signal, or after a minute: all the same here.
    drop(rustix::thread::nanosleep(&minute));
    0
}

/// A directory that goes away with the value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("idmap-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// All start at once, each claims, waits until all have, and only then ends: no two may hold one range,
/// though the pool has not a slot to spare and half of them find a dead owner's claim first.
fn a_hundred_processes_get_a_hundred_ranges() {
    const PROCESSES: u32 = 100;
    let directory = Directory::new("race");
    let claims = directory.0.join("claims");
    std::fs::create_dir(&claims).unwrap();
    let pool = allocate::Pool::new(
        vec![idmap::Span { start: allocate::DEFAULT_START, count: PROCESSES * allocate::SLOT }],
        Vec::new(),
    );
    for index in 0..PROCESSES / 2 {
        let start = allocate::DEFAULT_START + 2 * index * allocate::SLOT;
        std::fs::write(claims.join(start.to_string()), "dead").unwrap();
    }
    let open = || rustix::fs::open(&claims, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let children: Vec<_> = (0..PROCESSES)
        .map(|index| {
            fork_closure(0, || {
                let owner = format!("container-{index}");
                let claimed =
                    allocate::claim(open().as_fd(), &pool, &owner, allocate::SLOT, |name| name != "dead")
                        .unwrap();
                rustix::io::write(&write, &claimed.span().start.to_ne_bytes()).unwrap();
                // Until the test has seen all ranges: the lock is held by this process.
                sleep()
            })
            .unwrap()
        })
        .collect();
    let mut starts = Vec::new();
    for _ in 0..PROCESSES {
        let mut bytes = [0; 4];
        assert_eq!(rustix::io::read(&read, &mut bytes).unwrap(), 4);
        starts.push(u32::from_ne_bytes(bytes));
    }
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(starts.len(), PROCESSES as usize, "two processes hold one range");
    let none = allocate::claim(open().as_fd(), &pool, "late", allocate::SLOT, |_| false);
    assert!(matches!(none, Err(Error::NoFreeRange { .. })));
    // Killed processes leave claims that nobody holds: free as soon as their containers are gone.
    drop(children);
    assert!(allocate::claim(open().as_fd(), &pool, "late", allocate::SLOT, |_| true).is_err());
    assert!(allocate::claim(open().as_fd(), &pool, "late", allocate::SLOT, |_| false).is_ok());
}

fn maps_inside() -> (u8, Vec<u8>) {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let groups = rustix::process::getgroups().unwrap().len();
    let (uids, gids) = idmap::own_maps().unwrap();
    (7, format!("{uid} {gid} {groups}\n{}{}", uids.render(), gids.render()).into_bytes())
}

fn run(uid: &Map, gid: &Map) -> Result<String, Error> {
    let request = NamespaceRequest { uid, gid, also_new: flags::NEWNS, answer_limit: 1000 };
    let outcome = in_user_namespace(&request, maps_inside)?;
    assert_eq!(outcome.exit, Exit::Code(7));
    Ok(String::from_utf8(outcome.answer).unwrap())
}

fn privileged_direct_maps() {
    testkit::needs!(root);
    let map = Map::contiguous(0, 100_000, 65_536).unwrap();
    assert_eq!(How::choose(&map, &map).unwrap(), How::Direct);
    assert_eq!(run(&map, &map).unwrap(), "0 0 0\n0 100000 65536\n0 100000 65536\n");
}

fn privileged_answers_are_bounded() {
    testkit::needs!(root);
    let map = Map::contiguous(0, 100_000, 65_536).unwrap();
    let request = NamespaceRequest { uid: &map, gid: &map, also_new: 0, answer_limit: 100_000 };
    let outcome = in_user_namespace(&request, || (0, vec![b'x'; 100_000])).unwrap();
    assert_eq!(outcome.answer.len(), 100_000);
    let long = in_user_namespace(&request, || (0, vec![b'x'; 100_001]));
    assert!(matches!(long, Err(Error::AnswerTooLong { limit: 100_000 })));
}

/// Runs a closure as a plain user, with files of ours over those in `/etc`, in a mount namespace that
/// ends with it.
fn as_user(files: &[(&str, &str)], body: impl FnOnce()) {
    let directory = Directory::new("etc");
    let child = fork_closure(flags::NEWNS, || {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        for (name, text) in files {
            let source = directory.0.join(name);
            std::fs::write(&source, text).unwrap();
            rustix::mount::mount_bind(&source, Path::new("/etc").join(name)).unwrap();
        }
        rustix::thread::set_thread_groups(&[]).unwrap();
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        // A login's process is dumpable; one that changed its user is not until its next exec.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable).unwrap();
        body();
        0
    });
    assert_eq!(child.unwrap().wait().unwrap(), Exit::Code(0));
}

fn privileged_then_a_plain_user_maps_himself() {
    testkit::needs!(root);
    as_user(&[], || {
        let map = Map::single(0, USER).unwrap();
        assert_eq!(How::choose(&map, &map).unwrap(), How::SingleId);
        assert_eq!(run(&map, &map).unwrap(), format!("0 0 0\n0 {USER} 1\n0 {USER} 1\n"));
        // An id that is not his own.
        let foreign = Map::single(0, USER + 1).unwrap();
        let request = NamespaceRequest { uid: &foreign, gid: &foreign, also_new: 0, answer_limit: 10 };
        assert!(in_user_namespace(&request, || (0, Vec::new())).is_err());
    });
}

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nseafarer:x:54321:54321::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nseafarer:x:54321:\n";
const SUBORDINATE: &str = "seafarer:700000000:65536\n";

fn privileged_then_a_plain_user_with_helpers() {
    testkit::needs!(root, program("newuidmap"));
    let files = [("passwd", PASSWD), ("group", GROUP), ("subuid", SUBORDINATE), ("subgid", SUBORDINATE)];
    as_user(&files, || {
        let own = Subordinate::for_user(Path::new("/etc"), USER).unwrap();
        assert_eq!(own.name.as_deref(), Some("seafarer"));
        assert!(own.is_usable());
        let uid = Map::rootless(USER, &own.uids, u32::MAX).unwrap();
        let gid = Map::rootless(USER, &own.gids, u32::MAX).unwrap();
        assert!(matches!(How::choose(&uid, &gid).unwrap(), How::Helpers { .. }));
        let expected = format!("0 {USER} 1\n1 700000000 65536\n");
        assert_eq!(run(&uid, &gid).unwrap(), format!("0 0 0\n{expected}{expected}"));
    });
}

fn privileged_then_a_helper_says_no() {
    testkit::needs!(root, program("newuidmap"));
    let files = [("passwd", PASSWD), ("group", GROUP), ("subuid", SUBORDINATE), ("subgid", SUBORDINATE)];
    as_user(&files, || {
        let foreign = Map::parse("0 54321 1\n1 800000000 65536\n").unwrap();
        let error = run(&foreign, &foreign).unwrap_err().to_string();
        assert!(error.contains("newuidmap") && error.contains("not allowed"), "{error}");
    });
}
