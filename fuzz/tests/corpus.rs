//! Every committed input is put to its target: what a fuzzer found once stays found.

use std::fs;
use std::path::Path;

use fuzz::TARGETS;

#[test]
fn every_committed_input_keeps_its_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, check) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
        {
            let path = entry.expect("our own directory").path();
            let bytes = fs::read(&path).expect("our own file");
            let run = std::panic::catch_unwind(|| check(&bytes));
            assert!(run.is_ok(), "{} breaks the promise of `{name}`", path.display());
            count += 1;
        }
        assert!(count > 0, "corpus/{name} is empty");
    }
}

#[test]
fn targets_programs_and_corpora_are_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |directory: &str| {
        let mut names: Vec<String> = fs::read_dir(root.join(directory))
            .expect("our own directory")
            .map(|entry| {
                entry
                    .expect("our own directory")
                    .path()
                    .file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}
