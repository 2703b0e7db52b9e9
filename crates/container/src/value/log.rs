//! `--log-driver` and `--log-opt`: checked when a container is made, handed to its monitor when it starts.

use std::collections::BTreeMap;

use monitor::log::{
    Address, CACHE_MAX_FILES, CACHE_MAX_SIZE, DEFAULT_BUFFER, Format, Forward, MAX_FILES, Settings, line,
};

use super::size::parse_size;
use crate::error::{Error, Result};
use crate::record::LogConfig;

/// The driver where none is named.
pub const DEFAULT_DRIVER: &str = "json-file";
/// The flag that messages name.
const FLAG: &str = "--log-opt";
/// Docker's tag: the short id.
const DEFAULT_TAG: &str = "{{.ID}}";
/// Longest `APP-NAME` of RFC 5424.
const MAX_TAG: usize = 48;
/// Facilities of RFC 5424 by number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// What options may name of a container.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its image as it was named.
    pub image: &'a str,
    /// The image's id.
    pub image_id: &'a str,
    /// Its labels, the image's included.
    pub labels: &'a BTreeMap<String, String>,
    /// Its environment, `NAME=value`.
    pub environment: &'a [String],
    /// The host's name.
    pub host: &'a str,
}

/// Checks driver and options, `KEY=value` each.
///
/// # Errors
/// [`Error::Value`], and [`Error::NotYet`] for what docker has and we have not.
pub fn parse(driver: Option<&str>, options: &[String]) -> Result<LogConfig> {
    let driver = driver.filter(|driver| !driver.is_empty()).unwrap_or(DEFAULT_DRIVER);
    let mut config = LogConfig { driver: driver.to_owned(), options: BTreeMap::new() };
    for option in options {
        let (key, value) =
            option.split_once('=').ok_or_else(|| Error::value(FLAG, option, "use KEY=value"))?;
        config.options.insert(key.to_owned(), value.to_owned());
    }
    let labels = BTreeMap::new();
    let subject =
        Subject { id: "", name: "", image: "", image_id: "", labels: &labels, environment: &[], host: "-" };
    settings(&config, &subject)?;
    Ok(config)
}

/// What the monitor is told.
///
/// # Errors
/// As [`parse`].
pub fn settings(config: &LogConfig, subject: &Subject<'_>) -> Result<Settings> {
    let mut settings = Settings::default();
    let mut asked = Asked::default();
    match config.driver.as_str() {
        "" | "json-file" => {}
        "k8s-file" => settings.format = Format::K8s,
        "journald" | "syslog" => (settings.max_size, settings.max_files) = (CACHE_MAX_SIZE, CACHE_MAX_FILES),
        "none" => settings.format = Format::None,
        "local" | "passthrough" | "passthrough-tty" | "fluentd" | "gelf" | "awslogs" | "splunk"
        | "gcplogs" | "etwlogs" | "logentries" => {
            return Err(Error::NotYet {
                what: format!("--log-driver {}", config.driver),
                instead: "use json-file, k8s-file, journald, syslog or none",
            });
        }
        other => {
            let reason = "use json-file, k8s-file, journald, syslog or none";
            return Err(Error::value("--log-driver", other.escape_debug().to_string(), reason));
        }
    }
    for (key, value) in &config.options {
        option(&mut settings, &mut asked, (&config.driver, key, value), subject)?;
    }
    if asked.buffer.is_some() && !asked.drops {
        return Err(Error::Conflict {
            first: "max-buffer-size".to_owned(),
            second: "mode=blocking".to_owned(),
            reason: "a buffer has a limit where output is dropped behind it: add `mode=non-blocking`",
        });
    }
    settings.buffer = asked.drops.then(|| asked.buffer.unwrap_or(DEFAULT_BUFFER));
    finish(&mut settings, &config.driver, asked, subject);
    Ok(settings)
}

/// What options said that several parts need.
#[derive(Debug, Default)]
struct Asked {
    extra: BTreeMap<String, String>,
    tag: Option<String>,
    drops: bool,
    buffer: Option<u64>,
    address: Option<Address>,
    facility: Option<u8>,
    micro: bool,
    without_cache: bool,
}

fn option(
    settings: &mut Settings,
    asked: &mut Asked,
    (driver, key, value): (&str, &str, &str),
    subject: &Subject<'_>,
) -> Result<()> {
    let text = || format!("{key}={value}").escape_debug().to_string();
    let bad = |reason: &str| Error::value(FLAG, text(), reason);
    let is_remote = matches!(driver, "journald" | "syslog");
    let has_files = matches!(driver, "" | "json-file" | "k8s-file");
    match key {
        "mode" => match value {
            "blocking" => asked.drops = false,
            "non-blocking" => asked.drops = true,
            _ => return Err(bad("use blocking or non-blocking")),
        },
        "max-buffer-size" => asked.buffer = Some(size(value)?),
        _ if driver == "none" => return Err(bad("the driver `none` has no such option")),
        "max-size" if has_files => settings.max_size = if value == "-1" { 0 } else { size(value)? },
        "cache-max-size" if is_remote => settings.max_size = size(value)?,
        "max-file" if has_files => settings.max_files = count(value).ok_or_else(|| bad("use 1 to 100"))?,
        "cache-max-file" if is_remote => {
            settings.max_files = count(value).ok_or_else(|| bad("use 1 to 100"))?;
        }
        "cache-disabled" if is_remote => asked.without_cache = matches!(value, "true" | "1"),
        "compress" | "cache-compress" => {
            if !matches!(value, "false" | "0") {
                return Err(Error::NotYet { what: text(), instead: "rotated files stay as they are" });
            }
        }
        "labels" => {
            for name in value.split(',').filter(|name| !name.is_empty()) {
                asked.extra.extend(subject.labels.get(name).map(|found| (name.to_owned(), found.clone())));
            }
        }
        "env" => {
            for name in value.split(',').filter(|name| !name.is_empty()) {
                let found = subject.environment.iter().find_map(|entry| {
                    entry.split_once('=').filter(|(found, _)| *found == name).map(|(_, value)| value)
                });
                asked.extra.extend(found.map(|found| (name.to_owned(), found.to_owned())));
            }
        }
        "labels-regex" | "env-regex" => {
            return Err(Error::NotYet { what: text(), instead: "name each with `labels=` or `env=`" });
        }
        "tag" => asked.tag = Some(expand(value, subject).ok_or_else(|| {
            bad("use text and {{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageID}}, {{.ImageFullID}} or {{.ImageName}}")
        })?),
        "syslog-address" if driver == "syslog" => asked.address = Some(address(value).map_err(&bad)?),
        "syslog-facility" if driver == "syslog" => {
            let number = FACILITIES.iter().position(|name| *name == value);
            let number = number.or_else(|| value.parse().ok().filter(|number| *number < FACILITIES.len()));
            let number = number.and_then(|number| u8::try_from(number).ok());
            asked.facility = Some(number.ok_or_else(|| bad("it is no facility of RFC 5424"))?);
        }
        "syslog-format" if driver == "syslog" => match value {
            "rfc5424" => asked.micro = false,
            "rfc5424micro" => asked.micro = true,
            _ => return Err(bad("use rfc5424 or rfc5424micro: older formats say neither year nor zone")),
        },
        "path" => return Err(bad("the log stays in the container's directory: `brig inspect` shows its path")),
        _ => return Err(bad(&format!("the driver `{driver}` has no such option"))),
    }
    Ok(())
}

fn finish(settings: &mut Settings, driver: &str, asked: Asked, subject: &Subject<'_>) {
    let tag = asked.tag.clone().unwrap_or_else(|| expand(DEFAULT_TAG, subject).unwrap_or_default());
    match driver {
        "journald" => {
            let mut fields = vec![
                field("CONTAINER_ID", short(subject.id)),
                field("CONTAINER_ID_FULL", subject.id),
                field("CONTAINER_NAME", subject.name),
                field("CONTAINER_TAG", &tag),
                field("IMAGE_NAME", subject.image),
                field("SYSLOG_IDENTIFIER", &tag),
            ];
            for (name, value) in &asked.extra {
                let name: String = name
                    .chars()
                    .map(|character| match character.to_ascii_uppercase() {
                        plain @ ('A'..='Z' | '0'..='9') => plain,
                        _ => '_',
                    })
                    .collect();
                // The journal's own start with `_`, and no name starts with a digit.
                let name = name.trim_start_matches(|first: char| first == '_' || first.is_ascii_digit());
                if !name.is_empty() && name.len() <= 64 {
                    fields.push(field(name, value));
                }
            }
            settings.forward = Forward::Journald { fields };
        }
        "syslog" => {
            settings.forward = Forward::Syslog {
                address: asked.address.unwrap_or_else(|| Address::Unix("/dev/log".to_owned())),
                facility: asked.facility.unwrap_or(3),
                micro: asked.micro,
                tag: word(&tag),
                host: word(subject.host),
            };
        }
        "" | "json-file" => {
            let mut extra = asked.extra;
            extra.extend(asked.tag.map(|tag| ("tag".to_owned(), tag)));
            settings.attributes = object(&extra);
        }
        _ => {}
    }
    if asked.without_cache {
        settings.format = Format::None;
    }
}

fn size(text: &str) -> Result<u64> {
    let size = parse_size(FLAG, text)?;
    u64::try_from(size)
        .ok()
        .filter(|size| *size > 0)
        .ok_or_else(|| Error::value(FLAG, text, "use more than 0"))
}

fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| (1..=MAX_FILES).contains(count))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Docker's tag templates, their fields only.
fn expand(template: &str, subject: &Subject<'_>) -> Option<String> {
    let image_id = subject.image_id.strip_prefix("sha256:").unwrap_or(subject.image_id);
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}")?;
        text.push_str(before);
        text.push_str(match inside.trim() {
            ".ID" => short(subject.id),
            ".FullID" => subject.id,
            ".Name" => subject.name,
            ".ImageID" => short(image_id),
            ".ImageFullID" => subject.image_id,
            ".ImageName" => subject.image,
            ".DaemonName" => "brig",
            _ => return None,
        });
        rest = after;
    }
    text.push_str(rest);
    (!text.contains(char::is_control)).then_some(text)
}

/// A field of RFC 5424's header.
fn word(text: &str) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(MAX_TAG).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// A JSON object of strings, as docker writes it; nothing where it would be empty.
fn object(entries: &BTreeMap<String, String>) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut out = Vec::new();
    for (key, value) in entries {
        out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
        line::escape(&mut out, key.as_bytes());
        out.extend_from_slice(b"\":\"");
        line::escape(&mut out, value.as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// `unixgram://PATH`, `unix://PATH` (a datagram socket as well), `udp://ADDRESS[:PORT]`.
fn address(text: &str) -> std::result::Result<Address, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("use unixgram:///dev/log or udp://ADDRESS:PORT")?;
    match scheme {
        "unixgram" | "unix"
            if rest.starts_with('/') && rest.len() <= 107 && !rest.contains(char::is_control) =>
        {
            Ok(Address::Unix(rest.to_owned()))
        }
        "unixgram" | "unix" => Err("use an absolute path of at most 107 bytes"),
        "udp" => {
            let with_port = rest.parse().or_else(|_| {
                rest.trim_matches(['[', ']']).parse().map(|address| std::net::SocketAddr::new(address, 514))
            });
            with_port
                .map(Address::Udp)
                .map_err(|_| "use udp:// and an IP address: names would have to be looked up")
        }
        "tcp" | "tcp+tls" => Err(
            "a stream that stalls would hold the container: send to a syslog of this machine, which forwards",
        ),
        _ => Err("use unixgram:// or udp://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(driver: &str, options: &[&str]) -> Result<Settings> {
        let labels =
            BTreeMap::from([("team".to_owned(), "a \"b\"".to_owned()), ("com.x".to_owned(), "1".to_owned())]);
        let environment = ["MODE=fast=er".to_owned(), "SECRET=no".to_owned()];
        let subject = Subject {
            id: "0123456789abcdef0123456789abcdef",
            name: "web",
            image: "busybox",
            image_id: "sha256:fedcba9876543210",
            labels: &labels,
            environment: &environment,
            host: "here",
        };
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        settings(&parse(Some(driver), &options)?, &subject)
    }

    #[test]
    fn files_and_their_limits() {
        for (driver, options, format, max_size, max_files) in [
            ("", &[][..], Format::Json, 10 << 20, 3),
            ("json-file", &["max-size=5k", "max-file=2"], Format::Json, 5 << 10, 2),
            ("k8s-file", &["max-size=-1"], Format::K8s, 0, 3),
            ("journald", &[], Format::Json, 20 << 20, 5),
            ("journald", &["cache-disabled=true"], Format::None, 20 << 20, 5),
            ("none", &[], Format::None, 10 << 20, 3),
        ] {
            let settings = made(driver, options).unwrap();
            let found = (settings.format, settings.max_size, settings.max_files);
            assert_eq!(found, (format, max_size, max_files), "{driver} {options:?}");
        }
    }

    #[test]
    fn attributes_are_those_asked_for() {
        let settings =
            made("json-file", &["labels=team,none", "env=MODE,NONE", "tag={{.Name}}/{{ .ID }}"]).unwrap();
        assert_eq!(settings.attributes, r#"{"MODE":"fast=er","tag":"web/0123456789ab","team":"a \"b\""}"#);
        assert_eq!(made("json-file", &["labels=none"]).unwrap().attributes, "");
    }

    #[test]
    fn receivers() {
        let Forward::Journald { fields } = made("journald", &["labels=com.x", "tag=t"]).unwrap().forward
        else {
            panic!("no journal");
        };
        for (name, value) in [("CONTAINER_ID", "0123456789ab"), ("CONTAINER_NAME", "web"), ("COM_X", "1")] {
            assert!(fields.contains(&field(name, value)), "{fields:?}");
        }
        let options = ["syslog-address=udp://127.0.0.1:5140", "syslog-facility=local0", "tag=a b"];
        let expected = Forward::Syslog {
            address: Address::Udp("127.0.0.1:5140".parse().unwrap()),
            facility: 16,
            micro: false,
            tag: "ab".into(),
            host: "here".into(),
        };
        assert_eq!(made("syslog", &options).unwrap().forward, expected);
        let settings = made("syslog", &["mode=non-blocking"]).unwrap();
        assert_eq!(settings.buffer, Some(DEFAULT_BUFFER));
        assert!(Settings::parse(&settings.to_lines()) == settings);
    }

    #[test]
    fn what_is_refused() {
        for (driver, option) in [
            ("other", "mode=blocking"),
            ("local", "mode=blocking"),
            ("json-file", "max-file=0"),
            ("json-file", "max-file=1000"),
            ("json-file", "max-size=0"),
            ("json-file", "max-size"),
            ("json-file", "compress=true"),
            ("json-file", "labels-regex=."),
            ("json-file", "tag={{.Nope}}"),
            ("json-file", "tag={{.ID"),
            ("json-file", "max-buffer-size=1m"),
            ("json-file", "mode=sometimes"),
            ("json-file", "path=/etc/x"),
            ("json-file", "syslog-address=udp://127.0.0.1"),
            ("none", "max-size=1m"),
            ("syslog", "syslog-address=tcp://127.0.0.1:5"),
            ("syslog", "syslog-address=udp://localhost:5"),
            ("syslog", "syslog-address=unix://relative"),
            ("syslog", "syslog-facility=24"),
            ("syslog", "syslog-format=rfc3164"),
        ] {
            assert!(made(driver, &[option]).is_err(), "{driver} {option}");
        }
    }
}
