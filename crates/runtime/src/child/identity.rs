//! Ids and capabilities of the payload, and pid 1 for `--init`.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Gid, Uid};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets as Sets};

use super::failure::{During, Failure, Operation, Outcome};
use super::hide_from_ptrace;
use crate::plan::{CapabilitySets, Identity};
use crate::weaken::{self, Defence};

/// Bits that the kernel's capability sets can have.
const CAPABILITY_BITS: u32 = 64;

/// Takes an id of the user namespace, with all its capabilities.
pub(super) fn take_ids(uid: u32, gid: u32) -> Outcome {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).during(Operation::SetIds)?;
    // The change makes the process non-dumpable; its /proc files must stay its own until they were written.
    rustix::thread::set_keep_capabilities(true).during(Operation::SetIds)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during(Operation::SetIds)?;
    rustix::thread::set_keep_capabilities(false).during(Operation::SetIds)
}

/// Takes the identity of the payload. The order matters: the bounding set takes CAP_SETPCAP to shrink,
/// groups take CAP_SETGID, and both are gone after the change of the user (CVE-2022-36109).
pub(super) fn take(identity: &Identity, streams: &[(OwnedFd, u32)]) -> Outcome {
    let wanted = identity.capabilities;
    shrink_bounding_set(wanted.bounding)?;
    rustix::thread::set_keep_capabilities(true).during(Operation::Capabilities)?;
    if !weaken::is_off(Defence::Groups) {
        set_groups(&identity.groups)?;
    }
    own_streams(identity.uid, streams)?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).during(Operation::SetIds)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during(Operation::SetIds)?;
    sys::process::set_umask(identity.umask);
    rustix::thread::set_keep_capabilities(false).during(Operation::Capabilities)?;
    // Before the capabilities of the payload: while this process has more than they, nobody inside may look at it.
    hide_from_ptrace()?;
    set_capabilities(wanted)
}

fn shrink_bounding_set(bounding: u64) -> Outcome {
    for number in 0..CAPABILITY_BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::capability_is_in_bounding_set(capability) {
            // Above the kernel's last capability.
            Err(Errno::INVAL) => break,
            Ok(true) if bounding & (1 << number) == 0 => {
                rustix::thread::remove_capability_from_bounding_set(capability)
                    .during(Operation::BoundingSet)?;
            }
            result => {
                result.during(Operation::BoundingSet)?;
            }
        }
    }
    Ok(())
}

fn set_capabilities(wanted: CapabilitySets) -> Outcome {
    let now = rustix::thread::capabilities(None).during(Operation::Capabilities)?;
    // What the caller does not hold cannot be given: a runtime inside a container gives what it has.
    let permitted = wanted.permitted & now.permitted.bits();
    let sets = Sets {
        permitted: CapabilitySet::from_bits_retain(permitted),
        effective: CapabilitySet::from_bits_retain(wanted.effective & permitted),
        inheritable: CapabilitySet::from_bits_retain(
            wanted.inheritable & (permitted | now.inheritable.bits()),
        ),
    };
    let ambient = wanted.ambient & permitted & sets.inheritable.bits();
    rustix::thread::clear_ambient_capability_set().during(Operation::AmbientSet)?;
    rustix::thread::set_capabilities(None, sets).during(Operation::Capabilities)?;
    for number in (0..CAPABILITY_BITS).filter(|number| ambient & (1 << number) != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .during(Operation::AmbientSet)?;
    }
    Ok(())
}

fn set_groups(groups: &[u32]) -> Outcome {
    match sys::process::set_groups(groups) {
        // A namespace that an unprivileged process mapped by itself cannot change groups (user_namespaces(7)):
        // an empty list is then the list it has.
        Err(Errno::PERM) if groups.is_empty() => Ok(()),
        result => result.during(Operation::Groups),
    }
}

/// Gives pipes among the standard streams to the user, so that `/dev/stdout` can be opened again: those that will
/// become standard streams, or else those that the caller made for it.
///
/// Only pipes: a regular file or terminal of the host keeps its owner.
fn own_streams(uid: u32, relayed: &[(OwnedFd, u32)]) -> Outcome {
    if uid == 0 {
        return Ok(());
    }
    let standard = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let callers = standard.into_iter().filter(|_| relayed.is_empty());
    for stream in relayed.iter().map(|(pipe, _)| pipe.as_fd()).chain(callers) {
        match rustix::fs::fstat(stream) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && stat.st_uid != uid => {
                match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None) {
                    // A pipe whose owner the namespace does not know stays as it is.
                    Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
                    Err(errno) => return Err(Failure { operation: Operation::SetIds, errno }),
                }
            }
            Ok(_) | Err(Errno::BADF) => {}
            Err(errno) => return Err(Failure { operation: Operation::SetIds, errno }),
        }
    }
    Ok(())
}

pub(super) fn change_owner(file: &OwnedFd, owner: (u32, u32)) -> Outcome {
    if owner == (0, 0) {
        return Ok(());
    }
    let flags = rustix::fs::AtFlags::EMPTY_PATH;
    rustix::fs::chownat(file, c"", Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)), flags)
        .during(Operation::NodeOwner)
}

/// Splits the process: the child goes on to the payload, this one stays as pid 1 and never comes back.
///
/// It forwards every signal, reaps orphans, and ends as the payload ended.
pub(super) fn stay_as_init() -> Outcome {
    sys::signal::block_all().during(Operation::Signals)?;
    let pid = sys::clone::fork().during(Operation::Clone)?;
    let Some(payload) = Pid::from_raw(pid) else {
        return sys::signal::reset_all().during(Operation::Signals);
    };
    sys::exec::close_all_from(3);
    loop {
        let Ok(number) = sys::signal::wait_any() else { continue };
        if number == Signal::CHILD.as_raw() {
            reap(payload);
        } else if let Some(signal) = Signal::from_named_raw(number) {
            // The payload may be gone already: then SIGCHLD is next.
            rustix::process::kill_process(payload, signal).ok();
        }
    }
}

fn reap(payload: Pid) {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == payload {
            let code =
                status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
            sys::exec::exit_now(code.unwrap_or(1));
        }
    }
}

/// `<own pid>/<file>`: procfs paths go through no symbolic link, so not through `self`.
pub(super) fn own_file<'b>(file: &CStr, buffer: &'b mut [u8]) -> Outcome<&'b CStr> {
    let pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
    let mut tail = [b'/'; 33];
    let name = file.to_bytes();
    let Some(place) = tail.get_mut(1..=name.len()) else {
        return Err(Failure { operation: Operation::OpenKernelFile, errno: Errno::NAMETOOLONG });
    };
    place.copy_from_slice(name);
    format_path(b"", pid, &tail[..=name.len()], buffer)
}

/// Writes `prefix`, a number and `suffix` to a buffer as a C string.
pub(crate) fn format_path<'b>(
    prefix: &[u8],
    number: u32,
    suffix: &[u8],
    buffer: &'b mut [u8],
) -> Outcome<&'b CStr> {
    let mut digits = [0; 10];
    let mut rest = number;
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let mut length = 0;
    for part in [prefix, &digits[first..], suffix, b"\0"] {
        let Some(place) = buffer.get_mut(length..length + part.len()) else {
            return Err(Failure { operation: Operation::OpenKernelFile, errno: Errno::NAMETOOLONG });
        };
        place.copy_from_slice(part);
        length += part.len();
    }
    CStr::from_bytes_with_nul(&buffer[..length])
        .map_err(|_| Failure { operation: Operation::OpenKernelFile, errno: Errno::INVAL })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_without_allocating() {
        let mut buffer = [0; 32];
        assert_eq!(format_path(b"/proc/self/fd/", 0, b"", &mut buffer).unwrap(), c"/proc/self/fd/0");
        assert_eq!(format_path(b"", u32::MAX, b"/attr", &mut buffer).unwrap(), c"4294967295/attr");
        assert!(format_path(b"0123456789012345678901234567", 1234, b"", &mut buffer).is_err());
    }
}
