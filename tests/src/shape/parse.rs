//! What strace writes, as calls: halves put together, arguments taken apart, and where each process was.

use std::collections::BTreeMap;

use super::{Call, Place};

/// Puts the two halves of interrupted calls together, at the place of the first.
pub(super) fn merge(text: &str) -> Vec<Call> {
    let mut lines: Vec<(u32, String)> = Vec::new();
    let mut begun: BTreeMap<u32, usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let Ok(process) = process.parse() else { continue };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(process, lines.len());
            lines.push((process, start.to_owned()));
        } else if rest.starts_with("<...") {
            let (Some(index), Some((_, tail))) = (begun.remove(&process), rest.split_once("resumed>")) else {
                continue;
            };
            lines[index].1.push_str(tail);
        } else {
            lines.push((process, rest.to_owned()));
        }
    }
    lines.iter().filter_map(|(process, line)| call(*process, line)).collect()
}

fn call(process: u32, line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let (arguments, rest) = split(rest);
    let result = rest.split_once("= ").map_or("", |(_, result)| result).trim().to_owned();
    Some(Call { process, name: name.to_owned(), arguments, result, place: Place::Other })
}

/// The arguments up to the closing parenthesis, and what is behind it.
fn split(text: &str) -> (Vec<String>, &str) {
    let bytes = text.as_bytes();
    let (mut arguments, mut depth, mut start, mut at) = (Vec::new(), 0, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            // The path of a descriptor, and no shift.
            b'<' if bytes.get(at + 1) != Some(&b'<') && bytes.get(at.wrapping_sub(1)) != Some(&b'<') => {
                while at < bytes.len() && bytes[at] != b'>' {
                    at += 1;
                }
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                arguments.push(text[start..at].trim().to_owned());
                return (arguments, &text[at + 1..]);
            }
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                arguments.push(text[start..at].trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    arguments.push(text[start..].trim().to_owned());
    (arguments, "")
}

/// Tells for each call where its process was then.
pub(super) fn place(calls: &mut [Call], program: &str) {
    let mut places: BTreeMap<u32, Place> = BTreeMap::new();
    for call in calls {
        let now = places.entry(call.process).or_insert(Place::Other);
        let succeeded = !call.result.starts_with('-') && !call.result.starts_with('?');
        if *now == Place::Other {
            if call.is_execution() && succeeded && call.program() == program {
                *now = Place::Host;
            }
            continue;
        }
        call.place = *now;
        let line = call.line();
        match &*call.name {
            "clone" | "clone3" | "fork" | "vfork" if succeeded => {
                let inherited = if line.contains("CLONE_NEWNS") { Place::Entered } else { *now };
                if let Some(child) = outer_number(&call.result) {
                    places.insert(child, inherited);
                }
            }
            "unshare" if succeeded && line.contains("CLONE_NEWNS") => *now = Place::Entered,
            "setns" if succeeded && line.contains("<mnt:[") => *now = Place::Rooted,
            "pivot_root" | "chroot" if succeeded => *now = Place::Rooted,
            // A sealed memory file of ours is no payload yet, nor is our own program executed again.
            "execve" | "execveat" if succeeded && *now != Place::Host && !is_ours(call, program) => {
                *now = Place::Other;
            }
            _ => {}
        }
    }
}

fn is_ours(call: &Call, program: &str) -> bool {
    let executed = call.program();
    executed == program || executed.starts_with("/memfd:brig-exec")
}

/// A process's number outside: of one in a pid namespace strace tells both.
pub(super) fn outer_number(result: &str) -> Option<u32> {
    let text = match result.split_once("/* ") {
        Some((_, outer)) => outer,
        None => result,
    };
    text.split(' ').next()?.parse().ok()
}
