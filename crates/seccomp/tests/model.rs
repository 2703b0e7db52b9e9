//! Made-up profiles against a plain reading of the rules, with all operators and actions.

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use proptest::prelude::*;
use seccomp::emulate::Data;
use seccomp::emulate::emulate;
use seccomp::{Action, Arch, Error, compile};

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

/// All answers that rules give for `ioctl`, the most specific class first.
fn answers(profile: &Seccomp, arguments: &[u64; 6]) -> Vec<Action> {
    let mut found = Vec::new();
    for rule in &profile.syscalls {
        let action = match rule.action.as_str() {
            "SCMP_ACT_ALLOW" => Action::Allow,
            "SCMP_ACT_LOG" => Action::Log,
            // The only errno that `rules` makes.
            _ => Action::Errno(13),
        };
        let repeated = rule
            .args
            .iter()
            .enumerate()
            .any(|(at, arg)| rule.args[..at].iter().any(|other| other.index == arg.index));
        let groups: Vec<&[SeccompArg]> =
            if repeated { rule.args.chunks(1).collect() } else { vec![&rule.args] };
        found.extend(groups.into_iter().filter(|group| group.iter().all(|arg| holds(arg, arguments))).map(
            |group| {
                let first = group.iter().min_by_key(|arg| arg.index);
                (first.map(|arg| (5 - arg.index, class(&arg.op))), action)
            },
        ));
    }
    found.sort_by_key(|(order, _)| *order);
    let Some(first) = found.first().map(|(order, _)| *order) else { return Vec::new() };
    found.into_iter().filter(|(order, _)| *order == first).map(|(_, action)| action).collect()
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..8_u64,
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(0x5_0000_0003),
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn condition() -> impl Strategy<Value = SeccompArg> {
    let op = prop::sample::select(vec![
        "SCMP_CMP_EQ",
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ]);
    (0..3_u32, value(), value(), op).prop_map(|(index, value, value_two, op)| SeccompArg {
        index,
        // A mask without bits makes a rule unconditional: unit tests have that.
        value: if op == "SCMP_CMP_MASKED_EQ" { value.max(1) } else { value },
        value_two,
        op: op.to_owned(),
    })
}

fn rules() -> impl Strategy<Value = Vec<SeccompRule>> {
    let action = prop_oneof![
        Just(("SCMP_ACT_ALLOW", None)),
        Just(("SCMP_ACT_LOG", None)),
        Just(("SCMP_ACT_ERRNO", Some(13)))
    ];
    let rule = (action, prop::collection::vec(condition(), 1..4)).prop_map(|((action, errno_ret), args)| {
        SeccompRule { names: vec!["ioctl".to_owned()], action: action.to_owned(), errno_ret, args }
    });
    prop::collection::vec(rule, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_mean_what_they_say(
        syscalls in rules(),
        extra in prop::collection::vec([value(), value(), value(), value(), value(), value()], 40),
    ) {
        let profile = Seccomp {
            default_action: "SCMP_ACT_TRAP".to_owned(),
            syscalls,
            ..Seccomp::default()
        };
        let program = match compile(&profile, Arch::X86_64) {
            Ok(compiled) => compiled.program,
            Err(Error::Conflict { .. }) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        let args: Vec<&SeccompArg> = profile.syscalls.iter().flat_map(|rule| &rule.args).collect();
        for mut arguments in extra {
            // Half of the samples sit at the edges of some condition.
            let pick = usize::try_from(arguments[5] % 64).unwrap();
            if let Some(arg) = args.get(pick) {
                let edge = [arg.value, arg.value_two, arg.value.wrapping_sub(1), arg.value.wrapping_add(1)];
                arguments[arg.index as usize] = edge[usize::try_from(arguments[4] % 4).unwrap()];
            }
            let data = Data {
                number: 16,
                arch: Arch::X86_64.audit(),
                instruction_pointer: 0,
                arguments,
            };
            let actual = emulate(program.instructions(), &data).unwrap();
            let mut expected = answers(&profile, &arguments);
            if expected.is_empty() {
                expected.push(Action::Trap);
            }
            // Within one class the larger value counts first; any of the class is accepted here.
            prop_assert!(expected.contains(&actual), "{:x?}: {:?} not in {:?}", arguments, actual, expected);
        }
    }
}
