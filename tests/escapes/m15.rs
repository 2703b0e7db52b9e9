//! M15: a line break in a name or a setting becomes a line of its own in a file that the engine writes.

use std::fs;

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::engines::{forget_podman, podman_import, podman_run};

pub(crate) const ROW: Row = Row {
    id: "M15",
    title: "settings that become lines of other files",
    faults: &["CVE-2022-4318", "CVE-2026-48749", "CVE-2026-33897", "CVE-2026-23953"],
    kinds: &[Kind::Static],
    defence: "container/src/value: what goes into a file is a word, not text; container/src/spec: no file of the image is a template",
};

/// What may not stand at the beginning of a line.
const INJECTED: &str = "6.6.6.6 injected";
const ACCOUNT: &str = "root2::0:0::/:/bin/sh";

/// The files that engines write for a container.
const READ: &str =
    "cat /etc/hosts /etc/hostname /etc/resolv.conf /etc/passwd /etc/group 2>/dev/null; hostname";

fn is_injected(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(INJECTED) || line.starts_with(ACCOUNT))
}

/// Values with every kind of line break, behind something that the flag would take.
fn values(plain: &str) -> Vec<String> {
    let breaks = ["\n", "\r\n", "\r", "\\n", "\u{85}", "\u{2028}", "\u{b}"];
    let lines = [INJECTED, ACCOUNT];
    breaks.iter().flat_map(|it| lines.iter().map(move |line| format!("{plain}{it}{line}{it}"))).collect()
}

/// Flags whose value an engine writes down somewhere.
const FLAGS: [(&str, &str); 12] = [
    ("--hostname", "box"),
    ("--domainname", "example"),
    ("--name", "box"),
    ("--add-host", "box:1.2.3.4"),
    ("--dns", "1.2.3.4"),
    ("--dns-search", "example"),
    ("--dns-option", "ndots:1"),
    ("--label", "a=b"),
    ("--annotation", "a=b"),
    ("--env", "HOME=/x"),
    ("--workdir", "/bin"),
    ("--user", "1234"),
];

held!(flags_become_no_lines, [root, user], |brig| {
    brig.import_busybox();
    let mut started = 0;
    for (flag, plain) in FLAGS {
        for value in values(plain).iter().take(if flag == "--hostname" { 14 } else { 4 }) {
            let outcome = brig.shell(&[&format!("{flag}={value}")], READ);
            assert!(!is_injected(&outcome.stdout), "{flag} {value:?}: {outcome}");
            started += usize::from(outcome.code == 0);
        }
    }
    assert!(started >= 6, "labels and the like are data: {started}");
});

held!(what_an_image_says_becomes_no_lines, [root, user], |brig| {
    let mut imported = 0;
    for (at, value) in values("/bin").iter().take(1).enumerate() {
        for key in ["WorkingDir", "User", "Hostname"] {
            let name = format!("hostile{at}{}", key.to_lowercase());
            let changed = image(brig, &name, key, value);
            imported += usize::from(changed);
            let outcome = brig.run(&["run", "--rm", &name, "sh", "-c", READ]);
            assert!(!is_injected(&outcome.stdout), "{key} {value:?}: {outcome}");
        }
    }
    assert!(imported > 0, "no image was made");
});

/// An image whose configuration says that; false where the engine takes none such.
fn image(brig: &Brig, name: &str, key: &str, value: &str) -> bool {
    let archive = testkit::busybox_tar(brig.directory());
    let instruction = match key {
        "WorkingDir" => format!("WORKDIR [{value:?}]"),
        "User" => format!("USER {value}"),
        _ => format!("ENV HOSTNAME={value:?}"),
    };
    brig.run(&["import", "-c", &instruction, archive.to_str().unwrap(), name]).code == 0
}

// Templates of other engines in the image: files of `rootfs/`, `templates/`, `metadata.yaml` are files.
held!(files_of_the_image_are_no_templates, [root, user], |brig| {
    tests::attack::image(brig, "templates", &[], |root| {
        for directory in ["templates", "rootfs/etc", "etc"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (path, text) in [
            ("templates/hosts.tpl", format!("{INJECTED}\n{{{{ include \"/etc/shadow\" }}}}\n")),
            (
                "metadata.yaml",
                "templates:\n  /etc/hosts:\n    when: [start]\n    template: hosts.tpl\n".to_owned(),
            ),
            ("rootfs/etc/hosts", format!("{INJECTED}\n")),
            (".krun_config.json", "{\"Cmd\":[\"/bin/false\"]}".to_owned()),
            ("etc/hosts", format!("{INJECTED}\n")),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
    });
    let outcome =
        brig.run(&["run", "--rm", "templates", "sh", "-c", "cat /etc/hosts; ls /templates /rootfs/etc"]);
    let said = outcome.success();
    assert!(!is_injected(&said), "{said}");
    assert!(said.contains("hosts.tpl"), "{said}");
});

control!(podman_writes_the_line, Target::Debian("podman", "4.3.1"), [root], |brig| {
    tests::attack::image(brig, "lines", &[], |_| {});
    podman_import(brig, "lines", &[]);
    let value = format!("--hostname={}", values("box")[0]);
    let outcome = podman_run(brig, "lines", &[&value], &["sh", "-c", READ]);
    forget_podman(brig);
    is_injected(&outcome.stdout)
});
