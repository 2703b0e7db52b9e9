//! What went wrong in the child, as a fixed number of bytes: the child cannot format text.

use rustix::io::Errno;

/// What the child was doing when the kernel refused. Numbers travel over the socket.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each name is the text that `text` gives for it")]
pub enum Operation {
    Clone = 1,
    Join,
    Synchronise,
    JoinCgroup,
    SetIds,
    Session,
    Unshare,
    Loopback,
    Keyring,
    Propagation,
    OpenRoot,
    OpenDestination,
    MakeDestination,
    OpenSource,
    ChangedSource,
    CloneTree,
    OpenFileSystem,
    Configure,
    NameLayers,
    CreateFileSystem,
    MakeMount,
    Attributes,
    IdMap,
    Attach,
    NotProcfs,
    CopyUp,
    MakeNode,
    NodeOwner,
    Link,
    OpenTerminal,
    SendTerminal,
    TakeTerminal,
    Pivot,
    Detach,
    ChangeRoot,
    Name,
    OpenKernelFile,
    WriteKernelFile,
    VerifyKernelFile,
    Mask,
    Schedule,
    Groups,
    BoundingSet,
    Capabilities,
    AmbientSet,
    WorkingDirectory,
    OutsideRoot,
    NoNewPrivileges,
    Filter,
    SendListener,
    Hook,
    FindProgram,
    Signals,
    Descriptors,
    Execute,
}

impl Operation {
    const LAST: u8 = Self::Execute as u8;

    /// The operation of a number that came over the socket.
    pub fn from_number(number: u8) -> Option<Self> {
        ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// A phrase for an error message.
    pub fn text(self) -> &'static str {
        match self {
            Self::Clone => "make the process",
            Self::Join => "join a namespace",
            Self::Synchronise => "wait for the parent",
            Self::JoinCgroup => "join the cgroup",
            Self::SetIds => "set ids",
            Self::Session => "start a session",
            Self::Unshare => "make a namespace",
            Self::Loopback => "bring up the loopback device",
            Self::Keyring => "join a new session keyring",
            Self::Propagation => "change propagation",
            Self::OpenRoot => "open the root",
            Self::OpenDestination => "open the destination inside the root",
            Self::MakeDestination => "make the destination inside the root",
            Self::OpenSource => "open the source",
            Self::ChangedSource => "open the source, which changed meanwhile",
            Self::CloneTree => "clone the source's mount",
            Self::OpenFileSystem => "open the file system type",
            Self::Configure => "configure the file system",
            Self::NameLayers => {
                "name the layers in one page of options, which holds some 220 before Linux 6.13"
            }
            Self::CreateFileSystem => "create the file system",
            Self::MakeMount => "make the mount",
            Self::Attributes => "set mount attributes",
            Self::IdMap => "map ids of the mount",
            Self::Attach => "attach the mount",
            Self::NotProcfs => "check that it is a procfs",
            Self::CopyUp => "copy the directory up",
            Self::MakeNode => "make the node",
            Self::NodeOwner => "set owner and mode of the node",
            Self::Link => "make the link",
            Self::OpenTerminal => "open a terminal",
            Self::SendTerminal => "send the terminal",
            Self::TakeTerminal => "take the terminal",
            Self::Pivot => "pivot_root",
            Self::Detach => "detach the old root",
            Self::ChangeRoot => "change to the root",
            Self::Name => "set the name",
            Self::OpenKernelFile => "open the kernel's file",
            Self::WriteKernelFile => "write the kernel's file",
            Self::VerifyKernelFile => "read back what was written",
            Self::Mask => "mask",
            Self::Schedule => "set the attribute",
            Self::Groups => "set supplementary groups",
            Self::BoundingSet => "drop from the bounding set",
            Self::Capabilities => "set capabilities",
            Self::AmbientSet => "raise an ambient capability",
            Self::WorkingDirectory => "enter the directory",
            Self::OutsideRoot => "check that the directory is inside the root",
            Self::NoNewPrivileges => "set no_new_privs",
            Self::Filter => "install the filter",
            Self::SendListener => "send the notify descriptor",
            Self::Hook => "run a hook",
            Self::FindProgram => "find an executable file",
            Self::Signals => "reset signals",
            Self::Descriptors => "close descriptors on exec",
            Self::Execute => "execve",
        }
    }
}

const ALL: [Operation; Operation::LAST as usize] = {
    use Operation::*;
    [
        Clone,
        Join,
        Synchronise,
        JoinCgroup,
        SetIds,
        Session,
        Unshare,
        Loopback,
        Keyring,
        Propagation,
        OpenRoot,
        OpenDestination,
        MakeDestination,
        OpenSource,
        ChangedSource,
        CloneTree,
        OpenFileSystem,
        Configure,
        NameLayers,
        CreateFileSystem,
        MakeMount,
        Attributes,
        IdMap,
        Attach,
        NotProcfs,
        CopyUp,
        MakeNode,
        NodeOwner,
        Link,
        OpenTerminal,
        SendTerminal,
        TakeTerminal,
        Pivot,
        Detach,
        ChangeRoot,
        Name,
        OpenKernelFile,
        WriteKernelFile,
        VerifyKernelFile,
        Mask,
        Schedule,
        Groups,
        BoundingSet,
        Capabilities,
        AmbientSet,
        WorkingDirectory,
        OutsideRoot,
        NoNewPrivileges,
        Filter,
        SendListener,
        Hook,
        FindProgram,
        Signals,
        Descriptors,
        Execute,
    ]
};

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
        for number in 1..=Operation::LAST {
            assert_eq!(Operation::from_number(number).map(|operation| operation as u8), Some(number));
        }
        assert_eq!(Operation::from_number(0), None);
        assert_eq!(Operation::from_number(255), None);
    }
}
