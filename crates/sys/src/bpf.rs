//! `bpf(2)`: load and attach cgroup device programs.
//!
//! Only what device policies need: one program type, one attach type. Structures follow `union bpf_attr`
//! of `linux/bpf.h`; the kernel takes the missing tail of a shorter one as zero.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};

/// `BPF_PROG_TYPE_CGROUP_DEVICE`.
const TYPE_CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`.
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: programs of several cgroups on the path hold together, and all must allow.
const ALLOW_MULTI: u32 = 1 << 1;
/// `BPF_F_REPLACE` (Linux 5.6).
const REPLACE: u32 = 1 << 2;
/// Most programs that one cgroup can have attached (`BPF_CGROUP_MAX_PROGS`).
const PROGRAMS: usize = 64;

/// Commands of `bpf(2)`.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

/// One eBPF instruction, laid out as `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Class, size and operation.
    pub code: u8,
    /// Destination register in the low four bits, source in the high ones.
    pub registers: u8,
    /// Offset of a jump or a load.
    pub offset: i16,
    /// Constant operand.
    pub immediate: i32,
}

/// A loaded program; it lives for as long as it is held here or attached.
#[derive(Debug)]
pub struct Program(OwnedFd);

#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
struct QueryAttributes {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
struct IdAttributes {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Attribute structures: plain integers, without padding, that may be passed for the command they are
/// written for.
trait Attributes {}
impl Attributes for LoadAttributes {}
impl Attributes for AttachAttributes {}
impl Attributes for QueryAttributes {}
impl Attributes for IdAttributes {}

/// Calls `bpf(2)`.
///
/// # Safety
/// Every address in `attributes` must be valid for what `command` reads and writes there, and the structure
/// must be the one that `command` takes.
unsafe fn bpf<A: Attributes>(command: libc::c_int, attributes: &mut A) -> Result<libc::c_long> {
    // SAFETY: the pointer and size describe one live, exclusively borrowed structure, which the kernel may
    // read and write; what it points to is the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<A>()) };
    if result >= 0 {
        return Ok(result);
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

fn raw(fd: &impl AsFd) -> u32 {
    // Descriptors are not negative.
    fd.as_fd().as_raw_fd().cast_unsigned()
}

fn owned(fd: libc::c_long) -> Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else has it, and `OwnedFd` closes it
    // once. `bpf(2)` opens all descriptors close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a program that decides accesses to device nodes.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` (or `CAP_BPF` and `CAP_NET_ADMIN`), `EINVAL` or `EACCES` when the
/// verifier refuses it, `E2BIG` beyond its size.
pub fn load_device_program(instructions: &[Instruction]) -> Result<Program> {
    let insn_cnt = u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?;
    let license = c"Apache-2.0";
    let mut prog_name = [0; 16];
    prog_name[..12].copy_from_slice(b"brig_devices");
    let mut attributes = LoadAttributes {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt,
        insns: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name,
    };
    // SAFETY: `insns` points to `insn_cnt` instructions and `license` to a terminated string, both alive
    // over the call and only read; there is no log buffer.
    unsafe { bpf(PROG_LOAD, &mut attributes) }.and_then(owned).map(Program)
}

/// Attaches a program to the cgroup v2 directory `cgroup`, beside those that are there.
///
/// # Errors
/// `EPERM`, also when an ancestor's programs do not allow others beside them; `EBADF` when `cgroup` is not
/// of cgroup v2.
pub fn attach_device_program(cgroup: &impl AsFd, program: &Program) -> Result<()> {
    attach(cgroup, program, None)
}

/// Puts a program in the place of `old`, in one step (Linux 5.6).
///
/// # Errors
/// As [`attach_device_program`]; `ENOENT` when `old` is not attached there.
pub fn replace_device_program(cgroup: &impl AsFd, program: &Program, old: &Program) -> Result<()> {
    attach(cgroup, program, Some(old))
}

fn attach(cgroup: &impl AsFd, program: &Program, old: Option<&Program>) -> Result<()> {
    let mut attributes = AttachAttributes {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(&program.0),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI | if old.is_some() { REPLACE } else { 0 },
        replace_bpf_fd: old.map_or(0, |old| raw(&old.0)),
    };
    // SAFETY: the structure holds no addresses.
    unsafe { bpf(PROG_ATTACH, &mut attributes) }.map(drop)
}

/// Detaches a program from a cgroup.
///
/// # Errors
/// `ENOENT` when it is not attached there, `EPERM`.
pub fn detach_device_program(cgroup: &impl AsFd, program: &Program) -> Result<()> {
    let mut attributes = AttachAttributes {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(&program.0),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: 0,
        replace_bpf_fd: 0,
    };
    // SAFETY: the structure holds no addresses.
    unsafe { bpf(PROG_DETACH, &mut attributes) }.map(drop)
}

/// Opens the device programs attached to `cgroup` itself.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` (to ask) or `CAP_SYS_ADMIN` (to open), `ENOSPC` beyond 64 programs.
pub fn attached_device_programs(cgroup: &impl AsFd) -> Result<Vec<Program>> {
    let mut ids = [0_u32; PROGRAMS];
    let mut attributes = QueryAttributes {
        target_fd: raw(cgroup),
        attach_type: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: u32::try_from(PROGRAMS).map_err(|_| Errno::TOOBIG)?,
        padding: 0,
    };
    // SAFETY: `prog_ids` points to room for `prog_cnt` ids, alive over the call and borrowed by nothing else.
    unsafe { bpf(PROG_QUERY, &mut attributes) }?;
    let count = usize::try_from(attributes.prog_cnt).unwrap_or(0).min(PROGRAMS);
    let mut programs = Vec::with_capacity(count);
    for id in &ids[..count] {
        let mut attributes = IdAttributes { prog_id: *id, next_id: 0, open_flags: 0 };
        // SAFETY: the structure holds no addresses.
        match unsafe { bpf(PROG_GET_FD_BY_ID, &mut attributes) } {
            Ok(fd) => programs.push(Program(owned(fd)?)),
            // Detached meanwhile.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}
