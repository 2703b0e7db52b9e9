//! Resolves a containers/common or Docker seccomp profile to what a bundle holds, as its engine would for given capabilities.

use serde_json::{Value, json};

/// `linux.seccomp` for x86_64 with these capabilities.
pub(crate) fn resolve(profile: &Value, capabilities: &[&str]) -> Value {
    let calls: Vec<Value> = list(&profile["syscalls"])
        .iter()
        .filter(|rule| is_meant(rule, capabilities))
        .map(|rule| {
            let mut resolved = json!({"names": rule["names"], "action": rule["action"]});
            for field in ["errnoRet", "args"] {
                if list_or_number(&rule[field]) {
                    resolved[field] = rule[field].clone();
                }
            }
            resolved
        })
        .collect();
    let mut resolved = json!({
        "defaultAction": profile["defaultAction"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": calls
    });
    if profile["defaultErrnoRet"].is_number() {
        resolved["defaultErrnoRet"] = profile["defaultErrnoRet"].clone();
    }
    resolved
}

fn is_meant(rule: &Value, capabilities: &[&str]) -> bool {
    let has = |name: &Value| name.as_str().is_some_and(|name| capabilities.contains(&name));
    let is_here = |name: &Value| matches!(name.as_str(), Some("amd64" | "x86" | "x32"));
    let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
    list(&includes["caps"]).iter().all(has)
        && !list(&excludes["caps"]).iter().any(has)
        && (list(&includes["arches"]).is_empty() || list(&includes["arches"]).iter().any(is_here))
        && !list(&excludes["arches"]).iter().any(is_here)
}

fn list_or_number(value: &Value) -> bool {
    value.is_number() || !list(value).is_empty()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_other_capabilities_and_machines_are_left_out() {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["s390_runtime_instr"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}}
        ]});
        let resolved = resolve(&profile, &["CAP_CHOWN"]);
        assert_eq!(
            resolved["syscalls"],
            json!([
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
            ])
        );
        assert_eq!(resolved["defaultErrnoRet"], 38);
    }
}
