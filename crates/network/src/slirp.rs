//! The command line and the socket of `slirp4netns`.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::connect::Stack;
use crate::error::{Error, Result};
use crate::port::Published;
use crate::state::NAMESPACE;

/// Its socket in the container's directory.
const SOCKET: &str = "api";
/// The container's addresses, slirp4netns(1).
pub(crate) const ADDRESSES: [&str; 1] = ["10.0.2.100"];
/// Its name server there, which asks the host's.
pub(crate) const NAME_SERVER: &str = "10.0.2.3";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer.
const MAX_ANSWER: u64 = 4096;

/// The words after `slirp4netns`; `ready` is the descriptor that gets a byte when it is.
pub(crate) fn arguments(stack: &Stack, ready: i32) -> Vec<String> {
    let mut words = vec!["--configure".to_owned(), "--mtu=65520".to_owned(), format!("--ready-fd={ready}")];
    words.extend(["--enable-sandbox", "--enable-seccomp", "--enable-ipv6"].map(str::to_owned));
    if !stack.map_gateway {
        words.push("--disable-host-loopback".to_owned());
    }
    if !stack.ports.is_empty() {
        words.push(format!("--api-socket=./{SOCKET}"));
    }
    words.extend(["--netns-type=path".to_owned(), format!("./{NAMESPACE}"), "tap0".to_owned()]);
    words
}

/// Publishes ports: one connection each, as the program wants it.
pub(crate) fn publish(program: &Path, directory: BorrowedFd<'_>, ports: &[Published]) -> Result<()> {
    for port in ports {
        let failed = |said: String| Error::Program { program: program.to_owned(), said };
        // By descriptor: a socket's path has 107 bytes at most.
        let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        let answer = ask(Path::new(&path), &request(port)).map_err(|error| failed(error.to_string()))?;
        let value: serde_json::Value =
            serde_json::from_slice(&answer).map_err(|_| failed("it gave no answer".to_owned()))?;
        if value.get("return").is_none() {
            let said =
                value["error"]["desc"].as_str().unwrap_or("it refused a port").escape_debug().to_string();
            return Err(failed(format!("port {}: {said}", port.host_port)));
        }
    }
    Ok(())
}

fn request(port: &Published) -> String {
    serde_json::json!({
        "execute": "add_hostfwd",
        "arguments": {
            "proto": port.protocol,
            "host_addr": port.host_ip,
            "host_port": port.host_port,
            "guest_port": port.container_port,
        },
    })
    .to_string()
}

fn ask(path: &Path, request: &str) -> std::io::Result<Vec<u8>> {
    let mut socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.write_all(request.as_bytes())?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    socket.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Protocol;

    #[test]
    fn words() {
        let mut stack = Stack::default();
        assert_eq!(
            arguments(&stack, 7).join(" "),
            "--configure --mtu=65520 --ready-fd=7 --enable-sandbox --enable-seccomp --enable-ipv6 \
             --disable-host-loopback --netns-type=path ./ns tap0"
        );
        let port = Published {
            container_port: 80,
            protocol: Protocol::Udp,
            host_ip: "127.0.0.1".parse().unwrap(),
            host_port: 8080,
        };
        stack.ports.push(port);
        assert!(arguments(&stack, 7).contains(&"--api-socket=./api".to_owned()));
        assert_eq!(
            request(&port),
            r#"{"arguments":{"guest_port":80,"host_addr":"127.0.0.1","host_port":8080,"proto":"udp"},"execute":"add_hostfwd"}"#
        );
    }
}
