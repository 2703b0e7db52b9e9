//! Dockerfile instructions of `import --change`, and times of images: an error or a configuration that is written as it was read; no time overflows.

#[path = "../../crates/cli/src/format/age.rs"]
#[expect(dead_code, reason = "the command line uses the rest")]
mod shown;

use oci::image::{ImageConfiguration, parse_configuration};

use crate::input::text;

/// Most bytes of an input.
pub const MAX_LEN: usize = 2048;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for line in text.lines().take(4) {
        if let Some(seconds) = shown::parse_time(line) {
            assert!(seconds < 1 << 40, "{line:?} is {seconds}");
            let _: String = shown::ago(seconds);
        }
    }
    let lines: Vec<String> = text.split('\0').map(str::to_owned).collect();
    match store::fuzzing::changes(&lines) {
        Ok(config) => {
            for port in &config.exposed_ports {
                let (numbers, protocol) = port.split_once('/').expect("a port has a protocol");
                assert!(matches!(protocol, "tcp" | "udp" | "sctp"));
                assert!(numbers.split('-').all(|number| number.parse::<u16>().is_ok()), "{port:?}");
            }
            assert!(config.env.iter().all(|entry| entry.find('=').is_some_and(|at| at > 0)), "{:?}", config.env);
            let configuration = ImageConfiguration { config, ..ImageConfiguration::default() };
            let bytes = serde_json::to_vec(&configuration).expect("a configuration is made of strings and numbers");
            assert_eq!(parse_configuration(&bytes).ok(), Some(configuration));
        }
        Err(error) => assert!(error.to_string().len() < 1024, "{error}"),
    }
}
