//! The report below a filter: in a process without threads, so without the test harness.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test without a harness"
)]

use std::process::ExitCode;

use probe::{Report, Verdict};
use rustix::thread::CapabilitySet;
use seccomp::{Arch, compile, standard};
use sys::fork::{Exit, fork_closure};

/// What a filter alone decides; the rest is up to mounts, capabilities and namespaces.
const FILTERED: [&str; 7] =
    ["socket families", "netlink protocols", "calls", "foreign ABIs", "terminal", "new namespaces", "locks"];

fn main() -> ExitCode {
    let native = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };
    let standard = standard::profile(standard::DEFAULT_CAPABILITIES, &[]);
    let mut deadly = standard.clone();
    deadly.default_action = "SCMP_ACT_KILL_PROCESS".to_owned();
    deadly.default_errno_ret = None;
    let mut failed = false;
    for (name, profile) in
        [("the_standard_filter_closes_all_it_can", standard), ("a_filter_that_kills_is_survived", deadly)]
    {
        println!("test {name} ...");
        let compiled = compile(&profile, native).unwrap();
        let exit = fork_closure(0, || {
            // Device nodes are the capabilities' business: the filter lets FIFOs be made.
            let mut sets = rustix::thread::capabilities(None).unwrap();
            let standard = CapabilitySet::from_bits_retain(standard::DEFAULT_CAPABILITIES);
            sets.effective &= standard;
            sets.permitted &= standard;
            rustix::thread::set_capabilities(None, sets).unwrap();
            rustix::thread::set_no_new_privs(true).unwrap();
            sys::seccomp::install(compiled.program.instructions(), 0).unwrap();
            judge(&probe::report())
        });
        let exit = exit.unwrap().wait().unwrap();
        if exit != Exit::Code(0) {
            eprintln!("test {name}: {exit:?}");
            failed = true;
        }
    }
    println!("filter: 2 tests ran");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The exit code: 0 where the report is whole and no filtered door is open.
fn judge(report: &Report) -> u8 {
    let open: Vec<String> = report
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Open && FILTERED.contains(&row.group))
        .map(|row| format!("{}: {} ({})", row.group, row.name, row.answer))
        .collect();
    for row in &open {
        eprintln!("open: {row}");
    }
    let all_groups = FILTERED.iter().all(|group| report.rows.iter().any(|row| row.group == *group));
    u8::from(!open.is_empty() || !all_groups || report.rows.len() < 200)
}
