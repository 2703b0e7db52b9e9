//! Making the machines, once, and keeping them: a userland by mmdebstrap, a disk by mke2fs, a snapshot by booting it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use testkit::{TempDir, find_program};

use super::machine::{Disks, Emulator, Machine};
use super::recipe::{self, Flavour};

/// A flavour's snapshot. As long as this lives, nobody tidies it away.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) disks: Disks,
    _in_use: File,
}

/// Where the machines are kept.
pub(super) fn cache() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("BRIG_VM_CACHE").unwrap_or_else(|| {
        let home = || named("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".cache");
        named("XDG_CACHE_HOME").unwrap_or_else(home).join("brig-vm")
    })
}

/// What is missing for virtual machines here: a reason not to run them.
pub(super) fn lacks(flavour: Flavour) -> Option<String> {
    let Some(emulator) = Emulator::find(&unpacked()) else {
        return Some("program qemu-system-x86_64".to_owned());
    };
    if directory(flavour, &emulator).exists() {
        return find_program("mke2fs").is_none().then(|| "program mke2fs".to_owned());
    }
    if !testkit::Need::Root.is_met() {
        return Some("root, or a machine made by root in BRIG_VM_CACHE".to_owned());
    }
    let missing =
        ["mmdebstrap", "mke2fs", "dpkg-deb", "xz"].into_iter().find(|name| find_program(name).is_none());
    missing.map(|name| format!("program {name}"))
}

/// Finds the flavour's snapshot, or makes it.
pub(super) fn open(flavour: Flavour) -> Result<Image, String> {
    fs::create_dir_all(cache()).map_err(|error| format!("{}: {error}", cache().display()))?;
    let _making = lock(&cache().join(format!("{}.lock", flavour.name())))?;
    let found = Emulator::find(&unpacked()).ok_or("`qemu-system-x86_64` is not installed")?;
    let (mut emulator, mut directory) = (found.clone(), directory(flavour, &found));
    if !directory.exists() {
        let userland = userland()?;
        // The userland may have brought a better one along.
        emulator = Emulator::find(&unpacked()).unwrap_or(found);
        directory = self::directory(flavour, &emulator);
        let started = Instant::now();
        make(flavour, &userland, &emulator, &directory)?;
        println!("{}: machine made in {:.0} s", flavour.name(), started.elapsed().as_secs_f32());
        forget_others(flavour, &directory);
    }
    let in_use = File::open(directory.join("in-use")).map_err(|error| error.to_string())?;
    in_use.lock_shared().map_err(|error| error.to_string())?;
    Ok(Image { disks: disks(&directory, &emulator), _in_use: in_use })
}

fn directory(flavour: Flavour, emulator: &Emulator) -> PathBuf {
    cache().join(format!("{}-{}", flavour.name(), recipe::snapshot_key(flavour, &emulator.version())))
}

fn userland_directory() -> PathBuf {
    cache().join(format!("userland-{}", recipe::userland_key()))
}

/// Where the emulator of the cache lies, if the userland is made.
fn unpacked() -> PathBuf {
    userland_directory().join("emulator")
}

fn disks(directory: &Path, emulator: &Emulator) -> Disks {
    let [kernel, initrd, root, swap, state] =
        ["kernel", "initrd", "root", "swap", "state"].map(|name| directory.join(name));
    Disks { kernel, initrd, root, swap, state, emulator: emulator.clone() }
}

/// Debian's packages in a directory, and the unpacked kernel beside them.
fn userland() -> Result<PathBuf, String> {
    let directory = userland_directory();
    let _making = lock(&cache().join("userland.lock"))?;
    if directory.exists() {
        return Ok(directory);
    }
    let started = Instant::now();
    println!("userland: installing Debian {} ({} packages)", recipe::RELEASE, recipe::PACKAGES.len());
    let making = Making::new("userland")?;
    let (root, kernel, emulator) = (making.join("root"), making.join("kernel"), making.join("emulator"));
    let download = format!(
        "cd '{}' && export APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" && \
         apt-get -qq download $(apt-cache depends {} | sed -n 's/.*Depends: //p') {}",
        making.path.display(),
        recipe::KERNEL,
        recipe::EMULATOR.join(" ")
    );
    run(Command::new("mmdebstrap")
        .args(["--quiet", "--mode=root", "--variant=apt", "--architectures=amd64"])
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""])
        .args(["man", "locale", "doc"].map(|name| format!("--dpkgopt=path-exclude=/usr/share/{name}/*")))
        .arg(format!("--include={}", recipe::PACKAGES.join(",")))
        .arg(format!("--customize-hook={download}"))
        .arg(recipe::RELEASE)
        .arg(&root)
        .args(
            ["", "-backports"].map(|suite| format!("deb {} {}{suite} main", recipe::MIRROR, recipe::RELEASE)),
        ))?;
    let packages: Vec<PathBuf> =
        entries(&making.path).filter(|path| path.extension().is_some_and(|end| end == "deb")).collect();
    for package in &packages {
        let is_kernel = package.to_string_lossy().contains("/linux-image-");
        let place = if is_kernel { &kernel } else { &emulator };
        run(Command::new("dpkg-deb").arg("-x").arg(package).arg(place))?;
        fs::remove_file(package).map_err(|error| error.to_string())?;
    }
    making.keep(&directory)?;
    println!("userland: installed in {:.0} s", started.elapsed().as_secs_f32());
    Ok(directory)
}

fn make(flavour: Flavour, userland: &Path, emulator: &Emulator, directory: &Path) -> Result<(), String> {
    println!("{}: making the disk, booting it once", flavour.name());
    let making = Making::new(flavour.name())?;
    let (root, scripts, kernel) = (making.join("tree"), making.join("scripts"), userland.join("kernel"));
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(userland.join("root")).arg(&root))?;
    fs::create_dir(&scripts).map_err(|error| error.to_string())?;
    for (name, text) in recipe::SCRIPTS {
        fs::write(scripts.join(name), text).map_err(|error| format!("{name}: {error}"))?;
    }
    let script = |name: &str| {
        let mut command = Command::new("sh");
        command.arg(scripts.join(name)).arg(&root);
        command
    };
    run(script("install.sh").arg(&scripts).arg(&kernel))?;
    if flavour == Flavour::SeLinux {
        run(&mut script("label.sh"))?;
    }
    let disks = disks(&making.path, emulator);
    make_initrd(&making, &root, &kernel, &disks.initrd)?;
    let boot = kernel.join("boot");
    let image = entries(&boot).find(|path| path.to_string_lossy().contains("/vmlinuz-"));
    fs::copy(image.ok_or("the kernel package has no kernel")?, &disks.kernel)
        .map_err(|error| error.to_string())?;
    make_disk(&disks.root, recipe::ROOT_SIZE, Some(&root))?;
    let file = File::create(&disks.swap).map_err(|error| error.to_string())?;
    file.set_len(recipe::SWAP_SIZE << 20).map_err(|error| error.to_string())?;
    for used in [&root, &scripts] {
        fs::remove_dir_all(used).map_err(|error| format!("{}: {error}", used.display()))?;
    }

    let scratch = TempDir::new();
    let build = scratch.join("build");
    make_disk(&build, recipe::BUILD_SIZE, None)?;
    let mut machine = Machine::boot(flavour, &disks, &build, scratch.path())?;
    let settled = machine.run("root", std::time::Duration::from_secs(60), "sync");
    if settled.code != Some(0) {
        return Err(format!("{}: not ready after its boot: {}", flavour.name(), settled.output));
    }
    machine.save(&disks.state)?;
    fs::write(making.join("in-use"), "").map_err(|error| error.to_string())?;
    making.keep(directory)
}

/// A root file system for the moment before the real one: busybox, and the disk's driver.
fn make_initrd(making: &Making, root: &Path, kernel: &Path, initrd: &Path) -> Result<(), String> {
    let tree = making.join("initrd-tree");
    for name in ["bin", "dev", "new"] {
        fs::create_dir_all(tree.join(name)).map_err(|error| error.to_string())?;
    }
    let busybox = root.join("usr/bin/busybox");
    fs::copy(&busybox, tree.join("bin/busybox")).map_err(|error| format!("busybox: {error}"))?;
    symlink("../init", tree.join("bin/init")).map_err(|error| error.to_string())?;
    let script = format!(
        "set -e
        install -m 755 '{0}/scripts/initrd.sh' '{1}/init'
        xz -dc '{2}'/lib/modules/*/kernel/drivers/block/virtio_blk.ko.xz >'{1}/virtio_blk.ko'
        cd '{1}'
        find . | '{3}' cpio -o -H newc 2>/dev/null | gzip -1 >'{4}'
        rm -r '{1}'",
        making.path.display(),
        tree.display(),
        kernel.display(),
        busybox.display(),
        initrd.display(),
    );
    run(Command::new("sh").arg("-c").arg(script))
}

/// Makes a file system of `size` MiB that holds a directory's content.
pub(crate) fn make_disk(path: &Path, size: u64, content: Option<&Path>) -> Result<(), String> {
    let mut command = Command::new(find_program("mke2fs").ok_or("`mke2fs` is not installed")?);
    // Large inodes keep labels. A machine's disk lives for seconds: no journal, no reserve.
    command.args(["-q", "-F", "-t", "ext4", "-I", "512", "-m", "0", "-O", "^has_journal"]);
    if let Some(directory) = content {
        command.arg("-d").arg(directory);
    }
    run(command.arg(path).arg(format!("{size}M")))
}

/// Removes the snapshots of older recipes that no run uses.
fn forget_others(flavour: Flavour, directory: &Path) {
    let prefix = format!("{}-", flavour.name());
    for other in entries(&cache()) {
        let name = other.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(&prefix) || other == directory {
            continue;
        }
        let is_free = File::open(other.join("in-use")).is_ok_and(|file| file.try_lock().is_ok());
        if is_free && let Err(error) = fs::remove_dir_all(&other) {
            println!("{}: {error}", other.display());
        }
    }
}

/// A directory of the cache under construction: renamed when it is complete, removed when it is not.
struct Making {
    path: PathBuf,
}

impl Making {
    fn new(name: &str) -> Result<Self, String> {
        // Whoever makes one holds its lock: what lies there is of a maker that was killed.
        let path = cache().join(format!("making-{name}"));
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path })
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn keep(self, directory: &Path) -> Result<(), String> {
        fs::rename(&self.path, directory).map_err(|error| format!("{}: {error}", directory.display()))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // After `keep` there is nothing any more.
        drop(fs::remove_dir_all(&self.path));
    }
}

fn lock(path: &Path) -> Result<File, String> {
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.lock().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(file)
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Runs a command that must succeed; what it printed is told only when it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Err(format!("{command:?}: {}\n{}", output.status, lines[lines.len().saturating_sub(20)..].join("\n")))
}
