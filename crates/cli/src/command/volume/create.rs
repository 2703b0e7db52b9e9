//! `brig volume create`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::Parser;
use volume::{Meta, Name, What};

use super::{failure, name, open};
use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::output;

/// Make a volume
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume create [FLAGS] [VOLUME]",
    after_help = "Examples:
  brig volume create data
  brig volume create --label app=web --opt size=10g data
  brig volume create --opt type=tmpfs --opt o=size=64m scratch
  brig volume create --opt type=none --opt o=bind --opt device=/srv/data shared"
)]
struct Create {
    /// The driver; there is one, `local`
    #[arg(long, short = 'd', default_value = "local", value_name = "DRIVER")]
    driver: String,
    /// Option of the driver: type, o, device, size
    #[arg(long, short = 'o', value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Label
    #[arg(long, short = 'l', value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Owner of its root directory, as the container has ids
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,
    /// Group of its root directory
    #[arg(long, value_name = "GID")]
    gid: Option<u32>,
    /// Succeed where a volume of that name exists, whatever its options
    #[arg(long)]
    ignore: bool,
    /// Its name, if not as the last word
    #[arg(long = "name", value_name = "VOLUME", hide = true)]
    named: Option<String>,
    /// Its name; a new one of 64 digits where none is given
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Create = command::parse("brig volume create", args)?;
    if flags.driver != "local" {
        return Err(Failure::user(format!("there is no volume driver `{}`", flags.driver.escape_debug()))
            .hint("`--driver local` is the one there is"));
    }
    let given = flags.name.as_deref().or(flags.named.as_deref()).filter(|name| !name.is_empty());
    let mut options = BTreeMap::new();
    for text in &flags.opt {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        options.insert(key.to_owned(), value.to_owned());
    }
    let mut labels = BTreeMap::new();
    for text in &flags.label {
        let parsed = container::value::label::parse("--label", text);
        let (key, value) = parsed.map_err(command::run::failure)?;
        labels.insert(key, value);
    }
    volume::device(&options).map_err(failure)?;
    let volumes = open(global)?;
    let name = match given {
        Some(text) => name(text)?,
        None => Name::anonymous().map_err(failure)?,
    };
    global.note.object("volume", name.as_str(), name.as_str(), &["create"]);
    let meta = Meta {
        created_at: runtime::state::now(),
        labels,
        options,
        // As docker has it: without a name it may go when nobody uses it.
        anonymous: given.is_none(),
        uid: flags.uid,
        gid: flags.gid,
    };
    match container::volumes::create(&volumes, &name, &meta) {
        Ok(What::Made | What::Found) => {}
        Err(container::Error::Volume(volume::Error::Exists(_))) if flags.ignore => {}
        Err(error) => return Err(command::run::failure(error)),
    }
    output::print(&format!("{name}\n"))?;
    Ok(0)
}
