//! `--filter key=value` with docker's rules.

use crate::error::{ENGINE_ERROR, Failure};

/// Most filters of one command.
const MOST: usize = 256;

/// Parsed filters. Values of one key are alternatives, but for labels; different keys must all match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters(Vec<(String, String)>);

impl Filters {
    /// Parses filters; `known` are the keys of the command, `label!` for `label!=`.
    pub(crate) fn parse(texts: &[String], known: &[&str]) -> Result<Self, Failure> {
        if texts.len() > MOST {
            return Err(Failure::user(format!("more than {MOST} filters")).code(ENGINE_ERROR));
        }
        let mut filters = Vec::with_capacity(texts.len());
        for text in texts.iter().filter(|text| !text.is_empty()) {
            let Some((key, value)) = text.split_once('=') else {
                let text = text.escape_debug();
                return Err(Failure::user(format!(
                    "invalid argument \"{text}\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"
                ))
                .code(ENGINE_ERROR));
            };
            let key = key.trim().to_ascii_lowercase();
            if !known.contains(&key.as_str()) {
                let keys = known.iter().filter(|key| !key.ends_with('!')).copied().collect::<Vec<_>>();
                return Err(Failure::user(format!("invalid filter '{}'", key.escape_debug()))
                    .hint(format!("filters here are: {}", keys.join(", "))));
            }
            filters.push((key, value.trim().to_owned()));
        }
        Ok(Self(filters))
    }

    /// Whether there is none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values(key).next().is_some()
    }

    /// The values of a key.
    pub(crate) fn values<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Whether one of the key's values satisfies `test`, or there is none.
    pub(crate) fn any(&self, key: &str, test: impl FnMut(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).any(test)
    }

    /// `label=` and `label!=`: all of the first must be there, none of the second. `find` gives the value of a label.
    pub(crate) fn labels<'a>(&self, find: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds = |label: &str| match label.split_once('=') {
            Some((key, value)) => find(key) == Some(value),
            None => find(label).is_some(),
        };
        self.values("label").all(holds) && !self.values("label!").any(holds)
    }

    /// A key that is true or false; docker takes `1`, `t`, `true` and their like.
    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.values(key).last() else { return Ok(None) };
        match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(Failure::user(format!("invalid filter '{key}={}'", value.escape_debug()))
                .hint(format!("`--filter {key}=true` or `--filter {key}=false`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Filters, Failure> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Filters::parse(&texts, &["label", "label!", "name", "dangling"])
    }

    #[test]
    fn filters() {
        let find = |key: &str| (key == "a").then_some("1");
        for (texts, expected) in [
            (&["label=a"][..], true),
            (&["label=a=1"], true),
            (&["label=a=2"], false),
            (&["label=a", "label=b"], false),
            (&["label!=a"], false),
            (&["label!=b", "Label = a"], true),
            (&[], true),
        ] {
            assert_eq!(parse(texts).unwrap().labels(find), expected, "{texts:?}");
        }
        let names = parse(&["name=x", "name=y"]).unwrap();
        assert!(names.any("name", |name| name == "y") && names.any("dangling", |_| false));
        assert!(!names.any("name", |name| name == "z"));
        assert_eq!(parse(&["dangling=TRUE"]).unwrap().boolean("dangling").unwrap(), Some(true));
        assert!(parse(&["dangling=x"]).unwrap().boolean("dangling").is_err());
        assert_eq!(parse(&["x"]).unwrap_err().exit_code(), 125);
        assert!(parse(&["nope=1"]).unwrap_err().chain().contains("invalid filter 'nope'"));
    }
}
