//! A monitor killed at any moment of a flood loses no line and doubles none.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the worker is this program again, told by its environment")]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use monitor::log::{Format, Log, NAME, Settings, Stream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags};

const DIRECTORY: &str = "BRIG_TEST_LOG_WORKER";
/// Lines of the flood, and what each ends with: their length keeps line ends away from the ends of pipes.
const LINES: u32 = 400_000;
const REST: &str = " of a flood of lines";

/// Not a test of its own: the process that the test kills. It is what a monitor's loop does with one fifo.
#[test]
fn worker() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let open = |name| files::open_directory(directory.join(name)).unwrap();
    let settings = Settings { format: Format::K8s, max_size: 1 << 20, max_files: 100, ..Settings::default() };
    let mut log = Log::open(settings, open("run"), open("log")).unwrap();
    let fifo = fifo(directory, OFlags::RDWR | OFlags::NONBLOCK);
    log.retry();
    loop {
        let mut ready = [PollFd::from_borrowed_fd(fifo.as_fd(), PollFlags::IN)];
        poll(&mut ready, None).unwrap();
        log.take(Stream::Stdout, fifo.as_fd(), None).unwrap();
    }
}

fn fifo(directory: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(directory.join("fifo"), flags | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn start(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "worker"]).env(DIRECTORY, directory).stdout(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn no_kill_loses_a_line() {
    let base = testkit::TempDir::new();
    let directory = base.path().to_owned();
    for name in ["run", "log"] {
        std::fs::create_dir(directory.join(name)).unwrap();
    }
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, directory.join("fifo"), FileType::Fifo, mode, 0).unwrap();
    // As the container holds it: whoever reads may come and go.
    let mut writer = File::from(fifo(&directory, OFlags::RDWR));
    let mut flood = String::new();
    for number in 0..LINES {
        flood.push_str(&format!("{number}{REST}\n"));
    }
    let flood = std::thread::spawn(move || writer.write_all(flood.as_bytes()).map(|()| writer));
    let mut kills = 0;
    while !flood.is_finished() {
        let mut child = start(&directory);
        // Another moment each time; the worker needs a few milliseconds to come up.
        std::thread::sleep(std::time::Duration::from_micros(4000 + kills * 7919 % 6000));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let _writer = flood.join().unwrap().unwrap();
    let mut child = start(&directory);
    let mut said = said(&directory);
    while said.len() < LINES as usize {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
        let now = self::said(&directory);
        assert!(now.len() >= said.len());
        said = now;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for (number, line) in said.iter().enumerate() {
        assert_eq!(line, &format!("{number}{REST}"), "after {kills} kills");
    }
    assert_eq!(said.len(), LINES as usize);
    assert!(kills > 5, "only {kills} kills");
    let mut out = std::io::stderr();
    writeln!(out, "{kills} kills").unwrap();
}

/// The lines of all files, the oldest first.
fn said(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(NAME))
        .collect();
    names.sort_by_key(|name| {
        std::cmp::Reverse(name[NAME.len()..].trim_start_matches('.').parse().unwrap_or(0))
    });
    let mut lines = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(directory.join("log").join(name)).unwrap();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            lines.push(line.splitn(4, ' ').nth(3).unwrap().to_owned());
        }
    }
    lines
}
