//! The columns of `top`: docker's table, options of ps(1), podman's descriptors.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use idmap::account::{parse_group, parse_passwd};
use oci::Moment;
use oci::runtime::{CAPABILITIES, IdMapping};

use crate::error::{Error, Result};
use crate::exec::Running;
use crate::process::ProcessInfo;

/// Clock ticks of one second in `/proc`: USER_HZ, 100 on every architecture that we build for.
const TICKS: u64 = 100;
/// Most columns of one table.
const MOST_COLUMNS: usize = 64;
/// Most bytes of an account file that are read.
const MAX_ACCOUNTS: u64 = 1 << 20;

/// A table: headings, then rows of as many cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// One for each column.
    pub headings: Vec<String>,
    /// One for each process. Text of the container's own is in there as it is.
    pub rows: Vec<Vec<String>>,
}

/// Where a descriptor comes from: ps(1) shows the host's ids, podman's descriptors the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Host,
    Container,
}

type Column = (String, &'static str);

/// What docker prints.
const DOCKER: &str = "user=UID,pid,ppid,c,stime,tty,time,args=CMD";
/// What `ps aux` prints.
const AUX: &str = "user,pid,pcpu,pmem,vsz,rss,tty,stat,stime=START,time,args";

/// Every descriptor with its heading, podman's names and those of ps(1).
const DESCRIPTORS: &[(&str, &str)] = &[
    ("args", "COMMAND"),
    ("c", "C"),
    ("capamb", "AMBIENT CAPS"),
    ("capbnd", "BOUNDING CAPS"),
    ("capeff", "EFFECTIVE CAPS"),
    ("capinh", "INHERITED CAPS"),
    ("capprm", "PERMITTED CAPS"),
    ("comm", "COMMAND"),
    ("etime", "ELAPSED"),
    ("gid", "GID"),
    ("group", "GROUP"),
    ("groups", "GROUPS"),
    ("hgroup", "HGROUP"),
    ("hgroups", "HGROUPS"),
    ("hpid", "HPID"),
    ("huser", "HUSER"),
    ("label", "LABEL"),
    ("nice", "NI"),
    ("pcpu", "%CPU"),
    ("pgid", "PGID"),
    ("pid", "PID"),
    ("pmem", "%MEM"),
    ("ppid", "PPID"),
    ("rgroup", "RGROUP"),
    ("rss", "RSS"),
    ("ruser", "RUSER"),
    ("seccomp", "SECCOMP"),
    ("stat", "STAT"),
    ("state", "STATE"),
    ("stime", "STIME"),
    ("time", "TIME"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("user", "USER"),
    ("vsz", "VSZ"),
];

/// Other names of them in ps(1).
const ALIASES: &[(&str, &str)] = &[
    ("%cpu", "pcpu"),
    ("%mem", "pmem"),
    ("cmd", "args"),
    ("command", "args"),
    ("egroup", "group"),
    ("euser", "user"),
    ("ni", "nice"),
    ("pgrp", "pgid"),
    ("rsz", "rss"),
    ("s", "state"),
    ("start", "stime"),
    ("start_time", "stime"),
    ("tname", "tty"),
    ("tt", "tty"),
    ("ucmd", "comm"),
    ("ucomm", "comm"),
    ("vsize", "vsz"),
];

/// Every descriptor that `top` knows.
#[must_use]
pub fn descriptors() -> Vec<&'static str> {
    DESCRIPTORS.iter().map(|(name, _)| *name).collect()
}

/// The processes of a container as a table. `words` are options of ps(1) or podman's descriptors; docker's table without.
/// `etc` holds the host's account files.
///
/// # Errors
/// [`Error::Value`] for what is neither, and as [`Running::processes`].
pub fn top(running: &Running<'_>, words: &[String], etc: &Path) -> Result<Table> {
    let (columns, view) = columns(words)?;
    let processes = running.processes()?;
    let facts = Facts::gather(running, etc, view, &processes);
    let rows = processes
        .iter()
        .map(|process| columns.iter().map(|(_, name)| facts.cell(name, process)).collect())
        .collect();
    Ok(Table { headings: columns.into_iter().map(|(heading, _)| heading).collect(), rows })
}

/// What to print, and from where.
fn columns(words: &[String]) -> Result<(Vec<Column>, View)> {
    let Some(first) = words.first() else { return Ok((list(DOCKER)?, View::Host)) };
    let bare = ["aux", "axu", "ef", "o", "u"];
    if !first.starts_with('-') && !bare.contains(&first.as_str()) {
        return Ok((list(&words.join(","))?, View::Container));
    }
    let mut format = DOCKER.to_owned();
    let mut lists: Vec<String> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("--format") {
            lists.push(value_of(value.strip_prefix('='), &mut words, word)?);
            continue;
        }
        let letters = word.trim_start_matches('-');
        match letters.split_once('o') {
            _ if ["ef", "e", "f", "A", "Af"].contains(&letters) => {}
            _ if ["aux", "axu", "u"].contains(&letters) => AUX.clone_into(&mut format),
            // `-eo pid,comm`, `-opid`
            Some((before, value)) if before.chars().all(|letter| "eAaxw".contains(letter)) => {
                lists.push(value_of(Some(value).filter(|value| !value.is_empty()), &mut words, word)?);
            }
            _ if letters.chars().all(|letter| "eAaxw".contains(letter)) && !letters.is_empty() => {}
            _ => return Err(unknown(word)),
        }
    }
    if !lists.is_empty() {
        format = lists.join(",");
    }
    Ok((list(&format)?, View::Host))
}

fn value_of<'a>(
    inline: Option<&str>,
    words: &mut impl Iterator<Item = &'a String>,
    flag: &str,
) -> Result<String> {
    match inline {
        Some(value) => Ok(value.to_owned()),
        None => words.next().cloned().ok_or_else(|| unknown(flag)),
    }
}

fn unknown(word: &str) -> Error {
    let reason = "use -ef, aux, -o LIST, or descriptors: see `brig top --help`";
    Error::value("top", word.escape_debug().to_string(), reason)
}

/// Descriptors joined by commas or blanks, each with `=HEADING` if one likes.
fn list(text: &str) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        let (name, heading) = match word.split_once('=') {
            Some((name, heading)) => (name, Some(heading)),
            None => (word, None),
        };
        let lower = name.to_ascii_lowercase();
        let known =
            ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(lower.as_str(), |(_, name)| name);
        let (name, own) = DESCRIPTORS.iter().find(|(name, _)| *name == known).ok_or_else(|| unknown(word))?;
        if columns.len() == MOST_COLUMNS {
            return Err(Error::value("top", columns.len().to_string(), "more than 64 columns"));
        }
        columns.push((heading.unwrap_or(own).to_owned(), *name));
    }
    if columns.is_empty() { Err(unknown(text)) } else { Ok(columns) }
}

/// What cells need beside the process.
struct Facts {
    view: View,
    /// Seconds after boot, and since 1970.
    uptime: u64,
    now: u64,
    /// Memory of the machine in KiB.
    memory: u64,
    host_users: HashMap<u32, String>,
    host_groups: HashMap<u32, String>,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    uid_map: Vec<IdMapping>,
    gid_map: Vec<IdMapping>,
    /// Ids in the container by those of the host.
    inner: HashMap<i32, i32>,
}

type Names = HashMap<u32, String>;

/// Names of ids; of two for one id the first counts.
fn names(passwd: &[u8], group: &[u8]) -> (Names, Names) {
    let (mut users, mut groups) = (Names::new(), Names::new());
    for account in parse_passwd(passwd).unwrap_or_default() {
        users.entry(account.uid).or_insert(account.name);
    }
    for entry in parse_group(group).unwrap_or_default() {
        groups.entry(entry.gid).or_insert(entry.name);
    }
    (users, groups)
}

impl Facts {
    fn gather(running: &Running<'_>, etc: &Path, view: View, processes: &[ProcessInfo]) -> Self {
        let host = |name: &str| {
            let found = files::open_directory(etc)
                .and_then(|directory| files::root::read_bounded(directory, name, MAX_ACCOUNTS));
            found.ok().flatten().unwrap_or_default()
        };
        let (host_users, host_groups) = names(&host("passwd"), &host("group"));
        // Names that cannot be read are numbers.
        let inside = |path| running.read(path, MAX_ACCOUNTS).unwrap_or_default();
        let (users, groups) = match view {
            View::Container => names(&inside("etc/passwd"), &inside("etc/group")),
            View::Host => Default::default(),
        };
        let (uid_map, gid_map) = running.maps();
        let seconds = |clock| u64::try_from(rustix::time::clock_gettime(clock).tv_sec).unwrap_or_default();
        let memory = rustix::system::sysinfo();
        Self {
            view,
            uptime: seconds(rustix::time::ClockId::Boottime),
            now: seconds(rustix::time::ClockId::Realtime),
            memory: memory.totalram * u64::from(memory.mem_unit) / 1024,
            host_users,
            host_groups,
            users,
            groups,
            uid_map: uid_map.to_vec(),
            gid_map: gid_map.to_vec(),
            inner: processes.iter().map(|process| (process.host_pid, process.pid)).collect(),
        }
    }

    /// The name of a user, or his number; `host` is the id on the host.
    fn user(&self, host: u32, view: View) -> String {
        name_of(host, view, (&self.host_users, &self.users), &self.uid_map)
    }

    fn group(&self, host: u32, view: View) -> String {
        name_of(host, view, (&self.host_groups, &self.groups), &self.gid_map)
    }

    fn age(&self, process: &ProcessInfo) -> u64 {
        self.uptime.saturating_sub(process.start / TICKS)
    }

    /// Processor time over life time in tenths of a percent.
    fn load(&self, process: &ProcessInfo) -> u64 {
        process.ticks * 1000 / (self.age(process) * TICKS).max(1)
    }

    fn cell(&self, name: &str, process: &ProcessInfo) -> String {
        let view = self.view;
        let tenths = |number: u64| format!("{}.{}", number / 10, number % 10);
        let all =
            |list: &[u32], view| list.iter().map(|id| self.group(*id, view)).collect::<Vec<_>>().join(",");
        match name {
            "args" if process.words.is_empty() => format!("[{}]", process.name),
            "args" => process.words.clone(),
            "c" => (self.load(process) / 10).min(99).to_string(),
            "capinh" => capabilities(process.capabilities[0]),
            "capprm" => capabilities(process.capabilities[1]),
            "capeff" => capabilities(process.capabilities[2]),
            "capbnd" => capabilities(process.capabilities[3]),
            "capamb" => capabilities(process.capabilities[4]),
            "comm" => process.name.clone(),
            "etime" => elapsed(self.age(process)),
            "gid" => {
                inside(process.groups.1, &self.gid_map, view).map_or("?".to_owned(), |id| id.to_string())
            }
            "uid" => inside(process.users.1, &self.uid_map, view).map_or("?".to_owned(), |id| id.to_string()),
            "group" => self.group(process.groups.1, view),
            "groups" => all(&process.supplementary, view),
            "hgroup" => self.group(process.groups.1, View::Host),
            "hgroups" => all(&process.supplementary, View::Host),
            "hpid" => process.host_pid.to_string(),
            "huser" => self.user(process.users.1, View::Host),
            "label" if process.label.is_empty() => "?".to_owned(),
            "label" => process.label.clone(),
            "nice" => process.nice.to_string(),
            "pcpu" => tenths(self.load(process)),
            "pgid" => process.group.to_string(),
            "pid" if view == View::Host => process.host_pid.to_string(),
            "pid" => process.pid.to_string(),
            "pmem" => tenths(process.resident * 1000 / self.memory.max(1)),
            "ppid" if view == View::Host => process.host_parent.to_string(),
            "ppid" => self.inner.get(&process.host_parent).copied().unwrap_or(0).to_string(),
            "rgroup" => self.group(process.groups.0, view),
            "rss" => process.resident.to_string(),
            "ruser" => self.user(process.users.0, view),
            "seccomp" => ["disabled", "strict", "filter"]
                .get(usize::from(process.seccomp))
                .map_or("?", |word| *word)
                .to_owned(),
            "stat" | "state" => process.state.to_string(),
            "stime" => start_time(self.now.saturating_sub(self.age(process)), self.now),
            "time" => clock(process.ticks / TICKS),
            "tty" => terminal(process.terminal),
            "user" => self.user(process.users.1, view),
            "vsz" => (process.virtual_bytes / 1024).to_string(),
            _ => String::new(),
        }
    }
}

/// An id as the view has it; `None` for one that the container does not know.
fn inside(host: u32, map: &[IdMapping], view: View) -> Option<u32> {
    if view == View::Host || map.is_empty() {
        return Some(host);
    }
    map.iter().find_map(|range| {
        let offset = host.checked_sub(range.host_id)?;
        (offset < range.size).then(|| range.container_id + offset)
    })
}

fn name_of(host: u32, view: View, (on_host, in_container): (&Names, &Names), map: &[IdMapping]) -> String {
    let Some(id) = inside(host, map, view) else { return "nobody".to_owned() };
    let names = if view == View::Host { on_host } else { in_container };
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

/// As podman has it: `full`, `none`, or names without `CAP_`.
fn capabilities(set: u64) -> String {
    let known = CAPABILITIES.iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0);
    let mut words: Vec<&str> = known.map(|(_, name)| name.trim_start_matches("CAP_")).collect();
    match words.len() {
        0 => "none".to_owned(),
        count if count == CAPABILITIES.len() => "full".to_owned(),
        _ => {
            words.sort_unstable();
            words.join(",")
        }
    }
}

/// `[[DD-]hh:]mm:ss`, as ps(1) has it.
fn elapsed(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let mut text = String::new();
    // Writing to a string does not fail.
    if days > 0 {
        write!(text, "{days}-").ok();
    }
    if days > 0 || hours > 0 {
        write!(text, "{hours:02}:").ok();
    }
    write!(text, "{minutes:02}:{:02}", seconds % 60).ok();
    text
}

/// `hh:mm:ss`, with days before it where there are some.
fn clock(seconds: u64) -> String {
    let days = match seconds / 86_400 {
        0 => String::new(),
        days => format!("{days}-"),
    };
    format!("{days}{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// `hh:mm` for today, else `MonDD`, in UTC.
fn start_time(time: u64, now: u64) -> String {
    if time / 86_400 == now / 86_400 {
        return format!("{:02}:{:02}", time / 3600 % 24, time / 60 % 60);
    }
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, month, day) = Moment { seconds: i64::try_from(time).unwrap_or(i64::MAX), nanoseconds: 0 }.date();
    let name = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).map_or("", |name| *name);
    format!("{name}{day:02}")
}

/// `pts/0` and the like, from the device number in `stat`.
fn terminal(number: u32) -> String {
    let (major, minor) = (number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xf_ff00));
    match major {
        0 => "?".to_owned(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        5 if minor == 1 => "console".to_owned(),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(words: &[&str]) -> Option<(Vec<String>, View)> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        columns(&words).ok().map(|(columns, view)| {
            (columns.into_iter().map(|(heading, name)| format!("{name}={heading}")).collect(), view)
        })
    }

    #[test]
    fn words_of_ps_and_descriptors() {
        let docker = list(DOCKER).unwrap().len();
        for (words, count, view) in [
            (&[][..], docker, View::Host),
            (&["-ef"], docker, View::Host),
            (&["aux"], 11, View::Host),
            (&["-o", "pid,comm"], 2, View::Host),
            (&["-eo", "pid,comm"], 2, View::Host),
            (&["-opid"], 1, View::Host),
            (&["-o", "pid", "-o", "args=X"], 2, View::Host),
            (&["--format=pid,%cpu"], 2, View::Host),
            (&["pid", "seccomp", "capeff"], 3, View::Container),
            (&["pid,user,huser"], 3, View::Container),
        ] {
            let (columns, found) = chosen(words).unwrap_or_else(|| panic!("{words:?}"));
            assert_eq!((columns.len(), found), (count, view), "{words:?}");
        }
        for words in [&["nope"][..], &["-o"], &["-o", "nope"], &["-Z"], &["-"], &["", ""], &["--nope"]] {
            assert_eq!(chosen(words), None, "{words:?}");
        }
        assert_eq!(chosen(&["-o", "pid=,comm=NAME"]).unwrap().0, ["pid=", "comm=NAME"]);
        assert!(list(&"pid,".repeat(65)).is_err());
    }

    #[test]
    fn times() {
        for (seconds, expected) in [(5, "00:05"), (65, "01:05"), (3600, "01:00:00"), (90_061, "1-01:01:01")] {
            assert_eq!(elapsed(seconds), expected);
        }
        assert_eq!(clock(3661), "01:01:01");
        assert_eq!(start_time(1_795_379_670, 1_795_379_680), "20:34");
        assert_eq!(start_time(1_795_379_670, 1_795_479_680), "Nov22");
        assert_eq!(start_time(951_782_400, 1_795_479_680), "Feb29");
    }

    #[test]
    fn terminals() {
        for (number, expected) in [
            (0, "?"),
            (34_816, "pts/0"),
            (34_823, "pts/7"),
            (1025, "tty1"),
            (1088, "ttyS0"),
            (1281, "console"),
        ] {
            assert_eq!(terminal(number), expected);
        }
    }

    #[test]
    fn capability_sets() {
        assert_eq!(capabilities(0), "none");
        assert_eq!(capabilities(0b101), "CHOWN,DAC_READ_SEARCH");
        assert_eq!(capabilities(u64::MAX), "full");
    }

    #[test]
    fn ids_of_the_container() {
        let map = [
            IdMapping { container_id: 0, host_id: 1000, size: 1 },
            IdMapping { container_id: 1, host_id: 100_000, size: 65_535 },
        ];
        let users = Names::from([(0, "root".to_owned())]);
        let none = Names::new();
        for (host, view, expected) in [
            (1000, View::Container, "root"),
            (100_004, View::Container, "5"),
            (7, View::Container, "nobody"),
            (1000, View::Host, "1000"),
        ] {
            assert_eq!(name_of(host, view, (&none, &users), &map), expected);
        }
    }
}
