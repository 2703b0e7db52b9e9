//! `brig diff`, `brig commit` and `brig export`: what a container changed, exactly.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::running::Running;
use tests::{Brig, story};

/// Everything that can happen to a name.
const CHANGES: &str = "umask 022; mkdir /new; echo 1 > /new/file; ln -s file /new/link; mkfifo /new/fifo; \
    ln /new/file /new/second; echo changed >> /etc/passwd; rm /etc/group; rm -r /home; mkdir /home; \
    echo mine > /home/mine; rm -r /var; touch /bin; chmod 700 /tmp; chown 1000:1000 /new/file; \
    echo long > /new/$(head -c 120 /dev/zero | tr '\\0' n); echo gone > /gone; rm /gone";

const LISTED: &[&str] = &[
    "C /bin",
    "C /etc",
    "D /etc/group",
    "C /etc/passwd",
    "C /home",
    "A /home/mine",
    "A /new",
    "A /new/fifo",
    "A /new/file",
    "A /new/link",
    "A /new/second",
    "C /tmp",
    "D /var",
];

fn image(brig: &Brig) {
    tests::attack::image(brig, "busybox", &[], |root| {
        for directory in ["home/user", "var", "tmp", "etc"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("home/user/old"), "").unwrap();
    });
}

fn listed(brig: &Brig, name: &str) -> Vec<String> {
    let lines = brig.ok(&["diff", name]);
    let long = format!("/new/{}", "n".repeat(120));
    lines.lines().filter(|line| !line.ends_with(&long)).map(str::to_owned).collect()
}

story!(every_change_is_told_and_no_other, [root, user], |brig| {
    image(brig);
    let running = Running::start(brig, "box", &[], CHANGES);
    let mut expected: Vec<String> = LISTED.iter().map(|line| (*line).to_owned()).collect();
    expected.insert(6, "D /home/user".to_owned());
    assert_eq!(listed(brig, running.name()), expected);
    brig.ok(&["kill", "box"]);
    brig.ok(&["wait", "box"]);
    assert_eq!(listed(brig, running.name()), expected);
    let json: Value = serde_json::from_str(&brig.ok(&["diff", "--format", "json", "box"])).unwrap();
    assert_eq!(json["deleted"], serde_json::json!(["/etc/group", "/home/user", "/var"]));
    // Nothing happened: nothing is told, although things are mounted.
    brig.ok(&["run", "--name", "idle", "busybox", "true"]);
    assert_eq!(brig.ok(&["diff", "idle"]), "");
    brig.ok(&["rm", "idle"]);
    assert_eq!(brig.run(&["diff", "nobody"]).code, 1);
});

/// What `find` and the content sums see of a container's files.
fn facts(brig: &Brig, image: &str) -> String {
    let look = "cd /; for d in bin etc/passwd etc/group home new tmp var; do find $d 2>/dev/null; done | sort | \
        while read f; do stat -c '%n %F %a %u:%g %Y' $f; done; find new -type f | sort | xargs md5sum";
    brig.ok(&["run", "--rm", "--tmpfs", "/run", image, "sh", "-c", look])
}

story!(a_commit_is_what_the_container_was, [root, user], |brig| {
    image(brig);
    let running = Running::start(brig, "box", &["-e", "KEPT=yes", "-w", "/etc", "-l", "mine=1"], CHANGES);
    let before = listed(brig, "box");
    let id = brig.ok(&["commit", "-a", "me", "-m", "a remark", "-c", "ENV MORE=1", "box", "made:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    // The layer says what the directory said, read back from the store.
    assert_eq!(listed(brig, "made:1"), before);
    // And the files are those of the flattened archive.
    let archive = brig.directory().join("flat.tar");
    brig.ok(&["export", "-o", archive.to_str().unwrap(), "box"]);
    brig.ok(&["import", archive.to_str().unwrap(), "flat"]);
    let committed = facts(brig, "made:1");
    assert!(committed.contains("new/link") && committed.contains("1000:1000"), "{committed}");
    assert_eq!(committed, facts(brig, "flat"));
    assert_eq!(brig.ok(&["run", "--rm", "made:1", "sh", "-c", "echo $KEPT $MORE $PWD"]), "yes 1 /etc\n");
    let image: Value = serde_json::from_str(&brig.ok(&["image", "inspect", "made:1"])).unwrap();
    assert!(image.to_string().contains("a remark"), "{image}");
    assert!(image.to_string().contains("\"mine\""), "{image}");
    // Again on top, without a change: still an image of its own, and the parents stay.
    drop(running);
    brig.ok(&["run", "--name", "again", "made:1", "true"]);
    brig.ok(&["commit", "-q", "-p=false", "again", "made:2"]);
    assert_eq!(facts(brig, "made:2"), committed);
    brig.ok(&["rm", "again"]);
    let outcome = brig.run(&["commit", "nobody", "x"]);
    assert_eq!(outcome.code, 1, "{outcome}");
});

story!(a_commit_can_be_one_layer, [root, user], |brig| {
    image(brig);
    let running = Running::start(brig, "box", &[], CHANGES);
    brig.ok(&["commit", "-q", "box", "made"]);
    brig.ok(&["commit", "-q", "--squash", "-c", "ENV MORE=1", "box", "one"]);
    drop(running);
    assert_eq!(facts(brig, "one"), facts(brig, "made"));
    let layers = |image: &str| brig.ok(&["inspect", "-f", "{{len .RootFS.Layers}} {{.Config.Env}}", image]);
    assert!(layers("one").starts_with("1 ") && layers("one").contains("MORE=1"), "{}", layers("one"));
    assert!(layers("made").starts_with("2 "), "{}", layers("made"));
    assert_eq!(brig.ok(&["history", "-q", "one"]).lines().count(), 1);
    let tree = brig.ok(&["image", "tree", "made"]);
    let lines: Vec<&str> = tree.lines().collect();
    assert!(
        lines[4].starts_with("├── ID: ") && lines[4].contains("Top Layer of: [docker.io/library/busybox"),
        "{tree}"
    );
    assert!(
        lines[5].starts_with("└── ID: ")
            && lines[5].ends_with("Top Layer of: [docker.io/library/made:latest]"),
        "{tree}"
    );
});

// A name that deletes something in a layer: of files, and of directories, which were taken until this test had them.
story!(a_commit_leaves_nothing_when_refused, [root, user], |brig| {
    image(brig);
    for make in ["touch /.wh.etc", "mkdir /.wh.home", "mkdir /.wh..wh.x && touch /.wh..wh.x/lost"] {
        brig.ok(&["run", "--name", "box", "busybox", "sh", "-c", make]);
        for squash in [&[][..], &["--squash"]] {
            let outcome = brig.run(&[&["commit"], squash, &["box", "x"]].concat());
            assert!(outcome.code != 0 && outcome.stderr.contains("means a deletion"), "{make}: {outcome}");
        }
        assert!(!brig.ok(&["images"]).contains("\nx "));
        assert_eq!(fs::read_dir(brig.store().join("ingest")).unwrap().count(), 0);
        brig.ok(&["rm", "box"]);
    }
});

story!(an_export_reads_alike_everywhere, [root, user], |brig| {
    image(brig);
    let _running = Running::start(brig, "box", &[], CHANGES);
    let archive = brig.directory().join("out.tar");
    brig.ok(&["export", "-o", archive.to_str().unwrap(), "box"]);
    let second = brig.directory().join("again.tar");
    let output = brig.command(&["export", "box"]).output().unwrap();
    fs::write(&second, output.stdout).unwrap();
    assert_eq!(fs::read(&archive).unwrap(), fs::read(&second).unwrap(), "the same tree, the same bytes");
    let list = |program: &str, arguments: &[&str]| {
        let outcome = testkit::run(Command::new(program).args(arguments).arg(&archive));
        let mut names: Vec<String> = outcome
            .success()
            .lines()
            .map(|line| line.trim_start_matches("./").trim_end_matches('/').to_owned())
            .filter(|name| !name.is_empty() && name != ".")
            .collect();
        names.sort();
        names
    };
    let tar = list("tar", &["-tf"]);
    assert!(tar.contains(&format!("new/{}", "n".repeat(120))) && tar.contains(&"new/second".to_owned()));
    // What is mounted in it is not in it.
    assert!(tar.contains(&"proc".to_owned()) && !tar.iter().any(|name| name.starts_with("proc/")));
    assert!(!tar.iter().any(|name| name.starts_with("dev/")), "{tar:?}");
    let python = "import tarfile,sys\nfor m in tarfile.open(sys.argv[1]): print(m.name)";
    if testkit::find_program("python3").is_some() {
        assert_eq!(list("python3", &["-c", python]), tar);
    }
});

// A kernel without Landlock: the first call of it fails. Seen to fail before the warning was there.
story!(a_missing_confinement_is_said, [root, user], |brig| {
    testkit::needs!(program("strace"));
    brig.import_busybox();
    brig.ok(&["create", "--name", "web", "busybox", "true"]);
    let archive = brig.directory().join("out.tar").display().to_string();
    for words in [&["diff", "web"][..], &["export", "-o", &archive, "web"], &["commit", "web", "made"]] {
        let command = brig.command(words);
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset"]);
        traced.args(["-e", "inject=landlock_create_ruleset:error=ENOSYS"]);
        traced.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => traced.env(name, value),
                None => traced.env_remove(name),
            };
        }
        let outcome = testkit::run(&mut traced);
        assert_eq!(outcome.code, 0, "{outcome}");
        assert!(outcome.stderr.contains("Landlock"), "{words:?}: {outcome}");
        drop(fs::remove_file(&archive));
        assert!(!brig.run(words).stderr.contains("Landlock"), "{words:?}");
        drop(fs::remove_file(&archive));
    }
});
