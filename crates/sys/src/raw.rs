//! Raw system calls of every ABI, tried in a child, for probes that want to know what a filter answers.
//!
//! A [`Step`] is plain data: the child interprets a list of them with nothing but system calls, so this
//! works in a process with threads, and whatever a call does to memory, descriptors or ids happens to the
//! child alone. Answers come back through shared memory, so that they survive a filter that kills: the
//! next child goes on after the deadly step.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;

/// One system call to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call of the native ABI.
    Native {
        /// Number in the native table.
        number: i64,
        /// Arguments; an address means the caller's memory, as the child's copy has it.
        arguments: [usize; 6],
        /// Whether a success is a descriptor to be closed again.
        closes: bool,
    },
    /// An i386 call through `int 0x80`. Not applicable elsewhere than on x86_64.
    I386 {
        /// Number in the i386 table.
        number: u32,
        /// Arguments.
        arguments: [u32; 5],
    },
    /// The i386 call `socketcall(2)`, whose arguments lie in memory, out of a filter's sight.
    I386Socketcall {
        /// 1 is `socket`.
        call: u32,
        /// Arguments of that call.
        arguments: [u32; 3],
    },
    /// An x32 call. Not applicable elsewhere than on x86_64.
    X32 {
        /// Number in the x32 table, without the x32 bit.
        number: u32,
        /// Arguments.
        arguments: [usize; 6],
    },
    /// `clone(2)` with these flags and `SIGCHLD`; a process that it makes ends at once and is reaped.
    Clone {
        /// `CLONE_NEW*`.
        flags: u64,
    },
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call succeeded with this value.
    Value(u64),
    /// The call failed.
    Errno(Errno),
    /// The call's process died of this signal.
    Killed(i32),
    /// This machine has no such ABI.
    NotApplicable,
    /// No child could be made, or an earlier step ended it in a way that cannot be gone around.
    NotTried,
}

/// Most steps of one call of [`try_in_child`].
pub const MAX_STEPS: usize = 256;

/// Seconds after which a child that hangs in a step is killed by `SIGALRM`.
const PATIENCE: u32 = 5;

/// `__X32_SYSCALL_BIT`.
#[cfg(target_arch = "x86_64")]
const X32_BIT: i64 = 0x4000_0000;

const EMPTY: u32 = 0;
const VALUE: u32 = 1;
const ERRNO: u32 = 2;
const NOT_APPLICABLE: u32 = 3;

#[repr(C)]
struct Slot {
    kind: AtomicU32,
    value: AtomicU64,
}

/// The memory that parent and children share. All zero is its first state.
#[repr(C)]
struct Board {
    /// Steps begun so far.
    begun: AtomicU32,
    /// Arguments of `socketcall`, which an i386 call reaches only below 4 GiB.
    words: [AtomicU32; 3],
    slots: [Slot; MAX_STEPS],
}

/// A mapping of a [`Board`], unmapped when dropped.
struct Shared(std::ptr::NonNull<Board>);

impl Shared {
    fn new() -> Result<Self, Errno> {
        #[cfg(target_arch = "x86_64")]
        const LOW: i32 = libc::MAP_32BIT;
        #[cfg(not(target_arch = "x86_64"))]
        const LOW: i32 = 0;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Board>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | LOW,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(crate::clone::last_errno());
        }
        std::ptr::NonNull::new(address.cast::<Board>()).map(Self).ok_or(Errno::NOMEM)
    }

    fn board(&self) -> &Board {
        // SAFETY: the mapping is page-aligned, zeroed, as big as a Board and lives as long as self; all
        // fields are atomics, for which zero is valid and which may be changed by another process.
        unsafe { self.0.as_ref() }
    }

    #[cfg(target_arch = "x86_64")]
    fn words_address(&self) -> u32 {
        // MAP_32BIT keeps the mapping in the first 2 GiB; a bad address is EFAULT for the call that gets it.
        u32::try_from(self.board().words.as_ptr().addr()).unwrap_or(0)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this size, and no reference to it outlives self.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Board>()) };
    }
}

/// Tries all steps in order in one child process, or in as many as a killing filter makes necessary.
///
/// Steps share their child: what one changes (a session, a user namespace) the next ones see. The
/// caller chooses steps that cannot harm the machine where they succeed. Steps over [`MAX_STEPS`] are
/// [`Answer::NotTried`].
pub fn try_in_child(steps: &[Step]) -> Vec<Answer> {
    let mut answers = vec![Answer::NotTried; steps.len()];
    let steps = &steps[..steps.len().min(MAX_STEPS)];
    let Ok(shared) = Shared::new() else { return answers };
    let board = shared.board();
    let mut next = 0;
    while next < steps.len() {
        // SAFETY: clone with only an exit signal is fork. The child runs `run_steps` alone, which neither
        // allocates nor locks, and does not return.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        match pid {
            -1 => break,
            0 => run_steps(&shared, steps, next),
            _ => {}
        }
        let Ok(status) = reap(pid) else { break };
        let begun = board.begun.load(Ordering::Acquire) as usize;
        for (index, answer) in answers.iter_mut().enumerate().take(begun).skip(next) {
            *answer = read_slot(&board.slots[index]);
        }
        if libc::WIFSIGNALED(status) && begun > next {
            answers[begun - 1] = Answer::Killed(libc::WTERMSIG(status));
        } else if begun <= next {
            // The child died before its first step: so would the next one.
            break;
        }
        next = begun;
    }
    answers
}

fn reap(pid: i64) -> Result<i32, Errno> {
    let pid = i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?;
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a live i32.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            return Ok(status);
        }
        match crate::clone::last_errno() {
            Errno::INTR => {}
            errno => return Err(errno),
        }
    }
}

fn read_slot(slot: &Slot) -> Answer {
    let value = slot.value.load(Ordering::Acquire);
    match slot.kind.load(Ordering::Acquire) {
        VALUE => Answer::Value(value),
        ERRNO => Answer::Errno(Errno::from_raw_os_error(i32::try_from(value).unwrap_or(libc::EIO))),
        NOT_APPLICABLE => Answer::NotApplicable,
        _ => Answer::NotTried,
    }
}

/// The child: no allocation, no lock, no return.
fn run_steps(shared: &Shared, steps: &[Step], first: usize) -> ! {
    let board = shared.board();
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: integers and a pointer to a live structure; all act on this child alone. A step that kills
    // must leave no core file, and one that hangs must end.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::signal(libc::SIGSYS, libc::SIG_DFL);
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        libc::alarm(PATIENCE);
    }
    for (index, step) in steps.iter().enumerate().skip(first) {
        let slot = &board.slots[index];
        slot.kind.store(EMPTY, Ordering::Release);
        board.begun.store(u32::try_from(index + 1).unwrap_or(u32::MAX), Ordering::Release);
        let (kind, value) = match perform(shared, step) {
            None => (NOT_APPLICABLE, 0),
            Some(Ok(value)) => (VALUE, value),
            Some(Err(errno)) => (ERRNO, u64::from(errno.raw_os_error().unsigned_abs())),
        };
        slot.value.store(value, Ordering::Release);
        slot.kind.store(kind, Ordering::Release);
    }
    crate::exec::exit_now(0)
}

fn perform(shared: &Shared, step: &Step) -> Option<Result<u64, Errno>> {
    match *step {
        Step::Native { number, arguments, closes } => {
            let result = native(number, &arguments);
            if let (true, Ok(descriptor)) = (closes, result) {
                native(libc::SYS_close, &[usize::try_from(descriptor).unwrap_or(usize::MAX), 0, 0, 0, 0, 0])
                    .ok();
            }
            Some(result)
        }
        Step::I386 { number, arguments } => i386(number, arguments),
        Step::I386Socketcall { call, arguments } => i386_socketcall(shared, call, arguments),
        Step::X32 { number, arguments } => x32(number, &arguments),
        Step::Clone { flags } => Some(clone_and_reap(flags)),
    }
}

fn native(number: i64, arguments: &[usize; 6]) -> Result<u64, Errno> {
    let [a, b, c, d, e, f] = *arguments;
    // SAFETY: reached only in a child made for trying: whatever the call does to memory, it does to the
    // child's copy, in which nothing runs but this interpreter, whose steps the caller chose.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(crate::clone::last_errno()) } else { Ok(result.cast_unsigned()) }
}

fn clone_and_reap(flags: u64) -> Result<u64, Errno> {
    let flags = usize::try_from(flags | libc::SIGCHLD as u64).map_err(|_| Errno::INVAL)?;
    // Without CLONE_VM and with no stack this is fork: both sides return here.
    let pid = native(libc::SYS_clone, &[flags, 0, 0, 0, 0, 0])?;
    if pid == 0 {
        crate::exec::exit_now(0);
    }
    if let Ok(pid) = i64::try_from(pid) {
        reap(pid).ok();
    }
    Ok(pid)
}

#[cfg(target_arch = "x86_64")]
fn x32(number: u32, arguments: &[usize; 6]) -> Option<Result<u64, Errno>> {
    Some(native(X32_BIT | i64::from(number), arguments))
}

#[cfg(not(target_arch = "x86_64"))]
fn x32(_number: u32, _arguments: &[usize; 6]) -> Option<Result<u64, Errno>> {
    None
}

#[cfg(target_arch = "x86_64")]
fn i386(number: u32, arguments: [u32; 5]) -> Option<Result<u64, Errno>> {
    let [first, second, third, fourth, fifth] = arguments;
    let result: u32;
    // SAFETY: `int 0x80` enters the kernel by the i386 table (and is SIGSEGV where the kernel lacks it). It
    // returns in eax and may clear r8 to r11 (before Linux 4.17), which are declared; rbx, which the
    // compiler keeps to itself, is restored. Memory effects stay in the child, as in `native`.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "mov ebx, {first:e}",
            "int 0x80",
            "pop rbx",
            first = in(reg) first,
            inlateout("eax") number => result,
            in("ecx") second,
            in("edx") third,
            in("esi") fourth,
            in("edi") fifth,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    // The i386 table answers -4095 to -1 for errors.
    let signed = result.cast_signed();
    Some(if (-4095..0).contains(&signed) {
        Err(Errno::from_raw_os_error(-signed))
    } else {
        Ok(u64::from(result))
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn i386(_number: u32, _arguments: [u32; 5]) -> Option<Result<u64, Errno>> {
    None
}

#[cfg(target_arch = "x86_64")]
fn i386_socketcall(shared: &Shared, call: u32, arguments: [u32; 3]) -> Option<Result<u64, Errno>> {
    /// `socketcall` in the i386 table.
    const SOCKETCALL: u32 = 102;
    for (word, argument) in shared.board().words.iter().zip(arguments) {
        word.store(argument, Ordering::Release);
    }
    i386(SOCKETCALL, [call, shared.words_address(), 0, 0, 0])
}

#[cfg(not(target_arch = "x86_64"))]
fn i386_socketcall(_shared: &Shared, _call: u32, _arguments: [u32; 3]) -> Option<Result<u64, Errno>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn call(number: i64, first: usize) -> Step {
        Step::Native { number, arguments: [first, 0, 0, 0, 0, 0], closes: false }
    }

    #[test]
    fn answers_are_those_of_the_kernel() {
        let answers = try_in_child(&[
            call(libc::SYS_close, usize::MAX),
            call(9999, 0),
            call(libc::SYS_getppid, 0),
            Step::Clone { flags: 0 },
            Step::Native { number: libc::SYS_dup, arguments: [2, 0, 0, 0, 0, 0], closes: true },
            Step::Native { number: libc::SYS_dup, arguments: [2, 0, 0, 0, 0, 0], closes: true },
        ]);
        assert_eq!(answers[..2], [Answer::Errno(Errno::BADF), Answer::Errno(Errno::NOSYS)]);
        assert_eq!(answers[2], Answer::Value(u64::from(std::process::id())));
        assert!(matches!(answers[3], Answer::Value(pid) if pid > 1), "{answers:?}");
        assert_eq!(answers[4], answers[5]);
    }

    #[test]
    fn a_deadly_step_does_not_end_the_list() {
        // setpgid(0, 0), then kill(0, SIGKILL) ends exactly the child's own group.
        let steps = [
            call(libc::SYS_setpgid, 0),
            Step::Native { number: libc::SYS_kill, arguments: [0, 9, 0, 0, 0, 0], closes: false },
            call(libc::SYS_getppid, 0),
            call(libc::SYS_close, usize::MAX),
        ];
        let answers = try_in_child(&steps);
        assert_eq!(answers[0], Answer::Value(0));
        assert_eq!(answers[1], Answer::Killed(9));
        assert_eq!(answers[2], Answer::Value(u64::from(std::process::id())));
        assert_eq!(answers[3], Answer::Errno(Errno::BADF));
    }

    #[test]
    fn an_early_exit_and_too_many_steps_are_told() {
        let answers = try_in_child(&[call(libc::SYS_exit_group, 3), call(libc::SYS_getppid, 0)]);
        assert_eq!(answers[0], Answer::NotTried);
        assert!(matches!(answers[1], Answer::Value(_)));
        let many = try_in_child(&vec![call(libc::SYS_getppid, 0); MAX_STEPS + 1]);
        assert!(matches!(many[MAX_STEPS - 1], Answer::Value(_)));
        assert_eq!(many[MAX_STEPS], Answer::NotTried);
        assert!(try_in_child(&[]).is_empty());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_i386_table_is_reached_where_the_kernel_has_it() {
        let answers = try_in_child(&[
            Step::I386 { number: 20, arguments: [0; 5] },
            Step::I386Socketcall { call: 1, arguments: [1, 1, 0] },
            Step::I386Socketcall { call: 1, arguments: [9999, 1, 0] },
            Step::X32 { number: 39, arguments: [0; 6] },
        ]);
        let killed = |answer: &Answer| matches!(answer, Answer::Killed(_));
        assert!(matches!(answers[0], Answer::Value(pid) if pid > 1) || killed(&answers[0]), "{answers:?}");
        assert!(matches!(answers[1], Answer::Value(fd) if fd > 2) || killed(&answers[1]), "{answers:?}");
        assert!(answers[2] == Answer::Errno(Errno::AFNOSUPPORT) || killed(&answers[2]), "{answers:?}");
        assert!(matches!(answers[3], Answer::Errno(Errno::NOSYS) | Answer::Value(_)), "{answers:?}");
    }
}
