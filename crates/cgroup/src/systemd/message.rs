//! One message: a header of fixed shape, header fields, a body (D-Bus specification, "Message Protocol").

use super::wire::{MESSAGE_BYTES, Malformed, Order, Reader, Writer};

/// Bytes of a message that say how long all of it is.
pub(super) const PREFIX_BYTES: usize = 16;
/// The protocol's version.
const VERSION: u8 = 1;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Return,
    Error,
    Signal,
    /// A later protocol's, to be ignored.
    Other(u8),
}

impl Kind {
    fn new(code: u8) -> Self {
        match code {
            1 => Self::Call,
            2 => Self::Return,
            3 => Self::Error,
            4 => Self::Signal,
            code => Self::Other(code),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Return => 2,
            Self::Error => 3,
            Self::Signal => 4,
            Self::Other(code) => code,
        }
    }
}

/// A message. Names are empty where they are absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// Its number on the sender's connection; the connection sets it.
    pub(super) serial: u32,
    /// The number of the call that this answers.
    pub(super) reply: Option<u32>,
    pub(super) path: String,
    pub(super) interface: String,
    pub(super) member: String,
    /// The name of the error, if it is one.
    pub(super) error: String,
    pub(super) destination: String,
    /// Who sent it, by the bus's word.
    pub(super) sender: String,
    /// The types of the body's values.
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
    /// The body's.
    pub(super) order: Order,
}

impl Message {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            serial: 0,
            reply: None,
            path: String::new(),
            interface: String::new(),
            member: String::new(),
            error: String::new(),
            destination: String::new(),
            sender: String::new(),
            signature: String::new(),
            body: Vec::new(),
            order: Order::Little,
        }
    }

    /// Makes a call without a body.
    pub(super) fn call(destination: &str, path: &str, interface: &str, member: &str) -> Self {
        Self {
            path: path.to_owned(),
            interface: interface.to_owned(),
            member: member.to_owned(),
            destination: destination.to_owned(),
            ..Self::new(Kind::Call)
        }
    }

    /// Adds the body.
    pub(super) fn with(mut self, signature: &str, body: Writer) -> Result<Self, Malformed> {
        signature.clone_into(&mut self.signature);
        self.body = body.finish()?;
        Ok(self)
    }

    /// Reads the body, which must have these types.
    pub(super) fn values(&self, signature: &str) -> Result<Reader<'_>, Malformed> {
        if self.signature == signature {
            Ok(Reader::new(&self.body, self.order))
        } else {
            Err(Malformed::Type)
        }
    }

    /// Returns the bytes to send.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut writer = Writer::default();
        // No flag: systemd may be started, and none of our calls goes unanswered.
        for byte in [b'l', self.kind.code(), 0, VERSION] {
            writer.byte(byte);
        }
        writer.word(u32::try_from(self.body.len()).map_err(|_| Malformed::Long)?);
        writer.word(self.serial);
        writer.array(8, |fields| {
            for (code, signature, value) in [
                (1, "o", &self.path),
                (2, "s", &self.interface),
                (3, "s", &self.member),
                (4, "s", &self.error),
                (6, "s", &self.destination),
                (7, "s", &self.sender),
            ] {
                if !value.is_empty() {
                    fields.align(8);
                    fields.byte(code);
                    fields.signature(signature);
                    fields.text(value);
                }
            }
            if let Some(serial) = self.reply {
                fields.align(8);
                fields.byte(5);
                fields.signature("u");
                fields.word(serial);
            }
            if !self.signature.is_empty() {
                fields.align(8);
                fields.byte(8);
                fields.signature("g");
                fields.signature(&self.signature);
            }
        });
        writer.align(8);
        writer.append(&self.body);
        writer.finish()
    }

    /// Returns how long the message is that begins so.
    pub(super) fn size(prefix: &[u8; PREFIX_BYTES]) -> Result<usize, Malformed> {
        let mut reader = Reader::new(prefix, order(prefix[0])?);
        reader.take(4)?;
        let body = reader.length()?;
        reader.take(4)?;
        let size = PREFIX_BYTES + reader.length()?.next_multiple_of(8) + body;
        if size > MESSAGE_BYTES { Err(Malformed::Long) } else { Ok(size) }
    }

    /// Parses one whole message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let order = order(*bytes.first().ok_or(Malformed::Short)?)?;
        let mut reader = Reader::new(bytes, order);
        reader.byte()?;
        let mut message = Self { order, ..Self::new(Kind::new(reader.byte()?)) };
        reader.byte()?;
        let version = reader.byte()?;
        let body = reader.length()?;
        message.serial = reader.word()?;
        if version != VERSION || message.kind == Kind::Other(0) || message.serial == 0 {
            return Err(Malformed::Header);
        }
        let end = reader.length()? + PREFIX_BYTES;
        while reader.at() < end {
            reader.align(8)?;
            message.field(&mut reader)?;
        }
        if reader.at() != end {
            return Err(Malformed::Header);
        }
        reader.align(8)?;
        reader.take(body)?.clone_into(&mut message.body);
        if reader.at() == bytes.len() { Ok(message) } else { Err(Malformed::Header) }
    }

    fn field(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let text = match reader.byte()? {
            0 => return Err(Malformed::Header),
            1 => {
                reader.variant("o")?;
                reader.path()?.clone_into(&mut self.path);
                return Ok(());
            }
            5 => {
                reader.variant("u")?;
                self.reply = Some(reader.word()?);
                return Ok(());
            }
            8 => {
                reader.variant("g")?;
                reader.signature()?.clone_into(&mut self.signature);
                return Ok(());
            }
            2 => &mut self.interface,
            3 => &mut self.member,
            4 => &mut self.error,
            6 => &mut self.destination,
            7 => &mut self.sender,
            _ => {
                let signature = reader.signature()?;
                return reader.skip(signature);
            }
        };
        reader.variant("s")?;
        reader.text()?.clone_into(text);
        Ok(())
    }
}

fn order(mark: u8) -> Result<Order, Malformed> {
    match mark {
        b'l' => Ok(Order::Little),
        b'B' => Ok(Order::Big),
        _ => Err(Malformed::Header),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `org.freedesktop.DBus.Error.X` to call 3, with a header field that nobody knows.
    const BIG: &[u8] = b"B\x03\0\x01\0\0\0\x07\0\0\0\x09\0\0\0\x2f\
        \x05\x01u\0\0\0\0\x03\
        \x63\x01t\0\0\0\0\0\0\0\0\0\0\0\0\x01\
        \x04\x01s\0\0\0\0\x03a.X\0\0\0\0\0\
        \x08\x01g\0\x01s\0\0\
        \0\0\0\x02no\0";

    #[test]
    fn the_other_order_and_unknown_fields_are_read() {
        let message = Message::decode(BIG).unwrap();
        assert_eq!(message.kind, Kind::Error);
        assert_eq!((message.serial, message.reply), (9, Some(3)));
        assert_eq!(message.error, "a.X");
        assert_eq!(message.values("s").unwrap().text(), Ok("no"));
        assert_eq!(message.values("u").unwrap_err(), Malformed::Type);
        assert_eq!(Message::size(BIG[..PREFIX_BYTES].try_into().unwrap()), Ok(BIG.len()));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let change = |at: usize, byte: u8| {
            let mut bytes = BIG.to_vec();
            bytes[at] = byte;
            Message::decode(&bytes).unwrap_err()
        };
        for (at, byte, fault) in [
            (0, b'x', Malformed::Header),
            (1, 0, Malformed::Header),
            (3, 2, Malformed::Header),
            (4, 1, Malformed::Long),
            (7, 8, Malformed::Short),
            (7, 6, Malformed::Header),
            (11, 0, Malformed::Header),
            (13, 0xff, Malformed::Long),
            (15, 0x30, Malformed::Header),
            (15, 0x2e, Malformed::Header),
            (16, 0, Malformed::Header),
            (18, b's', Malformed::Type),
            (26, b'v', Malformed::Type),
        ] {
            assert_eq!(change(at, byte), fault, "byte {at} as {byte:#x}");
        }
        let prefix = *b"l\x02\0\x01\xff\xff\x0f\0\x01\0\0\0\xff\0\0\0";
        assert_eq!(Message::size(&prefix), Err(Malformed::Long));
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z.]{0,30}"
    }

    prop_compose! {
        fn message()(
            kind in 1..6_u8,
            serial in 1..u32::MAX,
            reply: Option<u32>,
            path in "(/[a-z_0-9]{1,9}){0,3}",
            (interface, member, error, destination, sender) in (name(), name(), name(), name(), name()),
            signature in "[a-z]{0,20}",
            body: Vec<u8>,
        ) -> Message {
            let kind = Kind::new(kind);
            let order = Order::Little;
            Message {
                kind, serial, reply, path, interface, member, error, destination, sender, signature, body, order,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_encoded_is_decoded(message in message()) {
            let bytes = message.encode().unwrap();
            let size = Message::size(bytes[..PREFIX_BYTES].try_into().unwrap());
            prop_assert_eq!(size, Ok(bytes.len()));
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
        }

        #[test]
        fn what_is_cut_or_changed_never_panics(
            message in message(),
            cut: prop::sample::Index,
            at: prop::sample::Index,
            byte: u8,
        ) {
            let mut bytes = message.encode().unwrap();
            prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            drop(Message::decode(&bytes));
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>) {
            let mut bytes = bytes;
            drop(Message::decode(&bytes));
            bytes.splice(..0, *b"l\x02\0\x01\0\0\0\0\x01\0\0\0\x40\0\0\0");
            drop(Message::decode(&bytes));
        }
    }
}
