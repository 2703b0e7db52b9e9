use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::*;

struct Place {
    base: testkit::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = testkit::TempDir::new();
        std::fs::create_dir(base.path().join("run")).unwrap();
        std::fs::create_dir(base.path().join("log")).unwrap();
        Self { base }
    }

    fn open(&self, settings: Settings) -> Log {
        let directory = |name| files::open_directory(self.base.path().join(name)).unwrap();
        Log::open(settings, directory("run"), directory("log")).unwrap()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.base.path().join("log").join(NAME)).unwrap()
    }

    /// What was said, put together again.
    fn said(&self) -> String {
        self.text()
            .lines()
            .map(|line| line.splitn(4, ' ').collect::<Vec<_>>())
            .fold(String::new(), |text, words| {
                format!("{text}{}{}", words[3], if words[2] == "F" { "\n" } else { "" })
            })
    }
}

fn k8s() -> Settings {
    Settings { format: Format::K8s, ..Settings::default() }
}

fn pipe(bytes: &[u8]) -> (OwnedFd, std::fs::File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let mut writer = std::fs::File::from(writer);
    writer.write_all(bytes).unwrap();
    (reader, writer)
}

#[test]
fn output_is_kept_and_shown() {
    let place = Place::new();
    let mut log = place.open(k8s());
    let (reader, mut writer) = pipe(b"one\ntw");
    let mut shown = Vec::new();
    let mut take = |log: &mut Log| {
        let mut seen = |bytes: &[u8]| shown.extend_from_slice(bytes);
        log.take(Stream::Stdout, reader.as_fd(), Some(&mut seen)).unwrap()
    };
    assert_eq!(take(&mut log), 6);
    assert_eq!(place.said(), "one\n");
    assert_eq!(take(&mut log), 0);
    writer.write_all(b"o\nthree").unwrap();
    assert_eq!(take(&mut log), 7);
    assert_eq!(place.said(), "one\ntwo\n");
    log.finish();
    assert_eq!((place.said().as_str(), shown.as_slice()), ("one\ntwo\nthree", &b"one\ntwo\nthree"[..]));
    assert_eq!(log.lost(), Lost::default());
}

#[test]
fn the_next_monitor_goes_on() {
    let place = Place::new();
    let (reader, mut writer) = pipe(b"one\ntw");
    let mut log = place.open(k8s());
    log.take(Stream::Stdout, reader.as_fd(), None).unwrap();
    log.feed(Stream::Stderr, b"error\nhalf");
    drop(log);
    // Half a message, as a kill in the middle of a write leaves it.
    let path = place.base.path().join("log").join(NAME);
    std::fs::File::options().append(true).open(path).unwrap().write_all(b"2026-").unwrap();
    writer.write_all(b"o\n").unwrap();
    let mut log = place.open(k8s());
    log.retry();
    log.take(Stream::Stdout, reader.as_fd(), None).unwrap();
    log.finish();
    assert_eq!(place.said(), "one\nerror\ntwo\nhalf");
}

#[test]
fn long_and_endless_lines_take_no_memory() {
    let place = Place::new();
    let settings = Settings { max_size: 1 << 20, max_files: 2, ..k8s() };
    let mut log = place.open(settings);
    let line = [b'x'; 60_000];
    for _ in 0..200 {
        log.feed(Stream::Stdout, &line);
        assert!(log.lines.capacity() <= KEEP && log.buffer.len() <= READ);
    }
    let files = std::fs::read_dir(place.base.path().join("log")).unwrap().flatten();
    let files: Vec<_> = files.filter(|file| file.file_name() != LOST).collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| file.metadata().unwrap().len() < (1 << 20) + 20_000));
    assert_eq!(log.lost(), Lost::default());
}

#[test]
fn nothing_is_kept_where_nothing_is_asked_for() {
    let place = Place::new();
    let mut log = place.open(Settings { format: Format::None, ..Settings::default() });
    let (reader, _writer) = pipe(b"one\n");
    let mut shown = Vec::new();
    let mut seen = |bytes: &[u8]| shown.extend_from_slice(bytes);
    assert_eq!(log.take(Stream::Stdout, reader.as_fd(), Some(&mut seen)).unwrap(), 4);
    log.finish();
    assert_eq!(shown, b"one\n");
    assert_eq!(std::fs::read_dir(place.base.path().join("log")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_drops_and_counts() {
    let place = Place::new();
    let mut log = place.open(k8s());
    log.feed(Stream::Stdout, b"kept\n");
    // /dev/full says ENOSPC to every write.
    log.file = Some(File::full());
    log.feed(Stream::Stdout, b"lost\nlost too\n");
    assert_eq!(log.lost(), Lost { messages: 2, bytes: 14, reason: 28 });
    let directory = files::open_directory(place.base.path().join("log")).unwrap();
    let run = files::open_directory(place.base.path().join("run")).unwrap();
    assert_eq!(lost(Some(run.as_fd()), directory.as_fd()), log.lost());
    assert_eq!(lost(None, directory.as_fd()), log.lost());
    assert_eq!(place.said(), "kept\n");
}

fn receiver(path: &Path) -> Settings {
    let address = Address::Unix(path.to_str().unwrap().to_owned());
    let forward = Forward::Syslog { address, facility: 3, micro: false, tag: "t".into(), host: "h".into() };
    Settings { forward, ..k8s() }
}

#[test]
fn a_slow_receiver_is_waited_for() {
    let place = Place::new();
    let path = place.base.path().join("socket");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut log = place.open(receiver(&path));
    let text: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    let (reader, _writer) = pipe(text.as_bytes());
    log.take(Stream::Stdout, reader.as_fd(), None).unwrap();
    assert!(log.is_stalled() && !log.drops());
    assert_eq!(log.take(Stream::Stdout, reader.as_fd(), None).unwrap(), 0);
    let mut got = Vec::new();
    while got.len() < 5000 {
        let mut packet = [0; 200];
        match listener.recv(&mut packet) {
            Ok(length) => {
                got.push(String::from_utf8_lossy(&packet[..length]).rsplit_once(" - ").unwrap().1.to_owned());
            }
            Err(_) => log.retry(),
        }
    }
    assert_eq!(got.join("\n") + "\n", text);
    assert_eq!(place.said(), text);
    assert_eq!((log.is_stalled(), log.lost()), (false, Lost::default()));
}

#[test]
fn or_not_waited_for() {
    let place = Place::new();
    let path = place.base.path().join("socket");
    let _listener = UnixDatagram::bind(&path).unwrap();
    let mut log = place.open(Settings { buffer: Some(100_000), ..receiver(&path) });
    for _ in 0..10 {
        let (reader, _writer) = pipe(&b"0123456789\n".repeat(4000));
        assert!(log.take(Stream::Stdout, reader.as_fd(), None).unwrap() > 0);
    }
    assert!(log.is_stalled() && log.drops());
    assert!(log.lost().bytes > 200_000 && log.waiting(Stream::Stdout) < 200_000, "{:?}", log.lost());
}

#[test]
fn the_last_words_reach_a_receiver_that_was_full() {
    let place = Place::new();
    let path = place.base.path().join("socket");
    let listener = UnixDatagram::bind(&path).unwrap();
    let mut log = place.open(receiver(&path));
    let text: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    let (reader, _writer) = pipe(text.as_bytes());
    log.take(Stream::Stdout, reader.as_fd(), None).unwrap();
    assert!(log.is_stalled());
    let heard = std::thread::spawn(move || {
        let mut packet = [0; 200];
        (0..2000).filter(|_| listener.recv(&mut packet).is_ok()).count()
    });
    log.finish();
    assert_eq!((heard.join().unwrap(), log.lost()), (2000, Lost::default()));
    // Nobody reads any more: that is told, and does not take for ever.
    let _listener = UnixDatagram::bind(place.base.path().join("other")).unwrap();
    let mut log = place.open(receiver(&place.base.path().join("other")));
    log.waits = MOST_WAITS - 1;
    log.feed(Stream::Stdout, text.as_bytes());
    log.finish();
    assert!(log.lost().messages > 0);
}
