//! `update`: other limits, another health check and another restart policy for a container that exists.
//!
//! What runs is changed first, because only that can be refused; then what is written down. A change that fails half
//! way is taken back.

use std::os::fd::{AsFd, OwnedFd};

use files::atomic::{self, Durability};
use monitor::control;
use monitor::health::Schedule;
use oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::health::{self, schedule};
use crate::kept::{KEPT, Kept, SPEC, saved_spec};
use crate::options::LimitOptions;
use crate::record::{Health, Record, RestartPolicy};
use crate::spec::resources::{at_least, plain};
use crate::value::health::{self as check, HealthOptions};
use crate::value::name::ContainerId;
use crate::weakening::{WeakeningKind, Weakenings};

/// What is changed.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Limits: only what is given is changed. Those of single devices are not looked at.
    pub limits: LimitOptions,
    /// The restart policy.
    pub restart: Option<RestartPolicy>,
    /// The health check: only what is given is changed.
    pub health: HealthOptions,
}

/// The error for a container that is removed at its end and is to be started again.
#[must_use]
pub fn restart_of_removed() -> Error {
    Error::Conflict {
        first: "--restart".to_owned(),
        second: "--rm".to_owned(),
        reason: "what is removed at its end cannot be started again",
    }
}

/// Changes a container, all or nothing. Returns what works less well than asked for.
///
/// # Errors
/// [`Error::Conflict`], [`Error::Value`]; [`Error::Runtime`] for a limit that cannot be applied.
pub fn update(containers: &Containers<'_>, id: &ContainerId, update: &Update) -> Result<Vec<String>> {
    at_least(&update.limits)?;
    // Of two at once the second sees what the first made.
    let (_held, mut record) = containers.held_record(id)?;
    let directory = containers.directory_of(id)?;
    if let Some(policy) = &update.restart {
        if record.remove && !matches!(policy.name.as_str(), "" | "no") {
            return Err(restart_of_removed());
        }
        record.restart = policy.clone();
    }
    // One of the foreground that goes away keeps no options: nothing is started from them.
    let mut kept = match Kept::read(directory.as_fd(), id) {
        Ok(kept) => Some(kept),
        Err(Error::NotStartable { .. }) => None,
        Err(error) => return Err(error),
    };
    let health = record.health.clone();
    if update.health != HealthOptions::default() {
        if kept.is_none() {
            return Err(Error::Conflict {
                first: "--health-*".to_owned(),
                second: "--rm".to_owned(),
                reason: "nobody checks a container of the foreground that is removed at its end",
            });
        }
        record.health = check::change(&update.health, health.as_ref())?;
    }
    let before = kept.as_ref().map(|kept| kept.options.limits.clone()).unwrap_or_default();
    let merged = merge(&before, &update.limits);
    let wanted = changed(plain(&merged)?, &update.limits);
    let mut warnings = Vec::new();
    let mut running = running(containers, id)?;
    if wanted != Resources::default()
        && let Some(container) = &mut running
    {
        let former = container.saved().spec.linux.as_ref().and_then(|linux| linux.resources.clone());
        let back = back_to(&former.unwrap_or_default(), &wanted, record_limit(&record));
        match container.update(&wanted) {
            Ok(said) => warnings = said,
            Err(error) => {
                // The first error is the one to tell.
                drop(container.update(&back));
                return Err(error.into());
            }
        }
    }
    note(&mut record, &update.limits);
    let written = (|| {
        if let Some(kept) = &mut kept {
            kept.options.limits = merged;
            kept.options.restart = record.restart.clone();
            write(&directory, KEPT, kept)?;
        }
        if let Some(container) = &mut running {
            let resources = container.saved().spec.linux.as_ref().and_then(|linux| linux.resources.clone());
            container.keep_resources(overlaid(resources.unwrap_or_default(), &wanted))?;
        }
        if let Some(mut spec) = saved_spec(&directory, id)? {
            let linux = spec.linux.get_or_insert_default();
            linux.resources = Some(overlaid(linux.resources.take().unwrap_or_default(), &wanted));
            write(&directory, SPEC, &spec)?;
        }
        containers.write_record(id, &record)?;
        match record.health == health {
            true => Ok(()),
            false => tell_schedule(containers, id, &directory, record.health.as_ref()),
        }
    })();
    written.map(|()| warnings)
}

/// Tells a monitor when to check from now on.
fn tell_schedule(
    containers: &Containers<'_>,
    id: &ContainerId,
    directory: &OwnedFd,
    health: Option<&Health>,
) -> Result<()> {
    if health.is_none() {
        // What was found out before is true of a check that is no more.
        health::reset(directory.as_fd())?;
    }
    Schedule::write(health.map(schedule), directory.as_fd())?;
    if let Some(streams) = containers.streams_of(id)?
        && let Ok(socket) = control::open(streams.as_fd())
    {
        // One that was killed is followed by one that reads what is written.
        control::put(&socket, control::HEALTH, &[]).ok();
    }
    Ok(())
}

fn running<'a>(containers: &'a Containers<'_>, id: &ContainerId) -> Result<Option<runtime::Container<'a>>> {
    match runtime::Container::load(containers.states(), id.as_str()) {
        Ok(container) => Ok(Some(container).filter(|container| container.saved().is_alive())),
        Err(runtime::Error::NoContainer(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write(directory: impl AsFd, name: &str, value: &impl serde::Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(value).expect("strings, numbers and maps with string keys");
    Ok(atomic::write(directory.as_fd(), name, &bytes, 0o600, Durability::Volatile)?)
}

/// The limits after the change.
fn merge(before: &LimitOptions, change: &LimitOptions) -> LimitOptions {
    let mut merged = before.clone();
    if change.cpus.is_some() {
        // The same thing said in two ways: the last counts.
        (merged.cpu_quota, merged.cpu_period) = (None, None);
    }
    if change.cpu_quota.is_some() || change.cpu_period.is_some() {
        merged.cpus = None;
    }
    macro_rules! take {
        ($($field:ident)*) => { $(if change.$field.is_some() { merged.$field.clone_from(&change.$field); })* };
    }
    take!(memory memory_reservation memory_swap memory_swappiness cpus cpu_shares cpu_period cpu_quota);
    take!(cpuset_cpus cpuset_mems pids blkio_weight);
    merged
}

/// Of the limits after the change those that it touches.
fn changed(all: Resources, change: &LimitOptions) -> Resources {
    let memory = all.memory.filter(|_| {
        change.memory.is_some()
            || change.memory_swap.is_some()
            || change.memory_reservation.is_some()
            || change.memory_swappiness.is_some()
    });
    let time = change.cpus.is_some() || change.cpu_quota.is_some() || change.cpu_period.is_some();
    let cpu = all.cpu.map(|cpu| Cpu {
        quota: cpu.quota.filter(|_| time),
        period: cpu.period.filter(|_| time),
        shares: cpu.shares.filter(|_| change.cpu_shares.is_some()),
        cpus: cpu.cpus.filter(|_| change.cpuset_cpus.is_some()),
        mems: cpu.mems.filter(|_| change.cpuset_mems.is_some()),
        ..Cpu::default()
    });
    Resources {
        memory: memory.map(|memory| Memory { disable_oom_killer: None, ..memory }),
        cpu: cpu.filter(|cpu| *cpu != Cpu::default()),
        pids: all.pids.filter(|_| change.pids.is_some()),
        block_io: all.block_io.filter(|_| change.blkio_weight.is_some()),
        ..Resources::default()
    }
}

/// `all` with what `change` names in place of its own.
fn overlaid(mut all: Resources, change: &Resources) -> Resources {
    if let Some(memory) = &change.memory {
        let own = all.memory.get_or_insert_default();
        own.limit = memory.limit.or(own.limit);
        own.reservation = memory.reservation.or(own.reservation);
        own.swap = memory.swap.or(own.swap);
        own.swappiness = memory.swappiness.or(own.swappiness);
    }
    if let Some(cpu) = &change.cpu {
        let own = all.cpu.get_or_insert_default();
        own.shares = cpu.shares.or(own.shares);
        own.quota = cpu.quota.or(own.quota);
        own.period = cpu.period.or(own.period);
        own.cpus = cpu.cpus.clone().or_else(|| own.cpus.take());
        own.mems = cpu.mems.clone().or_else(|| own.mems.take());
    }
    if change.pids.is_some() {
        all.pids.clone_from(&change.pids);
    }
    if let Some(block) = &change.block_io {
        all.block_io.get_or_insert_default().weight = block.weight;
    }
    all
}

/// What takes `change` back: the former limits, or none where there was none.
fn back_to(former: &Resources, change: &Resources, pids: i64) -> Resources {
    let memory = change.memory.as_ref().map(|memory| {
        let old = former.memory.clone().unwrap_or_default();
        let unlimited = |new: Option<i64>, old: Option<i64>| new.map(|_| old.unwrap_or(-1));
        Memory {
            limit: unlimited(memory.limit, old.limit),
            reservation: unlimited(memory.reservation, old.reservation),
            swap: unlimited(memory.swap, old.swap),
            swappiness: memory.swappiness.and(old.swappiness),
            ..Memory::default()
        }
    });
    let cpu = change.cpu.as_ref().map(|cpu| {
        let old = former.cpu.clone().unwrap_or_default();
        Cpu {
            shares: cpu.shares.map(|_| old.shares.unwrap_or(1024)),
            quota: cpu.quota.map(|_| old.quota.unwrap_or(-1)),
            period: cpu.period.map(|_| old.period.unwrap_or(100_000)),
            cpus: cpu.cpus.as_ref().and(old.cpus),
            mems: cpu.mems.as_ref().and(old.mems),
            ..Cpu::default()
        }
    });
    let limit = former.pids.as_ref().and_then(|pids| pids.limit).unwrap_or(pids);
    let weight = former.block_io.as_ref().and_then(|block| block.weight);
    Resources {
        memory,
        cpu,
        pids: change.pids.as_ref().map(|_| Pids { limit: Some(limit) }),
        block_io: change
            .block_io
            .as_ref()
            .and(weight)
            .map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    }
}

/// The number of tasks of a container whose limit nobody named: that of its profile, or none where it has none.
fn record_limit(record: &Record) -> i64 {
    let opened = |weakening: &crate::Weakening| weakening.flag.starts_with("--profile docker");
    let profile = match record.weakenings.iter().any(opened) {
        true => crate::Profile::Docker,
        false => crate::Profile::Standard,
    };
    profile.pids_limit().unwrap_or(-1)
}

/// A limit that was opened is in the record (invariant 4).
fn note(record: &mut Record, change: &LimitOptions) {
    let Some(pids) = change.pids else { return };
    record.weakenings.retain(|weakening| !weakening.flag.starts_with("--pids-limit"));
    if pids <= 0 {
        let mut opened = Weakenings::default();
        opened.open(WeakeningKind::Limit, "--pids-limit -1", "as many processes as the machine can hold");
        record.weakenings.extend(opened.into_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let before =
            LimitOptions { memory: Some(100), cpu_quota: Some(5), pids: Some(7), ..LimitOptions::default() };
        let change = LimitOptions { cpus: Some(1500), ..LimitOptions::default() };
        let merged = merge(&before, &change);
        assert_eq!((merged.memory, merged.cpu_quota, merged.cpus), (Some(100), None, Some(1500)));
        let resources = changed(plain(&merged).unwrap(), &change);
        assert_eq!((resources.memory.clone(), resources.pids.clone()), (None, None));
        let cpu = resources.cpu.clone().unwrap();
        assert_eq!((cpu.quota, cpu.period, cpu.shares), (Some(150_000), Some(100_000), None));
        let former = plain(&before).unwrap();
        let all = overlaid(former.clone(), &resources);
        assert_eq!(all.memory, former.memory);
        assert_eq!(all.cpu.unwrap().quota, Some(150_000));
        let back = back_to(&former, &resources, 1024);
        assert_eq!(back.cpu.unwrap().quota, Some(5));
        assert_eq!(back.memory, None);
    }

    #[test]
    fn limits_that_contradict_the_old_ones_are_refused() {
        let before = LimitOptions { memory: Some(200), memory_swap: Some(200), ..LimitOptions::default() };
        let change = LimitOptions { memory: Some(300), ..LimitOptions::default() };
        assert!(plain(&merge(&before, &change)).is_err());
        let change = LimitOptions { memory_swap: Some(400), ..change };
        assert!(plain(&merge(&before, &change)).is_ok());
    }

    #[test]
    fn what_had_no_limit_gets_none_back() {
        let change = LimitOptions { memory: Some(300), pids: Some(3), ..LimitOptions::default() };
        let wanted = changed(plain(&change).unwrap(), &change);
        let back = back_to(&Resources::default(), &wanted, 1024);
        let memory = back.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(-1), Some(-1)));
        assert_eq!(back.pids.unwrap().limit, Some(1024));
    }
}
