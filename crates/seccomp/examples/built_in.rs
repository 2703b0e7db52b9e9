//! Prints `src/standard/built_in.rs`: the default profile's BPF for each architecture that has one.
//!
//! `cargo run -p seccomp --example built_in > FILE`, then move FILE there; a test compares the two.
#![expect(clippy::print_stdout, reason = "the output is the point")]

use seccomp::{Arch, compile, standard};

fn main() -> Result<(), seccomp::Error> {
    println!("//! The default profile's BPF, as `examples/built_in.rs` printed it; do not edit.");
    println!("//!");
    println!("//! A test holds it to what the compiler gives. One tuple per instruction: code, jt, jf, k.\n");
    println!("use sys::seccomp::Instruction;\n\nuse crate::arch::Arch;\n");
    println!("pub(super) const fn instructions(native: Arch) -> Option<&'static [Instruction]> {{");
    println!("    match native {{");
    let arches = [Arch::X86_64, Arch::Aarch64, Arch::Riscv64];
    for arch in arches {
        println!("        Arch::{arch:?} => Some(&{}),", format!("{arch:?}").to_uppercase());
    }
    println!("        _ => None,\n    }}\n}}\n");
    println!("const fn program<const N: usize>(rows: [(u16, u8, u8, u32); N]) -> [Instruction; N] {{");
    println!("    let mut program = [Instruction {{ code: 0, jt: 0, jf: 0, k: 0 }}; N];");
    println!("    let mut at = 0;\n    while at < N {{\n        let (code, jt, jf, k) = rows[at];");
    println!(
        "        program[at] = Instruction {{ code, jt, jf, k }};\n        at += 1;\n    }}\n    program\n}}"
    );
    for arch in arches {
        let profile = standard::profile(standard::DEFAULT_CAPABILITIES, &[]);
        let compiled = compile(&profile, arch)?;
        let instructions = compiled.program.instructions();
        let name = format!("{arch:?}").to_uppercase();
        println!("\nstatic {name}: [Instruction; {}] = program([", instructions.len());
        for row in instructions {
            println!("    ({:#04x}, {}, {}, {:#x}),", row.code, row.jt, row.jf, row.k);
        }
        println!("]);");
    }
    Ok(())
}
