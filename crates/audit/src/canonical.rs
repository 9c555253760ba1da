//! Canonical JSON (RFC 8785): the one byte form of an event, which is what is hashed and what is stored.
//!
//! serde_json walks the value; the formatter here collects the members of each object and puts them in the order of
//! their keys' UTF-16 code units. It writes into the caller's buffer, because an event is encoded for every command.
//! Refused, since the record has no use for them: fractions, numbers beyond 2^53 (which JSON readers round), repeated
//! keys. Held by: the comparison with an independent implementation of the RFC in the tests below.

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use std::cmp::Ordering;
use std::io::{self, Write};
use std::ops::Range;

/// The greatest number that every JSON reader keeps.
const GREATEST: u64 = (1 << 53) - 1;

/// The canonical form of a value.
///
/// # Errors
/// The value has a fraction, a number beyond 2^53, or the same key twice.
pub fn canonical(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    Encoder::default().encode(value, &mut out)?;
    Ok(out)
}

/// Scratch space, kept from one value to the next.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    members: Vec<Member>,
    objects: Vec<Object>,
    scratch: Vec<u8>,
}

/// One member of an object that is still open; places are in the output.
#[derive(Clone, Debug)]
struct Member {
    /// Without its quotes.
    key: Range<usize>,
    /// Whether the key compares as bytes: ASCII without escapes.
    plain: bool,
    all: Range<usize>,
}

#[derive(Debug)]
struct Object {
    /// Behind its brace.
    start: usize,
    /// Its first in `members`.
    first: usize,
}

impl Encoder {
    /// Scratch space beyond this is given back, so that one large event does not cost a session its memory.
    const KEPT: usize = 4096;

    /// Writes the value behind what `out` holds. On an error `out` is as it was.
    pub(crate) fn encode(&mut self, value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let start = out.len();
        self.members.clear();
        self.objects.clear();
        let canonical = Canonical { encoder: self, out };
        let result = value.serialize(&mut Serializer::with_formatter(io::sink(), canonical));
        if result.is_err() {
            out.truncate(start);
        }
        if self.scratch.capacity() > Self::KEPT {
            self.scratch = Vec::new();
        }
        result
    }
}

struct Canonical<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl Canonical<'_> {
    fn unsigned(&mut self, value: u64) -> io::Result<()> {
        if value > GREATEST { refused("a number beyond 2^53") } else { write!(self.out, "{value}") }
    }

    fn signed(&mut self, value: i64) -> io::Result<()> {
        if value.unsigned_abs() > GREATEST { refused("a number beyond 2^53") } else { write!(self.out, "{value}") }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

fn refused<T>(what: &'static str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// A key as it stands in the output. Plain ones compare as bytes, which is their UTF-16 order; the others are read back.
fn compare(out: &[u8], left: &Member, right: &Member) -> Ordering {
    let plain = left.plain && right.plain;
    let left = out.get(left.key.clone()).unwrap_or_default();
    let right = out.get(right.key.clone()).unwrap_or_default();
    if plain {
        return left.cmp(right);
    }
    let units = |key: &[u8]| -> Vec<u16> {
        let quoted = [b"\"", key, b"\""].concat();
        serde_json::from_slice::<String>(&quoted).unwrap_or_default().encode_utf16().collect()
    };
    units(left).cmp(&units(right))
}

/// Every method writes to `self.out`; serde_json's own writer is a sink.
impl Formatter for Canonical<'_> {
    fn write_null<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"null")
    }

    fn write_bool<W: ?Sized + Write>(&mut self, _: &mut W, value: bool) -> io::Result<()> {
        self.put(if value { b"true" } else { b"false" })
    }

    fn write_i8<W: ?Sized + Write>(&mut self, _: &mut W, value: i8) -> io::Result<()> {
        self.signed(value.into())
    }

    fn write_i16<W: ?Sized + Write>(&mut self, _: &mut W, value: i16) -> io::Result<()> {
        self.signed(value.into())
    }

    fn write_i32<W: ?Sized + Write>(&mut self, _: &mut W, value: i32) -> io::Result<()> {
        self.signed(value.into())
    }

    fn write_i64<W: ?Sized + Write>(&mut self, _: &mut W, value: i64) -> io::Result<()> {
        self.signed(value)
    }

    fn write_i128<W: ?Sized + Write>(&mut self, _: &mut W, value: i128) -> io::Result<()> {
        i64::try_from(value).map_or_else(|_| refused("a number beyond 2^53"), |value| self.signed(value))
    }

    fn write_u8<W: ?Sized + Write>(&mut self, _: &mut W, value: u8) -> io::Result<()> {
        self.unsigned(value.into())
    }

    fn write_u16<W: ?Sized + Write>(&mut self, _: &mut W, value: u16) -> io::Result<()> {
        self.unsigned(value.into())
    }

    fn write_u32<W: ?Sized + Write>(&mut self, _: &mut W, value: u32) -> io::Result<()> {
        self.unsigned(value.into())
    }

    fn write_u64<W: ?Sized + Write>(&mut self, _: &mut W, value: u64) -> io::Result<()> {
        self.unsigned(value)
    }

    fn write_u128<W: ?Sized + Write>(&mut self, _: &mut W, value: u128) -> io::Result<()> {
        u64::try_from(value).map_or_else(|_| refused("a number beyond 2^53"), |value| self.unsigned(value))
    }

    fn write_f32<W: ?Sized + Write>(&mut self, _: &mut W, _: f32) -> io::Result<()> {
        refused("a fraction")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, _: &mut W, _: f64) -> io::Result<()> {
        refused("a fraction")
    }

    fn write_number_str<W: ?Sized + Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        refused("a number of any precision")
    }

    fn begin_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"\"")
    }

    fn end_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"\"")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, _: &mut W, fragment: &str) -> io::Result<()> {
        self.put(fragment.as_bytes())
    }

    /// RFC 8785, 3.2.2.2.
    fn write_char_escape<W: ?Sized + Write>(&mut self, _: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Quote => self.put(b"\\\""),
            CharEscape::ReverseSolidus => self.put(b"\\\\"),
            CharEscape::Solidus => self.put(b"/"),
            CharEscape::Backspace => self.put(b"\\b"),
            CharEscape::FormFeed => self.put(b"\\f"),
            CharEscape::LineFeed => self.put(b"\\n"),
            CharEscape::CarriageReturn => self.put(b"\\r"),
            CharEscape::Tab => self.put(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(self.out, "\\u{byte:04x}"),
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { self.put(b",") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"{")?;
        self.encoder.objects.push(Object { start: self.out.len(), first: self.encoder.members.len() });
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        if !first {
            self.put(b",")?;
        }
        let start = self.out.len();
        self.encoder.members.push(Member { key: start + 1..start + 1, plain: false, all: start..start });
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let end = self.out.len();
        if let Some(member) = self.encoder.members.last_mut() {
            member.key.end = end - 1;
            let key = self.out.get(member.key.clone()).unwrap_or_default();
            member.plain = key.is_ascii() && !key.contains(&b'\\');
        }
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b":")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let end = self.out.len();
        if let Some(member) = self.encoder.members.last_mut() {
            member.all.end = end;
        }
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let Encoder { members, objects, scratch } = &mut *self.encoder;
        let Some(object) = objects.pop() else { return refused("an object that never began") };
        let own = members.get_mut(object.first..).unwrap_or_default();
        let out = &*self.out;
        if !own.is_sorted_by(|left, right| compare(out, left, right).is_lt()) {
            own.sort_by(|left, right| compare(out, left, right));
            if own.iter().zip(own.iter().skip(1)).any(|(left, right)| compare(out, left, right).is_eq()) {
                return refused("a repeated key");
            }
            scratch.clear();
            for (at, member) in own.iter().enumerate() {
                if at > 0 {
                    scratch.push(b',');
                }
                scratch.extend_from_slice(out.get(member.all.clone()).unwrap_or_default());
            }
            self.out.truncate(object.start);
            self.out.extend_from_slice(scratch);
        }
        members.truncate(object.first);
        self.put(b"}")
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        refused("JSON that was not read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn values() -> impl Strategy<Value = Value> {
        let number = -(GREATEST as i64)..=GREATEST as i64;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number.prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_another_implementation_of_the_rfc(value in values()) {
            prop_assert_eq!(canonical(&value).unwrap(), serde_json_canonicalizer::to_vec(&value).unwrap());
        }

        #[test]
        fn it_writes_behind_what_is_there(value in values()) {
            let mut out = b"before".to_vec();
            Encoder::default().encode(&value, &mut out).unwrap();
            prop_assert_eq!(out.strip_prefix(b"before").unwrap(), canonical(&value).unwrap());
        }
    }

    #[test]
    fn keys_are_in_utf16_order() {
        // RFC 8785, 3.2.3: the order of UTF-16 code units, in which an astral character comes before U+FB33.
        let value = json!({ "\u{fb33}": 1, "\u{1f600}": 2, "\r": 3, "1": 4, "\u{80}": 5, "\u{f6}": 6, "\u{20ac}": 7 });
        let expected = "{\"\\r\":3,\"1\":4,\"\u{80}\":5,\"\u{f6}\":6,\"\u{20ac}\":7,\"\u{1f600}\":2,\"\u{fb33}\":1}";
        assert_eq!(String::from_utf8(canonical(&value).unwrap()).unwrap(), expected);
    }

    #[test]
    fn what_json_readers_would_change_is_refused() {
        assert!(canonical(&json!({ "a": 1.5 })).is_err());
        assert!(canonical(&json!([GREATEST])).is_ok());
        assert!(canonical(&json!([GREATEST + 1])).is_err());
        assert!(canonical(&json!([-(GREATEST as i64) - 1])).is_err());
        let mut out = b"kept".to_vec();
        assert!(Encoder::default().encode(&json!({ "b": 1, "a": [0.5] }), &mut out).is_err());
        assert_eq!(out, b"kept");
    }

    #[test]
    fn a_repeated_key_is_refused() {
        #[derive(Serialize)]
        struct Twice {
            b: u8,
            a: u8,
            #[serde(rename = "b")]
            again: u8,
        }
        assert!(canonical(&Twice { b: 1, a: 2, again: 3 }).is_err());
    }
}
