//! What of the network is visible: interfaces and abstract sockets.

use crate::read;
use crate::report::{Report, errno_name};

const GROUP: &str = "network";

pub(crate) fn rows(report: &mut Report) {
    match read::text("/proc/net/dev") {
        Ok(text) => {
            let names: Vec<&str> = text
                .lines()
                .skip(2)
                .filter_map(|line| line.split_once(':'))
                .map(|(name, _)| name.trim())
                .collect();
            let answer = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
            report.info(GROUP, "interfaces", answer, "where packets can go");
        }
        Err(errno) => report.info(GROUP, "interfaces", errno_name(errno), "where packets can go"),
    }
    match read::text("/proc/net/unix") {
        Ok(text) => {
            let names = abstract_names(&text);
            let answer = match names.as_slice() {
                [] => "none".to_owned(),
                names => format!(
                    "{}: {}",
                    names.len(),
                    names.iter().take(4).copied().collect::<Vec<_>>().join(" ")
                ),
            };
            // No file permission guards them: containerd's was one (CVE-2020-15257).
            report.door(
                GROUP,
                "abstract sockets",
                names.is_empty(),
                answer,
                "the machine's services (CVE-2020-15257)",
            );
        }
        Err(errno) => {
            report.door(
                GROUP,
                "abstract sockets",
                true,
                errno_name(errno),
                "the machine's services (CVE-2020-15257)",
            );
        }
    }
}

/// Names of sockets that are in no file system.
fn abstract_names(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(7))
        .filter(|path| path.starts_with('@'))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abstract_sockets() {
        let text = "Num RefCount Protocol Flags Type St Inode Path\n\
            0: 00000002 00000000 00010000 0001 01 1 /run/x\n0: 2 0 1 1 01 2 @b\n0: 2 0 1 1 01 3 @a\n\
            0: 2 0 1 1 01 4\n0: 2 0 1 1 01 5 @a\n";
        assert_eq!(abstract_names(text), ["@a", "@b"]);
    }
}
