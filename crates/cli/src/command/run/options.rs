//! From the flags as text to [`container::Options`].

use container::Notify;
use container::time_zone;
use container::value::{device, environment, ids, keys, label, log, mount, name, rlimit, size, sysctl};
use container::{Error, LabelOptions, NetworkOptions, Options, Profile, SeccompChoice, Sharing, Streams};
use network::Mode;

use super::flags::Flags;
use crate::error::{ENGINE_ERROR, Failure};
use crate::{input, site};

/// Most bytes of a file of `--hosts-file`.
const MAX_HOSTS: u64 = 1 << 20;
/// A seccomp profile of a person's own is at most this long, as the `seccomp` crate has it.
const MAX_PROFILE: u64 = 1 << 20;

/// Reads what files the flags name and parses every value.
pub(super) fn options(flags: &Flags, command: Vec<String>) -> Result<Options, Failure> {
    let mut options = Options {
        profile: flags
            .profile
            .as_deref()
            .map(Profile::parse)
            .transpose()
            .map_err(failure)?
            .unwrap_or_default(),
        privileged: flags.privileged,
        name: flags.name.as_deref().map(name::Name::new).transpose().map_err(failure)?,
        remove: flags.rm,
        interactive: flags.interactive,
        terminal: flags.tty,
        read_only: flags.read_only,
        scratch: flags.read_only_tmpfs,
        require_all: flags.require_all,
        detached: flags.detach,
        attached: streams(flags),
        restart: restart(flags)?,
        log: log::parse(flags.log_driver.as_deref(), &flags.log_opt).map_err(failure)?,
        health: flags.health.parse().map_err(failure)?,
        stop_timeout: flags.stop_timeout,
        timeout: flags.timeout,
        detach_keys: flags
            .detach_keys
            .as_deref()
            .map(|text| keys::parse(text).map(|_| text.to_owned()))
            .transpose()
            .map_err(failure)?,
        notify: flags
            .sdnotify
            .as_deref()
            .map(Notify::parse)
            .transpose()
            .map_err(failure)?
            .unwrap_or_default(),
        pid_file: flags.pidfile.as_deref().map(input::absolute).transpose()?,
        ..Options::default()
    };
    options.process.command = command;
    process(flags, &mut options)?;
    labels(flags, &mut options)?;
    parsed(flags, &mut options).map_err(failure)?;
    hosts_file(flags, &mut options)?;
    limits(flags, &mut options).map_err(failure)?;
    for option in &flags.security_opt {
        security(option, &mut options)?;
    }
    Ok(options)
}

/// All streams stay with a command of the foreground unless some are named.
fn streams(flags: &Flags) -> Streams {
    let has = |name: &str| {
        let is_named = flags.attach.iter().any(|stream| stream.eq_ignore_ascii_case(name));
        !flags.detach && (is_named || flags.attach.is_empty())
    };
    Streams { stdin: flags.interactive && has("stdin"), stdout: has("stdout"), stderr: has("stderr") }
}

/// `--restart` of a container that stays.
fn restart(flags: &Flags) -> Result<container::RestartPolicy, Failure> {
    let Some(text) = flags.restart.as_deref() else { return Ok(container::RestartPolicy::default()) };
    let policy = restart_policy(text)?;
    if flags.rm && policy.name != monitor::restart::Policy::No.name() {
        return Err(failure(container::restart_of_removed()));
    }
    Ok(policy)
}

/// `--restart`: its name and `on-failure`'s number.
pub(crate) fn restart_policy(text: &str) -> Result<container::RestartPolicy, Failure> {
    let policy: monitor::restart::Policy = text.parse().map_err(|_| {
        let expected = "use no, on-failure[:TIMES], always or unless-stopped";
        failure(value("--restart", text, expected))
    })?;
    Ok(container::RestartPolicy { name: policy.name().to_owned(), maximum_retry_count: policy.maximum() })
}

/// Wraps an error of the library with its hint.
pub(crate) fn failure(error: Error) -> Failure {
    let (hint, code) = (error.hint(), error.exit_code());
    let failure = match error {
        Error::Store(error) => site::of_store(error),
        Error::Ids(_)
        | Error::Unprotected(_)
        | Error::Runtime(_)
        | Error::System { .. }
        | Error::Files(_) => Failure::environment(error),
        _ => Failure::user(error),
    };
    // 125 is the engine's own failure, for which each command has its code.
    let failure = if code == ENGINE_ERROR { failure } else { failure.code(code) };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn process(flags: &Flags, options: &mut Options) -> Result<(), Failure> {
    let process = &mut options.process;
    process.entrypoint = flags.entrypoint.as_deref().map(entrypoint).transpose()?;
    process.user.clone_from(&flags.user);
    process.group_add.clone_from(&flags.group_add);
    process.workdir.clone_from(&flags.workdir);
    process.environment_host = flags.env_host;
    process.http_proxy = flags.http_proxy;
    process.init = flags.init;
    process.stop_signal.clone_from(&flags.stop_signal);
    process.umask =
        flags.umask.as_deref().map(|mode| mount::parse_mode("--umask", mode)).transpose().map_err(failure)?;
    for path in &flags.env_file {
        let bytes = input::read(path, environment::MAX_FILE as u64)?;
        process.environment.extend(environment::parse_file("--env-file", path, &bytes).map_err(failure)?);
    }
    for entry in &flags.env {
        process.environment.push(environment::parse("--env", entry).map_err(failure)?);
    }
    for text in &flags.env_merge {
        match environment::parse("--env-merge", text).map_err(failure)? {
            environment::Entry::Assignment(name, value) => process.environment_merge.push((name, value)),
            environment::Entry::FromHost(_) => {
                return Err(failure(value("--env-merge", text, "use NAME=VALUE")));
            }
        }
    }
    process.environment_unset.clone_from(&flags.unsetenv);
    process.environment_cleared = flags.unsetenv_all;
    process.time_zone = flags.tz.as_deref().map(time_zone::parse).transpose().map_err(failure)?;
    process.personality = match flags.personality.as_deref() {
        None => None,
        Some(domain @ ("LINUX" | "LINUX32")) => Some(domain.to_owned()),
        Some(other) => return Err(failure(value("--personality", other, "use LINUX or LINUX32"))),
    };
    if let Some(score) = &flags.oom_score_adj {
        let number: i32 = size::parse_number("--oom-score-adj", score).map_err(failure)?;
        if !(-1000..=1000).contains(&number) {
            return Err(Failure::user(format!("`--oom-score-adj` cannot be `{score}`: use -1000 to 1000")));
        }
        process.oom_score_adj = Some(number);
    }
    Ok(())
}

/// `--entrypoint`: one word, a JSON list of words, or nothing at all.
fn entrypoint(text: &str) -> Result<Vec<String>, Failure> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|_| {
            Failure::user(format!("`--entrypoint` cannot be `{text}`: it is no JSON list of strings"))
        });
    }
    Ok(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] })
}

fn labels(flags: &Flags, options: &mut Options) -> Result<(), Failure> {
    for path in &flags.label_file {
        let bytes = input::read(path, environment::MAX_FILE as u64)?;
        options.labels.extend(label::parse_file("--label-file", path, &bytes).map_err(failure)?);
    }
    for text in &flags.label {
        options.labels.push(label::parse("--label", text).map_err(failure)?);
    }
    for text in &flags.annotation {
        options.annotations.push(label::parse("--annotation", text).map_err(failure)?);
    }
    Ok(())
}

/// Namespaces, mounts, devices, capabilities, sysctls, names.
fn parsed(flags: &Flags, options: &mut Options) -> container::Result<()> {
    let namespaces = &mut options.namespaces;
    namespaces.user = flags.userns.as_deref().map(ids::UserNamespace::parse).transpose()?.unwrap_or_default();
    namespaces.uid_map =
        flags.uidmap.iter().map(|map| ids::parse_map("--uidmap", map)).collect::<Result<_, _>>()?;
    namespaces.gid_map =
        flags.gidmap.iter().map(|map| ids::parse_map("--gidmap", map)).collect::<Result<_, _>>()?;
    namespaces.pid = sharing("--pid", flags.pid.as_deref())?;
    namespaces.ipc = sharing("--ipc", flags.ipc.as_deref())?;
    namespaces.uts = sharing("--uts", flags.uts.as_deref())?;
    namespaces.cgroup = sharing("--cgroupns", flags.cgroupns.as_deref())?;
    options.network = network(flags)?;
    if options.network.mode == Mode::Host {
        namespaces.network = Sharing::Host;
    }
    let host_name =
        |flag, text: &Option<String>| text.as_deref().map(|text| name::host_name(flag, text)).transpose();
    namespaces.host_name = host_name("--hostname", &flags.hostname)?;
    namespaces.domain_name = host_name("--domainname", &flags.domainname)?;

    let mounts = &mut options.mounts;
    for text in &flags.volume {
        mounts.push(mount::parse_volume(text)?);
    }
    for text in &flags.mount {
        mounts.push(mount::parse_mount(text)?);
    }
    for text in &flags.tmpfs {
        mounts.push(mount::parse_tmpfs(text)?);
    }
    options.secrets =
        flags.secret.iter().map(|text| container::value::secret::parse(text)).collect::<Result<_, _>>()?;
    options.volumes_from.clone_from(&flags.volumes_from);
    if let Some(driver) = flags.volume_driver.as_deref().filter(|driver| *driver != "local") {
        return Err(value("--volume-driver", driver, "`local` is the one there is"));
    }
    match flags.image_volume.as_deref() {
        None | Some("anonymous" | "bind") => {}
        Some("ignore") => options.ignore_image_volumes = true,
        Some(other) => return Err(value("--image-volume", other, "use anonymous or ignore")),
    }
    options.shm_size =
        flags.shm_size.as_deref().map(|text| size::parse_size("--shm-size", text)).transpose()?;
    for text in &flags.storage_opt {
        options.layer_size = Some(layer_size(text)?);
    }
    for path in &flags.allow_host_path {
        options.allowed_host_paths.push(container::resolve(path)?.resolved);
    }
    options.devices = flags.device.iter().map(|text| device::parse(text)).collect::<Result<_, _>>()?;
    options.device_rules =
        flags.device_cgroup_rule.iter().map(|text| device::parse_rule(text)).collect::<Result<_, _>>()?;

    let words = |flag, texts: &[String]| {
        texts
            .iter()
            .flat_map(|text| text.split(','))
            .map(|text| container::parse_capability(flag, text))
            .collect::<Result<Vec<_>, _>>()
    };
    options.security.capabilities_add = words("--cap-add", &flags.cap_add)?;
    options.security.capabilities_drop = words("--cap-drop", &flags.cap_drop)?;
    for text in &flags.unmask {
        options.security.unmask.extend(paths("--unmask", text)?);
    }
    options.sysctls = flags.sysctl.iter().map(|text| sysctl::parse(text)).collect::<Result<_, _>>()?;
    options.ulimits = flags.ulimit.iter().map(|text| rlimit::parse(text)).collect::<Result<_, _>>()?;

    for text in &flags.add_host {
        match label::parse_host(text)? {
            (name, Some(address)) => options.names.hosts.push((name, address)),
            (name, None) => options.names.gateway.push(name),
        }
    }
    for text in &flags.dns {
        let address = text.parse().map_err(|_| value("--dns", text, "use an IP address"))?;
        options.names.servers.push(address);
    }
    options.names.search =
        flags.dns_search.iter().map(|text| resolver_word("--dns-search", text)).collect::<Result<_, _>>()?;
    options.names.options =
        flags.dns_option.iter().map(|text| resolver_word("--dns-option", text)).collect::<Result<_, _>>()?;
    Ok(())
}

fn value(flag: &'static str, value: &str, reason: &str) -> Error {
    Error::Value { flag, value: value.escape_debug().to_string(), reason: reason.to_owned() }
}

/// `size=10g`, the one option of a writable layer that there is.
fn layer_size(text: &str) -> container::Result<u64> {
    let Some(("size", size)) = text.split_once('=') else {
        return Err(value("--storage-opt", text, "use size=SIZE"));
    };
    match u64::try_from(size::parse_size("--storage-opt", size)?) {
        Ok(0) | Err(_) => Err(value("--storage-opt", text, "0 bytes are no size")),
        Ok(size) => Ok(size),
    }
}

/// A word that can stand on a line of resolv.conf(5).
fn resolver_word(flag: &'static str, text: &str) -> container::Result<String> {
    let good = !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err(value(flag, text, "use a word without blanks")) }
}

fn sharing(flag: &'static str, text: Option<&str>) -> container::Result<Sharing> {
    match text {
        None | Some("" | "private" | "shareable") => Ok(Sharing::Private),
        Some("host") => Ok(Sharing::Host),
        Some(text) => match text.strip_prefix("container:") {
            Some(_) if flag == "--cgroupns" => Err(value(flag, text, "use private or host")),
            // As long as a name or an id may be.
            Some(name) if !name.is_empty() && name.len() <= 256 => Ok(Sharing::Container(name.to_owned())),
            _ => Err(value(flag, text, "use private, host or container:NAME")),
        },
    }
}

fn network(flags: &Flags) -> container::Result<NetworkOptions> {
    for (flag, is_given) in [
        ("--ip", flags.ip.is_some()),
        ("--ip6", flags.ip6.is_some()),
        ("--mac-address", flags.mac_address.is_some()),
    ] {
        if is_given {
            let instead = "it comes with bridges: `--network pasta:--address,ADDRESS` and `pasta:--ns-mac-addr,ADDRESS` set the container's own";
            return Err(Error::NotYet { what: flag.to_owned(), instead });
        }
    }
    Ok(NetworkOptions {
        mode: flags.network.as_deref().map_or(Ok(Mode::Default), Mode::parse)?,
        ports: flags.publish.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        publish_all: flags.publish_all,
        exposed: flags.expose.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
    })
}

/// `--hosts-file`: a file's text, or nothing with `none`.
fn hosts_file(flags: &Flags, options: &mut Options) -> Result<(), Failure> {
    options.names.no_hosts = flags.no_hosts;
    options.names.no_host_name = flags.no_hostname;
    options.names.base_hosts = match flags.hosts_file.as_deref() {
        None => None,
        Some("none") => Some(String::new()),
        Some(path) => {
            let bytes = input::read(path, MAX_HOSTS)?;
            let text = String::from_utf8(bytes);
            Some(text.map_err(|_| Failure::user(format!("`{}` is not UTF-8", path.escape_debug())))?)
        }
    };
    if flags.no_hosts && (flags.hosts_file.is_some() || !flags.add_host.is_empty()) {
        return Err(Failure::user(
            "`--no-hosts` leaves no file that `--add-host` or `--hosts-file` could write",
        ));
    }
    Ok(())
}

/// Paths of `mask=` and `unmask=`, joined by `:`.
fn paths(flag: &'static str, text: &str) -> container::Result<Vec<String>> {
    text.split(':')
        .map(|path| match path {
            "ALL" | "all" if flag != "mask=" => Ok("ALL".to_owned()),
            _ if path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..") => {
                Ok(path.trim_end_matches('/').to_owned())
            }
            _ => Err(value(flag, path, "use absolute paths, joined by `:`, or ALL")),
        })
        .collect()
}

fn limits(flags: &Flags, options: &mut Options) -> container::Result<()> {
    let limits = &mut options.limits;
    flags.limits.parse(limits)?;
    limits.oom_kill_disable = flags.oom_kill_disable;
    let rates = |flag, texts: &[String]| {
        texts.iter().map(|text| device::parse_bytes(flag, text)).collect::<Result<Vec<_>, _>>()
    };
    let counts = |flag, texts: &[String]| {
        texts.iter().map(|text| device::parse_operations(flag, text)).collect::<Result<Vec<_>, _>>()
    };
    limits.blkio_weight_device = flags
        .blkio_weight_device
        .iter()
        .map(|text| device::parse_weight("--blkio-weight-device", text))
        .collect::<Result<_, _>>()?;
    limits.device_read_bps = rates("--device-read-bps", &flags.device_read_bps)?;
    limits.device_write_bps = rates("--device-write-bps", &flags.device_write_bps)?;
    limits.device_read_iops = counts("--device-read-iops", &flags.device_read_iops)?;
    limits.device_write_iops = counts("--device-write-iops", &flags.device_write_iops)?;
    for text in &flags.cgroup_conf {
        let (file, content) = cgroup_file(text)?;
        limits.files.insert(file, content);
    }
    limits.cgroup_parent = flags.cgroup_parent.as_deref().map(cgroup_parent).transpose()?;
    Ok(())
}

/// `memory.high=1g`: a file of cgroup v2 by name, and one line for it.
fn cgroup_file(text: &str) -> container::Result<(String, String)> {
    let good = |name: &str| {
        name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match text.split_once('=') {
        Some((name, content)) if good(name) && !content.is_empty() && !content.contains(char::is_control) => {
            Ok((name.to_owned(), content.to_owned()))
        }
        _ => Err(value("--cgroup-conf", text, "use FILE=VALUE, as in memory.high=1g")),
    }
}

/// A path below the control groups' mount point, or a systemd slice.
fn cgroup_parent(text: &str) -> container::Result<String> {
    let good = text.split('/').all(|part| part != ".." && part.bytes().all(|byte| byte.is_ascii_graphic()));
    match text.trim_end_matches('/') {
        path if good && !path.is_empty() => Ok(path.to_owned()),
        _ => Err(value("--cgroup-parent", text, "use a path without `..` and blanks")),
    }
}

/// One `--security-opt`, with `=` or, as older scripts have it, `:`.
fn security(text: &str, options: &mut Options) -> Result<(), Failure> {
    let (key, argument) = match text.split_once(['=', ':']) {
        Some((key, argument)) => (key, Some(argument)),
        None => (text, None),
    };
    let bad = |reason: &str| failure(value("--security-opt", text, reason));
    let security = &mut options.security;
    match (key, argument) {
        ("no-new-privileges", None | Some("true" | "1")) => security.no_new_privileges = Some(true),
        ("no-new-privileges", Some("false" | "0")) => security.no_new_privileges = Some(false),
        ("seccomp", Some(argument)) => security.seccomp = seccomp(argument)?,
        ("apparmor", Some(profile)) if !profile.is_empty() => security.apparmor = Some(profile.to_owned()),
        ("label", Some(label)) if !label.is_empty() => return label_part(text, label, &mut security.label),
        ("mask", Some(list)) => security.mask.extend(paths("mask=", list).map_err(failure)?),
        ("unmask", Some(list)) => security.unmask.extend(paths("unmask=", list).map_err(failure)?),
        ("systempaths", Some("unconfined")) => security.unmask.push("ALL".to_owned()),
        ("writable-cgroups" | "proc-opts", _) => {
            let instead = "it comes later".to_owned();
            return Err(Failure::user(format!("`--security-opt {text}` is not there yet: {instead}")));
        }
        _ => return Err(bad("use seccomp=, no-new-privileges, apparmor=, label=, mask= or unmask=")),
    }
    Ok(())
}

/// `label=disable`, or one part of an SELinux context.
fn label_part(text: &str, label: &str, options: &mut LabelOptions) -> Result<(), Failure> {
    if label == "disable" {
        options.disable = true;
        return Ok(());
    }
    // A part goes into a context as it is: colons would make other parts of it, but in a level.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let (part, argument) = label.split_once(':').unwrap_or((label, ""));
    let is_good = |byte: u8| plain(byte) || (part == "level" && matches!(byte, b':' | b','));
    let place = match part {
        "user" => &mut options.user,
        "role" => &mut options.role,
        "type" => &mut options.kind,
        "level" => &mut options.level,
        "filetype" => &mut options.file_kind,
        _ => {
            let reason =
                "use label=disable, or user:, role:, type:, level: or filetype: and a part of a context";
            return Err(failure(value("--security-opt", text, reason)));
        }
    };
    if argument.is_empty() || !argument.bytes().all(is_good) {
        return Err(failure(value("--security-opt", text, "it is no part of an SELinux context")));
    }
    *place = Some(argument.to_owned());
    Ok(())
}

fn seccomp(text: &str) -> Result<SeccompChoice, Failure> {
    Ok(match text {
        "unconfined" => SeccompChoice::Unconfined,
        "builtin" | "default" | "standard" => SeccompChoice::Profile,
        "docker" => SeccompChoice::Docker,
        "debug" | "compat32" | "nested" | "strict" => SeccompChoice::Set(text.to_owned()),
        "" => return Err(Failure::user("`--security-opt seccomp=` names neither a file nor a set")),
        path => SeccompChoice::Custom { path: path.to_owned(), json: input::read(path, MAX_PROFILE)? },
    })
}
