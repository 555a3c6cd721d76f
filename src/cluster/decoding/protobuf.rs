//! The wire format of Protobuf (<https://protobuf.dev/programming-guides/encoding/>), read in place: a message is the sequence of its fields,
//! each a number and a value, and those that are not known are passed over. Nothing is copied, which is why this is not left to a
//! library: those that are kept copy each text.

use super::tolerant::Field;

/// Bits of a key that hold the wire type; the number of the field is above them.
const WIRE_TYPE_BITS: u32 = 3;
/// Payload bits of an octet of a varint. The bit above them is set if another octet follows.
const VARINT_BITS: u32 = 7;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of a varint. Negative numbers are in two's complement.
    Number(u64),
    /// A text, a message, or octets.
    Octets(&'a [u8]),
    /// A number of fixed size, of which no field that is read has any.
    Fixed,
}

impl<'a> Value<'a> {
    /// None if it is not text.
    pub fn text(self) -> Option<&'a str> {
        if let Self::Octets(octets) = self { str::from_utf8(octets).ok() } else { None }
    }
}

/// The octets end within a field, or are no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a Protobuf message, or only the beginning of one")]
pub struct Malformed;

/// The fields of a message, in the order in which they were written. Ends after an error.
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> WIRE_TYPE_BITS).map_err(|_| Malformed)?;
        let value = match key & ((1 << WIRE_TYPE_BITS) - 1) {
            0 => Value::Number(self.varint()?),
            1 => self.octets(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Octets(self.octets(length)?)
            }
            5 => self.octets(4).map(|_| Value::Fixed)?,
            // Groups, which are deprecated, and no type at all.
            _ => return Err(Malformed),
        };
        Ok((number, value))
    }

    fn octets(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (octets, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(octets)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(VARINT_BITS as usize) {
            let (octet, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            number |= u64::from(octet & ((1 << VARINT_BITS) - 1)) << shift;
            if octet >> VARINT_BITS == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// A type that a field of a message can have.
pub trait FromValue<'a>: Sized {
    /// What the field is, after it was `before`, once this value of it has come: a list grows, a message is merged, of anything else the
    /// last one counts.
    fn read(before: Field<Self>, value: Value<'a>) -> Field<Self>;
}

/// A message of which some fields are read.
pub trait Message<'a>: Default {
    /// Takes the value of the field of this number.
    fn merge(&mut self, number: u32, value: Value<'a>);
}

/// Reads the fields of a message.
pub fn read_message<'a, M: Message<'a>>(before: Field<M>, value: Value<'a>) -> Field<M> {
    let mut message = match before {
        Field::Value(message) => message,
        Field::Absent => M::default(),
        Field::Malformed(found) => return Field::Malformed(found),
    };
    let Value::Octets(octets) = value else { return Field::Malformed("a number") };
    for field in Fields::new(octets) {
        let Ok((number, value)) = field else { return Field::Malformed("not a message") };
        message.merge(number, value);
    }
    Field::Value(message)
}

impl<'a, T: FromValue<'a>> Field<T> {
    /// Takes a value of the field.
    pub fn merge(&mut self, value: Value<'a>) {
        *self = T::read(std::mem::take(self), value);
    }
}

impl<'a, T: FromValue<'a> + Default> FromValue<'a> for Vec<Field<T>> {
    fn read(before: Field<Self>, value: Value<'a>) -> Field<Self> {
        let mut list = if let Field::Value(list) = before { list } else { Self::new() };
        list.push(match T::read(Field::Absent, value) {
            // An empty text is an element.
            Field::Absent => Field::Value(T::default()),
            field => field,
        });
        Field::Value(list)
    }
}

impl<'a> FromValue<'a> for bool {
    fn read(_: Field<Self>, value: Value<'a>) -> Field<Self> {
        if let Value::Number(number) = value { Field::Value(number != 0) } else { Field::Malformed("not a boolean") }
    }
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl<'a> FromValue<'a> for $type {
            fn read(_: Field<Self>, value: Value<'a>) -> Field<Self> {
                let number = if let Value::Number(number) = value { <$type>::try_from(number).ok() } else { None };
                number.map_or(Field::Malformed("a number, or not one that is allowed"), Field::Value)
            }
        }
    )*};
}

number!(u16 u32);

/// Declares the fields of a message that are read, once for both encodings: name and type, the number in Protobuf, the name in JSON. Numbers
/// and names are those of the `generated.proto` of `k8s.io/api` and `k8s.io/apimachinery`.
macro_rules! message {
    ($(#[$about:meta])* $vis:vis struct $name:ident { $($field:ident: $type:ty = $number:literal $json:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(default)]
        $vis struct $name {
            $(#[serde(rename = $json)] $field: $crate::cluster::decoding::tolerant::Field<$type>,)*
        }

        $crate::cluster::decoding::protobuf::message!(@read 'a, $name, $($field = $number,)*);
    };
    ($(#[$about:meta])* $vis:vis struct $name:ident<$lifetime:lifetime> {
        $($field_vis:vis $field:ident: $type:ty = $number:literal $json:literal,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        $vis struct $name<$lifetime> {
            $(#[serde(rename = $json)] $field_vis $field: $crate::cluster::decoding::tolerant::Field<$type>,)*
        }

        $crate::cluster::decoding::protobuf::message!(@read $lifetime, $name<$lifetime>, $($field = $number,)*);
    };
    (@read $lifetime:lifetime, $name:ty, $($field:ident = $number:literal,)*) => {
        impl<$lifetime> $crate::cluster::decoding::protobuf::Message<$lifetime> for $name {
            fn merge(&mut self, number: u32, value: $crate::cluster::decoding::protobuf::Value<$lifetime>) {
                match number {
                    $($number => self.$field.merge(value),)*
                    _ => {}
                }
            }
        }

        impl<$lifetime> $crate::cluster::decoding::protobuf::FromValue<$lifetime> for $name {
            fn read(
                before: $crate::cluster::decoding::tolerant::Field<Self>,
                value: $crate::cluster::decoding::protobuf::Value<$lifetime>,
            ) -> $crate::cluster::decoding::tolerant::Field<Self> {
                $crate::cluster::decoding::protobuf::read_message(before, value)
            }
        }
    };
}

pub(crate) use message;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Vec<Result<(u32, Value<'_>), Malformed>> {
        Fields::new(octets).collect()
    }

    #[test]
    fn fields_of_every_wire_type_are_read_or_passed_over() {
        let message = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 2, b'h', b'i'],
            &[0x1d, 1, 2, 3, 4],
            &[0x21, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xf8, 0x07, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ]
        .concat();
        let fields = [
            Ok((1, Value::Number(150))),
            Ok((2, Value::Octets(b"hi"))),
            Ok((3, Value::Fixed)),
            Ok((4, Value::Fixed)),
            Ok((127, Value::Number(u64::MAX))),
        ];
        assert_eq!(read(&message), fields);
    }

    #[test]
    fn a_message_that_is_cut_short_or_is_none_ends_with_one_error() {
        for octets in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12],
            &[0x12, 3, b'h', b'i'],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x1d, 1, 2, 3],
            &[0x21, 1, 2, 3, 4, 5, 6, 7],
            &[0x0b, 0x0c],
            &[0x0e],
            &[0xff; 12],
        ] {
            assert_eq!(read(octets), [Err(Malformed)], "{octets:?}");
        }
    }
}
