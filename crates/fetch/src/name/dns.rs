//! Questions to DNS servers: A and AAAA, over UDP, over TCP where the answer does not fit (RFC 1035, RFC 7766).

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::rand::GetRandomFlags;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use super::files::Servers;

/// Longest answer over UDP without an extension that asks for more.
const MAX_DATAGRAM: usize = 512;
/// Most steps of a chain of aliases.
const MAX_ALIASES: usize = 16;
/// Datagrams that are no answer to us, until we stop to look at them.
const MAX_STRANGERS: usize = 64;

/// The addresses of a name; none where the servers know that there is none.
///
/// # Errors
/// The last server's failure, in words, where none had an answer.
pub(super) fn ask(servers: &Servers, name: &str) -> Result<Vec<IpAddr>, String> {
    let mut failure = "no server answers".to_owned();
    for _ in 0..servers.attempts {
        for server in &servers.addresses {
            match ask_one(*server, name, servers.timeout) {
                Ok(addresses) => return Ok(addresses),
                Err(error) => failure = format!("{}: {error}", server.ip()),
            }
        }
    }
    Err(failure)
}

/// Both questions to one server.
fn ask_one(server: SocketAddr, name: &str, timeout: Duration) -> Result<Vec<IpAddr>, String> {
    let mut addresses = Vec::new();
    for kind in [TYPE::AAAA, TYPE::A] {
        addresses.extend(exchange(server, name, kind, timeout)?);
    }
    Ok(addresses)
}

fn exchange(server: SocketAddr, name: &str, kind: TYPE, timeout: Duration) -> Result<Vec<IpAddr>, String> {
    let (id, question) = question(name, kind)?;
    let asked = Asked { id, name, kind };
    let failed = |error: std::io::Error| error.to_string();
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A port that the kernel picks at random, and its check of who answers.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(failed)?;
    socket.connect(server).map_err(failed)?;
    socket.send(&question).map_err(failed)?;
    let until = Instant::now() + timeout;
    let mut buffer = [0; MAX_DATAGRAM];
    for _ in 0..MAX_STRANGERS {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).map_err(failed)?;
        let size = match socket.recv(&mut buffer) {
            Ok(size) => size,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.raw_os_error(), Some(11)) => break,
            Err(error) => return Err(failed(error)),
        };
        match asked.read(&buffer[..size]) {
            Reply::Foreign => {}
            Reply::Cut => return over_stream(server, &asked, &question, timeout),
            Reply::Whole(result) => return result,
        }
    }
    Err("it does not answer in time".to_owned())
}

fn over_stream(
    server: SocketAddr,
    asked: &Asked<'_>,
    question: &[u8],
    timeout: Duration,
) -> Result<Vec<IpAddr>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&server, timeout).map_err(failed)?;
    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    let length = u16::try_from(question.len()).map_err(|error| error.to_string())?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat()).map_err(failed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).map_err(failed)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).map_err(failed)?;
    match asked.read(&answer) {
        Reply::Whole(result) => result,
        Reply::Foreign | Reply::Cut => Err("it answers what was not asked".to_owned()),
    }
}

/// A question as it goes out, with the number that its answer must have.
fn question(name: &str, kind: TYPE) -> Result<(u16, Vec<u8>), String> {
    let mut number = [0; 2];
    rustix::rand::getrandom(&mut number[..], GetRandomFlags::empty()).map_err(|errno| errno.to_string())?;
    let id = u16::from_ne_bytes(number);
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let bad = |_| "it is no name of a host".to_owned();
    let owner = Name::new(name).map_err(bad)?;
    packet.questions.push(Question::new(owner, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    Ok((id, packet.build_bytes_vec().map_err(bad)?))
}

/// What was asked.
struct Asked<'a> {
    id: u16,
    name: &'a str,
    kind: TYPE,
}

/// What came back.
enum Reply {
    /// Not an answer to this question: whoever sends it wants us to believe it.
    Foreign,
    /// It did not fit.
    Cut,
    /// Its addresses, or why the server has no answer.
    Whole(Result<Vec<IpAddr>, String>),
}

impl Asked<'_> {
    fn read(&self, bytes: &[u8]) -> Reply {
        let Ok(packet) = Packet::parse(bytes) else { return Reply::Foreign };
        let is_ours = |question: &Question<'_>| {
            question.qtype == QTYPE::TYPE(self.kind)
                && question.qname.to_string().eq_ignore_ascii_case(self.name)
        };
        if packet.id() != self.id
            || !packet.has_flags(PacketFlag::RESPONSE)
            || packet.questions.len() != 1
            || !packet.questions.iter().all(is_ours)
        {
            return Reply::Foreign;
        }
        if packet.has_flags(PacketFlag::TRUNCATION) {
            return Reply::Cut;
        }
        Reply::Whole(match packet.rcode() {
            RCODE::NoError => Ok(self.addresses(&packet)),
            RCODE::NameError => Ok(Vec::new()),
            other => Err(format!("it says {other:?}")),
        })
    }

    /// Those of the name itself and of what it is an alias of.
    fn addresses(&self, packet: &Packet<'_>) -> Vec<IpAddr> {
        let mut owner = self.name.to_ascii_lowercase();
        for _ in 0..MAX_ALIASES {
            let mut alias = None;
            let mut found = Vec::new();
            for record in &packet.answers {
                if record.class != CLASS::IN || !record.name.to_string().eq_ignore_ascii_case(&owner) {
                    continue;
                }
                match &record.rdata {
                    RData::A(a) if self.kind == TYPE::A => found.push(Ipv4Addr::from(a.address).into()),
                    RData::AAAA(a) if self.kind == TYPE::AAAA => {
                        found.push(Ipv6Addr::from(a.address).into());
                    }
                    RData::CNAME(target) => alias = Some(target.0.to_string().to_ascii_lowercase()),
                    _ => {}
                }
            }
            match alias {
                _ if !found.is_empty() => return found,
                Some(target) => owner = target,
                None => return found,
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, AAAA, CNAME};

    use super::*;

    fn answer(id: u16, kind: TYPE, records: Vec<ResourceRecord<'static>>) -> Vec<u8> {
        let mut packet = Packet::new_reply(id);
        let name = Name::new_unchecked("Web.example");
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        packet.answers = records;
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn record(owner: &'static str, data: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new_unchecked(owner), CLASS::IN, 1, data)
    }

    fn address(owner: &'static str, last: u32) -> ResourceRecord<'static> {
        record(owner, RData::A(A { address: 0xc000_0200 + last }))
    }

    fn alias(owner: &'static str, target: &'static str) -> ResourceRecord<'static> {
        record(owner, RData::CNAME(CNAME(Name::new_unchecked(target))))
    }

    #[test]
    fn aliases_are_followed_and_strangers_left_out() {
        let asked = Asked { id: 7, name: "web.example", kind: TYPE::A };
        let rows: [(Vec<ResourceRecord<'static>>, &[&str]); 6] = [
            (vec![address("web.example", 1), address("WEB.example", 2)], &["192.0.2.1", "192.0.2.2"]),
            (vec![address("b.example", 1), alias("web.example", "b.example")], &["192.0.2.1"]),
            (vec![address("evil.example", 1)], &[]),
            (vec![alias("web.example", "web.example")], &[]),
            (vec![alias("web.example", "b.example"), alias("b.example", "web.example")], &[]),
            (vec![record("web.example", RData::AAAA(AAAA { address: 1 }))], &[]),
        ];
        for (records, expected) in rows {
            let Reply::Whole(Ok(found)) = asked.read(&answer(7, TYPE::A, records)) else { panic!() };
            let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_was_not_asked_is_no_answer() {
        let good = vec![address("web.example", 1)];
        let asked = |id, name, kind| Asked { id, name, kind };
        let bytes = answer(7, TYPE::A, good);
        for foreign in [
            asked(8, "web.example", TYPE::A),
            asked(7, "other.example", TYPE::A),
            asked(7, "web.example", TYPE::AAAA),
        ] {
            assert!(matches!(foreign.read(&bytes), Reply::Foreign));
        }
        let own = asked(7, "web.example", TYPE::A);
        assert!(matches!(own.read(&bytes[..9]), Reply::Foreign));
        assert!(matches!(own.read(&question("web.example", TYPE::A).unwrap().1), Reply::Foreign));
        assert!(matches!(own.read(&bytes), Reply::Whole(Ok(_))));
    }

    /// A server of one answer on loopback, whose number it is told.
    #[test]
    fn a_server_is_asked_and_an_answer_that_is_cut_is_fetched_whole() {
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = datagrams.local_addr().unwrap();
        let streams = std::net::TcpListener::bind(server).unwrap();
        let reply = |asked: &[u8], is_cut: bool| {
            let packet = Packet::parse(asked).unwrap();
            let kind = if packet.questions[0].qtype == QTYPE::TYPE(TYPE::A) { TYPE::A } else { TYPE::AAAA };
            let records =
                if kind == TYPE::A && !is_cut { vec![address("web.example", 9)] } else { Vec::new() };
            let mut bytes = answer(packet.id(), kind, records);
            if is_cut {
                bytes[2] |= 2;
            }
            bytes
        };
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            for is_cut in [false, true] {
                let (size, peer) = datagrams.recv_from(&mut buffer).unwrap();
                datagrams.send_to(b"noise", peer).unwrap();
                datagrams.send_to(&reply(&buffer[..size], is_cut), peer).unwrap();
            }
            let (mut stream, _) = streams.accept().unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut asked = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut asked).unwrap();
            let bytes = reply(&asked, false);
            stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        let found = ask_one(server, "web.example", Duration::from_secs(20)).unwrap();
        thread.join().unwrap();
        assert_eq!(found, ["192.0.2.9".parse::<IpAddr>().unwrap()]);
    }
}
