//! `brig secret create`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};

use clap::Parser;
use secret::{MAX_VALUE, Name, Value};

use super::{failure, open};
use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::{input, output};

/// Keep a secret
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig secret create [FLAGS] NAME FILE|-",
    after_help = "Examples:
  brig secret create password password.txt
  pwgen 32 1 | tr -d '\\n' | brig secret create password -
  brig secret create --env token CI_TOKEN"
)]
struct Create {
    /// The last word names a variable of your environment, not a file
    #[arg(long)]
    env: bool,
    /// Label
    #[arg(long, short = 'l', value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Give a secret that exists another value
    #[arg(long)]
    replace: bool,
    /// Succeed where a secret of that name exists, and leave it as it is
    #[arg(long)]
    ignore: bool,
    /// The driver; there is one, `file`
    #[arg(long, short = 'd', default_value = "file", value_name = "DRIVER")]
    driver: String,
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The file that holds it, `-` for standard input
    #[arg(value_name = "FILE")]
    source: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Create = command::parse("brig secret create", args)?;
    if flags.driver != "file" {
        return Err(Failure::user(format!("there is no secret driver `{}`", flags.driver.escape_debug()))
            .hint("`--driver file` is the one there is: it encrypts"));
    }
    let name = Name::new(&flags.name).map_err(failure)?;
    let mut labels = BTreeMap::new();
    for text in &flags.label {
        let parsed = container::value::label::parse("--label", text);
        let (key, value) = parsed.map_err(command::run::failure)?;
        labels.insert(key, value);
    }
    let bytes = read(&flags)?;
    let secrets = open(global)?;
    let now = runtime::state::now();
    let meta = match secrets.create(&name, &Value::new(bytes), labels, &now, flags.replace) {
        Err(secret::Error::Exists(_)) if flags.ignore => secrets.find(name.as_str()).map_err(failure)?,
        other => other.map_err(failure)?,
    };
    output::print(&format!("{}\n", meta.id))?;
    Ok(0)
}

/// What the secret holds; never a part of a message.
#[expect(clippy::disallowed_methods, reason = "the person names a variable of this program's environment")]
fn read(flags: &Create) -> Result<Vec<u8>, Failure> {
    if flags.env {
        let value = std::env::var_os(&flags.source).ok_or_else(|| {
            Failure::user(format!("your environment has no `{}`", flags.source.escape_debug()))
        })?;
        return Ok(std::os::unix::ffi::OsStringExt::into_vec(value));
    }
    if flags.source == "-" {
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .take(MAX_VALUE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(Failure::environment)?;
        return Ok(bytes);
    }
    input::read(&flags.source, MAX_VALUE as u64)
}
