//! M2: a flag that a container's author writes changes the security labels of the host's own files.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "M2",
    title: "files of the host relabelled",
    faults: &["CVE-2021-43816"],
    kinds: &[Kind::Static, Kind::Shape],
    defence: "container/src/value/mount.rs: no file of the host is ever relabelled",
};

const LABEL: &str = "system_u:object_r:etc_t:s0";

/// A directory with a label of the host's, where the kernel keeps one.
fn labelled(brig: &Brig) -> std::path::PathBuf {
    let directory = brig.directory().join("labelled");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("file"), "").unwrap();
    for path in [&directory, &directory.join("file")] {
        // Without SELinux the attribute is one like others, and stays.
        let set =
            rustix::fs::setxattr(path, "security.selinux", LABEL.as_bytes(), rustix::fs::XattrFlags::empty());
        assert!(set.is_ok(), "{set:?}");
    }
    directory
}

fn label(path: &Path) -> String {
    let mut value = [0; 256];
    let length = rustix::fs::getxattr(path, "security.selinux", &mut value[..]).unwrap();
    String::from_utf8_lossy(&value[..length]).into_owned()
}

held!(no_flag_relabels, [root], |brig| {
    brig.import_busybox();
    let directory = labelled(brig);
    let source = directory.to_str().unwrap();
    for place in [source, "/etc/hostname", "/usr", "/root", "/"] {
        for flag in [
            format!("--volume={place}:/mnt:z"),
            format!("--volume={place}:/mnt:Z"),
            format!("--volume={place}:/mnt:ro,z"),
            format!("--mount=type=bind,src={place},dst=/mnt,relabel=shared"),
            format!("--mount=type=bind,src={place},dst=/mnt,z"),
        ] {
            for more in [&[][..], &["--allow-host-path", place], &["--privileged"]] {
                let outcome = brig.shell(&[more, &[&flag]].concat(), "true");
                outcome.fails_with(125);
                assert_eq!([label(&directory), label(&directory.join("file"))], [LABEL; 2], "{flag}");
            }
        }
    }
});

held!(no_call_sets_a_label_outside, [root, user] needs [program("strace")], |brig| {
    brig.import_busybox();
    let data = brig.directory().join("data");
    fs::create_dir(&data).unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&data);
    }
    let volume = format!("{}:/mnt", data.display());
    for options in [&[][..], &["--security-opt", "label=disable"], &["--security-opt", "label=type:container_t"]] {
        let words = [&["run", "--rm", "-v", &volume], options, &["busybox", "true"]].concat();
        let (_, trace) = tests::shape::trace(&brig.command(&words), brig.program(), brig.directory());
        let sets = |line: &String| line.contains("setxattr") && line.contains("security.");
        let found: Vec<_> = trace.calls().iter().map(tests::shape::Call::line).filter(sets).collect();
        assert_eq!(found, Vec::<String>::new(), "{options:?}");
    }
});

control!(
    a_relabelling_is_seen,
    Target::Unconfined("chcon, which does what `:Z` of other engines does"),
    [root],
    |brig| {
        let directory = labelled(brig);
        let mut command = Command::new("chcon");
        command.args(["-R", "system_u:object_r:container_file_t:s0"]).arg(&directory);
        testkit::run(&mut command).success();
        label(&directory.join("file")).contains("container_file_t")
    }
);
