//! The command line of passt's `pasta`.
//!
//! Written for the version of Debian 12 (2023) and what came after: only options that all of them have.

use std::net::IpAddr;

use crate::connect::Stack;
use crate::port::{Protocol, Published};
use crate::state::{NAMESPACE, PID, USER_NAMESPACE};

/// Where a container asks when the host's own name server listens on its loopback: pasta carries what is sent to port 53
/// of this link-local address (RFC 3927) to the host's server, and nothing else.
pub(crate) const NAME_SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 1, 1));
/// The container's interface.
pub(crate) const INTERFACE: &str = "eth0";
/// Most options.
const MAX_OPTIONS: usize = 32;

/// Options that a person may give, and whether they take a value.
const OPTIONS: &[(&str, bool)] = &[
    ("--mtu", true),
    ("--address", true),
    ("--netmask", true),
    ("--gateway", true),
    ("--interface", true),
    ("--outbound", true),
    ("--outbound-if4", true),
    ("--outbound-if6", true),
    ("--ns-mac-addr", true),
    ("--ipv4-only", false),
    ("--ipv6-only", false),
    ("--no-tcp", false),
    ("--no-udp", false),
    ("--no-icmp", false),
    ("--no-ra", false),
    ("--no-dhcp", false),
    ("--no-ndp", false),
    ("--no-dhcpv6", false),
    // These open the host.
    ("--map-gw", false),
    ("--tcp-ns", true),
    ("--udp-ns", true),
];

/// Short forms.
const SHORT: &[(&str, &str)] = &[
    ("-m", "--mtu"),
    ("-a", "--address"),
    ("-n", "--netmask"),
    ("-g", "--gateway"),
    ("-i", "--interface"),
    ("-o", "--outbound"),
    ("-4", "--ipv4-only"),
    ("-6", "--ipv6-only"),
    ("-T", "--tcp-ns"),
    ("-U", "--udp-ns"),
];

/// Parses the options behind `pasta:`, separated by commas: `--mtu,1500` and `--mtu=1500` alike.
///
/// Only known ones: others write files or take descriptors. The result has the long form of each, and its value after it.
///
/// # Errors
/// What is wrong with them.
pub fn parse_options(text: &str) -> Result<Vec<String>, &'static str> {
    let mut options = Vec::new();
    let mut words = text.split(',').filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| *long);
        let (name, takes) = OPTIONS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or("that option of pasta is not taken: see `brig run --help`")?;
        if !takes && value.is_some() {
            return Err("that option of pasta takes no value");
        }
        options.push((*name).to_owned());
        if *takes {
            let value = value.or_else(|| words.next()).ok_or("that option of pasta takes a value")?;
            let good = !value.starts_with('-') && value.len() <= 256;
            // A word of its own on the command line: pasta itself says what is wrong with it.
            if !good || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:%/~-".contains(&byte))
            {
                return Err("an option of pasta has a value that is none");
            }
            options.push(value.to_owned());
        }
        if options.len() > MAX_OPTIONS {
            return Err("too many options of pasta");
        }
    }
    Ok(options)
}

/// What an option of a person's opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The gateway's address leads to the host's loopback.
    Gateway,
    /// Ports of the container's loopback lead to the host's.
    Ports,
}

impl Opened {
    /// What these options open.
    #[must_use]
    pub fn by(options: &[String]) -> Vec<Self> {
        let has = |name: &str| options.iter().any(|option| option == name);
        let mut opened = Vec::new();
        if has("--map-gw") {
            opened.push(Self::Gateway);
        }
        if has("--tcp-ns") || has("--udp-ns") {
            opened.push(Self::Ports);
        }
        opened
    }
}

/// The words after `pasta`, for a working directory that has the links to the namespaces.
pub(crate) fn arguments(stack: &Stack, joins_user_namespace: bool, keeps_root: bool) -> Vec<String> {
    let asked = |name: &str| stack.options.iter().any(|option| option == name);
    let mut words = vec!["--config-net".to_owned(), "--quiet".to_owned()];
    let mut add = |list: &[&str]| words.extend(list.iter().map(|word| (*word).to_owned()));
    add(&["--ns-ifname", INTERFACE, "--pid", &format!("./{PID}")]);
    // Else the gateway's address would be the host's loopback.
    if !(stack.map_gateway || asked("--map-gw")) {
        add(&["--no-map-gw"]);
    }
    if stack.forward_names {
        add(&["--dns-forward", &NAME_SERVER.to_string()]);
    }
    if let Some(interface) = &stack.only_interface {
        if !asked("--outbound-if4") {
            add(&["--outbound-if4", interface]);
        }
        if !asked("--outbound-if6") {
            add(&["--outbound-if6", interface]);
        }
    }
    // All four: the default of each is to look for listening sockets and to connect them.
    for (flag, protocol) in [("--tcp-ports", Protocol::Tcp), ("--udp-ports", Protocol::Udp)] {
        let specs: Vec<String> =
            stack.ports.iter().filter(|port| port.protocol == protocol).map(port).collect();
        for spec in &specs {
            add(&[flag, spec]);
        }
        if specs.is_empty() {
            add(&[flag, "none"]);
        }
    }
    for flag in ["--tcp-ns", "--udp-ns"] {
        if !asked(flag) {
            add(&[flag, "none"]);
        }
    }
    for option in stack.options.iter().filter(|option| *option != "--map-gw") {
        add(&[option]);
    }
    if keeps_root {
        add(&["--runas", "0:0"]);
    }
    if joins_user_namespace {
        add(&["--userns", &format!("./{USER_NAMESPACE}")]);
    }
    add(&["--netns", &format!("./{NAMESPACE}")]);
    words
}

fn port(port: &Published) -> String {
    format!("{}/{}:{}", port.host_ip, port.host_port, port.container_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        Stack { program: "/usr/bin/pasta".into(), ..Stack::default() }
    }

    #[test]
    fn nothing_is_open_unasked() {
        assert_eq!(
            arguments(&stack(), true, false).join(" "),
            "--config-net --quiet --ns-ifname eth0 --pid ./pid --no-map-gw --tcp-ports none --udp-ports none \
             --tcp-ns none --udp-ns none --userns ./user --netns ./ns"
        );
    }

    #[test]
    fn what_is_asked_for() {
        let ports =
            ["10.0.0.1:8080:80", "[::1]:53:5353/udp"].map(|text| text.parse::<crate::Publish>().unwrap());
        let ports = ports
            .iter()
            .map(|publish| Published {
                container_port: publish.container.0,
                protocol: publish.protocol,
                host_ip: publish.host_address(),
                host_port: publish.host.unwrap().0,
            })
            .collect();
        let options = parse_options("-m,1500,--map-gw,-T=22").unwrap();
        assert_eq!(Opened::by(&options), [Opened::Gateway, Opened::Ports]);
        let stack =
            Stack { ports, options, forward_names: true, only_interface: Some("wlan0".into()), ..stack() };
        assert_eq!(
            arguments(&stack, false, true).join(" "),
            "--config-net --quiet --ns-ifname eth0 --pid ./pid --dns-forward 169.254.1.1 \
             --outbound-if4 wlan0 --outbound-if6 wlan0 --tcp-ports 10.0.0.1/8080:80 \
             --udp-ports ::1/53:5353 --udp-ns none --mtu 1500 --tcp-ns 22 --runas 0:0 --netns ./ns"
        );
    }

    #[test]
    fn options() {
        for (text, expected) in [
            ("", Some("")),
            ("--mtu=1500", Some("--mtu 1500")),
            ("-4,-i,eth1", Some("--ipv4-only --interface eth1")),
            ("--pcap,/etc/passwd", None),
            ("--log-file=/x", None),
            ("--fd,3", None),
            ("--mtu", None),
            ("--mtu,--runas", None),
            ("--ipv4-only=1", None),
            ("-m,15 00", None),
            ("--userns,/proc/1/ns/user", None),
        ] {
            assert_eq!(
                parse_options(text).ok().map(|words| words.join(" ")).as_deref(),
                expected,
                "{text:?}"
            );
        }
    }
}
