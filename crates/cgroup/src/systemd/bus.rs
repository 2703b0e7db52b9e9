//! Calls to systemd over its bus: blocking, one connection for one operation, closed before it returns, so
//! that neither a thread nor a descriptor is left when the container is cloned.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustbus::connection::Timeout;
use rustbus::connection::ll_conn::force_finish_on_error;
use rustbus::message_builder::{MarshalledMessage, MessageBuilder, MessageType};
use rustbus::params::{Base, Container, Param};
use rustbus::{RpcConn, standard_messages};

use super::Property;
use super::property::Value;
use crate::{Error, Result};

const SERVICE: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// How long an operation may take: systemd's own default for calls is 25 seconds.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long the bus may take to greet.
const GREETING: Duration = Duration::from_secs(5);

/// Starts a scope, waits until it runs, and returns its cgroup's path.
pub(super) fn start(socket: &Path, unit: &str, properties: &[Property]) -> Result<String> {
    let mut call = Call::open(socket, "StartTransientUnit", unit)?;
    call.listen()?;
    let mut message = manager("StartTransientUnit");
    let failed = |error| call.error(error);
    let auxiliary = Container::make_array("(sa(sv))", std::iter::empty::<Param<'_, '_>>()).map_err(failed)?;
    let parameters = [
        Param::Base(Base::StringRef(unit)),
        // `fail`: a unit of this name that exists is somebody else's container.
        Param::Base(Base::StringRef("fail")),
        array(properties).map_err(failed)?,
        Param::Container(auxiliary),
    ];
    message.body.push_old_params(&parameters).map_err(failed)?;
    let reply = call.send(&mut message)?;
    let job: rustbus::wire::ObjectPath<String> =
        reply.body.parser().get().map_err(|error| call.error(error))?;
    call.wait(job.as_ref())?;
    call.control_group()
}

/// Changes properties of a running scope until the next boot.
pub(super) fn set(socket: &Path, unit: &str, properties: &[Property]) -> Result<()> {
    let mut call = Call::open(socket, "SetUnitProperties", unit)?;
    let mut message = manager("SetUnitProperties");
    let failed = |error| call.error(error);
    let parameters = [
        Param::Base(Base::StringRef(unit)),
        Param::Base(Base::Boolean(true)),
        array(properties).map_err(failed)?,
    ];
    message.body.push_old_params(&parameters).map_err(failed)?;
    call.send(&mut message).map(drop)
}

/// Stops a scope, waits until it is gone, and forgets its failure. One that is gone already is no error.
pub(super) fn stop(socket: &Path, unit: &str) -> Result<()> {
    let mut call = Call::open(socket, "StopUnit", unit)?;
    call.listen()?;
    let mut message = manager("StopUnit");
    message.body.push_param2(unit, "replace").map_err(|error| call.error(error))?;
    if let Some(reply) = call.send_unless_gone(&mut message)? {
        let job: rustbus::wire::ObjectPath<String> =
            reply.body.parser().get().map_err(|error| call.error(error))?;
        call.wait(job.as_ref())?;
    }
    // A scope whose processes were killed for lack of memory stays behind as failed.
    let mut message = manager("ResetFailedUnit");
    message.body.push_param(unit).map_err(|error| call.error(error))?;
    call.send_unless_gone(&mut message).map(drop)
}

fn manager(method: &str) -> MarshalledMessage {
    MessageBuilder::new().call(method).on(OBJECT).with_interface(MANAGER).at(SERVICE).build()
}

/// Builds `a(sv)`.
fn array(properties: &[Property]) -> std::result::Result<Param<'_, '_>, rustbus::wire::errors::MarshalError> {
    let mut list = Vec::with_capacity(properties.len());
    for property in properties {
        let value: Param<'_, '_> = match &property.value {
            Value::Bool(value) => Base::Boolean(*value).into(),
            Value::Number(value) => Base::Uint64(*value).into(),
            Value::Text(value) => Base::StringRef(value).into(),
            Value::Pids(pids) => {
                let pids = pids.iter().map(|pid| Param::from(Base::Uint32(*pid)));
                Container::make_array("u", pids)?.into()
            }
            Value::Bytes(bytes) => {
                let bytes = bytes.iter().map(|byte| Param::from(Base::Byte(*byte)));
                Container::make_array("y", bytes)?.into()
            }
        };
        let name = Param::Base(Base::StringRef(property.name));
        let pair = Container::Struct(vec![name, Container::make_variant(value).into()]);
        list.push(Param::Container(pair));
    }
    Ok(Container::make_array("(sv)", list.into_iter())?.into())
}

/// One operation on one unit.
struct Call<'a> {
    connection: RpcConn,
    operation: &'static str,
    unit: &'a str,
    deadline: Instant,
}

impl<'a> Call<'a> {
    fn open(socket: &Path, operation: &'static str, unit: &'a str) -> Result<Self> {
        let failed = |reason: String| Error::Systemd {
            operation,
            unit: unit.to_owned(),
            reason: format!("bus `{}`: {reason}", socket.display()),
        };
        greet(socket).map_err(|error| failed(error.to_string()))?;
        let address = nix::sys::socket::UnixAddr::new(socket).map_err(|error| failed(error.to_string()))?;
        let connection = RpcConn::connect_to_path(address, Timeout::Duration(GREETING))
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { connection, operation, unit, deadline: Instant::now() + PATIENCE })
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers have errors of many types")]
    fn error(&self, reason: impl ToString) -> Error {
        Error::Systemd { operation: self.operation, unit: self.unit.to_owned(), reason: reason.to_string() }
    }

    fn left(&self) -> Timeout {
        Timeout::Duration(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Asks for the signals that tell of a job's end.
    fn listen(&mut self) -> Result<()> {
        let rule = format!("type='signal',sender='{SERVICE}',interface='{MANAGER}',member='JobRemoved'");
        self.send(&mut standard_messages::add_match(&rule))?;
        self.send(&mut manager("Subscribe")).map(drop)
    }

    fn send(&mut self, message: &mut MarshalledMessage) -> Result<MarshalledMessage> {
        let reply = self.exchange(message)?;
        if reply.typ == MessageType::Error { Err(self.refusal(&reply)) } else { Ok(reply) }
    }

    /// As [`Self::send`]; `None` when systemd does not know the unit.
    fn send_unless_gone(&mut self, message: &mut MarshalledMessage) -> Result<Option<MarshalledMessage>> {
        let reply = self.exchange(message)?;
        let name = reply.dynheader.error_name.as_deref();
        match reply.typ {
            MessageType::Error if name == Some("org.freedesktop.systemd1.NoSuchUnit") => Ok(None),
            MessageType::Error => Err(self.refusal(&reply)),
            _ => Ok(Some(reply)),
        }
    }

    fn exchange(&mut self, message: &mut MarshalledMessage) -> Result<MarshalledMessage> {
        let left = self.left();
        let sent = match self.connection.send_message(message) {
            Ok(context) => context.write(left).map_err(force_finish_on_error),
            Err(error) => Err(error),
        };
        let reply = sent.and_then(|serial| self.connection.wait_response(serial, left));
        reply.map_err(|error| self.error(error))
    }

    fn refusal(&self, reply: &MarshalledMessage) -> Error {
        let name = reply.dynheader.error_name.clone().unwrap_or_default();
        let text: String = reply.body.parser().get().unwrap_or_default();
        self.error(format!("{text} ({name})"))
    }

    /// Waits for the end of a job.
    fn wait(&mut self, job: &str) -> Result<()> {
        loop {
            let left = self.left();
            let signal = self.connection.wait_signal(left).map_err(|error| self.error(error))?;
            if signal.dynheader.member.as_deref() != Some("JobRemoved") {
                continue;
            }
            let parsed = signal.body.parser().get4::<u32, rustbus::wire::ObjectPath<&str>, &str, &str>();
            match parsed {
                Ok((_, path, _, "done")) if path.as_ref() == job => return Ok(()),
                Ok((_, path, _, result)) if path.as_ref() == job => {
                    return Err(self.error(format!("the job ended as `{result}`")));
                }
                _ => {}
            }
        }
    }

    /// Asks where the scope's cgroup is.
    fn control_group(&mut self) -> Result<String> {
        let mut message = manager("GetUnit");
        message.body.push_param(self.unit).map_err(|error| self.error(error))?;
        let reply = self.send(&mut message)?;
        let path: rustbus::wire::ObjectPath<String> =
            reply.body.parser().get().map_err(|error| self.error(error))?;
        let mut message = MessageBuilder::new()
            .call("Get")
            .on(path.as_ref())
            .with_interface("org.freedesktop.DBus.Properties")
            .at(SERVICE)
            .build();
        let interface = "org.freedesktop.systemd1.Scope";
        message.body.push_param2(interface, "ControlGroup").map_err(|error| self.error(error))?;
        let reply = self.send(&mut message)?;
        let variant: rustbus::wire::unmarshal::traits::Variant<'_, '_> =
            reply.body.parser().get().map_err(|error| self.error(error))?;
        let group: String = variant.get().map_err(|error| self.error(error))?;
        if group.trim_matches('/').is_empty() || group.split('/').any(|component| component == "..") {
            return Err(self.error(format!("its cgroup is `{}`", group.escape_default())));
        }
        Ok(group)
    }
}

/// Tries the bus's greeting with a time limit first: `rustbus` has none there, and reads for ever from a
/// bus that hangs up.
fn greet(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(GREETING))?;
    stream.set_write_timeout(Some(GREETING))?;
    let user = rustix::process::getuid().as_raw().to_string();
    let user: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
    let mut answer = [0_u8; 2];
    stream.read_exact(&mut answer)?;
    if &answer == b"OK" { Ok(()) } else { Err(std::io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    use rustbus::wire::ObjectPath;
    use rustbus::wire::unmarshal::{unmarshal_dynamic_header, unmarshal_header, unmarshal_next_message};

    use super::*;

    const JOB: &str = "/org/freedesktop/systemd1/job/7";

    /// A peer that greets like a bus and answers like systemd; gives back what it was asked.
    fn peer(listener: UnixListener, result: &'static str) -> JoinHandle<Vec<String>> {
        std::thread::spawn(move || {
            // The first connection only tries the greeting.
            let (mut stream, _) = listener.accept().unwrap();
            assert!(line(&mut stream).starts_with("\0AUTH EXTERNAL "));
            stream.write_all(b"OK 0123\r\n").unwrap();
            drop(stream);
            let (mut stream, _) = listener.accept().unwrap();
            line(&mut stream);
            stream.write_all(b"OK 0123\r\n").unwrap();
            assert_eq!(line(&mut stream), "NEGOTIATE_UNIX_FD");
            stream.write_all(b"AGREE_UNIX_FD\r\n").unwrap();
            assert_eq!(line(&mut stream), "BEGIN");
            let mut asked = Vec::new();
            while let Some(message) = message(&mut stream) {
                let member = message.dynheader.member.clone().unwrap();
                let body = message.get_sig().to_owned();
                let mut reply = message.dynheader.make_response();
                let mut job_ends = false;
                match member.as_str() {
                    "Hello" => reply.body.push_param(":1.7").unwrap(),
                    "StartTransientUnit" | "StopUnit" => {
                        reply.body.push_param(ObjectPath::new(JOB).unwrap()).unwrap();
                        job_ends = true;
                    }
                    "GetUnit" => reply.body.push_param(ObjectPath::new("/unit/x").unwrap()).unwrap(),
                    "Get" => reply.body.push_variant("/system.slice/brig-web.scope").unwrap(),
                    "ResetFailedUnit" => {
                        asked.push(format!("{member} {body}"));
                        stream.write_all(&no_such_unit(message.dynheader.serial.unwrap())).unwrap();
                        continue;
                    }
                    _ => {}
                }
                let detail = message.unmarshall_all().unwrap().params;
                asked.push(format!("{member} {body} {detail:?}"));
                send(&mut stream, &reply);
                if job_ends {
                    // Somebody else's job first.
                    for (job, result) in [("/org/freedesktop/systemd1/job/6", "failed"), (JOB, result)] {
                        let mut signal = MessageBuilder::new().signal(MANAGER, "JobRemoved", OBJECT).build();
                        let path = ObjectPath::new(job).unwrap();
                        signal.body.push_param4(7_u32, path, "brig-web.scope", result).unwrap();
                        send(&mut stream, &signal);
                    }
                }
            }
            asked
        })
    }

    fn line(stream: &mut UnixStream) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    fn message(stream: &mut UnixStream) -> Option<MarshalledMessage> {
        let mut buffer = vec![0; 16];
        stream.read_exact(&mut buffer).ok()?;
        let word = |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().unwrap()) as usize;
        // Body length at 4; the fields' length at 12, padded to eight bytes.
        let rest = word(12).next_multiple_of(8) + word(4);
        buffer.resize(16 + rest, 0);
        stream.read_exact(&mut buffer[16..]).unwrap();
        let (used, header) = unmarshal_header(&buffer, 0).unwrap();
        let (more, dynamic) = unmarshal_dynamic_header(&header, &buffer, used).unwrap();
        Some(unmarshal_next_message(&header, dynamic, &buffer, used + more).unwrap().1)
    }

    /// An error by hand: `rustbus` leaves the error's name out when it is the sender.
    fn no_such_unit(serial: u32) -> Vec<u8> {
        let text = |kind: &[u8], text: &str| {
            let mut bytes = kind.to_vec();
            bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            bytes.extend(text.bytes().chain([0]));
            bytes
        };
        let padded = |mut bytes: Vec<u8>| {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes
        };
        let mut fields = [&[5, 1, b'u', 0], &serial.to_le_bytes()[..]].concat();
        fields.extend(padded(text(&[4, 1, b's', 0], "org.freedesktop.systemd1.NoSuchUnit")));
        fields.extend([8, 1, b'g', 0, 1, b's', 0]);
        let body = text(&[], "Unit not loaded.");
        let mut message = vec![b'l', 3, 0, 1];
        message.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        message.extend(9_u32.to_le_bytes());
        message.extend(u32::try_from(fields.len()).unwrap().to_le_bytes());
        [padded([message, fields].concat()), body].concat()
    }

    fn send(stream: &mut UnixStream, message: &MarshalledMessage) {
        let mut buffer = Vec::new();
        rustbus::wire::marshal::marshal(message, 1, &mut buffer).unwrap();
        buffer.extend_from_slice(message.get_buf());
        stream.write_all(&buffer).unwrap();
    }

    fn with_peer<T>(result: &'static str, run: impl FnOnce(&Path) -> T) -> (T, Vec<String>) {
        let directory = testkit::TempDir::new();
        let socket = directory.join("bus");
        let peer = peer(UnixListener::bind(&socket).unwrap(), result);
        let value = run(&socket);
        (value, peer.join().unwrap())
    }

    fn properties() -> Vec<Property> {
        vec![
            Property { name: "Delegate", value: Value::Bool(true) },
            Property { name: "PIDs", value: Value::Pids(vec![42]) },
            Property { name: "Slice", value: Value::Text("system.slice".to_owned()) },
            Property { name: "MemoryMax", value: Value::Number(1 << 30) },
            Property { name: "AllowedCPUs", value: Value::Bytes(vec![3]) },
        ]
    }

    fn members(asked: &[String]) -> Vec<&str> {
        asked.iter().map(|call| call.split(' ').next().unwrap()).collect()
    }

    #[test]
    fn a_scope_is_started_and_found() {
        let (group, asked) =
            with_peer("done", |socket| start(socket, "brig-web.scope", &properties()).unwrap());
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
        let (result, _) = with_peer("dependency", |socket| start(socket, "brig-web.scope", &properties()));
        assert!(matches!(result, Err(Error::Systemd { reason, .. }) if reason.contains("dependency")));
    }

    #[test]
    fn limits_are_changed() {
        let (result, asked) = with_peer("done", |socket| set(socket, "brig-web.scope", &properties()[3..4]));
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
        assert!(matches!(stop(&socket, "x.scope"), Err(Error::Systemd { .. })));
        let listener = UnixListener::bind(&socket).unwrap();
        let peer = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(matches!(stop(&socket, "x.scope"), Err(Error::Systemd { .. })));
        peer.join().unwrap();
    }
}
