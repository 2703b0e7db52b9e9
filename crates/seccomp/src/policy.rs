//! From a profile's rules to one decision per call number of one ABI.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use oci::runtime::{Seccomp, SeccompRule};

use crate::action::Action;
use crate::arch::{Arch, is_known};
use crate::condition::{Condition, Parsed};
use crate::error::{Error, Warning};

/// `ENOSYS`, the answer for calls that the profile's author could not know.
const ENOSYS: u16 = 38;

/// An action and the conditions that must all hold for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    /// By ascending argument.
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: u32,
}

/// Everything a filter does with the calls of one ABI.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) arch: Arch,
    /// By number: rules in the order they are tried; one without conditions is alone.
    pub(crate) calls: BTreeMap<u32, Vec<Rule>>,
    /// For calls without a rule, and where no rule of a call holds.
    pub(crate) default: u32,
    /// The largest ordinary number that the profile names, and the answer above it.
    pub(crate) newest: Option<(u32, u32)>,
}

/// i386 `socketcall(2)`: names by its first argument (linux/net.h).
const SOCKETCALL: [(&str, u64); 20] = [
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// i386 `ipc(2)`: names by the low 16 bits of its first argument (linux/ipc.h).
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// `ipc(2)` keeps a version in the upper half of its first argument.
const IPC_CALL: u64 = 0xffff;

/// Reads the profile for one ABI.
pub(crate) fn lower(
    profile: &Seccomp,
    default: Action,
    arch: Arch,
    warnings: &mut Vec<Warning>,
) -> Result<Policy, Error> {
    let mut calls: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    let mut hidden: BTreeMap<&str, Vec<Rule>> = BTreeMap::new();
    let mut newest = None;
    for entry in &profile.syscalls {
        let rules = read_entry(entry, default, arch)?;
        for name in &entry.names {
            let number = arch.number(name);
            if arch == Arch::X86 && multiplexer(name).is_some() {
                hidden.entry(name).or_default().extend(rules.iter().cloned());
            }
            let Some(number) = number else {
                if !is_known(name) {
                    warn(warnings, Warning::UnknownCall(name.clone()));
                }
                continue;
            };
            if arch.is_ordinary(number) {
                newest = newest.max(Some(number));
            }
            // runc skips what the default says anyway: it must not hide another rule.
            if !rules.is_empty() {
                calls.entry(number).or_default().extend(rules.iter().cloned());
            }
        }
    }
    for (name, rules) in hidden {
        let Some((through, condition)) = multiplexer(name) else { continue };
        let Some(number) = arch.number(through) else { continue };
        let Some((action, hidden)) = multiplexed(name, rules, default)? else { continue };
        let rules = calls.entry(number).or_default();
        let whole = rules.iter().find(|rule| rule.conditions.is_empty());
        if hidden {
            let open = whole.map_or(action, |rule| Action::decode(rule.action)).is_permissive();
            let name = name.to_owned();
            warn(warnings, if open { Warning::HiddenOpen(name) } else { Warning::HiddenRefused(name) });
        }
        rules.push(Rule { conditions: vec![condition], action: action.encode() });
    }
    for (number, rules) in &mut calls {
        settle(rules, arch.name(*number).unwrap_or("?"))?;
    }
    let above = match default {
        Action::Errno(_) => Action::Errno(ENOSYS),
        other => other,
    };
    let newest = newest.map(|number| (number, above.encode()));
    Ok(Policy { arch, calls, default: default.encode(), newest })
}

/// The rules of one entry, the same for each of its names.
fn read_entry(entry: &SeccompRule, default: Action, arch: Arch) -> Result<Vec<Rule>, Error> {
    let first = entry.names.first().ok_or(Error::NoNames)?;
    let action = Action::parse(&entry.action, entry.errno_ret)?;
    let mut conditions = Vec::with_capacity(entry.args.len());
    let mut never = false;
    let mut repeated = false;
    for (at, arg) in entry.args.iter().enumerate() {
        repeated |= entry.args.iter().take(at).any(|earlier| earlier.index == arg.index);
        let parsed = Condition::parse(arg, first, arch)?;
        never |= parsed == Parsed::Never;
        conditions.push(parsed);
    }
    let action = action.encode();
    let rule = |conditions| Rule { conditions, action };
    // As runc: one argument looked at twice makes every condition of the entry a rule of its own.
    if repeated {
        return Ok(conditions
            .into_iter()
            .filter_map(|parsed| match parsed {
                Parsed::Condition(condition) => Some(rule(vec![condition])),
                Parsed::Always => Some(rule(Vec::new())),
                Parsed::Never => None,
            })
            .collect());
    }
    if never {
        return Ok(Vec::new());
    }
    let mut conditions: Vec<Condition> = conditions
        .into_iter()
        .filter_map(|parsed| match parsed {
            Parsed::Condition(condition) => Some(condition),
            Parsed::Always | Parsed::Never => None,
        })
        .collect();
    if conditions.is_empty() && action == default.encode() {
        return Ok(Vec::new());
    }
    conditions.sort_by_key(|condition| condition.index);
    Ok(vec![rule(conditions)])
}

/// Puts the rules of one call in the order they are tried.
fn settle(rules: &mut Vec<Rule>, call: &str) -> Result<(), Error> {
    if let Some(always) = rules.iter().position(|rule| rule.conditions.is_empty()) {
        rules.swap(0, always);
        rules.truncate(1);
        return Ok(());
    }
    rules.sort_by(precedence);
    let mut kept: Vec<Rule> = Vec::with_capacity(rules.len());
    for rule in rules.drain(..) {
        match kept.iter().find(|earlier| same_conditions(earlier, &rule)) {
            Some(earlier) if earlier.action == rule.action => {}
            Some(_) => return Err(Error::Conflict { call: call.to_owned() }),
            None => kept.push(rule),
        }
    }
    *rules = kept;
    Ok(())
}

fn precedence(a: &Rule, b: &Rule) -> Ordering {
    a.conditions
        .iter()
        .zip(&b.conditions)
        .map(|(mine, theirs)| mine.precedence(theirs))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| b.conditions.len().cmp(&a.conditions.len()))
}

fn same_conditions(a: &Rule, b: &Rule) -> bool {
    a.conditions.len() == b.conditions.len()
        && a.conditions.iter().zip(&b.conditions).all(|(mine, theirs)| mine.is_same(theirs))
}

fn multiplexer(name: &str) -> Option<(&'static str, Condition)> {
    let find = |table: &[(&str, u64)]| table.iter().find(|(known, _)| *known == name).map(|row| row.1);
    find(&SOCKETCALL)
        .map(|code| ("socketcall", Condition::equal(0, code)))
        .or_else(|| find(&IPC).map(|code| ("ipc", Condition::masked(0, IPC_CALL, code))))
}

/// What a call gets through its multiplexer, and whether that hides arguments its rules look at.
///
/// Where the answer depends on arguments, the strictest of the possible ones is given: libseccomp
/// looks at the call's code alone and so lets, for instance, every socket family through.
fn multiplexed(name: &str, mut rules: Vec<Rule>, default: Action) -> Result<Option<(Action, bool)>, Error> {
    settle(&mut rules, name)?;
    let hidden = rules.iter().any(|rule| !rule.conditions.is_empty());
    let own = rules.iter().map(|rule| Action::decode(rule.action));
    let strictest = if hidden { own.chain([default]).min() } else { own.min() };
    Ok(strictest.map(|action| (action, hidden)))
}

fn warn(warnings: &mut Vec<Warning>, warning: Warning) {
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}
