//! The controllers, and sets of them.

use std::fmt;

use oci::runtime::Resources;
use serde::{Deserialize, Serialize};

/// One controller of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// CPU time accounting (v1; part of `cpu` on v2).
    Cpuacct,
    /// Placement on CPUs and memory nodes.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// Block I/O: `io` on v2, `blkio` on v1.
    Io,
    /// Number of tasks.
    Pids,
    /// Access to device nodes (v1; an eBPF program on v2).
    Devices,
    /// Freezing (v1; part of the core on v2).
    Freezer,
    /// Huge pages.
    Hugetlb,
    /// RDMA handles and objects.
    Rdma,
    /// Class of network packets (v1).
    NetCls,
    /// Priority of network packets (v1).
    NetPrio,
    /// Performance events.
    PerfEvent,
    /// Miscellaneous scalar resources (v2).
    Misc,
}

use Controller::{
    Cpu, Cpuacct, Cpuset, Devices, Freezer, Hugetlb, Io, Memory, Misc, NetCls, NetPrio, PerfEvent, Pids, Rdma,
};

impl Controller {
    /// Every controller that this crate knows.
    pub const ALL: [Self; 14] = [
        Cpu, Cpuacct, Cpuset, Memory, Io, Pids, Devices, Freezer, Hugetlb, Rdma, NetCls, NetPrio, PerfEvent,
        Misc,
    ];

    /// Returns the controller of a kernel name of either version.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "blkio" {
            return Some(Io);
        }
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }

    /// Returns the name that cgroup v2 uses (v1's where v2 has none).
    pub const fn name(self) -> &'static str {
        match self {
            Cpu => "cpu",
            Cpuacct => "cpuacct",
            Cpuset => "cpuset",
            Memory => "memory",
            Io => "io",
            Pids => "pids",
            Devices => "devices",
            Freezer => "freezer",
            Hugetlb => "hugetlb",
            Rdma => "rdma",
            NetCls => "net_cls",
            NetPrio => "net_prio",
            PerfEvent => "perf_event",
            Misc => "misc",
        }
    }

    /// Tells whether cgroup v2 has to enable this controller in `cgroup.subtree_control`.
    pub const fn is_v2(self) -> bool {
        matches!(self, Cpu | Cpuset | Memory | Io | Pids | Hugetlb | Rdma | Misc)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A set of controllers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Controllers(u16);

impl Controllers {
    /// No controller.
    pub const NONE: Self = Self(0);

    /// Returns the set with `controller` added.
    #[must_use]
    pub const fn with(self, controller: Controller) -> Self {
        Self(self.0 | 1 << controller as u8)
    }

    /// Tells whether `controller` is in the set.
    pub const fn contains(self, controller: Controller) -> bool {
        self.0 & (1 << controller as u8) != 0
    }

    /// Tells whether both sets share a member.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the members of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the members that `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Tells whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members.
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        Controller::ALL.into_iter().filter(move |controller| self.contains(*controller))
    }

    /// Parses a list of kernel names; unknown ones are left out.
    pub(crate) fn parse(list: &str, separator: char) -> Self {
        list.split(separator)
            .filter_map(|name| Controller::from_name(name.trim()))
            .fold(Self::NONE, Self::with)
    }

    /// Returns the controllers that the limits of `resources` need.
    pub fn needed(resources: &Resources) -> Self {
        let mut set = Self::NONE;
        let mut need = |wanted: bool, controller| {
            if wanted {
                set = set.with(controller);
            }
        };
        let zero = |value: Option<i64>| value.unwrap_or(0) == 0;
        if let Some(cpu) = &resources.cpu {
            let time = !zero(cpu.quota)
                || cpu.shares.unwrap_or(0) != 0
                || cpu.period.unwrap_or(0) != 0
                || cpu.burst.is_some()
                || cpu.idle.is_some()
                || !zero(cpu.realtime_runtime)
                || cpu.realtime_period.unwrap_or(0) != 0;
            need(time, Cpu);
            let text = |value: &Option<String>| value.as_deref().is_some_and(|list| !list.is_empty());
            need(text(&cpu.cpus) || text(&cpu.mems), Cpuset);
        }
        if let Some(memory) = &resources.memory {
            let wanted = !zero(memory.limit)
                || !zero(memory.reservation)
                || !zero(memory.swap)
                || !zero(memory.kernel_tcp)
                || memory.swappiness.is_some()
                || memory.disable_oom_killer == Some(true);
            need(wanted, Memory);
        }
        need(resources.pids.as_ref().is_some_and(|pids| pids.limit.is_some()), Pids);
        if let Some(io) = &resources.block_io {
            let wanted = io.weight.unwrap_or(0) != 0
                || io.leaf_weight.unwrap_or(0) != 0
                || !io.weight_device.is_empty()
                || !io.throttle_read_bps_device.is_empty()
                || !io.throttle_write_bps_device.is_empty()
                || !io.throttle_read_iops_device.is_empty()
                || !io.throttle_write_iops_device.is_empty();
            need(wanted, Io);
        }
        need(!resources.devices.is_empty(), Devices);
        need(!resources.hugepage_limits.is_empty(), Hugetlb);
        need(!resources.rdma.is_empty(), Rdma);
        if let Some(network) = &resources.network {
            need(network.class_id.unwrap_or(0) != 0, NetCls);
            need(!network.priorities.is_empty(), NetPrio);
        }
        for key in resources.unified.keys() {
            if let Some(controller) = key.split('.').next().and_then(Controller::from_name) {
                set = set.with(controller);
            }
        }
        set
    }
}

impl fmt::Display for Controllers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, controller) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(out, "{space}{controller}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Controllers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter().map(Controller::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let resources: Resources = serde_json::from_str(json).unwrap();
        assert_eq!(Controllers::needed(&resources).to_string(), expected, "{json}");
    }

    #[test]
    fn limits_name_their_controllers() {
        check("{}", "");
        check(r#"{"memory":{"limit":0,"swap":0,"disableOOMKiller":false}}"#, "");
        check(r#"{"memory":{"limit":-1}}"#, "memory");
        check(r#"{"cpu":{"shares":0,"cpus":""}}"#, "");
        check(r#"{"cpu":{"shares":2,"cpus":"0"}}"#, "cpu cpuset");
        check(r#"{"pids":{"limit":0}}"#, "pids");
        check(r#"{"blockIO":{"weight":10}}"#, "io");
        check(r#"{"devices":[{"allow":false}]}"#, "devices");
        check(r#"{"unified":{"memory.high":"1","cgroup.freeze":"0","io.max":"x"}}"#, "memory io");
    }

    #[test]
    fn kernel_names_are_parsed() {
        assert_eq!(Controllers::parse("cpu,cpuacct", ',').to_string(), "cpu cpuacct");
        assert_eq!(Controllers::parse("blkio", ',').to_string(), "io");
        assert_eq!(Controllers::parse("cpuset io dmem\n", ' ').to_string(), "cpuset io");
    }
}
