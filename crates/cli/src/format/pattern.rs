//! The regular expressions that people put behind `--filter name=`.
//!
//! Docker takes Go's; names are short, so that a matcher of `^ $ . * + ? [] |` and `\` does, and needs no crate.

/// Most characters of a pattern.
const LONGEST: usize = 256;
/// Most steps of one match, in which a pattern with many stars gives up and does not match.
const MOST_STEPS: usize = 100_000;

/// A pattern that is found anywhere in a text.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    alternatives: Vec<Vec<Atom>>,
}

#[derive(Clone, Debug)]
struct Atom {
    what: What,
    least: usize,
    most: usize,
}

#[derive(Clone, Debug)]
enum What {
    Start,
    End,
    Any,
    One(char),
    Class { ranges: Vec<(char, char)>, negated: bool },
}

impl Pattern {
    /// Parses a pattern; `None` for one that is too long or not well formed.
    pub(crate) fn new(text: &str) -> Option<Self> {
        if text.chars().count() > LONGEST {
            return None;
        }
        let mut alternatives = vec![Vec::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let what = match character {
                '|' => {
                    alternatives.push(Vec::new());
                    continue;
                }
                '*' | '+' | '?' => {
                    let atom: &mut Atom = alternatives.last_mut()?.last_mut()?;
                    if matches!(atom.what, What::Start | What::End) {
                        return None;
                    }
                    (atom.least, atom.most) = match character {
                        '*' => (0, usize::MAX),
                        '+' => (1, usize::MAX),
                        _ => (0, 1),
                    };
                    continue;
                }
                '^' => What::Start,
                '$' => What::End,
                '.' => What::Any,
                '[' => class(&mut characters)?,
                '\\' => What::One(characters.next()?),
                '(' | ')' | '{' | '}' | ']' => return None,
                other => What::One(other),
            };
            alternatives.last_mut()?.push(Atom { what, least: 1, most: 1 });
        }
        Some(Self { alternatives })
    }

    /// A shell's pattern, that matches a whole name: `*` and `?` stand for anything but a slash.
    pub(crate) fn glob(text: &str) -> Option<Self> {
        let mut pattern = String::from("^");
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' => pattern.push_str("[^/]*"),
                '?' => pattern.push_str("[^/]"),
                '[' => {
                    pattern.push('[');
                    for inside in characters.by_ref() {
                        pattern.push(inside);
                        if inside == ']' {
                            break;
                        }
                    }
                }
                '\\' => pattern.extend(['\\', characters.next()?]),
                other if "^$.+|(){}]".contains(other) => pattern.extend(['\\', other]),
                other => pattern.push(other),
            }
        }
        pattern.push('$');
        Self::new(&pattern)
    }

    /// Whether the pattern is somewhere in `text`.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut steps = 0;
        self.alternatives
            .iter()
            .any(|atoms| (0..=text.len()).any(|start| matches(atoms, &text, start, &mut steps)))
    }
}

/// What stands in brackets, after the first.
fn class(characters: &mut std::str::Chars<'_>) -> Option<What> {
    let (mut ranges, mut negated): (Vec<(char, char)>, bool) = (Vec::new(), false);
    let mut inside: Vec<char> = Vec::new();
    loop {
        match characters.next()? {
            '^' if inside.is_empty() && !negated => negated = true,
            ']' if !inside.is_empty() => break,
            character => inside.push(character),
        }
    }
    let mut at = 0;
    while at < inside.len() {
        if inside.get(at + 1) == Some(&'-') && at + 2 < inside.len() {
            ranges.push((inside[at], inside[at + 2]));
            at += 3;
        } else {
            ranges.push((inside[at], inside[at]));
            at += 1;
        }
    }
    Some(What::Class { ranges, negated })
}

fn matches(atoms: &[Atom], text: &[char], at: usize, steps: &mut usize) -> bool {
    *steps += 1;
    if *steps > MOST_STEPS {
        return false;
    }
    let Some((atom, rest)) = atoms.split_first() else { return true };
    match atom.what {
        What::Start => return at == 0 && matches(rest, text, at, steps),
        What::End => return at == text.len() && matches(rest, text, at, steps),
        _ => {}
    }
    let fits = |character: &char| match &atom.what {
        What::Any => true,
        What::One(wanted) => character == wanted,
        What::Class { ranges, negated } => {
            ranges.iter().any(|(low, high)| (low..=high).contains(&character)) != *negated
        }
        What::Start | What::End => false,
    };
    let longest = text[at..].iter().take_while(|character| fits(character)).count().min(atom.most);
    (atom.least..=longest).rev().any(|count| matches(rest, text, at + count, steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("debian", "debian", true),
            ("deb*", "debian", true),
            ("deb*", "a/debian", false),
            ("*", "a/b", false),
            ("*/b", "a/b", true),
            ("b?sy[a-c]ox", "busybox", true),
            ("a.b", "axb", false),
            ("*:1.2+3", "x:1.2+3", true),
        ] {
            assert_eq!(Pattern::glob(pattern).unwrap().is_in(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("web", "my-web-1", true),
            ("^web$", "web", true),
            ("^web$", "web1", false),
            ("^/web$", "/web", true),
            ("we.*1", "web-1", true),
            ("w+b", "wb", true),
            ("w?b$", "b", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a|^b", "xb", false),
            ("a|b$", "xb", true),
            ("a\\.b", "a.b", true),
            ("a\\.b", "axb", false),
            ("", "x", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().is_in(text), expected, "{pattern} {text}");
        }
        for pattern in ["*", "[a", "(a", "a\\", "^*"] {
            assert!(Pattern::new(pattern).is_none(), "{pattern}");
        }
        assert!(!Pattern::new(&("a*".repeat(100) + "b")).unwrap().is_in(&"a".repeat(128)));
    }
}
