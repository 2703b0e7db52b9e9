//! How listings look: docker's tables, `--format` and `--filter`, sizes, ages.
//!
//! A command that lists things describes its columns once ([`Listing`]), makes one JSON object of each thing, with docker's
//! names, and leaves `--format`, `-q` and the layout to [`Listing::print`]. One that prints one thing for a template uses
//! [`print_one`].

mod age;
mod filter;
mod listing;
mod pattern;
mod size;
mod table;

pub(crate) use age::{ago, date, duration, now, parse_moment, parse_time};
pub(crate) use filter::Filters;
pub(crate) use listing::{Listing, Show, print_one, print_values};
pub(crate) use pattern::Pattern;
pub(crate) use size::{binary_size, size};
pub(crate) use table::table;

/// What stands for a missing name, as in docker.
pub(crate) const NONE: &str = "<none>";
/// Digits of an id in a listing.
const SHORT: usize = 12;

/// The first twelve digits of an id, without its algorithm.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..SHORT).unwrap_or(digits)
}

/// Text no longer than `width`, with an ellipsis where it was cut.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_words_are_cut() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("01"), "01");
        assert_eq!(ellipsis("abcdef", 6), "abcdef");
        assert_eq!(ellipsis("abcdefg", 6), "abcde…");
    }
}
