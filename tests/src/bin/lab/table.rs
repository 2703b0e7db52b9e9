//! The table, as Markdown: `cargo xtask lab --record` puts it into the documentation.

use std::fmt::Write;

use crate::person::Who;

/// What came of a check for one person.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// What the table says.
    pub(crate) text: String,
    /// Whether it is as it should be.
    pub(crate) is_expected: bool,
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// First column.
    pub(crate) name: &'static str,
    /// One for each person.
    pub(crate) cells: Vec<Cell>,
    /// Flags that open what is refused, as they are typed.
    pub(crate) mend: String,
}

/// The rows as a Markdown table.
pub(crate) fn markdown(people: &[Who], rows: &[Row]) -> String {
    let mut text = format!(
        "| check |{} mended by |\n|---|",
        people.iter().map(|who| format!(" {} |", who.name())).collect::<String>()
    );
    text.push_str(&"---|".repeat(people.len() + 1));
    text.push('\n');
    for row in rows {
        let cells: String = row.cells.iter().map(|cell| format!(" {} |", cell.text)).collect();
        let mend = if row.mend.is_empty() { String::new() } else { format!(" `{}`", row.mend) };
        writeln!(text, "| {} |{cells}{mend} |", row.name).expect("a string takes all");
    }
    text
}
