//! The texts of `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.

use std::net::IpAddr;

use crate::network::Network;
use crate::options::NameOptions;

/// `/etc/hosts`: the loopback names, the container's own, then `--add-host`.
///
/// The container's name is that of its own address where it has one, as docker has it; the loopback's where not.
pub(crate) fn hosts(host_name: &str, connection: &Network, options: &NameOptions) -> String {
    let own = connection.addresses();
    let local = if own.is_empty() { format!("localhost {host_name}") } else { "localhost".to_owned() };
    let mut text = match &options.base_hosts {
        Some(base) if base.is_empty() || base.ends_with('\n') => base.clone(),
        Some(base) => format!("{base}\n"),
        None => format!(
            "127.0.0.1\t{local}\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        ),
    };
    let mut add = |address: &IpAddr, name: &str| text.push_str(&format!("{address}\t{name}\n"));
    for address in &own {
        add(address, host_name);
    }
    for (name, address) in &options.hosts {
        add(address, name);
    }
    if let Some(host) = connection.host_address() {
        for name in &options.gateway {
            add(&host, name);
        }
    }
    text
}

/// `/etc/resolv.conf`: what flags say, and the host's file for what they do not.
///
/// Of the host's servers a container gets those that it can reach. One on the host's loopback (systemd-resolved's, dnsmasq's)
/// it cannot: the program that connects it carries its questions there. In a network of its own with the loopback device
/// only, no server can be reached, and the host's addresses are nobody's business there.
pub(crate) fn resolver(connection: &Network, host: &[u8], options: &NameOptions) -> Vec<u8> {
    let flags = !(options.servers.is_empty() && options.search.is_empty() && options.options.is_empty());
    let from_host = String::from_utf8_lossy(host);
    let servers: Vec<String> = match connection {
        Network::Host if !flags => return host.to_vec(),
        _ if !options.servers.is_empty() => options.servers.iter().map(ToString::to_string).collect(),
        Network::Host => lines(&from_host, "nameserver").collect(),
        Network::Stack(connected) if connected.stack.forward_names => {
            vec![connected.stack.name_server().to_string()]
        }
        Network::Stack(_) => network::nameservers(&from_host).0.iter().map(ToString::to_string).collect(),
        Network::None | Network::Container(_) if !flags => return b"# no network\n".to_vec(),
        Network::None | Network::Container(_) => Vec::new(),
    };
    let connected = matches!(connection, Network::Host | Network::Stack(_));
    let given = |own: &[String], word: &str| match own {
        [] if connected => lines(&from_host, word).last().unwrap_or_default(),
        // As docker and resolv.conf(5) have it: a dot is no domain.
        [dot] if dot == "." => String::new(),
        own => own.join(" "),
    };
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    for (word, own) in [("search", &options.search), ("options", &options.options)] {
        let value = given(own, word);
        if !value.is_empty() {
            text.push_str(&format!("{word} {value}\n"));
        }
    }
    text.into_bytes()
}

/// What stands behind a word in a resolv.conf(5).
fn lines<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = String> + 'a {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(word)?;
        rest.starts_with([' ', '\t']).then(|| rest.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Connected;

    fn stack(forward_names: bool) -> Network {
        let stack = network::Stack { forward_names, ..network::Stack::default() };
        let host = network::Host {
            address: Some("192.0.2.7".parse().unwrap()),
            gateway: Some("192.0.2.1".parse().unwrap()),
            ..network::Host::default()
        };
        Network::Stack(Box::new(Connected { stack, host, ports: Vec::new() }))
    }

    #[test]
    fn hosts_name_the_container() {
        let options = NameOptions {
            hosts: vec![("db".into(), "10.0.0.1".parse().unwrap())],
            gateway: vec!["machine".into()],
            ..NameOptions::default()
        };
        let text = hosts("web", &Network::None, &options);
        assert!(text.starts_with("127.0.0.1\tlocalhost web\n"));
        assert!(text.ends_with("10.0.0.1\tdb\n"));
        let text = hosts("web", &stack(false), &options);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("192.0.2.7\tweb\n10.0.0.1\tdb\n192.0.2.1\tmachine\n"));
        let options = NameOptions { base_hosts: Some("10.9.9.9 x".into()), ..options };
        assert_eq!(hosts("web", &Network::None, &options), "10.9.9.9 x\n10.0.0.1\tdb\n");
    }

    #[test]
    fn servers_that_can_be_reached() {
        let host = b"nameserver 127.0.0.53\nnameserver 10.1.1.1\nsearch corp\noptions  edns0 trust-ad\n";
        let none = NameOptions::default();
        let text = |connection: &Network, options: &NameOptions| {
            String::from_utf8(resolver(connection, host, options)).unwrap()
        };
        assert_eq!(text(&Network::None, &none), "# no network\n");
        assert_eq!(text(&Network::Host, &none).as_bytes(), host);
        let rest = "search corp\noptions edns0 trust-ad\n";
        assert_eq!(text(&stack(false), &none), format!("nameserver 10.1.1.1\n{rest}"));
        assert_eq!(text(&stack(true), &none), format!("nameserver 169.254.1.1\n{rest}"));
        let flags = NameOptions {
            servers: vec!["9.9.9.9".parse().unwrap()],
            search: vec!["a.b".into()],
            options: vec!["ndots:2".into()],
            ..NameOptions::default()
        };
        for connection in [Network::None, Network::Host, stack(false)] {
            assert_eq!(text(&connection, &flags), "nameserver 9.9.9.9\nsearch a.b\noptions ndots:2\n");
        }
        let dot = NameOptions { search: vec![".".into()], ..NameOptions::default() };
        assert_eq!(
            text(&Network::Host, &dot),
            "nameserver 127.0.0.53\nnameserver 10.1.1.1\noptions edns0 trust-ad\n"
        );
    }
}
