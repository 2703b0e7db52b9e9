//! `brig login`.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};

use clap::Parser;
use oci::reference::DEFAULT_REGISTRY;
use registry::{Credentials, Secret, Source};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::output;
use crate::remote::{Remote, of_registry};

/// Most bytes of a password.
const MAX_PASSWORD: u64 = 64 << 10;

/// Keep credentials for a registry
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig login [FLAGS] [REGISTRY]",
    after_help = "They are tried first, and kept in `~/.config/containers/auth.json`, which podman, skopeo and buildah read too.

Examples:
  brig login registry.example
  pass registry | brig login -u me --password-stdin registry.example
  brig login --get-login registry.example"
)]
struct Login {
    /// User; asked for if unset
    #[arg(long, short = 'u', value_name = "USER")]
    username: Option<String>,
    /// Password; seen by all who list processes
    #[arg(long, short = 'p', value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Print who is logged in, and do nothing
    #[arg(long)]
    get_login: bool,
    /// Say where they are kept
    #[arg(long, short = 'v')]
    verbose: bool,
    #[command(flatten)]
    remote: Remote,
    /// Host with an optional port, or a repository there; Docker Hub if unset
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Login = command::parse("brig login", args)?;
    let (registry, name) = named(flags.registry.as_deref())?;
    let repository = name.strip_prefix(&format!("{registry}/")).unwrap_or("x");
    if flags.get_login {
        let found = flags.remote.kept().find(&registry, repository).map_err(of_registry)?;
        return match found {
            Some(Credentials::Basic { user, .. }) => output::print(&format!("{user}\n")).map(|()| 0),
            Some(_) => output::print("<token>\n").map(|()| 0),
            None => Err(Failure::user(format!("nobody is logged in to `{name}`"))),
        };
    }
    let credentials = ask(global, &flags)?;
    let source = Source { registry: registry.clone(), repository: repository.to_owned(), insecure: false };
    let opened = flags.remote.open_as(&source, Some(credentials.clone()))?;
    opened.check().map_err(of_registry)?;
    let path = flags.remote.own()?;
    registry::keep(&path, &name, &credentials).map_err(of_registry)?;
    global.note.object("registry", &registry, &name, &["login"]);
    if flags.verbose {
        output::print(&format!("Used: {}\n", path.display()))?;
    }
    output::print("Login Succeeded\n")?;
    Ok(0)
}

/// The registry, and the name that its credentials are kept under.
pub(super) fn named(text: Option<&str>) -> Result<(String, String), Failure> {
    let text = text.unwrap_or(DEFAULT_REGISTRY);
    let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let text = text.trim_end_matches('/');
    let (host, rest) = text.split_once('/').unwrap_or((text, ""));
    let host =
        if matches!(host, "index.docker.io" | "registry-1.docker.io") { DEFAULT_REGISTRY } else { host };
    let rest = if matches!(rest, "v1" | "v2") { "" } else { rest };
    // The grammar is that of images.
    let repository = if rest.is_empty() { "x" } else { rest };
    oci::Reference::new(host, repository, Some("x"), None)
        .map_err(|error| Failure::user(format!("`{}` is no registry: {error}", text.escape_debug())))?;
    let name = if rest.is_empty() { host.to_owned() } else { format!("{host}/{rest}") };
    Ok((host.to_owned(), name))
}

fn ask(global: &Global, flags: &Login) -> Result<Credentials, Failure> {
    let terminal = io::stdin().is_terminal();
    let missing = |what: &str| {
        Failure::user(format!("there is no {what}, and nobody to ask"))
            .hint("`brig login -u USER --password-stdin REGISTRY < FILE`")
    };
    let user = match &flags.username {
        Some(user) => user.clone(),
        None if terminal && !flags.password_stdin => line("Username: ", true)?,
        None => return Err(missing("user")),
    };
    if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
        return Err(Failure::user("a user is not empty, and has no colon"));
    }
    let password = match &flags.password {
        Some(password) => {
            global.log.warning("a password among the words of a command is seen by all who list processes: use `--password-stdin`");
            password.clone()
        }
        None if flags.password_stdin => {
            let mut text = String::new();
            let read = io::stdin().lock().take(MAX_PASSWORD).read_to_string(&mut text);
            read.map_err(|error| Failure::user(format!("the password cannot be read: {error}")))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None if terminal => line("Password: ", false)?,
        None => return Err(missing("password")),
    };
    if password.is_empty() {
        return Err(Failure::user("the password is empty"));
    }
    Ok(Credentials::Basic { user, password: Secret::new(password) })
}

/// One line of a person's at the terminal.
fn line(prompt: &str, echo: bool) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::environment(format!("the terminal cannot be asked: {error}"));
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush()).map_err(failed)?;
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).map_err(|errno| failed(errno.into()))?;
    if !echo {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|errno| failed(errno.into()))?;
    }
    let mut text = String::new();
    let read = io::BufRead::read_line(&mut stdin.lock().take(MAX_PASSWORD), &mut text);
    if !echo {
        tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(|errno| failed(errno.into()))?;
        stderr.write_all(b"\n").map_err(failed)?;
    }
    read.map_err(failed)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_have_one_name() {
        for (text, expected) in [
            (None, Some(("docker.io", "docker.io"))),
            (Some("https://index.docker.io/v1/"), Some(("docker.io", "docker.io"))),
            (Some("reg.example:5000/"), Some(("reg.example:5000", "reg.example:5000"))),
            (Some("reg.example/team/app"), Some(("reg.example", "reg.example/team/app"))),
            (Some("localhost"), Some(("localhost", "localhost"))),
            (Some("reg.example/Bad"), None),
            (Some("a@b"), None),
            (Some(""), None),
        ] {
            let expected = expected.map(|(host, name)| (host.to_owned(), name.to_owned()));
            assert_eq!(named(text).ok(), expected, "{text:?}");
        }
    }
}
