//! What a filter answers.

use sys::seccomp as kernel;

use crate::error::Error;

/// Largest errno that the kernel hands out (`MAX_ERRNO`); it would clamp larger ones in silence.
const MAX_ERRNO: u32 = 4095;
/// Largest data of a trace answer (`SECCOMP_RET_DATA`, 16 bits).
const MAX_TRACE: u32 = 0xffff;
/// `EPERM`, the errno where a profile names none (runtime-spec, "errnoRet").
pub(crate) const DEFAULT_ERRNO: u32 = 1;

/// A decision about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The process dies (`SCMP_ACT_KILL_PROCESS`).
    KillProcess,
    /// The thread dies (`SCMP_ACT_KILL`, `SCMP_ACT_KILL_THREAD`).
    KillThread,
    /// The caller gets SIGSYS (`SCMP_ACT_TRAP`).
    Trap,
    /// The call fails with this errno (`SCMP_ACT_ERRNO`).
    Errno(u16),
    /// The listener decides (`SCMP_ACT_NOTIFY`).
    Notify,
    /// The tracer decides, told this number (`SCMP_ACT_TRACE`).
    Trace(u16),
    /// The call runs and is logged (`SCMP_ACT_LOG`).
    Log,
    /// The call runs (`SCMP_ACT_ALLOW`).
    Allow,
}

impl Action {
    /// Reads an OCI action and its errno (`EPERM` where a needed one is absent).
    ///
    /// An errno on an action that takes none is an error, as runtime-spec demands.
    pub(crate) fn parse(name: &str, errno: Option<u32>) -> Result<Self, Error> {
        let plain = match name {
            "SCMP_ACT_ERRNO" => {
                let value = errno.unwrap_or(DEFAULT_ERRNO);
                return narrow(name, value, MAX_ERRNO).map(Self::Errno);
            }
            "SCMP_ACT_TRACE" => {
                let value = errno.unwrap_or(DEFAULT_ERRNO);
                return narrow(name, value, MAX_TRACE).map(Self::Trace);
            }
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KillThread,
            "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_NOTIFY" => Self::Notify,
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_ALLOW" => Self::Allow,
            _ => return Err(Error::UnknownAction { name: name.to_owned() }),
        };
        match errno {
            Some(_) => Err(Error::UnusedErrno { action: name.to_owned() }),
            None => Ok(plain),
        }
    }

    /// The value a filter returns for this action.
    #[must_use]
    pub const fn encode(self) -> u32 {
        match self {
            Self::KillProcess => kernel::RET_KILL_PROCESS,
            Self::KillThread => kernel::RET_KILL_THREAD,
            Self::Trap => kernel::RET_TRAP,
            Self::Errno(errno) => kernel::RET_ERRNO | errno as u32,
            Self::Notify => kernel::RET_USER_NOTIF,
            Self::Trace(data) => kernel::RET_TRACE | data as u32,
            Self::Log => kernel::RET_LOG,
            Self::Allow => kernel::RET_ALLOW,
        }
    }

    /// Reads a filter's return value the way the kernel does; an unknown one kills the process.
    #[must_use]
    pub const fn decode(value: u32) -> Self {
        let [_, _, high, low] = value.to_be_bytes();
        let data = u16::from_be_bytes([high, low]);
        match value & kernel::RET_ACTION_FULL {
            kernel::RET_KILL_THREAD => Self::KillThread,
            kernel::RET_TRAP => Self::Trap,
            kernel::RET_ERRNO => Self::Errno(data),
            kernel::RET_USER_NOTIF => Self::Notify,
            kernel::RET_TRACE => Self::Trace(data),
            kernel::RET_LOG => Self::Log,
            kernel::RET_ALLOW => Self::Allow,
            _ => Self::KillProcess,
        }
    }

    /// Whether the call runs without anyone being asked.
    #[must_use]
    pub const fn is_permissive(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }
}

fn narrow(action: &str, value: u32, limit: u32) -> Result<u16, Error> {
    let too_large = || Error::ErrnoRange { action: action.to_owned(), value, limit };
    if value > limit {
        return Err(too_large());
    }
    u16::try_from(value).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_round_trip() {
        let rows = [
            ("SCMP_ACT_KILL", None, Action::KillThread),
            ("SCMP_ACT_KILL_THREAD", None, Action::KillThread),
            ("SCMP_ACT_KILL_PROCESS", None, Action::KillProcess),
            ("SCMP_ACT_TRAP", None, Action::Trap),
            ("SCMP_ACT_ERRNO", None, Action::Errno(1)),
            ("SCMP_ACT_ERRNO", Some(0), Action::Errno(0)),
            ("SCMP_ACT_ERRNO", Some(4095), Action::Errno(4095)),
            ("SCMP_ACT_TRACE", Some(65535), Action::Trace(65535)),
            ("SCMP_ACT_NOTIFY", None, Action::Notify),
            ("SCMP_ACT_LOG", None, Action::Log),
            ("SCMP_ACT_ALLOW", None, Action::Allow),
        ];
        for (name, errno, action) in rows {
            let parsed = Action::parse(name, errno).unwrap();
            assert_eq!(parsed, action);
            assert_eq!(Action::decode(parsed.encode()), action);
        }
    }

    #[test]
    fn bad_actions_are_errors() {
        for (name, errno) in [
            ("SCMP_ACT_ERRNO", Some(4096)),
            ("SCMP_ACT_TRACE", Some(65536)),
            ("SCMP_ACT_ALLOW", Some(1)),
            ("SCMP_ACT_allow", None),
            ("", None),
        ] {
            assert!(Action::parse(name, errno).is_err(), "{name} {errno:?}");
        }
    }
}
