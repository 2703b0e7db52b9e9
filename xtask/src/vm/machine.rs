//! One running virtual machine: QEMU as a child process, and a line-based talk with the agent inside.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testkit::find_program;

use super::recipe::{Flavour, MACHINE};

/// A busy host boots in minutes what a quiet one boots in half a minute.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
const RESUME_LIMIT: Duration = Duration::from_secs(120);

/// The files a machine runs from.
#[derive(Debug, Clone)]
pub(super) struct Disks {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) root: PathBuf,
    pub(super) swap: PathBuf,
    /// Memory and devices of the booted machine.
    pub(super) state: PathBuf,
    pub(super) emulator: Emulator,
}

/// What a command inside printed, and its exit code; none when the machine ended or was too slow.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: Option<i32>,
    pub(super) output: String,
}

/// A machine that is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Machine {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    control: PathBuf,
    console: PathBuf,
    commands: u32,
}

/// An emulator: its program, and where its firmware lies when it is not installed.
#[derive(Debug, Clone)]
pub(super) struct Emulator {
    pub(super) program: PathBuf,
    pub(super) firmware: Vec<PathBuf>,
}

impl Emulator {
    /// The one unpacked below `root` if it starts here, else the installed one.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let unpacked = Self {
            program: root.join("usr/bin/qemu-system-x86_64"),
            firmware: ["usr/share/qemu", "usr/share/seabios"].map(|path| root.join(path)).to_vec(),
        };
        if !unpacked.version().is_empty() {
            return Some(unpacked);
        }
        find_program("qemu-system-x86_64").map(|program| Self { program, firmware: Vec::new() })
    }

    /// What it says of its version; nothing when it does not start.
    pub(super) fn version(&self) -> String {
        let output = Command::new(&self.program).arg("--version").stdin(Stdio::null()).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    }
}

impl Machine {
    /// Boots from the disks, which it changes, until both people are logged in.
    pub(super) fn boot(
        flavour: Flavour,
        disks: &Disks,
        build: &Path,
        scratch: &Path,
    ) -> Result<Self, String> {
        let machine = Self::start(flavour, disks, build, scratch, false)?;
        for _ in 0..2 {
            machine.await_line(BOOT_LIMIT, |line| line.starts_with("READY ")).map_err(|()| {
                format!("the machine did not get ready; its console ends with:\n{}", machine.console_end())
            })?;
        }
        Ok(machine)
    }

    /// Goes on from the snapshot, leaving disks and state as they are, with this build mounted on `/build`.
    pub(super) fn resume(
        flavour: Flavour,
        disks: &Disks,
        build: &Path,
        scratch: &Path,
    ) -> Result<Self, String> {
        let mut machine = Self::start(flavour, disks, build, scratch, true)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        machine.send(&format!("mount {now}"))?;
        machine.await_line(RESUME_LIMIT, |line| line == "MOUNTED").map_err(|()| {
            format!("the machine did not wake up; its console ends with:\n{}", machine.console_end())
        })?;
        Ok(machine)
    }

    fn start(
        flavour: Flavour,
        disks: &Disks,
        build: &Path,
        scratch: &Path,
        is_resumed: bool,
    ) -> Result<Self, String> {
        let emulator = &disks.emulator.program;
        let (control, console) = (scratch.join("control"), scratch.join("console"));
        // A machine must not outlive us, however we end.
        let mut command = match find_program("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(emulator);
                command
            }
            None => Command::new(emulator),
        };
        command.args(MACHINE);
        for directory in &disks.emulator.firmware {
            command.arg("-L").arg(directory);
        }
        let writes = if is_resumed { "snapshot=on" } else { "snapshot=off" };
        for (name, path, mode) in [
            ("root", disks.root.as_path(), writes),
            ("build", build, "readonly=on"),
            ("swap", &disks.swap, writes),
        ] {
            command.arg("-drive").arg(format!("file={},format=raw,if=none,id={name},{mode}", path.display()));
            command.args(["-device", &format!("virtio-blk-pci,drive={name}")]);
        }
        command
            .args(["-device", "virtio-serial-pci", "-chardev", "stdio,id=brig,signal=off"])
            .args(["-device", "virtserialport,chardev=brig,name=brig"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", control.display()))
            .arg("-kernel")
            .arg(&disks.kernel)
            .arg("-initrd")
            .arg(&disks.initrd)
            .args(["-append", &flavour.kernel_arguments()]);
        if is_resumed {
            command.arg("-incoming").arg(format!("exec:cat '{}'", disks.state.display()));
        }
        let log = File::create(scratch.join("emulator")).map_err(|error| format!("{scratch:?}: {error}"))?;
        // What a resumed machine writes to its disks lies in unnamed files here.
        command.env("TMPDIR", scratch).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().map_err(|error| format!("{}: {error}", emulator.display()))?;
        let input = process.stdin.take().expect("piped");
        let output = process.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { process, input, lines, control, console, commands: 0 })
    }

    /// Runs a command line as `person`, for at most `limit` of the machine's own time; the host waits three times as
    /// long, because a busy host's machine may have to stand still.
    pub(super) fn run(&mut self, person: &str, limit: Duration, command: &str) -> Answer {
        self.commands += 1;
        // What a test prints cannot be taken for our line: it does not know the mark.
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let mark = format!("@{seed}-{}", self.commands);
        let mut output = String::new();
        if self.send(&format!("{person} {mark} {} {command}", limit.as_secs())).is_err() {
            return Answer { code: None, output: self.console_end() };
        }
        let until = Instant::now() + limit * 3;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    // A last line without its end stands before the mark.
                    if let Some((before, rest)) = line.split_once(mark.as_str()) {
                        output.push_str(before);
                        if let Some(code) = rest.strip_prefix(" exit ") {
                            return Answer { code: code.parse().ok(), output };
                        }
                    } else {
                        output.push_str(&line);
                        output.push('\n');
                    }
                }
                Err(reason) => {
                    let reason = match reason {
                        RecvTimeoutError::Timeout => "the machine did not answer in time",
                        RecvTimeoutError::Disconnected => "the machine ended",
                    };
                    output.push_str(&format!("{reason}; its console ends with:\n{}", self.console_end()));
                    return Answer { code: None, output };
                }
            }
        }
    }

    /// Writes memory and devices to `state` and ends the machine; the disks then belong to that state.
    pub(super) fn save(mut self, state: &Path) -> Result<(), String> {
        self.write_state(state)
            .map_err(|error| format!("{error}; its console ends with:\n{}", self.console_end()))
    }

    fn write_state(&mut self, state: &Path) -> Result<(), String> {
        let stream =
            UnixStream::connect(&self.control).map_err(|error| format!("QEMU's control: {error}"))?;
        let mut control = Control {
            writer: stream.try_clone().map_err(|error| error.to_string())?,
            reader: BufReader::new(stream),
        };
        control.ask(&json!({"execute": "qmp_capabilities"}))?;
        let limits = json!({"max-bandwidth": 10_000_000_000_u64});
        control.ask(&json!({"execute": "migrate-set-parameters", "arguments": limits}))?;
        let uri = format!("exec:cat >'{}'", state.display());
        control.ask(&json!({"execute": "migrate", "arguments": {"uri": uri}}))?;
        loop {
            let answer = control.ask(&json!({"execute": "query-migrate"}))?;
            match answer["status"].as_str() {
                Some("completed") => break,
                Some("failed" | "cancelled") => return Err(format!("the snapshot failed: {answer}")),
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
        control.ask(&json!({"execute": "quit"}))?;
        self.process.wait().map_err(|error| error.to_string())?;
        Ok(())
    }

    fn send(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .map_err(|error| format!("the machine ended: {error}; {}", self.console_end()))
    }

    fn await_line(&self, limit: Duration, is_wanted: impl Fn(&str) -> bool) -> Result<(), ()> {
        let until = Instant::now() + limit;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if is_wanted(&line) {
                return Ok(());
            }
        }
        Err(())
    }

    /// The last lines of the kernel's console and of the emulator's own messages.
    fn console_end(&self) -> String {
        let emulator = self.console.with_file_name("emulator");
        let mut end = String::new();
        for path in [&self.console, &emulator] {
            let text = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(25)..] {
                end.push_str(line);
                end.push('\n');
            }
        }
        end
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// QEMU's machine protocol: one JSON object a line.
struct Control {
    writer: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Control {
    fn ask(&mut self, question: &Value) -> Result<Value, String> {
        writeln!(self.writer, "{question}").map_err(|error| format!("QEMU's control: {error}"))?;
        let mut line = String::new();
        loop {
            line.clear();
            let read =
                self.reader.read_line(&mut line).map_err(|error| format!("QEMU's control: {error}"))?;
            let mut answer: Value = serde_json::from_str(&line).unwrap_or_default();
            if !answer["error"].is_null() {
                return Err(format!("{question}: {}", answer["error"]));
            }
            // Events come in between.
            if !answer["return"].is_null() {
                return Ok(answer["return"].take());
            }
            if read == 0 {
                return Err(format!("QEMU ended after {question}"));
            }
        }
    }
}
