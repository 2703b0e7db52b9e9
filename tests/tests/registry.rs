//! `brig pull`, `push`, `login` and `logout`, against Debian's docker-registry and against registries that lie.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use oci::Digest;
use tests::hostile::{Asked, Reply, Served, Server};
use tests::{Brig, eventually, story};

/// Debian's registry, until the story ends.
struct Registry {
    child: Child,
    host: String,
}

impl Registry {
    /// Starts it with more lines of configuration.
    fn start(directory: &Path, more: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = directory.join("registry");
        fs::create_dir_all(&place).unwrap();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n{}",
            place.join("data").display(),
            more.replace("ADDRESS", &format!("127.0.0.1:{port}")),
        );
        let file = place.join("config.yml");
        fs::write(&file, configuration).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the registry listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, host: format!("127.0.0.1:{port}") }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const PLAIN: &str = "http: {addr: 'ADDRESS'}\n";

/// The same person with a store of its own, empty.
fn elsewhere(brig: &Brig) -> impl Fn(&[&str]) -> testkit::Outcome {
    move |words| {
        let mut command = brig.other(brig.program());
        command.arg("--root").arg(brig.directory().join("store2"));
        command.arg("--runroot").arg(brig.directory().join("run2")).args(words);
        testkit::run(&mut command)
    }
}

story!(an_image_goes_and_comes_back, [root, user, bare], |brig| {
    testkit::needs!(program("docker-registry"));
    let registry = Registry::start(brig.directory(), PLAIN);
    let host = registry.host.clone();
    let name = |rest: &str| format!("{host}/{rest}");
    brig.import_busybox();
    let digestfile = brig.directory().join("digest");
    let (first, second) = (name("team/box:1"), name("other/box:2"));
    let told = brig.ok(&["push", "--digestfile", digestfile.to_str().unwrap(), "busybox", &first]);
    let digest = fs::read_to_string(&digestfile).unwrap();
    assert!(told.contains(": Pushed\n") && told.contains(&format!("1: digest: {digest} size: ")), "{told}");
    assert!(brig.ok(&["push", "busybox", &first]).contains(": Layer already exists\n"));
    // Known to be there, it is mounted from the other repository.
    brig.ok(&["tag", "busybox", &first]);
    assert!(brig.ok(&["push", "busybox", &second]).contains(": Mounted from another repository\n"));
    brig.ok(&["tag", "busybox", &name("team/box:3")]);
    assert_eq!(brig.ok(&["push", "-qa", &name("team/box")]).lines().count(), 2);

    let other = elsewhere(brig);
    let ok = |words: &[&str]| other(words).success();
    assert_eq!(
        ok(&["pull", &first]),
        format!("Digest: {digest}\nStatus: Downloaded newer image for {first}\n{first}\n")
    );
    assert!(ok(&["pull", &first]).contains("Status: Image is up to date for "));
    assert_eq!(ok(&["run", "--rm", "--network", "none", &first, "echo", "here"]), "here\n");
    assert_eq!(ok(&["pull", "-q", &second]), format!("{second}\n"));
    // In the registry's order.
    let pulled = ok(&["pull", "-qa", &name("team/box")]);
    let mut all: Vec<&str> = pulled.lines().collect();
    all.sort_unstable();
    assert_eq!(all, [&first, &name("team/box:3")]);
    let exact = format!("{}@{digest}", name("team/box"));
    assert_eq!(ok(&["pull", "-q", &exact]), format!("{exact}\n"));
    assert_eq!(ok(&["run", "--rm", "--network", "none", &exact, "echo", "exact"]), "exact\n");

    // A run fetches what it is told to, and nothing else.
    ok(&["rmi", &second]);
    let missing = other(&["run", "--rm", "--network", "none", &second, "true"]);
    assert!(missing.code == 125 && missing.stderr.contains("brig pull"), "{missing}");
    for when in ["missing", "missing", "always", "newer"] {
        let words = ["run", "--rm", "--network", "none", "--pull", when, &second, "echo", when];
        assert_eq!(ok(&words), format!("{when}\n"));
    }

    // What is here is enough, or is not asked for.
    drop(registry);
    assert!(ok(&["pull", "--policy", "missing", &first]).contains("is here already"));
    let newer = other(&["pull", "--policy", "newer", "-q", &first]);
    assert!(newer.code == 0 && newer.stderr.contains("the image here is used"), "{newer}");
    let never = other(&["pull", "--policy", "never", &name("none/x")]);
    assert!(never.code != 0 && never.stderr.contains("no image"), "{never}");
    assert_ne!(other(&["pull", &first]).code, 0);
});

story!(credentials_are_kept_and_tls_is_checked, [root, user], |brig| {
    testkit::needs!(program("docker-registry"), program("openssl"), program("htpasswd"));
    let place = brig.directory().join("tls");
    fs::create_dir(&place).unwrap();
    let at = |name: &str| place.join(name).display().to_string();
    let must = |program: &str, words: &[&str]| testkit::run(Command::new(program).args(words)).success();
    must(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=brig-test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &at("key.pem"),
            "-out",
            &at("ca.crt"),
        ],
    );
    must("htpasswd", &["-Bbc", &at("users"), "me", "hush"]);
    let more = format!(
        "http: {{addr: 'ADDRESS', tls: {{certificate: '{}', key: '{}'}}}}\nauth: {{htpasswd: {{realm: x, path: '{}'}}}}\n",
        at("ca.crt"),
        at("key.pem"),
        at("users"),
    );
    fs::create_dir(place.join("certs")).unwrap();
    fs::copy(place.join("ca.crt"), place.join("certs/ca.crt")).unwrap();
    let registry = Registry::start(brig.directory(), &more);
    let image = format!("{}/box:1", registry.host);
    let (auth, certs) = (brig.directory().join("own/auth.json"), at("certs"));
    let file = auth.to_str().unwrap();
    brig.import_busybox();
    let refused = |words: &[&str]| {
        let outcome = brig.run(words);
        assert!(outcome.code != 0 && !outcome.stderr.contains("hush"), "{outcome}");
        outcome.stderr
    };
    let said = refused(&["push", "--authfile", file, "busybox", &image]);
    assert!(said.contains("no TLS that can be trusted"), "{said}");
    let common = ["--authfile", file, "--cert-dir", &certs];
    let with = |words: &[&str]| -> Vec<String> {
        let (first, rest) = words.split_first().unwrap();
        [*first].iter().chain(&common).chain(rest).map(|word| (*word).to_owned()).collect()
    };
    let run = |words: &[&str]| {
        let words = with(words);
        brig.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let denied = run(&["push", "busybox", &image]);
    assert!(denied.code != 0 && denied.stderr.contains("refuses who shows no credentials"), "{denied}");
    let wrong = run(&["login", "-u", "me", "-p", "wrong", &registry.host]);
    assert!(wrong.code != 0 && wrong.stderr.contains("refuses the credentials"), "{wrong}");
    assert!(!auth.exists());
    let words = with(&["login", "-u", "me", "--password-stdin", &registry.host]);
    let mut login = brig.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let told = testkit::run_with_input(&mut login, b"hush\n").success();
    assert_eq!(told, "Login Succeeded\n");
    assert_eq!(fs::metadata(&auth).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(run(&["login", "--get-login", &registry.host]).success(), "me\n");
    run(&["push", "busybox", &image]).success();
    run(&["pull", &image]).success();
    // A person may say that any certificate will do; the credentials of the command count before those that are kept.
    brig.ok(&["pull", "--tls-verify=false", "--creds", "me:hush", "--authfile", "/nonexistent", &image]);
    refused(&["pull", "--tls-verify=false", "--creds", "me:no", "--authfile", file, &image]);
    run(&["logout", &registry.host]).success();
    assert!(!fs::read_to_string(&auth).unwrap().contains(&registry.host));
    assert_ne!(run(&["pull", &image]).code, 0);
    let journal = brig.ok(&["journal", "--json"]);
    assert!(journal.contains("login") && !journal.contains("hush"), "{journal}");
});

/// The busybox image as a server of ours has it.
fn served(brig: &Brig) -> Served {
    Served::of(fs::read(testkit::busybox_tar(brig.directory())).unwrap())
}

fn blobs(brig: &Brig) -> usize {
    fs::read_dir(brig.store().join("blobs/sha256")).map_or(0, Iterator::count)
}

fn parts(brig: &Brig) -> Vec<PathBuf> {
    let entries = fs::read_dir(brig.store().join("ingest")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "part")).collect()
}

// In one try and after a kill: what came is not asked for again, and is hashed again.
story!(a_pull_goes_on_where_it_was_cut_off, [root, user], |brig| {
    let image = served(brig);
    let (size, half) = (image.layer.len(), image.layer.len() / 2);
    let is_layer = {
        let digest = Digest::of(&image.layer).to_string();
        move |asked: &Asked| asked.line.starts_with("GET") && asked.line.contains(&digest)
    };
    let answer = {
        let (image, is_layer) = (image.clone(), is_layer.clone());
        move |asked: &Asked| {
            let mut reply = image.answer(asked);
            if is_layer(asked) && !asked.headers.contains_key("range") {
                reply.cut = Some(half);
            }
            reply
        }
    };
    let server = Server::start(answer);
    let name = format!("{}/box:1", server.address);
    brig.ok(&["pull", "-q", &name]);
    let ranges: Vec<Option<String>> = server
        .asked()
        .iter()
        .filter(|asked| is_layer(asked))
        .map(|asked| asked.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [None, Some(format!("bytes={half}-"))]);
    assert_eq!(brig.ok(&["run", "--rm", "--network", "none", &name, "echo", "whole"]), "whole\n");
    brig.ok(&["rmi", &name]);

    let stalled = {
        let (image, is_layer) = (image.clone(), is_layer.clone());
        Server::start(move |asked| {
            let mut reply = image.answer(asked);
            if is_layer(asked) {
                (reply.cut, reply.stalls) = (Some(half), true);
            }
            reply
        })
    };
    let name = format!("{}/box:1", stalled.address);
    let mut pull =
        brig.command(&["pull", &name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let there = || parts(brig).first().and_then(|path| fs::metadata(path).ok()).map_or(0, |data| data.len());
    eventually("half of the layer is here", || there() == half as u64);
    pull.kill().unwrap();
    pull.wait().unwrap();
    assert!(brig.ok(&["images", "-q"]).is_empty());
    // Half of what is kept is not what came: found by its digest, thrown away, and asked for anew by the next.
    let kept = parts(brig).remove(0);
    let honest = Server::start(move |asked| image.answer(asked));
    let name = format!("{}/box:1", honest.address);
    brig.ok(&["pull", "-q", &name]);
    let ranges: Vec<Option<String>> = honest
        .asked()
        .iter()
        .filter(|asked| is_layer(asked))
        .map(|asked| asked.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [Some(format!("bytes={half}-"))]);
    assert!(!kept.exists());
    brig.ok(&["rmi", &name]);
    fs::write(&kept, vec![7; size]).unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&kept);
    }
    let broken = brig.run(&["pull", "-q", &name]);
    assert!(broken.code != 0 && broken.stderr.contains("has digest"), "{broken}");
    brig.ok(&["pull", "-q", &name]);
});

/// One lie: what is changed of the honest answer, and what the person is told.
type Lie = (&'static str, fn(&Asked, Reply, &Served) -> Reply, &'static str);

const LIES: [Lie; 12] = [
    (
        "another layer",
        |asked, mut reply, image| {
            if asked.line.contains(&Digest::of(&image.layer).to_string()) {
                reply.body[700] ^= 1;
            }
            reply
        },
        "has digest",
    ),
    (
        "a longer layer",
        |asked, mut reply, image| {
            if asked.line.contains(&Digest::of(&image.layer).to_string()) {
                reply.body.push(0);
            }
            reply
        },
        "bytes",
    ),
    (
        "another configuration",
        |asked, mut reply, image| {
            if asked.line.contains(&Digest::of(&image.configuration).to_string()) {
                reply.body[3] ^= 1;
            }
            reply
        },
        "has digest",
    ),
    (
        "a manifest that is not what its header says",
        |asked, reply, image| {
            if !asked.line.contains("/manifests/") {
                return reply;
            }
            reply.header("Docker-Content-Digest", Digest::of(&image.layer).to_string())
        },
        "has digest",
    ),
    (
        "a manifest that is an index, too",
        |asked, mut reply, _| {
            if asked.line.contains("/manifests/") {
                reply.body.pop();
                reply.body.extend_from_slice(b",\"manifests\":[]}");
            }
            reply
        },
        "both a manifest and an index",
    ),
    (
        "a manifest under another type",
        |asked, mut reply, _| {
            if asked.line.contains("/manifests/") {
                reply.headers[0].1 = "application/vnd.oci.image.index.v1+json".to_owned();
            }
            reply
        },
        "is listed as",
    ),
    (
        "an endless manifest",
        |asked, mut reply, _| {
            if asked.line.contains("/manifests/") {
                reply.body.resize(5 << 20, b' ');
            }
            reply
        },
        "more than",
    ),
    (
        "a digest that is a path",
        |asked, mut reply, image| {
            if asked.line.contains("/manifests/") {
                let text = String::from_utf8(reply.body).unwrap();
                reply.body = text
                    .replace(&Digest::of(&image.layer).to_string(), "sha256:../../../../etc/passwd")
                    .into();
            }
            reply
        },
        "not valid",
    ),
    (
        "a challenge that is none",
        |_, _, _| Reply::new(401, "").header("WWW-Authenticate", "Bearer realm=\"x"),
        "challenge",
    ),
    (
        "redirects for ever",
        |asked, _, _| {
            Reply::new(307, "")
                .header("Location", format!("{}x", asked.line.split(' ').nth(1).unwrap_or_default()))
        },
        "redirects",
    ),
    (
        "a redirect to a file",
        |_, _, _| Reply::new(307, "").header("Location", "file:///etc/passwd"),
        "is not used",
    ),
    (
        "an error that draws on the terminal",
        |_, _, _| Reply::new(500, "{\"errors\":[{\"code\":\"X\",\"message\":\"\\u001b[2Jgone\"}]}"),
        "[2Jgone",
    ),
];

story!(what_a_registry_says_is_not_believed, [root, user], |brig| {
    let image = served(brig);
    for (what, lie, expected) in LIES {
        let honest = image.clone();
        let server = Server::start(move |asked| lie(asked, honest.answer(asked), &honest));
        let outcome = brig.run(&["pull", &format!("{}/box:1", server.address)]);
        assert!(outcome.code != 0, "{what}: {outcome}");
        assert!(outcome.stderr.contains(expected) && !outcome.stderr.contains('\x1b'), "{what}: {outcome}");
        assert!(brig.ok(&["images", "-q"]).is_empty(), "{what}");
        assert_eq!(blobs(brig), 0, "{what}");
    }
    // The same comparison with an honest one.
    let server = Server::start(move |asked| image.answer(asked));
    brig.ok(&["pull", &format!("{}/box:1", server.address)]);
    assert_eq!(blobs(brig), 3);
});

/// Whether somebody was shown credentials.
fn was_shown(server: &Server) -> bool {
    server
        .asked()
        .iter()
        .any(|asked| asked.headers.contains_key("authorization") || asked.line.contains("hush"))
}

// CVE-2020-15157, CVE-2026-33540, CVE-2026-48978, CVE-2026-50151: realms, redirects and places of uploads that are another's.
story!(credentials_go_to_their_own_registry_only, [root, user], |brig| {
    let image = served(brig);
    brig.import_busybox();
    let evil = {
        let image = image.clone();
        Server::start(move |asked| match asked.line.split(' ').next() {
            Some("PUT" | "PATCH" | "POST") => Reply::new(201, ""),
            _ if asked.line.contains("/token") => Reply::new(200, "{\"token\":\"t\"}"),
            _ => image.answer(asked),
        })
    };
    // Another origin: its port is.
    let there = evil.address;
    let authorized =
        |asked: &Asked| asked.headers.get("authorization").is_some_and(|value| value == "Basic bWU6aHVzaA==");
    let basic = || Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"");

    // Blobs lie elsewhere: they are taken from there, without credentials.
    let registry = {
        let image = image.clone();
        Server::start(move |asked| match authorized(asked) {
            false => basic(),
            true if asked.line.contains("/blobs/") => {
                let target = asked.line.split(' ').nth(1).unwrap_or_default();
                Reply::new(307, "").header("Location", format!("http://{there}{target}"))
            }
            true => image.answer(asked),
        })
    };
    brig.ok(&["pull", "--creds", "me:hush", &format!("{}/box:1", registry.address)]);
    assert!(was_shown(&registry) && !was_shown(&evil));
    assert!(evil.asked().iter().any(|asked| asked.line.contains("/blobs/")));

    // Uploads go elsewhere: so do the bytes, and no credentials.
    let registry = Server::start(move |asked| match authorized(asked) {
        false => basic(),
        true if asked.line.starts_with("POST") => {
            Reply::new(202, "").header("Location", format!("http://{there}/upload?x=y"))
        }
        true if asked.line.starts_with("HEAD") => Reply::new(404, ""),
        true => Reply::new(201, ""),
    });
    brig.ok(&["push", "--creds", "me:hush", "busybox", &format!("{}/box:1", registry.address)]);
    assert!(was_shown(&registry) && !was_shown(&evil));
    assert!(evil.asked().iter().any(|asked| asked.line.starts_with("PUT /upload")));

    // Tokens are to be had elsewhere: nobody is asked who is not of the registry's own.
    for realm in ["http://localhost:PORT/token", "http://169.254.169.254/token", "https://evil.example/token"]
    {
        let realm = realm.replace("PORT", &there.port().to_string());
        let shown = realm.clone();
        let registry = Server::start(move |_| {
            Reply::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"x\""))
        });
        let name = format!("{}/box:1", registry.address);
        let outcome = brig.run(&["pull", "--creds", "me:hush", &name]);
        assert!(outcome.code != 0 && outcome.stderr.contains("which is not its own"), "{shown}: {outcome}");
        assert!(!was_shown(&evil) && !outcome.stderr.contains("hush"), "{shown}");
    }
    assert!(!evil.asked().iter().any(|asked| asked.line.contains("/token")));
});

// A token of the registry's own host, and a push that needs more than a pull.
story!(tokens_are_asked_for_by_what_is_done, [root], |brig| {
    brig.import_busybox();
    let tokens = Server::start(|asked| {
        let scope = asked.line.split("scope=").nth(1).unwrap_or_default().to_owned();
        let may = asked.headers.get("authorization").is_some_and(|value| value == "Basic bWU6aHVzaA==");
        if may {
            Reply::new(200, format!("{{\"token\":\"for-{}\"}}", scope.replace('%', ".")))
        } else {
            Reply::new(401, "")
        }
    });
    let (realm, port) = (format!("http://127.0.0.1:{}/token", tokens.address.port()), tokens.address.port());
    let registry = Server::start(move |asked| {
        let writes = asked.line.starts_with("POST") || asked.line.starts_with("PUT");
        let wanted = if writes { "pull.2Cpush" } else { "pull" };
        match asked.headers.get("authorization") {
            Some(token) if token.starts_with("Bearer for-repository.3Abox.3A") && token.contains(wanted) => {
                match asked.line.split(' ').next() {
                    Some("HEAD") => Reply::new(404, ""),
                    Some("POST") => Reply::new(202, "").header("Location", "/upload/1"),
                    _ => Reply::new(201, ""),
                }
            }
            _ => Reply::new(401, "")
                .header("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"s\"")),
        }
    });
    brig.ok(&["push", "--creds", "me:hush", "busybox", &format!("{}/box:1", registry.address)]);
    let asked: Vec<String> = tokens.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(asked.len(), 2, "{asked:?} {port}");
    assert!(
        asked[0].ends_with("scope=repository%3Abox%3Apull") && asked[1].ends_with("pull%2Cpush"),
        "{asked:?}"
    );
});

// registries.conf: what is closed is not asked, a mirror is asked first and believed no more than the registry.
story!(mirrors_and_blocked_registries, [root, user], |brig| {
    let image = served(brig);
    let digest = Digest::of(&image.manifest);
    let lying = {
        let image = image.clone();
        Server::start(move |asked| {
            let mut reply = image.answer(asked);
            if asked.line.contains("/manifests/") {
                reply.body.push(b' ');
            }
            reply
        })
    };
    let empty = Server::start(|_| Reply::new(404, ""));
    let honest = Server::start(move |asked| image.answer(asked));
    let file = brig.directory().join("registries.conf");
    let text = format!(
        "unqualified-search-registries = ['a.example', 'b.example']\n[aliases]\nbox = '{}/box'\n\
         [[registry]]\nlocation = 'gone.example'\n\
         [[registry.mirror]]\nlocation = '{}/m'\n[[registry.mirror]]\nlocation = '{}'\n[[registry.mirror]]\nlocation = '{}/far'\n\
         [[registry]]\nprefix = '{}/evil'\nblocked = true\n",
        honest.address, lying.address, empty.address, honest.address, honest.address,
    );
    fs::write(&file, text).unwrap();
    let run = |words: &[&str]| testkit::run(brig.command(words).env("CONTAINERS_REGISTRIES_CONF", &file));
    let exact = format!("gone.example/box@{digest}");
    let pulled = run(&["pull", "-q", &exact]);
    assert!(pulled.code == 0 && pulled.stderr.contains("has digest"), "{pulled}");
    assert_eq!(pulled.stdout, format!("{exact}\n"));
    let asked: Vec<String> = honest.asked().into_iter().map(|asked| asked.line).collect();
    assert!(asked.iter().any(|line| line.contains("/v2/far/box/manifests/")), "{asked:?}");
    assert!(empty.asked().iter().any(|asked| asked.line.contains("/v2/box/manifests/")));
    assert_eq!(run(&["pull", "-q", "box:1"]).success(), format!("{}/box:1\n", honest.address));
    let before = honest.asked().len();
    let name = format!("{}/evil/box:1", honest.address);
    run(&["tag", &exact, &name]).success();
    for verb in ["pull", "push"] {
        let blocked = run(&[verb, &name]);
        assert!(blocked.code != 0 && blocked.stderr.contains("blocks"), "{blocked}");
    }
    assert_eq!(honest.asked().len(), before);
    let short = run(&["pull", "other"]);
    assert!(short.code != 0 && short.stderr.contains("a.example/other or b.example/other"), "{short}");
});
