//! Id maps and subordinate ids: what parses is a map that the kernel takes, prints as itself, is one to one, and agrees with a plain search; spans lie within the ids.

use std::collections::BTreeMap;

use container::value::ids::parse_map;
use idmap::fuzzing::{getsubids, nearest, outside_service};
use idmap::{MAX_RANGES, MAX_TEXT, Map, Span, SubordinateTable};

use crate::input::{Numbers, text};

/// Most bytes of an input.
pub const MAX_LEN: usize = 6000;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    check_table(bytes);
    check_made(bytes);
    for database in ["subid", "passwd"] {
        let _: bool = outside_service(bytes, database);
    }
    for span in getsubids(bytes, "ann") {
        check_span(span);
    }
    let Some(text) = text(bytes) else { return };
    if let Ok(map) = Map::parse(text) {
        check_map(&map);
    }
    if let Ok(range) = parse_map("--uidmap", text) {
        assert!(range.size > 0);
        if let Ok(map) = Map::new(vec![range]) {
            check_map(&map);
        }
    }
    let (name, known) = text.split_once('\n').unwrap_or((text, "ann"));
    let known: Vec<&str> = known.lines().take(8).collect();
    assert!(nearest(name, &known).is_none_or(|found| known.contains(&found) && found != name));
}

fn check_map(map: &Map) {
    let ranges = map.ranges();
    assert!(!ranges.is_empty() && ranges.len() <= MAX_RANGES);
    let text = map.render();
    assert!(text.len() <= MAX_TEXT);
    assert_eq!(Map::parse(&text).ok().as_ref(), Some(map));
    assert_eq!(map.count(), ranges.iter().map(|range| u64::from(range.size)).sum::<u64>());
    for range in ranges {
        let (first, host, last) = (range.container_id, range.host_id, range.size - 1);
        assert!(first.checked_add(last).is_some_and(|id| id < u32::MAX));
        assert!(host.checked_add(last).is_some_and(|id| id < u32::MAX));
        for offset in [0, last / 2, last] {
            assert_eq!(map.to_host(first + offset), Some(host + offset));
            assert_eq!(map.to_container(host + offset), Some(first + offset));
        }
        // The ids around a range are another range's or nobody's.
        for id in [first.wrapping_sub(1), first + last + 1] {
            if let Some(host) = map.to_host(id) {
                assert_eq!(map.to_container(host), Some(id));
            }
        }
    }
    assert_eq!(map.to_host(u32::MAX), None);
    assert_eq!(map.to_container(u32::MAX), None);
}

/// Maps made of an own id and spans, against one id after the other.
fn check_made(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let own = u32::from(numbers.byte()) % 32;
    let inside = u32::from(numbers.byte()) % 32;
    let limit = u32::from(numbers.byte()) % 48;
    let spans: Vec<Span> = (0..numbers.below(6))
        .map(|_| Span { start: u32::from(numbers.byte()) % 64, count: 1 + u32::from(numbers.byte()) % 16 })
        .collect();
    let subordinate: Vec<u32> = spans.iter().flat_map(|span| span.start..span.start + span.count).collect();
    let distinct: std::collections::BTreeSet<u32> = subordinate.iter().copied().chain([own]).collect();
    let overlap = distinct.len() != subordinate.len() + 1;

    let made = Map::rootless(own, &spans, limit);
    let wanted: BTreeMap<u32, u32> = std::iter::once(own)
        .chain(subordinate.iter().copied().take(limit.saturating_sub(1) as usize))
        .enumerate()
        .map(|(inside, outside)| (inside as u32, outside))
        .collect();
    match &made {
        Ok(map) => {
            check_map(map);
            for id in 0..200 {
                assert_eq!(map.to_host(id), wanted.get(&id).copied(), "{own} {spans:?} {limit}");
            }
        }
        Err(error) => assert!(overlap, "{own} {spans:?} {limit}: {error}"),
    }
    let made = Map::keep_id(own, inside, &spans, limit);
    match &made {
        Ok(map) => {
            check_map(map);
            assert_eq!(map.to_host(inside), Some(own));
            // All others are subordinate ids in their order, none of them left out between two.
            let others: Vec<u32> = (0..200).filter(|id| *id != inside).filter_map(|id| map.to_host(id)).collect();
            assert!(subordinate.starts_with(&others), "{own} {inside} {spans:?} {limit}: {others:?}");
            assert!(map.count() <= u64::from(limit.max(1)));
        }
        Err(error) => assert!(overlap, "{own} {inside} {spans:?} {limit}: {error}"),
    }
}

fn check_table(bytes: &[u8]) {
    let table = SubordinateTable::parse(bytes).expect("inputs are shorter than the limit");
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for entry in &table.entries {
        check_span(entry.span);
        assert!((1..=lines).contains(&entry.line) && !entry.owner.is_empty());
        assert!(!entry.owner.contains([':', '\n', ' ']));
        assert!(table.spans_of(Some(&entry.owner), u32::MAX).contains(&entry.span));
    }
    for fault in &table.faults {
        assert!((1..=lines).contains(&fault.line));
    }
    // Written as it was understood, it is understood so again.
    let written: String = table
        .entries
        .iter()
        .map(|entry| format!("{}:{}:{}\n", entry.owner, entry.span.start, entry.span.count))
        .collect();
    let again = SubordinateTable::parse(written.as_bytes()).expect("it is no longer than before");
    let values = |table: &SubordinateTable| -> Vec<(String, Span)> {
        table.entries.iter().map(|entry| (entry.owner.clone(), entry.span)).collect()
    };
    assert_eq!(values(&again), values(&table));
}

fn check_span(span: Span) {
    assert!(span.count > 0 && span.start.checked_add(span.count).is_some());
    assert!(span.contains(span.start) && span.contains(span.last()) && span.last() < u32::MAX);
}
