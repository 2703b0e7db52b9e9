//! Call numbers by name, one generated file per architecture.

mod aarch64;
mod arm;
mod riscv64;
mod x32;
mod x86;
mod x86_64;

use crate::arch::Arch;

/// The calls of one ABI, sorted by name, without a pointer for each.
///
/// The loader writes every pointer of a position-independent program anew, so that each process would hold rows of
/// `&str` as its own: 15 pages for each process beside a container.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// All names, one after the other.
    names: &'static str,
    /// Where each name ends.
    ends: &'static [u16],
    numbers: &'static [u32],
}

impl Calls {
    /// How many calls there are.
    #[must_use]
    pub const fn count(self) -> usize {
        self.numbers.len()
    }

    /// (name, number), by name.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, u32)> {
        (0..self.count()).filter_map(move |index| Some((self.name(index)?, *self.numbers.get(index)?)))
    }

    /// The number of a name.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            match self.name(middle)?.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return self.numbers.get(middle).copied(),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn name(self, index: usize) -> Option<&'static str> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.names.get(usize::from(start)..usize::from(*self.ends.get(index)?))
    }
}

type Rows = &'static [(&'static str, u32)];

const fn length(rows: Rows) -> usize {
    let (mut sum, mut row) = (0, 0);
    while row < rows.len() {
        sum += rows[row].0.len();
        row += 1;
    }
    sum
}

const fn names<const N: usize>(rows: Rows) -> [u8; N] {
    let (mut bytes, mut at, mut row) = ([0; N], 0, 0);
    while row < rows.len() {
        let name = rows[row].0.as_bytes();
        let mut index = 0;
        while index < name.len() {
            bytes[at] = name[index];
            at += 1;
            index += 1;
        }
        row += 1;
    }
    bytes
}

#[expect(clippy::cast_possible_truncation, reason = "asserted, when it is compiled")]
const fn ends<const N: usize>(rows: Rows) -> [u16; N] {
    let (mut ends, mut sum, mut row) = ([0; N], 0, 0);
    while row < N {
        sum += rows[row].0.len();
        assert!(sum <= u16::MAX as usize, "names of one ABI have at most 64 KiB");
        ends[row] = sum as u16;
        row += 1;
    }
    ends
}

const fn numbers<const N: usize>(rows: Rows) -> [u32; N] {
    let (mut numbers, mut row) = ([0; N], 0);
    while row < N {
        numbers[row] = rows[row].1;
        row += 1;
    }
    numbers
}

macro_rules! packed {
    ($name:ident, $module:ident) => {
        static $name: Calls = {
            const ROWS: Rows = $module::CALLS;
            const NAMES: [u8; length(ROWS)] = names(ROWS);
            let names = match std::str::from_utf8(&NAMES) {
                Ok(text) => text,
                Err(_) => panic!("names are UTF-8"),
            };
            Calls {
                names,
                ends: &const { ends::<{ ROWS.len() }>(ROWS) },
                numbers: &const { numbers::<{ ROWS.len() }>(ROWS) },
            }
        };
    };
}

packed!(X86_64, x86_64);
packed!(X86, x86);
packed!(X32, x32);
packed!(AARCH64, aarch64);
packed!(ARM, arm);
packed!(RISCV64, riscv64);

pub(crate) fn calls(arch: Arch) -> Calls {
    *match arch {
        Arch::X86_64 => &X86_64,
        Arch::X86 => &X86,
        Arch::X32 => &X32,
        Arch::Aarch64 => &AARCH64,
        Arch::Arm => &ARM,
        Arch::Riscv64 => &RISCV64,
    }
}
