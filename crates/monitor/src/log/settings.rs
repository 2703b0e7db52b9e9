//! What a monitor is told about a container's log: lines of `key value`, read without a parser library.

use std::fmt::Write as _;

/// Bytes after which a log file is rotated, where nothing else is asked for.
pub const DEFAULT_MAX_SIZE: u64 = 10 << 20;
/// How many log files are kept then.
pub const DEFAULT_MAX_FILES: u32 = 3;
/// Most log files that can be asked for: each rotation renames all of them.
pub const MAX_FILES: u32 = 100;
/// Bytes that wait for a slow receiver with `mode=non-blocking`: docker's default.
pub const DEFAULT_BUFFER: u64 = 1 << 20;
/// Docker's limits of the copy beside a remote log, by which `logs` works.
pub const CACHE_MAX_SIZE: u64 = 20 << 20;
/// See [`CACHE_MAX_SIZE`].
pub const CACHE_MAX_FILES: u32 = 5;

/// How the files on the disk look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Docker's `json-file`.
    #[default]
    Json,
    /// The container runtime interface's, podman's `k8s-file`.
    K8s,
    /// There are none.
    None,
}

/// Where messages go beside the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// Nowhere.
    #[default]
    None,
    /// To systemd's journal.
    Journald {
        /// The fields of every message but `MESSAGE` and `PRIORITY`: names of upper-case letters, digits and `_`.
        fields: Vec<(String, String)>,
    },
    /// To a syslog, RFC 5424.
    Syslog {
        /// Where it listens.
        address: Address,
        /// Facility, 0 to 23.
        facility: u8,
        /// Whether times have six digits after the seconds.
        micro: bool,
        /// `APP-NAME` and `MSGID`: 1 to 48 printable ASCII characters.
        tag: String,
        /// `HOSTNAME`.
        host: String,
    },
}

/// Where a syslog listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A datagram socket of this machine.
    Unix(String),
    /// UDP.
    Udp(std::net::SocketAddr),
}

/// All about one container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Format of the files.
    pub format: Format,
    /// Bytes after which a file is rotated; 0 is never.
    pub max_size: u64,
    /// How many files are kept, the newest included.
    pub max_files: u32,
    /// Of docker's JSON lines: an object, or empty.
    pub attributes: String,
    /// The other receiver.
    pub forward: Forward,
    /// How many bytes may wait for the receiver before new ones are dropped; with none the container waits.
    pub buffer: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Json,
            max_size: DEFAULT_MAX_SIZE,
            max_files: DEFAULT_MAX_FILES,
            attributes: String::new(),
            forward: Forward::None,
            buffer: None,
        }
    }
}

impl Settings {
    /// As lines. No value holds the end of a line: they are JSON, or were checked, or have it escaped here.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut text = String::new();
        let format = match self.format {
            Format::Json => "json",
            Format::K8s => "k8s",
            Format::None => "none",
        };
        line(&mut text, "format", format);
        line(&mut text, "max-size", self.max_size);
        line(&mut text, "max-files", self.max_files);
        if !self.attributes.is_empty() {
            line(&mut text, "attributes", &self.attributes);
        }
        if let Some(buffer) = self.buffer {
            line(&mut text, "buffer", buffer);
        }
        match &self.forward {
            Forward::None => {}
            Forward::Journald { fields } => {
                line(&mut text, "forward", "journald");
                for (name, value) in fields {
                    line(&mut text, "field", format_args!("{name}={}", value.replace('\n', " ")));
                }
            }
            Forward::Syslog { address, facility, micro, tag, host } => {
                line(&mut text, "forward", "syslog");
                match address {
                    Address::Unix(path) => line(&mut text, "unix", path),
                    Address::Udp(address) => line(&mut text, "udp", address),
                }
                line(&mut text, "facility", facility);
                line(&mut text, "micro", u8::from(*micro));
                line(&mut text, "tag", tag);
                line(&mut text, "host", host);
            }
        }
        text
    }

    /// Reads [`Self::to_lines`]; what is not understood is left at its default, since a log that is kept otherwise
    /// than asked for is better than none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        let (mut forward, mut fields) = ("", Vec::new());
        let (mut address, mut facility, mut micro) = (Address::Unix("/dev/log".to_owned()), 3, false);
        let (mut tag, mut host) = (String::new(), String::new());
        for (key, value) in text.lines().filter_map(|line| line.strip_prefix(PREFIX)?.split_once(' ')) {
            match key {
                "format" => {
                    settings.format = match value {
                        "none" => Format::None,
                        "k8s" => Format::K8s,
                        _ => Format::Json,
                    }
                }
                "max-size" => settings.max_size = value.parse().unwrap_or(DEFAULT_MAX_SIZE),
                "max-files" => settings.max_files = value.parse().unwrap_or(DEFAULT_MAX_FILES).min(MAX_FILES),
                "attributes" => value.clone_into(&mut settings.attributes),
                "buffer" => settings.buffer = value.parse().ok(),
                "forward" => forward = value,
                "field" => {
                    fields.extend(
                        value.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())),
                    );
                }
                "unix" => address = Address::Unix(value.to_owned()),
                "udp" => address = value.parse().map_or(address, Address::Udp),
                "facility" => facility = value.parse().unwrap_or(3),
                "micro" => micro = value == "1",
                "tag" => value.clone_into(&mut tag),
                "host" => value.clone_into(&mut host),
                _ => {}
            }
        }
        settings.forward = match forward {
            "journald" => Forward::Journald { fields },
            "syslog" => Forward::Syslog { address, facility, micro, tag, host },
            _ => Forward::None,
        };
        settings
    }
}

/// What the lines start with, beside those that are not about the log.
const PREFIX: &str = "log.";

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{PREFIX}{key} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for settings in [
            Settings::default(),
            Settings { format: Format::None, ..Settings::default() },
            Settings {
                format: Format::K8s,
                max_size: 0,
                max_files: 1,
                attributes: r#"{"a b":"c"}"#.to_owned(),
                forward: Forward::Journald { fields: vec![("CONTAINER_ID".into(), "0 1=2".into())] },
                buffer: Some(7),
            },
            Settings {
                forward: Forward::Syslog {
                    address: Address::Udp("[::1]:514".parse().unwrap()),
                    facility: 16,
                    micro: true,
                    tag: "web".into(),
                    host: "h".into(),
                },
                ..Settings::default()
            },
        ] {
            let text = format!("other line\n{}last 1\n", settings.to_lines());
            assert_eq!(Settings::parse(&text), settings, "{text}");
        }
        assert_eq!(
            Settings::parse("log.max-files x\nlog.format ?\nlog.\nlog.buffer -1"),
            Settings::default()
        );
    }
}
