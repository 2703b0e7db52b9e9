//! Whole specifications as snapshots, and a row for each rule and CVE that a specification must hold.

use std::collections::BTreeMap;

use idmap::Span;
use oci::image::Config;
use oci::runtime::{IdMapping, NamespaceKind, Spec};

use super::*;
use crate::capability::Word;
use crate::host::{DeviceNode, Source};
use crate::value::ids::UserNamespace;
use crate::value::{device, environment, mount, rlimit, sysctl};

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
const GROUP: &[u8] = b"root:x:0:\nann:x:1000:\nwheel:x:10:ann\n";

fn config() -> Config {
    Config {
        env: vec!["PATH=/usr/bin:/bin".into(), "LANG=C.UTF-8".into()],
        cmd: vec!["sh".into()],
        ..Config::default()
    }
}

fn root_host() -> Host {
    Host {
        uid: 0,
        gid: 0,
        ids: IdSource::Range(Span { start: 2_000_224_256, count: 65_536 }),
        environment: vec![("SECRET".into(), "hunter2".into()), ("HTTP_PROXY".into(), "http://u:p@x".into())],
        kernel: (6, 18),
        unified: true,
        queues: true,
        memory: 8 << 30,
        thermal: vec![],
        hard_limits: BTreeMap::from([("RLIMIT_NOFILE", 20_000), ("RLIMIT_CORE", u64::MAX)]),
        raises_limits: false,
        network: crate::NetworkFacts {
            provider: ::network::Provider::Pasta("/usr/bin/pasta".into()),
            host: ::network::Host {
                address: Some("192.0.2.7".parse().unwrap()),
                interface: Some("wlan0".into()),
                ..::network::Host::default()
            },
            resolver: "nameserver 127.0.0.53\n".into(),
            peer: None,
        },
        modules: crate::lsm::Modules::OFF,
        own_directories: vec!["/srv/brig".into()],
        peers: crate::Peers::default(),
        container: PathBuf::from("/var/lib/brig/containers/x"),
        images: std::collections::BTreeMap::new(),
        volumes: std::collections::BTreeMap::new(),
        sources: ["/srv/data", "/etc", "/proc", "/run/docker.sock", "/srv/link"]
            .into_iter()
            .map(|path| {
                let resolved = if path == "/srv/link" { "/etc" } else { path };
                (path.to_owned(), {
                    let socket = resolved.ends_with(".sock");
                    Source { resolved: resolved.into(), directory: true, identity: (1, 2), socket }
                })
            })
            .collect(),
        devices: BTreeMap::from([
            ("/dev/fuse".to_owned(), DeviceNode { kind: 'c', major: 10, minor: 229, mode: 0o666 }),
            ("/dev/sda".to_owned(), DeviceNode { kind: 'b', major: 8, minor: 0, mode: 0o660 }),
        ]),
    }
}

fn user_host() -> Host {
    let span = Span { start: 100_000, count: 65_536 };
    let ids = IdSource::Subordinate { uids: vec![span], gids: vec![span] };
    Host { uid: 1000, gid: 1000, ids, ..root_host() }
}

fn single_host() -> Host {
    Host { ids: IdSource::Single("no subordinate ids".into()), ..user_host() }
}

fn try_build(config: &Config, options: &Options, host: &Host) -> Result<Configured> {
    let accounts = Accounts::parse(PASSWD, GROUP).unwrap();
    let files = EngineFiles {
        hosts: "/srv/brig/c/hosts".into(),
        host_name: "/srv/brig/c/hostname".into(),
        resolver: "/srv/brig/c/resolv.conf".into(),
        time_zone: "/srv/brig/c/localtime".into(),
        notify: "/srv/brig/c/notify".into(),
    };
    let id = ContainerId::from_bytes([0xab; 32]);
    build(&id, Image { config, accounts: &accounts }, options, host, Some(&files))
}

fn built(options: &Options) -> Configured {
    try_build(&config(), options, &root_host()).unwrap()
}

fn failure(options: &Options) -> String {
    try_build(&config(), options, &root_host()).unwrap_err().to_string()
}

/// The filter is tested in its own crate and would fill hundreds of lines here.
fn shown(configured: &Configured) -> Spec {
    let mut spec = configured.spec.clone();
    if let Some(filter) = spec.linux.as_mut().and_then(|linux| linux.seccomp.as_mut()) {
        filter.syscalls.clear();
    }
    spec
}

fn caps(configured: &Configured) -> Vec<String> {
    configured.spec.process.as_ref().unwrap().capabilities.as_ref().unwrap().effective.clone()
}

fn opened(configured: &Configured) -> Vec<&str> {
    configured.weakenings.iter().map(|weakening| weakening.flag.as_str()).collect()
}

fn linux(configured: &Configured) -> &Linux {
    configured.spec.linux.as_ref().unwrap()
}

fn process(configured: &Configured) -> &Process {
    configured.spec.process.as_ref().unwrap()
}

#[test]
fn the_default_as_root() {
    let configured = built(&Options::default());
    assert_eq!(configured.weakenings, []);
    assert!(configured.protections.iter().all(Protection::is_applied));
    insta::assert_json_snapshot!("standard-root", shown(&configured));
}

#[test]
fn the_default_as_a_user() {
    let configured = try_build(&config(), &Options::default(), &user_host()).unwrap();
    assert_eq!(configured.weakenings, []);
    assert_eq!(
        linux(&configured).uid_mappings,
        [
            IdMapping { container_id: 0, host_id: 1000, size: 1 },
            IdMapping { container_id: 1, host_id: 100_000, size: 65_536 }
        ]
    );
    assert_eq!(linux(&configured).sysctl["net.ipv4.ping_group_range"], "0 65536");
    assert!(linux(&configured).resources.as_ref().unwrap().devices.is_empty());
}

#[test]
fn the_strict_profile() {
    let options = Options { profile: Profile::Strict, ..Options::default() };
    insta::assert_json_snapshot!("strict-root", shown(&built(&options)));
    let root = Options { process: user("0"), ..options.clone() };
    assert!(failure(&root).contains("`--profile strict` refuses"));
    let root_group = Options { process: user("5:0"), ..options.clone() };
    assert!(failure(&root_group).contains("group"));
    let by_name = Options { process: user("root"), ..options };
    assert!(failure(&by_name).contains("it is root"));
}

fn user(text: &str) -> crate::options::ProcessOptions {
    crate::options::ProcessOptions { user: Some(text.into()), ..Default::default() }
}

#[test]
fn the_docker_profile_names_all_that_it_opens() {
    let configured = built(&Options { profile: Profile::Docker, ..Options::default() });
    assert_eq!(caps(&configured).len(), 14);
    assert!(!process(&configured).no_new_privileges);
    assert!(opened(&configured).contains(&"--profile docker"));
    assert_eq!(configured.default_limits.pids, None);
}

#[test]
fn cve_2022_24769_inheritable_and_ambient_are_empty() {
    let configured = built(&Options::default());
    let sets = process(&configured).capabilities.clone().unwrap();
    assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
    assert_eq!(sets.bounding.len(), 8);
    assert_eq!(sets.bounding, sets.effective);
    assert_eq!(sets.bounding, sets.permitted);
}

#[test]
fn a_user_other_than_root_gets_no_capability() {
    let configured = built(&Options { process: user("ann"), ..Options::default() });
    assert_eq!(process(&configured).capabilities, Some(oci::runtime::Capabilities::default()));
    let mut options = Options { process: user("ann"), ..Options::default() };
    options.security.capabilities_add = vec![Word::One("CAP_NET_ADMIN")];
    let configured = built(&options);
    let sets = process(&configured).capabilities.clone().unwrap();
    assert_eq!(sets.bounding, ["CAP_NET_ADMIN"]);
    assert_eq!(sets.ambient, ["CAP_NET_ADMIN"]);
}

#[test]
fn every_opening_flag_is_recorded() {
    type Change = fn(&mut Options);
    let rows: &[(Change, &str)] = &[
        (|o| o.namespaces.user = UserNamespace::Host, "--userns=host"),
        (|o| o.namespaces.pid = Sharing::Host, "--pid host"),
        (|o| o.namespaces.ipc = Sharing::Host, "--ipc host"),
        (|o| o.namespaces.uts = Sharing::Host, "--uts host"),
        (|o| o.namespaces.cgroup = Sharing::Host, "--cgroupns host"),
        (|o| o.namespaces.network = Sharing::Host, "--network host"),
        (|o| o.security.capabilities_add = vec![Word::One("CAP_SYS_ADMIN")], "--cap-add SYS_ADMIN"),
        (|o| o.security.capabilities_add = vec![Word::All], "--cap-add ALL"),
        (|o| o.security.no_new_privileges = Some(false), "--security-opt no-new-privileges=false"),
        (|o| o.security.unmask = vec!["ALL".into()], "--unmask ALL"),
        (|o| o.security.unmask = vec!["/proc/kcore".into()], "--unmask /proc/kcore"),
        (|o| o.devices = vec![device::parse("/dev/fuse").unwrap()], "--device /dev/fuse"),
        (
            |o| o.mounts = vec![mount::parse_volume("/srv/data:/d:suid").unwrap()],
            "--volume /srv/data:/d:suid",
        ),
        (|o| o.mounts = vec![mount::parse_tmpfs("/d:dev").unwrap()], "--tmpfs /d:dev"),
        (|o| o.process.environment_host = true, "--env-host"),
        (|o| o.process.http_proxy = true, "--http-proxy"),
        (|o| o.process.oom_score_adj = Some(-500), "--oom-score-adj -500"),
        (|o| o.limits.pids = Some(-1), "--pids-limit -1"),
        (|o| o.privileged = true, "--privileged"),
        (|o| o.profile = Profile::Docker, "--profile docker"),
        (|o| o.namespaces.uid_map = vec![IdMapping { container_id: 0, host_id: 0, size: 100 }], "--uidmap"),
        (
            |o| {
                o.mounts = vec![mount::parse_volume("/etc:/d").unwrap()];
                o.allowed_host_paths = vec!["/etc".into()];
            },
            "--allow-host-path /etc",
        ),
        (|o| o.security.seccomp = crate::SeccompChoice::Unconfined, "--security-opt seccomp=unconfined"),
        (|o| o.security.seccomp = crate::SeccompChoice::Set("debug".into()), "--security-opt seccomp=debug"),
    ];
    for (change, flag) in rows {
        let mut options = Options::default();
        change(&mut options);
        let configured = built(&options);
        assert!(opened(&configured).contains(flag), "{flag}: {:?}", configured.weakenings);
    }
}

#[test]
fn harmless_flags_are_no_weakening() {
    type Change = fn(&mut Options);
    let rows: &[Change] = &[
        |o| o.read_only = true,
        |o| o.security.capabilities_drop = vec![Word::All],
        |o| o.limits.memory = Some(1 << 30),
        |o| o.mounts = vec![mount::parse_volume("/srv/data:/d").unwrap()],
        |o| o.security.unmask = vec!["/nonexistent".into()],
        |o| o.sysctls = vec![sysctl::parse("net.ipv4.ip_forward=1").unwrap()],
        |o| o.namespaces.user = UserNamespace::Auto { size: 1024 },
        |o| o.process.environment = vec![environment::parse("--env", "SECRET").unwrap()],
    ];
    for (at, change) in rows.iter().enumerate() {
        let mut options = Options::default();
        change(&mut options);
        assert_eq!(built(&options).weakenings, [], "row {at}");
    }
}

#[test]
fn the_guard_sees_through_links_and_names_the_flag() {
    for source in ["/etc", "/proc", "/run/docker.sock", "/srv/link"] {
        let volume = mount::parse_volume(&format!("{source}:/x")).unwrap();
        let error =
            try_build(&config(), &Options { mounts: vec![volume], ..Options::default() }, &root_host())
                .unwrap_err();
        assert!(matches!(error, Error::HostPath { .. }), "{source}");
        assert!(error.hint().unwrap().contains("--allow-host-path"), "{source}");
    }
}

#[test]
fn bind_mounts_are_nosuid_and_nodev_below_too() {
    let mounts = vec![mount::parse_volume("/srv/data:/d:ro").unwrap()];
    let configured = built(&Options { mounts, ..Options::default() });
    let mount = configured.spec.mounts.last().unwrap();
    assert_eq!(mount.options, ["rbind", "rprivate", "rro", "rnosuid", "rnodev"]);
}

#[test]
fn two_mounts_on_one_path_are_refused() {
    let mounts = vec![mount::parse_tmpfs("/d").unwrap(), mount::parse_tmpfs("//d/./").unwrap()];
    assert!(failure(&Options { mounts, ..Options::default() }).contains("same path"));
}

#[test]
fn cve_2022_0532_sysctls_of_shared_namespaces_are_refused() {
    type Share = fn(&mut Options);
    let rows: &[(&str, Share, bool)] = &[
        ("net.ipv4.ip_forward=1", |_| {}, true),
        ("net.ipv4.ip_forward=1", |o| o.namespaces.network = Sharing::Host, false),
        ("net.ipv4.ip_forward=1", |o| o.namespaces.ipc = Sharing::Host, true),
        ("kernel.shmmax=1", |_| {}, true),
        ("kernel.shmmax=1", |o| o.namespaces.ipc = Sharing::Host, false),
        ("fs.mqueue.msg_max=1", |o| o.namespaces.ipc = Sharing::Host, false),
    ];
    for (text, share, good) in rows {
        let mut options = Options { sysctls: vec![sysctl::parse(text).unwrap()], ..Options::default() };
        share(&mut options);
        assert_eq!(try_build(&config(), &options, &root_host()).is_ok(), *good, "{text}");
    }
    let host = Options {
        namespaces: NamespaceOptions { network: Sharing::Host, ..Default::default() },
        ..Options::default()
    };
    assert!(linux(&built(&host)).sysctl.is_empty());
}

#[test]
fn cve_2021_3602_the_environment_is_clean() {
    let configured = built(&Options::default());
    assert_eq!(
        process(&configured).env,
        ["PATH=/usr/bin:/bin", "HOSTNAME=abababababab", "LANG=C.UTF-8", "HOME=/root"]
    );
    let mut options = Options { terminal: true, ..Options::default() };
    options.process.environment = ["SECRET", "LANG", "HOME=/x", "NEW=1"]
        .iter()
        .map(|text| environment::parse("--env", text).unwrap())
        .collect();
    assert_eq!(
        process(&built(&options)).env,
        ["PATH=/usr/bin:/bin", "TERM=xterm", "HOSTNAME=abababababab", "SECRET=hunter2", "HOME=/x", "NEW=1"]
    );
}

#[test]
fn an_image_cannot_name_a_variable_of_the_host() {
    let image = Config { env: vec!["SECRET".into()], ..config() };
    let configured = try_build(&image, &Options::default(), &root_host()).unwrap();
    assert!(process(&configured).env.iter().all(|entry| !entry.contains("hunter2")));
    for entry in ["=x", "A=\0"] {
        let image = Config { env: vec![entry.into()], ..config() };
        assert!(try_build(&image, &Options::default(), &root_host()).is_err(), "{entry:?}");
    }
}

#[test]
fn cve_2026_53488_labels_of_an_image_change_nothing() {
    let labels = [
        "brig.log",
        "io.containerd.log",
        "org.criu.config",
        "run.oci.keep_original_groups",
        "io.podman.annotations.userns",
    ];
    let image = Config {
        labels: labels.iter().map(|key| ((*key).to_owned(), "binary:///bin/sh".to_owned())).collect(),
        ..config()
    };
    let with = try_build(&image, &Options::default(), &root_host()).unwrap();
    assert_eq!(with.spec, built(&Options::default()).spec);
}

#[test]
fn cve_2024_40635_users_of_the_image_do_not_wrap() {
    for user in ["4294967296", "-1", "0x0", "+0", " 0"] {
        let image = Config { user: user.into(), ..config() };
        assert!(
            matches!(try_build(&image, &Options::default(), &root_host()), Err(Error::User { .. })),
            "{user}"
        );
    }
    // An id that is valid and not mapped is refused here, not at the start.
    let image = Config { user: "2147483648".into(), ..config() };
    assert!(
        try_build(&image, &Options::default(), &root_host())
            .unwrap_err()
            .to_string()
            .contains("no such user")
    );
}

#[test]
fn cve_2026_55686_a_working_directory_is_text_until_the_runtime_has_the_root() {
    let image = Config { working_dir: "/work/../../../escaped".into(), ..config() };
    let configured = try_build(&image, &Options::default(), &root_host()).unwrap();
    assert_eq!(process(&configured).cwd, "/escaped");
}

#[test]
fn one_id_is_the_one_that_the_program_runs_as() {
    let image = Config { user: "ann".into(), ..config() };
    let configured = try_build(&image, &Options::default(), &single_host()).unwrap();
    assert_eq!(linux(&configured).uid_mappings, [IdMapping { container_id: 1000, host_id: 1000, size: 1 }]);
    assert!(process(&configured).user.additional_gids.is_empty());
    assert_eq!(configured.protections[0], Protection::weaker("user namespace", "no subordinate ids"));
    assert_eq!(configured.warnings.len(), 1);
    assert_eq!(linux(&configured).sysctl["net.ipv4.ping_group_range"], "1000 1000");
    let strict = Options { require_all: true, ..Options::default() };
    assert!(matches!(try_build(&config(), &strict, &single_host()), Err(Error::Unprotected(_))));
}

#[test]
fn user_namespaces_of_plain_users_and_of_root() {
    let rows: &[(UserNamespace, bool, bool)] = &[
        (UserNamespace::Default, true, true),
        (UserNamespace::Host, true, true),
        (UserNamespace::KeepId { uid: None, gid: None }, false, true),
        // A plain user's layers belong to the ids that these leave out.
        (UserNamespace::NoMap, false, false),
        (UserNamespace::Auto { size: 1024 }, true, false),
        (UserNamespace::Auto { size: 70_000 }, false, false),
    ];
    for (request, root, user) in rows {
        let mut options = Options::default();
        options.namespaces.user = request.clone();
        assert_eq!(try_build(&config(), &options, &root_host()).is_ok(), *root, "root {request:?}");
        assert_eq!(try_build(&config(), &options, &user_host()).is_ok(), *user, "user {request:?}");
    }
    let mut options = Options::default();
    options.namespaces.user = UserNamespace::Host;
    assert!(linux(&built(&options)).uid_mappings.is_empty());
    assert!(linux(&built(&options)).namespaces.iter().all(|namespace| namespace.kind != NamespaceKind::User));
}

#[test]
fn limits_arrive_where_the_kernel_reads_them() {
    let mut options = Options::default();
    let limits = &mut options.limits;
    limits.memory = Some(64 << 20);
    limits.memory_reservation = Some(32 << 20);
    limits.memory_swappiness = Some(10);
    limits.oom_kill_disable = true;
    limits.cpus = Some(1500);
    limits.cpu_shares = Some(20);
    limits.cpuset_cpus = Some("0".into());
    limits.cpuset_mems = Some("0".into());
    limits.pids = Some(50);
    limits.blkio_weight = Some(300);
    limits.blkio_weight_device = vec![device::parse_weight("--blkio-weight-device", "/dev/sda:400").unwrap()];
    limits.device_read_bps = vec![device::parse_bytes("--device-read-bps", "/dev/sda:1m").unwrap()];
    limits.device_write_iops = vec![device::parse_operations("--device-write-iops", "/dev/sda:9").unwrap()];
    limits.cgroup_parent = Some("/mine".into());
    options.devices = vec![device::parse("/dev/fuse:/dev/fuse:rw").unwrap()];
    options.ulimits = vec![rlimit::parse("nofile=10:20").unwrap(), rlimit::parse("nproc=5").unwrap()];
    let configured = built(&options);
    insta::assert_json_snapshot!(
        "limits",
        (
            &linux(&configured).resources,
            &linux(&configured).devices,
            &linux(&configured).cgroups_path,
            &process(&configured).rlimits
        )
    );
    assert_eq!(configured.default_limits, Resources::default());
}

#[test]
fn a_device_of_another_name_is_bound_where_nodes_cannot_be_made() {
    let mut options =
        Options { devices: vec![device::parse("/dev/fuse:/dev/f:rw").unwrap()], ..Options::default() };
    for (user, devices, binds) in [(UserNamespace::Default, 0, 1), (UserNamespace::Host, 1, 0)] {
        options.namespaces.user = user;
        let configured = built(&options);
        let mounts = configured.spec.mounts.iter().filter(|mount| mount.destination == "/dev/f").count();
        assert_eq!((linux(&configured).devices.len(), mounts), (devices, binds), "{devices} devices");
        assert_eq!(linux(&configured).resources.as_ref().unwrap().devices.len(), 2, "{devices} devices");
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    type Change = fn(&mut LimitOptions);
    use crate::options::LimitOptions;
    let rows: &[Change] = &[
        |l| (l.cpus, l.cpu_quota) = (Some(1000), Some(5)),
        |l| l.memory_swap = Some(5),
        |l| (l.memory, l.memory_swap) = (Some(5), Some(4)),
        |l| (l.memory, l.memory_reservation) = (Some(5), Some(6)),
    ];
    for (at, change) in rows.iter().enumerate() {
        let mut options = Options::default();
        change(&mut options.limits);
        assert!(try_build(&config(), &options, &root_host()).is_err(), "row {at}");
    }
}

#[test]
fn default_limits_are_kept_apart_from_requested_ones() {
    let configured = built(&Options::default());
    let defaults = &configured.default_limits;
    assert_eq!(defaults.pids.as_ref().unwrap().limit, Some(1024));
    assert_eq!(defaults.unified["memory.high"], ((8_u64 << 30) / 100 * 80).to_string());
    assert_eq!(linux(&configured).resources.as_ref().unwrap().pids, None);
    let host = Host { unified: false, ..root_host() };
    let defaults = try_build(&config(), &Options::default(), &host).unwrap().default_limits;
    assert!(defaults.unified.is_empty());
    assert_eq!(defaults.memory.unwrap().reservation, Some((8 << 30) / 100 * 80));
}

#[test]
fn the_hosts_queues_are_shared_where_there_are_any() {
    let mut options = Options::default();
    options.namespaces.ipc = Sharing::Host;
    for queues in [true, false] {
        let host = Host { queues, ..root_host() };
        let configured = try_build(&config(), &options, &host).unwrap();
        let has = |target| configured.spec.mounts.iter().any(|mount| mount.destination == target);
        assert_eq!((has("/dev/shm"), has("/dev/mqueue")), (true, queues));
    }
}

#[test]
fn open_files_are_lowered_to_the_hosts_limit_and_requests_are_not() {
    let configured = built(&Options::default());
    let limit = &process(&configured).rlimits[1];
    assert_eq!((limit.kind.as_str(), limit.soft, limit.hard), ("RLIMIT_NOFILE", 1024, 20_000));
    let options = Options { ulimits: vec![rlimit::parse("nofile=30000").unwrap()], ..Options::default() };
    assert!(failure(&options).contains("your own hard limit is 20000"));
}

#[test]
fn contradictions_are_refused() {
    type Change = fn(&mut Options);
    let rows: &[Change] = &[
        |o| (o.profile, o.privileged) = (Profile::Strict, true),
        |o| (o.profile, o.namespaces.network) = (Profile::Strict, Sharing::Host),
        |o| (o.namespaces.uts, o.namespaces.host_name) = (Sharing::Host, Some("x".into())),
        |o| (o.namespaces.ipc, o.shm_size) = (Sharing::Host, Some(5)),
        |o| (o.namespaces.pid, o.process.init) = (Sharing::Host, true),
        |o| o.security.apparmor = Some("mine".into()),
        |o| o.process.stop_signal = Some("NOPE".into()),
        |o| o.process.user = Some("nobody-knows".into()),
        |o| o.process.workdir = Some("relative".into()),
    ];
    for (at, change) in rows.iter().enumerate() {
        let mut options = Options::default();
        change(&mut options);
        assert!(try_build(&config(), &options, &root_host()).is_err(), "row {at}");
    }
}

#[test]
fn host_namespaces_change_how_proc_and_sys_are_mounted() {
    let mut options = Options::default();
    options.namespaces.pid = Sharing::Host;
    options.namespaces.network = Sharing::Host;
    let configured = built(&options);
    let find = |path: &str| configured.spec.mounts.iter().find(|mount| mount.destination == path).unwrap();
    assert!(find("/proc").is_bind() && find("/sys").is_bind());
    assert!(linux(&configured).masked_paths.contains(&"/sys/kernel/debug".to_owned()));
    assert!(find("/sys").options.contains(&"rro".to_owned()));
}

#[test]
fn privileged_opens_and_says_so() {
    let configured = built(&Options { privileged: true, ..Options::default() });
    assert_eq!(caps(&configured).len(), oci::runtime::CAPABILITIES.len());
    assert!(linux(&configured).masked_paths.is_empty() && linux(&configured).seccomp.is_none());
    assert!(!process(&configured).no_new_privileges);
    // Still a user namespace: root inside is nobody outside.
    assert_eq!(linux(&configured).uid_mappings.len(), 1);
}

#[test]
fn labels_are_given_reported_or_refused() {
    use crate::lsm::{Apparmor, Lack, Modules, Selinux};
    let build = |modules: Modules, change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        try_build(&config(), &options, &Host { modules, ..root_host() })
    };
    let apparmor = |state: Apparmor, change| build(Modules { apparmor: state, ..Modules::OFF }, change);
    let has = |configured: &Configured, text: &str| {
        configured.protections.iter().any(|protection| protection.to_string().starts_with(text))
    };

    let ready = apparmor(Apparmor::Ready("brig-default".into()), |_| {}).unwrap();
    assert_eq!(process(&ready).apparmor_profile.as_deref(), Some("brig-default"));
    assert!(has(&ready, "apparmor is applied") && ready.weakenings.is_empty());

    let missing = apparmor(Apparmor::Missing(Lack::new("no parser", "apt")), |_| {}).unwrap();
    assert_eq!(process(&missing).apparmor_profile, None);
    assert!(has(&missing, "apparmor is unavailable: no parser: as root run `apt`"));
    let error =
        apparmor(Apparmor::Missing(Lack::new("no parser", "apt")), |o| o.require_all = true).unwrap_err();
    assert!(error.to_string().contains("apparmor is unavailable: no parser: as root run `apt`"), "{error}");

    let unused = apparmor(Apparmor::Unused, |o| o.security.apparmor = Some("unconfined".into())).unwrap();
    assert_eq!(process(&unused).apparmor_profile, None);
    assert_eq!(unused.weakenings[0].flag, "--security-opt apparmor=unconfined");
    assert!(
        apparmor(Apparmor::Unknown("mine".into()), |o| o.security.apparmor = Some("mine".into())).is_err()
    );
    assert!(apparmor(Apparmor::Off, |o| o.security.apparmor = Some("mine".into())).is_err());
    assert!(apparmor(Apparmor::Off, |o| o.security.apparmor = Some("unconfined".into())).is_ok());
    assert!(apparmor(Apparmor::Ready("a\nb".into()), |o| o.security.apparmor = Some("a\nb".into())).is_err());

    let selinux = |state: Selinux, change| build(Modules { selinux: state, ..Modules::OFF }, change);
    let contexts = |enforcing| Selinux::Ready {
        process: "u:r:container_t:s0:c1,c2".into(),
        files: "u:object_r:container_file_t:s0:c1,c2".into(),
        enforcing,
    };
    let ready = selinux(contexts(true), |_| {}).unwrap();
    assert_eq!(process(&ready).selinux_label.as_deref(), Some("u:r:container_t:s0:c1,c2"));
    assert_eq!(linux(&ready).mount_label.as_deref(), Some("u:object_r:container_file_t:s0:c1,c2"));
    assert!(has(&ready, "selinux is applied"));
    assert!(has(&selinux(contexts(false), |_| {}).unwrap(), "selinux is weaker: permissive"));
    assert!(has(
        &selinux(Selinux::Missing(Lack::without_mend("no type")), |_| {}).unwrap(),
        "selinux is unavailable: no type"
    ));
    let kind = |o: &mut Options| o.security.label.kind = Some("x".into());
    assert!(selinux(Selinux::Unknown("x".into()), kind).is_err());
    assert!(selinux(Selinux::Off, kind).is_err());
    let unused = selinux(Selinux::Unused, |o| o.security.label.disable = true).unwrap();
    assert_eq!((process(&unused).selinux_label.as_deref(), unused.weakenings.len()), (None, 1));
    assert!(selinux(Selinux::Off, |o| o.security.label.disable = true).is_ok());
}
