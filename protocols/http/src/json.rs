//! JSON as every reader must see it, with the place of each value in the text.
//!
//! Promises: what is read here is one document in UTF-8 that no reader can read two ways: no byte order mark, no name
//! twice in an object (compared unescaped), no lone surrogate, at most [`DEPTH`] levels and [`VALUES`] values (RFC 8259,
//! RFC 7493 §2). Numbers keep their digits. Each value knows its span, so a text can be changed in places ([`Edits`]) while
//! every other byte stays. A document is read in one pass (`json/scan.rs`).
//! Held by: the tests below.

mod halves;
mod scan;

pub(crate) use halves::whole_characters;
use portcullis_model::{Fields, Leaf, Scalar, Step};
use std::ops::Range;

/// Levels of objects and lists.
pub(crate) const DEPTH: usize = 64;
/// Values of one document: each is many times as large in memory as it may be in the text.
pub(crate) const VALUES: usize = 500_000;

/// The text is not JSON that every reader reads alike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotStrict(pub(crate) String);

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Range<usize>,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Its digits, as written.
    Number(Box<str>),
    /// Unescaped.
    String(String),
    Array(Vec<Node>),
    /// In order; no name occurs twice.
    Object(Vec<(String, Node)>),
}

#[cfg(test)]
thread_local! {
    /// How many documents were read: tests of readers count what they do with one request.
    pub(crate) static READS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Reads one document.
///
/// # Errors
/// [`NotStrict`], with what is wrong in words a client may read.
pub(crate) fn read(text: &[u8]) -> Result<Node, NotStrict> {
    #[cfg(test)]
    READS.set(READS.get() + 1);
    let text = std::str::from_utf8(text).map_err(|_| NotStrict("the body is not UTF-8".to_owned()))?;
    if text.starts_with('\u{feff}') {
        return Err(NotStrict("the body begins with a byte order mark".to_owned()));
    }
    scan::document(text)
}

impl Node {
    /// The member of this name; `None` where it is no object or has none.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, node)| node),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&self) -> Option<u64> {
        match &self.value {
            Value::Number(digits) => digits.parse().ok(),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The elements of a list; none where it is no list.
    pub(crate) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::Array(elements) => elements,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => &[],
        }
    }

    /// The members of an object; none where it is no object.
    pub(crate) fn members(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Object(members) => members,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => &[],
        }
    }

    /// Takes the elements of the list that is the member of this name, once; `None` where it is no list.
    pub(crate) fn take_elements(&mut self, name: &str) -> Option<Vec<Self>> {
        let Value::Object(members) = &mut self.value else { return None };
        let (_, member) = members.iter_mut().find(|(key, _)| key == name)?;
        match &mut member.value {
            Value::Array(elements) => Some(std::mem::take(elements)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        }
    }

    /// Whether it is `true`.
    pub(crate) const fn is_true(&self) -> bool {
        matches!(self.value, Value::Bool(true))
    }

    /// Its values, as rules with `fields:` see them. Of an object at the top, members of these names are left out.
    pub(crate) fn fields(&self, apart_from: &[&str]) -> Fields {
        let mut leaves = Vec::new();
        match &self.value {
            Value::Object(members) if !apart_from.is_empty() => {
                for (name, member) in members.iter().filter(|(name, _)| !apart_from.contains(&name.as_str())) {
                    member.leaves(&mut vec![Step::Member(name.as_str().into())], &mut leaves);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.leaves(&mut Vec::new(), &mut leaves)
            }
        }
        Fields::of(leaves)
    }

    /// The same of a body that its sender declares to be a JSON Patch.
    pub(crate) fn fields_of_patch(&self) -> Fields {
        let mut leaves = Vec::new();
        self.leaves(&mut Vec::new(), &mut leaves);
        Fields::of_patch(leaves)
    }

    /// Appends its values, up to one more than [`Fields`] takes.
    fn leaves(&self, path: &mut Vec<Step>, leaves: &mut Vec<Leaf>) {
        if leaves.len() > Fields::MOST {
            return;
        }
        let value = match &self.value {
            Value::Array(elements) if !elements.is_empty() => {
                for (at, element) in elements.iter().enumerate() {
                    path.push(Step::Element(u32::try_from(at).unwrap_or(u32::MAX)));
                    element.leaves(path, leaves);
                    path.pop();
                }
                return;
            }
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    path.push(Step::Member(name.as_str().into()));
                    member.leaves(path, leaves);
                    path.pop();
                }
                return;
            }
            Value::Array(_) | Value::Object(_) => Scalar::Empty,
            Value::Null => Scalar::Null,
            Value::Bool(truth) => Scalar::Bool(*truth),
            Value::Number(digits) => Scalar::Number(digits.as_ref().into()),
            Value::String(text) => Scalar::Text(text.as_str().into()),
        };
        leaves.push(Leaf { path: path.clone(), value });
    }
}

impl Node {
    /// Every string in it, names of members apart.
    pub(crate) fn strings(&self, each: &mut dyn FnMut(&str)) {
        match &self.value {
            Value::String(text) => each(text),
            Value::Array(elements) => elements.iter().for_each(|element| element.strings(each)),
            Value::Object(members) => members.iter().for_each(|(_, member)| member.strings(each)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Changes to a text in places that do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts this JSON text where that value stands.
    pub(crate) fn replace(&mut self, span: Range<usize>, json: impl Into<String>) {
        self.0.push((span, json.into()));
    }

    /// Whether nothing is to be changed.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changed text; `None` where two changes overlap or lie outside it.
    pub(crate) fn apply(mut self, text: &str) -> Option<String> {
        self.0.sort_by_key(|(span, _)| span.start);
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (span, json) in self.0 {
            out.push_str(text.get(at..span.start)?);
            out.push_str(&json);
            at = span.end;
        }
        out.push_str(text.get(at..)?);
        Some(out)
    }
}

/// A string as JSON writes it.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    #[test]
    fn each_value_knows_its_place_and_its_digits() {
        let text = br#" {"a" : [1E2, -0, 123456789012345678901234567890], "b\u0063": "\u00e9\n"} "#;
        let document = read(text).unwrap();
        let written = |node: &Node| std::str::from_utf8(&text[node.span.clone()]).unwrap().to_owned();
        let numbers: Vec<String> = document.get("a").unwrap().elements().iter().map(written).collect();
        assert_eq!(numbers, ["1E2", "-0", "123456789012345678901234567890"]);
        let bc = document.get("bc").unwrap();
        assert_eq!((bc.text(), written(bc).as_str()), (Some("é\n"), r#""\u00e9\n""#));
        let mut edits = Edits::default();
        edits.replace(bc.span.clone(), quoted("x\"y"));
        let changed = edits.apply(std::str::from_utf8(text).unwrap()).unwrap();
        assert_eq!(changed, r#" {"a" : [1E2, -0, 123456789012345678901234567890], "b\u0063": "x\"y"} "#);
    }

    #[test]
    fn what_can_be_read_two_ways_is_not_read() {
        let deep = format!("{}1{}", "[".repeat(DEPTH + 1), "]".repeat(DEPTH + 1));
        let deepest = format!("{}1{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
        assert!(read(deepest.as_bytes()).is_ok());
        let cases: &[&[u8]] = &[
            b"",
            b" ",
            b"\xef\xbb\xbf{}",
            b"{\"a\":1,\"a\":2}",
            b"{\"a\":1,\"\\u0061\":2}",
            b"{\"o\":{\"a\":1,\"a\":1}}",
            b"{} {}",
            b"{}x",
            b"[1,]",
            b"{\"a\":1,}",
            b"{a:1}",
            b"'a'",
            b"\"\\ud800\"",
            b"{\"\\udc00\":1}",
            b"\"\xff\"",
            b"01",
            b"+1",
            b"NaN",
            b"1.",
            b"\"a\nb\"",
            b"[1/**/]",
            b"\xff\xfe{\0}\0",
            deep.as_bytes(),
        ];
        for case in cases {
            assert!(read(case).is_err(), "{}", String::from_utf8_lossy(case));
        }
    }

    #[test]
    fn how_many_values_there_are_is_bounded() {
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert!(read(many(VALUES).as_bytes()).is_ok());
        let told = read(many(VALUES + 1).as_bytes()).unwrap_err();
        assert_eq!(told.0, "the body has more than 500000 values");
        let lists = format!("[{}[]]", "[],".repeat(VALUES));
        assert!(read(lists.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(text in "[\\[\\]{}\":,a01.eE+\\-\\\\u n]{0,10}") {
            let theirs: Option<&RawValue> = serde_json::from_str(&text).ok();
            let ours = read(text.as_bytes()).ok();
            prop_assert_eq!(theirs.is_some(), ours.is_some(), "{}", &text);
            if let Some((theirs, ours)) = theirs.zip(ours) {
                prop_assert_eq!(theirs.get(), &text[ours.span.clone()]);
            }
        }

        #[test]
        fn bytes_of_any_kind_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            read(&bytes).ok();
        }

        #[test]
        fn a_string_says_what_it_says_to_the_library(text in ".{0,20}", other in any::<u16>()) {
            let written = format!("[{},\"\\u{other:04x}\"]", quoted(&text));
            let theirs: Option<Vec<String>> = serde_json::from_str(&written).ok();
            let ours = read(written.as_bytes()).ok();
            let ours = ours.map(|node| node.elements().iter().map(|one| one.text().unwrap().to_owned()).collect::<Vec<_>>());
            prop_assert_eq!(theirs, ours);
        }
    }

    #[test]
    fn values_are_told_with_their_places_or_not_at_all() {
        let fields = read(br#"{"a":[1,{}],"m":{"n":null},"b":"x"}"#).unwrap().fields(&["m"]);
        let shown: Vec<(usize, Scalar)> =
            fields.leaves().unwrap().iter().map(|leaf| (leaf.path.len(), leaf.value.clone())).collect();
        assert_eq!(shown, [(2, Scalar::Number("1".into())), (2, Scalar::Empty), (1, Scalar::Text("x".into()))]);
        let many = format!("[{}1]", "1,".repeat(Fields::MOST));
        assert_eq!(read(many.as_bytes()).unwrap().fields(&[]), Fields::unknown());
    }

    #[test]
    fn edits_that_overlap_change_nothing() {
        let mut edits = Edits::default();
        edits.replace(1..4, "x");
        edits.replace(3..5, "y");
        assert_eq!(edits.apply("abcdefg"), None);
        let mut outside = Edits::default();
        outside.replace(5..9, "x");
        assert_eq!(outside.apply("abcdefg"), None);
    }
}
