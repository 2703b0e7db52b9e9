//! What is written is found as it was, and what was done to it is found, too.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use journal::{Fault, Journal, Kind, MAX_LINE, Reader, Record, verify};
use testkit::TempDir;

fn record(number: u64) -> Record {
    Record {
        time_nano: number,
        command: "run".to_owned(),
        arguments: vec![format!("word {number}")],
        ..Record::default()
    }
}

/// A journal of so many records.
fn written(records: u64) -> (TempDir, Journal) {
    let directory = TempDir::new();
    let journal = Journal::open(directory.path()).unwrap();
    for number in 1..=records {
        journal.append(record(number)).unwrap();
    }
    (directory, journal)
}

fn segment(journal: &Journal, chain: usize, number: u64) -> PathBuf {
    journal.path().join(format!("{chain}-{number:06}.jsonl"))
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn put(path: &Path, lines: &[String]) {
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

fn read_all(journal: &Journal) -> Vec<Record> {
    let mut reader = Reader::new(journal).unwrap();
    std::iter::from_fn(|| reader.next_record().unwrap()).collect()
}

#[test]
fn records_come_back_in_order_and_hold() {
    let (_directory, journal) = written(20);
    let records = read_all(&journal);
    assert_eq!(
        records.iter().map(|record| record.sequence).collect::<Vec<_>>(),
        (1..=20).collect::<Vec<_>>()
    );
    assert_eq!(records[4].arguments, ["word 5"]);
    let report = verify(&journal).unwrap();
    assert_eq!((report.records, report.sealed, &report.faults[..]), (20, 0, &[][..]));
    assert_eq!(verify(&written(0).1).unwrap().faults, []);
}

/// Changes the lines of a journal of ten records, and says what `verify` must find.
fn check(change: impl Fn(&mut Vec<String>), expected: &[Fault]) {
    let (_directory, journal) = written(10);
    let path = segment(&journal, 0, 1);
    let mut kept = lines(&path);
    change(&mut kept);
    put(&path, &kept);
    assert_eq!(verify(&journal).unwrap().faults, expected);
}

#[test]
fn an_altered_record_is_found() {
    let alter = |at: usize| move |lines: &mut Vec<String>| lines[at] = lines[at].replace("word", "lord");
    check(alter(3), &[Fault::Altered(0, 4)]);
    check(alter(0), &[Fault::Altered(0, 1)]);
    // Nothing follows the last: its head knows its hash.
    check(alter(9), &[Fault::Altered(0, 10)]);
    check(|lines| lines[3].truncate(20), &[Fault::Unreadable(0, 3), Fault::Missing(0, 4, 4)]);
}

#[test]
fn a_removed_record_is_found() {
    check(|lines| drop(lines.remove(4)), &[Fault::Missing(0, 5, 5)]);
    check(|lines| drop(lines.drain(2..6)), &[Fault::Missing(0, 3, 6)]);
    check(|lines| drop(lines.remove(0)), &[Fault::Missing(0, 1, 1)]);
}

#[test]
fn a_record_in_another_place_is_found() {
    check(|lines| lines.swap(4, 5), &[Fault::Missing(0, 5, 5), Fault::Order(0, 5), Fault::Missing(0, 6, 6)]);
    check(|lines| lines.push(lines[3].clone()), &[Fault::Order(0, 4), Fault::Cut(0, 4, 6)]);
}

#[test]
fn records_that_were_cut_off_are_found_now_and_later() {
    check(|lines| lines.truncate(7), &[Fault::Cut(0, 7, 3)]);
    check(Vec::clear, &[Fault::Cut(0, 0, 10)]);

    let (_directory, journal) = written(10);
    let path = segment(&journal, 0, 1);
    put(&path, &lines(&path)[..7]);
    // The next command goes on, and says what it found.
    journal.append(record(11)).unwrap();
    let report = verify(&journal).unwrap();
    assert_eq!(report.faults, [Fault::Cut(0, 7, 3)]);
    assert_eq!(read_all(&journal).last().unwrap().arguments, ["word 11"]);

    fs::remove_file(&path).unwrap();
    assert!(matches!(verify(&journal).unwrap().faults[..], [Fault::Cut(0, 0, 9)]));
    journal.append(record(12)).unwrap();
    assert!(matches!(verify(&journal).unwrap().faults[..], [Fault::Cut(0, 0, 9)]));
}

#[test]
fn heads_that_are_gone_are_found() {
    let (_directory, journal) = written(5);
    fs::remove_file(journal.path().join("heads")).unwrap();
    assert_eq!(verify(&journal).unwrap().faults, [Fault::NoHead(0)]);
    journal.append(record(6)).unwrap();
    assert_eq!(read_all(&journal).len(), 7, "a seal says that the head was not there");
    assert_eq!(verify(&journal).unwrap().faults, []);
}

#[test]
fn what_a_killed_writer_left_is_sealed_and_told() {
    for torn in [&b"{\"sequence\":6,\"prev"[..], b"\0\0\0\0", b"\n\n"] {
        let (_directory, journal) = written(5);
        let path = segment(&journal, 0, 1);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(torn);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(verify(&journal).unwrap().faults.len(), 1, "{torn:?}");
        journal.append(record(6)).unwrap();
        let report = verify(&journal).unwrap();
        assert_eq!(report.faults, [], "{torn:?}");
        let records = read_all(&journal);
        let seal = records[5].seal.as_ref().unwrap();
        assert_eq!(records[5].kind, Kind::Chain);
        assert!(seal.torn >= u64::try_from(torn.len()).unwrap() && seal.lost == 0, "{seal:?}");
        // A seal of other bytes is none.
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some(changed) = text.contains("prev\n").then(|| text.replace("prev\n", "next\n")) {
            fs::write(&path, changed).unwrap();
            assert_eq!(verify(&journal).unwrap().faults, [Fault::Unreadable(0, 5)]);
        }
    }
}

#[test]
fn a_writer_killed_before_the_head_lost_nothing() {
    let (_directory, journal) = written(5);
    let heads = fs::read(journal.path().join("heads")).unwrap();
    journal.append(record(6)).unwrap();
    fs::write(journal.path().join("heads"), heads).unwrap();
    assert_eq!(verify(&journal).unwrap().faults, []);
    journal.append(record(7)).unwrap();
    let report = verify(&journal).unwrap();
    assert_eq!((report.records, &report.faults[..]), (7, &[][..]));
}

#[test]
fn the_chain_goes_over_segments_and_the_oldest_are_dropped_by_record() {
    let directory = TempDir::new();
    let journal = Journal::open(directory.path()).unwrap().with_bounds(2000, 3);
    for number in 1..=60 {
        journal.append(record(number)).unwrap();
    }
    let names = fs::read_dir(journal.path()).unwrap().flatten();
    let kept = names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".jsonl")).count();
    assert_eq!(kept, 3);
    let report = verify(&journal).unwrap();
    assert_eq!(report.faults, []);
    assert!(report.dropped > 10 && report.records > 10, "{report:?}");
    // One that was removed by hand is no drop.
    let oldest = read_all(&journal)[0].sequence;
    let oldest =
        (1..100).map(|number| segment(&journal, 0, number)).find(|path| path.exists()).unwrap_or_else(|| {
            panic!("no segment from {oldest}");
        });
    fs::remove_file(oldest).unwrap();
    assert_eq!(verify(&journal).unwrap().faults.len(), 1);
}

#[test]
fn many_writers_make_one_chain() {
    let (_directory, journal) = written(0);
    std::thread::scope(|scope| {
        for writer in 0..20 {
            let root = journal.path().parent().unwrap();
            scope.spawn(move || {
                let journal = Journal::open(root).unwrap();
                for number in 0..20 {
                    journal.append(record(writer * 20 + number)).unwrap();
                }
            });
        }
    });
    let report = verify(&journal).unwrap();
    assert_eq!((report.records, &report.faults[..]), (400, &[][..]));
}

#[test]
fn nobody_waits_for_a_writer_that_was_stopped() {
    let (_directory, journal) = written(3);
    let held = files::lock::exclusive(files::lock::open(journal.directory(), "0.lock").unwrap()).unwrap();
    journal.append(record(4)).unwrap();
    journal.append(record(5)).unwrap();
    drop(held);
    journal.append(record(6)).unwrap();
    let records = read_all(&journal);
    assert_eq!(records.iter().map(|record| record.time_nano).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(verify(&journal).unwrap().faults, []);
    // The chains know of each other: one cannot go as a whole, not even with its head.
    fs::remove_file(segment(&journal, 1, 1)).unwrap();
    let heads = journal.path().join("heads");
    let mut bytes = fs::read(&heads).unwrap();
    bytes[128..].fill(0);
    fs::write(&heads, bytes).unwrap();
    assert_eq!(verify(&journal).unwrap().faults, [Fault::Cut(1, 0, 2)]);
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let directory = TempDir::new();
    let journal = Journal::open(directory.path()).unwrap().with_bounds(1000, 100);
    let mut reader = Reader::new(&journal).unwrap();
    assert!(reader.next_record().unwrap().is_none());
    for number in 1..=30 {
        journal.append(record(number)).unwrap();
        assert_eq!(reader.next_record().unwrap().unwrap().time_nano, number);
        assert!(reader.next_record().unwrap().is_none());
    }
}

#[test]
fn a_giant_loses_its_arguments_and_never_the_record() {
    let (_directory, journal) = written(0);
    let giant = Record { arguments: vec!["x".repeat(MAX_LINE)], error: "y".repeat(MAX_LINE), ..record(1) };
    journal.append(giant).unwrap();
    let records = read_all(&journal);
    assert!(records[0].arguments.is_empty() && records[0].error.starts_with("yyy"));
    assert_eq!(verify(&journal).unwrap().faults, []);
}
