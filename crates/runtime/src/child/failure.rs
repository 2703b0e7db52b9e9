//! What went wrong in the child, as a fixed number of bytes: the child cannot format text.

use rustix::io::Errno;

/// One table of names and texts: the number that travels is the position, from 1.
macro_rules! operations {
    ($($name:ident = $text:literal,)*) => {
        /// What the child was doing when the kernel refused. Numbers travel over the socket.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = $text] $name,)*
        }

        const ALL: &[Operation] = &[$(Operation::$name),*];

        impl Operation {
            /// A phrase for an error message.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

operations! {
    Clone = "make the process",
    Join = "join a namespace",
    Synchronise = "wait for the parent",
    JoinCgroup = "join the cgroup",
    SetIds = "set ids",
    Session = "start a session",
    Unshare = "make a namespace",
    Loopback = "bring up the loopback device",
    Keyring = "join a new session keyring",
    Propagation = "change propagation",
    OpenRoot = "open the root",
    OpenDestination = "open the destination inside the root",
    MakeDestination = "make the destination inside the root",
    OpenSource = "open the source",
    ChangedSource = "open the source, which changed meanwhile",
    CloneTree = "clone the source's mount",
    OpenFileSystem = "open the file system type",
    Configure = "configure the file system",
    NameLayers = "name the layers in one page of options, which holds some 220 before Linux 6.13",
    CreateFileSystem = "create the file system",
    MakeMount = "make the mount",
    Attributes = "set mount attributes",
    IdMap = "map ids of the mount",
    Attach = "attach the mount",
    NotProcfs = "check that it is a procfs",
    CopyUp = "copy the directory up",
    MakeSecret = "make the secret's file",
    MakeNode = "make the node",
    NodeOwner = "set owner and mode of the node",
    Link = "make the link",
    OpenTerminal = "open a terminal",
    SendTerminal = "send the terminal",
    TakeTerminal = "take the terminal",
    Pivot = "pivot_root",
    Detach = "detach the old root",
    ChangeRoot = "change to the root",
    Name = "set the name",
    OpenKernelFile = "open the kernel's file",
    WriteKernelFile = "write the kernel's file",
    VerifyKernelFile = "read back what was written",
    KnowLabel = "find it among the profiles or labels that are loaded",
    Mask = "mask",
    Schedule = "set the attribute",
    Groups = "set supplementary groups",
    BoundingSet = "drop from the bounding set",
    Capabilities = "set capabilities",
    AmbientSet = "raise an ambient capability",
    WorkingDirectory = "enter the directory",
    OutsideRoot = "check that the directory is inside the root",
    NoNewPrivileges = "set no_new_privs",
    Filter = "install the filter",
    SendListener = "send the notify descriptor",
    Hook = "run a hook",
    FindProgram = "find an executable file",
    Signals = "reset signals",
    Descriptors = "close descriptors on exec",
    Execute = "execve",
}

impl Operation {
    /// The number that travels over the socket; 0 is none.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The operation of a number that came over the socket.
    pub fn from_number(number: u8) -> Option<Self> {
        ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// An operation that failed, with the kernel's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried.
    pub operation: Operation,
    /// The answer.
    pub errno: Errno,
}

impl Failure {
    /// One that came over a socket.
    pub(crate) fn received(operation: u8, errno: i32) -> Self {
        Self {
            operation: Operation::from_number(operation).unwrap_or(Operation::Synchronise),
            errno: Errno::from_raw_os_error(errno),
        }
    }
}

/// Result of a step.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Adds the operation to an errno.
pub(crate) trait During<T> {
    /// Names what was tried.
    fn during(self, operation: Operation) -> Outcome<T>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, operation: Operation) -> Outcome<T> {
        self.map_err(|errno| Failure { operation, errno })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for operation in ALL {
            assert_eq!(Operation::from_number(operation.number()), Some(*operation));
        }
        assert_eq!(ALL.first().map(|operation| operation.number()), Some(1));
        assert_eq!(Operation::from_number(0), None);
        assert_eq!(Operation::from_number(255), None);
    }
}
