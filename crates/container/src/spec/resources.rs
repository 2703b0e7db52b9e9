//! Cgroup limits, resource limits, devices.

use oci::runtime::{
    BlockIo, Cpu, Device, DeviceRule, Memory, Mount, Pids, Resources, Rlimit, ThrottleDevice, WeightDevice,
};

use crate::error::{Error, Result};
use crate::host::{DeviceNode, Host};
use crate::options::{LimitOptions, Options};
use crate::spec::mounts;
use crate::value::device::BlockValue;
use crate::value::rlimit::UNLIMITED;
use crate::weakening::{WeakeningKind, Weakenings};

/// Soft and hard limit of open files. A soft 1024 keeps programs with `select(2)` right and those that close
/// every descriptor fast; both are lowered to what the host allows.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

/// Share of the host's memory at which a container without a limit is slowed down, in percent.
const MEMORY_HIGH_PERCENT: u64 = 80;

/// The period that `--cpus` is measured in, in microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// The limits that flags ask for.
pub(crate) fn resources(options: &Options, host: &Host) -> Result<Resources> {
    let limits = &options.limits;
    at_least(limits)?;
    let mut resources = plain(limits)?;
    let block_io = BlockIo {
        weight: limits.blkio_weight,
        weight_device: limits
            .blkio_weight_device
            .iter()
            .map(|value| weight(value, host))
            .collect::<Result<_>>()?,
        throttle_read_bps_device: throttles(&limits.device_read_bps, host)?,
        throttle_write_bps_device: throttles(&limits.device_write_bps, host)?,
        throttle_read_iops_device: throttles(&limits.device_read_iops, host)?,
        throttle_write_iops_device: throttles(&limits.device_write_iops, host)?,
        ..BlockIo::default()
    };
    resources.block_io = (block_io != BlockIo::default()).then_some(block_io);
    resources.unified.clone_from(&limits.files);
    Ok(resources)
}

/// Least memory that a container may have, in bytes: docker's.
const LEAST_MEMORY: i64 = 6 << 20;

/// Refuses less memory than that.
pub(crate) fn at_least(limits: &LimitOptions) -> Result<()> {
    match limits.memory.filter(|memory| (1..LEAST_MEMORY).contains(memory)) {
        Some(memory) => {
            let reason = format!("with less than {LEAST_MEMORY} bytes (6m) nothing starts");
            Err(Error::value("--memory", memory.to_string(), reason))
        }
        None => Ok(()),
    }
}

/// Those that name no device.
pub(crate) fn plain(limits: &LimitOptions) -> Result<Resources> {
    if limits.cpus.is_some() && (limits.cpu_quota.is_some() || limits.cpu_period.is_some()) {
        return Err(Error::Conflict {
            first: "--cpus".into(),
            second: "--cpu-quota or --cpu-period".into(),
            reason: "both set the share of processor time",
        });
    }
    if limits.memory_swap.is_some_and(|swap| swap != -1) && limits.memory.is_none() {
        return Err(Error::value(
            "--memory-swap",
            limits.memory_swap.unwrap_or(0).to_string(),
            "it needs `--memory` too",
        ));
    }
    if let (Some(memory), Some(swap)) = (limits.memory, limits.memory_swap)
        && (swap != -1 && swap < memory)
    {
        return Err(Error::value(
            "--memory-swap",
            swap.to_string(),
            "it counts memory and swap, so it is at least `--memory`",
        ));
    }
    if let (Some(memory), Some(reservation)) = (limits.memory, limits.memory_reservation)
        && reservation > memory
    {
        return Err(Error::value("--memory-reservation", reservation.to_string(), "it is above `--memory`"));
    }
    let memory = Memory {
        limit: limits.memory,
        reservation: limits.memory_reservation,
        // As docker: without `--memory-swap` a container may swap as much as it has memory.
        swap: limits.memory_swap.or_else(|| limits.memory.map(|memory| memory.saturating_mul(2))),
        swappiness: limits.memory_swappiness,
        disable_oom_killer: limits.oom_kill_disable.then_some(true),
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: limits.cpu_shares,
        quota: limits
            .cpu_quota
            .or_else(|| limits.cpus.and_then(|cpus| i64::try_from(cpus * CPU_PERIOD / 1000).ok())),
        period: limits.cpu_period.or_else(|| limits.cpus.map(|_| CPU_PERIOD)),
        cpus: limits.cpuset_cpus.clone(),
        mems: limits.cpuset_mems.clone(),
        ..Cpu::default()
    };
    let block_io = limits.blkio_weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() });
    let some = |is_default: bool| !is_default;
    Ok(Resources {
        memory: some(memory == Memory::default()).then_some(memory),
        cpu: some(cpu == Cpu::default()).then_some(cpu),
        pids: limits.pids.map(|limit| Pids { limit: Some(if limit <= 0 { -1 } else { limit }) }),
        block_io,
        ..Resources::default()
    })
}

/// The profile's own limits, where no flag sets them. Nobody asked for these: one that the host cannot set is
/// a warning, not an error (invariant 5).
pub(crate) fn defaults(options: &Options, host: &Host, weakenings: &mut Weakenings) -> Resources {
    let limits = &options.limits;
    if limits.pids.is_some_and(|pids| pids <= 0) {
        weakenings.open(WeakeningKind::Limit, "--pids-limit -1", "as many processes as the machine can hold");
    }
    let mut defaults = Resources::default();
    if limits.pids.is_none() {
        defaults.pids = options.profile.pids_limit().map(|limit| Pids { limit: Some(limit) });
    }
    let high = host.memory / 100 * MEMORY_HIGH_PERCENT;
    if limits.memory.is_none() && high > 0 {
        if host.unified {
            defaults.unified.insert("memory.high".to_owned(), high.to_string());
        } else if limits.memory_reservation.is_none() {
            // The nearest that cgroup v1 has: what is above is taken back first when memory runs short.
            let reservation = i64::try_from(high).ok();
            defaults.memory = Some(Memory { reservation, ..Memory::default() });
        }
    }
    defaults
}

/// `setrlimit(2)` limits: the defaults lowered to the host's, those asked for as they are.
pub(crate) fn rlimits(options: &Options, host: &Host, warnings: &mut Vec<String>) -> Result<Vec<Rlimit>> {
    let hard = |kind: &str| host.hard_limits.get(kind).copied().unwrap_or(UNLIMITED);
    let mut limits = vec![
        Rlimit { kind: "RLIMIT_CORE".into(), soft: 0, hard: 0 },
        Rlimit {
            kind: "RLIMIT_NOFILE".into(),
            soft: OPEN_FILES.0.min(hard("RLIMIT_NOFILE")),
            hard: OPEN_FILES.1.min(hard("RLIMIT_NOFILE")),
        },
    ];
    for ulimit in &options.ulimits {
        let ceiling = hard(ulimit.kind);
        if ulimit.hard > ceiling && !host.raises_limits {
            let short = ulimit.kind.trim_start_matches("RLIMIT_").to_ascii_lowercase();
            if ulimit.soft > ceiling {
                let reason = format!("your own hard limit is {ceiling}");
                return Err(Error::value("--ulimit", format!("{short}={}", ulimit.soft), reason));
            }
            warnings.push(format!("the hard limit `{short}` is {ceiling}: yours cannot be exceeded"));
        }
        let hard = if host.raises_limits { ulimit.hard } else { ulimit.hard.min(ceiling) };
        let limit = Rlimit { kind: ulimit.kind.to_owned(), soft: ulimit.soft, hard };
        match limits.iter_mut().find(|known| known.kind == limit.kind) {
            Some(known) => *known = limit,
            None => limits.push(limit),
        }
    }
    Ok(limits)
}

fn node<'a>(path: &str, host: &'a Host) -> Result<&'a DeviceNode> {
    host.devices
        .get(path)
        .ok_or_else(|| Error::Source { path: path.into(), source: rustix::io::Errno::NOENT })
}

fn weight(value: &BlockValue, host: &Host) -> Result<WeightDevice> {
    let node = node(&value.path, host)?;
    Ok(WeightDevice {
        major: i64::from(node.major),
        minor: i64::from(node.minor),
        weight: u16::try_from(value.value).ok(),
        leaf_weight: None,
    })
}

fn throttles(values: &[BlockValue], host: &Host) -> Result<Vec<ThrottleDevice>> {
    values
        .iter()
        .map(|value| {
            let node = node(&value.path, host)?;
            Ok(ThrottleDevice {
                major: i64::from(node.major),
                minor: i64::from(node.minor),
                rate: value.value,
            })
        })
        .collect()
}

/// Devices beyond the runtime's default ones, and the rules that allow only these.
///
/// The runtime makes null, zero, full, random, urandom, tty and the terminal files, and allows them. A device under
/// another name than the host's is added to `binds` where nodes cannot be made: in a user namespace.
pub(crate) fn devices(
    options: &Options,
    user_namespace: bool,
    host: &Host,
    binds: &mut Vec<Mount>,
    weakenings: &mut Weakenings,
) -> Result<(Vec<Device>, Vec<DeviceRule>)> {
    let rule = |allow, kind: Option<&str>, major, minor, access: &str| DeviceRule {
        allow,
        kind: kind.map(str::to_owned),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let mut devices = Vec::new();
    let mut rules = vec![rule(options.privileged, None, None, None, "rwm")];
    if host.is_rootless() {
        // Nodes made in a user namespace do not work, and those that are shown are the caller's to use.
        rules.clear();
    }
    if options.privileged {
        weakenings.open(WeakeningKind::Device, "--privileged", "every device whose node it can reach");
    }
    for request in &options.devices {
        let found = node(&request.source, host)?;
        let (major, minor) = (i64::from(found.major), i64::from(found.minor));
        let kind = found.kind.to_string();
        weakenings.open(
            WeakeningKind::Device,
            format!("--device {}", request.source),
            format!("the host's device `{}` ({kind} {major}:{minor}, {})", request.source, request.access),
        );
        if !host.is_rootless() {
            rules.push(rule(true, Some(&kind), Some(major), Some(minor), &request.access));
        }
        // The runtime shows the host's node of the same path where it cannot make one of its own.
        if user_namespace && request.target != request.source {
            binds.push(mounts::mount(
                &request.target,
                "bind",
                &request.source,
                &["bind", "nosuid", "noexec"],
            ));
            continue;
        }
        devices.push(Device {
            kind,
            path: request.target.clone(),
            major: Some(major),
            minor: Some(minor),
            file_mode: Some(found.mode),
            uid: Some(0),
            gid: Some(0),
        });
    }
    for request in &options.device_rules {
        if host.is_rootless() {
            let reason =
                "only root decides which devices a cgroup may use: name the device files with `--device`";
            return Err(Error::value("--device-cgroup-rule", request.to_string(), reason));
        }
        let flag = format!("--device-cgroup-rule {request}");
        weakenings.open(WeakeningKind::Device, flag, "devices whose nodes it can reach");
        let kind = request.kind.to_string();
        rules.push(rule(true, Some(&kind), request.major, request.minor, &request.access));
    }
    Ok((devices, rules))
}
