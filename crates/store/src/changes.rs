//! Dockerfile instructions that change an image's configuration: `--change` of `import` and `commit`.

use oci::image::{Config, Healthcheck};

use crate::error::{Error, Result};

/// Most changes and most bytes of one.
const MAX_CHANGES: usize = 256;
const MAX_CHANGE: usize = 64 << 10;
/// What the shell form of `CMD` and `ENTRYPOINT` runs.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A configuration made of instructions alone.
pub(crate) fn apply(changes: &[String]) -> Result<Config> {
    let mut config = Config::default();
    apply_to(&mut config, changes)?;
    Ok(config)
}

/// Changes a configuration by instructions.
pub(crate) fn apply_to(config: &mut Config, changes: &[String]) -> Result<()> {
    if changes.len() > MAX_CHANGES {
        return Err(Error::Limit { what: "number of changes", limit: MAX_CHANGES as u64 });
    }
    for change in changes {
        if change.len() > MAX_CHANGE {
            return Err(Error::Limit { what: "length of a change", limit: MAX_CHANGE as u64 });
        }
        apply_one(config, change)
            .map_err(|reason| Error::Change { change: crate::image::clip(change), reason })?;
    }
    Ok(())
}

fn apply_one(config: &mut Config, change: &str) -> std::result::Result<(), &'static str> {
    let (instruction, rest) = change.trim().split_once(char::is_whitespace).ok_or("needs an argument")?;
    let rest = rest.trim();
    match instruction.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = command(rest)?,
        "ENTRYPOINT" => config.entrypoint = command(rest)?,
        "ENV" => {
            for (name, value) in pairs(rest)? {
                let start = format!("{name}=");
                config.env.retain(|entry| !entry.starts_with(&start));
                config.env.push(start + &value);
            }
        }
        "LABEL" => config.labels.extend(pairs(rest)?),
        "EXPOSE" => {
            for word in words(rest)? {
                config.exposed_ports.insert(port(&word)?);
            }
        }
        "VOLUME" => {
            let volumes = if rest.starts_with('[') { json(rest)? } else { words(rest)? };
            config.volumes.extend(volumes);
        }
        "USER" => rest.clone_into(&mut config.user),
        "WORKDIR" => {
            // relative to the one before, as in a Dockerfile
            let base = if rest.starts_with('/') { "" } else { config.working_dir.trim_end_matches('/') };
            config.working_dir =
                if rest.starts_with('/') { rest.to_owned() } else { format!("{base}/{rest}") };
        }
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "SHELL" => config.shell = json(rest)?,
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
        _ => {
            return Err(
                "use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR",
            );
        }
    }
    Ok(())
}

/// JSON form, or the shell form of one string.
fn command(text: &str) -> std::result::Result<Vec<String>, &'static str> {
    if text.starts_with('[')
        && let Ok(words) = serde_json::from_str(text)
    {
        return Ok(words);
    }
    Ok(SHELL.iter().map(|word| (*word).to_owned()).chain([text.to_owned()]).collect())
}

fn json(text: &str) -> std::result::Result<Vec<String>, &'static str> {
    serde_json::from_str(text).map_err(|_| "is not a JSON list of strings")
}

fn port(word: &str) -> std::result::Result<String, &'static str> {
    let (numbers, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let is_port = |number: &str| number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u16>().is_ok();
    if is_port(first) && is_port(last) && matches!(protocol, "tcp" | "udp" | "sctp") {
        Ok(format!("{numbers}/{protocol}"))
    } else {
        Err("is not a port such as `80` or `53/udp`")
    }
}

/// `HEALTHCHECK [--interval=30s ...] CMD ...` or `HEALTHCHECK NONE`.
fn healthcheck(text: &str) -> std::result::Result<Healthcheck, &'static str> {
    let mut check = Healthcheck::default();
    let mut rest = text;
    while rest.starts_with("--") {
        let (option, after) = rest.split_once(char::is_whitespace).ok_or("needs CMD or NONE")?;
        rest = after.trim_start();
        match option.split_once('=').ok_or("has an option without a value")? {
            ("--interval", value) => check.interval = duration(value)?,
            ("--timeout", value) => check.timeout = duration(value)?,
            ("--start-period", value) => check.start_period = duration(value)?,
            ("--start-interval", value) => check.start_interval = duration(value)?,
            ("--retries", value) => {
                check.retries =
                    value.parse::<u16>().map_err(|_| "has retries that are no small number")?.into();
            }
            _ => return Err("has an option that is not known"),
        }
    }
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match (kind.to_ascii_uppercase().as_str(), rest.trim()) {
        ("NONE", "") => vec!["NONE".to_owned()],
        ("CMD", "") => return Err("needs a command after CMD"),
        ("CMD", list) if list.starts_with('[') => {
            std::iter::once("CMD".to_owned()).chain(json(list)?).collect()
        }
        ("CMD", line) => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        _ => return Err("needs CMD or NONE"),
    };
    Ok(check)
}

/// Nanoseconds of a Go duration in whole hours, minutes, seconds and milliseconds, such as `1m30s`.
fn duration(text: &str) -> std::result::Result<i64, &'static str> {
    const BAD: &str = "has a duration that is none, such as `30s` or `1m30s`";
    let (mut total, mut rest) = (0_i64, text);
    if rest.is_empty() {
        return Err(BAD);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(BAD)?;
        let number: i64 = rest[..digits].parse().map_err(|_| BAD)?;
        let after = &rest[digits..];
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let scale = match &after[..unit] {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(BAD),
        };
        total = number.checked_mul(scale).and_then(|part| total.checked_add(part)).ok_or(BAD)?;
        rest = &after[unit..];
    }
    Ok(total)
}

/// `NAME=value ...` with quotes, or the old form `NAME value`.
fn pairs(text: &str) -> std::result::Result<Vec<(String, String)>, &'static str> {
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or("needs NAME=value")?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("needs NAME=value"),
    };
    words(text)?.into_iter().map(pair).collect()
}

/// Splits at white space outside quotes; a backslash takes the next character as it is.
fn words(text: &str) -> std::result::Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().push(characters.next().ok_or("ends with a backslash")?);
            }
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("has a quote that is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(changes: &[&str]) -> Config {
        apply(&changes.iter().map(|change| (*change).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn all_instructions() {
        let config = config(&[
            "CMD [\"bash\", \"-l\"]",
            "entrypoint exec top -b",
            "ENV A=1 B=\"two words\" C=x\\ y",
            "ENV A 3 4",
            "LABEL a.b=c d='e f'",
            "EXPOSE 80 53/udp 8000-8010",
            "VOLUME /data /log",
            "VOLUME [\"/with space\"]",
            "USER www:www",
            "WORKDIR /srv",
            "WORKDIR www",
            "STOPSIGNAL SIGQUIT",
            "HEALTHCHECK --interval=1m30s --retries=2 CMD curl localhost",
            "ONBUILD RUN make",
        ]);
        assert_eq!(config.cmd, ["bash", "-l"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "exec top -b"]);
        assert_eq!(config.env, ["B=two words", "C=x y", "A=3 4"]);
        assert_eq!(config.labels["d"], "e f");
        assert_eq!(config.exposed_ports.iter().collect::<Vec<_>>(), ["53/udp", "80/tcp", "8000-8010/tcp"]);
        assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/data", "/log", "/with space"]);
        assert_eq!(config.user, "www:www");
        assert_eq!(config.working_dir, "/srv/www");
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
        let check = config.healthcheck.unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "curl localhost"]);
        assert_eq!((check.interval, check.retries), (90_000_000_000, 2));
        assert_eq!(config.on_build, ["RUN make"]);
    }

    #[test]
    fn refused() {
        for change in [
            "",
            "CMD",
            "FROM x",
            "ENV",
            "ENV =x",
            "ENV A=\"x",
            "ENV A=x\\",
            "EXPOSE x",
            "EXPOSE 70000",
            "EXPOSE 1/icmp",
            "VOLUME [1]",
            "SHELL bash",
            "HEALTHCHECK x",
            "HEALTHCHECK --interval=x CMD y",
            "HEALTHCHECK --interval=99999999999h CMD y",
        ] {
            assert!(apply(&[change.to_owned()]).is_err(), "{change}");
        }
    }
}
