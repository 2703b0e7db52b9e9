//! Device rules: an eBPF program on v2, a list of exceptions on v1.
//!
//! The policy begins with "deny all" and later rules win, for each of read, write and mknod by itself
//! (GHSA-g54h-m393-cpwq was a list taken the other way round).

use oci::runtime::DeviceRule;
use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::error::{Unapplied, permission_hint};
use crate::layout::Version;
use crate::{Controller, Error, Result};

mod list;
mod program;

/// Most rules: five instructions each stay far below the 4096 that the kernel takes.
const RULES: usize = 512;

/// Which kind of device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Block,
    Char,
}

/// Bits of an access, as the eBPF context has them.
pub(crate) const MKNOD: u8 = 1;
pub(crate) const READ: u8 = 2;
pub(crate) const WRITE: u8 = 4;
const EVERY: u8 = MKNOD | READ | WRITE;

/// One checked rule; `None` is a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) kind: Option<Type>,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) access: u8,
}

impl Rule {
    fn parse(rule: &DeviceRule) -> Result<Self> {
        let bad = |value: String, reason| Error::BadValue {
            field: "devices",
            value: value.chars().take(16).flat_map(char::escape_default).collect(),
            reason,
        };
        let kind = match rule.kind.as_deref() {
            None | Some("" | "a") => None,
            Some("b") => Some(Type::Block),
            // `u` is how mknod(1) calls unbuffered character devices.
            Some("c" | "u") => Some(Type::Char),
            Some(other) => return Err(bad(other.to_owned(), "is not a type: use `a`, `b` or `c`")),
        };
        let number = |value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(value) => {
                u32::try_from(value).map(Some).map_err(|_| bad(value.to_string(), "is not a device number"))
            }
        };
        let mut access = 0;
        for letter in rule.access.as_deref().unwrap_or("").chars() {
            access |= match letter {
                'r' => READ,
                'w' => WRITE,
                'm' => MKNOD,
                _ => return Err(bad(letter.to_string(), "is not an access: use `r`, `w` and `m`")),
            };
        }
        let access = if access == 0 { EVERY } else { access };
        Ok(Self { allow: rule.allow, kind, major: number(rule.major)?, minor: number(rule.minor)?, access })
    }

    /// Tells whether the rule speaks of every access to every device, so that earlier ones do not matter.
    pub(crate) fn is_total(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == EVERY
    }
}

/// Checks rules, leaving out those that a later "all" makes void.
pub(crate) fn parse(rules: &[DeviceRule]) -> Result<Vec<Rule>> {
    if rules.len() > RULES {
        let value = rules.len().to_string();
        return Err(Error::BadValue { field: "devices", value, reason: "more than 512 rules" });
    }
    let mut parsed = Vec::with_capacity(rules.len());
    for rule in rules {
        let rule = Rule::parse(rule)?;
        if rule.is_total() {
            parsed.clear();
        }
        parsed.push(rule);
    }
    Ok(parsed)
}

impl Cgroup {
    /// Puts the policy in force; the inner result is the kernel's refusal.
    pub(crate) fn apply_devices(&self, rules: &[DeviceRule]) -> Result<Result<(), Unapplied>> {
        let rules = parse(rules)?;
        let unapplied = |file: &str, value: String, errno: Option<Errno>, hint| Unapplied {
            controller: Controller::Devices,
            file: file.to_owned(),
            value,
            errno,
            hint,
        };
        if self.is_v1(Controller::Devices) {
            let Some(member) = self.member_of(Controller::Devices) else {
                let value = format!("{} rules", rules.len());
                return Ok(Err(self.without_directory(
                    Controller::Devices,
                    "devices.allow".to_owned(),
                    value,
                )));
            };
            let list = match list::List::from_rules(&rules) {
                Ok(list) => list,
                Err(rule) => {
                    let hint = "cgroup v1 cannot take one device out of a wildcard: name the allowed ones";
                    return Ok(Err(unapplied("devices.deny", rule, None, Some(hint))));
                }
            };
            return Ok(list.write(&member.directory).map_err(|(file, value, errno)| {
                let hint = match errno {
                    Errno::PERM => Some("the parent cgroup does not allow it, or only root may"),
                    errno => permission_hint(errno),
                };
                unapplied(file, value, Some(errno), hint)
            }));
        }
        let Some(member) = self.members.iter().find(|member| member.version == Version::V2) else {
            let value = format!("{} rules", rules.len());
            return Ok(Err(self.without_directory(Controller::Devices, "bpf(2)".to_owned(), value)));
        };
        let program = program::compile(&rules);
        let value = format!("{} rules in {} instructions", rules.len(), program.len());
        Ok(attach(&member.directory, &program).map_err(|errno| {
            let hint = match errno {
                Errno::PERM => Some("device filters need CAP_SYS_ADMIN (or CAP_BPF and CAP_NET_ADMIN)"),
                Errno::NOSYS | Errno::INVAL => Some("the kernel needs CONFIG_CGROUP_BPF"),
                errno => permission_hint(errno),
            };
            unapplied("bpf(2)", value, Some(errno), hint)
        }))
    }
}

/// Attaches the program in the place of ours that is there already. Programs of ancestors (systemd's
/// `DevicePolicy=`) go on to hold beside it.
fn attach(directory: &crate::directory::Directory, program: &[sys::bpf::Instruction]) -> Result<(), Errno> {
    let loaded = sys::bpf::load_device_program(program)?;
    let old = sys::bpf::attached_device_programs(directory)?;
    match old.as_slice() {
        // In one step: at no moment is the container without a filter.
        [one] => sys::bpf::replace_device_program(directory, &loaded, one),
        _ => {
            sys::bpf::attach_device_program(directory, &loaded)?;
            old.iter().try_for_each(|program| sys::bpf::detach_device_program(directory, program))
        }
    }
}

/// Decides one access by the definition, for the tests to compare with.
#[cfg(test)]
pub(crate) fn decide(rules: &[Rule], kind: Type, major: u32, minor: u32, access: u8) -> bool {
    let matches = |rule: &&Rule| {
        rule.kind.is_none_or(|wanted| wanted == kind)
            && rule.major.is_none_or(|wanted| wanted == major)
            && rule.minor.is_none_or(|wanted| wanted == minor)
    };
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        rules.iter().rev().filter(matches).find(|rule| rule.access & bit != 0).is_some_and(|rule| rule.allow)
    })
}

/// Entrances for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    use oci::runtime::DeviceRule;

    use super::list::List;
    use super::program;
    use crate::Result;

    /// Rules as the program of v2, and as v1's list where that can hold them.
    ///
    /// # Errors
    /// Those of a rule that is none.
    pub fn compile(rules: &[DeviceRule]) -> Result<(usize, Option<Vec<String>>)> {
        let rules = super::parse(rules)?;
        Ok((program::compile(&rules).len(), List::from_rules(&rules).ok().map(|list| list.texts())))
    }

    /// What is read of a `devices.list`, as it would be written.
    #[must_use]
    pub fn list(text: &str) -> Vec<String> {
        List::parse(text).texts()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rules over few numbers, so that they meet often.
    pub(crate) fn rules() -> impl Strategy<Value = Vec<Rule>> {
        let number = || prop_oneof![Just(None), (0_u32..3).prop_map(Some), Just(Some(u32::MAX))];
        let kind = prop_oneof![Just(None), Just(Some(Type::Block)), Just(Some(Type::Char))];
        let rule = (any::<bool>(), kind, number(), number(), 1_u8..=7)
            .prop_map(|(allow, kind, major, minor, access)| Rule { allow, kind, major, minor, access });
        prop::collection::vec(rule, 0..12)
    }

    fn rule(json: &str) -> Result<Rule> {
        Rule::parse(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn rules_are_checked() {
        let all = Rule { allow: false, kind: None, major: None, minor: None, access: 7 };
        assert_eq!(rule(r#"{"allow":false}"#).unwrap(), all);
        assert_eq!(rule(r#"{"allow":false,"type":"a","major":-1,"access":"rwm"}"#).unwrap(), all);
        assert_eq!(
            rule(r#"{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}"#).unwrap(),
            Rule {
                allow: true,
                kind: Some(Type::Char),
                major: Some(1),
                minor: Some(3),
                access: READ | WRITE
            }
        );
        for json in [
            r#"{"allow":true,"type":"p"}"#,
            r#"{"allow":true,"major":-2}"#,
            r#"{"allow":true,"minor":4294967296}"#,
            r#"{"allow":true,"access":"x"}"#,
        ] {
            assert!(matches!(rule(json), Err(Error::BadValue { .. })), "{json}");
        }
        assert!(parse(&vec![DeviceRule::default(); 513]).is_err());
    }

    #[test]
    fn the_last_rule_decides_each_access() {
        let parsed: Vec<Rule> = [
            r#"{"allow":true,"type":"c","major":1}"#,
            r#"{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}"#,
        ]
        .map(|json| rule(json).unwrap())
        .to_vec();
        for (minor, access, expected) in
            [(3, READ, true), (3, WRITE, false), (3, READ | WRITE, false), (5, WRITE, true)]
        {
            assert_eq!(decide(&parsed, Type::Char, 1, minor, access), expected, "{minor} {access}");
        }
        assert!(!decide(&parsed, Type::Block, 1, 5, READ));
        assert!(!decide(&[], Type::Char, 1, 3, READ), "nothing is allowed by default");
    }
}
