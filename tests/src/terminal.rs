//! A command whose standard error, and nothing else, is a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// After that nothing more is waited for: it guards the suite, no story asserts a time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that runs, and what it draws.
#[derive(Debug)]
pub struct Drawing {
    child: Child,
    input: Option<ChildStdin>,
    drawn: Receiver<Vec<u8>>,
    seen: String,
}

/// How it ended.
#[derive(Debug)]
pub struct Drawn {
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output, with replacements for what is no text.
    pub stdout: String,
    /// All that went to the terminal.
    pub terminal: String,
}

impl Drawing {
    /// Starts a command with standard error on a new terminal of `columns`.
    ///
    /// # Panics
    /// When there is no terminal, or the command cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("openpt");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("ptsname");
        let name = name.to_str().expect("a terminal's name is ASCII");
        let slave = File::options().read(true).write(true).open(name).expect("open the terminal");
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).expect("set the terminal's size");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(slave);
        let mut child = command.spawn().expect("start the command");
        // the command's own copy of the slave closes with it: only then the terminal ends
        command.stderr(Stdio::null());
        let input = child.stdin.take();
        let (send, drawn) = channel();
        let mut master = File::from(master);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: nobody has the terminal any more
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, input, drawn, seen: String::new() }
    }

    /// The command's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives the command input.
    ///
    /// # Panics
    /// When it does not read any more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.as_mut().expect("not closed yet").write_all(bytes).expect("the command reads");
    }

    /// Waits until what was drawn has `text` in it.
    ///
    /// # Panics
    /// When that does not come.
    pub fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            match self.drawn.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("no `{text}` was drawn: {error}: {:?}", self.seen),
            }
        }
    }

    /// Closes the input and waits for the end.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn finish(mut self) -> Drawn {
        drop(self.input.take());
        let mut stdout = Vec::new();
        self.child.stdout.take().expect("piped").read_to_end(&mut stdout).expect("a pipe");
        let status = self.child.wait().expect("it ends");
        while let Ok(bytes) = self.drawn.recv_timeout(PATIENCE) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        Drawn {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            terminal: self.seen,
        }
    }
}
