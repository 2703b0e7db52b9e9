//! T12: indexes that nest, repeat or multiply, and layers that name a server to ask.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tests::Brig;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::layouts::{INDEX, Image, Layout, MANIFEST, images, load, oci, skopeo};

pub(crate) const ROW: Row = Row {
    id: "T12",
    title: "nested and endless indexes, and layers that name a server",
    faults: &["CVE-2020-15157", "CVE-2020-8912"],
    kinds: &[Kind::Static, Kind::Server],
    defence: "store/src/load.rs: three levels of indexes, 4 MiB a document; `urls` of a layer are never read",
};

/// An image below so many indexes.
fn nested(brig: &Brig, depth: usize) -> Layout {
    let layout = Layout::new(brig, "layout");
    let mut inner = Image::new(&layout).finish(&layout);
    for _ in 1..depth {
        inner =
            layout.put_json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]}));
        inner["mediaType"] = INDEX.into();
    }
    layout.index(vec![inner]);
    layout
}

/// An index of so many entries, none of which is there.
fn wide(brig: &Brig, count: usize) -> Layout {
    let layout = Layout::new(brig, "layout");
    let entry = |number| json!({"mediaType": MANIFEST, "digest": format!("sha256:{number:064x}"), "size": 7});
    layout.index((0..count).map(entry).collect());
    layout
}

/// Indexes that name the same index many times: 200 to the power of three ways to nothing.
fn fan(brig: &Brig) -> Layout {
    let layout = Layout::new(brig, "layout");
    let other = json!({"os": "plan9", "architecture": "mips"});
    let missing =
        json!({"mediaType": MANIFEST, "digest": format!("sha256:{:064x}", 1), "size": 7, "platform": other});
    let mut inner = vec![missing; 200];
    for _ in 0..2 {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": inner});
        inner = vec![layout.put_json(INDEX, &index); 200];
    }
    layout.index(inner);
    layout
}

held!(indexes_are_bounded, [root, user], |brig| {
    for (depth, loads) in [(1, true), (2, true), (3, true), (4, false), (40, false)] {
        let outcome = load(brig, nested(brig, depth).path(), "");
        assert_eq!(outcome.code == 0, loads, "depth {depth}: {outcome}");
    }
    let before = images(brig);
    for count in [1000, 100_000] {
        let outcome = load(brig, wide(brig, count).path(), "");
        assert_ne!(outcome.code, 0, "{count}: {outcome}");
        assert!(outcome.stderr.len() < 2000, "{count}: a message of {} bytes", outcome.stderr.len());
    }
    let outcome = load(brig, fan(brig).path(), "");
    assert!(outcome.code != 0 && outcome.stderr.len() < 2000, "{outcome}");
    assert_eq!(images(brig), before);
});

held!(an_index_that_names_itself_is_refused, [root], |brig| {
    // A digest cannot be its own content's: the loop needs a check that is left out somewhere.
    let layout = Layout::new(brig, "layout");
    let own = json!({"mediaType": INDEX, "digest": format!("sha256:{:064x}", 7), "size": 400});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [own]});
    std::fs::write(layout.blob(&own), format!("{:<400}", index.to_string())).unwrap();
    layout.index(vec![own]);
    let outcome = load(brig, layout.path(), "");
    assert!(outcome.code != 0 && outcome.stderr.contains("digest"), "{outcome}");
});

/// A server that counts who asks it, until it is dropped.
struct Server {
    port: u16,
    asked: Arc<AtomicU32>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream.read(&mut [0; 4096]));
                drop(stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nevil"));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Layers that are elsewhere: the blob is in the layout or not.
fn foreign(brig: &Brig, server: &Server, kind: &str, is_there: bool) -> Layout {
    let layout = Layout::new(brig, "layout");
    let mut image = Image::new(&layout);
    let url = format!("http://127.0.0.1:{}/layer", server.port);
    let layer: &mut Value = &mut image.manifest["layers"][0];
    layer["urls"] = json!([url, "file:///etc/passwd", "http://169.254.169.254/"]);
    layer["mediaType"] = kind.into();
    if !is_there {
        std::fs::remove_file(layout.blob(&image.layer)).unwrap();
    }
    image.finish(&layout);
    layout
}

const FOREIGN: [&str; 3] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

held!(no_server_is_asked, [root, user], |brig| {
    let server = Server::start();
    // Those without the blob first: once it is in the store, no other place is needed.
    for is_there in [false, true] {
        for kind in FOREIGN {
            let outcome = load(brig, foreign(brig, &server, kind, is_there).path(), "");
            assert!(is_there || outcome.code != 0, "{kind}: {outcome}");
        }
    }
    assert_eq!(server.asked(), 0);
});

control!(skopeo_asks_the_server, Target::Debian("skopeo", "1.9.3"), [root], |brig| {
    let server = Server::start();
    for kind in FOREIGN {
        drop(skopeo(brig, &oci(&foreign(brig, &server, kind, true))));
    }
    server.asked() > 0
});
