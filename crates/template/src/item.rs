//! A value while a template runs, and how Go prints it.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::error::Reason;

/// What docker's objects point to where there is one, and leave out of their JSON where there is none.
const POINTERS: &[&str] = &["Health", "Healthcheck", "SizeRootFs", "SizeRw", "StopTimeout"];

/// A value of the data, one that was made, or one that is not there.
#[derive(Clone, Debug)]
pub(crate) enum Item<'data> {
    /// A field of a map that has no such key: `<no value>`.
    Missing,
    /// A pointer of docker's to nothing: `<nil>`.
    Unset,
    /// What `index` gives for a key that is not there: the zero value of an unknown type. Prints as nothing.
    Zero,
    /// Something there.
    Present(Cow<'data, Value>),
}

impl<'data> Item<'data> {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Present(Cow::Owned(Value::String(text.into())))
    }

    pub(crate) fn bool(value: bool) -> Self {
        Self::Present(Cow::Owned(Value::Bool(value)))
    }

    pub(crate) fn number(value: usize) -> Self {
        Self::Present(Cow::Owned(Value::Number(value.into())))
    }

    pub(crate) fn value(&self) -> Option<&Value> {
        match self {
            Self::Present(value) => Some(value.as_ref()),
            Self::Missing | Self::Unset | Self::Zero => None,
        }
    }

    /// The bytes of a string; of anything else what it prints as.
    pub(crate) fn as_text(&self) -> Cow<'_, str> {
        match self.value() {
            Some(Value::String(text)) => Cow::Borrowed(text),
            _ => Cow::Owned(self.printed()),
        }
    }

    /// Go's truth: not empty, not zero.
    pub(crate) fn is_true(&self) -> bool {
        match self.value() {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => *value,
            Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
        }
    }

    /// A member of a map or struct.
    ///
    /// Missing ones are told apart by their first letter, as the crate's documentation says.
    pub(crate) fn field(&self, name: &str) -> Result<Self, Reason> {
        let missing = || match name.starts_with(|first: char| first.is_ascii_uppercase()) {
            true if POINTERS.contains(&name) => Ok(Self::Unset),
            true => Err(format!("map has no entry for key \"{name}\"")),
            false => Ok(Self::Missing),
        };
        match self {
            Self::Missing => missing(),
            Self::Unset | Self::Zero => Err(format!("nil pointer evaluating interface {{}}.{name}")),
            Self::Present(Cow::Borrowed(Value::Object(members))) => match members.get(name) {
                Some(value) => Ok(Self::Present(Cow::Borrowed(value))),
                None => missing(),
            },
            Self::Present(Cow::Owned(Value::Object(members))) => match members.get(name) {
                Some(value) => Ok(Self::Present(Cow::Owned(value.clone()))),
                None => missing(),
            },
            Self::Present(value) if value.is_null() => {
                Err(format!("nil pointer evaluating interface {{}}.{name}"))
            }
            Self::Present(value) => Err(format!("can't evaluate field {name} in type {}", kind(value))),
        }
    }

    /// The entry of a list, or the member of a map that a list of keys leads to.
    pub(crate) fn entry(&self, key: &Item<'_>) -> Result<Self, Reason> {
        let value = match self {
            Self::Zero | Self::Unset | Self::Missing => return Err("index of untyped nil".to_owned()),
            Self::Present(value) => value,
        };
        match (value.as_ref(), key.value()) {
            (Value::Null, _) => Err("index of nil pointer".to_owned()),
            (Value::Array(items), Some(Value::Number(number))) => {
                let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
                if at.is_none_or(|at| at >= items.len()) {
                    return Err(format!("index out of range: {number}"));
                }
                Ok(self.pick(|value| value.get(at?)))
            }
            (Value::Array(_), _) => Err("cannot index slice/array with type string".to_owned()),
            (Value::Object(_), Some(Value::String(key))) => Ok(self.pick(|value| value.get(key.as_str()))),
            (Value::Object(_), Some(other)) => {
                Err(format!("value has type {}; should be string", kind(other)))
            }
            (Value::String(text), Some(Value::Number(number))) => {
                let byte = number.as_u64().and_then(|at| text.as_bytes().get(usize::try_from(at).ok()?));
                let byte = byte.ok_or_else(|| format!("index out of range: {number}"))?;
                Ok(Self::number(usize::from(*byte)))
            }
            (other, _) => Err(format!("can't index item of type {}", kind(other))),
        }
    }

    /// A part of this value, borrowed where the value is; zero where there is none.
    fn pick(&self, part: impl Fn(&Value) -> Option<&Value>) -> Self {
        match self {
            Self::Present(Cow::Borrowed(value)) => {
                part(value).map_or(Self::Zero, |found| Self::Present(Cow::Borrowed(found)))
            }
            Self::Present(Cow::Owned(value)) => {
                part(value).map_or(Self::Zero, |found| Self::Present(Cow::Owned(found.clone())))
            }
            Self::Missing | Self::Unset | Self::Zero => Self::Zero,
        }
    }

    /// As Go's `%v` prints it.
    pub(crate) fn printed(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Missing => text.push_str("<no value>"),
            Self::Unset => text.push_str("<nil>"),
            Self::Zero => {}
            Self::Present(value) => print(value, &mut text),
        }
        text
    }

    /// Compact JSON, as docker's `json` function has it: `<`, `>` and `&` stay as they are.
    pub(crate) fn json(&self) -> String {
        self.value().map_or_else(|| "null".to_owned(), ToString::to_string)
    }
}

fn print(value: &Value, text: &mut String) {
    match value {
        // Most nulls of docker's JSON are lists that nothing is in.
        Value::Null => text.push_str("[]"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&print_number(number)),
        Value::String(string) => text.push_str(string),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(' ');
                }
                print(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push_str("map[");
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort();
            for (at, key) in keys.into_iter().enumerate() {
                if at > 0 {
                    text.push(' ');
                }
                text.push_str(key);
                text.push(':');
                print(&members[key], text);
            }
            text.push(']');
        }
    }
}

/// A number without an exponent, as long as Go prints it so.
pub(crate) fn print_number(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{float}")
}

/// The name of a value's type in messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Whether two values are equal; those of different kinds cannot be compared.
pub(crate) fn equal(left: &Item<'_>, right: &Item<'_>) -> Result<bool, Reason> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    };
    match (left.value(), right.value()) {
        (None, None) => Ok(true),
        (None, Some(value)) | (Some(value), None) => Ok(empty(value)),
        (Some(Value::Null), Some(other)) | (Some(other), Some(Value::Null)) => Ok(other.is_null()),
        (Some(left), Some(right)) => Ok(order(left, right)? == Ordering::Equal),
    }
}

/// Which of two comes first.
pub(crate) fn compare(left: &Item<'_>, right: &Item<'_>) -> Result<Ordering, Reason> {
    match (left.value(), right.value()) {
        (Some(Value::Bool(_)), _) | (_, Some(Value::Bool(_))) => {
            Err("invalid type for comparison".to_owned())
        }
        (Some(left), Some(right)) => order(left, right),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

fn order(left: &Value, right: &Value) -> Result<Ordering, Reason> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i128(), right.as_i128()) {
            (Some(left), Some(right)) => Ok(left.cmp(&right)),
            _ => {
                let (left, right) = (left.as_f64().unwrap_or(f64::NAN), right.as_f64().unwrap_or(f64::NAN));
                left.partial_cmp(&right).ok_or_else(|| "invalid type for comparison".to_owned())
            }
        },
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err("non-comparable type".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_print_as_in_go() {
        for (value, expected) in [
            (json!("a b"), "a b"),
            (json!(true), "true"),
            (json!(3), "3"),
            (json!(-3), "-3"),
            (json!(1.5), "1.5"),
            (json!(1e21), "1e+21"),
            (json!(0.00001), "1e-05"),
            (json!(123_456_789.0), "123456789"),
            (json!(null), "[]"),
            (json!(["a", 1]), "[a 1]"),
            (json!({"b": 1, "a": {"c": []}}), "map[a:map[c:[]] b:1]"),
        ] {
            assert_eq!(Item::Present(Cow::Owned(value)).printed(), expected);
        }
        assert_eq!(Item::Missing.printed(), "<no value>");
        let state = json!({"Status": "running"});
        let health = Item::Present(Cow::Borrowed(&state)).field("Health").unwrap();
        assert_eq!(
            (health.printed().as_str(), health.json().as_str(), health.is_true()),
            ("<nil>", "null", false)
        );
        assert!(health.field("Status").is_err());
    }
}
