//! What `--network` can say.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Longest value.
const MAX: usize = 4096;

/// A container's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// What the host can give: pasta, else slirp4netns, else none with a warning.
    #[default]
    Default,
    /// Its own, with the loopback device only.
    None,
    /// The host's.
    Host,
    /// Passt's `pasta`, with options of its own.
    Pasta(Vec<String>),
    /// `slirp4netns`.
    Slirp,
    /// That of another container, by name or id.
    Container(String),
}

impl Mode {
    /// Parses `--network`: docker's and podman's words.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason| Error::value("--network", text, reason);
        if text.len() > MAX {
            return Err(bad("it is too long"));
        }
        let (word, rest) = text.split_once(':').map_or((text, None), |(word, rest)| (word, Some(rest)));
        match (word, rest) {
            ("default", None) => Ok(Self::Default),
            ("none", None) => Ok(Self::None),
            ("host", None) => Ok(Self::Host),
            // Podman's `private` is one of its own, made in the usual way.
            ("private", None) => Ok(Self::Default),
            ("pasta", None) => Ok(Self::Pasta(Vec::new())),
            ("pasta", Some(options)) => Ok(Self::Pasta(crate::parse_options(options).map_err(bad)?)),
            ("slirp4netns", None) => Ok(Self::Slirp),
            ("slirp4netns", Some(_)) => Err(bad("options of slirp4netns are not taken: use pasta's")),
            ("container", Some(name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            ("bridge" | "macvlan" | "ipvlan", _) => Err(bad(
                "bridges come with a later release: leave it out, or use none, host or container:NAME",
            )),
            _ => Err(bad("use none, host, pasta[:OPTIONS], slirp4netns or container:NAME")),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::None => formatter.write_str("none"),
            Self::Host => formatter.write_str("host"),
            Self::Pasta(options) if options.is_empty() => formatter.write_str("pasta"),
            Self::Pasta(options) => write!(formatter, "pasta:{}", options.join(",")),
            Self::Slirp => formatter.write_str("slirp4netns"),
            Self::Container(name) => write!(formatter, "container:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for text in ["default", "none", "host", "pasta", "pasta:--mtu,1500", "slirp4netns", "container:web"] {
            assert_eq!(Mode::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Mode::parse("private").unwrap(), Mode::Default);
        for text in [
            "",
            "Host",
            "container:",
            "container",
            "bridge",
            "mine",
            "pasta:--pcap,/x",
            "host:x",
            "slirp4netns:a",
        ] {
            let error = Mode::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("`--network` cannot be `"), "{error}");
        }
    }
}
