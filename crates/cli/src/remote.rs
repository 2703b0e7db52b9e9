//! How a command speaks to registries: what flags, the environment and people's files say.

use std::path::PathBuf;

use clap::Args;
use fetch::{Proxies, Settings};
use image::Tls;
use registry::{Configuration, Credentials, Kept, Options, Repository, Secret, Source, certificates};

use crate::error::Failure;
use crate::global;

/// What every command takes that speaks to a registry, by podman's names.
#[derive(Debug, Default, Args)]
pub(crate) struct Remote {
    /// Speak TLS and check it, also on this machine; `false`: take any certificate, and none
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls_verify: Option<bool>,
    /// Credentials for this command alone
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<String>,
    /// File that credentials are kept in, in place of your own (REGISTRY_AUTH_FILE)
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// Directory with certificates for this registry (`*.crt`, `*.cert` with `*.key`)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

impl Remote {
    /// Opens a repository, with the credentials that are kept for it.
    pub(crate) fn open(&self, source: &Source) -> Result<Repository, Failure> {
        let credentials = match &self.creds {
            Some(text) => Some(parse(text)?),
            None => self.kept().find(&source.registry, &source.repository).map_err(of_registry)?,
        };
        self.open_as(source, credentials)
    }

    /// The same with these.
    pub(crate) fn open_as(
        &self,
        source: &Source,
        credentials: Option<Credentials>,
    ) -> Result<Repository, Failure> {
        let Source { registry, repository, insecure } = source;
        let is_checked = self.tls_verify.or(insecure.then_some(false));
        let settings = self.settings(registry, is_checked)?;
        let tls = match is_checked {
            None => Tls::Usual,
            Some(true) => Tls::Required,
            Some(false) => Tls::Unchecked,
        };
        let origin = image::endpoint(registry, tls, &settings).map_err(of_registry)?;
        let options = Options { settings, credentials, realms: Vec::new() };
        Repository::new(origin, repository, options).map_err(of_registry)
    }

    fn settings(&self, registry: &str, is_checked: Option<bool>) -> Result<Settings, Failure> {
        let mut trust = match &self.cert_dir {
            Some(directory) => certificates::trust_of(directory),
            None => {
                let own =
                    global::directory_variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")));
                let own = own.map(|path| path.join("containers/certs.d"));
                let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
                let all: Vec<PathBuf> = own.into_iter().chain(system).collect();
                certificates::trust(&all, registry)
            }
        }
        .map_err(of_registry)?;
        trust.any_certificate = is_checked == Some(false);
        trust.roots.bundle = global::directory_variable("SSL_CERT_FILE");
        Ok(Settings { trust, proxies: proxies(), ..Settings::default() })
    }

    /// Where credentials may be, as podman and then docker keep them.
    pub(crate) fn kept(&self) -> Kept {
        if let Some(file) = self.named_file() {
            return Kept { files: vec![file], programs: programs() };
        }
        let mut files = Vec::new();
        let runtime =
            global::directory_variable("XDG_RUNTIME_DIR").map(|path| path.join("containers/auth.json"));
        files.extend(runtime);
        files.extend(own_file());
        let docker = global::directory_variable("DOCKER_CONFIG").or_else(|| Some(home()?.join(".docker")));
        files.extend(docker.map(|path| path.join("config.json")));
        Kept { files, programs: programs() }
    }

    /// Where `login` keeps them.
    pub(crate) fn own(&self) -> Result<PathBuf, Failure> {
        let missing =
            || Failure::environment("neither XDG_CONFIG_HOME nor HOME is set").hint("give `--authfile FILE`");
        self.named_file().or_else(own_file).ok_or_else(missing)
    }

    fn named_file(&self) -> Option<PathBuf> {
        self.authfile.clone().or_else(|| global::directory_variable("REGISTRY_AUTH_FILE"))
    }
}

/// What `registries.conf` says: the file that CONTAINERS_REGISTRIES_CONF names, alone; else a person's own, or the machine's, with
/// the drop-ins of both.
pub(crate) fn configuration() -> Result<Configuration, Failure> {
    const MACHINE: &str = "/etc/containers";
    if let Some(file) = global::directory_variable("CONTAINERS_REGISTRIES_CONF") {
        return Configuration::read(&file, &[]).map_err(of_registry);
    }
    let own = global::directory_variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")));
    let own = own.map(|path| path.join("containers"));
    let file = own.as_ref().map(|path| path.join("registries.conf")).filter(|path| path.exists());
    let file = file.unwrap_or_else(|| PathBuf::from(MACHINE).join("registries.conf"));
    let directories: Vec<PathBuf> = std::iter::once(PathBuf::from(MACHINE))
        .chain(own)
        .map(|path| path.join("registries.conf.d"))
        .collect();
    Configuration::read(&file, &directories).map_err(of_registry)
}

fn own_file() -> Option<PathBuf> {
    let base = global::directory_variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))?;
    Some(base.join("containers/auth.json"))
}

fn home() -> Option<PathBuf> {
    global::directory_variable("HOME")
}

fn programs() -> Vec<PathBuf> {
    text("PATH")
        .map(|path| std::env::split_paths(&path).filter(|path| path.is_absolute()).collect())
        .unwrap_or_default()
}

/// `HTTP_PROXY` in capitals is not read: a CGI program would take it from whoever asks it (CVE-2016-5385).
fn proxies() -> Proxies {
    let first = |names: &[&str]| names.iter().find_map(|name| text(name).filter(|value| !value.is_empty()));
    let all = first(&["all_proxy", "ALL_PROXY"]);
    Proxies {
        http: first(&["http_proxy"]).or_else(|| all.clone()),
        https: first(&["https_proxy", "HTTPS_PROXY"]).or(all),
        none: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the program that reads the environment for its libraries"
)]
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn parse(text: &str) -> Result<Credentials, Failure> {
    // Without the value: it has a password in it.
    let (user, password) = text.split_once(':').filter(|(user, _)| !user.is_empty()).ok_or_else(|| {
        Failure::user("`--creds` is no USER:PASSWORD")
            .hint("`brig login` keeps them, and asks for the password")
    })?;
    Ok(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

/// Sorts an error of a registry by who can mend it.
pub(crate) fn of_registry(error: registry::Error) -> Failure {
    use registry::Error as Kind;
    match error {
        Kind::NotFound { .. } => Failure::user(error).hint("check the name and the tag"),
        Kind::Denied { .. } => {
            Failure::user(error).hint("`brig login REGISTRY` keeps credentials; a name that is not there is refused alike")
        }
        Kind::File { .. } | Kind::Helper { .. } | Kind::Short { .. } | Kind::Blocked { .. } => Failure::user(error),
        Kind::Fetch { source: fetch::Error::Tls { .. }, .. } => Failure::environment(error).hint(
            "a CA of your own goes to `/etc/containers/certs.d/REGISTRY/ca.crt`; `--tls-verify=false` takes any certificate",
        ),
        error => Failure::environment(error),
    }
}

/// The same of a pull or push.
pub(crate) fn of_image(error: image::Error) -> Failure {
    match error {
        image::Error::Registry(error) => of_registry(error),
        image::Error::Store(error) => crate::site::of_store(error),
        error @ image::Error::Process { .. } => Failure::environment(error),
    }
}
