//! Docker's tables: columns at least ten wide, three blanks apart, the last one as long as it is.

/// Narrowest column, with its blanks.
const NARROWEST: usize = 10;
/// Blanks between two columns.
const BETWEEN: usize = 3;

/// Lines whose cells are separated by tabs, as a table.
///
/// The last cell of a line belongs to no column, so that a long one moves nothing.
pub(crate) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for cells in &lines {
        for (at, cell) in cells[..cells.len() - 1].iter().enumerate() {
            let width = (cell.chars().count() + BETWEEN).max(NARROWEST);
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut aligned = String::with_capacity(text.len() * 2);
    for cells in lines {
        let last = cells.len() - 1;
        for (at, cell) in cells.iter().enumerate() {
            aligned.push_str(cell);
            if at < last {
                aligned.extend(std::iter::repeat_n(' ', widths[at] - cell.chars().count()));
            }
        }
        aligned.push('\n');
    }
    aligned
}

/// A table with a heading; cells hold no tab and no newline once they are printable.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = heading.join("\t");
    text.push('\n');
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| crate::output::printable_cell(cell)).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    align(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["busybox".into(), "1".into(), "x".into()],
            vec!["a".into(), "latest".into(), String::new()],
        ];
        assert_eq!(
            table(&["REPOSITORY", "TAG", "ID"], &rows),
            "REPOSITORY   TAG       ID\nbusybox      1         x\na            latest    \n"
        );
        assert_eq!(
            table(&["A", "B"], &[vec!["a\tb\nc".into(), "\u{1b}[2J".into()]]),
            "A         B\na\\tb\\nc   \\u{1b}[2J\n"
        );
        assert_eq!(align(""), "");
        assert_eq!(align("a\n\tb\n"), "a\n          b\n");
    }
}
