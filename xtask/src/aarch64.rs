//! `cargo xtask aarch64`: the product built for the other instruction set, and run there in an emulated machine.
//!
//! The emulator translates every instruction, so this is for what a cross build cannot tell: the numbers of system
//! calls, the filter's tables, the entry of the stub, the layout of what the kernel is given.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use testkit::{TempDir, find_program};

use crate::counts::Counts;
use crate::test;
use crate::vm::make_disk;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// What the machine's disk holds beside the product.
const PACKAGES: &str =
    "linux-image-cloud-arm64,busybox-static,uidmap,iproute2,bash,coreutils,grep,util-linux";
/// Modules that the kernel package has and the check needs, in the order of their needs.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "overlay",
];
/// How long the machine may run, in seconds.
const LIMIT: &str = "900";

/// Runs the chore.
pub(crate) fn run() -> ExitCode {
    let done = match lack() {
        Some(lack) => Err(lack),
        None => boot(),
    };
    match done {
        Ok(counts) => {
            println!("{} passed, {} failed", counts.passed, counts.failed);
            if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("aarch64: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a build for the other instruction set needs and this machine lacks.
pub(crate) fn lack_of_build() -> Option<String> {
    if find_program(LINKER).is_none() {
        return Some(format!(
            "`{LINKER}` is missing: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
        ));
    }
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let has_library = sysroot.join("lib/rustlib").join(TARGET).is_dir();
    (!has_library).then(|| format!("its standard library is missing: rustup target add {TARGET}"))
}

fn lack() -> Option<String> {
    let programs =
        [("mmdebstrap", "mmdebstrap"), ("qemu-system-aarch64", "qemu-system-arm"), ("mke2fs", "e2fsprogs")];
    let missing = programs.iter().find(|(program, _)| find_program(program).is_none());
    let missing =
        missing.map(|(program, package)| format!("`{program}` is missing: apt-get install {package}"));
    lack_of_build().or(missing)
}

/// Tells a cargo to build for it.
pub(crate) fn for_target(cargo: &mut Command) -> &mut Command {
    cargo
        .env("CARGO_BUILD_TARGET", TARGET)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env("CC_aarch64_unknown_linux_gnu", LINKER)
}

/// Builds the product, boots a machine with it, and counts what its checks say.
fn boot() -> Result<Counts, String> {
    let brig =
        test::build_by(for_target(&mut crate::cargo()), &["build", "--package", "cli", "--bin", "brig"]);
    let brig = brig.ok_or("it does not compile")?;
    let scratch = TempDir::new();
    let root = scratch.join("root");
    shell(&format!(
        "mmdebstrap --quiet --variant=extract --architectures=arm64 --include={PACKAGES} bookworm '{}'",
        root.display()
    ))?;
    place(&brig, &root.join("usr/bin/brig"))?;
    write_program(&root.join("check.sh"), include_str!("aarch64/check.sh"))?;
    let kernel = find(&root.join("boot"), "vmlinuz-")?;
    let initrd = make_initrd(&scratch, &root)?;
    let disk = scratch.join("disk");
    make_disk(&disk, 2048, Some(&root))?;
    let mut machine = Command::new("timeout");
    machine.args([LIMIT, "qemu-system-aarch64", "-M", "virt", "-cpu", "max", "-smp", "2", "-m", "2048"]);
    machine.args(["-nographic", "-no-reboot", "-net", "none", "-append", "console=ttyAMA0 quiet panic=-1"]);
    machine.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    machine.arg("-drive").arg(format!("if=none,id=disk,format=raw,file={}", disk.display()));
    machine.args(["-device", "virtio-blk-pci,drive=disk"]);
    let mut machine = machine
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("qemu-system-aarch64: {error}"))?;
    let console = machine.stdout.take().ok_or("the machine has no console")?;
    let (mut counts, mut has_ended) = (Counts::default(), false);
    for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        println!("{}", line.trim_end());
        match line.trim_end().strip_prefix("aarch64: ") {
            Some("end") => has_ended = true,
            Some(check) => counts.check(check.starts_with("ok ")),
            None => {}
        }
    }
    machine.wait().map_err(|error| error.to_string())?;
    if has_ended { Ok(counts) } else { Err("the machine did not come to its end".to_owned()) }
}

/// A root file system for the moment before the real one: busybox and the modules.
fn make_initrd(scratch: &TempDir, root: &Path) -> Result<PathBuf, String> {
    let tree = scratch.join("initrd-tree");
    for name in ["bin", "dev", "proc", "new", "modules"] {
        fs::create_dir_all(tree.join(name)).map_err(|error| error.to_string())?;
    }
    place(&root.join("bin/busybox"), &tree.join("bin/busybox"))?;
    for name in ["mount", "insmod", "switch_root"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name))
            .map_err(|error| error.to_string())?;
    }
    write_program(&tree.join("init"), include_str!("aarch64/initrd.sh"))?;
    let archive = scratch.join("initrd");
    let modules = MODULES.join(" ");
    // The shell lists files by name, so a number keeps the order. A module that is built in has no file.
    shell(&format!(
        "set -e; number=10
        for name in {modules}; do
            find '{0}'/lib/modules/ -name $name.ko -exec cp {{}} '{1}'/modules/$number-$name.ko ';'
            number=$((number + 1))
        done
        cd '{1}' && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 >'{2}'",
        root.display(),
        tree.display(),
        archive.display()
    ))?;
    Ok(archive)
}

fn find(directory: &Path, prefix: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut found = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    found.next().map(|entry| entry.path()).ok_or_else(|| format!("no {prefix}* in {}", directory.display()))
}

fn place(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(|_| ()).map_err(|error| format!("{}: {error}", from.display()))
}

fn write_program(path: &Path, text: &str) -> Result<(), String> {
    let written =
        fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn shell(script: &str) -> Result<(), String> {
    let done = crate::succeeds(Command::new("sh").args(["-c", script]).stdout(Stdio::null()));
    if done { Ok(()) } else { Err(format!("failed: {script}")) }
}
