//! Entrances for the fuzz targets.

use crate::report::Report;

/// The rows of a mount table, as text.
#[must_use]
pub fn mount_rows(table: &str) -> String {
    let mut report = Report::default();
    crate::mount::rows(&mut report, table);
    let mut text = Vec::new();
    report.render_text(&mut text).expect("a vector takes every write");
    String::from_utf8_lossy(&text).into_owned()
}
