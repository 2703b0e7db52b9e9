//! R38: containers that start at once and get each other's environment, name or files.

use testkit::Outcome;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "R38",
    title: "containers that start together and share environment, name or files",
    faults: &["CVE-2020-14370", "CVE-2024-36621", "CVE-2024-36623"],
    kinds: &[Kind::BruteRace],
    defence: "container/src/{names,containers}.rs: a name is reserved by symlink(2), a directory by its lock",
};

/// Each writes its secret into its root, and says what it finds there and in its first process a moment later.
const SCRIPT: &str =
    "echo $SECRET >> /mine; sleep 0.2; cat /mine; tr '\\0' '\\n' < /proc/1/environ | grep SECRET";

/// Starts containers at once, two wanting each name; `flags` go to all of them.
fn start_together(brig: &Brig, flags: &[&str]) -> Vec<Outcome> {
    brig.import_busybox();
    std::thread::scope(|scope| {
        let start = |number: usize| {
            let environment = format!("SECRET=number-{number}");
            let name = format!("brig-test-name-{}", number / 2);
            let flags =
                [&["-e", &*environment, "--name", &*name], flags].concat().into_iter().map(str::to_owned);
            let flags: Vec<String> = flags.collect();
            scope.spawn(move || brig.shell(&flags.iter().map(String::as_str).collect::<Vec<_>>(), SCRIPT))
        };
        let running: Vec<_> = (0..12).map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Of those that ran, the ones that saw anything but their own.
fn mixed(outcomes: &[Outcome]) -> Vec<String> {
    let ended = outcomes.iter().enumerate().filter(|(_, outcome)| outcome.code == 0);
    let other = ended
        .filter(|(number, outcome)| outcome.stdout != format!("number-{number}\nSECRET=number-{number}\n"));
    other.map(|(number, outcome)| format!("{number}: {outcome}")).collect()
}

held!(each_has_its_own, [root, user], |brig| {
    let outcomes = start_together(brig, &[]);
    assert_eq!(mixed(&outcomes), Vec::<String>::new());
    let (ended, refused): (Vec<_>, Vec<_>) =
        outcomes.iter().enumerate().partition(|(_, outcome)| outcome.code == 0);
    // One of each pair gets the name; both only if the first ended before the second began.
    assert!(ended.len() >= 6, "{refused:?}");
    for (number, outcome) in refused {
        assert!(outcome.stderr.contains(&format!("brig-test-name-{}", number / 2)), "{outcome}");
    }
});

// A directory that all of them are given shows what sharing looks like.
control!(a_shared_file_mixes_them, Target::Opened("one file for all, by `-v`"), [root, user], |brig| {
    let shared = brig.directory().join("shared");
    std::fs::write(&shared, "").unwrap();
    std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let volume = format!("{}:/mine", shared.display());
    !mixed(&start_together(brig, &["-v", &volume])).is_empty()
});

/// Whether a second container takes the name of one that runs.
fn takes_the_name(brig: &Brig, weaken: &str) -> bool {
    brig.import_busybox();
    let shared = brig.directory().join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let volume = format!("{}:/shared", shared.display());
    let run = |script: &str| {
        let ids = ["--userns=host", "--name", "brig-test-one"];
        let words = [&["run", "--rm"], &ids[..], &["-v", &volume, "busybox", "sh", "-c", script]].concat();
        let mut command = brig.command(&words);
        command.env("BRIG_WEAKEN", weaken);
        testkit::run(&mut command)
    };
    std::thread::scope(|scope| {
        // Waits for the second one, and tells that it is there.
        let first = scope.spawn(|| run("touch /shared/first; until [ -e /shared/end ]; do sleep 0.02; done"));
        while !shared.join("first").exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let second = run("true");
        std::fs::write(shared.join("end"), "").unwrap();
        drop(first.join().unwrap());
        second.code == 0
    })
}

held!(a_name_that_is_taken_stays_so, [root], |brig| {
    assert!(!takes_the_name(brig, ""));
});

control!(without_the_lock, Target::Weakened("engine-lock"), [root], |brig| {
    // The second one sweeps the first away only where that has written its state.
    (0..20).any(|_| takes_the_name(&brig.with_seams(), "engine-lock"))
});
