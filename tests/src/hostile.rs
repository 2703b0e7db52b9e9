//! A registry that answers as a story wants it to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use oci::Digest;
use serde_json::{Value, json};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method and target: `GET /v2/`.
    pub line: String,
    /// Headers by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers beside the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How much of the body is sent before the connection is closed; all of it where there is none.
    pub cut: Option<usize>,
    /// Whether the connection stays open then, with nothing more coming.
    pub stalls: bool,
}

impl Reply {
    /// A status with a body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, stalls: false }
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A server on loopback, for as long as the process.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts it. Each connection serves one request.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { address, asked }
    }

    /// All that was asked so far.
    ///
    /// # Panics
    /// Never: no thread panics with the list.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no thread panics").clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Reply) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            // A client that speaks TLS, or goes away.
            _ => return,
        }
        if head[0] == 22 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let asked = Asked { line, headers };
    // What is sent is taken, or the client would be cut off before it hears the answer.
    let length = asked.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    std::io::copy(&mut (&stream).take(length), &mut std::io::sink()).ok();
    seen.lock().expect("no thread panics").push(asked.clone());
    let reply = answer(&asked);
    let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        // Writing to a string cannot fail.
        write!(text, "{name}: {value}\r\n").ok();
    }
    write!(text, "Content-Length: {}\r\n\r\n", reply.body.len()).ok();
    let body = if asked.line.starts_with("HEAD") { &[] } else { &reply.body[..] };
    let body = &body[..reply.cut.unwrap_or(body.len()).min(body.len())];
    // A client that goes away does so on purpose.
    stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(body)).ok();
    if reply.stalls {
        // Until the client gives up.
        stream.read_exact(&mut byte).ok();
    }
}

/// An image of one layer as a registry has it.
#[derive(Clone, Debug)]
pub struct Served {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The configuration's.
    pub configuration: Vec<u8>,
    /// The layer's: a plain tar archive.
    pub layer: Vec<u8>,
}

impl Served {
    /// An image of this archive.
    #[must_use]
    pub fn of(layer: Vec<u8>) -> Self {
        let configuration = json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"], "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] },
        })
        .to_string()
        .into_bytes();
        let manifest = Self::manifest_of(&configuration, &layer).to_string().into_bytes();
        Self { manifest, configuration, layer }
    }

    /// The manifest of these.
    #[must_use]
    pub fn manifest_of(configuration: &[u8], layer: &[u8]) -> Value {
        let descriptor = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", configuration),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        })
    }

    /// What an honest registry answers.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> Reply {
        let target = asked.line.split(' ').nth(1).unwrap_or_default();
        if target.contains("/manifests/") {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            return Reply::new(200, self.manifest.clone()).header("Content-Type", kind);
        }
        let found = [&self.configuration, &self.layer]
            .into_iter()
            .find(|blob| target.ends_with(&Digest::of(blob).to_string()));
        let Some(blob) = found else { return Reply::new(404, "") };
        let from = asked
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
        match from {
            Some(from) if from < blob.len() => {
                let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                Reply::new(206, &blob[from..]).header("Content-Range", range)
            }
            _ => Reply::new(200, blob.clone()),
        }
    }
}
