//! What this host has of what containers need: each point applied, weaker or unavailable, and the exact
//! command that mends it.
//!
//! Kernel features are tried in a child, not looked up by version: distributions carry them back, and
//! filters of an outer container take them away.

mod control;
mod kernel;
mod storage;

use std::io::{self, Write};
use std::path::PathBuf;

pub use idmap::doctor::{Finding, Status};

/// Whose engine, and where.
#[derive(Clone, Debug)]
pub struct Host {
    /// Effective uid of the person who runs containers.
    pub uid: u32,
    /// Directory of images and containers; need not exist yet.
    pub store: PathBuf,
    /// Directory of locks and sockets; need not exist yet.
    pub run: PathBuf,
    /// `XDG_RUNTIME_DIR`, where it is set.
    pub runtime: Option<PathBuf>,
    /// Why AppArmor or SELinux, where one is on, does not confine containers, and the command that mends it; none where
    /// it does.
    pub unconfined: Option<(String, Option<String>)>,
}

impl Host {
    const fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// Looks at everything, in the order of a start: kernel, ids, control groups, storage.
///
/// Makes and removes user namespaces and mounts inside them; leaves nothing behind. Some tries need a
/// process without threads and say so where there are some.
#[must_use]
pub fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = kernel::findings(host);
    match idmap::doctor::examine(host.uid) {
        Ok(ids) => findings.extend(ids),
        Err(error) => findings.push(Finding::unavailable("subordinate ids", error.to_string(), None)),
    }
    findings.extend(control::findings(host));
    findings.extend(storage::findings(host));
    findings
}

/// Writes an aligned table: status, name, detail, and below it the command that mends it.
///
/// # Errors
/// Those of the writer.
pub fn render_text(findings: &[Finding], writer: &mut dyn Write) -> io::Result<()> {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for finding in findings {
        writeln!(writer, "{:<11}  {:<width$}  {}", finding.status.word(), finding.name, finding.detail)?;
        if let Some(mend) = &finding.mend {
            writeln!(writer, "{:<11}  {:<width$}  mend: {mend}", "", "")?;
        }
    }
    writeln!(writer, "\n{}", summary(findings))
}

/// The findings as JSON: `{"summary": ..., "findings": [{"name", "status", "detail", "mend"}]}`.
#[must_use]
pub fn to_json(findings: &[Finding]) -> serde_json::Value {
    let rows: Vec<_> = findings
        .iter()
        .map(|finding| {
            serde_json::json!({
                "name": finding.name,
                "status": finding.status.word(),
                "detail": finding.detail,
                "mend": finding.mend,
            })
        })
        .collect();
    serde_json::json!({ "summary": summary(findings), "findings": rows })
}

/// `doctor: 20 applied, 2 weaker, 0 unavailable`.
#[must_use]
pub fn summary(findings: &[Finding]) -> String {
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let (applied, weaker) = (count(Status::Applied), count(Status::Weaker));
    format!("doctor: {applied} applied, {weaker} weaker, {} unavailable", count(Status::Unavailable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned() {
        let findings =
            [Finding::applied("kernel", "6.1"), Finding::weaker("cgroup", "v1", Some("reboot".to_owned()))];
        let mut text = Vec::new();
        render_text(&findings, &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "applied      kernel  6.1\nweaker       cgroup  v1\n                     mend: reboot\n\n\
             doctor: 1 applied, 1 weaker, 0 unavailable\n"
        );
        assert_eq!(to_json(&findings)["findings"][1]["mend"], "reboot");
    }

    #[test]
    fn this_host_can_be_examined() {
        let host = Host {
            uid: 0,
            store: "/nonexistent/a".into(),
            run: "/nonexistent/b".into(),
            runtime: None,
            unconfined: None,
        };
        let findings = examine(&host);
        assert!(findings.len() > 15, "{findings:?}");
        assert!(findings.iter().all(|finding| !finding.detail.contains('\n')));
    }
}
