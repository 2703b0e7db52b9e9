//! Environment entries of `-e` and `--env-file`.

use crate::error::{Error, Result};

/// Most bytes of an environment or label file.
pub const MAX_FILE: usize = 1 << 20;
/// Most entries of one environment.
pub const MAX_ENTRIES: usize = 16_384;

/// One entry: with its value, or a name whose value the host's environment gives.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Entry {
    /// `NAME=value`.
    Assignment(String, String),
    /// `NAME`: copied from the host where it is set, left out where it is not.
    FromHost(String),
}

/// Parses one `-e`.
///
/// # Errors
/// [`Error::Value`] for an empty name or a NUL.
pub fn parse(flag: &'static str, text: &str) -> Result<Entry> {
    if text.contains('\0') {
        return Err(Error::value(flag, text.replace('\0', "\\0"), "a NUL ends a string for the kernel"));
    }
    match text.split_once('=') {
        Some(("", _)) => Err(Error::value(flag, text, "the name is empty")),
        Some((name, value)) => Ok(Entry::Assignment(name.to_owned(), value.to_owned())),
        None if text.is_empty() => Err(Error::value(flag, text, "the name is empty")),
        None => Ok(Entry::FromHost(text.to_owned())),
    }
}

/// Parses an environment file: one entry a line, `#` starts a comment line, nothing is quoted or expanded.
///
/// # Errors
/// [`Error::Value`] with the line number for a name with blanks, and for a file over the limits.
pub fn parse_file(flag: &'static str, path: &str, bytes: &[u8]) -> Result<Vec<Entry>> {
    if bytes.len() > MAX_FILE {
        return Err(Error::value(flag, path, "the file is larger than 1 MiB"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| Error::value(flag, path, "the file is not UTF-8"))?;
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |reason: &str| Error::value(flag, path, format!("line {}: {reason}", number + 1));
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() || name.chars().any(char::is_whitespace) {
            return Err(at("the name is empty or holds blanks"));
        }
        if entries.len() == MAX_ENTRIES {
            return Err(at("more than 16384 entries"));
        }
        entries.push(parse(flag, line).map_err(|_| at("the entry holds a NUL"))?);
    }
    Ok(entries)
}

/// Puts variables in the place of `$NAME` and `${NAME}`; one that is not set leaves nothing.
pub(crate) fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let (name, next) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(parts) => parts,
            None => after.split_at(after.find(|character| !is_name(character)).unwrap_or(after.len())),
        };
        match name.is_empty() {
            true => expanded.push('$'),
            false => expanded.push_str(value(name).unwrap_or_default()),
        }
        rest = next;
    }
    expanded.push_str(rest);
    expanded
}

/// An environment in which a later entry replaces an earlier one of the same name, in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a variable that is not set yet.
    pub fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The entries as `NAME=value`.
    #[must_use]
    pub fn into_strings(self) -> Vec<String> {
        self.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion() {
        let value = |name: &str| (name == "A").then_some("x:y");
        for (text, expected) in [
            ("${A}:z", "x:y:z"),
            ("$A:z", "x:y:z"),
            ("${B}z$B", "z"),
            ("$", "$"),
            ("a$-b", "a$-b"),
            ("${A", "${A"),
            ("", ""),
        ] {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }

    #[test]
    fn entries() {
        let set = |name: &str, value: &str| Some(Entry::Assignment(name.into(), value.into()));
        for (text, expected) in [
            ("A=b", set("A", "b")),
            ("A=", set("A", "")),
            ("A=b=c", set("A", "b=c")),
            ("A=b\nc", set("A", "b\nc")),
            ("A", Some(Entry::FromHost("A".into()))),
            ("=b", None),
            ("", None),
            ("A=\0", None),
        ] {
            assert_eq!(parse("--env", text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn files() {
        let text = b"\xef\xbb\xbf# comment\n\nA=1\n  B= two words \nC\nD='q'\n";
        let entries = parse_file("--env-file", "f", text).unwrap();
        assert_eq!(
            entries,
            [
                Entry::Assignment("A".into(), "1".into()),
                Entry::Assignment("B".into(), " two words ".into()),
                Entry::FromHost("C".into()),
                Entry::Assignment("D".into(), "'q'".into()),
            ]
        );
        for (text, message) in [
            (&b"A b=1"[..], "line 1: the name is empty or holds blanks"),
            (b"\n=1", "line 2: the name is empty or holds blanks"),
            (b"A=\xff", "the file is not UTF-8"),
            (b"A=\0", "line 1: the entry holds a NUL"),
        ] {
            let error = parse_file("--env-file", "f", text).unwrap_err().to_string();
            assert!(error.ends_with(message), "{error}");
        }
        assert!(parse_file("--env-file", "f", &vec![b'#'; MAX_FILE + 1]).is_err());
    }

    #[test]
    fn later_entries_replace_in_place() {
        let mut environment = Environment::default();
        environment.set("A", "1");
        environment.set("B", "2");
        environment.set("A", "3");
        environment.set_default("B", "9");
        environment.set_default("C", "4");
        assert_eq!(environment.into_strings(), ["A=3", "B=2", "C=4"]);
    }
}
