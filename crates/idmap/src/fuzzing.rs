//! Entrances for the fuzz targets: parsers of what other programs print.

use crate::Span;

/// What `getsubids` printed for a user.
#[must_use]
pub fn getsubids(output: &[u8], name: &str) -> Vec<Span> {
    crate::subordinate::parse_getsubids(output, name)
}

/// Whether a database of nsswitch.conf(5) comes from anything but files.
#[must_use]
pub fn outside_service(switch: &[u8], database: &str) -> bool {
    crate::subordinate::outside_service(switch, database)
}

/// The known name nearest to a misspelt one.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    crate::spelling::nearest(name, known.iter().copied())
}
