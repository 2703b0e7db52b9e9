//! `brig generate boot`: what makes a machine's init run `brig system boot`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::{input, output};

/// Print what makes this machine start containers after a reboot
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig generate boot [FLAGS]",
    after_help = "Examples:\n  brig generate boot --init systemd -o /etc/systemd/system/brig-boot.service\n  brig generate boot --init cron\n\nNothing on the machine is changed but the file of --output."
)]
struct Boot {
    /// What starts the machine's services; this machine's own by default
    #[arg(long, value_enum, value_name = "INIT")]
    init: Option<Init>,
    /// Write a new file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Init {
    Systemd,
    SystemdUser,
    Openrc,
    Runit,
    Cron,
}

/// What is to be run.
struct Call {
    program: PathBuf,
    root: PathBuf,
    runroot: PathBuf,
    user: u32,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Boot = command::parse("brig generate boot", args)?;
    let call = Call {
        program: std::env::current_exe().map_err(Failure::environment)?,
        root: global.root()?,
        runroot: global.runroot()?,
        user: rustix::process::geteuid().as_raw(),
    };
    let text = text(flags.init.unwrap_or_else(|| init(call.user)), &call)?;
    match &flags.output {
        None => output::print(&text)?,
        Some(path) => {
            let file = input::create_new(path)?;
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            files::write_all(&file, text.as_bytes()).map_err(Failure::environment)?;
            rustix::fs::fchmod(&file, mode.into()).map_err(Failure::environment)?;
        }
    }
    Ok(0)
}

/// This machine's.
fn init(user: u32) -> Init {
    let is_there = |path: &str| Path::new(path).exists();
    match user {
        0 if is_there("/run/systemd/system") => Init::Systemd,
        0 if is_there("/run/openrc") => Init::Openrc,
        0 if is_there("/run/runit") || is_there("/etc/runit") => Init::Runit,
        0 => Init::Cron,
        _ if is_there("/run/systemd/system") => Init::SystemdUser,
        _ => Init::Cron,
    }
}

fn text(init: Init, call: &Call) -> Result<String, Failure> {
    let words = [
        call.program.as_path(),
        "--root".as_ref(),
        &call.root,
        "--runroot".as_ref(),
        &call.runroot,
        "system".as_ref(),
        "boot".as_ref(),
    ];
    let mut line = Vec::new();
    for word in words {
        let word = word.to_str().filter(|word| !word.contains(char::is_control)).ok_or_else(|| {
            Failure::user(format!("`{}` cannot be written into a unit or a script", word.display()))
        })?;
        line.push(match init {
            Init::Systemd | Init::SystemdUser => for_systemd(word),
            Init::Openrc | Init::Runit => for_shell(word),
            // cron ends a command at a percent sign.
            Init::Cron => for_shell(word).replace('%', "\\%"),
        });
    }
    let line = line.join(" ");
    let user = call.user;
    Ok(match init {
        Init::Systemd | Init::SystemdUser => {
            let (waits, target, note) = match init {
                Init::Systemd => (
                    "Wants=network-online.target\nAfter=network-online.target local-fs.target\n",
                    "multi-user.target",
                    "# systemctl enable --now brig-boot.service".to_owned(),
                ),
                _ => (
                    "",
                    "default.target",
                    "# In ~/.config/systemd/user/; then systemctl --user enable --now brig-boot.service\n\
                     # Before you log in only with: loginctl enable-linger"
                        .to_owned(),
                ),
            };
            format!(
                "{note}\n[Unit]\nDescription=Containers of brig that run since the machine does\n{waits}\n\
                 [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={line}\n\
                 # What it started outlives it: stopping this unit ends no container.\n\
                 KillMode=process\nDelegate=yes\nTasksMax=infinity\n\n[Install]\nWantedBy={target}\n"
            )
        }
        Init::Openrc => format!(
            "#!/sbin/openrc-run\n# /etc/init.d/brig-boot; then rc-update add brig-boot default\n\
             description=\"Containers of brig that run since the machine does\"\n\n\
             depend() {{\n\tneed localmount\n\tafter net firewall\n}}\n\n\
             start() {{\n\tebegin \"Starting containers\"\n\t{line}\n\teend $?\n}}\n\n\
             stop() {{\n\t# What it started outlives it.\n\treturn 0\n}}\n"
        ),
        Init::Runit => format!(
            "#!/bin/sh\n# /etc/sv/brig-boot/run; then ln -s /etc/sv/brig-boot /var/service/\n\
             exec 2>&1\n{line}\n# There is nothing to watch: each container has a monitor of its own.\nexec sv down .\n"
        ),
        Init::Cron if user == 0 => format!("# In /etc/cron.d/brig-boot\n@reboot root {line}\n"),
        Init::Cron => format!("# Add it with: crontab -e\n@reboot XDG_RUNTIME_DIR=/run/user/{user} {line}\n"),
    })
}

/// A word for sh(1).
fn for_shell(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:=@".contains(&byte);
    if word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// A word for `ExecStart=` (systemd.service(5), "Command lines").
fn for_systemd(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let is_plain = |byte: u8| !byte.is_ascii_whitespace() && !b"\"'\\;".contains(&byte);
    if word.bytes().all(is_plain) { word } else { format!("\"{word}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_init_gets_its_own() {
        let root = Call {
            program: "/usr/bin/brig".into(),
            root: "/var/lib/brig".into(),
            runroot: "/run/brig".into(),
            user: 0,
        };
        let user = Call {
            program: "/home/a b/100%/brig".into(),
            root: "/home/a b/data".into(),
            runroot: "/run/user/1000/brig".into(),
            user: 1000,
        };
        let mut all = String::new();
        for (init, call) in [
            (Init::Systemd, &root),
            (Init::SystemdUser, &user),
            (Init::Openrc, &root),
            (Init::Runit, &root),
            (Init::Cron, &root),
            (Init::Cron, &user),
        ] {
            all.push_str(&format!("== {init:?} {}\n{}", call.user, text(init, call).unwrap()));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn words_stay_words() {
        for (word, shell, systemd) in [
            ("/usr/bin/brig", "/usr/bin/brig", "/usr/bin/brig"),
            ("a b", "'a b'", "\"a b\""),
            ("it's", "'it'\\''s'", "\"it's\""),
            ("$HOME", "'$HOME'", "$$HOME"),
            ("100%", "'100%'", "100%%"),
            ("a\"b\\", "'a\"b\\'", "\"a\\\"b\\\\\""),
        ] {
            assert_eq!((for_shell(word).as_str(), for_systemd(word).as_str()), (shell, systemd));
        }
        let bad = Call { program: "/a\nb".into(), root: "/".into(), runroot: "/".into(), user: 0 };
        assert!(text(Init::Cron, &bad).is_err());
    }
}
