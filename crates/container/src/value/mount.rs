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
        /// Whether it starts with the image's files at that place.
        #[serde(default)]
        copy_up: bool,
    },
    /// A volume.
    Volume {
        /// Its name; empty until one is made for a mount that names none.
        name: String,
        /// Whether it goes with the container.
        anonymous: bool,
        /// Whether it gets the image's files at that place while it has none.
        copy: bool,
        /// The part of it that is mounted, a path in it.
        subpath: Option<String>,
    },
    /// The files of another image, which cannot be changed.
    Image {
        /// Its name or id.
        image: String,
    },
    /// A host directory that can be written to without being changed: what is written goes with the container's end.
    Overlay {
        /// The path on the host, as typed.
        source: String,
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
    /// A read-only mount whose mounts below stay as they are.
    #[serde(default)]
    pub writable_below: bool,
}

const OWNERS: &str = "brig does not chown files of the host: a volume's files keep the container's ids by themselves, and `:idmap` or `--userns=keep-id` shows a host directory's as they are";
const LABELS: &str = "brig does not relabel files of the host (CVE-2021-43816): `chcon -R -t container_file_t DIRECTORY` does it for one";

impl MountRequest {
    fn new(typed: String, kind: MountKind, target: &str) -> Self {
        let exec = !matches!(kind, MountKind::Tmpfs { .. });
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
            writable_below: false,
        }
    }

    /// The mount of a volume at a path that nobody typed: an image's, or another container's.
    pub(crate) fn of_volume(typed: String, name: String, anonymous: bool, target: &str) -> Self {
        Self::new(typed, MountKind::Volume { name, anonymous, copy: true, subpath: None }, target)
    }

    /// The mount of a host path that another container has.
    pub(crate) fn of_bind(typed: String, source: String, target: &str) -> Self {
        Self::new(typed, MountKind::Bind { source, recursive: true }, target)
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
pub(crate) fn target(flag: &'static str, typed: &str, path: &str) -> Result<()> {
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

/// Checks the name of a volume.
fn volume_name(flag: &'static str, typed: &str, name: &str) -> Result<String> {
    volume::Name::new(name)
        .map(|name| name.to_string())
        .map_err(|_| Error::value(flag, typed, format!("`{name}` is neither a path nor a volume's name")))
}

/// Whether the source of `-v` is a path, as docker tells it from a volume's name.
fn is_path(source: &str) -> bool {
    source.starts_with('/')
        || matches!(source, "." | "..")
        || source.starts_with("./")
        || source.starts_with("../")
}

/// Parses `-v [SOURCE:]TARGET[:OPTIONS]`: a host path, a volume's name, or nothing, for a new volume.
///
/// # Errors
/// [`Error::Value`]; [`Error::NotYet`] for SELinux relabelling and for a change of owner.
pub fn parse_volume(text: &str) -> Result<MountRequest> {
    let flag = "--volume";
    let bad = |reason: String| Error::value(flag, text, reason);
    let not_yet = |instead| Error::NotYet { what: format!("--volume {text}"), instead };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, path, options) = match parts.as_slice() {
        [""] => return Err(bad("use [SOURCE:]TARGET[:OPTIONS]".into())),
        [path] => (None, *path, ""),
        [source, path] => (Some(*source), *path, ""),
        [source, path, options] => (Some(*source), *path, *options),
        _ => return Err(bad("use [SOURCE:]TARGET[:OPTIONS], without further colons".into())),
    };
    target(flag, text, path)?;
    let words = || options.split(',').filter(|option| !option.is_empty());
    let kind = match source {
        None => MountKind::Volume { name: String::new(), anonymous: true, copy: true, subpath: None },
        Some("") => return Err(bad("the source is empty".into())),
        Some(source) if !is_path(source) => {
            let name = volume_name(flag, text, source)?;
            MountKind::Volume { name, anonymous: false, copy: true, subpath: None }
        }
        Some(source) if words().any(|option| option == "O") => {
            MountKind::Overlay { source: source.to_owned() }
        }
        Some(source) => MountKind::Bind { source: source.to_owned(), recursive: true },
    };
    let mut mount = MountRequest::new(format!("--volume {text}"), kind, path);
    for option in words() {
        let known = match (option, &mut mount.kind) {
            ("U", _) => return Err(not_yet(OWNERS)),
            // The files of volumes have a label that every container may use.
            ("z", MountKind::Volume { .. }) => true,
            ("z" | "Z", _) => return Err(not_yet(LABELS)),
            ("bind", MountKind::Bind { recursive, .. }) => {
                *recursive = false;
                true
            }
            ("rbind", MountKind::Bind { .. }) | ("O", MountKind::Overlay { .. }) => true,
            ("consistent" | "cached" | "delegated", _) => true,
            ("idmap", MountKind::Bind { .. } | MountKind::Overlay { .. }) => {
                mount.id_mapped = true;
                true
            }
            ("copy" | "nocopy", MountKind::Volume { copy, .. }) => {
                *copy = option == "copy";
                true
            }
            ("ro" | "readonly", MountKind::Overlay { .. }) => {
                return Err(bad("an overlay is there to be written to: leave `O` out".into()));
            }
            (option, _) => mount.option(option),
        };
        if !known {
            return Err(bad(format!("`{option}` is not an option of this mount")));
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
    let (mut size, mut mode, mut copy_up) = (None, 0o1777, false);
    let kind = MountKind::Tmpfs { size, mode, copy_up };
    let mut mount = MountRequest::new(format!("--tmpfs {text}"), kind, path);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => size = Some(parse_size(flag, value)?),
            Some(("mode", value)) => mode = parse_mode(flag, value)?,
            None if option == "tmpcopyup" => copy_up = true,
            None if option == "notmpcopyup" => copy_up = false,
            None if mount.option(option) => {}
            _ => return Err(Error::value(flag, text, format!("`{option}` is not an option of a tmpfs"))),
        }
    }
    mount.kind = MountKind::Tmpfs { size, mode, copy_up };
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

/// Parses `--mount type=bind|volume|image|tmpfs,KEY=VALUE,...`; fields may be quoted as in CSV.
///
/// # Errors
/// [`Error::Value`]; [`Error::NotYet`] for the types that come later.
pub fn parse_mount(text: &str) -> Result<MountRequest> {
    let flag = "--mount";
    let bad = |reason: String| Error::value(flag, text, reason);
    let (mut kind, mut source, mut path) = ("volume".to_owned(), None, None);
    let (mut size, mut mode, mut recursive) = (None, 0o1777, true);
    let (mut copy, mut copy_up, mut subpath, mut writable_below) = (true, false, None, false);
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
            ("readwrite" | "rw", Some("true" | "1")) => options.push("rw".to_owned()),
            ("readwrite" | "rw", Some("false" | "0")) => options.push("ro".to_owned()),
            ("bind-propagation", Some(value)) => options.push(value.to_owned()),
            ("bind-nonrecursive", None | Some("true" | "1")) => recursive = false,
            ("bind-nonrecursive", Some("false" | "0")) => recursive = true,
            ("bind-recursive", Some("enabled" | "readonly")) => recursive = true,
            ("bind-recursive", Some("writable")) => writable_below = true,
            ("bind-recursive", Some("disabled")) => recursive = false,
            ("consistency", Some(_)) => {}
            ("tmpfs-size", Some(value)) => size = Some(parse_size(flag, value)?),
            ("tmpfs-mode", Some(value)) => mode = parse_mode(flag, value)?,
            ("tmpcopyup", None) => copy_up = true,
            ("notmpcopyup", None) => copy_up = false,
            ("volume-nocopy", None | Some("true" | "1")) => copy = false,
            ("volume-nocopy", Some("false" | "0")) => copy = true,
            ("volume-subpath" | "image-subpath" | "subpath", Some(value)) => subpath = Some(value.to_owned()),
            ("volume-driver", Some("local")) => {}
            ("volume-driver" | "volume-opt" | "volume-label", Some(_)) => {
                return Err(bad(format!("`{key}` belongs to `brig volume create`: make the volume first")));
            }
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
        ("tmpfs", None) => MountKind::Tmpfs { size, mode, copy_up },
        ("tmpfs", Some(_)) => return Err(bad("a tmpfs has no `source`".into())),
        ("volume", source) => {
            let name = source.filter(|name| !name.is_empty());
            let anonymous = name.is_none();
            let name = name.map(|name| volume_name(flag, text, &name)).transpose()?.unwrap_or_default();
            MountKind::Volume { name, anonymous, copy, subpath: subpath.take() }
        }
        ("image", Some(image)) if !image.is_empty() => {
            if options.iter().any(|option| option == "rw") {
                return Err(bad(
                    "an image cannot be changed: mount a volume, or a directory with `:O`".into()
                ));
            }
            options.push("ro".to_owned());
            MountKind::Image { image }
        }
        ("image", _) => return Err(bad("an image mount needs a `source`".into())),
        ("cluster" | "npipe" | "devpts" | "glob" | "ramfs" | "artifact", _) => {
            return Err(Error::NotYet {
                what: format!("--mount {text}"),
                instead: "use type=bind, type=volume, type=image or type=tmpfs",
            });
        }
        (other, _) => {
            return Err(bad(format!("type `{other}` is not known: use bind, volume, image or tmpfs")));
        }
    };
    if subpath.is_some() {
        return Err(bad("a `subpath` is a volume's; of an image all is mounted".into()));
    }
    if copy_up && !matches!(kind, MountKind::Tmpfs { .. }) {
        return Err(bad("`tmpcopyup` is a tmpfs's".into()));
    }
    let mut mount = MountRequest::new(format!("--mount {text}"), kind, &path);
    mount.writable_below = writable_below;
    for option in options {
        if !mount.option(&option) {
            return Err(bad(format!("`{option}` does not fit this type")));
        }
    }
    Ok(mount)
}

/// Splits comma-separated fields; a field in double quotes may hold commas, `""` is a quote.
pub(crate) fn split_csv(text: &str) -> Option<Vec<String>> {
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
            MountKind::Overlay { source } => source,
            MountKind::Volume { name, .. } => name,
            MountKind::Image { image } => image,
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
            ("/b", Some(("", "/b", false))),
            ("name:/b", Some(("name", "/b", false))),
            ("name:/b:ro,nocopy,z", Some(("name", "/b", true))),
            ("/a:/b:O", Some(("/a", "/b", false))),
            ("/a:/b:O,idmap", Some(("/a", "/b", false))),
            ("/a:/b:O,ro", None),
            ("name:/b:O", None),
            ("name:/b:idmap", None),
            ("name:/b:rslave", None),
            ("name:/b:Z", None),
            ("name:/b:U", None),
            ("/a:/b:U", None),
            ("/a:/b:nocopy", None),
            ("-name:/b", None),
            ("a b:/b", None),
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
    fn volumes_by_fields() {
        let kind = |text: &str| parse_mount(text).map(|mount| mount.kind).ok();
        let volume = |name: &str, copy, subpath: Option<&str>| {
            let (anonymous, name, subpath) = (name.is_empty(), name.to_owned(), subpath.map(str::to_owned));
            Some(MountKind::Volume { name, anonymous, copy, subpath })
        };
        assert_eq!(kind("dst=/x"), volume("", true, None));
        assert_eq!(kind("type=volume,src=a,dst=/x"), volume("a", true, None));
        assert_eq!(
            kind("type=volume,src=a,dst=/x,volume-subpath=b/c,volume-nocopy"),
            volume("a", false, Some("b/c"))
        );
        assert_eq!(kind("type=volume,src=/a,dst=/x"), None);
        assert_eq!(kind("type=volume,src=a,dst=/x,volume-driver=nfs"), None);
        assert_eq!(kind("type=bind,src=/a,dst=/x,subpath=b"), None);
    }

    #[test]
    fn mounts() {
        for (text, good) in [
            ("type=bind,source=/a,target=/b", true),
            ("type=bind,src=/a,dst=/b,readonly", true),
            ("type=bind,src=/a,dst=/b,ro=false,bind-propagation=rslave", true),
            ("type=bind,\"src=/a,b\",dst=/b", true),
            ("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700", true),
            ("type=tmpfs,dst=/b,tmpcopyup", true),
            ("type=bind,src=/a,dst=/b,tmpcopyup", false),
            ("type=bind,src=/a,dst=/b,ro,bind-recursive=writable", true),
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
        assert_eq!(mount.kind, MountKind::Tmpfs { size: Some(64 << 20), mode: 0o755, copy_up: false });
        assert!(mount.exec && !mount.suid);
        assert!(!parse_tmpfs("/run").unwrap().exec);
        let copied = parse_tmpfs("/run:tmpcopyup").unwrap();
        assert!(matches!(copied.kind, MountKind::Tmpfs { copy_up: true, .. }));
        for text in ["", "run", "/", "/a:size=x", "/a:mode=9", "/a:uid=0", "/a:rslave"] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
    }
}
