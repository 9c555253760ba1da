//! One value: what its treatment makes of it, in its own type and format.
//!
//! Promises: text-like types get the transform's text, JSON a JSON string or a document masked by path, arrays of these
//! the same in each element; every other type gets NULL, which is valid for all of them. What cannot be read (text that is
//! not UTF-8, an array or a document that is malformed, a value too long) is NULL. RowDescription tells the base type of a
//! domain, so a domain over text is text here; types that users made (enums, composites, citext) have numbers that mean
//! nothing here and are NULL.
//! A replacement may be longer than a `varchar(n)`, `char(n)` or `name` holds: clients take it, since no length is checked
//! on what a server sends.
//!
//! Does not promise, where there are only detectors, to find anything in `bytea`, or what only several values together
//! spell out. Held by: `value/tests.rs` and `fixtures/postgres/mask_values.tsv`.

use super::{LONGEST_VALUE, array, json};
use std::borrow::Cow;

#[cfg(test)]
mod tests;

/// How a column's values are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Nothing is protected here; what detectors find is rewritten ([`Replace::detected`]).
    Detect,
    /// Always NULL. The only one that is right for a value *computed* from a protected column: with any other it shows
    /// which values are NULL and how arrays are built, and `substring(ssn from '^5')` or `array_fill('', array[ssn::int])`
    /// turn that into the value.
    Null,
    /// Parts of a document are protected ([`Replace::json`]), whatever the column's type is: what is no document is NULL.
    Paths,
    /// Parts of a document are protected where the type is JSON; elsewhere, and in what is left, detectors look.
    PathsThenDetect,
    /// The value is replaced ([`Replace::text`]). Only for a value that is the protected column's own, unchanged.
    Whole,
}

/// How a protected value is replaced; the gate's masks implement it.
pub(crate) trait Replace {
    /// Which of the functions below apply.
    fn treatment(&self) -> Treatment;
    /// What stands in the place of a whole value; none is NULL.
    fn text(&self, value: &str) -> Option<String>;
    /// Appends that; false, with nothing appended, is NULL.
    fn text_into(&self, value: &str, out: &mut String) -> bool {
        self.text(value).map(|text| out.push_str(&text)).is_some()
    }
    /// A JSON document with its protected parts masked, again a JSON document; none is NULL, also where it is no document.
    fn json(&self, document: &str) -> Option<String>;
    /// A text rewritten because a detector found something in it; none if nothing was found.
    fn detected(&self, text: &str) -> Option<String>;
}

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Masked {
    /// This stands in its place, in the same type and format.
    Bytes(Vec<u8>),
    /// It stays as it came.
    Keep,
    /// NULL stands in its place.
    Null,
}

/// What is known of a type, by its OID in `pg_type.dat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An array of what has this OID.
    Array(u32),
    /// `"char"`: one byte, no text.
    Char,
    /// Of fixed size or no text: dates, short numbers, bits, bytes. Detectors do not look here.
    Fixed,
    Json,
    Jsonb,
    /// Numbers long enough to hold an account number.
    Number,
    /// Anything else.
    Other,
    /// `char(n)`, filled up with spaces.
    Padded,
    Text,
    Xml,
}

/// Arrays whose elements are worth looking at: the array's OID and its elements'.
const ARRAYS: [(u32, u32); 12] = [
    (143, 142),
    (199, 114),
    (1002, 18),
    (1003, 19),
    (1009, 25),
    (1014, 1042),
    (1015, 1043),
    (1016, 20),
    (1231, 1700),
    (1263, 2275),
    (2201, 1790),
    (3807, 3802),
];

/// `bool bytea int2 int4 oid tid xid cid lseg… circle float4 float8 money date time timestamp interval bit varbit uuid
/// pg_lsn xid8 void` and arrays of these.
const FIXED: [u32; 46] = [
    16, 17, 21, 23, 26, 27, 28, 29, 600, 601, 602, 603, 604, 628, 700, 701, 718, 790, 1000, 1001, 1005, 1007, 1021,
    1022, 1028, 1082, 1083, 1114, 1115, 1182, 1183, 1184, 1185, 1186, 1187, 1266, 1270, 1560, 1561, 1562, 1563, 2278,
    2950, 2951, 3220, 5069,
];

impl Kind {
    fn of(type_oid: u32) -> Self {
        match type_oid {
            18 => Self::Char,
            // name, text, unknown, varchar, refcursor, cstring
            19 | 25 | 705 | 1043 | 1790 | 2275 => Self::Text,
            20 | 1700 => Self::Number,
            114 => Self::Json,
            142 => Self::Xml,
            1042 => Self::Padded,
            3802 => Self::Jsonb,
            _ => match ARRAYS.iter().find(|(array, _)| *array == type_oid) {
                Some((_, element)) => Self::Array(*element),
                None if FIXED.contains(&type_oid) => Self::Fixed,
                None => Self::Other,
            },
        }
    }
}

/// Whether this treatment can change a value of this type at all. Detectors do not look everywhere, and a column where
/// they do not look needs no treatment, so that its rows can pass without being gathered.
pub(super) fn matters(type_oid: u32, with: &dyn Replace) -> bool {
    let is_fixed = matches!(Kind::of(type_oid), Kind::Char | Kind::Fixed | Kind::Array(18));
    match with.treatment() {
        Treatment::Detect | Treatment::PathsThenDetect => !is_fixed,
        Treatment::Null | Treatment::Paths | Treatment::Whole => true,
    }
}

/// Whether [`mask_plain`] does for values of this type what [`mask`] would.
pub(super) fn is_plain(type_oid: u32, with: &dyn Replace) -> bool {
    with.treatment() == Treatment::Whole && Kind::of(type_oid) == Kind::Text
}

/// Writes what stands in the place of a text that is replaced whole; false is NULL. What was in `new` is gone. It is the
/// same in either format, and costs no allocation once `new` has room.
pub(super) fn mask_plain(value: &[u8], with: &dyn Replace, new: &mut String) -> bool {
    new.clear();
    if value.len() > LONGEST_VALUE {
        return false;
    }
    let Ok(text) = std::str::from_utf8(value) else { return false };
    // No text of PostgreSQL holds a NUL.
    with.text_into(text, new) && !new.contains('\0')
}

/// What becomes of a value that is not NULL; a NULL stays NULL and is not asked about.
pub(crate) fn mask(value: &[u8], type_oid: u32, binary: bool, with: &dyn Replace) -> Masked {
    let treatment = with.treatment();
    if treatment == Treatment::Null {
        return Masked::Null;
    }
    if !matters(type_oid, with) {
        return Masked::Keep;
    }
    if value.len() > LONGEST_VALUE {
        return Masked::Null;
    }
    match Kind::of(type_oid) {
        Kind::Array(element) => {
            let kind = Kind::of(element);
            if !is_treated(kind, treatment) {
                return Masked::Null;
            }
            let mut each = |value: &[u8]| single(value, kind, element, binary, with);
            if binary { array::binary(value, element, &mut each) } else { array::text(value, &mut each) }
        }
        kind => single(value, kind, type_oid, binary, with),
    }
}

/// Whether a value of this kind can be anything but NULL under this treatment.
fn is_treated(kind: Kind, treatment: Treatment) -> bool {
    match treatment {
        Treatment::Null => false,
        Treatment::Detect | Treatment::PathsThenDetect => true,
        Treatment::Paths | Treatment::Whole => match kind {
            // Its only valid values are single bytes, but the array around it can show its NULLs.
            Kind::Char | Kind::Json | Kind::Jsonb | Kind::Padded | Kind::Text => true,
            Kind::Array(_) | Kind::Fixed | Kind::Number | Kind::Other | Kind::Xml => false,
        },
    }
}

/// One value that is no array.
fn single(value: &[u8], kind: Kind, type_oid: u32, binary: bool, with: &dyn Replace) -> Masked {
    match with.treatment() {
        Treatment::Null => Masked::Null,
        Treatment::Whole => whole(value, kind, binary, with),
        Treatment::Paths => paths(value, kind, binary, with),
        Treatment::Detect => detect(value, kind, type_oid, binary, with),
        Treatment::PathsThenDetect => match kind {
            Kind::Json | Kind::Jsonb => paths_then_detect(value, kind, binary, with),
            Kind::Array(_)
            | Kind::Char
            | Kind::Fixed
            | Kind::Number
            | Kind::Other
            | Kind::Padded
            | Kind::Text
            | Kind::Xml => detect(value, kind, type_oid, binary, with),
        },
    }
}

fn whole(value: &[u8], kind: Kind, binary: bool, with: &dyn Replace) -> Masked {
    let Some(text) = readable(value, kind, binary) else { return Masked::Null };
    match kind {
        Kind::Text => written(with.text(text), kind, binary),
        // The filling is not part of the value: with it, "the first two fifths" could be all of it.
        Kind::Padded => written(with.text(text.trim_end_matches(' ')), kind, binary),
        Kind::Json | Kind::Jsonb => written(with.text(text).map(|text| json::string(&text)), kind, binary),
        Kind::Array(_) | Kind::Char | Kind::Fixed | Kind::Number | Kind::Other | Kind::Xml => Masked::Null,
    }
}

fn paths(value: &[u8], kind: Kind, binary: bool, with: &dyn Replace) -> Masked {
    let Some(text) = readable(value, kind, binary) else { return Masked::Null };
    match kind {
        Kind::Json | Kind::Jsonb | Kind::Padded | Kind::Text => match with.json(text) {
            Some(masked) if masked == text => Masked::Keep,
            masked => written(masked, kind, binary),
        },
        Kind::Array(_) | Kind::Char | Kind::Fixed | Kind::Number | Kind::Other | Kind::Xml => Masked::Null,
    }
}

fn paths_then_detect(value: &[u8], kind: Kind, binary: bool, with: &dyn Replace) -> Masked {
    let Some(text) = readable(value, kind, binary) else { return Masked::Null };
    let Some(masked) = with.json(text) else { return Masked::Null };
    match json::detect(&masked, &mut |text| with.detected(text)) {
        json::Detected::Nothing if masked == text => Masked::Keep,
        json::Detected::Nothing => written(Some(masked), kind, binary),
        json::Detected::Rewritten(masked) => written(Some(masked), kind, binary),
        json::Detected::Unreadable => Masked::Null,
    }
}

fn detect(value: &[u8], kind: Kind, type_oid: u32, binary: bool, with: &dyn Replace) -> Masked {
    let found_is_null = |found: bool| if found { Masked::Null } else { Masked::Keep };
    match kind {
        Kind::Char | Kind::Fixed => Masked::Keep,
        Kind::Number => {
            let text = crate::answer::text_of(value, type_oid, binary);
            // What could not be read as a number comes back in hexadecimal.
            found_is_null(text.starts_with('\\') || is_long_number(&text, &mut |text| with.detected(text)))
        }
        Kind::Text | Kind::Padded => match readable(value, kind, binary).map(|text| with.detected(text)) {
            None => Masked::Null,
            Some(None) => Masked::Keep,
            Some(rewritten) => written(rewritten, kind, binary),
        },
        Kind::Json | Kind::Jsonb => {
            let Some(text) = readable(value, kind, binary) else { return Masked::Null };
            match json::detect(text, &mut |text| with.detected(text)) {
                json::Detected::Nothing => Masked::Keep,
                json::Detected::Rewritten(text) => written(Some(text), kind, binary),
                json::Detected::Unreadable => Masked::Null,
            }
        }
        // What was found is inside a form that is not known here, so it cannot be rewritten.
        Kind::Array(_) | Kind::Other | Kind::Xml => {
            let text = match String::from_utf8_lossy(value) {
                Cow::Owned(_) if !binary => return Masked::Null,
                text => text,
            };
            found_is_null(with.detected(&text).is_some())
        }
    }
}

/// Numbers of fewer digits cannot be an account's.
const SHORTEST_ACCOUNT: usize = 13;

/// Whether a detector finds something in a long number, with or without what stands behind its point.
pub(super) fn is_long_number(text: &str, detected: &mut dyn FnMut(&str) -> Option<String>) -> bool {
    if text.bytes().filter(u8::is_ascii_digit).count() < SHORTEST_ACCOUNT {
        return false;
    }
    let number = text.strip_prefix('-').unwrap_or(text);
    let integer = number.split('.').next().unwrap_or(number);
    detected(number).is_some() || detected(integer).is_some()
}

/// The value as text, if that is what it is.
fn readable(value: &[u8], kind: Kind, binary: bool) -> Option<&str> {
    let text = match (kind, binary, value) {
        (Kind::Jsonb, true, [JSONB_VERSION, text @ ..]) => text,
        (Kind::Jsonb, true, _) => return None,
        (_, _, text) => text,
    };
    std::str::from_utf8(text).ok()
}

/// The only version of jsonb's binary form.
const JSONB_VERSION: u8 = 1;

fn written(text: Option<String>, kind: Kind, binary: bool) -> Masked {
    match text {
        // No text of PostgreSQL holds a NUL.
        Some(text) if !text.contains('\0') => {
            let mut bytes = text.into_bytes();
            if binary && kind == Kind::Jsonb {
                bytes.insert(0, JSONB_VERSION);
            }
            Masked::Bytes(bytes)
        }
        Some(_) | None => Masked::Null,
    }
}
