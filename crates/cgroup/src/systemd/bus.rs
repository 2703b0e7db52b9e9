//! Calls to systemd over its bus: blocking, one connection for one operation, closed before it returns, so
//! that neither a thread nor a descriptor is left when the container is cloned.

use std::path::Path;

use rustix::io::Errno;

use super::Property;
use super::connection::{BUS, Connection, Failure, shown};
use super::message::{Kind, Message};
use super::property::Value;
use super::wire::{Malformed, Writer};
use crate::{Error, Result};

const SERVICE: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// Starts a scope, waits until it runs, and returns its cgroup's path.
pub(super) fn start(socket: &Path, unit: &str, properties: &[Property]) -> Result<String> {
    let mut call = Call::open(socket, "StartTransientUnit", unit)?;
    call.listen()?;
    let job = call.manager("StartTransientUnit", "ssa(sv)a(sa(sv))", |body| {
        body.text(unit);
        // `fail`: a unit of this name that exists is somebody else's container.
        body.text("fail");
        array(body, properties);
        // No auxiliary units.
        body.array(8, |_| {});
    })?;
    call.wait(&job)?;
    call.control_group()
}

/// Changes properties of a running scope until the next boot.
pub(super) fn set(socket: &Path, unit: &str, properties: &[Property]) -> Result<()> {
    let mut call = Call::open(socket, "SetUnitProperties", unit)?;
    let reply = call.manager("SetUnitProperties", "sba(sv)", |body| {
        body.text(unit);
        body.flag(true);
        array(body, properties);
    })?;
    call.accepted(&reply).map(drop)
}

/// Moves a process of the caller's user into a scope. A user's systemd asks the system's where it may not do it itself: the
/// process may come from a login session, which has no cgroup in common with the scope that the user may write to.
pub(super) fn attach(socket: &Path, unit: &str, pid: u32) -> Result<()> {
    let mut call = Call::open(socket, "AttachProcessesToUnit", unit)?;
    let reply = call.manager("AttachProcessesToUnit", "ssau", |body| {
        body.text(unit);
        // The scope's own cgroup.
        body.text("");
        body.array(4, |array| array.word(pid));
    })?;
    call.accepted(&reply).map(drop)
}

/// Stops a scope, waits until it is gone, and forgets its failure. One that is gone already is no error: it went with its
/// systemd, where that is a user's whose last session has ended.
pub(super) fn stop(socket: &Path, unit: &str) -> Result<()> {
    let operation = "StopUnit";
    let connection = match Connection::open(socket) {
        Err(Failure::Kernel { action: "connect", errno: Errno::NOENT | Errno::CONNREFUSED }) => return Ok(()),
        opened => opened.map_err(|failure| unusable(socket, operation, unit, &failure))?,
    };
    let mut call = Call { connection, operation, unit, socket };
    call.listen()?;
    let job = call.manager("StopUnit", "ss", |body| {
        body.text(unit);
        body.text("replace");
    })?;
    if !gone(&job) {
        call.wait(&job)?;
    }
    // A scope whose processes were killed for lack of memory stays behind as failed.
    let reply = call.manager("ResetFailedUnit", "s", |body| body.text(unit))?;
    if gone(&reply) { Ok(()) } else { call.accepted(&reply).map(drop) }
}

/// Whether systemd does not know the unit.
fn gone(reply: &Message) -> bool {
    reply.kind == Kind::Error && reply.error == "org.freedesktop.systemd1.NoSuchUnit"
}

/// Writes `a(sv)`.
fn array(body: &mut Writer, properties: &[Property]) {
    body.array(8, |array| {
        for property in properties {
            array.align(8);
            array.text(property.name);
            variant(array, &property.value);
        }
    });
}

fn variant(writer: &mut Writer, value: &Value) {
    match value {
        Value::Bool(value) => {
            writer.signature("b");
            writer.flag(*value);
        }
        Value::Number(value) => {
            writer.signature("t");
            writer.long(*value);
        }
        Value::Text(value) => {
            writer.signature("s");
            writer.text(value);
        }
        Value::Pids(pids) => {
            writer.signature("au");
            writer.array(4, |array| pids.iter().for_each(|pid| array.word(*pid)));
        }
        Value::Bytes(bytes) => {
            writer.signature("ay");
            writer.array(1, |array| array.append(bytes));
        }
    }
}

/// One operation on one unit.
struct Call<'a> {
    connection: Connection,
    operation: &'static str,
    unit: &'a str,
    socket: &'a Path,
}

impl<'a> Call<'a> {
    fn open(socket: &'a Path, operation: &'static str, unit: &'a str) -> Result<Self> {
        match Connection::open(socket) {
            Ok(connection) => Ok(Self { connection, operation, unit, socket }),
            Err(failure) => Err(unusable(socket, operation, unit, &failure)),
        }
    }

    fn error(&self, reason: String) -> Error {
        Error::Systemd { operation: self.operation, unit: self.unit.to_owned(), reason }
    }

    fn unusable(&self, failure: impl Into<Failure>) -> Error {
        unusable(self.socket, self.operation, self.unit, &failure.into())
    }

    /// Asks for the signals that tell of a job's end.
    fn listen(&mut self) -> Result<()> {
        let rule = format!("type='signal',sender='{SERVICE}',interface='{MANAGER}',member='JobRemoved'");
        let message = Message::call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch");
        let reply = self.exchange(message, "s", |body| body.text(&rule))?;
        self.accepted(&reply)?;
        let reply = self.manager("Subscribe", "", |_| {})?;
        self.accepted(&reply).map(drop)
    }

    /// Calls a method of systemd's manager.
    fn manager(&mut self, method: &str, signature: &str, fill: impl FnOnce(&mut Writer)) -> Result<Message> {
        self.exchange(Message::call(SERVICE, OBJECT, MANAGER, method), signature, fill)
    }

    fn exchange(
        &mut self,
        message: Message,
        signature: &str,
        fill: impl FnOnce(&mut Writer),
    ) -> Result<Message> {
        let mut body = Writer::default();
        fill(&mut body);
        let message =
            message.with(signature, body).map_err(|fault| self.error(format!("cannot be asked: {fault}")))?;
        self.connection.call(message).map_err(|failure| self.unusable(failure))
    }

    /// Takes an answer that is no error.
    fn accepted<'m>(&self, reply: &'m Message) -> Result<&'m Message> {
        if reply.kind != Kind::Error {
            return Ok(reply);
        }
        let text = reply.values("s").and_then(|mut body| body.text()).unwrap_or_default();
        Err(self.error(format!("{} ({})", shown(text), shown(&reply.error))))
    }

    /// Waits for the end of the job that an answer names.
    fn wait(&mut self, reply: &Message) -> Result<()> {
        let job = self
            .accepted(reply)?
            .values("o")
            .and_then(|mut body| body.path())
            .map_err(|fault| self.unusable(fault))?;
        loop {
            let signal = self.connection.signal().map_err(|failure| self.unusable(failure))?;
            // Anybody on the bus may send us signals: only the one who took the job tells of its end.
            if signal.sender != reply.sender || signal.member != "JobRemoved" || signal.interface != MANAGER {
                continue;
            }
            let (path, result) = removed(&signal).map_err(|fault| self.unusable(fault))?;
            match result {
                _ if path != job => {}
                "done" => return Ok(()),
                result => return Err(self.error(format!("the job ended as `{}`", shown(result)))),
            }
        }
    }

    /// Asks where the scope's cgroup is.
    fn control_group(&mut self) -> Result<String> {
        let unit = self.unit;
        let reply = self.manager("GetUnit", "s", |body| body.text(unit))?;
        let path = self
            .accepted(&reply)?
            .values("o")
            .and_then(|mut body| body.path())
            .map_err(|fault| self.unusable(fault))?;
        let message = Message::call(SERVICE, path, "org.freedesktop.DBus.Properties", "Get");
        let reply = self.exchange(message, "ss", |body| {
            body.text("org.freedesktop.systemd1.Scope");
            body.text("ControlGroup");
        })?;
        let group = self.accepted(&reply)?.values("v").and_then(|mut body| {
            body.variant("s")?;
            body.text()
        });
        let group = group.map_err(|fault| self.unusable(fault))?;
        if group.trim_matches('/').is_empty() || group.split('/').any(|component| component == "..") {
            return Err(self.error(format!("its cgroup is `{}`", shown(group))));
        }
        Ok(group.to_owned())
    }
}

/// Parses a `JobRemoved`: its number, its path, its unit, its result.
pub(super) fn removed(signal: &Message) -> std::result::Result<(&str, &str), Malformed> {
    let mut body = signal.values("uoss")?;
    body.word()?;
    let path = body.path()?;
    body.text()?;
    Ok((path, body.text()?))
}

fn unusable(socket: &Path, operation: &'static str, unit: &str, failure: &Failure) -> Error {
    let reason = format!("bus `{}`: {failure}", socket.display());
    Error::Systemd { operation, unit: unit.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread::JoinHandle;

    use super::super::fake;
    use super::super::message::PREFIX_BYTES;
    use super::*;

    /// A peer that greets like a bus and answers like systemd; gives back what it was asked.
    fn peer(listener: UnixListener, result: &'static str) -> JoinHandle<Vec<String>> {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for (line, answer) in [("\0AUTH EXTERNAL", "DATA\r\n"), ("DATA", "OK 0123\r\n"), ("BEGIN", "")] {
                assert_eq!(read_line(&mut stream), line);
                stream.write_all(answer.as_bytes()).unwrap();
            }
            let mut asked = Vec::new();
            while let Some(call) = read_message(&mut stream) {
                asked.push(fake::describe(&call));
                for mut message in fake::answers(&call, result) {
                    let mut send = |message: &Message| stream.write_all(&message.encode().unwrap()).unwrap();
                    message.serial = 9;
                    if message.kind == Kind::Signal {
                        // Anybody on the bus may send this.
                        let mut forged = fake::job_removed(fake::JOB, "canceled");
                        forged.serial = 8;
                        forged.sender = ":1.66".to_owned();
                        send(&forged);
                    }
                    message.sender = ":1.1".to_owned();
                    send(&message);
                }
            }
            asked
        })
    }

    fn read_line(stream: &mut UnixStream) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    fn read_message(stream: &mut UnixStream) -> Option<Message> {
        let mut prefix = [0; PREFIX_BYTES];
        stream.read_exact(&mut prefix).ok()?;
        let mut bytes = prefix.to_vec();
        bytes.resize(Message::size(&prefix).unwrap(), 0);
        stream.read_exact(&mut bytes[PREFIX_BYTES..]).unwrap();
        Some(Message::decode(&bytes).unwrap())
    }

    fn with_peer<T>(result: &'static str, run: impl FnOnce(&Path) -> T) -> (T, Vec<String>) {
        let directory = testkit::TempDir::new();
        let socket = directory.join("bus");
        let peer = peer(UnixListener::bind(&socket).unwrap(), result);
        let value = run(&socket);
        (value, peer.join().unwrap())
    }

    fn members(asked: &[String]) -> Vec<&str> {
        asked.iter().map(|call| call.split(' ').next().unwrap()).collect()
    }

    #[test]
    fn a_scope_is_started_and_found() {
        let (group, asked) =
            with_peer("done", |socket| start(socket, "brig-web.scope", &fake::properties()).unwrap());
        assert_eq!(group, "/system.slice/brig-web.scope");
        assert_eq!(
            members(&asked),
            ["Hello", "AddMatch", "Subscribe", "StartTransientUnit", "GetUnit", "Get"]
        );
        assert!(asked[3].starts_with("StartTransientUnit ssa(sv)a(sa(sv)) "), "{}", asked[3]);
        for part in
            ["\"brig-web.scope\"", "\"fail\"", "\"PIDs\"", "Uint32(42)", "Uint64(1073741824)", "Byte(3)"]
        {
            assert!(asked[3].contains(part), "{part} in {}", asked[3]);
        }
    }

    #[test]
    fn a_failed_job_is_an_error() {
        let (result, _) =
            with_peer("dependency", |socket| start(socket, "brig-web.scope", &fake::properties()));
        assert!(matches!(result, Err(Error::Systemd { reason, .. }) if reason.contains("dependency")));
    }

    #[test]
    fn limits_are_changed() {
        let (result, asked) =
            with_peer("done", |socket| set(socket, "brig-web.scope", &fake::properties()[3..4]));
        result.unwrap();
        assert_eq!(members(&asked), ["Hello", "SetUnitProperties"]);
        assert!(asked[1].starts_with("SetUnitProperties sba(sv) "), "{}", asked[1]);
    }

    #[test]
    fn a_scope_is_stopped_and_may_be_gone() {
        let (result, asked) = with_peer("done", |socket| stop(socket, "brig-web.scope"));
        result.unwrap();
        assert_eq!(members(&asked), ["Hello", "AddMatch", "Subscribe", "StopUnit", "ResetFailedUnit"]);
    }

    #[test]
    fn a_bus_that_hangs_up_is_an_error() {
        let directory = testkit::TempDir::new();
        let socket = directory.join("bus");
        // Nobody is there, and nothing of theirs.
        stop(&socket, "x.scope").unwrap();
        assert!(matches!(set(&socket, "x.scope", &[]), Err(Error::Systemd { .. })));
        let listener = UnixListener::bind(&socket).unwrap();
        let peer = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(matches!(stop(&socket, "x.scope"), Err(Error::Systemd { .. })));
        peer.join().unwrap();
    }
}
