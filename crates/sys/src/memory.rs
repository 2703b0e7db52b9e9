//! Giving memory back that an idle process does not need.

use crate::clone::last_errno;
use rustix::io::Errno;

// Made by every linker of ELF programs: the first byte of the program, and the end of its code.
unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
}

/// Bytes of a page that `madvise(2)` takes at least: the smallest of all supported machines is also their usual one.
const PAGE: usize = 4096;

/// Lets go of what a process that waits for a long time does not touch meanwhile: free heap, and the pages of its program,
/// which are read again from the page cache when it goes on. The next steps cost some page faults.
///
/// Only a program that is one static file has its code and constants where this looks.
pub fn release() -> Result<(), Errno> {
    // SAFETY: takes an integer; gives free memory at the end of the heap back.
    unsafe { libc::malloc_trim(0) };
    let (start, end) = ((&raw const __executable_start).addr(), (&raw const etext).addr());
    let start = start.next_multiple_of(PAGE);
    let Some(length) = (end & !(PAGE - 1)).checked_sub(start) else { return Ok(()) };
    let first = (&raw const __executable_start).wrapping_add(start - (&raw const __executable_start).addr());
    // SAFETY: the range holds constants and code only, private mappings of a file that nothing has written to: a page
    // that is dropped comes back with the same content (madvise(2), MADV_DONTNEED).
    match unsafe { libc::madvise(first.cast_mut().cast(), length, libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}
