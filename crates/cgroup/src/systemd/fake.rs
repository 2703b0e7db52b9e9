//! A systemd that says yes, for tests.

use super::Property;
use super::message::{Kind, Message};
use super::property::Value;
use super::wire::{Malformed, Reader, Writer};

pub(super) const JOB: &str = "/org/freedesktop/systemd1/job/7";
/// The scope's cgroup.
pub(super) const GROUP: &str = "/system.slice/brig-web.scope";

/// Says what a call asks: its method, its types, its values.
pub(super) fn describe(call: &Message) -> String {
    let values = print(&mut call.values(&call.signature).unwrap(), &call.signature).unwrap();
    format!("{} {} {values}", call.member, call.signature)
}

/// Makes systemd's answer, and the signals after it. Each job ends with `result`.
pub(super) fn answers(call: &Message, result: &str) -> Vec<Message> {
    let mut reply = Message::new(Kind::Return);
    reply.reply = Some(call.serial);
    reply.destination.clone_from(&call.sender);
    let mut body = Writer::default();
    let mut signals = Vec::new();
    let signature = match call.member.as_str() {
        "Hello" => {
            body.text(":1.7");
            "s"
        }
        "StartTransientUnit" | "StopUnit" => {
            body.text(JOB);
            // Somebody else's job first.
            signals =
                vec![job_removed("/org/freedesktop/systemd1/job/6", "failed"), job_removed(JOB, result)];
            "o"
        }
        "GetUnit" => {
            body.text("/unit/x");
            "o"
        }
        "Get" => {
            body.signature("s");
            body.text(GROUP);
            "v"
        }
        "ResetFailedUnit" => {
            reply.kind = Kind::Error;
            reply.error = "org.freedesktop.systemd1.NoSuchUnit".to_owned();
            body.text("Unit not loaded.");
            "s"
        }
        _ => "",
    };
    signals.insert(0, reply.with(signature, body).unwrap());
    signals
}

pub(super) fn job_removed(job: &str, result: &str) -> Message {
    let mut body = Writer::default();
    body.word(7);
    body.text(job);
    body.text("brig-web.scope");
    body.text(result);
    let path = "/org/freedesktop/systemd1";
    let call = Message::call("", path, "org.freedesktop.systemd1.Manager", "JobRemoved");
    Message { kind: Kind::Signal, ..call.with("uoss", body).unwrap() }
}

pub(super) fn properties() -> Vec<Property> {
    vec![
        Property { name: "Delegate", value: Value::Bool(true) },
        Property { name: "PIDs", value: Value::Pids(vec![42]) },
        Property { name: "Slice", value: Value::Text("system.slice".to_owned()) },
        Property { name: "MemoryMax", value: Value::Number(1 << 30) },
        Property { name: "AllowedCPUs", value: Value::Bytes(vec![3]) },
    ]
}

/// Prints values of any type.
fn print(reader: &mut Reader<'_>, signature: &str) -> Result<String, Malformed> {
    fn one(signature: &str) -> usize {
        match signature.as_bytes()[0] {
            b'a' => 1 + one(&signature[1..]),
            b'(' => {
                let mut at = 1;
                while !signature[at..].starts_with(')') {
                    at += one(&signature[at..]);
                }
                at + 1
            }
            _ => 1,
        }
    }
    let (mut all, mut rest) = (Vec::new(), signature);
    while !rest.is_empty() {
        let (this, after) = rest.split_at(one(rest));
        rest = after;
        all.push(match this {
            "y" => format!("Byte({})", reader.byte()?),
            "u" => format!("Uint32({})", reader.word()?),
            "b" => format!("Boolean({})", reader.word()?),
            "t" => {
                reader.align(8)?;
                format!("Uint64({})", u64::from_le_bytes(reader.take(8)?.try_into().unwrap()))
            }
            "s" | "o" => format!("{:?}", reader.text()?),
            "v" => {
                let inner = reader.signature()?;
                format!("<{}>", print(reader, inner)?)
            }
            _ if this.starts_with('(') => {
                reader.align(8)?;
                format!("({})", print(reader, &this[1..this.len() - 1])?)
            }
            _ => {
                let length = reader.length()?;
                reader.align(match this.as_bytes()[1] {
                    b'y' => 1,
                    b'(' | b't' => 8,
                    _ => 4,
                })?;
                let end = reader.at() + length;
                let mut list = Vec::new();
                while reader.at() < end {
                    list.push(print(reader, &this[1..])?);
                }
                assert_eq!(reader.at(), end);
                format!("[{}]", list.join(", "))
            }
        });
    }
    Ok(all.join(", "))
}
