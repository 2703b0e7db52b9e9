//! `WWW-Authenticate`: what a registry wants to see before it answers (RFC 9110 section 11.6.1).

/// Most bytes of all challenges of an answer.
const MAX_BYTES: usize = 16 << 10;
/// Most challenges.
const MAX_CHALLENGES: usize = 16;
/// Most parameters of one.
const MAX_PARAMETERS: usize = 32;

/// One way to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user and a password, RFC 7617.
    Basic,
    /// A token from somebody who gives them out (distribution's token specification, RFC 6750).
    Bearer {
        /// Address of who gives out tokens.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
        /// What it is for.
        scope: Option<String>,
        /// Why the one that was shown is not enough.
        error: Option<String>,
    },
    /// Another scheme.
    Other(String),
}

/// Parses the values of all `WWW-Authenticate` headers of an answer; none where one of them breaks the grammar or a bound.
#[must_use]
pub(crate) fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Vec<Challenge>> {
    let mut all = Vec::new();
    let mut bytes = 0;
    for value in values {
        bytes += value.len();
        if bytes > MAX_BYTES {
            return None;
        }
        let mut parser = Parser { rest: value };
        while parser.skip_to_next() {
            if all.len() == MAX_CHALLENGES {
                return None;
            }
            all.push(parser.challenge()?);
        }
    }
    Some(all)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Over blanks and commas; whether something follows.
    fn skip_to_next(&mut self) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
        !self.rest.is_empty()
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let end = self.rest.bytes().position(|byte| !is_token(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.strip_prefix('"')?.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 2..];
                    return Some(text);
                }
                '\\' => text.push(characters.next()?.1),
                other if other.is_control() => return None,
                other => text.push(other),
            }
        }
        None
    }

    fn challenge(&mut self) -> Option<Challenge> {
        let scheme = self.token()?.to_ascii_lowercase();
        let mut parameters: Vec<(String, String)> = Vec::new();
        self.blanks();
        loop {
            let before = self.rest;
            self.skip_to_next();
            let Some(name) = self.token() else {
                self.rest = before;
                break;
            };
            self.blanks();
            let Some(rest) = self.rest.strip_prefix('=').filter(|rest| !rest.starts_with('=')) else {
                if parameters.is_empty() && !before.starts_with(',') && self.rest.starts_with(['=', '/', '+'])
                {
                    // `token68`, as Negotiate has it.
                    let end = self.rest.find([',', ' ']).unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                    break;
                }
                // The scheme of the next challenge, if a comma is before it.
                self.rest = before;
                if !before.is_empty() && !before.starts_with(',') {
                    // `token68` that looks like a name.
                    self.token();
                }
                break;
            };
            self.rest = rest;
            self.blanks();
            let value = if self.rest.starts_with('"') { self.quoted()? } else { self.token()?.to_owned() };
            let name = name.to_ascii_lowercase();
            if parameters.len() == MAX_PARAMETERS || parameters.iter().any(|(known, _)| *known == name) {
                return None;
            }
            parameters.push((name, value));
            self.blanks();
            if !self.rest.is_empty() && !self.rest.starts_with(',') {
                return None;
            }
        }
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(known, _)| known == name)?;
            Some(parameters.swap_remove(at).1)
        };
        Some(match scheme.as_str() {
            "basic" => Challenge::Basic,
            "bearer" => Challenge::Bearer {
                realm: take("realm")?,
                service: take("service"),
                scope: take("scope"),
                error: take("error"),
            },
            _ => Challenge::Other(scheme),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope), error: None }
    }

    #[test]
    fn challenges_are_told_apart() {
        let other = |name: &str| Challenge::Other(name.to_owned());
        for (values, expected) in [
            (vec!["Basic realm=\"x\""], Some(vec![Challenge::Basic])),
            (vec!["basic"], Some(vec![Challenge::Basic])),
            (
                vec!["Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a:pull,push\""],
                Some(vec![bearer("https://a/t", Some("s"), Some("repository:a:pull,push"))]),
            ),
            (vec!["BEARER Realm = t , Service=s"], Some(vec![bearer("t", Some("s"), None)])),
            (
                vec!["Basic realm=\"a, Bearer realm=b\", Bearer realm=\"c\\\"d\""],
                Some(vec![Challenge::Basic, bearer("c\"d", None, None)]),
            ),
            (vec!["Negotiate", "Basic realm=x"], Some(vec![other("negotiate"), Challenge::Basic])),
            (vec!["Negotiate abc==, Basic realm=x"], Some(vec![other("negotiate"), Challenge::Basic])),
            (vec!["Negotiate abc, Basic realm=x"], Some(vec![other("negotiate"), Challenge::Basic])),
            (vec![" , ,Basic realm=x, "], Some(vec![Challenge::Basic])),
            (vec![], Some(vec![])),
            (vec!["Bearer service=s"], None),
            (vec!["Bearer realm=a,realm=b"], None),
            (vec!["Bearer realm=\"a"], None),
            (vec!["Bearer realm=\"a\\"], None),
            (vec!["Bearer realm=\"a\"x=b"], None),
            (vec!["=x"], None),
        ] {
            assert_eq!(parse(values.iter().copied()), expected, "{values:?}");
        }
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(parse(["Basic,".repeat(17).as_str()]), None);
        assert_eq!(parse([format!("Basic realm={}", "a".repeat(20_000)).as_str()]), None);
        let many: Vec<String> = (0..33).map(|number| format!("p{number}=x")).collect();
        assert_eq!(parse([format!("Basic {}", many.join(",")).as_str()]), None);
    }

    proptest! {
        #[test]
        fn nothing_hangs_or_panics(text in "[ -~]{0,60}") {
            drop(parse([text.as_str()]));
        }
    }
}
