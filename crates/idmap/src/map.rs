use std::fmt::Write as _;

use oci::runtime::IdMapping;

use crate::{Error, Span};

/// Most ranges of one map: `UID_GID_MAP_MAX_EXTENTS` of the kernel, since Linux 4.15.
pub const MAX_RANGES: usize = 340;

/// Most bytes of a map as text: the kernel refuses a write of a page or more, and the smallest page is
/// 4 KiB. A map of 340 ranges with long numbers would pass the first limit and fail this one.
pub const MAX_TEXT: usize = 4095;

/// A user or group id map that the kernel accepts: ranges that do not overlap on either side.
///
/// Never empty, at most [`MAX_RANGES`] ranges and [`MAX_TEXT`] bytes of text; no range is empty or holds
/// 4294967295, which is `(uid_t)-1` and no id (user_namespaces(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map(Vec<IdMapping>);

impl Map {
    /// Checks ranges and keeps them in the given order.
    ///
    /// # Errors
    /// One variant for each rule above.
    pub fn new(ranges: Vec<IdMapping>) -> Result<Self, Error> {
        if ranges.is_empty() {
            return Err(Error::Empty);
        }
        if ranges.len() > MAX_RANGES {
            return Err(Error::TooManyRanges { count: ranges.len(), limit: MAX_RANGES });
        }
        for range in &ranges {
            let (container, host, size) = (range.container_id, range.host_id, range.size);
            if size == 0 {
                return Err(Error::ZeroSize { container, host });
            }
            // The last id is first + size - 1 and may be u32::MAX - 1 at most.
            if container.checked_add(size).is_none() || host.checked_add(size).is_none() {
                return Err(Error::PastEnd { container, host, size });
            }
        }
        if let Some(id) = first_overlap(&ranges, |range| range.container_id) {
            return Err(Error::OverlapInside { id });
        }
        if let Some(id) = first_overlap(&ranges, |range| range.host_id) {
            return Err(Error::OverlapOutside { id });
        }
        let map = Self(ranges);
        let bytes = map.render().len();
        if bytes > MAX_TEXT {
            return Err(Error::TooLong { bytes, limit: MAX_TEXT });
        }
        Ok(map)
    }

    /// One range.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn contiguous(container: u32, host: u32, size: u32) -> Result<Self, Error> {
        Self::new(vec![IdMapping { container_id: container, host_id: host, size }])
    }

    /// One id alone: what a user without subordinate ids may write for himself.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn single(container: u32, host: u32) -> Result<Self, Error> {
        Self::contiguous(container, host, 1)
    }

    /// The usual rootless map: id 0 is the caller, ids from 1 are his subordinate ids in their order.
    ///
    /// Takes as many ids as the spans hold, up to `limit` ids in all.
    ///
    /// # Errors
    /// As [`Self::new`]: a span that holds `own`, or spans that overlap, are refused.
    pub fn rootless(own: u32, spans: &[Span], limit: u32) -> Result<Self, Error> {
        let mut ranges = vec![IdMapping { container_id: 0, host_id: own, size: 1 }];
        push_spans(&mut ranges, 1, spans, limit.saturating_sub(1));
        Self::new(ranges)
    }

    /// The rootless map that keeps the caller's own id inside (`--userns=keep-id`).
    ///
    /// Subordinate ids fill `0..inside` and go on at `inside + 1`. Where they do not reach up to
    /// `inside`, the ids between stay unmapped.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn keep_id(own: u32, inside: u32, spans: &[Span], limit: u32) -> Result<Self, Error> {
        let mut ranges = Vec::new();
        let mut below = inside.min(limit.saturating_sub(1));
        let mut next = 0;
        let mut rest = Vec::new();
        for span in spans {
            let taken = span.count.min(below);
            if taken > 0 {
                ranges.push(IdMapping { container_id: next, host_id: span.start, size: taken });
                next += taken;
                below -= taken;
            }
            if taken < span.count {
                // `start + taken` stays inside the span, which cannot overflow.
                rest.push(Span { start: span.start + taken, count: span.count - taken });
            }
        }
        ranges.push(IdMapping { container_id: inside, host_id: own, size: 1 });
        if let Some(after) = inside.checked_add(1) {
            push_spans(&mut ranges, after, &rest, limit.saturating_sub(next + 1));
        }
        Self::new(ranges)
    }

    /// Parses the kernel's text, as in `/proc/self/uid_map`: three decimal numbers a line.
    ///
    /// # Errors
    /// [`Error::MapSyntax`] with the line, or as [`Self::new`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut ranges = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let mut fields = line.split_ascii_whitespace().map(decimal);
            let (Some(Some(container_id)), Some(Some(host_id)), Some(Some(size)), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                return Err(Error::MapSyntax { line: index + 1 });
            };
            if ranges.len() == MAX_RANGES {
                return Err(Error::TooManyRanges { count: MAX_RANGES + 1, limit: MAX_RANGES });
            }
            ranges.push(IdMapping { container_id, host_id, size });
        }
        Self::new(ranges)
    }

    /// The ranges, in the order given.
    #[must_use]
    pub fn ranges(&self) -> &[IdMapping] {
        &self.0
    }

    /// The id outside of an id inside.
    #[must_use]
    pub fn to_host(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.container_id)?;
            (offset < range.size).then(|| range.host_id + offset)
        })
    }

    /// The id inside of an id outside.
    #[must_use]
    pub fn to_container(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.host_id)?;
            (offset < range.size).then(|| range.container_id + offset)
        })
    }

    /// How many ids are mapped.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.size)).sum()
    }

    /// Whether this maps exactly one id, and to `host`: what the kernel lets a plain user write.
    #[must_use]
    pub fn is_single(&self, host: u32) -> bool {
        matches!(self.0.as_slice(), [range] if range.size == 1 && range.host_id == host)
    }

    /// The text that the kernel takes in one `write(2)`: a line for each range, ended by a newline.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * 16);
        for range in &self.0 {
            let written = writeln!(text, "{} {} {}", range.container_id, range.host_id, range.size);
            debug_assert!(written.is_ok(), "a String takes every write");
        }
        text
    }
}

/// A decimal number without sign, space or leading zero (which shadow-utils would read as octal).
pub(crate) fn decimal(text: &str) -> Option<u32> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}

fn push_spans(ranges: &mut Vec<IdMapping>, from: u32, spans: &[Span], limit: u32) {
    let (mut next, mut left) = (from, limit);
    for span in spans {
        let size = span.count.min(left).min(u32::MAX - next);
        if size == 0 {
            continue;
        }
        ranges.push(IdMapping { container_id: next, host_id: span.start, size });
        next += size;
        left -= size;
    }
}

fn first_overlap(ranges: &[IdMapping], start: impl Fn(&IdMapping) -> u32) -> Option<u32> {
    if ranges.len() < 2 {
        return None;
    }
    let mut sorted: Vec<(u32, u32)> = ranges.iter().map(|range| (start(range), range.size)).collect();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0).map(|pair| pair[1].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(rows: &[(u32, u32, u32)]) -> Vec<IdMapping> {
        rows.iter().map(|&(container_id, host_id, size)| IdMapping { container_id, host_id, size }).collect()
    }

    #[test]
    fn bad_maps_cannot_be_made() {
        let check = |rows: &[(u32, u32, u32)], expected: &str| {
            let error = Map::new(ranges(rows)).expect_err(expected).to_string();
            assert!(error.contains(expected), "{rows:?}: {error}");
        };
        check(&[], "empty");
        check(&[(0, 1, 0)], "size 0");
        check(&[(u32::MAX, 0, 1)], "past the last id");
        check(&[(0, u32::MAX, 1)], "past the last id");
        check(&[(2, 0, u32::MAX)], "past the last id");
        check(&[(0, 100, 10), (9, 200, 1)], "container id `9` twice");
        check(&[(0, 100, 10), (20, 109, 1)], "host id `109` twice");
        check(&[(20, 105, 1), (0, 100, 10)], "host id `105` twice");
        let many: Vec<_> = (0..341).map(|id| (id, id, 1)).collect();
        check(&many, "341 ranges");
        let wide: Vec<_> = (0..340).map(|id| (4_000_000_000 + id, 4_100_000_000 + id, 1)).collect();
        check(&wide, "bytes long");
    }

    #[test]
    fn good_maps_translate_both_ways() {
        let map = Map::new(ranges(&[(0, 1000, 1), (1, 100_000, 65_536)])).unwrap();
        for (inside, outside) in
            [(0, Some(1000)), (1, Some(100_000)), (65_536, Some(165_535)), (65_537, None), (u32::MAX, None)]
        {
            assert_eq!(map.to_host(inside), outside);
            if let Some(outside) = outside {
                assert_eq!(map.to_container(outside), Some(inside));
            }
        }
        assert_eq!(map.to_container(999), None);
        assert_eq!(map.count(), 65_537);
        assert_eq!(map.render(), "0 1000 1\n1 100000 65536\n");
        assert_eq!(Map::parse(&map.render()).unwrap(), map);
        assert_eq!(Map::parse("         0          0 4294967295\n").unwrap().count(), 4_294_967_295);
        let most: Vec<_> = (0..340).map(|id| (id, id, 1)).collect();
        assert!(Map::new(ranges(&most)).unwrap().render().len() <= MAX_TEXT);
    }

    #[test]
    fn text_of_other_shapes_is_refused() {
        for text in ["", "0 0", "0 0 1 2", "0 0 -1", "0 0 +1", "0x0 0 1", "00 0 1", "0 0 4294967296", "a b c"]
        {
            assert!(Map::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rootless_and_keep_id() {
        let spans = [Span { start: 100_000, count: 1000 }, Span { start: 300_000, count: 1000 }];
        let check = |map: Map, expected: &[(u32, u32, u32)]| assert_eq!(map.ranges(), ranges(expected));
        check(
            Map::rootless(1000, &spans, u32::MAX).unwrap(),
            &[(0, 1000, 1), (1, 100_000, 1000), (1001, 300_000, 1000)],
        );
        check(Map::rootless(1000, &spans, 11).unwrap(), &[(0, 1000, 1), (1, 100_000, 10)]);
        check(Map::rootless(1000, &[], 65_536).unwrap(), &[(0, 1000, 1)]);
        assert!(Map::rootless(100_005, &spans, u32::MAX).is_err());
        check(
            Map::keep_id(1500, 1500, &spans, u32::MAX).unwrap(),
            &[(0, 100_000, 1000), (1000, 300_000, 500), (1500, 1500, 1), (1501, 300_500, 500)],
        );
        check(
            Map::keep_id(1000, 5000, &spans, u32::MAX).unwrap(),
            &[(0, 100_000, 1000), (1000, 300_000, 1000), (5000, 1000, 1)],
        );
        check(Map::keep_id(7, 0, &[], u32::MAX).unwrap(), &[(0, 7, 1)]);
        check(Map::keep_id(7, 2, &spans, 6).unwrap(), &[(0, 100_000, 2), (2, 7, 1), (3, 100_002, 3)]);
    }
}
