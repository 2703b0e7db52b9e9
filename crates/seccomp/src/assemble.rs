//! Classic BPF written backwards, so that every jump's target is already placed.

use std::collections::BTreeMap;

use sys::seccomp::{Instruction, MAX_INSTRUCTIONS};

use crate::error::Error;

/// Operation codes of classic BPF (linux/bpf_common.h), the few that filters need.
pub(crate) mod code {
    pub(crate) const LOAD: u16 = 0x20;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const JUMP: u16 = 0x05;
    pub(crate) const EQUAL: u16 = 0x15;
    pub(crate) const GREATER_EQUAL: u16 = 0x35;
    pub(crate) const ANY_BIT: u16 = 0x45;
    pub(crate) const RETURN: u16 = 0x06;
}

/// A conditional jump skips at most 255 instructions; two may still be put in between.
const REACH: usize = 253;

/// An instruction already written, counted from the program's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(usize);

/// A program under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assembler {
    reversed: Vec<Instruction>,
    returns: BTreeMap<u32, Place>,
    /// For targets out of reach: their latest copy or stepping stone.
    nearer: BTreeMap<Place, Place>,
}

impl Assembler {
    /// Answers with a value.
    pub(crate) fn answer(&mut self, value: u32) -> Place {
        if let Some(place) = self.returns.get(&value) {
            return *place;
        }
        let place = self.push(Instruction { code: code::RETURN, jt: 0, jf: 0, k: value });
        self.returns.insert(value, place);
        place
    }

    /// Tests the accumulator and goes on at one of two places.
    pub(crate) fn branch(&mut self, test: u16, k: u32, holds: Place, fails: Place) -> Place {
        if holds == fails {
            return holds;
        }
        let holds = self.within_reach(holds);
        let fails = self.within_reach(fails);
        let (jt, jf) = (self.skip(holds), self.skip(fails));
        self.push(Instruction { code: test, jt, jf, k })
    }

    /// Loads a word of `struct seccomp_data` and goes on.
    pub(crate) fn load(&mut self, offset: u32, next: Place) -> Place {
        self.fall_to(next);
        self.push(Instruction { code: code::LOAD, jt: 0, jf: 0, k: offset })
    }

    /// Keeps only the accumulator's bits in `mask` and goes on.
    pub(crate) fn keep_bits(&mut self, mask: u32, next: Place) -> Place {
        self.fall_to(next);
        self.push(Instruction { code: code::AND, jt: 0, jf: 0, k: mask })
    }

    /// The finished program, which begins at the place written last.
    pub(crate) fn finish(mut self, start: Place) -> Result<Vec<Instruction>, Error> {
        self.fall_to(start);
        let length = self.reversed.len();
        if length > MAX_INSTRUCTIONS {
            return Err(Error::TooLong { length, limit: MAX_INSTRUCTIONS });
        }
        self.reversed.reverse();
        Ok(self.reversed)
    }

    /// Instructions so far.
    pub(crate) fn len(&self) -> usize {
        self.reversed.len()
    }

    fn push(&mut self, instruction: Instruction) -> Place {
        self.reversed.push(instruction);
        Place(self.reversed.len() - 1)
    }

    /// Makes `next` what follows the instruction about to be written.
    fn fall_to(&mut self, next: Place) {
        let distance = self.distance(next);
        if distance > 0 {
            self.jump(next);
        }
    }

    fn jump(&mut self, target: Place) -> Place {
        let distance = self.distance(target);
        match self.reversed.get(target.0) {
            Some(answer) if answer.code == code::RETURN => self.push(*answer),
            _ => {
                // Far beyond the kernel's length limit, which `finish` reports.
                let k = u32::try_from(distance).unwrap_or(u32::MAX);
                self.push(Instruction { code: code::JUMP, jt: 0, jf: 0, k })
            }
        }
    }

    /// A place that does the same as `target` and that a conditional jump can reach.
    fn within_reach(&mut self, target: Place) -> Place {
        let nearest = self.nearer.get(&target).copied().unwrap_or(target);
        if self.distance(nearest) <= REACH {
            return nearest;
        }
        let stone = self.jump(target);
        self.nearer.insert(target, stone);
        stone
    }

    /// Instructions between the one about to be written and `target`.
    fn distance(&self, target: Place) -> usize {
        self.reversed.len() - target.0 - 1
    }

    fn skip(&self, target: Place) -> u8 {
        u8::try_from(self.distance(target)).expect("within_reach keeps targets under 256")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulate::{Data, Program};

    #[test]
    fn far_targets_are_reached_by_stepping_stones() {
        let mut asm = Assembler::default();
        let yes = asm.answer(1);
        let no = asm.answer(2);
        let mut place = no;
        for number in (0..1500_u32).rev() {
            let odd = if number % 2 == 1 { yes } else { no };
            place = if odd == place { place } else { asm.branch(code::EQUAL, number, odd, place) };
        }
        let start = asm.load(0, place);
        let instructions = asm.finish(start).unwrap();
        let program = Program::check(&instructions).unwrap();
        for number in 0..1600 {
            let expected = if number % 2 == 1 && number < 1500 { 1 } else { 2 };
            assert_eq!(program.run(&Data { number, ..Data::default() }), expected, "{number}");
        }
    }

    #[test]
    fn too_long_is_an_error() {
        let mut asm = Assembler::default();
        let yes = asm.answer(1);
        let mut place = asm.answer(2);
        for number in 0..5000 {
            place = asm.branch(code::EQUAL, number, yes, place);
        }
        assert!(matches!(asm.finish(place), Err(Error::TooLong { limit: 4096, .. })));
    }
}
