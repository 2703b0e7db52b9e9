use std::collections::BTreeSet;

use super::*;
use crate::action::Action;
use crate::emulate::{Data, Program as Emulated};

const ALLOW: Action = Action::Allow;
const EPERM: Action = Action::Errno(1);
const NOSYS: Action = Action::Errno(38);
const AFNOSUPPORT: Action = Action::Errno(97);
const HIGH: u64 = 0xdead_beef << 32;

struct Filter(Program);

impl Filter {
    fn new(capabilities: u64, sets: &[NamedSet]) -> Self {
        let compiled = compile(&profile(capabilities, sets), Arch::X86_64).unwrap();
        Self(compiled.program)
    }

    fn answer(&self, arch: Arch, call: &str, arguments: [u64; 3]) -> Action {
        let number = arch.number(call).unwrap_or_else(|| panic!("{call}"));
        let [a, b, c] = arguments;
        let data = Data { number, arch: arch.audit(), instruction_pointer: 0, arguments: [a, b, c, 0, 0, 0] };
        Action::decode(Emulated::check(self.0.instructions()).unwrap().run(&data))
    }

    fn native(&self, call: &str, arguments: [u64; 3]) -> Action {
        self.answer(Arch::X86_64, call, arguments)
    }
}

#[test]
fn default_answers() {
    let filter = Filter::new(DEFAULT_CAPABILITIES, &[]);
    let rows: &[(&str, [u64; 3], Action)] = &[
        ("read", [0; 3], ALLOW),
        ("mknod", [0; 3], ALLOW),
        ("mount", [0; 3], EPERM),
        ("unshare", [0; 3], EPERM),
        ("setns", [0; 3], EPERM),
        ("keyctl", [0; 3], EPERM),
        ("bpf", [0; 3], EPERM),
        ("io_uring_setup", [0; 3], EPERM),
        ("userfaultfd", [0; 3], EPERM),
        ("ptrace", [0; 3], EPERM),
        ("chroot", [0; 3], EPERM),
        ("open_by_handle_at", [0; 3], EPERM),
        ("clone3", [0; 3], NOSYS),
        ("statmount", [0; 3], NOSYS),
        ("cachestat", [0; 3], NOSYS),
        ("file_getattr", [0; 3], NOSYS),
        ("socket", [1, 1, 0], ALLOW),
        ("socket", [2, 1, 0], ALLOW),
        ("socket", [10, 1, 0], ALLOW),
        ("socket", [HIGH | 10, 1, 0], ALLOW),
        ("socket", [16, 3, 0], ALLOW),
        ("socket", [16, 3, HIGH], ALLOW),
        ("socket", [16, 3, 9], AFNOSUPPORT),
        ("socket", [16, 3, 12], AFNOSUPPORT),
        ("socket", [17, 3, 0], AFNOSUPPORT),
        ("socket", [38, 5, 0], AFNOSUPPORT),
        ("socket", [HIGH | 38, 5, 0], AFNOSUPPORT),
        ("socket", [40, 1, 0], AFNOSUPPORT),
        ("socket", [0, 1, 0], AFNOSUPPORT),
        ("socketpair", [1, 1, 0], ALLOW),
        ("socketpair", [30, 1, 0], AFNOSUPPORT),
        ("ioctl", [0, 0x5401, 0], ALLOW),
        ("ioctl", [0, 0x5412, 0], EPERM),
        ("ioctl", [0, HIGH | 0x5412, 0], EPERM),
        ("ioctl", [0, 0x541c, 0], EPERM),
        ("ioctl", [0, HIGH | 0x541c, 0], EPERM),
        ("ioctl", [0, 0x5423, 0], EPERM),
        ("ioctl", [0, HIGH | 0x5423, 0], EPERM),
        ("ioctl", [0, 0x5424, 0], ALLOW),
        ("ioctl", [0, 0xffff_ffff_8004_5430, 0], ALLOW),
        ("prctl", [35, 0, 0], EPERM),
        ("prctl", [HIGH | 35, 0, 0], EPERM),
        ("prctl", [38, 1, 0], ALLOW),
        ("personality", [0xffff_ffff, 0, 0], ALLOW),
        ("personality", [0x40000, 0, 0], EPERM),
        ("clone", [0x0120_0011, 0, 0], ALLOW),
        ("clone", [0x003d_0f00, 0, 0], ALLOW),
        ("clone", [0x1000_0011, 0, 0], EPERM),
        ("clone", [0x0002_0011, 0, 0], EPERM),
        ("clone", [HIGH | 0x1000_0011, 0, 0], EPERM),
    ];
    for (call, arguments, expected) in rows {
        assert_eq!(filter.native(call, *arguments), *expected, "{call} {arguments:x?}");
    }
    for arch in [Arch::X86, Arch::X32, Arch::Aarch64, Arch::Riscv64] {
        assert_eq!(filter.answer(arch, "read", [0; 3]), NOSYS, "{arch:?}");
    }
    assert_eq!(filter.answer(Arch::X86, "socketcall", [1, 0, 0]), NOSYS);
}

#[test]
fn capabilities_and_sets_open_what_they_are_for() {
    use refused::capability as cap;
    type Row<'a> = (u64, &'a [NamedSet], &'a str, [u64; 3], Action);
    let rows: &[Row<'_>] = &[
        (cap::SYS_ADMIN, &[], "mount", [0; 3], ALLOW),
        (cap::SYS_ADMIN, &[], "clone", [0x1000_0011, 0, 0], ALLOW),
        (cap::SYS_ADMIN, &[], "clone3", [0; 3], ALLOW),
        (cap::SYS_ADMIN, &[], "ptrace", [0; 3], EPERM),
        (cap::SYS_ADMIN, &[], "socket", [38, 5, 0], AFNOSUPPORT),
        (cap::NET_ADMIN, &[], "ioctl", [0, 0x5423, 0], ALLOW),
        (cap::SYS_ADMIN, &[], "ioctl", [0, 0x5423, 0], EPERM),
        (cap::SYS_CHROOT, &[], "chroot", [0; 3], ALLOW),
        (cap::SYS_PTRACE, &[], "ptrace", [0; 3], ALLOW),
        (cap::SYS_NICE, &[], "mbind", [0; 3], ALLOW),
        (cap::SYS_TIME, &[], "clock_settime", [0; 3], ALLOW),
        (cap::SYSLOG, &[], "syslog", [0; 3], ALLOW),
        (cap::SYS_BOOT, &[], "reboot", [0; 3], ALLOW),
        (cap::SYS_MODULE, &[], "finit_module", [0; 3], ALLOW),
        (cap::BPF, &[], "bpf", [0; 3], ALLOW),
        (cap::PERFMON, &[], "perf_event_open", [0; 3], ALLOW),
        (cap::DAC_READ_SEARCH, &[], "open_by_handle_at", [0; 3], ALLOW),
        (cap::NET_RAW, &[], "socket", [17, 3, 0], ALLOW),
        (cap::NET_ADMIN, &[], "socket", [16, 3, 12], ALLOW),
        (cap::NET_ADMIN, &[], "socket", [17, 3, 0], AFNOSUPPORT),
        (cap::AUDIT_WRITE, &[], "socket", [16, 3, 9], ALLOW),
        (u64::MAX, &[], "io_uring_setup", [0; 3], EPERM),
        (u64::MAX, &[], "ioctl", [0, 0x5412, 0], EPERM),
        (0, &[NamedSet::Debug], "ptrace", [0; 3], ALLOW),
        (0, &[NamedSet::Debug], "personality", [0x40000, 0, 0], ALLOW),
        (0, &[NamedSet::Nested], "keyctl", [0; 3], ALLOW),
        (0, &[NamedSet::Nested], "unshare", [0; 3], ALLOW),
        (0, &[NamedSet::Nested], "socket", [16, 3, 12], ALLOW),
        (0, &[NamedSet::Strict], "read", [0; 3], ALLOW),
        (0, &[NamedSet::Strict], "setuid", [0; 3], NOSYS),
        (0, &[NamedSet::Strict], "mount", [0; 3], EPERM),
        (0, &[NamedSet::Docker], "clone3", [0; 3], NOSYS),
        (0, &[NamedSet::Docker], "mount", [0; 3], EPERM),
        (0, &[NamedSet::Docker], "socket", [40, 1, 0], EPERM),
    ];
    for (capabilities, sets, call, arguments, expected) in rows {
        let filter = Filter::new(*capabilities, sets);
        assert_eq!(filter.native(call, *arguments), *expected, "{capabilities:x} {sets:?} {call}");
    }
}

#[test]
fn compat32_opens_i386_and_says_what_it_hides() {
    let compiled = compile(&profile(DEFAULT_CAPABILITIES, &[NamedSet::Compat32]), Arch::X86_64).unwrap();
    let filter = Filter(compiled.program);
    assert_eq!(filter.answer(Arch::X86, "read", [0; 3]), ALLOW);
    assert_eq!(filter.answer(Arch::X86, "socket", [40, 1, 0]), AFNOSUPPORT);
    assert_eq!(filter.answer(Arch::X86, "socketcall", [1, 0, 0]), ALLOW);
    assert_eq!(filter.answer(Arch::X86, "mount", [0; 3]), EPERM);
    assert_eq!(filter.answer(Arch::X86, "umount", [0; 3]), EPERM);
    assert_eq!(filter.answer(Arch::X32, "read", [0; 3]), NOSYS);
    let hidden = crate::Warning::HiddenOpen("socket".to_owned());
    assert!(compiled.warnings.contains(&hidden), "{:?}", compiled.warnings);
}

#[test]
fn default_is_recognized_and_stored() {
    let default = profile(DEFAULT_CAPABILITIES, &[]);
    assert!(is_default(&default));
    // NET_BIND_SERVICE opens no row.
    assert!(is_default(&profile(DEFAULT_CAPABILITIES | 1 << 10, &[])));
    assert!(!is_default(&profile(DEFAULT_CAPABILITIES | 1 << 18, &[])));
    assert!(!is_default(&profile(DEFAULT_CAPABILITIES, &[NamedSet::Debug])));
    assert!(!is_default(&Seccomp::default()));
    let mut changed = default.clone();
    changed.syscalls.pop();
    assert!(!is_default(&changed));
    let mut changed = default.clone();
    changed.syscalls[0].names[3].push('x');
    assert!(!is_default(&changed));
    for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
        let compiled = compile(&default, arch).unwrap();
        assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
        let stored = built_in(&default, arch).expect("a stored program");
        assert_eq!(
            stored, compiled.program,
            "{arch:?}: run `cargo run -p seccomp --example built_in` and replace built_in.rs"
        );
        Emulated::check(stored.instructions()).unwrap();
    }
}

#[test]
fn json_round_trip_keeps_the_default() {
    let text = serde_json::to_vec(&profile(DEFAULT_CAPABILITIES, &[])).unwrap();
    let read: Seccomp = serde_json::from_slice(&text).unwrap();
    assert!(is_default(&read));
}

#[test]
fn every_call_of_a_row_exists_somewhere() {
    for row in rows(&[]).chain(rows(&[NamedSet::Strict])) {
        for call in row.calls {
            assert!(crate::arch::is_known(call), "{call}");
        }
    }
}

#[test]
fn no_call_stands_in_two_rows_without_conditions() {
    for sets in [&[][..], &[NamedSet::Strict]] {
        let mut seen = BTreeSet::new();
        for call in rows(sets).filter(|row| row.when.is_empty()).flat_map(|row| row.calls) {
            assert!(seen.insert(call), "{call}");
        }
    }
}

/// Calls that run under at least some arguments.
fn open_calls(profile: &Seccomp) -> BTreeSet<&str> {
    let allowed = profile.syscalls.iter().filter(|rule| rule.action == "SCMP_ACT_ALLOW");
    allowed
        .flat_map(|rule| &rule.names)
        .map(String::as_str)
        .filter(|name| Arch::X86_64.number(name).is_some())
        .collect()
}

#[test]
fn standard_is_docker_minus_what_we_say() {
    let docker = profile(DEFAULT_CAPABILITIES, &[NamedSet::Docker]);
    let standard = profile(DEFAULT_CAPABILITIES, &[]);
    let removed: Vec<&str> = open_calls(&docker).difference(&open_calls(&standard)).copied().collect();
    let expected = "adjtimex cachestat clock_adjtime fanotify_mark ioprio_set listmount memfd_secret \
        modify_ldt name_to_handle_at process_mrelease process_vm_readv process_vm_writev ptrace \
        remap_file_pages sched_setattr statmount uretprobe vmsplice";
    assert_eq!(removed.join(" "), expected);
    assert_eq!(open_calls(&standard).difference(&open_calls(&docker)).count(), 0);
}

#[test]
fn strict_is_small() {
    let strict = profile(0, &[NamedSet::Strict]);
    let standard = profile(0, &[]);
    let (strict, standard) = (open_calls(&strict), open_calls(&standard));
    assert!(strict.is_subset(&standard));
    assert!((110..=165).contains(&strict.len()), "{}", strict.len());
}
