//! The client against servers on loopback that answer as they like.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use fetch::{Body, Client, Error, Method, Names, Proxies, Reach, Request, Settings};

/// A server that reads one request to each of the answers, and gives back what it read.
fn server(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        answers
            .into_iter()
            .map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let request = read_request(&mut stream);
                stream.write_all(&answer).unwrap();
                request
            })
            .collect()
    });
    (address, thread)
}

/// One request with the body that its length announces.
fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

fn settings() -> Settings {
    Settings {
        names: Names { hosts: "/nonexistent".into(), servers: "/nonexistent".into() },
        ..Settings::default()
    }
}

#[test]
fn an_answer_is_what_the_server_said_and_nothing_else_was_sent() {
    let answer = b"HTTP/1.1 418 no\r\nX-Two: a\r\nX-Two: b\r\nX-One: c\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
    let (address, thread) = server(vec![answer.to_vec()]);
    let client = Client::new(&settings()).unwrap();
    let url = format!("http://{address}/v2/a?b=c");
    let answer = client.send(Request::new(Method::Get, &url).header("accept", "x/y")).unwrap();
    assert_eq!(answer.status, 418);
    assert_eq!(answer.headers("x-two").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((answer.header("x-two"), answer.header("x-one")), (None, Some("c")));
    assert_eq!(answer.bytes(4).unwrap(), b"body");
    let request = thread.join().unwrap().remove(0);
    let mut lines: Vec<&str> = request.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    let host = format!("host: {address}");
    assert_eq!(
        lines,
        [
            "accept: x/y",
            "get /v2/a?b=c http/1.1",
            &host,
            concat!("user-agent: brig/", env!("CARGO_PKG_VERSION"))
        ]
    );
}

#[test]
fn redirects_and_challenges_are_answers() {
    for status in [301, 302, 303, 307, 308, 401, 500] {
        let text = format!(
            "HTTP/1.1 {status} x\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let (address, thread) = server(vec![text.into_bytes()]);
        let url = format!("http://{address}/");
        let answer = Client::new(&settings()).unwrap().send(Request::new(Method::Get, &url)).unwrap();
        assert_eq!((answer.status, answer.header("location")), (status, Some("http://127.0.0.1:1/")));
        assert_eq!(thread.join().unwrap().len(), 1);
    }
}

#[test]
fn bodies_are_sent_as_they_are() {
    let answer = || b"HTTP/1.1 201 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
    let (address, thread) = server(vec![answer(), answer(), answer()]);
    let client = Client::new(&settings()).unwrap();
    let url = format!("http://{address}/");
    let mut stream = &b"stream and more"[..];
    for body in [Body::None, Body::Bytes(b"bytes"), Body::Stream(&mut stream, 6)] {
        let answer = client.send(Request::new(Method::Put, &url).body(body)).unwrap();
        assert_eq!(answer.status, 201);
    }
    let requests = thread.join().unwrap();
    for (request, body) in requests.iter().zip(["", "bytes", "stream"]) {
        assert!(request.contains(&format!("content-length: {}\r\n", body.len())), "{request}");
        assert!(request.ends_with(&format!("\r\n\r\n{body}")), "{request}");
    }
}

#[test]
fn broken_answers_are_errors() {
    let rows: [(&[u8], &str); 6] = [
        (b"HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nshort", "cut"),
        (b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "cut chunk"),
        (b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n123456789", "long"),
        (b"not http\r\n\r\n", "no http"),
        (b"", "nothing"),
        (&[b"HTTP/1.1 200 x\r\nA: ".as_slice(), &[b'a'; 100_000], b"\r\n\r\n"].concat(), "header"),
    ];
    for (answer, what) in rows {
        let (address, thread) = server(vec![answer.to_vec()]);
        let url = format!("http://{address}/");
        let client = Client::new(&settings()).unwrap();
        let result = client.send(Request::new(Method::Get, &url)).and_then(|answer| answer.bytes(8));
        assert!(
            matches!(result, Err(Error::Protocol { .. } | Error::Connection { .. })),
            "{what}: {result:?}"
        );
        drop(thread.join());
    }
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let settings = Settings { idle: Duration::from_millis(50), ..settings() };
    let result = Client::new(&settings).unwrap().send(Request::new(Method::Get, &url));
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    let (mut stream, _) = listener.accept().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nab").unwrap();
        // Until the client gives up.
        drop(stream.read(&mut [0; 1]));
    });
    let result = Client::new(&settings).unwrap().send(Request::new(Method::Get, &url)).unwrap().bytes(10);
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    thread.join().unwrap();
    drop(stream.read(&mut [0; 1]));
}

#[test]
fn only_who_may_reaches_this_machine() {
    let (address, thread) = server(vec![b"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n".to_vec()]);
    let settings = Settings { reach: Reach::Public, ..settings() };
    let client = Client::new(&settings).unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"] {
        let url = format!("http://{host}:{}/", address.port());
        let result = client.send(Request::new(Method::Get, &url));
        assert!(matches!(result, Err(Error::Reach { .. })), "{host}: {result:?}");
    }
    // The server is asked by the other client only.
    let url = format!("http://localhost:{}/", address.port());
    assert_eq!(
        Client::new(&self::settings()).unwrap().send(Request::new(Method::Get, &url)).unwrap().status,
        200
    );
    assert_eq!(thread.join().unwrap().len(), 1);
}

#[test]
fn a_server_without_tls_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        drop(stream.read(&mut [0; 4096]));
    });
    let result = Client::new(&settings()).unwrap().send(Request::new(Method::Get, &url));
    assert!(matches!(result, Err(Error::Tls { .. })), "{result:?}");
    thread.join().unwrap();
}

#[test]
fn a_stream_that_ends_early_is_no_whole_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        drop(stream.read_to_end(&mut all));
        String::from_utf8(all).unwrap()
    });
    let mut stream = &b"cut"[..];
    let request = Request::new(Method::Put, &url).body(Body::Stream(&mut stream, 10));
    let result = Client::new(&settings()).unwrap().send(request);
    assert!(result.is_err(), "{result:?}");
    assert!(thread.join().unwrap().to_lowercase().contains("content-length: 10\r\n"));
}

#[test]
fn a_proxy_is_asked_for_the_others_only() {
    let (proxy, thread) = server(vec![b"HTTP/1.1 403 no\r\nConnection: close\r\n\r\n".to_vec()]);
    let proxies = Proxies {
        http: None,
        https: Some(format!("http://u:p@{proxy}")),
        none: "direct.example,.below.example".into(),
    };
    let hosts = testkit::TempDir::new();
    let list = hosts.path().join("hosts");
    std::fs::write(&list, "127.0.0.1 far.example direct.example a.below.example\n").unwrap();
    let names = Names { hosts: list, servers: "/nonexistent".into() };
    let client = Client::new(&Settings { proxies, names, ..settings() }).unwrap();
    let error = client.send(Request::new(Method::Get, "https://far.example:9/")).unwrap_err();
    assert!(!error.to_string().contains("u:p"), "{error}");
    let request = thread.join().unwrap().remove(0);
    assert!(request.starts_with("connect far.example:9 http/1.1\r\n"), "{request}");
    assert!(request.contains("proxy-authorization: basic dtpw\r\n"), "{request}");
    // Port 9 of this machine, where nobody answers: the proxy was not asked.
    for host in ["direct.example", "a.below.example"] {
        let url = format!("https://{host}:9/");
        let error = client.send(Request::new(Method::Get, &url)).unwrap_err();
        assert!(
            matches!(&error, Error::Connection { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused),
            "{error:?}"
        );
    }
}
