//! Everything about a container in docker's JSON shape.
//!
//! What docker has no word for is below `Brig`. No secret's value is here, since the record has none.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use oci::runtime::Linux;
use serde_json::{Map, Value, json};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::health::HealthState;
use crate::kept::{Kept, saved_spec};
use crate::monitors::monitors;
use crate::options::{Options, SeccompChoice, SecurityOptions, Sharing};
use crate::record::{Record, RestartPolicy};
use crate::state::{State, Status};
use crate::value::device::BlockValue;
use crate::value::ids::UserNamespace;
use crate::value::name::ContainerId;

/// Docker's time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Everything about a container.
///
/// # Errors
/// [`Error::NoContainer`], [`Error::System`], [`Error::Damaged`].
pub fn inspect(containers: &Containers<'_>, id: &ContainerId) -> Result<Value> {
    let record = containers.record(id)?.ok_or_else(|| Error::NoContainer { name: id.short().to_owned() })?;
    let state = containers.state(id)?;
    let directory = containers.directory_of(id)?;
    // A foreground container that is removed at its end keeps none.
    let options = Kept::read(directory.as_fd(), id).map(|kept| kept.options).unwrap_or_default();
    let spec = saved_spec(&directory, id)?;
    let process = spec.as_ref().and_then(|spec| spec.process.as_ref());
    let linux = spec.as_ref().and_then(|spec| spec.linux.as_ref());
    let health = match &record.health {
        Some(_) => Some(HealthState::read(directory.as_fd())?),
        None => None,
    };
    let path = containers.path_of(id);
    let etc = containers.etc(id);
    let (program, words) =
        record.command.split_first().map_or(("", &[][..]), |(program, words)| (program.as_str(), words));
    let log = match record.log.driver.as_str() {
        "" | "json-file" | "k8s-file" => path.join("log").join(monitor::log::NAME),
        _ => std::path::PathBuf::new(),
    };
    Ok(json!({
        "Id": record.id,
        "Created": created(&record),
        "Path": program,
        "Args": words,
        "State": state_of(&state, health.as_ref()),
        "Image": record.image_id,
        "ResolvConfPath": etc.join("resolv.conf"),
        "HostnamePath": etc.join("hostname"),
        "HostsPath": etc.join("hosts"),
        "LogPath": log,
        "Name": format!("/{}", record.name.as_deref().unwrap_or(id.short())),
        "RestartCount": state.restart_count,
        "Driver": "overlay",
        "Platform": std::env::consts::OS,
        "MountLabel": linux.and_then(|linux| linux.mount_label.as_deref()).unwrap_or_default(),
        "ProcessLabel": process.and_then(|process| process.selinux_label.as_deref()).unwrap_or_default(),
        "AppArmorProfile": process.and_then(|process| process.apparmor_profile.as_deref()).unwrap_or_default(),
        "ExecIDs": null,
        "HostConfig": host_config(&record, &options, linux),
        "GraphDriver": {"Name": "overlay", "Data": {"UpperDir": path.join("upper"), "WorkDir": path.join("work")}},
        "Mounts": mounts(&record),
        "Config": config(&record, &options),
        "NetworkSettings": network(&record, containers.network(id)?.as_ref()),
        "Brig": {
            "Profile": options.profile.name(),
            "Weakenings": record.weakenings,
            "Protections": record.protections,
            "Watched": state.watched,
            "Monitors": monitors(containers, id)?,
        },
    }))
}

/// When it was created as RFC 3339.
fn created(record: &Record) -> String {
    oci::Moment { seconds: record.created, nanoseconds: record.created_nanoseconds }.to_string()
}

fn or_never(time: &str) -> &str {
    if time.is_empty() { NEVER } else { time }
}

fn state_of(state: &State, health: Option<&HealthState>) -> Value {
    let mut value = json!({
        "Status": state.status.name(),
        "Running": state.status.is_running(),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status::Dead,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": or_never(&state.started),
        "FinishedAt": or_never(&state.finished),
    });
    if let Some(health) = health {
        value["Health"] = json!({
            "Status": health.status.name(),
            "FailingStreak": health.failing_streak,
            "Log": health.log,
        });
    }
    value
}

/// `null` where docker has it for an empty list.
fn list<T: serde::Serialize>(items: &[T]) -> Value {
    if items.is_empty() { Value::Null } else { json!(items) }
}

fn block(values: &[BlockValue], word: &str) -> Value {
    values.iter().map(|value| json!({"Path": value.path, word: value.value})).collect::<Vec<_>>().into()
}

fn sharing(sharing: &Sharing, own: &str) -> String {
    match sharing {
        Sharing::Private => own.to_owned(),
        Sharing::Host => "host".to_owned(),
        Sharing::Container(name) => format!("container:{name}"),
    }
}

/// `linux` is what the last start had: until there is one, nothing is hidden.
fn host_config(record: &Record, options: &Options, linux: Option<&Linux>) -> Value {
    let mut value = isolation(record, options);
    value["MaskedPaths"] = json!(linux.map(|linux| &linux.masked_paths));
    value["ReadonlyPaths"] = json!(linux.map(|linux| &linux.readonly_paths));
    if let (Value::Object(all), Value::Object(limits)) = (&mut value, limits(options)) {
        all.extend(limits);
    }
    value
}

/// `--security-opt` as it was given; `--unmask` is one of them.
fn security_options(security: &SecurityOptions) -> Vec<String> {
    let label = &security.label;
    let seccomp = match &security.seccomp {
        SeccompChoice::Profile => None,
        SeccompChoice::Set(name) => Some(name.as_str()),
        SeccompChoice::Docker => Some("docker"),
        SeccompChoice::Custom { path, .. } => Some(path.as_str()),
        SeccompChoice::Unconfined => Some("unconfined"),
    };
    let labels = [
        ("user:", &label.user),
        ("role:", &label.role),
        ("type:", &label.kind),
        ("level:", &label.level),
        ("filetype:", &label.file_kind),
    ];
    let mut words: Vec<String> = seccomp.map(|choice| format!("seccomp={choice}")).into_iter().collect();
    words.extend(security.no_new_privileges.map(|is_on| format!("no-new-privileges={is_on}")));
    words.extend(security.apparmor.as_ref().map(|profile| format!("apparmor={profile}")));
    words.extend(label.disable.then(|| "label=disable".to_owned()));
    words.extend(labels.iter().filter_map(|(word, value)| Some(format!("label={word}{}", value.as_ref()?))));
    words.extend(security.mask.iter().map(|path| format!("mask={path}")));
    words.extend(security.unmask.iter().map(|path| format!("unmask={path}")));
    words
}

/// The part of `HostConfig` that is not about limits.
fn isolation(record: &Record, options: &Options) -> Value {
    let security = &options.security;
    let words = |words: &[crate::capability::Word]| -> Vec<String> {
        words.iter().map(|word| String::from(*word)).collect()
    };
    let hosts: Vec<String> =
        options.names.hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect();
    let servers: Vec<String> = options.names.servers.iter().map(ToString::to_string).collect();
    let sysctls: BTreeMap<&str, &str> =
        options.sysctls.iter().map(|sysctl| (sysctl.name.as_str(), sysctl.value.as_str())).collect();
    let user = match &options.namespaces.user {
        UserNamespace::Default => "",
        UserNamespace::Host => "host",
        UserNamespace::KeepId { .. } => "keep-id",
        UserNamespace::Auto { .. } => "auto",
        UserNamespace::NoMap => "nomap",
    };
    json!({
        "Binds": list(&binds(record)),
        "ContainerIDFile": "",
        "LogConfig": {
            "Type": if record.log.driver.is_empty() { "json-file" } else { &record.log.driver },
            "Config": record.log.options,
        },
        "NetworkMode": record.network.mode,
        "PortBindings": bindings(record),
        "RestartPolicy": restart(&record.restart),
        "AutoRemove": record.remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
        "CapAdd": list(&words(&security.capabilities_add)),
        "CapDrop": list(&words(&security.capabilities_drop)),
        "CgroupnsMode": sharing(&options.namespaces.cgroup, "private"),
        "Dns": servers,
        "DnsOptions": options.names.options,
        "DnsSearch": options.names.search,
        "ExtraHosts": list(&hosts),
        "GroupAdd": list(&options.process.group_add),
        "IpcMode": sharing(&options.namespaces.ipc, "private"),
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": options.process.oom_score_adj.unwrap_or(0),
        "PidMode": sharing(&options.namespaces.pid, ""),
        "Privileged": options.privileged,
        "PublishAllPorts": false,
        "ReadonlyRootfs": options.read_only,
        "SecurityOpt": list(&security_options(security)),
        "UTSMode": sharing(&options.namespaces.uts, ""),
        "UsernsMode": user,
        "ShmSize": options.shm_size.unwrap_or(64 << 20),
        "StorageOpt": options.layer_size.map(|size| json!({"size": size.to_string()})),
        "Sysctls": sysctls,
        "Runtime": "brig",
        "Isolation": "",
        "Init": options.process.init,
    })
}

fn limits(options: &Options) -> Value {
    let limits = &options.limits;
    let ulimits: Vec<Value> = options
        .ulimits
        .iter()
        .map(|limit| {
            let name = limit.kind.trim_start_matches("RLIMIT_").to_ascii_lowercase();
            json!({"Name": name, "Soft": limit.soft, "Hard": limit.hard})
        })
        .collect();
    let devices: Vec<Value> = options
        .devices
        .iter()
        .map(|device| {
            json!({"PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": device.access})
        })
        .collect();
    json!({
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": limits.memory.unwrap_or(0),
        "NanoCpus": limits.cpus.unwrap_or(0) * 1_000_000,
        "CgroupParent": limits.cgroup_parent.clone().unwrap_or_default(),
        "BlkioWeight": limits.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": block(&limits.blkio_weight_device, "Weight"),
        "BlkioDeviceReadBps": block(&limits.device_read_bps, "Rate"),
        "BlkioDeviceWriteBps": block(&limits.device_write_bps, "Rate"),
        "BlkioDeviceReadIOps": block(&limits.device_read_iops, "Rate"),
        "BlkioDeviceWriteIOps": block(&limits.device_write_iops, "Rate"),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "Devices": devices,
        "DeviceCgroupRules": list(&options.device_rules.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "DeviceRequests": null,
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwap": limits.memory_swap.unwrap_or(0),
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids,
        "Ulimits": ulimits,
    })
}

fn restart(policy: &RestartPolicy) -> Value {
    let name = if policy.name.is_empty() { "no" } else { &policy.name };
    json!({"Name": name, "MaximumRetryCount": policy.maximum_retry_count})
}

/// What was asked to be published, by docker's keys.
fn bindings(record: &Record) -> Value {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for publish in &record.network.ports {
        for (at, port) in (publish.container.0..=publish.container.1).enumerate() {
            let at = u16::try_from(at).unwrap_or(0);
            let host = publish.host.map(|host| host.0.saturating_add(at).to_string()).unwrap_or_default();
            bindings
                .entry(format!("{port}/{}", publish.protocol))
                .or_default()
                .push(json!({"HostIp": publish.host_address().to_string(), "HostPort": host}));
        }
    }
    json!(bindings)
}

/// Mounts that have a source, as `-v` spells them.
fn binds(record: &Record) -> Vec<String> {
    let with_source = record.mounts.iter().filter(|mount| !mount.anonymous && mount.kind != "tmpfs");
    with_source
        .map(|mount| {
            let source = if mount.kind == "volume" { &mount.name } else { &mount.source };
            let mode = if mount.mode.is_empty() { String::new() } else { format!(":{}", mount.mode) };
            format!("{source}:{}{mode}", mount.destination)
        })
        .collect()
}

fn mounts(record: &Record) -> Value {
    let mounts = record.mounts.iter().map(|mount| {
        let mut value = json!({
            "Type": mount.kind,
            "Source": mount.source,
            "Destination": mount.destination,
            "Mode": mount.mode,
            "RW": mount.rw,
            "Propagation": mount.propagation,
        });
        if mount.kind == "volume" {
            value["Name"] = mount.name.clone().into();
            value["Driver"] = if mount.driver.is_empty() { "local" } else { &mount.driver }.into();
        }
        value
    });
    mounts.collect::<Vec<_>>().into()
}

fn config(record: &Record, options: &Options) -> Value {
    let process = &record.process;
    let object = |keys: &[String]| -> Value {
        match keys.is_empty() {
            true => Value::Null,
            false => keys.iter().map(|key| (key.clone(), json!({}))).collect::<Map<_, _>>().into(),
        }
    };
    let mut value = json!({
        "Hostname": process.hostname,
        "Domainname": options.namespaces.domain_name.clone().unwrap_or_default(),
        "User": process.user,
        "AttachStdin": record.attached.stdin,
        "AttachStdout": record.attached.stdout,
        "AttachStderr": record.attached.stderr,
        "Tty": record.tty,
        "OpenStdin": record.open_stdin,
        "StdinOnce": record.attached.stdin,
        "Env": process.env,
        "Cmd": list(&process.arguments),
        "Image": record.image,
        "Volumes": object(&process.image_volumes),
        "WorkingDir": process.workdir,
        "Entrypoint": process.entrypoint,
        "OnBuild": null,
        "Labels": record.labels,
        "StopSignal": signal_name(record.stop_signal),
    });
    if !process.exposed_ports.is_empty() {
        value["ExposedPorts"] = object(&process.exposed_ports);
    }
    if let Some(timeout) = record.stop_timeout {
        value["StopTimeout"] = timeout.into();
    }
    if let Some(health) = &record.health {
        value["Healthcheck"] = json!({
            "Test": health.test,
            "Interval": health.interval,
            "Timeout": health.timeout,
            "StartPeriod": health.start_period,
            "StartInterval": health.start_interval,
            "Retries": health.retries,
        });
    }
    value
}

/// `SIGTERM` and the like; the number of one that has no name.
fn signal_name(signal: i32) -> String {
    crate::spec::signal_name(signal).map_or_else(|| signal.to_string(), |name| format!("SIG{name}"))
}

fn network(record: &Record, state: Option<&network::State>) -> Value {
    // Ports that are known and not published are there without a binding.
    let mut ports: BTreeMap<String, Option<Vec<Value>>> =
        record.network.exposed.iter().map(|port| (port.clone(), None)).collect();
    for port in state.map_or(&[][..], |state| &state.ports) {
        let key = format!("{}/{}", port.container_port, port.protocol);
        ports
            .entry(key)
            .or_default()
            .get_or_insert_default()
            .push(json!({"HostIp": port.host_ip.to_string(), "HostPort": port.host_port.to_string()}));
    }
    let addresses = || state.into_iter().flat_map(|state| &state.addresses);
    let text = |address: Option<&std::net::IpAddr>| address.map(ToString::to_string).unwrap_or_default();
    let (four, six) = (
        text(addresses().find(|address| address.is_ipv4())),
        text(addresses().find(|address| address.is_ipv6())),
    );
    let gateway = text(state.and_then(|state| state.gateway.as_ref()));
    let endpoint = json!({
        "IPAddress": four,
        "Gateway": gateway,
        "GlobalIPv6Address": six,
        "MacAddress": "",
        "Aliases": null,
    });
    let networks: Map<String, Value> = match record.network.mode.as_str() {
        "" => Map::new(),
        mode => std::iter::once((mode.to_owned(), endpoint)).collect(),
    };
    json!({
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": ports,
        "Gateway": gateway,
        "GlobalIPv6Address": six,
        "IPAddress": four,
        "IPPrefixLen": 0,
        "MacAddress": "",
        "Networks": networks,
    })
}
