//! From decisions to BPF: a search over architectures, call numbers, then argument values.

use std::collections::BTreeMap;

use sys::seccomp::{Instruction, RET_KILL_PROCESS};

use crate::arch::{Arch, X32_BIT};
use crate::assemble::{Assembler, Place, code};
use crate::condition::{Condition, Test};
use crate::error::Error;
use crate::policy::{Policy, Rule};

/// `seccomp_data.nr` and `seccomp_data.arch`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// A tracer that skips a call sets its number to -1; that is no x32 call.
const SKIPPED: u32 = u32::MAX;
/// The mask of conditions on what the kernel reads of an `int` argument.
const LOWER: u64 = 0xffff_ffff;
/// Argument trees with more instructions are written as a plain list of tests instead.
const TREE_LIMIT: usize = 256;
/// So are those that take more steps to find out, since rules over many arguments can multiply.
const STEP_LIMIT: usize = 4096;

/// Writes the program; `policies` is native first, `foreign` the answer for any other ABI.
pub(crate) fn generate(policies: &[Policy], foreign: u32) -> Result<Vec<Instruction>, Error> {
    let mut asm = Assembler::default();
    let mut place = asm.answer(foreign);
    let x32 = policies.iter().find(|policy| policy.arch == Arch::X32);
    // The last one written stands first: native calls take the shortest way.
    for policy in policies.iter().rev() {
        let section = match policy.arch {
            Arch::X32 if policies.iter().any(|other| other.arch == Arch::X86_64) => continue,
            Arch::X32 => {
                let upper = numbers(&mut asm, policy);
                let lower = asm.answer(foreign);
                asm.branch(code::GREATER_EQUAL, X32_BIT, upper, lower)
            }
            Arch::X86_64 => {
                let upper = if let Some(x32) = x32 {
                    numbers(&mut asm, x32)
                } else {
                    let (skipped, refused) = (asm.answer(policy.default), asm.answer(foreign));
                    asm.branch(code::EQUAL, SKIPPED, skipped, refused)
                };
                let lower = numbers(&mut asm, policy);
                asm.branch(code::GREATER_EQUAL, X32_BIT, upper, lower)
            }
            _ => numbers(&mut asm, policy),
        };
        let section = asm.load(NUMBER, section);
        place = asm.branch(code::EQUAL, policy.arch.audit(), section, place);
    }
    let start = asm.load(ARCH, place);
    asm.finish(start)
}

/// The search over one ABI's numbers, with the number loaded.
fn numbers(asm: &mut Assembler, policy: &Policy) -> Place {
    let default = asm.answer(policy.default);
    let mut arguments = Arguments::new(policy.arch.is_wide(), default);
    let mut parts = vec![(0, default)];
    for (number, rules) in &policy.calls {
        let decision = arguments.decide(asm, rules);
        parts.push((*number, decision));
        parts.push((number + 1, default));
    }
    if let Some((newest, above)) = policy.newest {
        let above = asm.answer(above);
        raise(&mut parts, newest + 1, policy.arch.ordinary_end(), (default, above));
    }
    search(asm, &ranges(parts))
}

/// Replaces the default from `first` on, up to the private calls that some ABI has far above.
fn raise(parts: &mut Vec<(u32, Place)>, first: u32, end: Option<u32>, (default, above): (Place, Place)) {
    if default == above {
        return;
    }
    let at = parts.partition_point(|(start, _)| *start < first);
    parts.insert(at, (first, above));
    // A rule at `newest` ends there: that end must not bring the default back.
    parts.retain(|part| *part != (first, default));
    if let Some(end) = end {
        let at = parts.partition_point(|(start, _)| *start < end);
        parts.insert(at, (end, default));
    }
}

/// Sorted ranges by first number: of equal starts the last counts, equal neighbours are one.
fn ranges<Start: Copy + PartialEq>(parts: Vec<(Start, Place)>) -> Vec<(Start, Place)> {
    let mut ranges: Vec<(Start, Place)> = Vec::with_capacity(parts.len());
    for (start, place) in parts {
        if ranges.last().is_some_and(|last| last.0 == start) {
            ranges.pop();
        }
        if ranges.last().is_none_or(|last| last.1 != place) {
            ranges.push((start, place));
        }
    }
    ranges
}

/// A balanced search over ranges that cover all values from the first start on.
fn search(asm: &mut Assembler, ranges: &[(u32, Place)]) -> Place {
    match ranges {
        [] => asm.answer(RET_KILL_PROCESS),
        [(_, only)] => *only,
        [(_, below), (first, at), (next, above)] if below == above && *next == first + 1 => {
            asm.branch(code::EQUAL, *first, *at, *below)
        }
        _ => {
            let (lower, upper) = ranges.split_at(ranges.len() / 2);
            let pivot = upper[0].0;
            let upper = search(asm, upper);
            let lower = search(asm, lower);
            asm.branch(code::GREATER_EQUAL, pivot, upper, lower)
        }
    }
}

/// Argument checks of one ABI; the same rules are written once.
struct Arguments {
    wide: bool,
    default: Place,
    known: BTreeMap<Vec<Rule>, Place>,
    steps: usize,
}

impl Arguments {
    const fn new(wide: bool, default: Place) -> Self {
        Self { wide, default, known: BTreeMap::new(), steps: 0 }
    }

    fn decide(&mut self, asm: &mut Assembler, rules: &[Rule]) -> Place {
        if let [Rule { conditions, action }] = rules
            && conditions.is_empty()
        {
            return asm.answer(*action);
        }
        let (saved, known) = (asm.clone(), self.known.len());
        self.steps = 0;
        if rules.len() < TREE_LIMIT
            && let Some(place) = self.tree(asm, rules, asm.len() + TREE_LIMIT)
        {
            return place;
        }
        if self.known.len() != known {
            self.known.clear();
        }
        *asm = saved;
        self.list(asm, rules)
    }

    /// A decision tree: one argument after the other, by search over its interesting values.
    ///
    /// `None` when the program grows past `limit` or the search for it past [`STEP_LIMIT`].
    fn tree(&mut self, asm: &mut Assembler, rules: &[Rule], limit: usize) -> Option<Place> {
        let Some(first) = rules.first() else { return Some(self.default) };
        let Some(condition) = first.conditions.first() else {
            return Some(asm.answer(first.action));
        };
        if let Some(place) = self.known.get(rules) {
            return Some(*place);
        }
        self.steps += 1;
        if self.steps > STEP_LIMIT {
            return None;
        }
        let place = match condition.test {
            Test::Masked { mask: LOWER, .. } => {
                let index = condition.index;
                let word = |other: &Condition| match other.test {
                    Test::Masked { mask: LOWER, value } if other.index == index => Some(value),
                    _ => None,
                };
                let mut cuts = vec![0];
                for value in rules.iter().flat_map(|rule| &rule.conditions).filter_map(word) {
                    cuts.extend([value, value + 1].into_iter().filter(|cut| *cut <= LOWER));
                }
                cuts.sort_unstable();
                cuts.dedup();
                let mut parts = Vec::with_capacity(cuts.len());
                for cut in cuts {
                    let rest = assume(rules, |other| word(other).map(|value| value == cut));
                    parts.push((halves(cut).1, self.tree(asm, &rest, limit)?));
                }
                match ranges(parts).as_slice() {
                    [(_, only)] => *only,
                    parts => {
                        let found = search(asm, parts);
                        asm.load(lower_half(index), found)
                    }
                }
            }
            Test::Masked { mask, value } => {
                let same = |other: &Condition| other.is_same(condition);
                let holds = self.tree(asm, &assume(rules, |other| same(other).then_some(true)), limit)?;
                let fails = self.tree(asm, &assume(rules, |other| same(other).then_some(false)), limit)?;
                self.masked(asm, condition.index, (mask, value), holds, fails)
            }
            Test::Inside { .. } | Test::Not { .. } => {
                let index = condition.index;
                let on_index =
                    |other: &&Condition| other.index == index && !matches!(other.test, Test::Masked { .. });
                let mut cuts = vec![0];
                for other in rules.iter().flat_map(|rule| &rule.conditions).filter(on_index) {
                    other.test.cuts(&mut cuts);
                }
                cuts.sort_unstable();
                cuts.dedup();
                let mut parts = Vec::with_capacity(cuts.len());
                for cut in cuts {
                    let rest = assume(rules, |other| on_index(&other).then(|| other.test.holds(cut)));
                    parts.push((cut, self.tree(asm, &rest, limit)?));
                }
                self.interval(asm, index, &ranges(parts))
            }
        };
        if asm.len() > limit {
            return None;
        }
        self.known.insert(rules.to_vec(), place);
        Some(place)
    }

    /// One rule after the other, one condition after the other.
    fn list(&self, asm: &mut Assembler, rules: &[Rule]) -> Place {
        let mut next = self.default;
        for rule in rules.iter().rev() {
            let fails = next;
            next = asm.answer(rule.action);
            for condition in rule.conditions.iter().rev() {
                next = match condition.test {
                    Test::Masked { mask, value } => {
                        self.masked(asm, condition.index, (mask, value), next, fails)
                    }
                    test => {
                        let mut cuts = vec![0];
                        test.cuts(&mut cuts);
                        cuts.sort_unstable();
                        cuts.dedup();
                        let pick = |cut| (cut, if test.holds(cut) { next } else { fails });
                        let parts = cuts.into_iter().map(pick).collect();
                        self.interval(asm, condition.index, &ranges(parts))
                    }
                };
            }
        }
        next
    }

    /// Searches a 64-bit argument: its upper half first, then the lower half where that matters.
    fn interval(&self, asm: &mut Assembler, index: u8, parts: &[(u64, Place)]) -> Place {
        if let [(_, only)] = parts {
            return *only;
        }
        let mut cells: Vec<(u32, Place)> = Vec::new();
        let mut rest = parts;
        let mut before = self.default;
        while let Some((start, _)) = rest.first() {
            let (upper, _) = halves(*start);
            let split = rest.partition_point(|(start, _)| halves(*start).0 == upper);
            let (here, later) = rest.split_at(split);
            let mut lower = vec![(0, before)];
            lower.extend(here.iter().map(|(start, place)| (halves(*start).1, *place)));
            let lower = ranges(lower);
            before = here.last().map_or(before, |last| last.1);
            let cell = if let [(_, only)] = lower.as_slice() {
                *only
            } else {
                let found = search(asm, &lower);
                asm.load(lower_half(index), found)
            };
            cells.push((upper, cell));
            if let Some(next) = upper.checked_add(1) {
                cells.push((next, before));
            }
            rest = later;
        }
        if !self.wide {
            return cells.first().map_or(self.default, |cell| cell.1);
        }
        let cells = ranges(cells);
        if let [(_, only)] = cells.as_slice() {
            return *only;
        }
        let found = search(asm, &cells);
        asm.load(upper_half(index), found)
    }

    /// Tests `argument & mask == value`, skipping the halves that the mask does not touch.
    fn masked(
        &self,
        asm: &mut Assembler,
        index: u8,
        (mask, value): (u64, u64),
        holds: Place,
        fails: Place,
    ) -> Place {
        let (upper_mask, lower_mask) = halves(mask);
        let (upper_value, lower_value) = halves(value);
        let mut place = holds;
        if lower_mask != 0 {
            place = masked_word(asm, lower_half(index), (lower_mask, lower_value), place, fails);
        }
        if self.wide && upper_mask != 0 {
            place = masked_word(asm, upper_half(index), (upper_mask, upper_value), place, fails);
        }
        place
    }
}

fn masked_word(
    asm: &mut Assembler,
    offset: u32,
    (mask, value): (u32, u32),
    holds: Place,
    fails: Place,
) -> Place {
    if holds == fails {
        return holds;
    }
    let test = if mask == u32::MAX {
        asm.branch(code::EQUAL, value, holds, fails)
    } else if value == 0 {
        asm.branch(code::ANY_BIT, mask, fails, holds)
    } else if value == mask && mask.is_power_of_two() {
        asm.branch(code::ANY_BIT, mask, holds, fails)
    } else {
        let compared = asm.branch(code::EQUAL, value, holds, fails);
        asm.keep_bits(mask, compared)
    };
    asm.load(offset, test)
}

/// The rules that remain when some conditions are known to hold (`Some(true)`) or to fail.
fn assume(rules: &[Rule], known: impl Fn(&Condition) -> Option<bool>) -> Vec<Rule> {
    let mut rest = Vec::with_capacity(rules.len());
    for rule in rules {
        if rule.conditions.iter().any(|condition| known(condition) == Some(false)) {
            continue;
        }
        let conditions: Vec<Condition> =
            rule.conditions.iter().filter(|condition| known(condition).is_none()).copied().collect();
        let last = conditions.is_empty();
        rest.push(Rule { conditions, action: rule.action });
        if last {
            break;
        }
    }
    rest
}

fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Offset of an argument's lower half in `seccomp_data`, on the little-endian machines we know.
const fn lower_half(index: u8) -> u32 {
    16 + 8 * index as u32
}

const fn upper_half(index: u8) -> u32 {
    lower_half(index) + 4
}
