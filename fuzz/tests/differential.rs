//! GNU tar, Python's `tarfile` and our reader on mutated archives: where they do not list the same members, we must
//! have refused (RUSTSEC-2026-0068, CVE-2025-62518: what a scanner saw must be what is unpacked).
//!
//! `BRIG_TAR_MUTATIONS` archives are made (2,000 unless it is set) of the committed ones, always the same from the same
//! `BRIG_TAR_SEED`.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use archive::fuzzing::{Listed, list};
use archive::{End, Limits};
use fuzz::archives::{BLOCK, is_header, sum};

/// One member as all three can show it.
#[derive(Clone, PartialEq, Eq)]
struct Member {
    name: Vec<u8>,
    kind: char,
    size: u64,
    link: Vec<u8>,
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, size, link } = self;
        write!(formatter, "{kind} {size} {} {}", name.escape_ascii(), link.escape_ascii())
    }
}

/// What one of the others lists, and why it stopped where it did.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    members: Vec<Member>,
    error: Option<String>,
}

/// A reason, and the archives that it holds for.
type Exception = (&'static str, fn(&Seen<'_>) -> bool);

/// Where the others may answer otherwise than we do, although we accept: each with its reason.
const EXCEPTIONS: &[Exception] = &[
    (
        "umoci 0.4 forgets the last padding, and the end marker: all three list the same, and every byte is there",
        |seen| {
            let cut = |other: &Answer, message: &str| {
                other.error.as_ref().is_none_or(|error| error.contains(message))
            };
            seen.all_list_the_same
                && seen.end == End::Missing
                && seen.bytes % BLOCK != 0
                && cut(seen.gnu, "Unexpected EOF in archive")
                && cut(seen.python, "unexpected end of data")
        },
    ),
    (
        "no bytes at all are a layer without a change to Go's reader, and so to docker and containerd; nobody lists anything",
        |seen| seen.all_list_the_same && seen.end == End::Missing && seen.bytes == 0,
    ),
];

/// A member as GNU tar shows it: a name may hold what it puts between name and target.
fn joined(member: &Member) -> Member {
    let arrow: &[u8] = match member.kind {
        'l' => b" -> ",
        'h' => b" link to ",
        _ => b"",
    };
    Member { name: [&member.name, arrow, &member.link].concat(), link: Vec::new(), ..member.clone() }
}

/// What the three made of an archive.
struct Seen<'a> {
    bytes: usize,
    all_list_the_same: bool,
    end: End,
    gnu: &'a Answer,
    python: &'a Answer,
}

#[test]
fn where_tar_programs_disagree_we_refuse() {
    testkit::needs!(program("tar"), program("python3"));
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, seed) = (number("BRIG_TAR_MUTATIONS", 2000), number("BRIG_TAR_SEED", 1));
    let bases = bases();
    let mut random = Random(seed | 1);
    let mut python = Python::start();
    let (mut accepted, mut disagreed, mut excepted, mut wrong) = (0, 0, 0, Vec::new());
    for turn in 0..bases.len() as u64 + count {
        let archive = match bases.get(usize::try_from(turn).expect("fewer turns than that")) {
            Some(base) => base.clone(),
            None => random.mutate(&bases),
        };
        let (gnu, python) = (gnu(&archive), python.list(&archive));
        let theirs: Vec<Member> = python.members.iter().map(joined).collect();
        if theirs != gnu.members || python.error.is_some() != gnu.error.is_some() {
            disagreed += 1;
        }
        let Ok((ours, end)) = list(&archive[..], &Limits::default()) else { continue };
        accepted += 1;
        let members: Vec<Member> = ours.iter().map(member).collect();
        let all_list_the_same = python.members == members && gnu.members == theirs;
        if all_list_the_same && gnu.error.is_none() && python.error.is_none() {
            continue;
        }
        let seen = Seen { bytes: archive.len(), all_list_the_same, end, gnu: &gnu, python: &python };
        if EXCEPTIONS.iter().any(|(_, holds)| holds(&seen)) {
            excepted += 1;
            continue;
        }
        let path = std::env::temp_dir().join(format!("brig-differential-{seed}-{turn}.tar"));
        fs::write(&path, &archive).expect("a file in the directory for temporary ones");
        wrong.push(format!(
            "{}\nours   {members:?} {end:?}\nGNU    {gnu:?}\nPython {python:?}\n",
            path.display()
        ));
        if wrong.len() == 20 {
            break;
        }
    }
    println!(
        "{count} archives of seed {seed}: the others disagreed on {disagreed}, we accepted {accepted}, {excepted} by an exception"
    );
    assert!(
        wrong.is_empty(),
        "{} accepted although they are read in two ways:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(accepted > count / 50, "{accepted} accepted: too few to say anything");
}

fn bases() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/tar");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .expect("our own directory")
        .map(|entry| entry.expect("our own directory").path())
        .collect();
    paths.sort();
    let bases = paths.iter().map(|path| fs::read(path).expect("our own file"));
    bases.filter(|bytes| bytes.len() >= BLOCK && bytes.len() < 8 * 1024).collect()
}

fn member(entry: &Listed) -> Member {
    let mut name = entry.path.clone();
    if entry.kind == 'd' {
        without_slashes(&mut name);
    }
    let size = if entry.kind == '-' { entry.size } else { 0 };
    Member { name, kind: entry.kind, size, link: entry.link.clone() }
}

/// All programs show the name of a directory with slashes at its end, or none.
fn without_slashes(name: &mut Vec<u8>) {
    while name.ends_with(b"/") {
        name.pop();
    }
}

/// What `tar --list` shows, and whether it was content.
fn gnu(archive: &[u8]) -> Answer {
    let mut child = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--quoting-style=escape", "--block-number"])
        .args(["--absolute-names", "--utc", "--file=-"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tar is there");
    let mut input = child.stdin.take().expect("it was asked for");
    // It may stop reading early, and says so by its status.
    let _: std::io::Result<()> = input.write_all(archive);
    drop(input);
    let output = child.wait_with_output().expect("a child of ours");
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut members, mut error) = (Vec::new(), None);
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        match gnu_line(line) {
            Ok(member) => members.extend(member),
            Err(odd) => error = Some(odd),
        }
    }
    if !output.status.success() {
        error = Some(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Answer { members, error }
}

/// `block 3: -rw-r--r-- 0/0 5 2023-11-14 22:13:20 name`; nothing for `block 9: ** Block of NULs **`.
fn gnu_line(text: &str) -> Result<Option<Member>, String> {
    let odd = || format!("a line that is not understood: {text}");
    let (_, rest) = text.strip_prefix("block ").and_then(|rest| rest.split_once(": ")).ok_or_else(odd)?;
    if rest.starts_with("** ") {
        return Ok(None);
    }
    let kind = rest.chars().next().ok_or_else(odd)?;
    // Mode, owner, size, date, time: columns with any number of blanks between, then one blank and the name.
    let mut left = rest;
    let mut columns = Vec::new();
    for _ in 0..5 {
        let (column, rest) = left.trim_start().split_once(' ').ok_or_else(odd)?;
        columns.push(column);
        left = rest;
    }
    let size = columns[2].parse().unwrap_or(0);
    let mut name = unescape(left);
    if kind == 'd' {
        without_slashes(&mut name);
    }
    let kind = if kind == 'C' { '-' } else { kind };
    Ok(Some(Member { name, kind, size: if kind == '-' { size } else { 0 }, link: Vec::new() }))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let octal =
            after.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        let (byte, used) = match (octal, after.first()) {
            (Some(byte), _) => (byte, 3),
            (None, Some(b'n')) => (b'\n', 1),
            (None, Some(b't')) => (b'\t', 1),
            (None, Some(b'r')) => (b'\r', 1),
            (None, Some(b'a')) => (7, 1),
            (None, Some(b'b')) => (8, 1),
            (None, Some(b'v')) => (11, 1),
            (None, Some(b'f')) => (12, 1),
            (None, Some(other)) => (*other, 1),
            (None, None) => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &after[used..];
    }
    bytes
}

/// A Python that is asked about one archive after the other.
struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

const SCRIPT: &str = r#"
import sys, io, json, struct, tarfile, resource, signal
# It has no limits of its own: some archives make it allocate without end.
resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
def late(*_):
    raise TimeoutError()
signal.signal(signal.SIGALRM, late)
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
kinds = ((tarfile.TarInfo.issym, "l"), (tarfile.TarInfo.islnk, "h"), (tarfile.TarInfo.isdir, "d"),
    (tarfile.TarInfo.ischr, "c"), (tarfile.TarInfo.isblk, "b"), (tarfile.TarInfo.isfifo, "p"), (tarfile.TarInfo.isreg, "-"))
shown = lambda text: text.encode("utf-8", "surrogateescape").hex()
while True:
    head = stdin.read(4)
    if len(head) < 4:
        break
    data = stdin.read(struct.unpack("<I", head)[0])
    found, error = [], None
    signal.alarm(5)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                kind = next((letter for test, letter in kinds if test(member)), "?")
                link = member.linkname if kind in "lh" else ""
                found.append([shown(member.name), kind, member.size if kind == "-" else 0, shown(link)])
    except Exception as problem:
        error = repr(problem)
    signal.alarm(0)
    answer = {"members": found, "error": error}
    stdout.write(json.dumps(answer).encode() + b"\n")
    stdout.flush()
"#;

impl Python {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let input = child.stdin.take().expect("it was asked for");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        Self { child, input, output }
    }

    fn list(&mut self, archive: &[u8]) -> Answer {
        let length = u32::try_from(archive.len()).expect("archives are small");
        self.input.write_all(&length.to_le_bytes()).expect("it listens");
        self.input.write_all(archive).expect("it listens");
        self.input.flush().expect("it listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        let answer: serde_json::Value = serde_json::from_str(&line).expect("it answers in JSON");
        let bytes = |value: &serde_json::Value| -> Vec<u8> {
            let (pairs, _) = value.as_str().unwrap_or_default().as_bytes().as_chunks::<2>();
            let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            pairs.iter().filter_map(byte).collect()
        };
        let member = |row: &serde_json::Value| {
            let kind = row[1].as_str().and_then(|kind| kind.chars().next()).unwrap_or('?');
            let mut name = bytes(&row[0]);
            if kind == 'd' {
                without_slashes(&mut name);
            }
            Member { name, kind, size: row[2].as_u64().unwrap_or(u64::MAX), link: bytes(&row[3]) }
        };
        let members = answer["members"].as_array().into_iter().flatten().map(member).collect();
        Answer { members, error: answer["error"].as_str().map(str::to_owned) }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends when its input does, too.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.child.wait();
    }
}

/// Fields of a header: place and length.
const FIELDS: &[(usize, usize)] = &[
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (124, 12),
    (136, 12),
    (156, 1),
    (156, 1),
    (157, 100),
    (257, 8),
    (265, 32),
    (297, 32),
    (329, 8),
    (337, 8),
    (345, 155),
    (386, 12),
    (398, 12),
    (482, 1),
    (483, 12),
];
const KINDS: &[u8] = b"01234567LKxgSVMNDAXz\0 ";
const RECORDS: &[&str] = &[
    "path=p",
    "path=",
    "path=a/../b",
    "path=a\0b",
    "path=d/",
    "linkpath=l",
    "linkpath=",
    "size=0",
    "size=5",
    "size=512",
    "size=513",
    "size=-1",
    "size= 1",
    "size=1.5",
    "size=99999999999999999999",
    "mtime=1",
    "mtime=1.5",
    "mtime=-1",
    "mtime=x",
    "uid=1",
    "uid=-1",
    "gid=99999999999",
    "uname=u",
    "gname=g",
    "comment=c",
    "charset=x",
    "hdrcharset=BINARY",
    "hdrcharset=ISO-IR 10646 2000 UTF-8",
    "hdrcharset=x",
    "atime=1",
    "ctime=1",
    "SCHILY.xattr.user.a=b",
    "SCHILY.realsize=9",
    "SCHILY.dev=1",
    "LIBARCHIVE.creationtime=1",
    "GNU.sparse.major=1",
    "GNU.sparse.minor=0",
    "GNU.sparse.name=s",
    "GNU.sparse.realsize=9",
    "GNU.sparse.size=9",
    "GNU.sparse.numblocks=1",
    "GNU.sparse.offset=0",
    "GNU.sparse.numbytes=5",
    "GNU.sparse.map=0,5",
    "GNU.volume.label=v",
    "GNU.dumpdir=Yx",
    "\u{e9}=\u{e9}",
    "path=\u{e9}",
];

/// Numbers that come in the same order again from the same seed (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).expect("below a usize")
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn mutate(&mut self, bases: &[Vec<u8>]) -> Vec<u8> {
        let mut archive = self.pick(bases).clone();
        for _ in 0..=self.below(3) {
            if archive.len() < BLOCK {
                break;
            }
            match self.below(12) {
                0..=4 => self.change_field(&mut archive),
                5 => self.change_blocks(&mut archive, bases),
                6 => self.add_pax(&mut archive),
                7 => self.add_long_name(&mut archive),
                8 => self.change_byte(&mut archive),
                9 => archive.truncate(self.below(archive.len())),
                10 => self.change_record(&mut archive),
                _ => self.splice(&mut archive, bases),
            }
        }
        archive
    }

    /// A header's place in bytes.
    fn header(&mut self, archive: &[u8]) -> Option<usize> {
        let places: Vec<usize> = (0..archive.len() / BLOCK)
            .map(|block| block * BLOCK)
            .filter(|at| is_header(&archive[*at..*at + BLOCK]))
            .collect();
        (!places.is_empty()).then(|| *self.pick(&places))
    }

    fn change_field(&mut self, archive: &mut [u8]) {
        let Some(at) = self.header(archive) else { return };
        let block = &mut archive[at..at + BLOCK];
        let (place, length) = *self.pick(FIELDS);
        let field = &mut block[place..place + length];
        match length {
            1 if place == 156 => field[0] = *self.pick(KINDS),
            1 => field[0] = u8::try_from(self.below(3)).expect("small"),
            8 | 12 if place != 257 => self.number(field),
            8 => {
                let magics: [&[u8; 8]; 6] = [
                    b"ustar\x0000",
                    b"ustar  \0",
                    b"\0\0\0\0\0\0\0\0",
                    b"ustar\0\0\0",
                    b"ustar\x0001",
                    b"USTAR\x0000",
                ];
                field.copy_from_slice(*self.pick(&magics));
            }
            _ => self.name(field),
        }
        if self.below(16) != 0 {
            sum(block);
        }
    }

    fn number(&mut self, field: &mut [u8]) {
        let value = *self.pick(&[
            0,
            1,
            5,
            512,
            513,
            1024,
            0o7777,
            1 << 20,
            1 << 31,
            u64::from(u32::MAX),
            (1 << 33) - 1,
            1 << 33,
            1 << 40,
        ]);
        let length = field.len();
        let text = match self.below(10) {
            0 => format!("{value:>length$o}"),
            1 => format!("{value:o} "),
            2 => format!(" {value:o}"),
            3 => format!("-{value:o}"),
            4 => format!("{value:o}\0junk"),
            5 => format!("{value}9"),
            6 => format!("0x{value:x}"),
            7 | 8 => {
                field.fill(0);
                let bytes = value.to_be_bytes();
                let start = length - bytes.len().min(length);
                field[start..].copy_from_slice(&bytes[bytes.len() - (length - start)..]);
                field[0] = *self.pick(&[0x80, 0x80, 0xff, 0xc0]);
                return;
            }
            _ => format!("{value:0width$o}", width = length - 1),
        };
        field.fill(*self.pick(&[0, b' ', b'0']));
        let count = text.len().min(length);
        field[..count].copy_from_slice(&text.as_bytes()[..count]);
    }

    fn name(&mut self, field: &mut [u8]) {
        const NAMES: &[&[u8]] = &[
            b"",
            b"/",
            b"a",
            b"d/",
            b"a/../b",
            b"./",
            b"//x",
            b"a\0b",
            b"\xe9",
            b"a b -> c",
            b"n\n",
            b"a\\b",
            b" link to ",
        ];
        let name = *self.pick(NAMES);
        match self.below(4) {
            0 => field.fill(b'n'),
            1 => {
                let at = self.below(field.len());
                field[at] = *self.pick(&[0, b'/', b'.', 0xff, b' ']);
            }
            _ => {
                field.fill(0);
                let count = name.len().min(field.len());
                field[..count].copy_from_slice(&name[..count]);
            }
        }
    }

    fn change_byte(&mut self, archive: &mut [u8]) {
        let at = self.below(archive.len());
        archive[at] = u8::try_from(self.next() & 0xff).expect("a byte");
        if self.below(2) == 0 {
            let start = at / BLOCK * BLOCK;
            if let Some(block) = archive.get_mut(start..start + BLOCK) {
                sum(block);
            }
        }
    }

    fn change_blocks(&mut self, archive: &mut Vec<u8>, bases: &[Vec<u8>]) {
        let at = self.below(archive.len() / BLOCK) * BLOCK;
        match self.below(5) {
            0 => drop(archive.splice(at..at, [0; BLOCK])),
            1 => drop(archive.drain(at..at + BLOCK)),
            2 => {
                let block = archive[at..at + BLOCK].to_vec();
                drop(archive.splice(at..at, block));
            }
            3 => {
                let other = self.pick(bases);
                let from = self.below(other.len() / BLOCK) * BLOCK;
                let block = other[from..from + BLOCK].to_vec();
                drop(archive.splice(at..at, block));
            }
            _ => archive[at..at + BLOCK].fill(0),
        }
    }

    fn splice(&mut self, archive: &mut Vec<u8>, bases: &[Vec<u8>]) {
        let at = self.below(archive.len() / BLOCK) * BLOCK;
        archive.truncate(at);
        let other = self.pick(bases);
        let from = self.below(other.len() / BLOCK) * BLOCK;
        archive.extend_from_slice(&other[from..]);
    }

    fn add_pax(&mut self, archive: &mut Vec<u8>) {
        let mut records = Vec::new();
        for _ in 0..=self.below(3) {
            let pair = *self.pick(RECORDS);
            let rest = pair.len() + 2;
            let mut length = rest + 1;
            while length.to_string().len() + rest != length {
                length += 1;
            }
            let shown = match self.below(12) {
                0 => format!("+{length}"),
                1 => format!("0{}", length + 1),
                2 => (length + 1).to_string(),
                3 => (length - 1).to_string(),
                _ => length.to_string(),
            };
            records.extend_from_slice(format!("{shown} {pair}\n").as_bytes());
        }
        if self.below(8) == 0 {
            records.push(*self.pick(&[0, b'\n', b'5']));
        }
        let kind = *self.pick(b"xxxxg");
        self.add(archive, kind, &records);
    }

    fn add_long_name(&mut self, archive: &mut Vec<u8>) {
        let length = *self.pick(&[0, 1, 5, 99, 100, 150, 511, 512, 600]);
        let mut name = vec![b'n'; length];
        if self.below(4) == 0 && length > 2 {
            name[length / 2] = *self.pick(b"\0/.");
        }
        if self.below(5) != 0 {
            name.push(0);
        }
        let kind = *self.pick(b"LLK");
        self.add(archive, kind, &name);
    }

    /// Adds an extension header with its data before some header.
    fn add(&mut self, archive: &mut Vec<u8>, kind: u8, data: &[u8]) {
        let Some(at) = self.header(archive) else { return };
        let mut block = archive[at..at + BLOCK].to_vec();
        block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        block[156] = kind;
        sum(&mut block);
        block.extend_from_slice(data);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        drop(archive.splice(at..at, block));
    }

    /// Changes a digit or a letter in the data of an extension header.
    fn change_record(&mut self, archive: &mut [u8]) {
        let Some(at) = self.header(archive) else { return };
        if !matches!(archive[at + 156], b'x' | b'g' | b'L' | b'K') {
            return;
        }
        let data = at + BLOCK..(at + 2 * BLOCK).min(archive.len());
        let used = archive[data.clone()].iter().position(|byte| *byte == 0).unwrap_or(BLOCK);
        let place = data.start + self.below(used.max(1));
        if let Some(byte) = archive.get_mut(place) {
            *byte = *self.pick(b"0123456789=\n \0/.-+pathsize");
        }
    }
}
