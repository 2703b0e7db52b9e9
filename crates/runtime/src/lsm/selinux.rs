//! SELinux: whether it is on, and contexts as the policy writes them.

use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;

use crate::facts::read_small;

/// `1` where the policy is enforced, `0` where what it refuses is only logged; there where SELinux is on.
const ENFORCE: &str = "/sys/fs/selinux/enforce";
/// Takes a context and gives it back as the policy writes it.
const CONTEXT: &str = "/sys/fs/selinux/context";
/// Longest context in bytes: the kernel answers in one page.
const MAX_CONTEXT: usize = 4096;

/// Whether the kernel runs SELinux and has a policy.
#[must_use]
pub fn is_on() -> bool {
    rustix::fs::access(ENFORCE, Access::EXISTS).is_ok()
}

/// Whether what the policy refuses is refused, and not only logged.
#[must_use]
pub fn is_enforcing() -> bool {
    read_small(ENFORCE).is_some_and(|text| text.starts_with('1'))
}

/// A context as the policy writes it: categories sorted and joined to ranges.
///
/// # Errors
/// `EINVAL` for a context that the policy does not have; what else the kernel answers where it cannot be asked.
pub fn canonical(context: &str) -> Result<String, Errno> {
    if context.len() >= MAX_CONTEXT || context.contains('\0') {
        return Err(Errno::INVAL);
    }
    let file = rustix::fs::open(CONTEXT, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, context.as_bytes())?;
    let mut answer = [0; MAX_CONTEXT];
    let length = rustix::io::read(&file, &mut answer)?;
    let text = answer[..length].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|_| Errno::ILSEQ)
}

/// The context of this process; none where SELinux is off.
#[must_use]
pub fn own_context() -> Option<String> {
    let text = read_small("/proc/thread-self/attr/current")?;
    Some(text.trim_end_matches(['\0', '\n']).to_owned())
}
