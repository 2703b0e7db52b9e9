//! The part of Go's text/template that people write behind `--format`, over JSON values.
//!
//! Fields and chains, variables, pipelines, `if`, `with`, `range`, `break`, `continue`, comments, trim markers; the
//! functions of Go (`and or not eq ne lt le gt ge index slice len print printf println html urlquery`) and of docker
//! (`json split join title lower upper pad truncate`). Errors are worded as Go words them, since scripts match them.
//!
//! It deliberately has no `define`, `template`, `block`, `call` and no channels, and it does nothing that costs more than
//! its limits: a template is bounded in length and depth, its execution in steps and in bytes of output.
//!
//! JSON does not tell a Go struct from a map, so one rule stands in for it: a field that is missing is an error when its
//! name starts with a capital letter, as those of structs do, and `<no value>` otherwise. In a condition it is false. The few
//! that docker has pointers for are `<nil>`.
//!
//! ```
//! # fn main() -> Result<(), template::Error> {
//! let format = template::Template::parse("{{range .Mounts}}{{.Name}} {{end}}")?;
//! let data = serde_json::json!({"Mounts": [{"Name": "a"}, {"Name": "b"}]});
//! assert_eq!(format.execute(&data)?, "a b ");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod error;
mod evaluate;
mod function;
mod item;
mod lex;
mod parse;
mod printf;
mod tree;

pub use error::Error;
pub use evaluate::Methods;
pub use tree::Template;
