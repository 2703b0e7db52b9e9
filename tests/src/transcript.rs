//! Transcripts in documents: what a page says that somebody types, and what it says comes out of it.

/// In a page: any text of a line; as a line of its own any number of lines.
const ANYTHING: &str = "…";

/// One thing that is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Number of its line on the page, from 1.
    pub line: usize,
    /// What is typed, for a shell.
    pub command: String,
    /// The lines that come out of it.
    pub expected: Vec<String>,
}

/// The commands of a page's `console` blocks, in their order.
#[must_use]
pub fn read(page: &str) -> Vec<Typed> {
    let mut found: Vec<Typed> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            found.push(Typed { line: number + 1, command: command.to_owned(), expected: Vec::new() });
        } else if let (true, Some(last)) = (inside, found.last_mut()) {
            last.expected.push(line.to_owned());
        }
    }
    found
}

/// Whether these lines are what the page says.
#[must_use]
pub fn agrees<Line: AsRef<str>>(expected: &[String], lines: &[Line]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return lines.is_empty() };
    if first == ANYTHING {
        return (0..=lines.len()).any(|skipped| agrees(rest, &lines[skipped..]));
    }
    match lines.split_first() {
        Some((line, others)) => agrees_line(first, line.as_ref().trim_end()) && agrees(rest, others),
        None => false,
    }
}

fn agrees_line(expected: &str, line: &str) -> bool {
    let parts: Vec<&str> = expected.split(ANYTHING).collect();
    let [first, middle @ .., last] = parts.as_slice() else { return expected == line };
    let between = line.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = between else { return false };
    middle.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn commands_stand_in_console_blocks_only() {
        let page = "text\n$ not this\n```console\n$ one\nout\n\n$ two\n```\n```sh\n$ nor this\n```\n";
        let found = read(page);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].line, found[0].command.as_str()), (4, "one"));
        assert_eq!(found[0].expected, ["out", ""]);
        assert_eq!(found[1].expected, [] as [&str; 0]);
    }

    #[test]
    fn an_ellipsis_is_any_text_or_any_lines() {
        for (expected, actual, agree) in [
            (&[][..], &[][..], true),
            (&[], &["x"], false),
            (&["a"], &["a  "], true),
            (&["a"], &["ab"], false),
            (&["a"], &["b"], false),
            (&["…"], &[], true),
            (&["…"], &["a", "b"], true),
            (&["…", "z"], &["a", "z"], true),
            (&["…", "z"], &["z", "a"], false),
            (&["…", "z", "…"], &["a", "z", "b"], true),
            (&["a…c"], &["abc"], true),
            (&["a…c"], &["abcd"], false),
            (&["a…"], &["a"], true),
            (&["…c"], &["abc"], true),
            (&["…b…"], &["abc"], true),
            (&["…x…"], &["abc"], false),
            (&["a…b…c"], &["a1b2c"], true),
            (&["a…c"], &["acc"], true),
        ] {
            assert_eq!(agrees(&lines(expected), actual), agree, "{expected:?} {actual:?}");
        }
    }
}
