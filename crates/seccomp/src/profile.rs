//! Profiles with conditions, as Docker, podman and `--security-opt seccomp=FILE` have them.
//!
//! The file lists rules that hold only for some capabilities, architectures or kernels
//! (`includes`, `excludes`, `minKernel`) and maps architectures to their sub-architectures
//! (`archMap`); an engine resolves it to a plain OCI profile. A plain OCI profile resolves to itself.

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use serde::Deserialize;

use crate::arch::Arch;
use crate::error::Error;

/// Largest profile file in bytes; the published ones have under 20 KiB.
pub const SIZE_LIMIT: usize = 1 << 20;
/// Rules in a file, names and conditions in a rule: beyond any use, far from any harm.
const RULE_LIMIT: usize = 4096;
const ENTRY_LIMIT: usize = 4096;

/// What the conditions of a profile are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Capabilities of the bounding set, bit n for capability n.
    pub capabilities: u64,
    /// The machine's own ABI.
    pub native: Arch,
    /// Major and minor version of the running kernel.
    pub kernel: (u32, u32),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: String,
    default_errno_ret: Option<u32>,
    default_errno: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    errno: Option<String>,
    #[serde(default)]
    args: Option<Vec<Arg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arg {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: Option<u64>,
    op: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Resolves a profile file for one container.
///
/// An unknown capability name is an error; architectures are not, as files list many. A file with
/// both `architectures` and `archMap`, or a rule with both `name` and `names`, is refused, as Docker
/// does.
pub fn resolve(json: &[u8], facts: &Facts) -> Result<Seccomp, Error> {
    limit("bytes", json.len(), SIZE_LIMIT)?;
    let file: File = serde_json::from_slice(json).map_err(Error::Json)?;
    let rules = file.syscalls.unwrap_or_default();
    limit("rules", rules.len(), RULE_LIMIT)?;
    let mut syscalls = Vec::with_capacity(rules.len());
    for rule in rules {
        limit("conditions in a rule", rule.args.as_ref().map_or(0, Vec::len), ENTRY_LIMIT)?;
        limit("names in a rule", rule.names.as_ref().map_or(0, Vec::len), ENTRY_LIMIT)?;
        let include = rule.includes.as_ref().map_or(Ok(true), |filter| holds(filter, facts))?;
        let exclude = rule.excludes.as_ref().map_or(Ok(false), |filter| touches(filter, facts))?;
        if include && !exclude {
            syscalls.push(plain_rule(rule)?);
        }
    }
    let architectures = architectures(file.architectures, file.arch_map, facts.native)?;
    Ok(Seccomp {
        default_errno_ret: errno(
            file.default_errno_ret,
            file.default_errno.as_deref(),
            &file.default_action,
        )?,
        default_action: file.default_action,
        architectures,
        flags: file.flags,
        listener_path: file.listener_path,
        listener_metadata: file.listener_metadata,
        syscalls,
    })
}

fn plain_rule(rule: Rule) -> Result<SeccompRule, Error> {
    let names = match (rule.name, rule.names) {
        (Some(name), None) => vec![name],
        (Some(name), Some(names)) if names.is_empty() => vec![name],
        (Some(name), Some(_)) => return Err(Error::Field { field: "name", value: name }),
        (None, names) => names.unwrap_or_default(),
    };
    let plain = |arg: Arg| SeccompArg {
        index: arg.index,
        value: arg.value,
        value_two: arg.value_two.unwrap_or(0),
        op: arg.op,
    };
    Ok(SeccompRule {
        names,
        errno_ret: errno(rule.errno_ret, rule.errno.as_deref(), &rule.action)?,
        action: rule.action,
        args: rule.args.unwrap_or_default().into_iter().map(plain).collect(),
    })
}

/// `includes`: each given list must be met: all capabilities, one of the architectures, the kernel.
fn holds(filter: &Filter, facts: &Facts) -> Result<bool, Error> {
    for name in filter.caps.iter().flatten() {
        if !has_capability(name, facts)? {
            return Ok(false);
        }
    }
    let arches = filter.arches.as_deref().unwrap_or_default();
    let arch = arches.is_empty() || arches.iter().any(|arch| arch == facts.native.go_name());
    Ok(arch && filter.min_kernel.as_deref().map_or(Ok(true), |text| kernel_at_least(text, facts))?)
}

/// `excludes`: any capability, architecture or reached kernel excludes.
fn touches(filter: &Filter, facts: &Facts) -> Result<bool, Error> {
    let mut any = false;
    for name in filter.caps.iter().flatten() {
        any |= has_capability(name, facts)?;
    }
    let arches = filter.arches.as_deref().unwrap_or_default();
    any |= arches.iter().any(|arch| arch == facts.native.go_name());
    Ok(any || filter.min_kernel.as_deref().map_or(Ok(false), |text| kernel_at_least(text, facts))?)
}

fn has_capability(name: &str, facts: &Facts) -> Result<bool, Error> {
    let bit = oci::runtime::capability_bit(name)
        .ok_or_else(|| Error::Field { field: "caps", value: name.to_owned() })?;
    Ok(facts.capabilities & bit != 0)
}

fn kernel_at_least(text: &str, facts: &Facts) -> Result<bool, Error> {
    let version = text.split_once('.').and_then(|(major, minor)| {
        let strict = |part: &str| {
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
        };
        Some((strict(major)?, strict(minor)?))
    });
    let bad = || Error::Field { field: "minKernel", value: text.to_owned() };
    version.map(|version| facts.kernel >= version).ok_or_else(bad)
}

fn architectures(
    plain: Option<Vec<String>>,
    map: Option<Vec<ArchMap>>,
    native: Arch,
) -> Result<Vec<String>, Error> {
    let plain = plain.unwrap_or_default();
    let map = map.unwrap_or_default();
    limit("architectures", plain.len().max(map.len()), ENTRY_LIMIT)?;
    if !plain.is_empty() && !map.is_empty() {
        return Err(Error::Field { field: "architectures", value: plain.join(" ") });
    }
    let own = map.into_iter().find(|entry| entry.architecture == native.oci_name());
    Ok(own.map_or(plain, |entry| {
        let mut list = vec![entry.architecture];
        list.extend(entry.sub_architectures.unwrap_or_default());
        list
    }))
}

/// podman writes errnos twice, as a name (`errno`) and as a number; the number counts, and a lone
/// name is known for the few in use. On an action that takes none podman's field is dropped.
fn errno(number: Option<u32>, name: Option<&str>, action: &str) -> Result<Option<u32>, Error> {
    if !matches!(action, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE") {
        return Ok(number);
    }
    match (number, name) {
        (Some(number), _) => Ok(Some(number)),
        (None, None | Some("")) => Ok(None),
        (None, Some(name)) => NAMED_ERRNOS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| Some(*number))
            .ok_or_else(|| Error::Field { field: "errno", value: name.to_owned() }),
    }
}

/// The errnos that a filter may sensibly answer with, the same on all architectures we have.
const NAMED_ERRNOS: [(&str, u32); 9] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EACCES", 13),
    ("EINVAL", 22),
    ("ENOSYS", 38),
    ("EPROTONOSUPPORT", 93),
    ("EOPNOTSUPP", 95),
    ("ENOTSUP", 95),
    ("EAFNOSUPPORT", 97),
];

fn limit(what: &'static str, count: usize, limit: usize) -> Result<(), Error> {
    if count > limit { Err(Error::TooMany { what, count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts { capabilities: 1 << 18, native: Arch::X86_64, kernel: (5, 14) };

    fn names(json: &str) -> Vec<String> {
        let profile = resolve(json.as_bytes(), &FACTS).unwrap();
        profile.syscalls.into_iter().flat_map(|rule| rule.names).collect()
    }

    #[test]
    fn filters_choose_rules() {
        let rows = [
            (r#""includes":{"caps":["CAP_SYS_CHROOT"]}"#, true),
            (r#""includes":{"caps":["CAP_SYS_ADMIN"]}"#, false),
            (r#""includes":{"caps":["CAP_SYS_CHROOT","CAP_SYS_ADMIN"]}"#, false),
            (r#""excludes":{"caps":["CAP_SYS_CHROOT"]}"#, false),
            (r#""excludes":{"caps":["CAP_SYS_ADMIN"]}"#, true),
            (r#""includes":{"arches":["amd64","x32"]}"#, true),
            (r#""includes":{"arches":["arm64"]}"#, false),
            (r#""excludes":{"arches":["s390","amd64"]}"#, false),
            (r#""includes":{"minKernel":"4.8"}"#, true),
            (r#""includes":{"minKernel":"5.14"}"#, true),
            (r#""includes":{"minKernel":"5.15"}"#, false),
            (r#""includes":{"minKernel":"6.0"}"#, false),
            (r#""excludes":{"minKernel":"4.8"}"#, false),
            (r#""includes":{},"excludes":{}"#, true),
            (r#""includes":null,"excludes":null,"args":null"#, true),
        ];
        for (filter, kept) in rows {
            let json = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW",{filter}}}]}}"#
            );
            assert_eq!(!names(&json).is_empty(), kept, "{filter}");
        }
    }

    #[test]
    fn old_and_podman_forms_are_read() {
        let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","architectures":["SCMP_ARCH_X86"],
            "syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","args":[]},
            {"names":["bpf"],"action":"SCMP_ACT_ERRNO","errno":"EACCES"}]}"#;
        let profile = resolve(json.as_bytes(), &FACTS).unwrap();
        assert_eq!(profile.default_errno_ret, Some(38));
        assert_eq!(profile.architectures, ["SCMP_ARCH_X86"]);
        assert_eq!(profile.syscalls[0].names, ["read"]);
        assert_eq!(profile.syscalls[1].errno_ret, Some(13));
    }

    #[test]
    fn arch_map_gives_the_native_row() {
        let docker = crate::standard::profile(FACTS.capabilities, &[crate::standard::NamedSet::Docker]);
        let json = serde_json::to_vec(&docker).unwrap();
        assert_eq!(resolve(&json, &FACTS).unwrap(), docker, "a plain profile resolves to itself");
        if Arch::native() == Some(Arch::X86_64) {
            let wanted = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
            assert_eq!(docker.architectures, wanted);
        }
    }

    #[test]
    fn bad_files_are_errors() {
        let rule = |inner: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{inner}]}}"#);
        let many = vec![r#"{"names":["read"],"action":"SCMP_ACT_ALLOW"}"#; RULE_LIMIT + 1].join(",");
        let rows = [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            " ".repeat(SIZE_LIMIT + 1),
            rule(r#"{"names":["read"]}"#),
            rule(r#"{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}"#),
            rule(r#"{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_NOPE"]}}"#),
            rule(r#"{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"five"}}"#),
            rule(r#"{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"+5.1"}}"#),
            rule(r#"{"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"ENOPE"}"#),
            rule(r#"{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":-1,"value":0,"op":""}]}"#),
            rule(&many),
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#.to_owned(),
        ];
        for json in rows {
            assert!(resolve(json.as_bytes(), &FACTS).is_err(), "{json:.80}");
        }
    }
}
