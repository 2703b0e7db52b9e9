//! The people who try: the table's columns.

use testkit::Need;
use tests::Brig;

/// Who runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Root of the machine; the container has a user namespace of its own.
    Root,
    /// A user with 65,536 subordinate ids.
    Rootless,
    /// A user with none: the container has one user and one group.
    OneId,
}

impl Who {
    /// Everybody, in the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::Root, Self::Rootless, Self::OneId];

    /// The column's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Rootless => "rootless",
            Self::OneId => "rootless, one id",
        }
    }

    /// Finds a person by their word on the command line.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "root" => Some(Self::Root),
            "rootless" => Some(Self::Rootless),
            "one-id" => Some(Self::OneId),
            _ => None,
        }
    }

    /// What becoming them needs.
    pub(crate) fn need(self) -> Need {
        match self {
            Self::Root => Need::Root,
            Self::Rootless => Need::UserWithSubids,
            Self::OneId => Need::UserWithoutSubids,
        }
    }

    /// `brig` as they use it, with a fresh store.
    pub(crate) fn brig(self) -> Brig {
        match self {
            Self::Root => Brig::root(),
            Self::Rootless => Brig::user(),
            Self::OneId => Brig::bare(),
        }
    }
}
