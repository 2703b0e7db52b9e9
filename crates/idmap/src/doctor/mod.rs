//! What is wrong with the ids of a user on this host, each with the command that mends it.
//!
//! Reading ([`Facts::of_host`]) and judging ([`judge`]) are apart: the second is a pure function. The
//! mistakes it knows are those that people really make: a line for a misspelt user, `/etc/eubgid`, the
//! group's line appended to `/etc/subuid`, `dockermap` in one file and `dockermapper` in the other.

mod facts;
mod switches;
mod tables;

pub use facts::{Facts, HelperFile, Privilege};
pub use switches::{Attempt, Switches, powerless, refusal};

use crate::{Error, Side};

/// How a prerequisite stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Applied,
    /// Works with less protection or fewer features.
    Weaker,
    /// Does not work.
    Unavailable,
}

impl Status {
    /// The word for it, as printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Weaker => "weaker",
            Self::Unavailable => "unavailable",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, in a word or two.
    pub name: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was seen, in one line.
    pub detail: String,
    /// The exact command that mends it, to be run as root, where there is one.
    pub mend: Option<String>,
}

impl Finding {
    /// A finding that asks for nothing.
    #[must_use]
    pub fn applied(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Applied, detail: detail.into(), mend: None }
    }

    /// A finding that works with less.
    #[must_use]
    pub fn weaker(name: &'static str, detail: impl Into<String>, mend: Option<String>) -> Self {
        Self { name, status: Status::Weaker, detail: detail.into(), mend }
    }

    /// A finding that does not work.
    #[must_use]
    pub fn unavailable(name: &'static str, detail: impl Into<String>, mend: Option<String>) -> Self {
        Self { name, status: Status::Unavailable, detail: detail.into(), mend }
    }
}

/// Reads this host and judges it for a user.
///
/// # Errors
/// [`Error::Io`], [`Error::NotRegular`], [`Error::TooBig`] for files under `/etc`.
pub fn examine(uid: u32) -> Result<Vec<Finding>, Error> {
    Ok(judge(&Facts::of_host(uid)?))
}

/// Judges what was read.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![switches::judge(facts.privilege, &facts.switches, facts.attempt)];
    tables::judge(facts, &mut findings);
    for (side, helper) in [(Side::Uid, &facts.newuidmap), (Side::Gid, &facts.newgidmap)] {
        findings.push(helper_program(facts, side, helper.as_ref()));
    }
    findings
}

fn helper_program(facts: &Facts, side: Side, helper: Option<&HelperFile>) -> Finding {
    let name = side.program();
    let Some(helper) = helper else {
        if facts.privilege == Privilege::Root {
            return Finding::applied(name, "not installed, and root writes maps without it");
        }
        return Finding::weaker(
            name,
            "not installed: only your own id can be mapped",
            Some("apt-get install uidmap".to_owned()),
        );
    };
    let path = helper.path.display();
    if !helper.privileged {
        return Finding::weaker(
            name,
            format!("`{path}` has neither the set-user-id bit of root nor a file capability"),
            Some(format!("chown root:root {path} && chmod u+s {path}")),
        );
    }
    if helper.nosuid {
        return Finding::weaker(
            name,
            format!("`{path}` is on a file system mounted nosuid: it starts without privilege"),
            Some(format!("mount -o remount,suid \"$(findmnt -n -o TARGET -T {path})\"")),
        );
    }
    Finding::applied(name, path.to_string())
}

#[cfg(test)]
mod tests;
