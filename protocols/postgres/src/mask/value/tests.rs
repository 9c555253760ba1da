use super::super::sample::{CANARY, CARD, Sample};
use super::*;
use proptest::prelude::*;

const TABLE: &str = include_str!("../../../../../fixtures/postgres/mask_values.tsv");

fn sample(treatment: Treatment) -> Sample {
    Sample { treatment, word: Some("[redacted]") }
}

/// A value of the table: `\x` and hexadecimal digits in binary form, else text.
fn value(written: &str) -> (Vec<u8>, bool) {
    match written.strip_prefix("\\x") {
        None => (written.as_bytes().to_vec(), false),
        Some(digits) => {
            let digits: String = digits.chars().filter(|digit| *digit != ' ').collect();
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            ((0..digits.len()).step_by(2).map(byte).collect(), true)
        }
    }
}

#[test]
fn every_value_of_the_table_becomes_what_the_table_says() {
    let mut cases = 0;
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let [treatment, type_oid, given, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}: not four columns")
        };
        let treatment = match treatment {
            "detect" => Treatment::Detect,
            "null" => Treatment::Null,
            "paths" => Treatment::Paths,
            "paths-detect" => Treatment::PathsThenDetect,
            "whole" => Treatment::Whole,
            other => panic!("{other}"),
        };
        let (given, binary) = value(given);
        let masked = mask(&given, type_oid.parse().unwrap(), binary, &sample(treatment));
        let expected = match expected {
            "KEEP" => Masked::Keep,
            "NULL" => Masked::Null,
            other => Masked::Bytes(value(other).0),
        };
        assert_eq!(masked, expected, "{line}\n{:?}", show(&masked));
        cases += 1;
    }
    assert!(cases > 90, "the table was not read: {cases}");
}

fn show(masked: &Masked) -> String {
    match masked {
        Masked::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Masked::Keep | Masked::Null => String::new(),
    }
}

#[test]
fn what_is_no_text_is_null_and_never_passes() {
    let broken = [b"\xff123-45-6789".as_slice(), b"{\xff}", b"\"\xff\"", b"\xc0\xaf"];
    for treatment in [Treatment::Whole, Treatment::Paths, Treatment::Detect, Treatment::PathsThenDetect] {
        for type_oid in [25, 705, 1042, 1043, 114, 3802, 1009, 199, 142, 4_000_000] {
            for value in broken {
                assert_eq!(mask(value, type_oid, false, &sample(treatment)), Masked::Null, "{treatment:?} {type_oid}");
            }
        }
    }
}

#[test]
fn the_filling_of_a_padded_value_is_not_part_of_it() {
    let keep = Sample { treatment: Treatment::Whole, word: Some("*=") };
    assert_eq!(mask(b"123-45-6789      ", 1042, false, &keep), Masked::Bytes(b"*6789".to_vec()));
    assert_eq!(mask(b"{\"123-45-6789  \"}", 1014, false, &keep), Masked::Bytes(b"{*6789}".to_vec()));
}

#[test]
fn a_replacement_that_the_type_cannot_hold_is_null() {
    let nul = Sample { treatment: Treatment::Whole, word: Some("a\0b") };
    for (type_oid, given) in [(25, "a"), (1009, "{a}")] {
        let masked = mask(given.as_bytes(), type_oid, false, &nul);
        assert!(!show(&masked).contains('\0') && masked != Masked::Keep, "{masked:?}");
    }
    // In JSON it is an escape.
    assert_eq!(mask(b"{}", 114, false, &nul), Masked::Bytes(b"\"a\\u0000b\"".to_vec()));
    let null = Sample { treatment: Treatment::Whole, word: None };
    assert_eq!(mask(b"a", 25, false, &null), Masked::Null);
    assert_eq!(mask(b"{a,NULL}", 1009, false, &null), Masked::Bytes(b"{NULL,NULL}".to_vec()));
}

#[test]
fn a_value_too_long_to_search_is_null() {
    let long = vec![b'a'; LONGEST_VALUE + 1];
    assert_eq!(mask(&long, 25, false, &sample(Treatment::Whole)), Masked::Null);
    assert_eq!(mask(&long, 25, false, &sample(Treatment::Detect)), Masked::Null);
    assert_eq!(mask(&long[1..], 25, false, &sample(Treatment::Detect)), Masked::Keep);
    // Where detectors do not look, a long value is no reason to lose it.
    assert_eq!(mask(&long, 17, false, &sample(Treatment::Detect)), Masked::Keep);
    assert_eq!(mask(&long, 17, false, &sample(Treatment::Whole)), Masked::Null);
}

#[test]
fn nested_documents_do_not_end_the_reader() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_ne!(mask(deep.as_bytes(), 114, false, &sample(Treatment::Detect)), Masked::Bytes(Vec::new()));
    let deep = "{".repeat(100_000);
    assert_eq!(mask(deep.as_bytes(), 1009, false, &sample(Treatment::Whole)), Masked::Null);
}

/// An array as the server writes it in text form, one dimension.
fn array_text(elements: &[Option<String>]) -> String {
    let element = |element: &Option<String>| match element {
        None => "NULL".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(","))
}

fn array_binary(elements: &[Option<String>]) -> Vec<u8> {
    let words = [1, 1, 25, elements.len() as i32, 1];
    let mut out: Vec<u8> = words.iter().flat_map(|word: &i32| word.to_be_bytes()).collect();
    for element in elements {
        match element {
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(text) => {
                out.extend_from_slice(&(text.len() as i32).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    out
}

proptest! {
    #[test]
    fn arrays_keep_their_shape_and_lose_their_values(
        elements in prop::collection::vec(prop::option::of("[a-z\"\\\\,{} é\n]{0,6}"), 1..6),
        word in prop::sample::select(vec!["[redacted]", "", "null", "a\"b\\c", "a b", "{}"]),
    ) {
        let secret: Vec<_> = elements.iter().map(|e| e.as_ref().map(|text| format!("{text}{CANARY}"))).collect();
        let masked: Vec<_> = elements.iter().map(|element| element.as_ref().map(|_| word.to_owned())).collect();
        let with = Sample { treatment: Treatment::Whole, word: Some(word) };
        let nothing = elements.iter().all(Option::is_none);
        let expected = |bytes| if nothing { Masked::Keep } else { Masked::Bytes(bytes) };
        prop_assert_eq!(mask(&array_binary(&secret), 1009, true, &with), expected(array_binary(&masked)));
        let text = mask(array_text(&secret).as_bytes(), 1009, false, &with);
        // Quotes that are not needed are not written, so compare what it says.
        let unquoted = match &text { Masked::Bytes(bytes) => bytes.clone(), _ => array_text(&secret).into_bytes() };
        prop_assert!(!String::from_utf8_lossy(&unquoted).contains(CANARY));
        let mut read = Vec::new();
        let again = array::text(&unquoted, &mut |element| {
            read.push(String::from_utf8(element.to_vec()).unwrap());
            Masked::Keep
        });
        prop_assert_eq!(again, Masked::Keep);
        prop_assert_eq!(read, masked.into_iter().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_panic_and_no_treatment_but_detection_keeps_a_text(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        type_oid in prop::sample::select(vec![18_u32, 20, 25, 114, 142, 199, 1002, 1009, 1042, 1231, 1700, 3802, 3807, 2249]),
        binary: bool,
    ) {
        for treatment in [Treatment::Detect, Treatment::Paths, Treatment::PathsThenDetect] {
            mask(&bytes, type_oid, binary, &sample(treatment));
        }
        let is_array = matches!(type_oid, 199 | 1002 | 1009 | 3807);
        prop_assert!(is_array || mask(&bytes, type_oid, binary, &sample(Treatment::Whole)) != Masked::Keep);
        prop_assert_eq!(mask(&bytes, type_oid, binary, &sample(Treatment::Null)), Masked::Null);
    }

    #[test]
    fn a_document_stays_one_and_loses_its_cards(
        keys in prop::collection::vec("[a-z\"\\\\é\u{1}]{0,5}", 0..4),
        texts in prop::collection::vec("[a-z\"\\\\ é\u{1f600}]{0,5}", 4),
    ) {
        let member = |(key, text): (&String, &String)| (format!("{key}{CARD}"), format!("{text}{CARD}").into());
        let members: serde_json::Map<_, serde_json::Value> = keys.iter().zip(&texts).map(member).collect();
        let count = members.len();
        let document = serde_json::json!([members, texts, 4_111_111_111_111_111_i64]).to_string();
        let Masked::Bytes(masked) = mask(document.as_bytes(), 114, false, &sample(Treatment::Detect)) else {
            return Err(TestCaseError::fail("nothing was found"));
        };
        let masked = String::from_utf8(masked).unwrap();
        prop_assert!(!masked.contains(CARD));
        let read: serde_json::Value = serde_json::from_str(&masked).unwrap();
        prop_assert_eq!(read[0].as_object().map(serde_json::Map::len), Some(count));
        prop_assert_eq!(&read[1], &serde_json::json!(texts));
        prop_assert!(read[2].is_null());
    }
}

/// Gives back what it is asked about, NULL for what begins with `n`.
struct Echo;

impl Replace for Echo {
    fn treatment(&self) -> Treatment {
        Treatment::Whole
    }

    fn text(&self, value: &str) -> Option<String> {
        (!value.starts_with('n')).then(|| format!("<{value}>"))
    }

    fn json(&self, _document: &str) -> Option<String> {
        None
    }

    fn detected(&self, _text: &str) -> Option<String> {
        None
    }
}

proptest! {
    /// The short way of rows comes to what the long one does.
    #[test]
    fn a_text_replaced_whole_is_the_same_either_way(
        value in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'n'), Just(0), b' '..b'~'], 0..12),
        type_oid in prop_oneof![Just(19_u32), Just(25), Just(705), Just(1043), Just(1790), Just(2275)],
        binary: bool,
    ) {
        prop_assert!(is_plain(type_oid, &Echo));
        let mut new = "left over".to_owned();
        let short = if mask_plain(&value, &Echo, &mut new) { Masked::Bytes(new.into_bytes()) } else { Masked::Null };
        prop_assert_eq!(short, mask(&value, type_oid, binary, &Echo));
    }
}

#[test]
fn only_texts_replaced_whole_go_the_short_way() {
    for type_oid in [18, 20, 23, 114, 142, 1009, 1042, 3802, 99_999] {
        assert!(!is_plain(type_oid, &Echo), "{type_oid}");
    }
    for treatment in [Treatment::Detect, Treatment::Null, Treatment::Paths, Treatment::PathsThenDetect] {
        assert!(!is_plain(25, &sample(treatment)), "{treatment:?}");
    }
}
