//! Every crate has a floor; an edge goes to a strictly lower one. Only `sys` may hold `unsafe`.

use std::path::Path;

use serde_json::Value;

/// Product crates by floor. A new crate is put here by the commit that makes it.
const FLOORS: &[(u8, &[&str])] = &[
    (6, &["cli"]),
    (5, &[]),
    (4, &["container", "image"]),
    (3, &["runtime", "store", "monitor", "journal", "network", "volume", "secret", "registry"]),
    (2, &["archive", "probe", "fetch"]),
    (1, &["files", "seccomp", "cgroup", "idmap"]),
    (0, &["sys", "oci", "template"]),
];

/// Not part of the product: may use every crate, and no product crate may use them outside its tests.
const OFF_FLOOR: &[&str] = &["xtask", "testkit", "tests", "bench"];

/// Where `unsafe` may stand: `sys` by design, `bench` for the floor program that is measured against.
const MAY_BE_UNSAFE: &[&str] = &["sys", "bench"];

/// What is wrong, one line each.
///
/// # Panics
/// When `cargo metadata` fails or a source file cannot be read.
pub(crate) fn faults() -> Vec<String> {
    let output = crate::cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .expect("cargo metadata can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let mut faults = wrong_edges(&metadata);
    faults.extend(unguarded(&metadata));
    faults
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, crates)| crates.contains(&name)).map(|(floor, _)| *floor)
}

fn wrong_edges(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for package in array(&metadata["packages"]) {
        let name = text(&package["name"]);
        if OFF_FLOOR.contains(&name) {
            continue;
        }
        let Some(own) = floor(name) else {
            faults.push(format!("`{name}` has no floor: give it one in xtask/src/floors.rs"));
            continue;
        };
        for dependency in array(&package["dependencies"]) {
            // Only crates of this repository have a path.
            if dependency["path"].is_null() {
                continue;
            }
            let (target, kind) = (text(&dependency["name"]), text(&dependency["kind"]));
            let is_allowed = match (floor(target), kind) {
                (Some(other), "dev") => other <= own,
                (Some(other), _) => other < own,
                (None, "dev") => OFF_FLOOR.contains(&target),
                (None, _) => false,
            };
            if !is_allowed {
                let other = floor(target)
                    .map_or_else(|| "off the floors".to_owned(), |other| format!("floor {other}"));
                faults.push(format!("`{name}` (floor {own}) must not depend on `{target}` ({other})"));
            }
        }
    }
    faults
}

fn unguarded(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for package in array(&metadata["packages"]) {
        if MAY_BE_UNSAFE.contains(&text(&package["name"])) {
            continue;
        }
        for target in array(&package["targets"]) {
            let is_root = array(&target["kind"]).iter().any(|kind| ["lib", "bin"].contains(&text(kind)));
            let path = Path::new(text(&target["src_path"]));
            let source = std::fs::read_to_string(path).expect("a target's source can be read");
            if is_root && !source.contains("#![forbid(unsafe_code)]") {
                faults.push(format!("{} lacks `#![forbid(unsafe_code)]`", path.display()));
            }
        }
    }
    faults
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn edges() {
        for (from, to, kind, is_allowed) in [
            ("cli", "container", Value::Null, true),
            ("container", "sys", Value::Null, true),
            ("store", "archive", Value::Null, true),
            ("store", "runtime", Value::Null, false),
            ("files", "seccomp", Value::Null, false),
            ("oci", "cli", Value::Null, false),
            ("sys", "testkit", Value::Null, false),
            ("sys", "testkit", json!("dev"), true),
            ("runtime", "store", json!("dev"), true),
            ("runtime", "container", json!("dev"), false),
            ("runtime", "unheard-of", json!("dev"), false),
            ("sys", "container", json!("build"), false),
            ("newcomer", "sys", Value::Null, false),
            ("bench", "cli", Value::Null, true),
        ] {
            let dependencies = json!([{"name": to, "path": "/x", "kind": kind}, {"name": "libc", "path": null, "kind": null}]);
            let metadata = json!({"packages": [{"name": from, "dependencies": dependencies}]});
            let faults = wrong_edges(&metadata);
            assert_eq!(faults.is_empty(), is_allowed, "{from} -> {to} ({kind}): {faults:?}");
        }
    }

    #[test]
    fn this_repository_stands_on_its_floors() {
        assert_eq!(faults(), Vec::<String>::new());
    }
}
