//! D-Bus's wire format (D-Bus specification, "Marshaling"), as much of it as calls to systemd need. Reading
//! never recurses: no answer that we ask for is deeper than one variant.

/// Longest message taken or sent, in bytes. The specification allows 128 MiB; the longest that we know of is
/// a scope with masks for 8192 CPUs and nodes, about 3 KiB.
pub(super) const MESSAGE_BYTES: usize = 1 << 20;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it ends too early")]
    Short,
    #[error("it is longer than {MESSAGE_BYTES} bytes")]
    Long,
    #[error("its padding is not zero")]
    Padding,
    #[error("a text is not UTF-8, or has a zero byte")]
    Text,
    #[error("an object path is not one")]
    Path,
    #[error("a value has another type than its place")]
    Type,
    #[error("its header is not one")]
    Header,
}

/// Which end of a number comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Little,
    Big,
}

/// Writes values, the lowest byte first. Holds the first fault until [`Self::finish`].
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    fault: Option<Malformed>,
}

impl Writer {
    /// Pads to a multiple of `alignment`.
    pub(super) fn align(&mut self, alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
    }

    /// Writes a `y`.
    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Writes a `u`.
    pub(super) fn word(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    /// Writes a `t`.
    pub(super) fn long(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
    }

    /// Writes a `b`.
    pub(super) fn flag(&mut self, value: bool) {
        self.word(value.into());
    }

    /// Writes an `s`, or an `o`.
    pub(super) fn text(&mut self, value: &str) {
        self.check(value, MESSAGE_BYTES);
        self.word(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.bytes.extend(value.bytes().chain([0]));
    }

    /// Writes a `g`.
    pub(super) fn signature(&mut self, value: &str) {
        self.check(value, u8::MAX.into());
        self.byte(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.bytes.extend(value.bytes().chain([0]));
    }

    /// Writes an array whose elements have this alignment.
    pub(super) fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) {
        self.word(0);
        let place = self.bytes.len() - 4;
        self.align(alignment);
        let start = self.bytes.len();
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Appends what another writer made; the caller has aligned it.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Returns the bytes, if all of them are as the format wants them.
    pub(super) fn finish(self) -> Result<Vec<u8>, Malformed> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.bytes.len() > MESSAGE_BYTES => Err(Malformed::Long),
            None => Ok(self.bytes),
        }
    }

    fn check(&mut self, text: &str, limit: usize) {
        let fault = if text.len() > limit {
            Some(Malformed::Long)
        } else {
            text.contains('\0').then_some(Malformed::Text)
        };
        self.fault = self.fault.or(fault);
    }
}

/// Reads values from a message or its body.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    order: Order,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], order: Order) -> Self {
        Self { bytes, at: 0, order }
    }

    /// How many bytes are read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Takes bytes as they are.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed::Short)?;
        self.at = end;
        Ok(taken)
    }

    /// Skips the padding before a value of this alignment.
    pub(super) fn align(&mut self, alignment: usize) -> Result<(), Malformed> {
        let padding = self.take(self.at.next_multiple_of(alignment) - self.at)?;
        if padding.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Malformed::Padding) }
    }

    /// Reads a `y`.
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// Reads a `u`.
    pub(super) fn word(&mut self) -> Result<u32, Malformed> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().map_err(|_| Malformed::Short)?;
        Ok(match self.order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        })
    }

    /// Reads a length: a `u` that is no more than the longest message.
    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        let length = usize::try_from(self.word()?).map_err(|_| Malformed::Long)?;
        if length > MESSAGE_BYTES { Err(Malformed::Long) } else { Ok(length) }
    }

    /// Reads an `s`.
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.length()?;
        self.ended(length)
    }

    /// Reads an `o`.
    pub(super) fn path(&mut self) -> Result<&'a str, Malformed> {
        let path = self.text()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let step = |step: &str| !step.is_empty() && step.bytes().all(plain);
        match path.strip_prefix('/') {
            Some("") => Ok(path),
            Some(steps) if steps.split('/').all(step) => Ok(path),
            _ => Err(Malformed::Path),
        }
    }

    /// Reads a `g`.
    pub(super) fn signature(&mut self) -> Result<&'a str, Malformed> {
        let length = self.byte()?.into();
        self.ended(length)
    }

    /// Skips a value of this basic type. Containers are refused: nothing that must be skipped is one.
    pub(super) fn skip(&mut self, signature: &str) -> Result<(), Malformed> {
        let size = match signature {
            "s" | "o" => return self.text().map(drop),
            "g" => return self.signature().map(drop),
            "y" => 1,
            "n" | "q" => 2,
            "b" | "i" | "u" | "h" => 4,
            "x" | "t" | "d" => 8,
            _ => return Err(Malformed::Type),
        };
        self.align(size)?;
        self.take(size).map(drop)
    }

    /// Reads the type of a variant that must have this one.
    pub(super) fn variant(&mut self, signature: &str) -> Result<(), Malformed> {
        if self.signature()? == signature { Ok(()) } else { Err(Malformed::Type) }
    }

    /// Takes a text and the zero byte after it.
    fn ended(&mut self, length: usize) -> Result<&'a str, Malformed> {
        let text = self.take(length)?;
        if self.byte()? != 0 || text.contains(&0) {
            return Err(Malformed::Text);
        }
        std::str::from_utf8(text).map_err(|_| Malformed::Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_where_the_specification_puts_them() {
        let mut writer = Writer::default();
        writer.byte(7);
        writer.text("ab");
        writer.array(8, |array| array.long(1));
        writer.signature("a(sv)");
        writer.flag(true);
        assert_eq!(
            writer.finish().unwrap(),
            b"\x07\0\0\0\x02\0\0\0ab\0\0\x08\0\0\0\x01\0\0\0\0\0\0\0\x05a(sv)\0\0\x01\0\0\0"
        );
    }

    #[test]
    fn an_empty_array_is_padded_and_counts_nothing() {
        let mut writer = Writer::default();
        writer.array(8, |_| {});
        assert_eq!(writer.finish().unwrap(), [0; 8]);
    }

    #[test]
    fn what_the_format_cannot_hold_is_not_written() {
        let texts = [("a\0b".to_owned(), Malformed::Text), ("a".repeat(MESSAGE_BYTES), Malformed::Long)];
        for (text, fault) in texts {
            let mut writer = Writer::default();
            writer.text(&text);
            assert_eq!(writer.finish(), Err(fault));
        }
        let mut writer = Writer::default();
        writer.signature(&"s".repeat(256));
        assert_eq!(writer.finish(), Err(Malformed::Long));
    }

    #[test]
    fn hostile_texts_are_refused() {
        for (bytes, fault) in [
            (&b"\x02\0\0\0ab"[..], Malformed::Short),
            (b"\x02\0\0\0abc", Malformed::Text),
            (b"\x02\0\0\0a\0\0", Malformed::Text),
            (b"\x01\0\0\0\xff\0", Malformed::Text),
            (b"\xff\xff\xff\xff", Malformed::Long),
            (b"\x01\0", Malformed::Short),
        ] {
            assert_eq!(Reader::new(bytes, Order::Little).text(), Err(fault), "{bytes:?}");
        }
        let mut reader = Reader::new(b"\0\x01\0\0\0\0\0\0", Order::Little);
        reader.byte().unwrap();
        assert_eq!(reader.word(), Err(Malformed::Padding));
    }

    #[test]
    fn object_paths() {
        for (path, good) in [
            ("/", true),
            ("/a/b_2", true),
            ("", false),
            ("a", false),
            ("/a/", false),
            ("//a", false),
            ("/a-b", false),
        ] {
            let mut writer = Writer::default();
            writer.text(path);
            let bytes = writer.finish().unwrap();
            assert_eq!(Reader::new(&bytes, Order::Little).path().is_ok(), good, "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(byte: u8, word: u32, text in "[^\0]{0,40}", words: Vec<u32>) {
            let mut writer = Writer::default();
            writer.byte(byte);
            writer.text(&text);
            writer.word(word);
            writer.array(4, |array| words.iter().for_each(|word| array.word(*word)));
            let bytes = writer.finish().unwrap();
            let mut reader = Reader::new(&bytes, Order::Little);
            prop_assert_eq!(reader.byte(), Ok(byte));
            prop_assert_eq!(reader.text(), Ok(&text[..]));
            prop_assert_eq!(reader.word(), Ok(word));
            prop_assert_eq!(reader.length(), Ok(words.len() * 4));
            for word in words {
                prop_assert_eq!(reader.word(), Ok(word));
            }
            prop_assert_eq!(reader.at(), bytes.len());
        }
    }
}
