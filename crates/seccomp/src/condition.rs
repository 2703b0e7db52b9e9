//! Conditions on call arguments, reduced to intervals and masks.

use std::cmp::Ordering;

use oci::runtime::SeccompArg;

use crate::arch::Arch;
use crate::error::Error;

/// Arguments of a system call.
const ARGUMENTS: u32 = 6;

/// What must hold for an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    /// `low <= argument <= high`.
    Inside { low: u64, high: u64 },
    /// Every value but this one.
    Not { value: u64 },
    /// `argument & mask == value`; `value` has no bit outside `mask`, `mask` is not 0.
    Masked { mask: u64, value: u64 },
}

/// A test of one argument, with its place in the order of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Condition {
    pub(crate) index: u8,
    pub(crate) test: Test,
    rank: Rank,
}

/// How specific an operator is; libseccomp looks at the specific ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Above(u64),
    Below(u64),
    Exact(u64),
}

/// What a condition of a profile comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Must be tested.
    Condition(Condition),
    /// Holds for every argument: a mask without bits.
    Always,
    /// Holds for none, such as "less than 0".
    Never,
}

impl Condition {
    /// A plain equality, for conditions we make ourselves.
    pub(crate) const fn equal(index: u8, value: u64) -> Self {
        Self { index, test: Test::Inside { low: value, high: value }, rank: Rank::Exact(value) }
    }

    /// Equality under a mask, for conditions we make ourselves.
    pub(crate) const fn masked(index: u8, mask: u64, value: u64) -> Self {
        Self { index, test: Test::Masked { mask, value }, rank: Rank::Exact(value) }
    }

    /// Reads a condition for one ABI; where arguments are 32 bits wide, values and masks are cut.
    pub(crate) fn parse(arg: &SeccompArg, call: &str, arch: Arch) -> Result<Parsed, Error> {
        let index = u8::try_from(arg.index)
            .ok()
            .filter(|_| arg.index < ARGUMENTS)
            .ok_or_else(|| Error::ArgumentIndex { index: arg.index, call: call.to_owned() })?;
        let top = if arch.is_wide() { u64::MAX } else { u64::from(u32::MAX) };
        let value = arg.value & top;
        let inside =
            |low, high, rank| Parsed::Condition(Self { index, test: Test::Inside { low, high }, rank });
        Ok(match arg.op.as_str() {
            "SCMP_CMP_EQ" => inside(value, value, Rank::Exact(value)),
            "SCMP_CMP_NE" => {
                Parsed::Condition(Self { index, test: Test::Not { value }, rank: Rank::Exact(value) })
            }
            "SCMP_CMP_LE" => inside(0, value, Rank::Below(value)),
            "SCMP_CMP_LT" => match value.checked_sub(1) {
                Some(high) => inside(0, high, Rank::Below(value)),
                None => Parsed::Never,
            },
            "SCMP_CMP_GE" => inside(value, top, Rank::Above(value)),
            "SCMP_CMP_GT" if value == top => Parsed::Never,
            "SCMP_CMP_GT" => inside(value + 1, top, Rank::Above(value)),
            // libseccomp drops the value's bits outside the mask; so do we.
            "SCMP_CMP_MASKED_EQ" if value == 0 => Parsed::Always,
            "SCMP_CMP_MASKED_EQ" if value == top => {
                let wanted = arg.value_two & top;
                inside(wanted, wanted, Rank::Exact(wanted))
            }
            "SCMP_CMP_MASKED_EQ" => Parsed::Condition(Self::masked(index, value, arg.value_two & value)),
            _ => {
                let (name, call) = (arg.op.clone(), call.to_owned());
                return Err(Error::UnknownOperator { name, call });
            }
        })
    }

    /// libseccomp's order of looking: higher arguments first, then equality before "less" before
    /// "greater", then larger values first (smaller ones first for "less").
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        other.index.cmp(&self.index).then_with(|| match (self.rank, other.rank) {
            (Rank::Below(mine), Rank::Below(theirs)) => mine.cmp(&theirs),
            (mine, theirs) => theirs.cmp(&mine),
        })
    }

    /// Whether it asks for the same thing, however it was written.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.index == other.index && self.test == other.test
    }
}

impl Test {
    /// Where the answer of an interval test changes: first values of its parts, except 0.
    pub(crate) fn cuts(self, into: &mut Vec<u64>) {
        let (low, high) = match self {
            Self::Inside { low, high } => (low, high),
            Self::Not { value } => (value, value),
            Self::Masked { .. } => return,
        };
        into.extend([Some(low), high.checked_add(1)].into_iter().flatten().filter(|cut| *cut != 0));
    }

    /// Whether an argument passes.
    pub(crate) const fn holds(self, argument: u64) -> bool {
        match self {
            Self::Inside { low, high } => low <= argument && argument <= high,
            Self::Not { value } => argument != value,
            Self::Masked { mask, value } => argument & mask == value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(op: &str, value: u64, value_two: u64, arch: Arch) -> Parsed {
        let arg = SeccompArg { index: 1, value, value_two, op: op.to_owned() };
        Condition::parse(&arg, "ioctl", arch).unwrap()
    }

    #[test]
    fn operators_mean_what_they_say() {
        const HIGH: u64 = 1 << 40;
        type Row<'a> = (&'a str, u64, u64, &'a [u64], &'a [u64]);
        let rows: [Row<'_>; 7] = [
            ("SCMP_CMP_EQ", 5, 0, &[5], &[4, 6, HIGH | 5]),
            ("SCMP_CMP_NE", 5, 0, &[4, 6, HIGH | 5], &[5]),
            ("SCMP_CMP_LT", 5, 0, &[0, 4], &[5, HIGH]),
            ("SCMP_CMP_LE", 5, 0, &[0, 5], &[6, HIGH]),
            ("SCMP_CMP_GT", 5, 0, &[6, u64::MAX], &[0, 5]),
            ("SCMP_CMP_GE", 5, 0, &[5, u64::MAX], &[4]),
            ("SCMP_CMP_MASKED_EQ", 0xf0, 0x2f, &[0x20, HIGH | 0x2f], &[0x30, 0]),
        ];
        for (op, value, two, pass, fail) in rows {
            let Parsed::Condition(condition) = parse(op, value, two, Arch::X86_64) else {
                panic!("{op}");
            };
            assert!(pass.iter().all(|argument| condition.test.holds(*argument)), "{op}");
            assert!(!fail.iter().any(|argument| condition.test.holds(*argument)), "{op}");
        }
    }

    #[test]
    fn degenerate_conditions() {
        assert_eq!(parse("SCMP_CMP_LT", 0, 0, Arch::X86_64), Parsed::Never);
        assert_eq!(parse("SCMP_CMP_GT", u64::MAX, 0, Arch::X86_64), Parsed::Never);
        assert_eq!(parse("SCMP_CMP_MASKED_EQ", 0, 7, Arch::X86_64), Parsed::Always);
        assert_eq!(parse("SCMP_CMP_MASKED_EQ", 1 << 40, 0, Arch::X86), Parsed::Always);
        assert_eq!(
            parse("SCMP_CMP_EQ", u64::MAX, 0, Arch::X86),
            Parsed::Condition(Condition::equal(1, 0xffff_ffff))
        );
    }

    #[test]
    fn bad_conditions_are_errors() {
        for (index, op) in [(6, "SCMP_CMP_EQ"), (u32::MAX, "SCMP_CMP_EQ"), (0, "SCMP_CMP_eq"), (0, "")] {
            let arg = SeccompArg { index, op: op.to_owned(), ..SeccompArg::default() };
            assert!(Condition::parse(&arg, "read", Arch::X86_64).is_err(), "{index} {op}");
        }
    }
}
