use std::path::PathBuf;

use rustix::io::Errno;

/// Which of the two maps of a user namespace is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// User ids: `uid_map`, `/etc/subuid`, `newuidmap`.
    Uid,
    /// Group ids: `gid_map`, `/etc/subgid`, `newgidmap`.
    Gid,
}

impl Side {
    /// The file below `/proc/<pid>`.
    #[must_use]
    pub const fn map_file(self) -> &'static str {
        match self {
            Self::Uid => "uid_map",
            Self::Gid => "gid_map",
        }
    }

    /// The file below `/etc`.
    #[must_use]
    pub const fn subordinate_file(self) -> &'static str {
        match self {
            Self::Uid => "subuid",
            Self::Gid => "subgid",
        }
    }

    /// The set-id program of shadow-utils that writes the map for a plain user.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Uid => "newuidmap",
            Self::Gid => "newgidmap",
        }
    }
}

/// What can go wrong with ids and their maps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A map without ranges: the kernel refuses it.
    #[error("id map is empty: give at least one range")]
    Empty,
    /// A range of size 0.
    #[error("id map range `{container} {host} 0` has size 0: give a size of 1 or more")]
    ZeroSize {
        /// First id inside.
        container: u32,
        /// First id outside.
        host: u32,
    },
    /// A range that goes past 4294967294, the last id there is.
    #[error("id map range `{container} {host} {size}` goes past the last id 4294967294")]
    PastEnd {
        /// First id inside.
        container: u32,
        /// First id outside.
        host: u32,
        /// Number of ids.
        size: u32,
    },
    /// Two ranges share an id inside.
    #[error("id map gives the container id `{id}` twice")]
    OverlapInside {
        /// The first id that is given twice.
        id: u32,
    },
    /// Two ranges share an id outside.
    #[error("id map uses the host id `{id}` twice")]
    OverlapOutside {
        /// The first id that is used twice.
        id: u32,
    },
    /// More ranges than the kernel takes (340 since Linux 4.15).
    #[error("id map has {count} ranges, the kernel takes at most {limit}")]
    TooManyRanges {
        /// Ranges given.
        count: usize,
        /// Ranges allowed.
        limit: usize,
    },
    /// The text of the map does not fit into the one page that the kernel reads.
    #[error("id map is {bytes} bytes long as text, the kernel takes at most {limit}: use fewer ranges")]
    TooLong {
        /// Bytes of the rendered map.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A map as text that is not three numbers a line.
    #[error("id map line {line} is not `container host size` in decimal")]
    MapSyntax {
        /// Counted from 1.
        line: usize,
    },
    /// A file is bigger or longer than a parser here takes.
    #[error("`{file}` is over the limit of {limit} {unit}")]
    TooBig {
        /// Which file or program output.
        file: String,
        /// The limit.
        limit: usize,
        /// `bytes` or `lines`.
        unit: &'static str,
    },
    /// A file that had to be a regular file is something else.
    #[error("`{}` is not a regular file", .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// A system call on a file or process failed.
    #[error("{what} `{}`", .path.display())]
    Io {
        /// What was tried, as a verb: `open`, `read`, `write`.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// The user has no subordinate ids.
    #[error(
        "user `{user}` has no range in `/etc/{}`: as root run `usermod --add-{0}s 100000-165535 {user}`",
        .side.subordinate_file()
    )]
    NoSubordinate {
        /// Login name or numeric id.
        user: String,
        /// Which of the files.
        side: Side,
    },
    /// The kernel refused a map.
    #[error("write `{}` of process {pid}", .side.map_file())]
    MapRefused {
        /// Which map.
        side: Side,
        /// Whose.
        pid: i32,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// `newuidmap` or `newgidmap` is not installed.
    #[error("`{}` is not installed: as root run `apt-get install uidmap`", .side.program())]
    HelperMissing {
        /// Which of the two.
        side: Side,
    },
    /// A helper program could not be started, was killed, took too long or said no.
    #[error("`{}` failed ({status}): {stderr}", .program.display())]
    HelperFailed {
        /// The program.
        program: PathBuf,
        /// `exit status 1`, `signal 9`, `timeout` or an errno.
        status: String,
        /// First line of what it printed, without control characters.
        stderr: String,
    },
    /// Every range for containers is taken.
    #[error(
        "no free range of {size} ids for a container: give user `brig` a bigger range in /etc/subuid and /etc/subgid"
    )]
    NoFreeRange {
        /// Ids asked for.
        size: u32,
    },
    /// A name that cannot be the owner of a claim.
    #[error("claim owner `{owner}` is not 1 to 128 bytes of letters, digits, `_`, `.` or `-`")]
    BadOwner {
        /// The name given.
        owner: String,
    },
    /// The calling process has more than one thread.
    #[error("a process with threads must not fork a closure")]
    Threads,
    /// No user namespace can be made or used here.
    #[error("{}", no_user_namespace(*errno, reason, mend.as_deref()))]
    NoUserNamespace {
        /// The kernel's answer.
        errno: Errno,
        /// Which switch it is, in one line.
        reason: String,
        /// The command that mends it, to be run as root.
        mend: Option<String>,
    },
    /// A step of setting up a namespace failed in the child.
    #[error("{step} in a new user namespace")]
    Namespace {
        /// What was tried.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// A child's answer is longer than its caller allowed.
    #[error("the answer from the user namespace is over {limit} bytes")]
    AnswerTooLong {
        /// Bytes allowed.
        limit: usize,
    },
}

impl Error {
    /// The error for a user namespace that could not be made: says which of the kernel's switches it was.
    #[must_use]
    pub fn refused_namespace(errno: Errno) -> Self {
        let (reason, mend) = crate::doctor::refusal(errno);
        Self::NoUserNamespace { errno, reason, mend }
    }
}

fn no_user_namespace(errno: Errno, reason: &str, mend: Option<&str>) -> String {
    let errno = errno.to_string();
    let repeated = reason.starts_with(&errno);
    let errno = if repeated { String::new() } else { format!(" ({errno})") };
    let mend = mend.map(|mend| format!(": as root run `{mend}`")).unwrap_or_default();
    format!("no user namespace can be used{errno}: {reason}{mend}")
}
