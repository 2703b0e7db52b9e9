//! Rules to eBPF, the last rule first: the first match of each bit decides.
//!
//! Register 3 holds the accesses still to be decided. An allowing rule takes its bits out and ends the
//! program when none is left; a denying one ends it when it names a bit that is left.

use sys::bpf::Instruction;

use super::{Rule, Type};

/// `linux/bpf.h`: instruction classes, sizes, operations.
const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbf;
const MOVE: u8 = 0xb7;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP: u8 = 0x05;
const JUMP_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_SET: u8 = 0x46;
const EXIT: u8 = 0x95;

/// Registers: the result, the context, and what is loaded from it.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
const BLOCK: i32 = 1;
const CHAR: i32 = 2;

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

/// Compiles rules; the result has at most 7 + 8 instructions a rule.
pub(crate) fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor; all 32 bits.
        instruction(LOAD_WORD, TYPE, CONTEXT, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, TYPE, 0, 0),
        instruction(AND, TYPE, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        if rule.is_total() {
            // Whatever is left is decided here; the verifier refuses code that cannot be reached.
            end(&mut program, rule.allow);
            return program;
        }
        let verdict = verdict(rule);
        let mut tests = Vec::with_capacity(3);
        let kind = rule.kind.map(|kind| if kind == Type::Block { BLOCK } else { CHAR });
        tests.extend(kind.map(|kind| (TYPE, kind)));
        tests.extend(rule.major.map(|major| (MAJOR, major.cast_signed())));
        tests.extend(rule.minor.map(|minor| (MINOR, minor.cast_signed())));
        for (index, (register, value)) in tests.iter().enumerate() {
            let skip = i16::try_from(tests.len() - index - 1 + verdict.len()).unwrap_or(i16::MAX);
            program.push(instruction(JUMP_NOT_EQUAL, *register, 0, skip, *value));
        }
        program.extend(verdict);
    }
    end(&mut program, false);
    program
}

fn verdict(rule: &Rule) -> Vec<Instruction> {
    let access = i32::from(rule.access);
    let mut code = if rule.allow {
        vec![instruction(AND, ACCESS, 0, 0, !access & 0x7), instruction(JUMP_NOT_EQUAL, ACCESS, 0, 2, 0)]
    } else {
        vec![instruction(JUMP_IF_SET, ACCESS, 0, 1, access), instruction(JUMP, 0, 0, 2, 0)]
    };
    end(&mut code, rule.allow);
    code
}

fn end(program: &mut Vec<Instruction>, allow: bool) {
    program.push(instruction(MOVE, RESULT, 0, 0, i32::from(allow)));
    program.push(instruction(EXIT, 0, 0, 0, 0));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::rules;
    use super::super::{decide, parse};
    use super::*;

    /// Runs a program on a context; `None` for what the verifier would refuse.
    fn run(program: &[Instruction], context: [u32; 3]) -> Option<u64> {
        let mut registers = [None::<u64>; 11];
        let mut at = 0_usize;
        loop {
            let Instruction { code, registers: both, offset, immediate } = *program.get(at)?;
            let (to, from) = (usize::from(both & 0xf), usize::from(both >> 4));
            let low = |value: Option<u64>| value.map(|value| value & 0xffff_ffff);
            let constant = u64::from(immediate.cast_unsigned());
            at += 1;
            let jump = match code {
                LOAD_WORD => {
                    assert_eq!(from, usize::from(CONTEXT));
                    registers[to] = Some(u64::from(*context.get(usize::try_from(offset).ok()? / 4)?));
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = Some(registers[from]?);
                    false
                }
                MOVE => {
                    registers[to] = Some(i64::from(immediate).cast_unsigned());
                    false
                }
                AND => {
                    registers[to] = Some(low(registers[to])? & constant);
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] = Some(registers[to]? >> immediate);
                    false
                }
                JUMP => true,
                JUMP_NOT_EQUAL => low(registers[to])? != constant,
                JUMP_IF_SET => low(registers[to])? & constant != 0,
                EXIT => return registers[usize::from(RESULT)],
                _ => return None,
            };
            if jump {
                at = at.checked_add_signed(isize::from(offset))?;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn programs_decide_like_the_rules(rules in rules()) {
            let program = compile(&rules);
            for kind in [Type::Block, Type::Char] {
                for (major, minor) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).chain([(u32::MAX, 1), (1, u32::MAX)]) {
                    for access in 1..=7_u8 {
                        let number = if kind == Type::Block { 1 } else { 2 };
                        let context = [u32::from(access) << 16 | number, major, minor];
                        let expected = decide(&rules, kind, major, minor, access);
                        prop_assert_eq!(run(&program, context), Some(u64::from(expected)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_total_rule_ends_the_program() {
        let rules = parse(
            &serde_json::from_str::<Vec<_>>(
                r#"[{"allow":false},{"allow":true,"type":"c","major":1,"minor":3}]"#,
            )
            .unwrap(),
        );
        let program = compile(&rules.unwrap());
        assert_eq!(program.len(), 6 + 3 + 4 + 2);
        assert_eq!(compile(&[]).len(), 8);
    }
}
