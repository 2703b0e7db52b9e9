//! Limits as unit properties: pure.

use oci::runtime::Resources;

use super::unit::Unit;
use crate::{Error, Result, convert};

/// A unit property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
}

/// Its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `b`
    Bool(bool),
    /// `t`
    Number(u64),
    /// `s`
    Text(String),
    /// `au`
    Pids(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
}

/// systemd's "infinity".
const INFINITY: u64 = u64::MAX;
/// The kernel's default period, in microseconds.
const PERIOD: u64 = 100_000;
/// systemd keeps quotas in percent of a second: anything finer is rounded up, so that no limit is narrower
/// than asked.
const QUOTA_STEP: u64 = 10_000;
/// Highest CPU or node number of a list: the kernel's `NR_CPUS` at most.
const HIGHEST: usize = 8192;

fn number(name: &'static str, value: u64) -> Property {
    Property { name, value: Value::Number(value) }
}

fn flag(name: &'static str, value: bool) -> Property {
    Property { name, value: Value::Bool(value) }
}

fn text(name: &'static str, value: &str) -> Property {
    Property { name, value: Value::Text(value.to_owned()) }
}

/// Returns what the scope is made with.
pub(super) fn scope(unit: &Unit, id: &str, leader: u32, limits: &[Property]) -> Vec<Property> {
    let mut properties = vec![
        text("Description", &format!("brig container {id}")),
        text("Slice", &unit.slice),
        flag("Delegate", true),
        Property { name: "PIDs", value: Value::Pids(vec![leader]) },
        // Without these systemd would stop the container before the services that it needs to end well.
        flag("DefaultDependencies", false),
        flag("CPUAccounting", true),
        flag("MemoryAccounting", true),
        flag("TasksAccounting", true),
        flag("IOAccounting", true),
    ];
    properties.extend_from_slice(limits);
    properties
}

/// Returns the limits that systemd has properties for. The others are only in the kernel's files, which a
/// delegated scope keeps.
pub(super) fn limits(resources: &Resources) -> Result<Vec<Property>> {
    let mut list = Vec::new();
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = |value: i64| u64::try_from(value).unwrap_or(INFINITY);
    if let Some(memory) = &resources.memory {
        list.extend(set(memory.limit).map(|value| number("MemoryMax", limit(value))));
        list.extend(set(memory.reservation).map(|value| number("MemoryLow", limit(value))));
        if let Some(swap) = convert::swap(memory.swap, memory.limit)? {
            list.push(number("MemorySwapMax", swap.parse().unwrap_or(INFINITY)));
        }
    }
    if let Some(tasks) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        list.push(number("TasksMax", if tasks == 0 { 1 } else { limit(tasks) }));
    }
    if let Some(cpu) = &resources.cpu {
        let shares = cpu.shares.filter(|shares| *shares != 0 && cpu.idle != Some(1));
        list.extend(shares.map(|shares| number("CPUWeight", convert::cpu_weight(shares))));
        let period = cpu.period.filter(|period| *period != 0);
        list.extend(period.map(|period| number("CPUQuotaPeriodUSec", period)));
        if let Some(quota) = set(cpu.quota) {
            let quota = u64::try_from(quota).map_or(INFINITY, |quota| {
                let a_second = quota.saturating_mul(1_000_000).div_ceil(period.unwrap_or(PERIOD));
                a_second.div_ceil(QUOTA_STEP).saturating_mul(QUOTA_STEP)
            });
            list.push(number("CPUQuotaPerSecUSec", quota));
        }
        let lists = [("AllowedCPUs", "cpu.cpus", &cpu.cpus), ("AllowedMemoryNodes", "cpu.mems", &cpu.mems)];
        for (name, field, value) in lists {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                list.push(Property { name, value: Value::Bytes(mask(field, value)?) });
            }
        }
    }
    let weight = resources.block_io.as_ref().and_then(|io| io.weight).filter(|weight| *weight != 0);
    list.extend(weight.map(|weight| number("IOWeight", u64::from(convert::io_weight(weight)))));
    for (file, name) in [
        ("memory.high", "MemoryHigh"),
        ("memory.low", "MemoryLow"),
        ("memory.max", "MemoryMax"),
        ("memory.min", "MemoryMin"),
        ("memory.swap.max", "MemorySwapMax"),
        ("pids.max", "TasksMax"),
        ("cpu.weight", "CPUWeight"),
    ] {
        let Some(value) = resources.unified.get(file) else { continue };
        let value = match value.trim() {
            "max" => Some(INFINITY),
            value => value.parse().ok(),
        };
        list.extend(value.map(|value| number(name, value)));
    }
    Ok(list)
}

/// Returns a list such as `0-3,7` as bits, the lowest in the first byte.
fn mask(field: &'static str, list: &str) -> Result<Vec<u8>> {
    let bad = || Error::BadValue {
        field,
        value: list.chars().take(32).flat_map(char::escape_default).collect(),
        reason: "is not a list such as `0-3,7`",
    };
    let mut bytes = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.trim().parse().map_err(|_| bad())?;
        let last: usize = last.trim().parse().map_err(|_| bad())?;
        if first > last || last >= HIGHEST {
            return Err(bad());
        }
        if bytes.len() <= last / 8 {
            bytes.resize(last / 8 + 1, 0_u8);
        }
        for bit in first..=last {
            bytes[bit / 8] |= 1 << (bit % 8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &[(&'static str, Value)]) {
        let list = limits(&serde_json::from_str(json).unwrap()).unwrap();
        let list: Vec<_> = list.into_iter().map(|property| (property.name, property.value)).collect();
        assert_eq!(list, expected, "{json}");
    }

    #[test]
    fn limits_become_properties() {
        use Value::{Bytes, Number};
        check("{}", &[]);
        check(
            r#"{"memory":{"limit":100,"swap":300,"reservation":50}}"#,
            &[("MemoryMax", Number(100)), ("MemoryLow", Number(50)), ("MemorySwapMax", Number(200))],
        );
        check(
            r#"{"memory":{"limit":-1}}"#,
            &[("MemoryMax", Number(INFINITY)), ("MemorySwapMax", Number(INFINITY))],
        );
        check(r#"{"pids":{"limit":0}}"#, &[("TasksMax", Number(1))]);
        check(r#"{"pids":{"limit":-1}}"#, &[("TasksMax", Number(INFINITY))]);
        check(
            r#"{"cpu":{"shares":1024,"quota":33333,"period":50000,"cpus":"0-1,9","mems":"0"}}"#,
            &[
                ("CPUWeight", Number(100)),
                ("CPUQuotaPeriodUSec", Number(50_000)),
                ("CPUQuotaPerSecUSec", Number(670_000)),
                ("AllowedCPUs", Bytes(vec![3, 2])),
                ("AllowedMemoryNodes", Bytes(vec![1])),
            ],
        );
        check(r#"{"cpu":{"quota":-1}}"#, &[("CPUQuotaPerSecUSec", Number(INFINITY))]);
        check(
            r#"{"unified":{"memory.high":"max","memory.min":"5","io.max":"8:0 rbps=1"}}"#,
            &[("MemoryHigh", Number(INFINITY)), ("MemoryMin", Number(5))],
        );
        check(r#"{"blockIO":{"weight":1000}}"#, &[("IOWeight", Number(10_000))]);
    }

    #[test]
    fn hostile_lists_are_refused() {
        for list in ["3-1", "x", "0-99999999999", "8192", "-1", "1,,2"] {
            assert!(mask("cpu.cpus", list).is_err(), "{list}");
        }
    }
}
