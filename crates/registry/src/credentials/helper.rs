//! Programs that keep credentials elsewhere: docker's `docker-credential-NAME get`.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Credentials, Secret};
use crate::answers::plain;
use crate::error::{Error, Result};

/// Most bytes of its answer.
const MAX_ANSWER: u64 = 64 << 10;
/// How long it may take: it may ask a person.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest name.
const MAX_NAME: usize = 64;
/// What one says that has nothing for a server.
const NOTHING: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper for what it has for a server; nothing where it has nothing.
pub(super) fn get(name: &str, server: &str, programs: &[PathBuf]) -> Result<Option<Credentials>> {
    let failed = |reason: String| Error::Helper { name: plain(name), reason };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.len() > MAX_NAME || !name.bytes().all(is_plain) {
        return Err(failed("its name is none".to_owned()));
    }
    let file = format!("docker-credential-{name}");
    // A relative directory would be one of whoever made the working directory.
    let path = programs
        .iter()
        .filter(|path| path.is_absolute())
        .map(|path| path.join(&file))
        .find(|path| path.is_file());
    let path = path.ok_or_else(|| failed(format!("there is no program `{file}`")))?;
    let mut child = Command::new(path)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing may know what to say all the same.
        stdin.write_all(server.as_bytes()).ok();
    }
    let output = answer(&mut child);
    let is_over = end(&mut child);
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output);
    if !is_over {
        return if text.contains(NOTHING) { Ok(None) } else { Err(failed("it failed".to_owned())) };
    }
    // What it said is a secret: not shown.
    let answer: Answer =
        serde_json::from_slice(&output).map_err(|_| failed("its answer is no JSON".to_owned()))?;
    Ok(match (answer.username.as_str(), answer.secret.is_empty()) {
        (_, true) => None,
        ("<token>", _) => Some(Credentials::Identity(Secret::new(answer.secret))),
        _ => Some(Credentials::Basic { user: answer.username, password: Secret::new(answer.secret) }),
    })
}

/// What it writes, until it ends or takes too long.
fn answer(child: &mut Child) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut stdout) = child.stdout.take() else { return Ok(bytes) };
    let until = Instant::now() + TIMEOUT;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() as u64 > MAX_ANSWER {
            return Err(std::io::Error::other("it takes too long, or says too much"));
        }
        if !files::is_readable(&stdout, left)? {
            continue;
        }
        let mut buffer = [0; 4096];
        match stdout.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Whether it ended well; one that goes on is killed.
fn end(child: &mut Child) -> bool {
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => return false,
        }
    }
    // It has ended by then, or it does now.
    child.kill().ok();
    child.wait().ok();
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn helpers_are_asked_by_their_protocol() {
        let directory = testkit::TempDir::new();
        let script = "#!/bin/sh\nread -r server\n[ \"$1\" = get ] || exit 9\ncase $server in\n\
            good*) echo '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"hush\"}';;\n\
            token*) echo '{\"Username\":\"<token>\",\"Secret\":\"tok\"}';;\n\
            none*) echo 'credentials not found in native keychain'; exit 1;;\n\
            odd*) echo hush;;\nbig*) head -c 100000 /dev/zero;;\n*) echo hush; exit 1;;\nesac\n";
        let path = directory.path().join("docker-credential-test");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let programs = vec![PathBuf::from("."), directory.path().to_owned()];
        let ask = |server: &str| get("test", server, &programs);
        let basic = Credentials::Basic { user: "me".into(), password: Secret::new("hush") };
        assert_eq!(ask("good.example").unwrap(), Some(basic));
        assert_eq!(ask("token.example").unwrap(), Some(Credentials::Identity(Secret::new("tok"))));
        assert_eq!(ask("none.example").unwrap(), None);
        for server in ["odd", "big", "bad"] {
            let error = ask(server).unwrap_err().to_string();
            assert!(error.contains("`test`") && !error.contains("hush"), "{error}");
        }
        for name in ["../test", "a b", "nosuch", ""] {
            assert!(get(name, "good", &programs).is_err(), "{name}");
        }
    }
}
