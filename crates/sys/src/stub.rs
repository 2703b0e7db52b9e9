//! The smallest program that executes another: what stands between the engine and the payload.
//!
//! Whoever executes `/proc/self/exe` from a container, as interpreter of a script or of an ELF file, gets
//! the program of the process that is about to execute the payload (CVE-2019-5736). So that this is never
//! the engine, the child first becomes this stub, a few hundred sealed bytes in memory that are made anew
//! for each container: `execve(argv[0], argv + 1, envp)`. Copying the engine itself would cost a
//! millisecond and its page tables.
//!
//! Where the payload cannot be executed the stub says so on standard error and exits as docker does: 127
//! where the file does not exist, 126 otherwise.

/// `e_machine` of the stub, and its code; position-independent, no data but its own text.
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.brig_stub, \"a\"",
    ".globl brig_stub_start",
    "brig_stub_start:",
    "mov rcx, [rsp]",              // argc
    "mov rdi, [rsp + 8]",          // the program
    "lea rsi, [rsp + 16]",         // its argv
    "lea rdx, [rsp + rcx*8 + 16]", // envp
    "mov eax, 59",                 // execve
    "syscall",
    "mov ebx, 126",
    "cmp eax, -2", // ENOENT
    "jne 2f",
    "inc ebx",
    "2:",
    "lea rsi, [rip + 4f]",
    "mov edx, 22",
    "mov edi, 2",
    "mov eax, 1", // write
    "syscall",
    "mov rsi, [rsp + 8]",
    "xor edx, edx",
    "3:",
    "cmp byte ptr [rsi + rdx], 0",
    "lea rdx, [rdx + 1]",
    "jne 3b",
    "dec edx",
    "mov edi, 2",
    "mov eax, 1",
    "syscall",
    "lea rsi, [rip + 5f]",
    "mov edx, 2",
    "mov edi, 2",
    "mov eax, 1",
    "syscall",
    "mov edi, ebx",
    "mov eax, 231", // exit_group
    "syscall",
    "4: .ascii \"brig: cannot execute `\"",
    "5: .ascii \"`\\n\"",
    ".globl brig_stub_end",
    "brig_stub_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .rodata.brig_stub, \"a\"",
    ".balign 4",
    ".globl brig_stub_start",
    "brig_stub_start:",
    "ldr x3, [sp]",           // argc
    "ldr x0, [sp, #8]",       // the program
    "add x1, sp, #16",        // its argv
    "add x2, x1, x3, lsl #3", // envp
    "mov x8, #221",           // execve
    "svc #0",
    "cmn x0, #2", // ENOENT
    "mov x19, #126",
    "cinc x19, x19, eq",
    "adr x1, 4f",
    "mov x2, #22",
    "mov x0, #2",
    "mov x8, #64", // write
    "svc #0",
    "ldr x1, [sp, #8]",
    "mov x2, #0",
    "3:",
    "ldrb w4, [x1, x2]",
    "cbz w4, 2f",
    "add x2, x2, #1",
    "b 3b",
    "2:",
    "mov x0, #2",
    "mov x8, #64",
    "svc #0",
    "adr x1, 5f",
    "mov x2, #2",
    "mov x0, #2",
    "mov x8, #64",
    "svc #0",
    "mov x0, x19",
    "mov x8, #94", // exit_group
    "svc #0",
    "4: .ascii \"brig: cannot execute `\"",
    "5: .ascii \"`\\n\"",
    ".globl brig_stub_end",
    "brig_stub_end:",
    ".popsection",
);

unsafe extern "C" {
    static brig_stub_start: u8;
    static brig_stub_end: u8;
}

/// Bytes of an ELF file header (`Elf64_Ehdr`).
const FILE_HEADER: usize = 64;
/// Bytes of a program header (`Elf64_Phdr`).
const PROGRAM_HEADER: usize = 56;
/// Where the file is mapped: any page-aligned address above `vm.mmap_min_addr`.
const ADDRESS: u64 = 0x40_0000;

/// The stub as an ELF file.
pub fn image() -> Vec<u8> {
    let code = code();
    let start = FILE_HEADER + 2 * PROGRAM_HEADER;
    let size = (start + code.len()) as u64;
    let mut file = Vec::with_capacity(start + code.len());
    file.extend_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&2u16.to_le_bytes()); // ET_EXEC
    file.extend_from_slice(&MACHINE.to_le_bytes());
    file.extend_from_slice(&1u32.to_le_bytes()); // EV_CURRENT
    file.extend_from_slice(&(ADDRESS + start as u64).to_le_bytes()); // entry
    file.extend_from_slice(&(FILE_HEADER as u64).to_le_bytes()); // program headers
    file.extend_from_slice(&0u64.to_le_bytes()); // no sections
    file.extend_from_slice(&0u32.to_le_bytes()); // flags
    for half in [64u16, 56, 2, 0, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    program_header(&mut file, 1, 5, ADDRESS, size); // PT_LOAD, read and execute
    program_header(&mut file, 0x6474_e551, 6, 0, 0); // PT_GNU_STACK, read and write
    file.extend_from_slice(code);
    file
}

fn program_header(file: &mut Vec<u8>, kind: u32, flags: u32, address: u64, size: u64) {
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&flags.to_le_bytes());
    for number in [0, address, address, size, size, 0x1000] {
        file.extend_from_slice(&number.to_le_bytes());
    }
}

fn code() -> &'static [u8] {
    let (start, end) = (&raw const brig_stub_start, &raw const brig_stub_end);
    // SAFETY: both labels are in one read-only section, the end behind the start, with initialised bytes
    // between them that nothing changes.
    unsafe { std::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
        let path = std::env::temp_dir().join(format!("brig-stub-{}-{}", std::process::id(), arguments.len()));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&image()).unwrap();
        drop(file);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        // The stub takes the program from argv[0].
        let mut command = Command::new(&path);
        std::os::unix::process::CommandExt::arg0(&mut command, arguments[0]);
        let output = command.args(&arguments[1..]).env_clear().env("A", "b").output().unwrap();
        std::fs::remove_file(&path).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    #[test]
    fn executes_with_arguments_and_environment() {
        let (code, out, _) = run(&["/bin/sh", "name", "-c", "echo $0 $1 $A; exit 3", "x", "y"]);
        assert_eq!((code, out.as_str()), (Some(3), "x y b\n"));
    }

    #[test]
    fn says_what_it_cannot_execute() {
        let (code, _, error) = run(&["/nowhere", "a"]);
        assert_eq!((code, error.as_str()), (Some(127), "brig: cannot execute `/nowhere`\n"));
        let (code, _, error) = run(&["/etc/passwd", "a", "b"]);
        assert_eq!((code, error.as_str()), (Some(126), "brig: cannot execute `/etc/passwd`\n"));
    }
}
