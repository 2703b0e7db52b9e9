//! `--health-*` and an image's `HEALTHCHECK`: how to find out whether a container works.

use std::time::Duration;

use oci::image::Healthcheck;

use super::time::parse_duration;
use crate::error::{Error, Result};
use crate::record::{Health, Startup};

/// Docker's defaults, in nanoseconds.
const INTERVAL: i64 = 30_000_000_000;
/// See [`INTERVAL`].
const TIMEOUT: i64 = 30_000_000_000;
/// See [`INTERVAL`].
const START_INTERVAL: i64 = 5_000_000_000;
/// Failures in a row that make a container unhealthy.
const RETRIES: u32 = 3;
/// Docker's shortest time.
const SHORTEST: Duration = Duration::from_millis(1);
/// What runs a command line where the image names no shell of its own.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The flags as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthFlags {
    /// `--health-cmd`.
    pub command: Option<String>,
    /// `--health-interval`.
    pub interval: Option<String>,
    /// `--health-timeout`.
    pub timeout: Option<String>,
    /// `--health-start-period`.
    pub start_period: Option<String>,
    /// `--health-start-interval`.
    pub start_interval: Option<String>,
    /// `--health-retries`.
    pub retries: Option<String>,
    /// `--no-healthcheck`.
    pub none: bool,
    /// `--health-on-failure`.
    pub on_failure: Option<String>,
    /// `--health-startup-cmd`.
    pub startup_command: Option<String>,
    /// `--health-startup-interval`.
    pub startup_interval: Option<String>,
    /// `--health-startup-timeout`.
    pub startup_timeout: Option<String>,
    /// `--health-startup-retries`.
    pub startup_retries: Option<String>,
    /// `--health-startup-success`.
    pub startup_success: Option<String>,
}

/// What flags say about health; unset is the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthOptions {
    none: bool,
    test: Vec<String>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    start_interval: Option<i64>,
    retries: Option<u32>,
    on_failure: String,
    startup: Option<Startup>,
}

/// Checks the flags.
///
/// # Errors
/// [`Error::Value`], [`Error::Conflict`].
pub fn parse(flags: &HealthFlags) -> Result<HealthOptions> {
    if flags.none && *flags != (HealthFlags { none: true, ..HealthFlags::default() }) {
        return Err(Error::Conflict {
            first: "--no-healthcheck".to_owned(),
            second: "--health-*".to_owned(),
            reason: "one says that there is no check, the other how it is done",
        });
    }
    let on_failure = flags.on_failure.clone().unwrap_or_default();
    if !matches!(on_failure.as_str(), "" | "none" | "kill" | "restart" | "stop") {
        let reason = "use none, kill, restart or stop";
        return Err(Error::value("--health-on-failure", on_failure.escape_debug().to_string(), reason));
    }
    let (interval, timeout) = ("--health-startup-interval", "--health-startup-timeout");
    let (retries, success) = ("--health-startup-retries", "--health-startup-success");
    let startup = match &flags.startup_command {
        Some(command) => Some(Startup {
            test: test("--health-startup-cmd", command)?,
            interval: time(interval, &flags.startup_interval)?.unwrap_or(INTERVAL),
            timeout: time(timeout, &flags.startup_timeout)?.unwrap_or(TIMEOUT),
            retries: count(retries, &flags.startup_retries)?.unwrap_or(0),
            successes: count(success, &flags.startup_success)?.unwrap_or(1).max(1),
        }),
        None => {
            let others = [
                (interval, &flags.startup_interval),
                (timeout, &flags.startup_timeout),
                (retries, &flags.startup_retries),
                (success, &flags.startup_success),
            ];
            if let Some((flag, Some(value))) = others.into_iter().find(|(_, value)| value.is_some()) {
                return Err(Error::value(flag, value.as_str(), "it needs `--health-startup-cmd`"));
            }
            None
        }
    };
    Ok(HealthOptions {
        none: flags.none,
        test: flags
            .command
            .as_deref()
            .map(|text| test("--health-cmd", text))
            .transpose()?
            .unwrap_or_default(),
        interval: time("--health-interval", &flags.interval)?,
        timeout: time("--health-timeout", &flags.timeout)?,
        start_period: time("--health-start-period", &flags.start_period)?,
        start_interval: time("--health-start-interval", &flags.start_interval)?,
        retries: count("--health-retries", &flags.retries)?,
        on_failure,
        startup,
    })
}

/// The check of a container: the flags', else the image's; none where neither names one or one says that there is none.
///
/// # Errors
/// [`Error::Image`] for an image's check that cannot be done, [`Error::Value`] for flags about a check that there is not.
pub fn merge(
    options: &HealthOptions,
    image: Option<&Healthcheck>,
    shell: &[String],
) -> Result<Option<Health>> {
    let inherited = Healthcheck::default();
    let image = image.unwrap_or(&inherited);
    let from_image = options.test.is_empty();
    let test = if from_image { &image.test } else { &options.test };
    if options.none || test.first().is_some_and(|word| word == "NONE") {
        return Ok(None);
    }
    if test.is_empty() {
        if options.startup.is_some() || !matches!(options.on_failure.as_str(), "" | "none") {
            let reason = "there is no check to follow: name one with `--health-cmd`";
            return Err(Error::value("--health-on-failure", options.on_failure.as_str(), reason));
        }
        return Ok(None);
    }
    let is_good = match test[0].as_str() {
        "CMD" => test.len() > 1,
        "CMD-SHELL" => test.len() == 2,
        _ => false,
    };
    if !is_good {
        return Err(Error::Image {
            field: "Healthcheck",
            value: test[0].escape_debug().to_string(),
            reason: "it is neither NONE, nor CMD and words, nor CMD-SHELL and a line".to_owned(),
        });
    }
    let or = |flag: Option<i64>, image: i64, default: i64| match flag.unwrap_or(image) {
        time @ 1.. => time,
        _ => default,
    };
    let image_retries = u32::try_from(image.retries).unwrap_or(0);
    Ok(Some(Health {
        test: test.clone(),
        shell: if shell.is_empty() { SHELL.map(str::to_owned).to_vec() } else { shell.to_vec() },
        interval: or(options.interval, image.interval, INTERVAL),
        timeout: or(options.timeout, image.timeout, TIMEOUT),
        start_period: or(options.start_period, image.start_period, 0),
        start_interval: or(options.start_interval, image.start_interval, START_INTERVAL),
        retries: match options.retries.unwrap_or(image_retries) {
            0 => RETRIES,
            retries => retries,
        },
        on_failure: if options.on_failure.is_empty() {
            "none".to_owned()
        } else {
            options.on_failure.clone()
        },
        startup: options.startup.clone(),
    }))
}

/// The check of a container that exists after a change: what the flags do not name stays. A container without a check gets
/// one from `--health-cmd`, whose line the usual shell runs.
///
/// # Errors
/// As [`merge`].
pub fn change(options: &HealthOptions, now: Option<&Health>) -> Result<Option<Health>> {
    let Some(now) = now else { return merge(options, None, &[]) };
    let before = Healthcheck {
        test: now.test.clone(),
        interval: now.interval,
        timeout: now.timeout,
        start_period: now.start_period,
        start_interval: now.start_interval,
        retries: i64::from(now.retries),
    };
    let mut options = options.clone();
    if options.on_failure.is_empty() {
        options.on_failure.clone_from(&now.on_failure);
    }
    if options.startup.is_none() {
        options.startup.clone_from(&now.startup);
    }
    merge(&options, Some(&before), &now.shell)
}

/// A command line for the shell, podman's JSON list of words, or `none`.
fn test(flag: &'static str, text: &str) -> Result<Vec<String>> {
    let bad = |reason| Error::value(flag, text.escape_debug().to_string(), reason);
    if text.trim().is_empty() {
        return Err(bad("name a command"));
    }
    if text == "none" && flag == "--health-cmd" {
        return Ok(vec!["NONE".to_owned()]);
    }
    if text.starts_with('[') {
        let words: Vec<String> =
            serde_json::from_str(text).map_err(|_| bad("it is no JSON list of strings"))?;
        let kind = words.first().map(String::as_str);
        return match kind {
            Some("CMD" | "CMD-SHELL") if words.len() > 1 => Ok(words),
            Some("NONE") | None => Err(bad("name a command")),
            Some(_) => Ok([vec!["CMD".to_owned()], words].concat()),
        };
    }
    Ok(vec!["CMD-SHELL".to_owned(), text.to_owned()])
}

/// A time in nanoseconds; 0 is the default.
fn time(flag: &'static str, text: &Option<String>) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let time = parse_duration(flag, text)?;
    if time < SHORTEST && !time.is_zero() {
        return Err(Error::value(flag, text.as_str(), "it is shorter than a millisecond"));
    }
    Ok(i64::try_from(time.as_nanos()).ok())
}

fn count(flag: &'static str, text: &Option<String>) -> Result<Option<u32>> {
    text.as_deref().map(|text| super::size::parse_number(flag, text)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(command: &str) -> HealthFlags {
        HealthFlags { command: Some(command.to_owned()), ..HealthFlags::default() }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_check_comes_from_the_flags_or_the_image() {
        let image = Healthcheck {
            test: words(&["CMD", "/check"]),
            interval: 5_000_000_000,
            retries: 7,
            ..Healthcheck::default()
        };
        let of_image = merge(&HealthOptions::default(), Some(&image), &[]).unwrap().unwrap();
        assert_eq!(
            (of_image.test.as_slice(), of_image.interval),
            (&words(&["CMD", "/check"])[..], 5_000_000_000)
        );
        assert_eq!((of_image.retries, of_image.timeout, of_image.start_period), (7, TIMEOUT, 0));
        // Each flag replaces its own field only.
        let mut asked = flags("test -e /ok");
        (asked.retries, asked.timeout) = (Some("1".into()), Some("1m30s".into()));
        let merged =
            merge(&parse(&asked).unwrap(), Some(&image), &words(&["/bin/ash", "-c"])).unwrap().unwrap();
        assert_eq!(merged.test, words(&["CMD-SHELL", "test -e /ok"]));
        assert_eq!((merged.interval, merged.retries, merged.timeout), (5_000_000_000, 1, 90_000_000_000));
        assert_eq!(merged.shell, words(&["/bin/ash", "-c"]));
        for none in [HealthFlags { none: true, ..HealthFlags::default() }, flags("none")] {
            assert_eq!(merge(&parse(&none).unwrap(), Some(&image), &[]).unwrap(), None);
        }
        let off = Healthcheck { test: words(&["NONE"]), ..Healthcheck::default() };
        assert_eq!(merge(&HealthOptions::default(), Some(&off), &[]).unwrap(), None);
        assert_eq!(merge(&HealthOptions::default(), None, &[]).unwrap(), None);
        let bad = Healthcheck { test: words(&["what"]), ..Healthcheck::default() };
        assert!(merge(&HealthOptions::default(), Some(&bad), &[]).is_err());
    }

    #[test]
    fn a_change_touches_what_it_names() {
        let mut asked = flags("true");
        (asked.interval, asked.on_failure) = (Some("5s".into()), Some("kill".into()));
        asked.startup_command = Some("test -e /up".into());
        let before = merge(&parse(&asked).unwrap(), None, &words(&["/bin/ash", "-c"])).unwrap();
        let changed = |flags: &HealthFlags| change(&parse(flags).unwrap(), before.as_ref()).unwrap();
        assert_eq!(changed(&HealthFlags::default()), before);
        let other = HealthFlags { retries: Some("9".into()), ..HealthFlags::default() };
        let expected = before.clone().map(|health| Health { retries: 9, ..health });
        assert_eq!(changed(&other), expected);
        assert_eq!(changed(&HealthFlags { none: true, ..HealthFlags::default() }), None);
        // Where there was none.
        let new = change(&parse(&flags("true")).unwrap(), None).unwrap().unwrap();
        assert_eq!((new.interval, new.shell), (INTERVAL, SHELL.map(str::to_owned).to_vec()));
        assert_eq!(change(&HealthOptions::default(), None).unwrap(), None);
    }

    #[test]
    fn commands() {
        for (text, expected) in [
            ("curl -f localhost", Some(&["CMD-SHELL", "curl -f localhost"][..])),
            (r#"["CMD", "/a", "b c"]"#, Some(&["CMD", "/a", "b c"])),
            (r#"["/a", "b c"]"#, Some(&["CMD", "/a", "b c"])),
            (r#"["CMD-SHELL", "a | b"]"#, Some(&["CMD-SHELL", "a | b"])),
            ("none", Some(&["NONE"])),
            ("", None),
            ("[]", None),
            ("[1]", None),
        ] {
            assert_eq!(test("--health-cmd", text).ok(), expected.map(words), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let with = |change: fn(&mut HealthFlags)| {
            let mut flags = flags("true");
            change(&mut flags);
            parse(&flags)
        };
        assert!(with(|_| ()).is_ok());
        assert!(with(|flags| flags.none = true).is_err());
        assert!(with(|flags| flags.interval = Some("1us".into())).is_err());
        assert!(with(|flags| flags.interval = Some("5".into())).is_err());
        assert!(with(|flags| flags.retries = Some("-1".into())).is_err());
        assert!(with(|flags| flags.on_failure = Some("reboot".into())).is_err());
        assert!(with(|flags| flags.startup_retries = Some("1".into())).is_err());
        assert!(with(|flags| flags.startup_command = Some("true".into())).is_ok());
        let alone = HealthFlags { on_failure: Some("kill".into()), ..HealthFlags::default() };
        assert!(merge(&parse(&alone).unwrap(), None, &[]).is_err());
    }
}
