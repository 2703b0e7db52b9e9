//! Every flag, as people type it.

use container::value::environment::Entry;
use container::value::ids::UserNamespace;
use container::{Options, Profile, SeccompChoice, Sharing};

use super::*;

fn options(line: &str) -> Result<Options, Failure> {
    let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let (flags, _, words) = parse(NAME, words)?;
    options::options(&flags, words)
}

fn good(line: &str) -> Options {
    options(line).unwrap_or_else(|failure| panic!("{line}: {}", failure.chain()))
}

fn bad(line: &str) -> String {
    match options(line) {
        Ok(_) => panic!("{line}: accepted"),
        Err(failure) => failure.chain(),
    }
}

#[test]
fn the_parser_is_sound() {
    <Flags as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn a_command_that_people_know() {
    let options = good("--name kasun_priority_1 --cpuset-cpus=0 --cpu-shares=20 nginx");
    assert_eq!(options.name.unwrap().as_str(), "kasun_priority_1");
    assert_eq!(options.limits.cpuset_cpus.as_deref(), Some("0"));
    assert_eq!(options.limits.cpu_shares, Some(20));
}

#[test]
fn flags_after_the_image_belong_to_the_program() {
    for (line, image, words) in [
        ("--rm hello --json", "hello", &["--json"][..]),
        ("hello --rm -it", "hello", &["--rm", "-it"]),
        ("-it --rm debian:12 bash -c ls", "debian:12", &["bash", "-c", "ls"]),
        ("hello -- x", "hello", &["--", "x"]),
        ("-- hello --rm", "hello", &["--rm"]),
        ("hello --help", "hello", &["--help"]),
    ] {
        let args = line.split_whitespace().map(OsString::from).collect();
        let (_, found, rest) = parse(NAME, args).unwrap();
        assert_eq!(
            (found.as_str(), rest.as_slice()),
            (image, &words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..]),
            "{line}"
        );
    }
}

#[test]
fn switches_combine_and_take_values() {
    let options = good("-it --rm busybox");
    assert!(options.interactive && options.terminal && options.remove);
    let options = good("-ti --rm=false --read-only=true busybox");
    assert!(options.interactive && options.terminal && !options.remove && options.read_only);
    let options = good("-itv/tmp:/t busybox");
    assert_eq!(options.mounts.len(), 1);
    assert!(bad("--rm=maybe busybox").contains("maybe"));
}

#[test]
fn the_last_of_two_wins_and_lists_grow() {
    let options = good("-m 1g -m 2g -e A=1 --env B=2 -eC=3 x");
    assert_eq!(options.limits.memory, Some(2 << 30));
    assert_eq!(options.process.environment.len(), 3);
}

/// A flag with its value, and what must hold afterwards.
type Row = (&'static str, fn(&Options) -> bool);

#[test]
fn every_flag_arrives() {
    let rows: &[Row] = &[
        ("", |o| !o.interactive && !o.terminal && !o.remove && o.profile == Profile::Standard),
        ("--name web", |o| o.name.as_ref().is_some_and(|name| name.as_str() == "web")),
        ("-l a=b --label c", |o| o.labels.len() == 2),
        ("--annotation a=b", |o| o.annotations == [("a".to_owned(), "b".to_owned())]),
        ("--cidfile /tmp/x --pull never --platform linux -q", |_| true),
        ("-u 5:6", |o| o.process.user.as_deref() == Some("5:6")),
        ("--group-add 5 --group-add wheel", |o| o.process.group_add == ["5", "wheel"]),
        ("-w /x", |o| o.process.workdir.as_deref() == Some("/x")),
        ("--entrypoint /x", |o| o.process.entrypoint == Some(vec!["/x".to_owned()])),
        ("--entrypoint=", |o| o.process.entrypoint == Some(vec![])),
        ("--entrypoint [\"/x\",\"y\"]", |o| {
            o.process.entrypoint.as_ref().is_some_and(|words| words.len() == 2)
        }),
        ("-e A=b", |o| o.process.environment == [Entry::Assignment("A".into(), "b".into())]),
        ("-e A", |o| o.process.environment == [Entry::FromHost("A".into())]),
        ("--env-host --http-proxy", |o| o.process.environment_host && o.process.http_proxy),
        ("--init", |o| o.process.init),
        ("--stop-signal INT", |o| o.process.stop_signal.as_deref() == Some("INT")),
        ("--umask 077", |o| o.process.umask == Some(0o77)),
        ("--ulimit nofile=1:2 --ulimit core=0", |o| o.ulimits.len() == 2),
        ("--oom-score-adj -500", |o| o.process.oom_score_adj == Some(-500)),
        ("--oom-score-adj=-500", |o| o.process.oom_score_adj == Some(-500)),
        ("--profile strict", |o| o.profile == Profile::Strict),
        ("--require-all", |o| o.require_all),
        ("--cap-add NET_ADMIN,sys_time --cap-add ALL", |o| o.security.capabilities_add.len() == 3),
        ("--cap-drop all", |o| o.security.capabilities_drop.len() == 1),
        ("--privileged", |o| o.privileged),
        ("--security-opt no-new-privileges", |o| o.security.no_new_privileges == Some(true)),
        ("--security-opt no-new-privileges:false", |o| o.security.no_new_privileges == Some(false)),
        ("--security-opt seccomp=unconfined", |o| o.security.seccomp == SeccompChoice::Unconfined),
        ("--security-opt seccomp:debug", |o| o.security.seccomp == SeccompChoice::Set("debug".into())),
        ("--security-opt seccomp=docker", |o| o.security.seccomp == SeccompChoice::Docker),
        ("--security-opt seccomp=builtin", |o| o.security.seccomp == SeccompChoice::Profile),
        ("--security-opt apparmor=unconfined", |o| o.security.apparmor.as_deref() == Some("unconfined")),
        ("--security-opt label=disable", |o| o.security.label.disable),
        ("--security-opt label:type:x --security-opt label=level:s0:c1,c2", |o| {
            o.security.label.kind.as_deref() == Some("x")
                && o.security.label.level.as_deref() == Some("s0:c1,c2")
        }),
        ("--security-opt mask=/a:/b", |o| o.security.mask == ["/a", "/b"]),
        ("--security-opt unmask=ALL", |o| o.security.unmask == ["ALL"]),
        ("--security-opt systempaths=unconfined", |o| o.security.unmask == ["ALL"]),
        ("--unmask /proc/kcore:/sys/firmware", |o| o.security.unmask.len() == 2),
        ("--sysctl net.ipv4.ip_forward=1", |o| o.sysctls.len() == 1),
        ("--read-only", |o| o.read_only),
        ("--allow-host-path /proc/", |o| o.allowed_host_paths == [std::path::PathBuf::from("/proc")]),
        ("--userns host", |o| o.namespaces.user == UserNamespace::Host),
        ("--userns=keep-id", |o| o.namespaces.user == UserNamespace::KeepId { uid: None, gid: None }),
        ("--userns=auto:size=10", |o| o.namespaces.user == UserNamespace::Auto { size: 10 }),
        ("--uidmap 0:1:2 --uidmap 5:6:7 --gidmap 0:1:2", |o| {
            o.namespaces.uid_map.len() == 2 && o.namespaces.gid_map.len() == 1
        }),
        ("--pid host", |o| o.namespaces.pid == Sharing::Host),
        ("--ipc=private", |o| o.namespaces.ipc == Sharing::Private),
        ("--ipc=host", |o| o.namespaces.ipc == Sharing::Host),
        ("--uts host", |o| o.namespaces.uts == Sharing::Host),
        ("--pid container:web", |o| o.namespaces.pid == Sharing::Container("web".into())),
        ("--uts container:web", |o| o.namespaces.uts == Sharing::Container("web".into())),
        ("--ipc shareable", |o| o.namespaces.ipc == Sharing::Private),
        ("--cgroupns host", |o| o.namespaces.cgroup == Sharing::Host),
        ("--network host", |o| o.namespaces.network == Sharing::Host),
        ("--net none", |o| o.namespaces.network == Sharing::Private),
        ("-h web --domainname example.org", |o| {
            o.namespaces.host_name.as_deref() == Some("web") && o.namespaces.domain_name.is_some()
        }),
        ("--add-host db:10.0.0.1", |o| o.names.hosts.len() == 1),
        ("--add-host db:host-gateway", |o| o.names.gateway == ["db"]),
        ("-p 8080:80 -p [::1]:53:53/udp --expose 90-92 -P", |o| {
            o.network.ports.len() == 2 && o.network.exposed.len() == 1 && o.network.publish_all
        }),
        ("--network pasta:--mtu,1500", |o| {
            o.network.mode == network::Mode::Pasta(vec!["--mtu".into(), "1500".into()])
        }),
        ("--network container:web", |o| o.network.mode == network::Mode::Container("web".into())),
        ("--no-hosts --no-hostname", |o| o.names.no_hosts && o.names.no_host_name),
        ("--hosts-file none", |o| o.names.base_hosts.as_deref() == Some("")),
        ("--dns 9.9.9.9 --dns-search a.b --dns-opt ndots:2", |o| {
            o.names.servers.len() == 1 && o.names.search.len() == 1 && o.names.options.len() == 1
        }),
        ("-v /tmp:/t:ro --mount type=bind,src=/tmp,dst=/u --tmpfs /v", |o| o.mounts.len() == 3),
        ("--shm-size 1m", |o| o.shm_size == Some(1 << 20)),
        ("--storage-opt size=1g", |o| o.layer_size == Some(1 << 30)),
        ("--env-merge A=${A}b --unsetenv C --unsetenv-all", |o| {
            o.process.environment_merge == [("A".into(), "${A}b".into())]
                && o.process.environment_unset == ["C"]
                && o.process.environment_cleared
        }),
        ("--tz Europe/Berlin --personality LINUX32", |o| {
            o.process.time_zone.as_deref() == Some("Europe/Berlin")
                && o.process.personality.as_deref() == Some("LINUX32")
        }),
        ("--read-only --read-only-tmpfs", |o| o.scratch),
        ("--cgroup-conf memory.high=1g", |o| o.limits.files["memory.high"] == "1g"),
        ("--os linux", |_| true),
        ("--device /dev/fuse:rw", |o| o.devices.len() == 1),
        ("-m 64m --memory-reservation 32m --memory-swap -1 --memory-swappiness 5", |o| {
            o.limits.memory == Some(64 << 20)
                && o.limits.memory_reservation == Some(32 << 20)
                && o.limits.memory_swap == Some(-1)
                && o.limits.memory_swappiness == Some(5)
        }),
        ("--memory 0", |o| o.limits.memory.is_none()),
        ("--oom-kill-disable", |o| o.limits.oom_kill_disable),
        ("--cpus 1.5", |o| o.limits.cpus == Some(1500)),
        ("-c 512", |o| o.limits.cpu_shares == Some(512)),
        ("--cpu-period 50000 --cpu-quota -1", |o| {
            o.limits.cpu_period == Some(50_000) && o.limits.cpu_quota == Some(-1)
        }),
        ("--cpuset-cpus 0-3,5 --cpuset-mems 0", |o| {
            o.limits.cpuset_cpus.is_some() && o.limits.cpuset_mems.is_some()
        }),
        ("--pids-limit -1", |o| o.limits.pids == Some(-1)),
        ("--blkio-weight 300 --blkio-weight-device /dev/sda:20", |o| {
            o.limits.blkio_weight == Some(300) && o.limits.blkio_weight_device.len() == 1
        }),
        ("--device-read-bps /dev/sda:1m --device-write-bps /dev/sda:1", |o| {
            o.limits.device_read_bps.len() == 1 && o.limits.device_write_bps.len() == 1
        }),
        ("--device-read-iops /dev/sda:1 --device-write-iops /dev/sda:1", |o| {
            o.limits.device_read_iops.len() == 1 && o.limits.device_write_iops.len() == 1
        }),
        ("--cgroup-parent /mine/", |o| o.limits.cgroup_parent.as_deref() == Some("/mine")),
        ("--dry-run", |_| true),
    ];
    for (flags, holds) in rows {
        let options = good(&format!("{flags} image"));
        assert!(holds(&options), "{flags}");
    }
}

#[test]
fn bad_values_are_refused_with_the_flag_named() {
    for (line, part) in [
        ("--name a/b x", "--name"),
        ("-m lots x", "--memory"),
        ("--cpus 0 x", "--cpus"),
        ("--cpu-shares 300000 x", "--cpu-shares"),
        ("--memory-swappiness 101 x", "--memory-swappiness"),
        ("--blkio-weight 1001 x", "--blkio-weight"),
        ("--oom-score-adj 1001 x", "--oom-score-adj"),
        ("--cap-add NOPE x", "--cap-add"),
        ("--security-opt nope x", "--security-opt"),
        ("--security-opt seccomp= x", "seccomp="),
        ("--security-opt seccomp=/nonexistent.json x", "/nonexistent.json"),
        ("--security-opt mask=relative x", "mask="),
        ("--unmask ../x x", "--unmask"),
        ("--sysctl kernel.core_pattern=x x", "--sysctl"),
        ("--userns root x", "--userns"),
        ("--pid container: x", "--pid"),
        ("--cgroupns container:y x", "--cgroupns"),
        ("--pid ours x", "--pid"),
        ("--network bridge x", "`--network` cannot be `bridge`"),
        ("--network pasta:--pcap,/x x", "--network"),
        ("-p 80/sctp x", "sctp"),
        ("-p 8000-8001:80-82 x", "--publish"),
        ("--expose x x", "--expose"),
        ("--ip 10.0.0.1 x", "--ip"),
        ("--no-hosts --add-host a:10.0.0.1 x", "--no-hosts"),
        ("--hosts-file /nonexistent x", "/nonexistent"),
        ("--add-host y x", "--add-host"),
        ("--dns name x", "--dns"),
        ("--tmpfs relative x", "--tmpfs"),
        ("--device fuse x", "--device"),
        ("--ulimit files=1 x", "--ulimit"),
        ("--umask 9 x", "--umask"),
        ("--entrypoint [x x", "--entrypoint"),
        ("-e =x x", "--env"),
        ("--env-file /nonexistent x", "/nonexistent"),
        ("--label brig.x=y x", "--label"),
        ("--pull soon x", "--pull"),
        ("--platform plan9/mips x", "--platform"),
        ("--arch mips x", "--arch"),
        ("--os plan9 x", "--os"),
        ("--tz ../shadow x", "--tz"),
        ("--personality BSD x", "--personality"),
        ("--env-merge A x", "--env-merge"),
        ("--device-cgroup-rule all x", "--device-cgroup-rule"),
        ("--cgroup-conf ../x=1 x", "--cgroup-conf"),
        ("--cgroup-conf high=1 x", "--cgroup-conf"),
        ("--profile loose x", "--profile"),
        ("--cgroup-parent ../x x", "--cgroup-parent"),
        ("", "IMAGE"),
    ] {
        let message = bad(line);
        assert!(message.contains(part), "{line}: {message}");
    }
}

#[test]
fn flags_of_later_releases_say_so() {
    for line in ["--network-alias a nginx", "--ip6=::1 nginx", "--gpus all x"] {
        assert!(bad(line).contains("not there yet"), "{line}: {}", bad(line));
    }
    assert!(bad("--nmae x y").contains("--nmae"));
}

#[test]
fn files_are_read_before_flags() {
    let directory = std::env::temp_dir().join(format!("brig-env-{}", std::process::id()));
    std::fs::write(&directory, "A=file\nB=file\n").unwrap();
    let options = good(&format!("-e A=flag --env-file {} x", directory.display()));
    std::fs::remove_file(&directory).unwrap();
    let last = options
        .process
        .environment
        .iter()
        .rfind(|entry| matches!(entry, Entry::Assignment(name, _) if name == "A"));
    assert_eq!(last, Some(&Entry::Assignment("A".into(), "flag".into())));
}

#[test]
fn help_names_every_group() {
    use clap::CommandFactory as _;
    let help = Flags::command().render_help().to_string();
    for group in ["Container:", "Process:", "Protection:", "Namespaces:", "Network:", "Storage:", "Limits:"] {
        assert!(help.contains(group), "{group}");
    }
}
