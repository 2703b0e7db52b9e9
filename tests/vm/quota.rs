//! Project quotas, on file systems that have them: images of 64 MiB of ext4 and of xfs on a loop device.

use std::os::fd::AsFd;
use std::process::Command;

use testkit::{Outcome, run};

use crate::{Machine, vm_test};

/// `mkfs.ext4 -b 4096 -N 2048 -O project,quota,^has_journal,^resize_inode -E quotatype=prjquota` on 64 MiB,
/// packed by gzip twice, since it is zeros; in base64.
const EXT4: &str = include_str!("quota.ext4.gz.gz.base64");
/// `mkfs.xfs --unsupported -m reflink=0,rmapbt=0 -d agcount=1 -l size=4m`, the same way.
const XFS: &str = include_str!("quota.xfs.gz.gz.base64");

/// A file system that keeps project quotas, with a store and the busybox image on it.
#[derive(Debug)]
struct Disk {
    path: String,
    brig: String,
}

impl Disk {
    fn new(machine: &Machine, image: &str) -> Self {
        let path = machine.directory().join("quota").display().to_string();
        let brig = format!("{} --root {path}/store --runroot {path}-run", testkit::brig().display());
        let disk = Self { path, brig };
        disk.ok(&format!(
            "modprobe -a quota_v2 xfs; mkdir -p $D; echo {} | base64 -d | gzip -d | gzip -d > $D.image
             mount -o loop,prjquota $D.image $D; mkdir $D/store",
            image.trim()
        ));
        let archive = testkit::busybox_tar(machine.directory());
        disk.ok(&format!("$BRIG import -q {} busybox", archive.display()));
        disk
    }

    /// `$BRIG` is the command with its store, `$D` where the file system is.
    fn shell(&self, script: &str) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-ec", script]).env("BRIG", &self.brig).env("D", &self.path);
        run(&mut command)
    }

    fn ok(&self, script: &str) -> String {
        self.shell(script).success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let outcome = self.shell("umount $D");
        assert!(outcome.code == 0 || std::thread::panicking(), "{outcome}");
    }
}

/// Ext4 says that the quota is exceeded, xfs of projects that there is no room; there is, for others.
fn assert_full(outcome: &Outcome) {
    let said = ["uota exceeded", "No space left"].iter().any(|words| outcome.stderr.contains(words));
    assert!(outcome.code != 0 && said, "{outcome}");
}

/// Writes 8 MiB, or as much as there may be.
const FILL: &str = "dd if=/dev/zero of=$1/file bs=64k count=128";

vm_test!(a_volume_ends_at_its_size_and_others_write_on, [plain], [root], |machine| {
    for image in [EXT4, XFS] {
        let disk = Disk::new(machine, image);
        for round in 0..2 {
            disk.ok(&format!("$BRIG volume create -o size=4m small; $BRIG volume create large{round}"));
            let fill =
                |name: &str| disk.shell(&format!("$BRIG run --rm -v {name}:/v busybox sh -c '{FILL}' - /v"));
            let full = fill("small");
            assert_full(&full);
            assert!(full.stderr.contains("63+0 records out"), "{full}");
            assert_eq!(fill(&format!("large{round}")).code, 0);
            disk.ok("$BRIG volume rm small");
        }
    }
});

vm_test!(a_writable_layer_ends_at_its_size_at_each_start, [plain], [root], |machine| {
    for image in [EXT4, XFS] {
        let disk = Disk::new(machine, image);
        disk.ok("mkdir -p $D.host");
        let made = "$BRIG create --name small --storage-opt size=4m -v $D.host:/o:O busybox sh -c";
        disk.ok(&format!("{made} 'rm -f /file; df -k / | tail -1; {FILL}' - /"));
        assert_eq!(disk.ok("$BRIG inspect -f '{{.HostConfig.StorageOpt.size}}' small"), "4194304\n");
        // Xfs holds root, too: a full layer has no room for what a second start makes in it.
        for _ in 0..if image == XFS { 1 } else { 2 } {
            let full = disk.shell("$BRIG start -a small");
            assert_full(&full);
            // What a program finds when it asks how much room there is.
            assert!(full.stdout.contains(" 4096 "), "{full}");
        }
        disk.ok("$BRIG rm small");
        // An overlay of a host directory is of the same layer.
        let both =
            format!("$BRIG run --rm --storage-opt size=4m -v $D.host:/o:O busybox sh -c '{FILL}' - /o");
        let full = disk.shell(&both);
        assert_full(&full);
        // The control: no limit was asked for.
        disk.ok(&format!("$BRIG run --rm busybox sh -c '{FILL}' - /"));
        assert!(disk.ok("$BRIG info").contains("quotas     project quotas"), "info names it");
    }
});

// Who is root in the host's user namespace may give his files to any project: here to another volume's. That volume's
// limit holds when this one goes; it did not while `data`, which is his, said which limit is to be released.
vm_test!(a_volume_that_goes_lifts_no_other_limit, [plain], [root], |machine| {
    for image in [EXT4, XFS] {
        let disk = Disk::new(machine, image);
        disk.ok("$BRIG volume create -o size=4m one; $BRIG volume create -o size=4m other");
        let open = |name: &str| {
            let path = format!("{}/store/volumes/{name}/data", disk.path);
            std::fs::File::open(path).expect("a volume's data")
        };
        let (one, other) = (open("one"), open("other"));
        let project = sys::quota::project(other.as_fd()).expect("its project");
        assert_ne!(sys::quota::project(one.as_fd()).expect("its project"), project);
        sys::quota::set_project(one.as_fd(), project).expect("root may");
        drop((one, other));
        disk.ok("$BRIG volume rm one");
        let full = disk.shell(&format!("$BRIG run --rm -v other:/v busybox sh -c '{FILL}' - /v"));
        assert_full(&full);
    }
});

vm_test!(a_limit_that_is_not_in_force_is_no_start, [plain], [root], |machine| {
    for image in [EXT4, XFS] {
        let disk = Disk::new(machine, image);
        disk.ok(
            "$BRIG volume create -o size=4m small; $BRIG create --name small --storage-opt size=4m busybox true",
        );
        disk.ok("umount $D; mount -o loop,noquota $D.image $D");
        for start in [
            "start small",
            "run --rm -v small:/v busybox true",
            "run --rm --storage-opt size=4m busybox true",
        ] {
            let refused = disk.shell(&format!("$BRIG {start}"));
            assert!(refused.code != 0 && refused.stderr.contains("project quotas"), "{start}: {refused}");
        }
        // What is in it can be saved, and it can go.
        disk.ok("$BRIG volume export small > /dev/null; $BRIG volume rm small; $BRIG rm small");
    }
});

vm_test!(a_size_is_refused_where_the_file_system_has_no_quotas, [plain], [root, user], |machine| {
    let refused = machine.run(&["volume", "create", "-o", "size=4m", "small"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("has no project quotas in force"), "{refused}");
    assert!(!machine.ok(&["volume", "ls", "-q"]).contains("small"));
    machine.import_busybox();
    let refused = machine.shell(&["--storage-opt", "size=4m"], "true");
    assert_eq!(refused.code, 125, "{refused}");
    assert!(refused.stderr.contains("has no project quotas in force"), "{refused}");
    assert_eq!(machine.ok(&["ps", "-aq"]), "");
});
