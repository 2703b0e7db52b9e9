//! `-v`, `--mount` and `--tmpfs`.

use crate::error::{Error, Result};
use crate::value::size::parse_size;

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MountKind {
    /// A host path.
    Bind {
        /// The path on the host, as typed.
        source: String,
        /// Whether mounts below it come along.
        recursive: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; the kernel's default (half of memory) if unset.
        size: Option<i64>,
        /// Mode of its root directory.
        mode: u32,
    },
}

/// One mount as asked for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MountRequest {
    /// The flag and value, for messages and for the list of weakenings.
    pub typed: String,
    /// What.
    pub kind: MountKind,
    /// Absolute path in the container.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
    /// Programs on it can be executed.
    pub exec: bool,
    /// Set-id programs on it work.
    pub suid: bool,
    /// Device nodes on it work.
    pub dev: bool,
    /// The container's ids stand for the same ids of the host on it, by an id-mapped mount.
    pub id_mapped: bool,
    /// `private`, `rslave`, ...; unset means `rprivate`.
    pub propagation: Option<String>,
}

const VOLUMES: &str = "named and anonymous volumes come with the next release: name a host directory";
const LABELS: &str = "brig does not relabel files of the host (CVE-2021-43816): `chcon -R -t container_file_t DIRECTORY` does it for one";

impl MountRequest {
    fn new(typed: String, kind: MountKind, target: &str) -> Self {
        let exec = matches!(kind, MountKind::Bind { .. });
        let target = target.to_owned();
        Self {
            typed,
            kind,
            target,
            read_only: false,
            exec,
            suid: false,
            dev: false,
            id_mapped: false,
            propagation: None,
        }
    }

    /// Applies one option of `-v` or `--tmpfs`; says whether it is one.
    fn option(&mut self, option: &str) -> bool {
        match option {
            "ro" | "readonly" => self.read_only = true,
            "rw" => self.read_only = false,
            "exec" => self.exec = true,
            "noexec" => self.exec = false,
            "suid" => self.suid = true,
            "nosuid" => self.suid = false,
            "dev" => self.dev = true,
            "nodev" => self.dev = false,
            _ => return self.propagation(option),
        }
        true
    }

    fn propagation(&mut self, option: &str) -> bool {
        const ALL: &[&str] = &["private", "rprivate", "slave", "rslave", "shared", "rshared"];
        match (ALL.iter().find(|name| **name == option), &self.kind) {
            (Some(name), MountKind::Bind { .. }) => self.propagation = Some((*name).to_owned()),
            _ => return false,
        }
        true
    }
}

/// Checks a path in the container: absolute, without `..`, not the root itself.
fn target(flag: &'static str, typed: &str, path: &str) -> Result<()> {
    let bad = |reason: &str| Error::value(flag, typed, reason);
    if !path.starts_with('/') {
        return Err(bad("the path in the container does not start with `/`"));
    }
    if path.split('/').any(|part| part == "..") || path.chars().any(char::is_control) {
        return Err(bad("the path in the container holds `..` or control characters"));
    }
    if path.split('/').all(|part| part.is_empty() || part == ".") {
        return Err(bad("the root of the container cannot be mounted over"));
    }
    Ok(())
}

/// Parses `-v SOURCE:TARGET[:OPTIONS]`.
///
/// # Errors
/// [`Error::Value`]; [`Error::NotYet`] for named and anonymous volumes and for SELinux relabelling.
pub fn parse_volume(text: &str) -> Result<MountRequest> {
    let flag = "--volume";
    let not_yet = |instead| Error::NotYet { what: format!("--volume {text}"), instead };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, path, options) = match parts.as_slice() {
        [""] => return Err(Error::value(flag, text, "use SOURCE:TARGET[:OPTIONS]")),
        [_] => return Err(not_yet(VOLUMES)),
        [source, path] => (*source, *path, ""),
        [source, path, options] => (*source, *path, *options),
        _ => return Err(Error::value(flag, text, "use SOURCE:TARGET[:OPTIONS], without further colons")),
    };
    target(flag, text, path)?;
    if !(source.starts_with('/') || source == "." || source.starts_with("./") || source.starts_with("../")) {
        return Err(if source.is_empty() {
            Error::value(flag, text, "the source is empty")
        } else {
            not_yet(VOLUMES)
        });
    }
    let kind = MountKind::Bind { source: source.to_owned(), recursive: true };
    let mut mount = MountRequest::new(format!("--volume {text}"), kind, path);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "z" | "Z" => return Err(not_yet(LABELS)),
            "bind" => mount.kind = MountKind::Bind { source: source.to_owned(), recursive: false },
            "rbind" | "consistent" | "cached" | "delegated" => {}
            "idmap" => mount.id_mapped = true,
            "O" | "U" | "nocopy" | "copy" => {
                return Err(not_yet("overlay, owner and copy options come with volumes"));
            }
            _ if mount.option(option) => {}
            _ => {
                return Err(Error::value(flag, text, format!("`{option}` is not an option of a bind mount")));
            }
        }
    }
    Ok(mount)
}

/// Parses `--tmpfs TARGET[:OPTIONS]`.
///
/// # Errors
/// [`Error::Value`].
pub fn parse_tmpfs(text: &str) -> Result<MountRequest> {
    let flag = "--tmpfs";
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    target(flag, text, path)?;
    let (mut size, mut mode) = (None, 0o1777);
    let kind = MountKind::Tmpfs { size, mode };
    let mut mount = MountRequest::new(format!("--tmpfs {text}"), kind, path);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => size = Some(parse_size(flag, value)?),
            Some(("mode", value)) => mode = parse_mode(flag, value)?,
            None if mount.option(option) => {}
            _ => return Err(Error::value(flag, text, format!("`{option}` is not an option of a tmpfs"))),
        }
    }
    mount.kind = MountKind::Tmpfs { size, mode };
    Ok(mount)
}

/// Parses an octal file mode of at most four digits.
///
/// # Errors
/// [`Error::Value`].
pub fn parse_mode(flag: &'static str, text: &str) -> Result<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')) {
        return Err(Error::value(flag, text, "use octal digits such as 1777"));
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(Error::value(flag, text, "use at most 7777")),
    }
}

/// Parses `--mount type=bind|tmpfs,KEY=VALUE,...`; fields may be quoted as in CSV.
///
/// # Errors
/// [`Error::Value`]; [`Error::NotYet`] for the types that come later.
pub fn parse_mount(text: &str) -> Result<MountRequest> {
    let flag = "--mount";
    let bad = |reason: String| Error::value(flag, text, reason);
    let (mut kind, mut source, mut path) = ("volume".to_owned(), None, None);
    let (mut size, mut mode, mut recursive) = (None, 0o1777, true);
    let mut options = Vec::new();
    for field in split_csv(text).ok_or_else(|| bad("a quote is not closed".into()))? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        match (key, value) {
            ("type", Some(value)) => kind = value.to_owned(),
            ("source" | "src", Some(value)) => source = Some(value.to_owned()),
            ("target" | "dst" | "destination", Some(value)) => path = Some(value.to_owned()),
            ("readonly" | "ro", None | Some("true" | "1")) => options.push("ro".to_owned()),
            ("readonly" | "ro", Some("false" | "0")) => options.push("rw".to_owned()),
            ("bind-propagation", Some(value)) => options.push(value.to_owned()),
            ("bind-nonrecursive", None | Some("true" | "1")) => recursive = false,
            ("bind-nonrecursive", Some("false" | "0")) => recursive = true,
            ("bind-recursive", Some("enabled" | "writable" | "readonly")) => recursive = true,
            ("bind-recursive", Some("disabled")) => recursive = false,
            ("consistency", Some(_)) => {}
            ("tmpfs-size", Some(value)) => size = Some(parse_size(flag, value)?),
            ("tmpfs-mode", Some(value)) => mode = parse_mode(flag, value)?,
            ("exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "rw", None) => {
                options.push(key.to_owned());
            }
            _ => return Err(bad(format!("`{field}` is not known"))),
        }
    }
    let path = path.ok_or_else(|| bad("it has no `target`".into()))?;
    target(flag, text, &path)?;
    let kind = match (kind.as_str(), source) {
        ("bind", Some(source)) if !source.is_empty() => MountKind::Bind { source, recursive },
        ("bind", _) => return Err(bad("a bind mount needs a `source`".into())),
        ("tmpfs", None) => MountKind::Tmpfs { size, mode },
        ("tmpfs", Some(_)) => return Err(bad("a tmpfs has no `source`".into())),
        ("volume", _) => return Err(Error::NotYet { what: format!("--mount {text}"), instead: VOLUMES }),
        ("image" | "cluster" | "npipe" | "devpts" | "glob" | "ramfs" | "artifact", _) => {
            return Err(Error::NotYet {
                what: format!("--mount {text}"),
                instead: "use type=bind or type=tmpfs",
            });
        }
        (other, _) => return Err(bad(format!("type `{other}` is not known: use bind or tmpfs"))),
    };
    let mut mount = MountRequest::new(format!("--mount {text}"), kind, &path);
    for option in options {
        if !mount.option(&option) {
            return Err(bad(format!("`{option}` does not fit this type")));
        }
    }
    Ok(mount)
}

/// Splits comma-separated fields; a field in double quotes may hold commas, `""` is a quote.
fn split_csv(text: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut()?;
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            _ => field.push(character),
        }
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(mount: &MountRequest) -> &str {
        match &mount.kind {
            MountKind::Bind { source, .. } => source,
            MountKind::Tmpfs { .. } => "",
        }
    }

    #[test]
    fn volumes() {
        for (text, expected) in [
            ("/a:/b", Some(("/a", "/b", false))),
            ("/a:/b:ro", Some(("/a", "/b", true))),
            ("./a:/b:ro,rslave", Some(("./a", "/b", true))),
            ("/a:/b:cached", Some(("/a", "/b", false))),
            ("/b", None),
            ("name:/b", None),
            (":/b", None),
            ("/a:b", None),
            ("/a:/", None),
            ("/a:/.", None),
            ("/a:/b/../c", None),
            ("/a:/b:zz", None),
            ("/a:/b:Z", None),
            ("/a:/b:ro:x", None),
            ("", None),
        ] {
            let got = parse_volume(text).ok();
            let got = got.as_ref().map(|mount| (source(mount), mount.target.as_str(), mount.read_only));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn a_bind_mount_is_nosuid_and_nodev_unless_asked() {
        let plain = parse_volume("/a:/b").unwrap();
        assert!(!plain.suid && !plain.dev && plain.exec);
        let open = parse_volume("/a:/b:suid,dev,noexec").unwrap();
        assert!(open.suid && open.dev && !open.exec);
    }

    #[test]
    fn volumes_say_what_comes_later() {
        for text in ["/b", "name:/b"] {
            assert!(parse_volume(text).unwrap_err().to_string().contains("next release"), "{text}");
        }
        assert!(parse_mount("type=volume,dst=/x").unwrap_err().to_string().contains("next release"));
        assert!(parse_mount("dst=/x").unwrap_err().to_string().contains("next release"));
    }

    #[test]
    fn mounts() {
        for (text, good) in [
            ("type=bind,source=/a,target=/b", true),
            ("type=bind,src=/a,dst=/b,readonly", true),
            ("type=bind,src=/a,dst=/b,ro=false,bind-propagation=rslave", true),
            ("type=bind,\"src=/a,b\",dst=/b", true),
            ("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700", true),
            ("type=tmpfs,dst=/b,bind-propagation=rslave", false),
            ("type=tmpfs,src=/a,dst=/b", false),
            ("type=bind,dst=/b", false),
            ("type=bind,src=/a", false),
            ("type=bind,src=/a,dst=/b,what=1", false),
            ("type=bind,\"src=/a,dst=/b", false),
            ("type=npipe,src=/a,dst=/b", false),
            ("", false),
        ] {
            assert_eq!(parse_mount(text).is_ok(), good, "{text}");
        }
        let quoted = parse_mount("type=bind,\"src=/a,b\",dst=/b").unwrap();
        assert_eq!(source(&quoted), "/a,b");
        let flat = parse_mount("type=bind,src=/a,dst=/b,bind-recursive=disabled").unwrap();
        assert_eq!(flat.kind, MountKind::Bind { source: "/a".into(), recursive: false });
    }

    #[test]
    fn tmpfs() {
        let mount = parse_tmpfs("/run:size=64m,mode=755,exec").unwrap();
        assert_eq!(mount.kind, MountKind::Tmpfs { size: Some(64 << 20), mode: 0o755 });
        assert!(mount.exec && !mount.suid);
        assert!(!parse_tmpfs("/run").unwrap().exec);
        for text in ["", "run", "/", "/a:size=x", "/a:mode=9", "/a:uid=0", "/a:rslave"] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
    }
}
