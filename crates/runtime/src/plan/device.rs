//! Device nodes and links of `/dev`: runtime-spec `config-linux.md`, "Default Devices".

use std::ffi::CString;

use oci::runtime::Device;

use super::step::{Device as DeviceStep, Slot, Step};
use super::{InnerPath, Refusal, Source};

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;

/// Name, major, minor: what every container gets.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Links that programs expect, proc(5) and pts(4).
const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Adds the default devices, those of the spec, and the links.
pub(super) fn plan(
    devices: &[Device],
    can_make_nodes: bool,
    sources: &mut Vec<Source>,
    steps: &mut Vec<Step>,
) -> Result<(), Refusal> {
    let mut wanted: Vec<DeviceStep> = Vec::with_capacity(DEFAULT.len() + devices.len());
    for (path, major, minor) in DEFAULT {
        wanted.push(DeviceStep {
            path: InnerPath::new(path).map_err(|error| Refusal::path("device", path, error))?,
            kind: S_IFCHR,
            number: (major, minor),
            mode: 0o666,
            owner: (0, 0),
            bind: None,
        });
    }
    for device in devices {
        let step = from_spec(device)?;
        // A device of the spec replaces the default one of the same path.
        wanted.retain(|other| other.path != step.path);
        wanted.push(step);
    }
    for mut device in wanted {
        if !can_make_nodes && device.kind != S_IFIFO {
            device.bind = Some(Slot(sources.len()));
            sources.push(Source::Device {
                path: device.path.to_text(),
                kind: device.kind,
                number: device.number,
            });
        }
        steps.push(Step::Device(Box::new(device)));
    }
    for (path, target) in LINKS {
        let path = InnerPath::new(path).map_err(|error| Refusal::path("link", path, error))?;
        let target = CString::new(target).map_err(|_| Refusal::Nul("link"))?;
        steps.push(Step::Link { path, target });
    }
    Ok(())
}

fn from_spec(device: &Device) -> Result<DeviceStep, Refusal> {
    let kind = match device.kind.as_str() {
        "c" | "u" => S_IFCHR,
        "b" => S_IFBLK,
        "p" => S_IFIFO,
        other => return Err(Refusal::DeviceKind { path: device.path.clone(), kind: other.to_owned() }),
    };
    if !device.path.starts_with('/') {
        return Err(Refusal::RelativePath { what: "device", path: device.path.clone() });
    }
    let number = |value: Option<i64>| {
        u32::try_from(value.unwrap_or(0)).map_err(|_| Refusal::DeviceNumber { path: device.path.clone() })
    };
    Ok(DeviceStep {
        path: InnerPath::new(&device.path).map_err(|error| Refusal::path("device", &device.path, error))?,
        kind,
        number: (number(device.major)?, number(device.minor)?),
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
        bind: None,
    })
}
