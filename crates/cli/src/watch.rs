//! What a container's monitor executes: the loop, and what comes after it. Never typed by a person.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use container::value::name::ContainerId;

use crate::global::Global;
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
    let lock = settings.lock.as_raw_fd().to_string();
    let words = [
        OsStr::new("brig"),
        OsStr::new("monitor-end"),
        settings.root.as_os_str(),
        settings.runroot.as_os_str(),
        OsStr::new(&settings.id),
        OsStr::new(&lock),
        OsStr::new(&ended.code.to_string()),
    ]
    .map(|word| CString::new(word.as_bytes()).unwrap_or_default());
    let words = sys::exec::StringArray::new(words.into());
    sys::exec::execve(c"/proc/self/exe", &words, &sys::exec::StringArray::new(Vec::new()));
    ExitCode::FAILURE
}

/// `brig monitor-end ROOT RUNROOT ID LOCK CODE`: takes the container down.
pub(crate) fn end(words: &[OsString]) -> ExitCode {
    let [root, runroot, id, lock, code] = words else { return ExitCode::FAILURE };
    let id = id.to_str().and_then(ContainerId::parse);
    let code = number(code).and_then(|code| u8::try_from(code).ok());
    let (Some(id), Some(lock), Some(code)) = (id, number(lock), code) else { return ExitCode::FAILURE };
    let Ok(lock) = sys::exec::inherited(lock) else { return ExitCode::FAILURE };
    let global = Global::with_directories(Path::new(root), Path::new(runroot));
    // Nobody reads what this process says; what could not be removed is swept by the next command.
    match site::with(&global, |site, _| {
        container::finish(site, &id, lock, code).map_err(crate::command::run::failure)
    }) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn number(word: &OsStr) -> Option<i32> {
    word.to_str()?.parse().ok()
}
