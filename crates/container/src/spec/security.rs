//! Capabilities, no_new_privs, the filter, masks, labels, sysctls.

use std::collections::BTreeMap;

use idmap::Map;
use oci::runtime::Capabilities;

use crate::capability::{self, Word};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::kernel_files;
use crate::lsm::{Apparmor, Selinux};
use crate::options::{LabelOptions, Options, Sharing};
use crate::profile::Profile;
use crate::protection::Protection;
use crate::spec::mounts;
use crate::value::sysctl::Owner;
use crate::value::user::Resolved;
use crate::weaken::{self, Defence};
use crate::weakening::{WeakeningKind, Weakenings};

/// The five sets. Inheritable and ambient are empty (CVE-2022-24769 and its kin); a user other than root
/// gets no capability at all, unless flags name some: those it can only use as ambient ones.
pub(crate) fn capabilities(options: &Options, user: &Resolved, weakenings: &mut Weakenings) -> Capabilities {
    let security = &options.security;
    let base = options.profile.capabilities();
    let add: Vec<Word> = if options.privileged { vec![Word::All] } else { security.capabilities_add.clone() };
    let root_set = capability::combine(base, &add, &security.capabilities_drop);
    let standard = Profile::Standard.capabilities();
    for name in root_set.iter().filter(|name| !standard.contains(name)) {
        let flag = if options.privileged {
            "--privileged".to_owned()
        } else if add.contains(&Word::All) {
            "--cap-add ALL".to_owned()
        } else if add.contains(&Word::One(name)) {
            format!("--cap-add {}", &name[4..])
        } else {
            format!("--profile {}", options.profile.name())
        };
        weakenings.open(WeakeningKind::Capability, flag, format!("{name}: {}", capability::opens(name)));
    }
    let names = |set: Vec<&str>| -> Vec<String> { set.into_iter().map(str::to_owned).collect() };
    if user.uid == 0 {
        let set = names(root_set);
        return Capabilities {
            bounding: set.clone(),
            effective: set.clone(),
            permitted: set.clone(),
            inheritable: if weaken::is_off(Defence::Inheritable) { set } else { Vec::new() },
            ambient: Vec::new(),
        };
    }
    let set = names(capability::combine(&[], &security.capabilities_add, &security.capabilities_drop));
    Capabilities {
        bounding: if options.privileged { names(root_set) } else { set.clone() },
        effective: set.clone(),
        permitted: set.clone(),
        inheritable: set.clone(),
        ambient: set,
    }
}

/// `no_new_privs`.
pub(crate) fn no_new_privileges(options: &Options, weakenings: &mut Weakenings) -> bool {
    let chosen = options.security.no_new_privileges;
    let on = chosen.unwrap_or(!options.privileged && options.profile.no_new_privileges());
    if !on {
        let flag = match chosen {
            Some(_) => "--security-opt no-new-privileges=false".to_owned(),
            None if options.privileged => "--privileged".to_owned(),
            None => format!("--profile {}", options.profile.name()),
        };
        weakenings.open(WeakeningKind::NewPrivileges, flag, "set-id programs and file capabilities");
    }
    on
}

/// Masked and read-only paths after `--unmask` and `--security-opt mask=`.
pub(crate) fn kernel_files(
    options: &Options,
    user_namespace: bool,
    host: &Host,
    weakenings: &mut Weakenings,
) -> (Vec<String>, Vec<String>) {
    let mut masked: Vec<String> = match options.profile {
        Profile::Docker => kernel_files::MASKED_DOCKER,
        Profile::Standard | Profile::Strict => kernel_files::MASKED,
    }
    .iter()
    .map(|path| (*path).to_owned())
    .collect();
    if mounts::host_sys(options, user_namespace, host) {
        masked.extend(kernel_files::MASKED_HOST_SYS.iter().map(|path| (*path).to_owned()));
    }
    masked.extend(host.thermal.iter().map(|processor| kernel_files::thermal(*processor)));
    let mut read_only: Vec<String> = kernel_files::READ_ONLY.iter().map(|path| (*path).to_owned()).collect();
    if options.privileged {
        weakenings.open(
            WeakeningKind::KernelFile,
            "--privileged",
            "every file of the kernel in /proc and /sys",
        );
        return (options.security.mask.clone(), Vec::new());
    }
    for path in &options.security.unmask {
        if path == "ALL" {
            weakenings.open(
                WeakeningKind::KernelFile,
                "--unmask ALL",
                "every file of the kernel in /proc and /sys",
            );
            masked.clear();
            read_only.clear();
            continue;
        }
        let covers = |known: &String| {
            known == path || known.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        let before = masked.len() + read_only.len();
        masked.retain(|known| !covers(known));
        read_only.retain(|known| !covers(known));
        if masked.len() + read_only.len() < before {
            weakenings.open(WeakeningKind::KernelFile, format!("--unmask {path}"), format!("`{path}`"));
        }
    }
    for path in &options.security.mask {
        if !masked.contains(path) {
            masked.push(path.clone());
        }
    }
    (masked, read_only)
}

/// The labels of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// AppArmor's profile.
    pub apparmor: Option<String>,
    /// SELinux's context of the processes.
    pub process: Option<String>,
    /// SELinux's context of the files.
    pub files: Option<String>,
}

/// AppArmor profile and SELinux contexts. One that was asked for and cannot be had is an error; our own is reported.
///
/// A kernel without a security module is no fault of the machine's owner, so its absence is not reported.
pub(crate) fn labels(
    options: &Options,
    host: &Host,
    weakenings: &mut Weakenings,
    protections: &mut Vec<Protection>,
) -> Result<Labels> {
    let security = &options.security;
    let mut labels = Labels::default();
    let unused = |text: &'static str| if options.privileged { "--privileged" } else { text };
    match (&host.modules.apparmor, security.apparmor.as_deref()) {
        (Apparmor::Off, None | Some("unconfined")) => {}
        (_, Some(name)) if name.chars().any(char::is_control) => {
            let value = format!("apparmor={}", name.escape_debug());
            return Err(Error::value("--security-opt", value, "it holds control characters"));
        }
        (Apparmor::Off, Some(name)) => {
            let reason = "AppArmor is not on here";
            return Err(Error::value("--security-opt", format!("apparmor={name}"), reason));
        }
        (Apparmor::Unused, _) => {
            let flag = unused("--security-opt apparmor=unconfined");
            weakenings.open(WeakeningKind::Label, flag, "what AppArmor would have refused");
        }
        (Apparmor::Unknown(name), _) => {
            let reason =
                "it is not loaded: `apparmor_parser --replace FILE` as root loads the profiles of a file";
            return Err(Error::value("--security-opt", format!("apparmor={name}"), reason));
        }
        (Apparmor::Missing(lack), _) => {
            protections.push(Protection::unavailable("apparmor", lack.to_string()));
        }
        (Apparmor::Ready(name), _) => {
            protections.push(Protection::applied("apparmor"));
            labels.apparmor = Some(name.clone());
        }
    }
    let asked = security.label != LabelOptions::default() && !security.label.disable;
    match &host.modules.selinux {
        Selinux::Off if asked => {
            return Err(Error::value("--security-opt", "label=...", "SELinux is not on here"));
        }
        Selinux::Off => {}
        Selinux::Unused => {
            let flag = unused("--security-opt label=disable");
            weakenings.open(WeakeningKind::Label, flag, "what SELinux would have refused");
        }
        Selinux::Unknown(context) => {
            let reason = "the policy of this machine has no such context";
            return Err(Error::value("--security-opt label=", context, reason));
        }
        Selinux::Missing(lack) => protections.push(Protection::unavailable("selinux", lack.to_string())),
        Selinux::Ready { process, files, enforcing } => {
            protections.push(if *enforcing {
                Protection::applied("selinux")
            } else {
                Protection::weaker("selinux", "permissive: what the policy refuses is only logged")
            });
            labels.process = Some(process.clone());
            labels.files = Some(files.clone());
        }
    }
    Ok(labels)
}

/// The sysctls: those that let a program without capabilities open low ports and ping, then those of flags.
/// One that belongs to a namespace shared with the host would change the host (CVE-2022-0532).
pub(crate) fn sysctls(options: &Options, gids: Option<&Map>) -> Result<BTreeMap<String, String>> {
    let mut sysctls = BTreeMap::new();
    let namespaces = &options.namespaces;
    let joined = matches!(options.network.mode, network::Mode::Container(_));
    if namespaces.network == Sharing::Private && !joined {
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), ping_range(gids));
    }
    for sysctl in &options.sysctls {
        let (shared, flag) = match sysctl.owner {
            Owner::Network if joined => (true, "--network container:NAME"),
            Owner::Network => (namespaces.network == Sharing::Host, "--network host"),
            Owner::Ipc if namespaces.ipc.container().is_some() => (true, "--ipc container:NAME"),
            Owner::Ipc => (namespaces.ipc == Sharing::Host, "--ipc host"),
        };
        if shared {
            return Err(Error::Conflict {
                first: format!("--sysctl {}", sysctl.name),
                second: flag.to_owned(),
                reason: "it would change the host, or the other container",
            });
        }
        sysctls.insert(sysctl.name.clone(), sysctl.value.clone());
    }
    Ok(sysctls)
}

/// Lowest and highest mapped group: the kernel refuses a border that has no id in the user namespace.
fn ping_range(gids: Option<&Map>) -> String {
    let Some(map) = gids else { return "0 2147483647".to_owned() };
    let lowest = map.ranges().iter().map(|range| range.container_id).min().unwrap_or(0);
    let highest = map.ranges().iter().map(|range| range.container_id + (range.size - 1)).max().unwrap_or(0);
    // The kernel's own limit (`GID_T_MAX`).
    format!("{} {}", lowest.min(2_147_483_647), highest.min(2_147_483_647))
}

/// Reports what the choices above leave of each protection.
pub(crate) fn report(no_new_privileges: bool, protections: &mut Vec<Protection>) {
    protections.push(if no_new_privileges {
        Protection::applied("no_new_privs")
    } else {
        Protection::weaker("no_new_privs", "switched off")
    });
}
