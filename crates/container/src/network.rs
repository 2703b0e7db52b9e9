//! How a container is connected: what was asked for and what the host has become one choice, which the start carries out.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use network::{Exposed, Mode, Opened, Provider, Publish, Published, Stack, State, Target};
use serde::{Deserialize, Serialize};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::Options;
use crate::peer::Peer;
use crate::profile::Profile;
use crate::protection::Protection;
use crate::value::name::ContainerId;
use crate::weakening::{WeakeningKind, Weakenings};

/// Name of the run-time directory with what is kept of the networks of containers that run.
pub(crate) const NETWORKS: &str = "net";
/// How often a start looks for free ports again that somebody took in between.
const ATTEMPTS: usize = 4;
/// Ports below it are root's, unless the host says otherwise.
const LOW_PORTS: u16 = 1024;
/// Rights with which a process inside forges addresses, that of the host's loopback too.
const FORGERS: [&str; 2] = ["CAP_NET_ADMIN", "CAP_NET_RAW"];

/// `--network`, `--publish` and what belongs to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkOptions {
    /// `--network`.
    pub mode: Mode,
    /// `--publish`.
    pub ports: Vec<Publish>,
    /// `--publish-all`.
    pub publish_all: bool,
    /// `--expose`.
    pub exposed: Vec<Exposed>,
}

/// A container's network as its record has it. What is true while it runs is [`Containers::network`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkConfig {
    /// `none`, `host`, `pasta`, `slirp4netns` or `container:ID`.
    pub mode: String,
    /// What was asked to be published.
    pub ports: Vec<Publish>,
    /// Ports that the image or `--expose` name, `80/tcp`.
    pub exposed: Vec<String>,
}

/// What the host has to connect containers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFacts {
    /// The program.
    pub provider: Provider,
    /// The host's way out.
    pub host: network::Host,
    /// `/etc/resolv.conf` of the host.
    pub resolver: String,
    /// The container whose network is shared.
    pub peer: Option<Peer>,
}

impl NetworkFacts {
    /// Looks at the host, where these options need it.
    pub(crate) fn look(
        options: &Options,
        containers: &Containers<'_>,
        resolver: impl FnOnce() -> Vec<u8>,
    ) -> Result<Self> {
        let peer = match &options.network.mode {
            Mode::Container(name) => Some(Peer::open(containers, name)?),
            _ => None,
        };
        let provider = match &options.network.mode {
            _ if is_closed(options) => Provider::Missing(String::new()),
            Mode::None | Mode::Host | Mode::Container(_) => Provider::Missing(String::new()),
            // Who names one gets that one.
            Mode::Pasta(_) => match Provider::find() {
                Provider::Slirp(_) => Provider::Missing("`pasta` of passt is not installed".to_owned()),
                found => found,
            },
            Mode::Slirp => match Provider::slirp() {
                Some(program) => Provider::Slirp(program),
                None => Provider::Missing("`slirp4netns` is not installed".to_owned()),
            },
            Mode::Default => Provider::find(),
        };
        let needed = !matches!(provider, Provider::Missing(_));
        Ok(Self {
            provider,
            host: if needed { network::Host::look() } else { network::Host::default() },
            resolver: String::from_utf8_lossy(&resolver()).into_owned(),
            peer,
        })
    }
}

/// Whether the profile closes the network unless a flag opens it.
fn is_closed(options: &Options) -> bool {
    options.profile == Profile::Strict && options.network.mode == Mode::Default
}

/// How a container is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The loopback device only.
    #[default]
    None,
    /// The host's network.
    Host,
    /// That of another container.
    Container(Peer),
    /// By a program in user space.
    Stack(Box<Connected>),
}

/// A container that a program connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The program and what it is told; its ports are found at the start.
    pub stack: Stack,
    /// The host's way out.
    pub host: network::Host,
    /// What is published.
    pub ports: Vec<Publish>,
}

impl Network {
    /// Its word in records and messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Host => "host".to_owned(),
            Self::Container(peer) => format!("container:{}", peer.id),
            Self::Stack(connected) if connected.stack.slirp => "slirp4netns".to_owned(),
            Self::Stack(_) => "pasta".to_owned(),
        }
    }

    /// The container's own addresses, those of the loopback device aside.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::Stack(connected) => connected.stack.addresses(&connected.host),
            _ => Vec::new(),
        }
    }

    /// The address that stands for the host, where one does.
    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        match self {
            Self::Host => Some(Ipv4Addr::LOCALHOST.into()),
            Self::Stack(connected) if connected.stack.slirp => Some(Ipv4Addr::new(10, 0, 2, 2).into()),
            Self::Stack(connected) => connected.host.gateway.map(IpAddr::V4),
            _ => None,
        }
    }
}

/// Chooses. What it opens, and what is less than was meant, is noted.
pub(crate) fn choose(
    options: &Options,
    exposed: &[String],
    capabilities: &[String],
    host: &Host,
    weakenings: &mut Weakenings,
    warnings: &mut Vec<String>,
) -> Result<Network> {
    let (asked, facts) = (&options.network, &host.network);
    let mut ports = asked.ports.clone();
    if asked.publish_all {
        ports.extend(all_exposed(&asked.exposed, exposed).map(|port| Publish {
            address: None,
            host: None,
            container: port.container,
            protocol: port.protocol,
        }));
    }
    let without = |connection, reason| match ports.first() {
        None => Ok(connection),
        Some(port) => Err(Error::Conflict {
            first: format!("--publish {port}"),
            second: "--network".to_owned(),
            reason,
        }),
    };
    let program = match (&asked.mode, &facts.provider) {
        _ if is_closed(options) => return without(Network::None, "the profile has no network"),
        // As docker and podman have it: nothing is opened that was not asked for.
        (mode @ (Mode::None | Mode::Host), _) => {
            let (network, has) = match mode {
                Mode::None => (Network::None, "no network"),
                _ => (Network::Host, "the host's network"),
            };
            if let Some(port) = ports.first() {
                warnings.push(format!("`--publish {port}` does nothing: the container has {has}"));
            }
            return Ok(network);
        }
        (Mode::Container(name), _) => {
            let peer = facts.peer.clone().ok_or_else(|| Error::NoContainer { name: name.clone() })?;
            weakenings.open(
                WeakeningKind::Namespace,
                format!("--network container:{}", name.escape_debug()),
                match peer.user_path() {
                    Some(_) => "that container's network, and its user namespace",
                    None => "that container's network",
                },
            );
            return without(Network::Container(peer), "publish the port where the other container is made");
        }
        (Mode::Default, Provider::Missing(reason)) if ports.is_empty() => {
            warnings.push(format!("the container has no network: {reason}"));
            return Ok(Network::None);
        }
        (Mode::Default, _) if ports.is_empty() && !facts.host.is_online() => {
            warnings.push("the container has no network: this host has no default route".to_owned());
            return Ok(Network::None);
        }
        (_, Provider::Missing(reason)) => return Err(network::Error::Unavailable(reason.clone()).into()),
        _ if !facts.host.is_online() => {
            return Err(network::Error::Unavailable("this host has no default route".to_owned()).into());
        }
        (_, Provider::Pasta(program) | Provider::Slirp(program)) => program,
    };
    let slirp = matches!(facts.provider, Provider::Slirp(_));
    if slirp && asked.mode == Mode::Default {
        warnings.push("`slirp4netns` connects the container: it is slower than passt's `pasta`, which is not installed, and hides who connects to a published port".to_owned());
    }
    let set = match &asked.mode {
        Mode::Pasta(options) => options.clone(),
        _ => Vec::new(),
    };
    for opened in Opened::by(&set) {
        let opens = match opened {
            Opened::Gateway => "the host's own services, those of its loopback too",
            Opened::Ports => "ports of the host's loopback",
        };
        weakenings.open(WeakeningKind::Network, format!("--network {}", asked.mode), opens);
    }
    let map_gateway = !options.names.gateway.is_empty();
    for name in &options.names.gateway {
        let flag = format!("--add-host {name}:host-gateway");
        weakenings.open(WeakeningKind::Network, flag, "the host's own services, those of its loopback too");
    }
    let forges = capabilities.iter().any(|right| FORGERS.contains(&right.as_str()));
    let (servers, left_out) = network::nameservers(&facts.resolver);
    let stack = Stack {
        program: program.clone(),
        slirp,
        ports: Vec::new(),
        map_gateway,
        // The host's own server is out of reach, and so is one of an address of an interface.
        forward_names: options.names.servers.is_empty() && (slirp || (servers.is_empty() && left_out)),
        only_interface: facts
            .host
            .interface
            .clone()
            .filter(|_| forges && !map_gateway && Opened::by(&set).is_empty()),
        options: set,
    };
    let connected = Connected { stack, host: facts.host.clone(), ports };
    Ok(Network::Stack(Box::new(connected)))
}

/// Notes a program that is more than the container's own root.
pub(crate) fn report(
    connection: &Network,
    user_namespace: bool,
    host: &Host,
    protections: &mut Vec<Protection>,
) {
    let Network::Stack(connected) = connection else { return };
    let low = connected.ports.iter().any(|port| port.host.is_some_and(|(first, _)| first < LOW_PORTS));
    let why = match (host.uid, user_namespace) {
        (0, false) => "the container has no user namespace",
        (0, true) if low => "a port below 1024 of the host is published",
        _ => return,
    };
    let program = connection.name();
    protections.push(Protection::weaker("network", format!("`{program}` runs as root of the host: {why}")));
}

fn all_exposed<'a>(asked: &'a [Exposed], image: &'a [String]) -> impl Iterator<Item = Exposed> + 'a {
    // What is no port in the image is the image's fault and publishes nothing.
    let image = image.iter().filter_map(|port| port.parse::<Exposed>().ok());
    let mut seen = Vec::new();
    asked.iter().cloned().chain(image).filter(move |port| {
        let new = !seen.contains(port);
        if new {
            seen.push(port.clone());
        }
        new
    })
}

/// What a container's record has of its network.
pub(crate) fn config(connection: &Network, options: &NetworkOptions, exposed: &[String]) -> NetworkConfig {
    let (ports, asked) = match connection {
        Network::Stack(connected) => (connected.ports.clone(), &options.exposed),
        _ => (Vec::new(), &options.exposed),
    };
    NetworkConfig {
        mode: connection.name(),
        ports,
        exposed: all_exposed(asked, exposed).map(|port| port.to_string()).collect(),
    }
}

impl Containers<'_> {
    /// What is known of a container's network while it runs; nothing where no program connects it.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Network`].
    pub fn network(&self, id: &ContainerId) -> Result<Option<State>> {
        Ok(network::read(self.runtime_directory(NETWORKS)?.as_fd(), id.as_str())?)
    }

    /// Ends the program that connects a container.
    pub(crate) fn disconnect(&self, id: &ContainerId) -> Result<()> {
        Ok(network::disconnect(self.runtime_directory(NETWORKS)?.as_fd(), id.as_str())?)
    }

    /// Connects a container whose process waits.
    pub(crate) fn connect(
        &self,
        id: &ContainerId,
        connected: &Connected,
        process: BorrowedFd<'_>,
        maps: Option<&(idmap::Map, idmap::Map)>,
    ) -> Result<State> {
        let parent = self.runtime_directory(NETWORKS)?;
        let target = Target {
            process,
            root: maps.and_then(|(uids, gids)| Some((uids.to_host(0)?, gids.to_host(0)?))),
            user_namespace: maps.is_some(),
        };
        let any_would_do =
            connected.ports.iter().any(|port| port.host.is_none_or(|(first, last)| first != last));
        let mut attempt = 1;
        loop {
            let ports: Vec<Published> = network::assign(&connected.ports)?;
            let stack = Stack { ports, ..connected.stack.clone() };
            match network::connect(&target, parent.as_fd(), id.as_str(), &stack, &connected.host) {
                Err(network::Error::Program { .. }) if any_would_do && attempt < ATTEMPTS => attempt += 1,
                result => return Ok(result?),
            }
        }
    }
}
