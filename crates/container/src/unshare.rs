//! `unshare`: a program of the host's in the user's own user namespace, where files of his subordinate ids are his.
//!
//! Nothing of a container is run or read. The program has new user and mount namespaces and is root in them, which is
//! what owning those ids means; it has no right that the user lacks.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use idmap::{NamespaceRequest, in_user_namespace};
use rustix::io::Errno;
use store::{Ownership, Store};
use sys::exec::StringArray;
use sys::fork::Exit;

use crate::error::{Error, Result};

/// Where programs are looked for without a `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Exit codes of a program that is not there, and of one that cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// What to run.
#[derive(Clone, Debug)]
pub struct Unshare {
    /// The program and its words.
    pub words: Vec<OsString>,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Runs the program and waits for it: its exit code, or 128 and the signal that ended it.
///
/// # Errors
/// [`Error::RootNeedsNone`] for root; [`Error::Program`]; [`Error::Ids`].
pub fn unshare(store: &Store, unshare: &Unshare) -> Result<u8> {
    let Ownership::Mapped { uid, gid } = store.ownership() else { return Err(Error::RootNeedsNone) };
    let Some(program) = unshare.words.first() else { return Err(Error::NoCommand) };
    let words = StringArray::new(unshare.words.iter().map(|word| string(word)).collect::<Result<_>>()?);
    let entries = unshare.environment.iter().map(|(name, value)| {
        let mut entry = name.clone();
        entry.push("=");
        entry.push(value);
        string(&entry)
    });
    let environment = StringArray::new(entries.collect::<Result<_>>()?);
    let candidates = candidates(program, &unshare.environment)?;
    // What is typed to end the program must not end this process: the program would be killed with it.
    sys::signal::block_all().map_err(|source| system("hold signals for", program, source))?;
    let request = NamespaceRequest { uid, gid, also_new: sys::clone::flags::NEWNS, answer_limit: 64 };
    let outcome = in_user_namespace(&request, || {
        if let Err(errno) = sys::signal::reset_all() {
            return (NOT_EXECUTABLE, errno.raw_os_error().to_string().into_bytes());
        }
        let mut found = Errno::NOENT;
        for path in &candidates {
            // Returns only on failure.
            match sys::exec::execve(path, &words, &environment) {
                Errno::NOENT | Errno::NOTDIR => {}
                errno => found = errno,
            }
        }
        (NOT_FOUND, found.raw_os_error().to_string().into_bytes())
    })?;
    if let Some(errno) = std::str::from_utf8(&outcome.answer).ok().and_then(|text| text.parse::<i32>().ok()) {
        let source = Errno::from_raw_os_error(errno);
        let code = if source == Errno::NOENT { NOT_FOUND } else { NOT_EXECUTABLE };
        return Err(Error::Program { path: program.into(), source, code });
    }
    Ok(match outcome.exit {
        Exit::Code(code) => code,
        Exit::Signal(number) => u8::try_from(128 + number).unwrap_or(u8::MAX),
    })
}

fn system(action: &'static str, program: &OsStr, source: Errno) -> Error {
    Error::System { action, path: PathBuf::from(program), source }
}

fn string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let value = text.to_string_lossy().escape_debug().to_string();
        Error::value("COMMAND", value, "a NUL ends a string for the kernel")
    })
}

/// Where the program may be.
fn candidates(program: &OsStr, environment: &[(OsString, OsString)]) -> Result<Vec<CString>> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![string(program)?]);
    }
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(OsStr::new(PATH), |(_, value)| value);
    // An empty entry would be the working directory, which nobody means.
    let directories = path.as_bytes().split(|byte| *byte == b':').filter(|entry| !entry.is_empty());
    directories
        .map(|directory| {
            let mut path = directory.to_vec();
            path.push(b'/');
            path.extend_from_slice(program.as_bytes());
            string(&OsString::from_vec(path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_in_the_path() {
        let environment = [("PATH".into(), "/a::/b".into())];
        for (program, environment, expected) in [
            ("ls", &environment[..], &["/a/ls", "/b/ls"][..]),
            ("/bin/ls", &environment, &["/bin/ls"]),
            ("./ls", &environment, &["./ls"]),
            ("ls", &[], &["/usr/local/bin/ls", "/usr/bin/ls", "/bin/ls"]),
        ] {
            let found = candidates(OsStr::new(program), environment).unwrap();
            let found: Vec<_> = found.iter().map(|path| path.to_str().unwrap()).collect();
            assert_eq!(found, expected);
        }
        assert!(candidates(OsStr::new("a\0b"), &[]).is_err());
    }
}
