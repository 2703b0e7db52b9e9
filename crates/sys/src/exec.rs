//! `execve(2)`, descriptors at exec, `_exit(2)`.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// A NULL-terminated array of strings for [`execve`], made before clone so that nothing allocates after.
pub struct StringArray {
    strings: Vec<CString>,
    choices: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl StringArray {
    /// Takes the strings over and lays out their pointers.
    pub fn new(strings: Vec<CString>) -> Self {
        // A CString's buffer is on the heap: moving the CString does not move its bytes.
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self { strings, choices: Vec::new(), pointers }
    }

    /// Lays out one of `choices`, the first to begin with, in front of `strings`.
    ///
    /// Returns `None` without any choice.
    pub fn with_choices(choices: Vec<CString>, strings: Vec<CString>) -> Option<Self> {
        let mut array = Self::new(strings);
        array.pointers.insert(0, choices.first()?.as_ptr());
        array.choices = choices;
        Some(array)
    }

    /// What can stand in front.
    pub fn choices(&self) -> &[CString] {
        &self.choices
    }

    /// Puts the choice of that index in front; an index that does not exist changes nothing. Does not allocate.
    pub fn choose(&mut self, index: usize) {
        if let (Some(choice), Some(first)) = (self.choices.get(index), self.pointers.first_mut()) {
            *first = choice.as_ptr();
        }
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

impl std::fmt::Debug for StringArray {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(&self.strings).finish()
    }
}

/// Replaces the process; returns only on failure.
pub fn execve(path: &CStr, arguments: &StringArray, environment: &StringArray) -> Errno {
    // SAFETY: the path ends in NUL; both arrays end in NULL and their strings are owned by the borrowed values.
    unsafe { libc::execve(path.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    last_errno()
}

/// Executes the chosen string with the others as its arguments; returns only on failure.
///
/// What the stub of [`crate::stub`] does, for the tests that show why there is one.
pub fn execve_chosen(arguments: &StringArray, environment: &StringArray) -> Errno {
    if arguments.choices.is_empty() {
        return Errno::INVAL;
    }
    // SAFETY: the first pointer is that of a choice, which ends in NUL; both arrays end in NULL, the first one
    // also from its second pointer on; their strings are owned by the borrowed values.
    unsafe {
        let pointers = arguments.pointers.as_ptr();
        libc::execve(*pointers, pointers.add(1), environment.pointers.as_ptr())
    };
    last_errno()
}

/// Replaces the process by the program that a descriptor refers to; returns only on failure.
pub fn execve_descriptor(
    program: BorrowedFd<'_>,
    arguments: &StringArray,
    environment: &StringArray,
) -> Errno {
    // SAFETY: as in `execve`; the empty path ends in NUL.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last_errno()
}

/// Takes over a descriptor that was inherited over exec, and marks it close-on-exec again. `EBADF` where there is none.
///
/// For the first lines of a program that was told its numbers by whoever executed it: each number once, before it opens
/// anything. The standard streams are refused.
pub fn inherited(number: i32) -> Result<OwnedFd, Errno> {
    if number <= 2 {
        return Err(Errno::BADF);
    }
    // SAFETY: fcntl takes integers only and answers EBADF for a number that is not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(last_errno());
    }
    // SAFETY: the descriptor is open; that nobody else owns it is what the caller says, as above.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Ends the process at once: no destructors, no `atexit`, no flush.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Marks every descriptor from `first` on close-on-exec (Linux 5.11).
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed, so no owner loses its descriptor.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Closes every descriptor from `first` on, whoever owns it (Linux 5.9).
///
/// For a process that only waits and then calls [`exit_now`]: an owner that is dropped later would close a
/// number that is not his any more.
pub fn close_all_from(first: u32) {
    // SAFETY: takes integers only; see above for what it asks of the caller.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Duplicates `from` onto the standard stream `to` (0, 1 or 2), which stays open over exec.
pub fn replace_stream(from: BorrowedFd<'_>, to: u32) -> Result<(), Errno> {
    if to > 2 {
        return Err(Errno::BADF);
    }
    let target = to.cast_signed();
    // SAFETY: only the three standard streams can be replaced, and no OwnedFd of ours ever owns those.
    let result = unsafe { libc::dup3(from.as_raw_fd(), target, 0) };
    if result == target {
        return Ok(());
    }
    if from.as_raw_fd() == target {
        // dup3 answers EINVAL for equal descriptors: only the flag has to go.
        // SAFETY: fcntl on an open descriptor of ours.
        return match unsafe { libc::fcntl(target, libc::F_SETFD, 0) } {
            0 => Ok(()),
            _ => Err(last_errno()),
        };
    }
    Err(last_errno())
}

/// Writes the caller's working directory to `buffer` without allocating; the bytes without their NUL.
///
/// A directory that cannot be reached from the root comes back as `(unreachable)...` (getcwd(2)).
pub fn working_directory(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    // SAFETY: the pointer and the length are of one live buffer.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    if length < 1 {
        return Err(last_errno());
    }
    let length = usize::try_from(length).map_err(|_| Errno::OVERFLOW)?;
    Ok(&buffer[..length - 1])
}
