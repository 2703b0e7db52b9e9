//! What a check is: a script in a container of the `standard` profile, and what must come of it.

use crate::person::Who;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    /// First column.
    pub(crate) name: &'static str,
    /// Image to run.
    pub(crate) image: &'static str,
    /// Flags of `brig run`.
    pub(crate) flags: &'static [&'static str],
    /// Shell script; empty for the image's own command.
    pub(crate) script: &'static str,
    /// How the script reaches the container.
    pub(crate) way: Way,
    /// What must come of it.
    pub(crate) expect: Expect,
    /// Who may fail, and the reason that the table gives.
    pub(crate) except: &'static [(Who, &'static str)],
    /// Whether what drops to a user of its own stays root where no other id exists (see [`PRELUDE`]).
    pub(crate) stays_root: bool,
    /// Flags that open what is refused.
    pub(crate) mend: &'static [&'static str],
    /// Who the flags help: for others the kernel refuses, whatever is asked.
    pub(crate) mends_for: &'static [Who],
}

/// What must come of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The script ends with code 0.
    Works,
    /// The script fails, and this is what a person sees.
    Refused(&'static str),
}

/// How a script reaches its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As a word of the command.
    Word,
    /// As a word, with the package registries of this machine's configuration within reach.
    Registry,
    /// Typed on a terminal into an interactive shell, which must be left with code 7.
    Typed,
}

/// Known to every script: who a service becomes, and patience.
pub(crate) const PRELUDE: &str = r#"
one_id() { [ "$(awk '{ ids += $3 } END { print ids }' /proc/self/uid_map)" = 1 ]; }
owner() { if one_id; then echo root; else echo "$1"; fi; }
retry() { n=0; until "$@" 2>/tmp/retry; do n=$((n + 1)); [ $n -lt 300 ] || { cat /tmp/retry; return 1; }; sleep 0.1; done; }
"#;

impl Check {
    /// A script that works for everybody.
    pub(crate) const fn new(name: &'static str, image: &'static str, script: &'static str) -> Self {
        Self {
            name,
            image,
            flags: &[],
            script,
            way: Way::Word,
            expect: Expect::Works,
            except: &[],
            stays_root: false,
            mend: &[],
            mends_for: &Who::ALL,
        }
    }

    /// With these flags of `brig run`; the name says so.
    pub(crate) const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    /// With another way in.
    pub(crate) const fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Cannot work with one id: something changes to a second user.
    pub(crate) const fn needs_ids(mut self) -> Self {
        self.except = &[(Who::OneId, "needs ids")];
        self
    }

    /// For these people failing is expected, for this reason.
    pub(crate) const fn except(mut self, except: &'static [(Who, &'static str)]) -> Self {
        self.except = except;
        self
    }

    /// With one id, the service is told to stay root.
    pub(crate) const fn stays_root(mut self) -> Self {
        self.stays_root = true;
        self
    }

    /// Is refused and says `seen`; `mend` opens it.
    pub(crate) const fn refused(mut self, seen: &'static str, mend: &'static [&'static str]) -> Self {
        self.expect = Expect::Refused(seen);
        self.mend = mend;
        self
    }

    /// The mend helps only them.
    pub(crate) const fn mends_for(mut self, people: &'static [Who]) -> Self {
        self.mends_for = people;
        self
    }
}
