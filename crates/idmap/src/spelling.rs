//! How far two names are apart, for "did you mean".

/// Longest name that is compared, in characters; login names end at 32.
const MAX_NAME: usize = 64;

/// Edits (insert, delete, replace, swap two neighbours) from one name to the other.
pub(crate) fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(MAX_NAME).collect();
    let to: Vec<char> = to.chars().take(MAX_NAME).collect();
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (index, row) in rows.iter_mut().enumerate() {
        row[0] = index;
    }
    for (index, cell) in rows[0].iter_mut().enumerate() {
        *cell = index;
    }
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let replace = usize::from(from[i - 1] != to[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + replace);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[from.len()][to.len()]
}

/// The known name nearest to a misspelt one, where it is near enough to be meant.
///
/// Near is up to a third of the letters, or one name that starts with the other and adds at most three
/// letters (`dockermap` and `dockermapper`).
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter_map(|candidate| {
            let steps = distance(name, candidate);
            let (short, long) = (name.len().min(candidate.len()), name.len().max(candidate.len()));
            let prefix = short >= 4 && (name.starts_with(candidate) || candidate.starts_with(name));
            let near = steps <= (long / 3).min(3) || (prefix && long - short <= 3);
            (near && steps > 0).then_some((steps, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("subuid", "eubuid", 1),
            ("subuid", "sbuuid", 1),
            ("a", "", 1),
            ("subgid", "subgids", 1),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn names_that_are_meant() {
        for (name, known, expected) in [
            ("dockermap", "dockermapper", Some("dockermapper")),
            ("dockermapper", "dockermap", Some("dockermap")),
            ("tset", "test", Some("test")),
            ("ann", "bob", None),
            ("ann", "ann", None),
            ("al", "alexander", None),
        ] {
            assert_eq!(nearest(name, [known]), expected, "{name}");
        }
    }
}
