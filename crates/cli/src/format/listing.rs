//! `--format`, `-q` and tables, for every command that lists something.

use serde_json::{Map, Value};
use template::Template;

use super::table::align;
use crate::error::Failure;
use crate::output;

/// Methods of rows: the row, the method's name and its words.
pub(crate) type RowMethods<'a> = &'a dyn Fn(&Value, &str, &[&str]) -> Option<String>;

/// What the listing of a kind of things can print.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Fields that a template may name and their headings, docker's.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// The table that is printed without `--format`, as a template of cells separated by tabs.
    pub(crate) table: &'static str,
    /// What `-q` prints.
    pub(crate) quiet: &'static str,
}

/// How one listing is shown: a template and whether its cells form a table.
#[derive(Debug)]
pub(crate) struct Show {
    template: Template,
    is_table: bool,
    /// Whether a table starts with its headings.
    pub(crate) heading: bool,
}

impl Listing {
    /// Reads `--format`: nothing, `table`, `table TEMPLATE`, `json` or a template. `-q` wins over all of them.
    pub(crate) fn show(&self, format: Option<&str>, quiet: bool) -> Result<Show, Failure> {
        let (text, is_table) = match format.map(str::trim) {
            _ if quiet => (self.quiet.to_owned(), false),
            None | Some("" | "table") => (self.table.to_owned(), true),
            Some("json") => ("{{json .}}".to_owned(), false),
            Some(text) => {
                match text.strip_prefix("table").filter(|rest| rest.starts_with([' ', '\t', '{'])) {
                    Some(cells) => (unescape(cells.trim_start()), true),
                    None => (unescape(text), false),
                }
            }
        };
        Ok(Show { template: parse(&text)?, is_table, heading: true })
    }

    /// Prints one row for each object.
    pub(crate) fn print(&self, show: &Show, rows: &[Value]) -> Result<(), Failure> {
        self.print_with(show, rows, &|_, _, _| None)
    }

    /// As [`Self::print`], for rows with methods such as `.Label "key"`: they get the row, the method and its words.
    pub(crate) fn print_with(
        &self,
        show: &Show,
        rows: &[Value],
        methods: RowMethods<'_>,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        let mut print = |data: &Value, methods: template::Methods<'_>| {
            let line = show.template.execute_with(data, methods).map_err(|error| failure(&error))?;
            text.push_str(&line);
            // As docker: a template ends its lines itself where it wants more than one.
            text.push('\n');
            Ok::<(), Failure>(())
        };
        if show.is_table && show.heading {
            let headings: Map<String, Value> =
                self.fields.iter().map(|(field, heading)| ((*field).to_owned(), (*heading).into())).collect();
            print(&headings.into(), &|_, words| words.first().map(|word| (*word).to_owned()))?;
        }
        for row in rows {
            let row_methods = |name: &str, words: &[&str]| methods(row, name, words);
            match show.is_table {
                true => print(&printable(row), &row_methods)?,
                false => print(row, &row_methods)?,
            }
        }
        output::print_data(&if show.is_table { align(&text) } else { text })
    }
}

impl Show {
    /// Whether the template can print this field; for those that cost something to find out.
    pub(crate) fn uses(&self, field: &str) -> bool {
        self.template.uses(field)
    }
}

/// Prints one value for `--format`: `json`, or a template. Docker adds a newline after each.
pub(crate) fn print_one(format: &str, value: &Value) -> Result<(), Failure> {
    print_values(format, std::slice::from_ref(value))
}

/// Prints values for `--format`, a line for each.
pub(crate) fn print_values(format: &str, values: &[Value]) -> Result<(), Failure> {
    let template = match format.trim() {
        "json" => parse("{{json .}}")?,
        text => parse(&unescape(text))?,
    };
    let mut text = String::new();
    for value in values {
        text.push_str(&template.execute(value).map_err(|error| failure(&error))?);
        text.push('\n');
    }
    output::print_data(&text)
}

fn parse(text: &str) -> Result<Template, Failure> {
    Template::parse(text).map_err(|error| failure(&error))
}

fn failure(error: &template::Error) -> Failure {
    Failure::user(format!("template parsing error: {error}"))
        .hint("`--format json` shows the fields that there are")
}

/// `\t` and `\n` as people type them in a shell.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// A copy whose strings cannot break a table or drive a terminal.
fn printable(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(output::printable_cell(text)),
        Value::Array(items) => Value::Array(items.iter().map(printable).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), printable(value))).collect())
        }
        other => other.clone(),
    }
}
