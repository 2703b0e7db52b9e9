//! One record of the journal, as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Caller;

/// What made a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A command that a person or a program typed.
    #[default]
    Command,
    /// Something that happened to a container without a command: it died, was started again, its health changed.
    Event,
    /// The journal itself: a gap was sealed, an old segment dropped.
    Chain,
}

/// One record. Empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Record {
    /// Its number in its chain, from 1.
    pub sequence: u64,
    /// SHA-256 of the line before it, in hexadecimal; zeros before the first.
    pub previous: String,
    /// Nanoseconds since 1970.
    pub time_nano: u64,
    /// What made it.
    pub kind: Kind,
    /// The command's name, such as `run` or `image rm`, or the event's.
    pub command: String,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// What was typed, without secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// What it was about, and what happened to that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
    /// The exit code; none where the container was still running when the record was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// Why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How many records the other chains had when this one was written, by chain.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<usize, u64>,
    /// A gap before this record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal: Option<Seal>,
    /// An old segment that was removed to stay within the bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
}

/// A container, image, volume, network or secret, and what happened to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Object {
    /// `container`, `image`, `volume`, `network`, `secret`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A container's image as it was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The digest of the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// What was opened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weakenings: Vec<String>,
    /// Docker's names of what happened: `create`, `start`, `die`, `destroy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// More of it, such as `exitCode` and labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What was found at the end of a chain that was not what its head said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seal {
    /// Where the torn bytes start in the segment.
    pub offset: u64,
    /// How many torn bytes there are: what a killed writer left.
    pub torn: u64,
    /// Their SHA-256.
    pub sha256: String,
    /// How many records were lost after this chain's last whole one.
    pub lost: u64,
}

/// An old segment that is gone on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dropped {
    /// Records up to this one are gone.
    pub sequence: u64,
    /// The SHA-256 of the last of them.
    pub sha256: String,
}
