//! `-v`, `--mount`, `--tmpfs` and the options of a bundle's mounts: a target is absolute and climbs nowhere, later options win, attributes contradict nothing.

use container::value::mount::{MountKind, MountRequest, parse_mode, parse_mount, parse_tmpfs, parse_volume};
use runtime::plan::option::{MAX_OPTIONS, Options};
use sys::mount::{Attributes, attribute};

use crate::input::text;

/// Most bytes of an input.
pub const MAX_LEN: usize = 1024;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for parse in [parse_volume, parse_mount, parse_tmpfs] {
        if let Ok(request) = parse(text) {
            check_request(text, &request);
        }
    }
    if let Ok(mode) = parse_mode("--mount", text) {
        assert!(mode <= 0o7777);
    }
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Ok(options) = Options::parse(&lines) else {
        assert!(lines.len() > MAX_OPTIONS || text.contains('\0'), "{text:?}");
        return;
    };
    check_attributes(&options.attributes);
    check_attributes(&options.recursive);
    // Joined by commas they mean the same.
    let joined = Options::parse(&[lines.join(",")]).expect("it was taken as a list");
    assert_eq!(joined, options);
    // What is said twice means what it means once.
    let twice: Vec<String> = lines.iter().chain(&lines).cloned().collect();
    if let Ok(twice) = Options::parse(&twice) {
        assert_eq!((twice.attributes, twice.recursive, twice.bind), (options.attributes, options.recursive, options.bind));
    }
    // Read-only said last holds.
    let last: Vec<String> = lines.iter().cloned().chain(["ro".to_owned(), "nosuid".to_owned()]).collect();
    if let Ok(last) = Options::parse(&last) {
        assert_eq!(last.attributes.set & (attribute::RDONLY | attribute::NOSUID), attribute::RDONLY | attribute::NOSUID);
    }
}

/// No bit is both set and cleared, the field of access times aside, which is cleared before it is set.
fn check_attributes(attributes: &Attributes) {
    assert_eq!(attributes.set & attributes.clear & !attribute::ATIME, 0, "{attributes:?}");
    let times = attributes.set & attribute::ATIME;
    assert!([0, attribute::RELATIME, attribute::NOATIME, attribute::STRICTATIME].contains(&times), "{attributes:?}");
    if times != 0 {
        assert_eq!(attributes.clear & attribute::ATIME, attribute::ATIME, "{attributes:?}");
    }
}

fn check_request(text: &str, request: &MountRequest) {
    let target = &request.target;
    assert!(target.starts_with('/') && !target.split('/').any(|part| part == ".."), "{text:?}");
    assert!(!target.chars().any(char::is_control), "{text:?}");
    assert!(target.split('/').any(|part| !part.is_empty() && part != "."), "{text:?}");
    match &request.kind {
        MountKind::Bind { source, .. } => {
            assert!(!source.is_empty(), "{text:?}");
            // Only what was asked for by name.
            assert!(!request.suid || text.contains("suid"), "{text:?}");
            assert!(!request.dev || text.contains("dev"), "{text:?}");
        }
        MountKind::Tmpfs { size, mode, .. } => {
            assert!(size.is_none_or(|size| size >= 0) && *mode <= 0o7777, "{text:?}");
            assert!(request.propagation.is_none() && !request.id_mapped, "{text:?}");
            assert!(!request.exec || text.contains("exec"), "{text:?}");
        }
        MountKind::Volume { name, anonymous, .. } => {
            // It becomes the name of a directory.
            assert!(!name.contains('/') && name != "." && name != "..", "{text:?}");
            assert!(!anonymous || name.is_empty(), "{text:?}");
        }
        MountKind::Overlay { source } => assert!(!source.is_empty(), "{text:?}"),
        MountKind::Image { image } => assert!(!image.is_empty() && request.read_only, "{text:?}"),
    }
    assert!(request.typed.ends_with(text));
}
