//! `brig port`.

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::Parser;
use container::{Containers, LATEST};
use network::{Exposed, Published};

use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::{output, site};

/// List the published ports of a container
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig port CONTAINER [PORT[/PROTOCOL]]",
    after_help = "Examples:\n  brig port web\n  brig port web 80/tcp\n\nA container that does not run has none."
)]
struct Port {
    /// Those of all containers that run
    #[arg(long, short = 'a', conflicts_with_all = ["latest", "container"])]
    all: bool,
    /// The one that was made last
    #[arg(long, short = 'l')]
    latest: bool,
    /// Name, id or beginning of an id
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["latest", "all"])]
    container: Option<String>,
    /// Only this port of the container
    #[arg(value_name = "PORT")]
    port: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Port = command::parse("brig port", args)?;
    if flags.latest {
        // What stands in the container's place is the port.
        flags.port = flags.container.replace(LATEST.to_owned());
    }
    let wanted = match &flags.port {
        None => None,
        Some(text) => Some(text.parse::<Exposed>().map_err(|_| {
            Failure::user(format!("`{}` is no port: use 80, 53/udp and the like", text.escape_debug()))
                .code(1)
        })?),
    };
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let Some(name) = &flags.container else { return all(&containers) };
    // As docker ends with it.
    let id = containers.find(name).map_err(|error| failure(error).code(1))?;
    let mut ports = containers.network(&id).map_err(failure)?.map(|state| state.ports).unwrap_or_default();
    ports.sort();
    let Some(wanted) = wanted else {
        output::print(
            &ports.iter().map(|port| format!("{} -> {}\n", inside(port), outside(port))).collect::<String>(),
        )?;
        return Ok(0);
    };
    let found: String = ports
        .iter()
        .filter(|port| port.container_port == wanted.container.0 && port.protocol == wanted.protocol)
        .map(|port| format!("{}\n", outside(port)))
        .collect();
    if found.is_empty() {
        return Err(Failure::user(format!("container `{}` publishes no port {wanted}", id.short())).code(1));
    }
    output::print(&found)?;
    Ok(0)
}

fn inside(port: &Published) -> String {
    format!("{}/{}", port.container_port, port.protocol)
}

fn outside(port: &Published) -> SocketAddr {
    SocketAddr::new(port.host_ip, port.host_port)
}

/// The ports of all containers, each line with the container's id, as podman has it.
fn all(containers: &Containers<'_>) -> Result<u8, Failure> {
    for one in containers.list().map_err(failure)?.iter().filter(|one| one.state.status.is_running()) {
        let state = containers.network(&one.id).map_err(failure)?;
        let mut ports = state.map(|state| state.ports).unwrap_or_default();
        ports.sort();
        for port in &ports {
            output::print(&format!("{}\t{} -> {}\n", one.id.short(), inside(port), outside(port)))?;
        }
    }
    Ok(0)
}
