//! Go's `printf`, for the verbs that make sense on JSON: `%v %s %d %q %t %x %X %o %b %c %f %e %g %T %%`.

use serde_json::Value;

use crate::function::MAX_RESULT;
use crate::item::{Item, kind};

/// Widest field and highest precision.
const MAX_WIDTH: usize = 4096;

/// One directive, without its verb.
#[derive(Default)]
struct Directive {
    minus: bool,
    plus: bool,
    zero: bool,
    blank: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// What `format` makes of `arguments`; mistakes show in the text, as in Go.
pub(crate) fn printf(format: &str, arguments: &[Item<'_>]) -> Result<String, String> {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if text.len() > MAX_RESULT {
            return Err(format!("printf: more than {MAX_RESULT} bytes"));
        }
        if character != '%' {
            text.push(character);
            continue;
        }
        let mut directive = Directive::default();
        loop {
            match characters.peek() {
                Some('-') => directive.minus = true,
                Some('+') => directive.plus = true,
                Some('0') => directive.zero = true,
                Some(' ') => directive.blank = true,
                Some('#') => directive.sharp = true,
                _ => break,
            }
            characters.next();
        }
        directive.width = digits(&mut characters);
        if characters.peek() == Some(&'.') {
            characters.next();
            directive.precision = Some(digits(&mut characters));
        }
        if directive.width > MAX_WIDTH || directive.precision.is_some_and(|digits| digits > MAX_WIDTH) {
            return Err(format!("printf: wider than {MAX_WIDTH}"));
        }
        match characters.next() {
            None => text.push_str("%!(NOVERB)"),
            Some('%') => text.push('%'),
            Some(verb) => match arguments.next() {
                Some(argument) => text.push_str(&directive.print(verb, argument)),
                None => text.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let extra: Vec<String> = arguments.map(|item| format!("{}={}", name(item), item.printed())).collect();
    if !extra.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(text)
}

fn digits(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut number = 0_usize;
    while let Some(digit) = characters.peek().and_then(|character| character.to_digit(10)) {
        number = number.saturating_mul(10).saturating_add(digit as usize);
        characters.next();
    }
    number
}

fn name(item: &Item<'_>) -> &'static str {
    item.value().map_or("<nil>", kind)
}

impl Directive {
    fn print(&self, verb: char, item: &Item<'_>) -> String {
        let bad = || format!("%!{verb}({}={})", name(item), item.printed());
        let (body, is_number) = match (verb, item.value()) {
            ('T', _) => (name(item).to_owned(), false),
            ('v', Some(value @ (Value::Array(_) | Value::Object(_)))) if self.sharp => {
                (value.to_string(), false)
            }
            ('v', Some(Value::String(text))) if self.sharp => (quoted(text), false),
            ('v', _) => (item.printed(), matches!(item.value(), Some(Value::Number(_)))),
            ('s', None | Some(Value::String(_) | Value::Array(_) | Value::Object(_) | Value::Null)) => {
                (self.cut(&item.printed()), false)
            }
            ('q', Some(Value::String(text))) => (quoted(&self.cut(text)), false),
            ('q', Some(Value::Array(items))) => {
                let items: Vec<String> =
                    items.iter().map(|item| quoted(item.as_str().unwrap_or_default())).collect();
                (format!("[{}]", items.join(" ")), false)
            }
            ('t', Some(Value::Bool(value))) => (value.to_string(), false),
            ('x' | 'X', Some(Value::String(text))) => {
                let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                (if verb == 'X' { hex.to_uppercase() } else { hex }, false)
            }
            ('c', Some(Value::Number(number))) => {
                let code = number.as_u64().and_then(|code| u32::try_from(code).ok());
                (code.and_then(char::from_u32).unwrap_or('\u{fffd}').to_string(), false)
            }
            ('d' | 'x' | 'X' | 'o' | 'b', Some(Value::Number(number))) => match number.as_i128() {
                Some(whole) => (self.signed(integer(verb, self.sharp, whole), whole >= 0), true),
                None => return bad(),
            },
            ('f' | 'F' | 'e' | 'g', Some(Value::Number(number))) => match number.as_f64() {
                // Go refuses whole numbers here; JSON does not tell 1 from 1.0.
                Some(float) => {
                    let digits = self.precision.unwrap_or(6);
                    let text = match verb {
                        'e' => format!("{float:.digits$e}"),
                        'g' => format!("{float}"),
                        _ => format!("{float:.digits$}"),
                    };
                    (self.signed(text, float >= 0.0), true)
                }
                None => return bad(),
            },
            _ => return bad(),
        };
        self.pad(body, is_number)
    }

    /// A string no longer than the precision.
    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    fn signed(&self, text: String, is_positive: bool) -> String {
        match (is_positive, self.plus, self.blank) {
            (true, true, _) => format!("+{text}"),
            (true, false, true) => format!(" {text}"),
            _ => text,
        }
    }

    fn pad(&self, body: String, is_number: bool) -> String {
        let missing = self.width.saturating_sub(body.chars().count());
        if missing == 0 {
            return body;
        }
        if self.minus {
            return body + &" ".repeat(missing);
        }
        if self.zero && is_number {
            let digits = body.trim_start_matches(['-', '+', ' ']);
            let sign = &body[..body.len() - digits.len()];
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        " ".repeat(missing) + &body
    }
}

fn integer(verb: char, sharp: bool, whole: i128) -> String {
    let sign = if whole < 0 { "-" } else { "" };
    let size = whole.unsigned_abs();
    let prefix = match (sharp, verb) {
        (true, 'x') => "0x",
        (true, 'X') => "0X",
        (true, 'o') => "0",
        (true, 'b') => "0b",
        _ => "",
    };
    let digits = match verb {
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'o' => format!("{size:o}"),
        'b' => format!("{size:b}"),
        _ => size.to_string(),
    };
    format!("{sign}{prefix}{digits}")
}

/// A string as Go's source would spell it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\'' => quoted.push('\''),
            _ => quoted.extend(character.escape_debug()),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::borrow::Cow;

    #[test]
    fn verbs() {
        for (format, arguments, expected) in [
            ("%s|%5s|%-5s|%.1s", json!(["ab", "ab", "ab", "ab"]), "ab|   ab|ab   |a"),
            (
                "%d|%5d|%05d|%+d|%x|%#x|%o|%b",
                json!([5, 5, -5, 5, 255, 255, 8, 5]),
                "5|    5|-0005|+5|ff|0xff|10|101",
            ),
            ("%v %v %v", json!(["a", [1, 2], null]), "a [1 2] []"),
            ("%q %t %c", json!(["a\"b'", true, 65]), "\"a\\\"b'\" true A"),
            ("%f %.2f %T", json!([1.5, 1, "x"]), "1.500000 1.00 string"),
            ("%x", json!(["az"]), "617a"),
            ("100%%", json!([]), "100%"),
            ("%d", json!(["a"]), "%!d(string=a)"),
            ("%s", json!([1]), "%!s(int=1)"),
            ("%d", json!([]), "%!d(MISSING)"),
            ("x", json!([1]), "x%!(EXTRA int=1)"),
            ("%", json!([]), "%!(NOVERB)"),
        ] {
            let items: Vec<Item<'_>> = arguments
                .as_array()
                .unwrap()
                .iter()
                .map(|value| Item::Present(Cow::Borrowed(value)))
                .collect();
            assert_eq!(printf(format, &items).as_deref(), Ok(expected), "{format}");
        }
        assert!(printf("%99999999999999999999d", &[Item::number(1)]).is_err());
    }
}
