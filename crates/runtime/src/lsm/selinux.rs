//! SELinux: whether it is on, and contexts as the policy writes them.

use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;

use crate::facts::read_small;

/// `1` where the policy is enforced, `0` where what it refuses is only logged; there where SELinux is on.
const ENFORCE: &str = "/sys/fs/selinux/enforce";
/// Takes a context and gives it back as the policy writes it.
const CONTEXT: &str = "/sys/fs/selinux/context";
/// Answers what one context may do to another.
const ACCESS: &str = "/sys/fs/selinux/access";
/// The numbers of the policy's classes and permissions.
const CLASSES: &str = "/sys/fs/selinux/class";
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

/// Whether the policy lets a process of the context `from` execute a program as `to`, with no_new_privs set.
///
/// # Errors
/// What the kernel answers where it cannot be asked.
pub fn may_become(from: &str, to: &str) -> Result<bool, Errno> {
    // Where the policy does not know the second, the kernel does not ask for it (before Linux 4.14).
    Ok(allows(from, to, "process", "transition")?.unwrap_or(false)
        && allows(from, to, "process2", "nnp_transition")?.unwrap_or(true))
}

/// One decision of the policy; none where it does not know the class or the permission.
fn allows(from: &str, to: &str, class: &str, permission: &str) -> Result<Option<bool>, Errno> {
    let number = |path: String| read_small(&path).and_then(|text| text.trim().parse::<u32>().ok());
    let class = format!("{CLASSES}/{class}");
    let index = number(format!("{class}/index"));
    let bit = number(format!("{class}/perms/{permission}")).filter(|bit| (1..=32).contains(bit));
    let (Some(index), Some(bit)) = (index, bit) else { return Ok(None) };
    let file = rustix::fs::open(ACCESS, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, format!("{from} {to} {index}").as_bytes())?;
    let mut answer = [0; 256];
    let length = rustix::io::read(&file, &mut answer)?;
    let text = String::from_utf8_lossy(&answer[..length]);
    decision(&text, bit).map(Some).ok_or(Errno::PROTO)
}

/// The bit of a permission, from 1, in `allowed decided auditallow auditdeny sequence flags` (hexadecimal).
fn decision(answer: &str, bit: u32) -> Option<bool> {
    let allowed = u32::from_str_radix(answer.split_ascii_whitespace().next()?, 16).ok()?;
    Some(allowed & (1 << (bit - 1)) != 0)
}

/// The context of this process; none where SELinux is off.
#[must_use]
pub fn own_context() -> Option<String> {
    let text = read_small("/proc/thread-self/attr/current")?;
    Some(text.trim_end_matches(['\0', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_of_a_policy() {
        for (answer, bit, expected) in [
            ("7fffffff ffffffff 0 fffefb7f 1 0", 2, Some(true)),
            ("717ffffd ffffffff 0 fffefb7f 1 0", 2, Some(false)),
            ("3 ffffffff 0 ffffffff 1 0", 1, Some(true)),
            ("0 ffffffff 0 ffffffff 1 0", 1, Some(false)),
            ("80000000 0 0 0 1 0", 32, Some(true)),
            ("", 1, None),
            ("x", 1, None),
        ] {
            assert_eq!(decision(answer, bit), expected, "{answer}");
        }
    }

    #[test]
    fn a_context_that_the_kernel_could_not_take_is_not_asked_about() {
        assert_eq!(canonical("a\0b"), Err(Errno::INVAL));
        assert_eq!(canonical(&"a".repeat(MAX_CONTEXT)), Err(Errno::INVAL));
    }
}
