//! Completion: the scripts that shells load, and the hidden command that answers them.
//!
//! The scripts ask `brig __complete WORDS...` for what may stand in place of the last word. So flags come from the very
//! parsers that read them, and names of containers, images and volumes are those of the moment.

use std::ffi::{OsStr, OsString};

use clap::Parser;

use super::{COMMANDS, DESCRIBE, Described};
use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::{output, site};

/// Print the completion script of a shell
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig completion bash|fish|zsh",
    after_help = "Examples:
  source <(brig completion bash)
  brig completion fish > ~/.config/fish/completions/brig.fish
  brig completion zsh > \"${fpath[1]}/_brig\""
)]
struct Completion {
    /// bash, fish or zsh
    #[arg(value_name = "SHELL")]
    shell: String,
}

const BASH: &str = r#"_brig() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _brig brig
"#;
const FISH: &str = r"complete -c brig -f -a '(set -l words (commandline -opc) (commandline -ct); brig __complete $words[2..-1] 2>/dev/null)'
";
const ZSH: &str = r#"#compdef brig
_brig() {
    local -a answers
    answers=("${(@f)$(brig __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -Q -- $answers
}
if [ "$funcstack[1]" = "_brig" ]; then _brig "$@"; else compdef _brig brig; fi
"#;

/// Runs `brig completion`.
pub(crate) fn script(_global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Completion = command::parse("brig completion", args)?;
    let script = match flags.shell.as_str() {
        "bash" => BASH,
        "fish" => FISH,
        "zsh" => ZSH,
        other => {
            return Err(Failure::user(format!("no completion for the shell `{}`", other.escape_debug()))
                .hint("use bash, fish or zsh"));
        }
    };
    output::print(script)?;
    Ok(0)
}

/// Runs `brig __complete`: what can stand in place of the last word, a line each.
pub(crate) fn answer(global: &Global, words: &[OsString]) -> Result<u8, Failure> {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut answers = candidates(global, before, last);
    answers.retain(|answer| answer.starts_with(last));
    answers.sort();
    answers.dedup();
    output::print(&answers.iter().map(|answer| format!("{answer}\n")).collect::<String>())?;
    Ok(0)
}

fn candidates(global: &Global, before: &[String], last: &str) -> Vec<String> {
    let Some((word, rest)) = before.split_first() else {
        return COMMANDS.iter().map(|command| command.name.to_owned()).collect();
    };
    let (described, rest) = match describe(global, std::slice::from_ref(word)) {
        Some(Described::Verbs(verbs)) => match rest.split_first() {
            None => return verbs,
            Some((verb, rest)) => (describe(global, &[word.clone(), verb.clone()]), rest),
        },
        other => (other, rest),
    };
    let Some(Described::Flags { flags, positional }) = described else { return Vec::new() };
    // After `--flag` that takes a value the shell completes file names.
    let takes_value = |word: &String| flags.iter().any(|flag| flag.takes_value && flag.names.contains(word));
    if rest.last().is_some_and(takes_value) {
        return Vec::new();
    }
    if last.starts_with('-') {
        return flags.into_iter().flat_map(|flag| flag.names).collect();
    }
    match positional.as_str() {
        "CONTAINER" => containers(global),
        "IMAGE" | "NAME[:TAG]" => images(global),
        "NAME" => [containers(global), images(global)].concat(),
        "SHELL" => ["bash", "fish", "zsh"].map(str::to_owned).to_vec(),
        "COMMAND" => COMMANDS.iter().map(|command| command.name.to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// What a command says of itself.
pub(super) fn describe(global: &Global, words: &[String]) -> Option<Described> {
    let (word, rest) = words.split_first()?;
    let command = COMMANDS.iter().find(|command| command.name == word)?;
    let args = rest.iter().map(OsString::from).chain([OsString::from(OsStr::new(DESCRIBE))]).collect();
    (command.run)(global, args).err()?.described()
}

fn containers(global: &Global) -> Vec<String> {
    let names = || {
        let (store, _) = site::store(global)?;
        let containers =
            container::Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
        containers.list().map_err(command::run::failure)
    };
    let found: Result<Vec<container::Summary>, Failure> = names();
    found.unwrap_or_default().into_iter().filter_map(|one| one.record.name).collect()
}

fn images(global: &Global) -> Vec<String> {
    let names = || site::store(global)?.0.images().map_err(site::of_store);
    let found: Result<Vec<store::Listed>, Failure> = names();
    found.unwrap_or_default().into_iter().filter_map(|image| Some(image.reference?.familiar())).collect()
}
