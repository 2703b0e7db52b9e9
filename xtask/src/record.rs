//! Generated parts of the docs: what stands between `<!-- NAME -->` and `<!-- /NAME -->`, written by a chore, never by hand.

use std::fs;
use std::io;
use std::process::Command;

/// Replaces the generated part `name` of `path`, which is below the repository's root.
///
/// # Errors
/// When the file cannot be read or written, or lacks one of the two marks.
pub(crate) fn replace(path: &str, name: &str, text: &str) -> io::Result<()> {
    let path = crate::root().join(path);
    let old = fs::read_to_string(&path)?;
    let new = between(&old, name, text)
        .ok_or_else(|| io::Error::other(format!("lacks `<!-- {name} -->` and `<!-- /{name} -->`")))?;
    fs::write(path, new)
}

fn between(old: &str, name: &str, text: &str) -> Option<String> {
    let (first, last) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = old.find(&first)? + first.len();
    let end = start + old[start..].find(&last)?;
    Some(format!("{}\n{}\n\n{}", &old[..start], text.trim(), &old[end..]))
}

/// When, on which kernel and by which command a generated part was made.
pub(crate) fn stamp(command: &str) -> String {
    format!("Written by `{command}` on {}.", when())
}

/// The date and the kernel.
pub(crate) fn when() -> String {
    let word = |program: &str, argument: &str| {
        let output =
            Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let release = word("uname", "-r");
    // What follows names one machine's build of the kernel.
    let version = release.split('-').next().unwrap_or_default();
    format!("{}, Linux {version}", word("date", "+%Y-%m-%d"))
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn only_the_generated_part_changes() {
        let old = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n";
        let new = between(old, "t", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- t -->\n\nnew\n\n<!-- /t -->\nb\n");
        assert_eq!(between(&new, "t", "new").unwrap(), new);
        assert_eq!(between(old, "u", "new"), None);
        assert_eq!(between("<!-- t -->\n", "t", "new"), None);
    }
}
