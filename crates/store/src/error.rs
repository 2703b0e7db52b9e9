//! What can go wrong, by what the caller can do about it.

use std::path::{Path, PathBuf};

use oci::Digest;
use rustix::io::Errno;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation on the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused.
    #[error("{operation} `{}` in the store", .path.display())]
    System {
        /// What was tried.
        operation: &'static str,
        /// Path below the store's root, or as the caller gave it.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// A file operation failed.
    #[error("cannot read or write the store")]
    Files(#[from] files::Error),
    /// The store belongs to somebody else.
    #[error("store `{}` belongs to uid {owner}, not to uid {user}: choose another with `--root`", .path.display())]
    NotOurs {
        /// The store's root.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// A newer or foreign layout.
    #[error("store has format `{found}`, this program knows `1`: use the program that made it")]
    Format {
        /// Content of the file `format`, cut.
        found: String,
    },
    /// No such image.
    #[error("no image `{name}` in the store")]
    NotFound {
        /// What was looked for.
        name: String,
    },
    /// An id prefix of more than one image.
    #[error("`{prefix}` is the start of more than one image id: give more digits")]
    Ambiguous {
        /// The prefix.
        prefix: String,
    },
    /// Content does not have the digest it is named by.
    #[error("{what} has digest `{found}`, not `{expected}`: it was damaged or tampered with")]
    Digest {
        /// Which kind of content.
        what: &'static str,
        /// The name.
        expected: Box<Digest>,
        /// The truth.
        found: Box<Digest>,
    },
    /// Content does not have the size its descriptor says.
    #[error("`{digest}` has {found} bytes, its descriptor says {expected}")]
    Size {
        /// The content.
        digest: Box<Digest>,
        /// The descriptor's word.
        expected: u64,
        /// The truth; one more than expected when there is more.
        found: u64,
    },
    /// Content that a document names is not there.
    #[error("{what} `{name}` is missing")]
    Missing {
        /// Which kind of content.
        what: &'static str,
        /// Its digest or name.
        name: String,
    },
    /// A document is not valid.
    #[error("bad image document")]
    Image(#[from] oci::image::ImageError),
    /// A manifest and its configuration disagree.
    #[error("image has {layers} layers, but its configuration lists {diff_ids}")]
    LayerCount {
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the configuration.
        diff_ids: usize,
    },
    /// No image for this machine.
    #[error("no image for `{wanted}`, only for {found}")]
    Platform {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// A bound of hostile input.
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// Not an image archive, or a broken one.
    #[error("not an image archive: {reason}")]
    NotAnArchive {
        /// Why.
        reason: String,
    },
    /// A layer or archive could not be read or unpacked.
    #[error("cannot unpack the layer")]
    Archive(#[from] archive::Error),
    /// The unpacking child failed.
    #[error("{message}")]
    Child {
        /// What the child said.
        message: String,
    },
    /// The child's user namespace could not be made.
    #[error("cannot enter a user namespace to unpack")]
    Namespace(#[from] idmap::Error),
    /// Whoever gives the content failed.
    #[error("cannot get {what}")]
    Given {
        /// What was wanted.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was there when an operation began was removed meanwhile.
    #[error("a part of the image was removed while the rest came: try again")]
    Removed,
    /// The input stream failed.
    #[error("cannot read the input")]
    Input(#[source] std::io::Error),
    /// An image is used by a container.
    #[error("image `{image}` is used by container `{container}`: remove the container first, or use force")]
    InUse {
        /// The image as the caller named it.
        image: String,
        /// A container that uses it.
        container: String,
    },
    /// A holder of an image does not say which: nothing is collected until it does or is gone.
    #[error("cannot read `{path}`, which says what must stay: remove what it belongs to, then try again")]
    Lease {
        /// Path below the store's root.
        path: String,
    },
    /// An id that has names in several repositories.
    #[error("image `{image}` has names in several repositories: remove it by name, or use force")]
    ManyNames {
        /// The image's short id.
        image: String,
    },
    /// Several images, or none, for a format that holds one.
    #[error("{images} images do not fit into a format that holds one")]
    NotOne {
        /// How many there are.
        images: usize,
    },
    /// A `--change` that is not understood.
    #[error("change `{change}`: {reason}")]
    Change {
        /// As given.
        change: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A reference without a tag where one is needed.
    #[error("`{name}` has a digest: give a name and a tag")]
    NotATag {
        /// The reference.
        name: String,
    },
}

impl Error {
    pub(crate) fn system(operation: &'static str, path: impl AsRef<Path>, errno: Errno) -> Self {
        Self::System { operation, path: path.as_ref().to_owned(), errno }
    }

    /// Whether this says that no such image is in the store.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}
