//! Made-up rules of one call: the compiled filter decides as a plain reading of the rules does, and, where a call has one rule, as libseccomp's.

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use seccomp::emulate::{Data, Program};
use seccomp::{Action, Arch, Error, compile};

use crate::input::Numbers;

/// Most bytes of an input.
pub const MAX_LEN: usize = 512;

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];
/// Actions of rules, each with its errno and what it answers.
const ACTIONS: [(&str, Option<u32>, Action); 4] = [
    ("SCMP_ACT_ALLOW", None, Action::Allow),
    ("SCMP_ACT_LOG", None, Action::Log),
    ("SCMP_ACT_ERRNO", Some(13), Action::Errno(13)),
    ("SCMP_ACT_ERRNO", None, Action::Errno(1)),
];
/// `ioctl` of x86-64.
const NUMBER: u32 = 16;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let rules = 1 + numbers.below(5);
    let syscalls: Vec<SeccompRule> = (0..rules).map(|_| rule(&mut numbers)).collect();
    let profile =
        Seccomp { default_action: "SCMP_ACT_TRAP".to_owned(), syscalls, ..Seccomp::default() };
    let program = match compile(&profile, Arch::X86_64) {
        Ok(compiled) => compiled.program,
        Err(Error::Conflict { .. }) => return,
        Err(error) => panic!("{error}: {profile:?}"),
    };
    let program = Program::check(program.instructions()).expect("what we compile passes the checks");
    let theirs = oracle::program(&profile);
    let theirs = theirs.as_deref().map(|list| Program::check(list).expect("libseccomp's program passes the checks"));
    let args: Vec<&SeccompArg> = profile.syscalls.iter().flat_map(|rule| &rule.args).collect();
    for _ in 0..24 {
        let mut arguments: [u64; 6] = std::array::from_fn(|_| numbers.value());
        // Most samples sit at the edge of some condition.
        if !args.is_empty() && numbers.byte() < 224 {
            let arg = args[numbers.below(args.len())];
            let edges = [arg.value, arg.value_two, arg.value.wrapping_sub(1), arg.value.wrapping_add(1), arg.value & arg.value_two];
            arguments[arg.index as usize] = edges[numbers.below(edges.len())] ^ if numbers.byte() < 32 { 1 << 32 } else { 0 };
        }
        let data = Data { number: NUMBER, arch: Arch::X86_64.audit(), instruction_pointer: 0, arguments };
        let actual = Action::decode(program.run(&data));
        let expected = answers(&profile, &arguments);
        assert!(expected.contains(&actual), "{arguments:x?}: {actual:?} not in {expected:?}\n{profile:#x?}");
        if let Some(theirs) = &theirs {
            assert_eq!(actual, Action::decode(theirs.run(&data)), "libseccomp at {arguments:x?}\n{profile:#x?}");
        }
    }
    let other = Data { number: NUMBER + 1, arch: Arch::X86_64.audit(), ..Data::default() };
    assert_eq!(Action::decode(program.run(&other)), Action::Trap);
}

fn rule(numbers: &mut Numbers<'_>) -> SeccompRule {
    let (action, errno_ret, _) = ACTIONS[numbers.below(ACTIONS.len())];
    let conditions = 1 + numbers.below(3);
    let args = (0..conditions).map(|_| {
        let op = OPERATORS[numbers.below(OPERATORS.len())];
        let value = numbers.value();
        SeccompArg {
            index: u32::from(numbers.byte()) % 3,
            // A mask without bits makes a rule unconditional: unit tests have that.
            value: if op == "SCMP_CMP_MASKED_EQ" { value.max(1) } else { value },
            value_two: numbers.value(),
            op: op.to_owned(),
        }
    });
    SeccompRule { names: vec!["ioctl".to_owned()], action: action.to_owned(), errno_ret, args: args.collect() }
}

/// libseccomp's order of operators: equality, then "less", then "greater".
fn class(op: &str) -> u8 {
    match op {
        "SCMP_CMP_LT" | "SCMP_CMP_LE" => 1,
        "SCMP_CMP_GT" | "SCMP_CMP_GE" => 2,
        _ => 0,
    }
}

fn holds(arg: &SeccompArg, arguments: &[u64; 6]) -> bool {
    let argument = arguments[arg.index as usize];
    match arg.op.as_str() {
        "SCMP_CMP_EQ" => argument == arg.value,
        "SCMP_CMP_NE" => argument != arg.value,
        "SCMP_CMP_LT" => argument < arg.value,
        "SCMP_CMP_LE" => argument <= arg.value,
        "SCMP_CMP_GT" => argument > arg.value,
        "SCMP_CMP_GE" => argument >= arg.value,
        _ => argument & arg.value == arg.value_two & arg.value,
    }
}

/// What the rules that hold answer; of the most specific class only, in which the compiler may choose.
fn answers(profile: &Seccomp, arguments: &[u64; 6]) -> Vec<Action> {
    let mut found = Vec::new();
    for rule in &profile.syscalls {
        let answer = ACTIONS.iter().find(|(name, errno, _)| *name == rule.action && *errno == rule.errno_ret);
        let Some((_, _, action)) = answer else { continue };
        let repeated =
            rule.args.iter().enumerate().any(|(at, arg)| rule.args[..at].iter().any(|other| other.index == arg.index));
        // Several conditions on one argument are alternatives (runtime-spec, as runc has it).
        let groups: Vec<&[SeccompArg]> = if repeated { rule.args.chunks(1).collect() } else { vec![&rule.args] };
        for group in groups {
            if group.iter().all(|arg| holds(arg, arguments)) {
                let first = group.iter().min_by_key(|arg| arg.index).expect("a group has a condition");
                found.push(((5 - first.index, class(&first.op)), *action));
            }
        }
    }
    match found.iter().map(|(order, _)| *order).min() {
        Some(first) => found.into_iter().filter(|(order, _)| *order == first).map(|(_, action)| action).collect(),
        None => vec![Action::Trap],
    }
}

#[cfg(not(feature = "oracle"))]
mod oracle {
    pub(super) fn program(_: &oci::runtime::Seccomp) -> Option<Vec<sys::seccomp::Instruction>> {
        None
    }
}

/// libseccomp merges overlapping rules of one call wrongly (2.5.4), so it is asked about one rule only.
#[cfg(feature = "oracle")]
mod oracle {
    use std::io::{Read, Seek};
    use std::os::fd::AsFd;

    use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
    use oci::runtime::{Seccomp, SeccompArg};
    use sys::seccomp::Instruction;

    pub(super) fn program(profile: &Seccomp) -> Option<Vec<Instruction>> {
        let [rule] = profile.syscalls.as_slice() else { return None };
        let repeated =
            rule.args.iter().enumerate().any(|(at, arg)| rule.args[..at].iter().any(|other| other.index == arg.index));
        if repeated {
            return None;
        }
        let mut filter = ScmpFilterContext::new(ScmpAction::Trap).ok()?;
        let action = match (rule.action.as_str(), rule.errno_ret) {
            ("SCMP_ACT_ALLOW", _) => ScmpAction::Allow,
            ("SCMP_ACT_LOG", _) => ScmpAction::Log,
            (_, errno) => ScmpAction::Errno(i32::try_from(errno.unwrap_or(1)).ok()?),
        };
        let conditions: Vec<ScmpArgCompare> = rule.args.iter().map(compare).collect();
        let call = ScmpSyscall::from_name("ioctl").ok()?;
        filter.add_rule_conditional(action, call, &conditions).ok()?;
        let memory = rustix::fs::memfd_create("bpf", rustix::fs::MemfdFlags::CLOEXEC).ok()?;
        filter.export_bpf(memory.as_fd()).ok()?;
        let mut file = std::fs::File::from(memory);
        file.rewind().ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let decode = |&[a, b, jt, jf, c, d, e, f]: &[u8; 8]| Instruction {
            code: u16::from_le_bytes([a, b]),
            jt,
            jf,
            k: u32::from_le_bytes([c, d, e, f]),
        };
        Some(words.iter().map(decode).collect())
    }

    fn compare(arg: &SeccompArg) -> ScmpArgCompare {
        let (op, value) = match arg.op.as_str() {
            "SCMP_CMP_NE" => (ScmpCompareOp::NotEqual, arg.value),
            "SCMP_CMP_LT" => (ScmpCompareOp::Less, arg.value),
            "SCMP_CMP_LE" => (ScmpCompareOp::LessOrEqual, arg.value),
            "SCMP_CMP_EQ" => (ScmpCompareOp::Equal, arg.value),
            "SCMP_CMP_GE" => (ScmpCompareOp::GreaterEqual, arg.value),
            "SCMP_CMP_GT" => (ScmpCompareOp::Greater, arg.value),
            _ => (ScmpCompareOp::MaskedEqual(arg.value), arg.value_two),
        };
        ScmpArgCompare::new(arg.index, op, value)
    }
}
