//! What can be wrong with a profile.

use std::fmt;

/// Why a profile cannot be compiled, resolved or cached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An action that runtime-spec does not list.
    #[error("unknown seccomp action `{name}`, use one of runtime-spec's `SCMP_ACT_*`")]
    UnknownAction {
        /// As the profile has it.
        name: String,
    },
    /// An operator that runtime-spec does not list.
    #[error("unknown seccomp operator `{name}` in a rule for `{call}`, use one of `SCMP_CMP_*`")]
    UnknownOperator {
        /// As the profile has it.
        name: String,
        /// The rule's first call.
        call: String,
    },
    /// An architecture that runtime-spec does not list.
    #[error("unknown seccomp architecture `{name}`, use one of `SCMP_ARCH_*`")]
    UnknownArch {
        /// As the profile has it.
        name: String,
    },
    /// A filter flag that runtime-spec does not list.
    #[error("unknown seccomp flag `{name}`, use one of `SECCOMP_FILTER_FLAG_*`")]
    UnknownFlag {
        /// As the profile has it.
        name: String,
    },
    /// An errno on an action that takes none.
    #[error("seccomp action `{action}` takes no errno, remove `errnoRet`")]
    UnusedErrno {
        /// The action.
        action: String,
    },
    /// An errno beyond what the kernel hands out.
    #[error("errno {value} of seccomp action `{action}` is above {limit}")]
    ErrnoRange {
        /// The action.
        action: String,
        /// As the profile has it.
        value: u32,
        /// The kernel's limit.
        limit: u32,
    },
    /// A condition on an argument that no call has.
    #[error("argument index {index} in a seccomp rule for `{call}` is above 5")]
    ArgumentIndex {
        /// As the profile has it.
        index: u32,
        /// The rule's first call.
        call: String,
    },
    /// The default action cannot be `SCMP_ACT_NOTIFY`: the descriptor could never be handed over.
    #[error("`SCMP_ACT_NOTIFY` cannot be the default seccomp action")]
    NotifyDefault,
    /// A rule without a call.
    #[error("a seccomp rule names no system call")]
    NoNames,
    /// Two rules answer the same calls on the same conditions differently.
    #[error("two seccomp rules for `{call}` have the same conditions and different actions")]
    Conflict {
        /// The call.
        call: String,
    },
    /// More than a bound allows.
    #[error("seccomp profile has {count} {what}, the limit is {limit}")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The program is longer than the kernel takes.
    #[error(
        "seccomp profile compiles to {length} instructions, the kernel takes {limit}: use fewer conditions or architectures"
    )]
    TooLong {
        /// Instructions.
        length: usize,
        /// The kernel's limit.
        limit: usize,
    },
    /// This machine's architecture has no call table.
    #[error("no seccomp call table for this machine's architecture")]
    NoNativeTable,
    /// A profile file that is not one.
    #[error("seccomp profile is not valid JSON of Docker's or runtime-spec's form")]
    Json(#[source] serde_json::Error),
    /// A field whose value cannot be read.
    #[error("seccomp profile field `{field}` has the unusable value `{value}`")]
    Field {
        /// Its name.
        field: &'static str,
        /// As the profile has it.
        value: String,
    },
    /// A program that the kernel would refuse.
    #[error("bpf program is invalid at instruction {at}: {why}")]
    InvalidProgram {
        /// Index of the instruction.
        at: usize,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The cache directory cannot be written.
    #[error("write seccomp cache entry `{name}`")]
    Cache {
        /// File name in the directory.
        name: String,
        /// The kernel's answer.
        #[source]
        errno: rustix::io::Errno,
    },
}

/// Something ignored while compiling, as libseccomp and runc ignore it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// No table has a call of this name.
    UnknownCall(String),
    /// A listed architecture without a table, whose calls get the foreign-ABI answer.
    ForeignArch(String),
    /// A rule looks at arguments of this call, which i386 `socketcall` and `ipc` hide; through them
    /// the call gets the strictest of its answers.
    HiddenRefused(String),
    /// The same, and the profile allows the whole of `socketcall` or `ipc`: the rule can be evaded.
    HiddenOpen(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCall(name) => write!(f, "unknown system call `{name}` ignored"),
            Self::ForeignArch(name) => write!(f, "architecture `{name}` has no call table, ignored"),
            Self::HiddenRefused(name) => {
                write!(f, "arguments of `{name}` are hidden by i386 `socketcall` and `ipc`, refused there")
            }
            Self::HiddenOpen(name) => write!(
                f,
                "arguments of `{name}` are hidden by i386 `socketcall` and `ipc`, not filtered there"
            ),
        }
    }
}
