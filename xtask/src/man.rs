//! `cargo xtask man`: the manual pages, made of what `--help` prints, so that the two never differ.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// What no help text says.
struct Page {
    /// The name of the page, and of the program on it.
    name: &'static str,
    /// The words after `brig` that call the program.
    words: &'static [&'static str],
    /// What stands after the dash in the list of pages.
    about: &'static str,
    description: &'static [&'static str],
    exit: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    environment: &'static [(&'static str, &'static str)],
    see_also: &'static str,
}

const PAGES: &[Page] = &[
    Page {
        name: "brig",
        words: &[],
        about: "store images and run containers without a daemon",
        description: &[
            "brig runs a program in a container of its own: with its own user, process, mount, network, IPC, host \
             name and control group namespaces, few capabilities, no way to gain privileges, a filter of system \
             calls and hidden kernel files.",
            "Nothing runs when no container runs. A container is a child of the command that started it and belongs \
             to the user who did. Each flag that opens one of the protections is named on standard error and kept \
             in the container's record.",
            "The image `hello' is built in: `brig run --rm hello' tells what is closed and what is open.",
        ],
        exit: &[
            ("125", "the engine failed: a bad flag, a missing image, a protection that cannot be applied"),
            ("126", "the program was found and cannot be executed"),
            ("127", "the program was not found"),
            ("128+n", "signal n ended the program"),
            (
                "other",
                "the program's own; of other commands than run, 0 for success; 1 of doctor where something is unavailable",
            ),
        ],
        files: &[
            ("/var/lib/brig", "images and containers of root"),
            ("~/.local/share/brig", "images and containers of a user; $XDG_DATA_HOME/brig where that is set"),
            (
                "/run/brig, $XDG_RUNTIME_DIR/brig",
                "locks and what is gone after a reboot; /tmp/brig-UID where there is neither",
            ),
            ("/etc/subuid, /etc/subgid", "the subordinate ids of users, see subuid(5)"),
        ],
        environment: &[
            ("HOME, XDG_DATA_HOME", "decide where a user's images and containers are"),
            ("XDG_RUNTIME_DIR", "decides where a user's locks are"),
        ],
        see_also: "brig\\-runtime(1), subuid(5), user_namespaces(7), capabilities(7), seccomp(2)",
    },
    Page {
        name: "brig-runtime",
        words: &["runtime"],
        about: "OCI runtime of Brigantine",
        description: &[
            "brig-runtime is brig under another name (a link to it) or `brig runtime'. It has the command line of \
             runc, so that containerd, podman, CRI-O and Docker can use it unchanged.",
            "It runs bundles according to the OCI runtime specification and adds no protection that the bundle does \
             not ask for.",
        ],
        exit: &[
            ("0", "success"),
            ("1", "the runtime failed"),
            ("other", "of run and exec: the program's own, or 128 and the signal that ended it"),
        ],
        files: &[("/run/brig-runtime, $XDG_RUNTIME_DIR/brig-runtime", "the state of the containers")],
        environment: &[
            (
                "XDG_RUNTIME_DIR",
                "decides where a user's containers have their state, and which bus makes scopes",
            ),
            (
                "LISTEN_FDS, NOTIFY_SOCKET",
                "passed on to the container, see sd_listen_fds(3) and sd_notify(3)",
            ),
        ],
        see_also: "brig(1), runc(8)",
    },
];

/// Writes the pages into `docs/man`.
///
/// # Errors
/// When the program cannot be run or a page cannot be written.
pub(crate) fn write(brig: &Path) -> io::Result<()> {
    fs::create_dir_all(directory())?;
    for page in PAGES {
        fs::write(file(page), render(brig, page)?)?;
    }
    Ok(())
}

fn directory() -> PathBuf {
    crate::root().join("docs/man")
}

fn file(page: &Page) -> PathBuf {
    directory().join(format!("{}.1", page.name))
}

/// What the program prints for `words`.
fn printed(brig: &Path, page: &Page, words: &[&str]) -> io::Result<String> {
    let output = Command::new(brig).args(page.words).args(words).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{} {words:?}: {}", brig.display(), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn render(brig: &Path, page: &Page) -> io::Result<String> {
    let version = printed(brig, page, &["--version"])?;
    let version = version.lines().next().unwrap_or_default().rsplit(' ').next().unwrap_or_default();
    let help = printed(brig, page, &["--help"])?;
    let (title, name) = (escaped(&page.name.to_uppercase()), escaped(page.name));
    // A page without a date is the same from every build.
    let mut text = format!(
        ".\\\" Made by `cargo xtask man` of what `--help` prints: change that.\n.TH {title} 1 \"\" \"{} {version}\" \"User Commands\"\n",
        page.name
    );
    text.push_str(&format!(
        ".SH NAME\n{name} \\- {}\n.SH SYNOPSIS\n.B {}\n",
        escaped(page.about),
        escaped(usage(&help))
    ));
    text.push_str(".SH DESCRIPTION\n");
    for paragraph in page.description {
        text.push_str(&format!("{}\n.PP\n", escaped(paragraph)));
    }
    let parts = parts(&help);
    for part in parts.iter().filter(|part| !part.entries.is_empty()) {
        entries(&mut text, ".SH", &part.title.to_uppercase(), &part.entries);
    }
    for (command, about) in
        parts.iter().filter(|part| part.title == "Commands").flat_map(|part| &part.entries)
    {
        let help = printed(brig, page, &[command, "--help"])?;
        text.push_str(&format!(
            ".SH {} {}\n{}.\n.PP\n.B {}\n",
            title,
            escaped(&command.to_uppercase()),
            escaped(about),
            escaped(usage(&help))
        ));
        for part in self::parts(&help).iter().filter(|part| !part.entries.is_empty()) {
            entries(&mut text, ".SS", &part.title, &part.entries);
        }
    }
    for (title, rows) in
        [("EXIT STATUS", page.exit), ("FILES", page.files), ("ENVIRONMENT", page.environment)]
    {
        let rows: Vec<_> =
            rows.iter().map(|(term, about)| ((*term).to_owned(), (*about).to_owned())).collect();
        entries(&mut text, ".SH", title, &rows);
    }
    text.push_str(&format!(".SH SEE ALSO\n{}\n", page.see_also));
    Ok(text)
}

fn entries(text: &mut String, macro_name: &str, title: &str, entries: &[(String, String)]) {
    text.push_str(&format!("{macro_name} {}\n", escaped(title)));
    for (term, about) in entries {
        text.push_str(&format!(".TP\n.B {}\n{}\n", escaped(term), escaped(about)));
    }
}

fn usage(help: &str) -> &str {
    help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or_default()
}

/// A heading of a help text and what is listed below it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    title: String,
    entries: Vec<(String, String)>,
}

/// Reads a help text: headings end with a colon, entries are indented, their descriptions stand two blanks after the term
/// or indented further on the next line.
fn parts(help: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut term_indent = 0;
    for line in help.lines().filter(|line| !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        if indent == 0 {
            if let Some(title) = line.strip_suffix(':') {
                parts.push(Part { title: title.to_owned(), entries: Vec::new() });
            }
            continue;
        }
        let Some(part) = parts.last_mut() else { continue };
        let words = line.trim();
        let is_term = part.entries.is_empty() || indent <= term_indent.max(6);
        if is_term {
            term_indent = indent;
            let (term, about) = words.split_once("  ").unwrap_or((words, ""));
            part.entries.push((term.to_owned(), about.trim().to_owned()));
        } else if let Some((_, about)) = part.entries.last_mut() {
            if !about.is_empty() {
                about.push(' ');
            }
            about.push_str(words);
        }
    }
    parts
}

/// Text that means itself to roff.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_texts_are_read() {
        let help = "About\n\nUsage: a [FLAGS]\n\nCommands:\n  run          Run\n\nOptions:\n  -b, --bundle <B>\n          Directory\n          of it\n      --no-pivot\n          No\n  -h, --help   Help\n";
        let part = |title: &str, entries: &[(&str, &str)]| Part {
            title: title.to_owned(),
            entries: entries.iter().map(|(term, about)| ((*term).to_owned(), (*about).to_owned())).collect(),
        };
        let options = [("-b, --bundle <B>", "Directory of it"), ("--no-pivot", "No"), ("-h, --help", "Help")];
        assert_eq!(parts(help), [part("Commands", &[("run", "Run")]), part("Options", &options)]);
        assert_eq!(usage(help), "a [FLAGS]");
        assert_eq!(escaped(".\\-"), "\\&.\\e\\-");
    }

    #[test]
    fn the_pages_are_up_to_date() {
        for page in PAGES {
            let kept = fs::read_to_string(file(page)).unwrap_or_default();
            let made = render(testkit::brig(), page).unwrap_or_else(|error| panic!("{}: {error}", page.name));
            assert!(kept == made, "docs/man/{}.1 is old: run `cargo xtask man`", page.name);
        }
    }
}
