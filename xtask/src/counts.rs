//! Adds up what the test programs report.

use std::collections::BTreeMap;

/// How many passed, failed and were skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Counts {
    /// Counts one check of the house.
    pub(crate) fn check(&mut self, has_passed: bool) {
        if has_passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Adds what one line of a test program's output says, if it is a summary: nextest's
    /// `Summary [ 0.1s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped` or
    /// libtest's `test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; ...` or, of a program without a harness,
    /// `store: 4 tests ran`.
    ///
    /// What a test program itself calls ignored or skipped is no test: it is the child of one, or filtered out here. A test
    /// that cannot run here says so by `needs!`.
    ///
    /// nextest shows what a failed test printed, its `test result:` too: indented, which libtest's own never is.
    pub(crate) fn add_line(&mut self, line: &str) {
        let line = plain(line);
        if line.starts_with(char::is_whitespace) && line.trim_start().starts_with("test result: ") {
            return;
        }
        let line = line.trim();
        if let Some(ran) =
            line.strip_suffix(" tests ran").and_then(|line| line.split_once(": ")?.1.parse::<u32>().ok())
        {
            self.passed += ran;
        }
        let Some(summary) = line.strip_prefix("test result: ").or_else(|| {
            line.strip_prefix("Summary [").and_then(|rest| rest.split_once(" run: ")).map(|(_, rest)| rest)
        }) else {
            return;
        };
        for part in summary.split([',', ';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) =
                (words.next().and_then(|word| word.parse::<u32>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" | "timed" => self.failed += number,
                _ => {}
            }
        }
    }

    /// Moves the tests that said `skipped:` and returned, which every test program counts as passed.
    pub(crate) fn move_skipped(&mut self, skips: &str) -> BTreeMap<String, u32> {
        let mut needs = BTreeMap::new();
        for line in skips.lines().filter(|line| line.starts_with("skipped: ")) {
            let need = line.split_once(": needs ").map_or("an unnamed need", |(_, need)| need);
            *needs.entry(need.to_owned()).or_insert(0) += 1;
            self.skipped += 1;
            self.passed = self.passed.saturating_sub(1);
        }
        needs
    }
}

/// The line without its terminal colours.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        for (line, passed, failed, skipped) in [
            ("     Summary [   0.013s] 10 tests run: 10 passed, 0 skipped", 10, 0, 0),
            (
                "     Summary [  90.1s] 5/9 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped",
                3,
                2,
                0,
            ),
            ("\u{1b}[32;1m     Summary\u{1b}[0m [   0.013s] 2 tests run: 2 passed, 0 skipped", 2, 0, 0),
            (
                "test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                4,
                0,
                0,
            ),
            ("test result: FAILED. 4 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out", 4, 3, 0),
            ("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out", 0, 0, 0),
            ("store: 12 tests ran", 12, 0, 0),
            ("the summary: 7 passed", 0, 0, 0),
        ] {
            let mut counts = Counts::default();
            counts.add_line(line);
            assert_eq!(counts, Counts { passed, failed, skipped }, "{line}");
        }
    }

    #[test]
    fn skips_are_not_passes() {
        let mut counts = Counts { passed: 3, failed: 0, skipped: 0 };
        let needs = counts.move_skipped("skipped: a::b: needs root\nskipped: a::c: needs root\n");
        assert_eq!(counts, Counts { passed: 1, failed: 0, skipped: 2 });
        assert_eq!(needs.get("root"), Some(&2));
    }
}
