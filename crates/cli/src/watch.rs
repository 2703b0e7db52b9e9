//! What a container's monitor executes: the loop, and what comes after it. Never typed by a person.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use container::value::name::ContainerId;
use monitor::Outcome;

use crate::command::run::failure;
use crate::error::Failure;
use crate::global::Global;
use crate::note::Event;
use crate::site;

/// `brig monitor DESCRIPTOR`: the loop, told everything by the settings in that memory file.
///
/// Nothing of the rest of this program runs here: its memory is what a container costs while it is idle.
pub(crate) fn monitor(words: &[OsString]) -> ExitCode {
    let Some(number) = words.first().and_then(|word| number(word)) else { return ExitCode::FAILURE };
    let Ok(settings) = monitor::Settings::take_over(number) else { return ExitCode::FAILURE };
    let Ok(ended) = monitor::run(settings) else { return ExitCode::FAILURE };
    // The lock is held on: until the container is taken down nobody else takes it for left over.
    let settings = &ended.settings;
    if files::clear_cloexec(&settings.lock).is_err() {
        return ExitCode::FAILURE;
    }
    let (word, code) = match ended.outcome {
        Outcome::Exited(code) => ("monitor-end", code),
        Outcome::Stopped => ("monitor-end", settings.life.exit_code),
        Outcome::Start => ("monitor-start", 0),
    };
    let [lock, code, pause] =
        [settings.lock.as_raw_fd().to_string(), code.to_string(), settings.pause.to_string()];
    let words = [
        OsStr::new("brig"),
        OsStr::new(word),
        settings.root.as_os_str(),
        settings.runroot.as_os_str(),
        OsStr::new(&settings.id),
        OsStr::new(&lock),
        OsStr::new(&pause),
        OsStr::new(&code),
    ]
    .map(|word| CString::new(word.as_bytes()).unwrap_or_default());
    let words = sys::exec::StringArray::new(words.into());
    sys::exec::execve(c"/proc/self/exe", &words, &sys::exec::StringArray::new(Vec::new()));
    ExitCode::FAILURE
}

/// What the programs after the loop are told.
struct Words {
    global: Global,
    id: ContainerId,
    lock: OwnedFd,
    pause: u32,
    code: u8,
}

impl Words {
    /// `ROOT RUNROOT ID LOCK PAUSE CODE`.
    fn parse(words: &[OsString]) -> Option<Self> {
        let [root, runroot, id, lock, pause, code] = words else { return None };
        Some(Self {
            global: Global::with_directories(Path::new(root), Path::new(runroot)),
            id: ContainerId::parse(id.to_str()?)?,
            lock: sys::exec::inherited(number(lock)?).ok()?,
            pause: pause.to_str()?.parse().ok()?,
            code: code.to_str()?.parse().ok()?,
        })
    }
}

/// `brig monitor-end`: takes the container down, and starts it again where its policy says so.
pub(crate) fn end(words: &[OsString]) -> ExitCode {
    let Some(Words { global, id, lock, pause, code }) = Words::parse(words) else { return ExitCode::FAILURE };
    // Nobody reads what this process says; what could not be removed is swept by the next command.
    let ended = site::with(&global, |site, _| {
        let event = Event::of(site.containers, &id).with("exitCode", &code);
        // Written before: where it is started again this process becomes the loop.
        event.clone().write(&global, &["die"]);
        container::finish(site.containers, &id, lock, code, pause).map_err(failure)?;
        let after: &[&str] = match site.containers.state(&id) {
            Ok(state) if state.oom_killed => &["oom"],
            Ok(_) => &[],
            Err(_) => &["destroy"],
        };
        if !after.is_empty() {
            event.write(&global, after);
        }
        Ok(())
    });
    // A service manager whose main process this is takes the container's exit code for the service's.
    if ended.is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE }
}

/// `brig monitor-start`: starts the container again.
pub(crate) fn start(words: &[OsString]) -> ExitCode {
    let Some(Words { global, id, lock, pause, .. }) = Words::parse(words) else { return ExitCode::FAILURE };
    // As above: why it failed is in the container's `life.json`.
    done(&site::with(&global, |site, _| {
        // Written before: this process becomes the loop when it succeeds.
        Event::of(site.containers, &id).write(&global, &["start"]);
        container::start_again(site, &id, lock, pause).map_err(failure)
    }))
}

fn done(result: &Result<(), Failure>) -> ExitCode {
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(word: &OsStr) -> Option<i32> {
    word.to_str()?.parse().ok()
}
