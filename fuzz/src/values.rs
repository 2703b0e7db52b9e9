//! The values of flags: each parser gives an error of one line or a value within its documented limits, and numbers are those of an independent reading.

use std::net::IpAddr;

use container::value::name::{ContainerId, Name, host_name};
use container::value::{device, environment, ids, label, rlimit, size, sysctl};
use container::{Profile, parse_capability};
use idmap::account::parse_passwd;

use crate::input::text;

/// Most bytes of an input.
pub const MAX_LEN: usize = 2048;

const FLAG: &str = "--flag";

/// Checks one input.
pub fn check(bytes: &[u8]) {
    for entry in environment::parse_file(FLAG, "file", bytes).unwrap_or_default() {
        match entry {
            environment::Entry::Assignment(name, value) => {
                assert!(!name.is_empty() && !name.contains(['=', '\0', '\n']) && !value.contains(['\0', '\n']));
            }
            environment::Entry::FromHost(name) => assert!(!name.is_empty() && !name.contains(['=', '\0', '\n'])),
        }
    }
    for (key, value) in label::parse_file(FLAG, "file", bytes).unwrap_or_default() {
        assert!(!key.is_empty() && !key.starts_with("brig.") && !value.contains('\0'));
    }
    drop(parse_passwd(bytes));
    let Some(text) = text(bytes) else { return };
    numbers(text);
    names(text);
    host(text);
}

/// Whether `text` is digits and perhaps a point and more digits, as a fraction of integers.
fn decimal(text: &str) -> Option<(u128, u128)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, 10_u128.pow(u32::try_from(fraction.len()).ok()?)))
}

fn numbers(text: &str) {
    if let Ok(bytes) = size::parse_size(FLAG, text) {
        assert!(bytes >= 0);
        let lower = text.to_ascii_lowercase();
        let number = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = lower[number.len()..].chars().next().unwrap_or('b');
        let shift = "bkmgtp".find(unit).expect("a unit that is known") * 10;
        let (digits, divisor) = decimal(number).expect("a number that is one");
        assert_eq!(u128::try_from(bytes), Ok((digits << shift) / divisor), "{text}");
    }
    if let Ok(thousandths) = size::parse_cpus(text) {
        let (digits, divisor) = decimal(text).unwrap_or((0, 0));
        assert!(thousandths > 0 && thousandths < 1_000_000_000);
        let expected = (digits * 1000).checked_div(divisor);
        assert!(expected.is_none_or(|expected| expected == u128::from(thousandths)), "{text}");
    }
    if let Ok(number) = size::parse_number::<u32>(FLAG, text) {
        assert_eq!(text.trim_start_matches('0').trim_start_matches('-'), number.to_string().trim_start_matches('0'));
    }
    if let Ok(list) = size::parse_list(FLAG, text) {
        assert!(list.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'-')) && !list.is_empty());
    }
    if let Ok(limit) = rlimit::parse(text) {
        assert!(limit.soft <= limit.hard && limit.kind.starts_with("RLIMIT_"));
    }
    if let Ok(rule) = device::parse_rule(text) {
        assert_eq!(device::parse_rule(&rule.to_string()).ok(), Some(rule), "{text}");
    }
    if let Ok(zone) = container::time_zone::parse(text) {
        assert!(!zone.split('/').any(|part| part.is_empty() || part == ".."), "{text}");
    }
    for parse in [device::parse_bytes, device::parse_operations, device::parse_weight] {
        if let Ok(value) = parse(FLAG, text) {
            assert!(value.path.starts_with('/'));
        }
    }
    if let Ok(ids::UserNamespace::Auto { size }) = ids::UserNamespace::parse(text) {
        assert!(size > 0);
    }
    if let Ok(range) = ids::parse_map(FLAG, text) {
        assert!(range.size > 0);
    }
}

fn names(text: &str) {
    if let Ok(name) = Name::new(text) {
        let name = name.as_str();
        assert!((2..=128).contains(&name.len()) && !name.contains('/') && !name.starts_with(['.', '-']));
        assert_eq!(Name::new(name).map(|name| name.to_string()).ok().as_deref(), Some(name));
    }
    if let Some(id) = ContainerId::parse(text) {
        assert_eq!((id.as_str(), id.short().len()), (text, 12));
    }
    if let Ok(name) = host_name(FLAG, text) {
        assert!(!name.is_empty() && name.len() <= 64 && name.is_ascii() && !name.contains(['\n', ' ', '/']));
    }
    if let Ok((key, value)) = label::parse(FLAG, text) {
        assert!(!key.is_empty() && !key.chars().any(char::is_control) && !key.starts_with("brig."));
        assert!(text == key || text == format!("{key}={value}"));
    }
    if let Ok((name, address)) = label::parse_host(text) {
        assert!(!name.contains(char::is_whitespace));
        assert!(address.is_none_or(|address| address.to_string().parse::<IpAddr>() == Ok(address)));
    }
    if let Ok(environment::Entry::Assignment(name, value)) = environment::parse(FLAG, text) {
        assert_eq!(format!("{name}={value}"), text);
    }
    drop(parse_capability(FLAG, text));
    if let Ok(profile) = Profile::parse(text) {
        assert!(Profile::parse(profile.name()).is_ok_and(|again| again == profile));
    }
}

/// What names something of the host or of the kernel.
fn host(text: &str) {
    if let Ok(found) = device::parse(text) {
        for path in [&found.source, &found.target] {
            assert!(path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{text:?}");
        }
        assert!(!found.access.is_empty() && found.access.bytes().all(|byte| b"rwm".contains(&byte)));
    }
    if let Ok(found) = sysctl::parse(text) {
        assert!(!found.value.contains(['\n', '\0']), "{text:?}");
        // The separator that comes first separates, as with sysctl(8).
        let path = match found.name.find(['.', '/']).map(|at| &found.name[at..=at]) {
            Some("/") => found.name.clone(),
            _ => found.name.replace('.', "/"),
        };
        assert!(["net/", "kernel/", "fs/mqueue/"].iter().any(|start| path.starts_with(start)), "{text:?}");
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part.is_empty() || part == ".."), "{text:?}");
    }
}
