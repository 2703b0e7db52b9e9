//! The texts of `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.

use crate::options::{NameOptions, Sharing};

/// `/etc/hosts`: the loopback names, the container's own, then `--add-host`.
pub(crate) fn hosts(host_name: &str, options: &NameOptions) -> String {
    let mut text = format!(
        "127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    );
    for (name, address) in &options.hosts {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text
}

/// `/etc/resolv.conf`: what flags say; without flags the host's file where the network is the host's.
///
/// In a network of its own with the loopback device only, no server of the host can be reached, and the
/// host's addresses are nobody's business there.
pub(crate) fn resolver(network: Sharing, host: &[u8], options: &NameOptions) -> Vec<u8> {
    if options.servers.is_empty() && options.search.is_empty() && options.options.is_empty() {
        return match network {
            Sharing::Host => host.to_vec(),
            Sharing::Private => b"# no network\n".to_vec(),
        };
    }
    let mut text = String::new();
    for server in &options.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if options.servers.is_empty() && network == Sharing::Host {
        for line in String::from_utf8_lossy(host).lines().filter(|line| line.starts_with("nameserver ")) {
            text.push_str(&format!("{line}\n"));
        }
    }
    if !options.search.is_empty() {
        text.push_str(&format!("search {}\n", options.search.join(" ")));
    }
    if !options.options.is_empty() {
        text.push_str(&format!("options {}\n", options.options.join(" ")));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_the_container() {
        let options =
            NameOptions { hosts: vec![("db".into(), "10.0.0.1".parse().unwrap())], ..NameOptions::default() };
        let text = hosts("web", &options);
        assert!(text.starts_with("127.0.0.1\tlocalhost web\n"));
        assert!(text.ends_with("10.0.0.1\tdb\n"));
    }

    #[test]
    fn the_hosts_servers_show_only_with_the_hosts_network() {
        let host = b"nameserver 10.1.1.1\nsearch corp\n";
        let none = NameOptions::default();
        assert_eq!(resolver(Sharing::Private, host, &none), b"# no network\n");
        assert_eq!(resolver(Sharing::Host, host, &none), host);
        let flags = NameOptions {
            servers: vec!["9.9.9.9".parse().unwrap()],
            search: vec!["a.b".into()],
            options: vec!["ndots:2".into()],
            ..NameOptions::default()
        };
        assert_eq!(
            resolver(Sharing::Host, host, &flags),
            b"nameserver 9.9.9.9\nsearch a.b\noptions ndots:2\n"
        );
    }
}
