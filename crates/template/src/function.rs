//! The functions a template can call.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::Reason;
use crate::item::{Item, compare, equal, kind};
use crate::printf::printf;

/// Most bytes that one function makes.
pub(crate) const MAX_RESULT: usize = 16 << 20;

/// A function of values; `and` and `or` are the evaluator's, since they do not look at all of theirs.
type Function = for<'data> fn(&[Item<'data>]) -> Result<Item<'data>, Reason>;

/// Name, fewest and most arguments, what it does.
type Row = (&'static str, usize, usize, Function);

const ANY: usize = usize::MAX;

const FUNCTIONS: &[Row] = &[
    ("eq", 2, ANY, eq),
    ("ge", 2, 2, |items| Ok(Item::bool(compare(&items[0], &items[1])?.is_ge()))),
    ("gt", 2, 2, |items| Ok(Item::bool(compare(&items[0], &items[1])?.is_gt()))),
    ("html", 1, ANY, |items| Ok(Item::text(html(&print(items))))),
    ("index", 1, ANY, index),
    ("join", 2, 2, join),
    ("json", 1, 1, |items| Ok(Item::text(items[0].json()))),
    ("le", 2, 2, |items| Ok(Item::bool(compare(&items[0], &items[1])?.is_le()))),
    ("len", 1, 1, len),
    ("lower", 1, 1, |items| Ok(Item::text(text(&items[0])?.to_lowercase()))),
    ("lt", 2, 2, |items| Ok(Item::bool(compare(&items[0], &items[1])?.is_lt()))),
    ("ne", 2, 2, |items| Ok(Item::bool(!equal(&items[0], &items[1])?))),
    ("not", 1, 1, |items| Ok(Item::bool(!items[0].is_true()))),
    ("pad", 3, 3, pad),
    ("print", 0, ANY, |items| Ok(Item::text(print(items)))),
    ("printf", 1, ANY, |items| Ok(Item::text(printf(&text(&items[0])?, &items[1..])?))),
    ("println", 0, ANY, println),
    ("slice", 1, 4, slice),
    ("split", 2, 2, split),
    ("title", 1, 1, |items| Ok(Item::text(title(&text(&items[0])?)))),
    ("truncate", 2, 2, truncate),
    ("upper", 1, 1, |items| Ok(Item::text(text(&items[0])?.to_uppercase()))),
    ("urlquery", 1, ANY, |items| Ok(Item::text(urlquery(&print(items))))),
];

/// Whether a template may call `name`.
pub(crate) fn is_known(name: &str) -> bool {
    matches!(name, "and" | "or") || FUNCTIONS.iter().any(|row| row.0 == name)
}

/// Calls a function.
pub(crate) fn call<'data>(name: &str, items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let Some((_, fewest, most, function)) = FUNCTIONS.iter().find(|row| row.0 == name) else {
        return Err(format!("function \"{name}\" not defined"));
    };
    if items.len() < *fewest || items.len() > *most {
        let wanted = if *most == ANY { format!("at least {fewest}") } else { fewest.to_string() };
        return Err(format!("wrong number of args for {name}: want {wanted} got {}", items.len()));
    }
    let made = function(items).map_err(|reason| format!("error calling {name}: {reason}"))?;
    match made.value() {
        Some(Value::String(text)) if text.len() > MAX_RESULT => {
            Err(format!("error calling {name}: more than {MAX_RESULT} bytes"))
        }
        _ => Ok(made),
    }
}

/// A string; nothing else, as in Go.
fn text<'item>(item: &'item Item<'_>) -> Result<Cow<'item, str>, Reason> {
    match item.value() {
        None | Some(Value::String(_)) => Ok(item.as_text()),
        Some(other) => Err(format!("wrong type for value; expected string; got {}", kind(other))),
    }
}

fn count(item: &Item<'_>) -> Result<usize, Reason> {
    let wrong = |got: &str| Err(format!("wrong type for value; expected int; got {got}"));
    match item.value() {
        Some(Value::Number(number)) if number.is_f64() => wrong("float64"),
        Some(Value::Number(number)) => {
            let whole = number.as_u64().and_then(|number| usize::try_from(number).ok());
            whole.ok_or_else(|| format!("{number} is out of range"))
        }
        other => wrong(other.map_or("nil", kind)),
    }
}

fn eq<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    for other in &items[1..] {
        if equal(&items[0], other)? {
            return Ok(Item::bool(true));
        }
    }
    Ok(Item::bool(false))
}

fn index<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let mut found = items[0].clone();
    for key in &items[1..] {
        found = found.entry(key)?;
    }
    Ok(found)
}

fn len<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let length = match items[0].value() {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(members)) => members.len(),
        Some(other) => return Err(format!("len of type {}", kind(other))),
    };
    Ok(Item::number(length))
}

fn join<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let separator = text(&items[1])?;
    let parts = match items[0].value() {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(parts)) => {
            parts.iter().map(|part| Item::Present(Cow::Borrowed(part)).printed()).collect()
        }
        Some(other) => return Err(format!("expected []string; got {}", kind(other))),
    };
    let between = separator.len().saturating_mul(parts.len());
    if parts.iter().map(String::len).sum::<usize>().saturating_add(between) > MAX_RESULT {
        return Err(format!("more than {MAX_RESULT} bytes"));
    }
    Ok(Item::text(parts.join(&separator)))
}

fn split<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let (whole, separator) = (text(&items[0])?, text(&items[1])?);
    let parts: Vec<Value> = match separator.is_empty() {
        true => whole.chars().map(|character| Value::String(character.to_string())).collect(),
        false => whole.split(&*separator).map(|part| Value::String(part.to_owned())).collect(),
    };
    Ok(Item::Present(Cow::Owned(Value::Array(parts))))
}

/// `pad TEXT BEFORE AFTER`: blanks on both sides; an empty text stays empty.
fn pad<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let (whole, before, after) = (text(&items[0])?, count(&items[1])?, count(&items[2])?);
    if before > MAX_RESULT || after > MAX_RESULT {
        return Err(format!("more than {MAX_RESULT} bytes"));
    }
    if whole.is_empty() {
        return Ok(Item::text(""));
    }
    Ok(Item::text(format!("{}{whole}{}", " ".repeat(before), " ".repeat(after))))
}

/// `truncate TEXT LENGTH`
fn truncate<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let (whole, length) = (text(&items[0])?, count(&items[1])?);
    Ok(Item::text(whole.chars().take(length).collect::<String>()))
}

/// `slice X [FROM [TO]]` of a string, in bytes, or a list.
fn slice<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let bounds = items[1..].iter().map(count).collect::<Result<Vec<_>, _>>()?;
    let length = match items[0].value() {
        None => return Err("slice of untyped nil".to_owned()),
        Some(Value::String(text)) if bounds.len() < 3 => text.len(),
        Some(Value::String(_)) => return Err("cannot 3-index slice a string".to_owned()),
        Some(Value::Array(items)) => items.len(),
        Some(other) => return Err(format!("can't slice item of type {}", kind(other))),
    };
    let from = bounds.first().copied().unwrap_or(0);
    let to = bounds.get(1).copied().unwrap_or(length);
    if to > length {
        return Err(format!("index out of range: {to}"));
    }
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match items[0].value() {
        Some(Value::Array(items)) => Item::Present(Cow::Owned(Value::Array(items[from..to].to_vec()))),
        _ => {
            let whole = items[0].as_text();
            // A cut within a character leaves its halves out.
            Item::text(whole.get(whole.ceil_char_boundary(from)..whole.floor_char_boundary(to)).unwrap_or(""))
        }
    })
}

/// Go's `print`: a blank between two that are both no strings.
fn print(items: &[Item<'_>]) -> String {
    let is_text = |item: &Item<'_>| matches!(item.value(), Some(Value::String(_)));
    let mut printed = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 && !is_text(item) && !is_text(&items[at - 1]) {
            printed.push(' ');
        }
        printed.push_str(&item.printed());
        if printed.len() > MAX_RESULT {
            break;
        }
    }
    printed
}

fn println<'data>(items: &[Item<'data>]) -> Result<Item<'data>, Reason> {
    let mut printed = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            printed.push(' ');
        }
        printed.push_str(&item.printed());
        if printed.len() > MAX_RESULT {
            return Err(format!("more than {MAX_RESULT} bytes"));
        }
    }
    printed.push('\n');
    Ok(Item::text(printed))
}

/// The first letter of each word as a capital.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut is_start = true;
    for character in text.chars() {
        if is_start {
            titled.extend(character.to_uppercase());
        } else {
            titled.push(character);
        }
        is_start = !(character.is_alphanumeric() || matches!(character, '_' | '\''));
    }
    titled
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn urlquery(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
