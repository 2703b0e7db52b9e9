//! Block I/O.

use oci::runtime::{BlockIo, ThrottleDevice};

use super::bad;
use crate::layout::Version;
use crate::step::{Step, Write};
use crate::{Controller, Result, convert};

/// Largest major and minor number of a device (`MINORBITS` is 20).
const MAJOR: i64 = 0xfff;
const MINOR: i64 = 0xf_ffff;

/// Plans weights and rates. `bfq`, where it is built in, is the only scheduler with weights on v1, and has
/// files of its own on both versions.
pub(super) fn plan(io: &BlockIo, version: Version, steps: &mut Vec<Step>) -> Result<()> {
    let write = |file: &'static str, value: String| Write::new(Controller::Io, file, value);
    let leaf = |value: u16| Step::Unsupported {
        controller: Controller::Io,
        field: "blockIO.leafWeight",
        value: value.to_string(),
        reason: "no kernel since 5.0 has leaf weights: leave it out",
    };
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        check_weight(weight)?;
        steps.push(Step::FirstPresent(match version {
            Version::V1 => {
                vec![write("blkio.weight", weight.to_string()), write("blkio.bfq.weight", weight.to_string())]
            }
            Version::V2 => vec![
                write("io.bfq.weight", weight.to_string()),
                write("io.weight", format!("default {}", convert::io_weight(weight))),
            ],
        }));
    }
    steps.extend(io.leaf_weight.filter(|weight| *weight != 0).map(leaf));
    for device in &io.weight_device {
        let number = number(device.major, device.minor)?;
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            check_weight(weight)?;
            steps.push(Step::FirstPresent(match version {
                Version::V1 => vec![
                    write("blkio.weight_device", format!("{number} {weight}")),
                    write("blkio.bfq.weight_device", format!("{number} {weight}")),
                ],
                Version::V2 => vec![
                    write("io.bfq.weight", format!("{number} {weight}")),
                    write("io.weight", format!("{number} {}", convert::io_weight(weight))),
                ],
            }));
        }
        steps.extend(device.leaf_weight.filter(|weight| *weight != 0).map(leaf));
    }
    let rates: [(&[ThrottleDevice], &'static str, &'static str); 4] = [
        (&io.throttle_read_bps_device, "blkio.throttle.read_bps_device", "rbps"),
        (&io.throttle_write_bps_device, "blkio.throttle.write_bps_device", "wbps"),
        (&io.throttle_read_iops_device, "blkio.throttle.read_iops_device", "riops"),
        (&io.throttle_write_iops_device, "blkio.throttle.write_iops_device", "wiops"),
    ];
    for (devices, file, key) in rates {
        for device in devices {
            let number = number(device.major, device.minor)?;
            steps.push(Step::Write(match (version, device.rate) {
                (Version::V1, rate) => write(file, format!("{number} {rate}")),
                // v1's zero lifts the limit; v2 refuses it.
                (Version::V2, 0) => write("io.max", format!("{number} {key}=max")),
                (Version::V2, rate) => write("io.max", format!("{number} {key}={rate}")),
            }));
        }
    }
    Ok(())
}

fn check_weight(weight: u16) -> Result<()> {
    let valid = (10..=1000).contains(&weight);
    if valid { Ok(()) } else { Err(bad("blockIO.weight", weight, "is not between 10 and 1000")) }
}

fn number(major: i64, minor: i64) -> Result<String> {
    let text = format!("{major}:{minor}");
    let valid = (0..=MAJOR).contains(&major) && (0..=MINOR).contains(&minor);
    if valid { Ok(text) } else { Err(bad("blockIO", text, "is not a device number")) }
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, check_bad};

    #[test]
    fn weights() {
        check(
            r#"{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}]}}"#,
            &[
                "first blkio.weight=500 blkio.bfq.weight=500",
                "first blkio.weight_device=8:0 10 blkio.bfq.weight_device=8:0 10",
            ],
            &["first io.bfq.weight=500 io.weight=default 4950", "first io.bfq.weight=8:0 10 io.weight=8:0 1"],
        );
        check(r#"{"blockIO":{"weight":0,"leafWeight":0}}"#, &[], &[]);
        let unsupported = ["unsupported blockIO.leafWeight"];
        check(r#"{"blockIO":{"leafWeight":20}}"#, &unsupported, &unsupported);
        check_bad(r#"{"blockIO":{"weight":9}}"#);
        check_bad(r#"{"blockIO":{"weightDevice":[{"major":-1,"minor":0,"weight":10}]}}"#);
    }

    #[test]
    fn rates() {
        check(
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":1000}],
                "throttleWriteBpsDevice":[{"major":8,"minor":16,"rate":0}],
                "throttleReadIOPSDevice":[{"major":8,"minor":16,"rate":7}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":8}]}}"#,
            &[
                "blkio.throttle.read_bps_device=8:16 1000",
                "blkio.throttle.write_bps_device=8:16 0",
                "blkio.throttle.read_iops_device=8:16 7",
                "blkio.throttle.write_iops_device=8:16 8",
            ],
            &["io.max=8:16 rbps=1000", "io.max=8:16 wbps=max", "io.max=8:16 riops=7", "io.max=8:16 wiops=8"],
        );
        check_bad(r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":-1,"rate":1}]}}"#);
    }
}
