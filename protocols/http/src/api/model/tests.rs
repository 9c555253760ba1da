//! What the APIs of models share: texts with JSON in them, what is spared, and what the record keeps.

use super::request::{MOST, Operations};
use super::scan::{Scan, scan};
use super::words::{ANYWAY, Piece, Room, TIMES, is_sealed};
use super::*;
use crate::api::testing::TestWords;
use crate::json::{self, Edits};
use crate::tools;
use proptest::prelude::*;

fn pieces(text: &str) -> Vec<Piece<'_>> {
    super::words::pieces(text, &mut Room::default())
}

/// Nothing is spared but words of an API.
fn spared() -> Spared {
    Spared { own: List::from("type id".to_owned()), ..Spared::default() }
}

#[test]
fn json_that_begins_a_line_is_found() {
    use Piece::{Cut, Document, Prose};
    let cut = |said: &'static str, lacks: &str| Cut(said, lacks.to_owned());
    let cases: &[(&str, &[Piece<'_>])] = &[
        ("", &[]),
        ("a {\"b\":1}", &[Prose("a {\"b\":1}")]),
        (" {\"b\":1}\n", &[Prose(" "), Document("{\"b\":1}"), Prose("\n")]),
        ("a\r[1] b", &[Prose("a\r"), Document("[1]"), Prose(" b")]),
        ("[1][2]\n{}", &[Document("[1]"), Document("[2]"), Prose("\n"), Document("{}")]),
        ("\u{a0}\u{feff}{}", &[Prose("\u{a0}\u{feff}"), Document("{}")]),
        ("[a](b)\n{x", &[Prose("[a](b)\n{x")]),
        ("a\n{\"a\":", &[Prose("a\n"), cut("{\"a\":", "null}")]),
        ("fn a()\n{\n", &[Prose("fn a()\n"), cut("{\n", "}")]),
        ("[2026-01-05] a\n[dependencies]\n[01]", &[Prose("[2026-01-05] a\n[dependencies]\n[01]")]),
        ("```json\n{\"a\":[{}]}\n```", &[Prose("```json\n"), Document("{\"a\":[{}]}"), Prose("\n```")]),
    ];
    for (text, expected) in cases {
        assert_eq!(pieces(text), *expected, "{text:?}");
    }
    // What is too deep for a reader is a document all the same.
    let deep = format!("{}{{\"ssn\":1}}{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(pieces(&deep), [Document(&deep)]);
    // A log is prose however long it is; what looks like JSON in every line up to its end is not looked into for ever.
    assert_eq!(pieces(&"[12:00] {\n".repeat(100_000)).len(), 1);
    let nested = "[\n".repeat(100_000) + "x";
    assert!(matches!(pieces(&nested)[..], [Prose(_), Piece::Unread(_)]));
}

#[test]
fn what_a_document_lacks_makes_it_whole() {
    for (text, lacks) in [
        ("{", "}"),
        ("[", "]"),
        ("{\"a", "\":null}"),
        ("{\"a\"", ":null}"),
        ("{\"a\":1,", "\"\":null}"),
        ("[1,", "null]"),
        ("[tr", "ue]"),
        ("[-", "0]"),
        ("[1.", "0]"),
        ("[1e+", "0]"),
        ("[\"a\\", "\\\"]"),
        ("[\"\\u00", "00\"]"),
        ("[{\"a\":[\"b\"", "]}]"),
    ] {
        assert_eq!(scan(text), Scan::Cut(lacks.to_owned()), "{text}");
        assert!(json::read(format!("{text}{lacks}").as_bytes()).is_ok(), "{text}");
    }
    let mut words = TestWords::binding();
    for (text, masked) in [
        ("{\"ssn\":\"12", Some("{\"ssn\":\"[masked]")),
        ("{\"ssn\":12", Some("{\"ssn\":\"[masked]\"")),
        ("[{\"ssn\":1},{\"b\":\"SECRET", Some("[{\"ssn\":\"[masked]\"},{\"b\":\"[masked]")),
        ("{\"a\":[1", None),
        ("{\"a\":1,\"a\":2", Some("[portcullis: JSON that cannot be masked]")),
    ] {
        assert_eq!(string(text, &mut words).as_deref(), masked, "{text}");
    }
}

#[test]
fn a_text_that_only_looks_sealed_is_a_text() {
    let long = "A".repeat(40);
    for sealed in [long.as_str(), &(long.clone() + "AA=="), &(long.clone() + "+/8="), &(long.clone() + "-_8")] {
        assert!(is_sealed(sealed), "{sealed}");
    }
    for open in [
        "",
        "4111111111111111",
        "AAAA",
        &(long.clone() + "A"),
        &(long.clone() + "a b"),
        &(long.clone() + "="),
        &(long.clone() + "AA="),
        &(long.clone() + "A==="),
        &(long.clone() + "+-"),
        &(long + ".AA"),
    ] {
        assert!(!is_sealed(open), "{open}");
    }
}

#[test]
fn a_text_is_masked_the_same_however_it_comes() {
    let mut words = TestWords::binding();
    let mut speech = Speech::new(0);
    let mut shown = String::new();
    for piece in ["a ", "SEC", "RET\n ", " {\"ss", "n\":1}", " SECRET"] {
        shown.push_str(&speech.push(piece, &mut words).unwrap());
    }
    assert_eq!(shown, "a [masked]\n  ");
    shown.push_str(&speech.end(&mut words));
    assert_eq!(shown, "a [masked]\n  {\"ssn\":\"[masked]\"} [masked]");
    assert_eq!((speech.said(), speech.is_kept()), ("a SECRET\n  {\"ssn\":1} SECRET", true));
    // What waits is bounded.
    let mut speech = Speech::new(1);
    let long = "[".to_owned() + &" ".repeat(tools::LONGEST / 2);
    assert!(speech.push(&long, &mut words).is_ok() && speech.push(&long, &mut words).is_err());
}

#[test]
fn the_record_says_what_is_missing() {
    let recorded = |keep: &dyn Fn(&mut Turn), broke: Option<&Unfit>| {
        let (mut turn, mut words) = (Turn::default(), TestWords::default());
        keep(&mut turn);
        turn.record(broke, &spared(), &mut words);
        // Once.
        turn.record(None, &spared(), &mut words);
        words.recorded
    };
    assert_eq!(recorded(&|_| (), None), Vec::<String>::new());
    assert_eq!(recorded(&|turn| turn.keep("1".into()), None), [r#"{"role":"assistant","content":[1]}"#]);
    let broke = recorded(&|turn| turn.keep("1".into()), Some(&STRANGE));
    assert!(broke[0].contains(r#""content":[1],"portcullis":"this is not all: "#), "{broke:?}");
    let long = recorded(&|turn| (0..9).for_each(|_| turn.keep("1".repeat(1 << 20))), None);
    assert!(long[0].ends_with(r#","portcullis":"not all is kept: it is too long, or a call broke off"}"#));
    assert!(json::read(long[0].as_bytes()).is_ok() && long[0].len() < 5 << 20);
}

#[test]
fn a_call_that_no_tool_could_take_is_refused_whatever_the_verdict() {
    let table = tools::ToolTable::default();
    let call = |name: &str, input: &str| Call {
        kind: "tool_use".into(),
        id: "a".into(),
        name: name.into(),
        server: None,
        input: input.into(),
    };
    for (name, input) in [("SECRET", "{}"), ("a b", "{}"), ("a", "[]"), ("a", "{"), ("a", r#"{"a":1,"a":2}"#)] {
        let mut ready = call(name, input).ready(&table, &mut TestWords::binding()).unwrap();
        let Ok(crate::api::Part::Propose(command)) = ready.propose() else { panic!("{name} {input}") };
        assert!(command.fault.is_some() && ready.propose().is_err(), "{name} {input}");
        let refusal = ready.settle(Ok(())).unwrap_err();
        assert!(!refusal.contains("SECRET") && !crate::api::testing::said(&command).contains("SECRET"), "{refusal}");
        assert!(json::read(ready.recorded("").as_bytes()).is_ok());
    }
    for id in ["", "a b", &"a".repeat(ID + 1)] {
        let call = Call { id: id.into(), ..call("a", "{}") };
        assert_eq!(call.ready(&table, &mut TestWords::binding()).err(), Some(STRANGE), "{id}");
    }
}

/// A value whose name is in the gap would be words that no mask is about.
#[test]
fn nothing_is_kept_behind_a_gap() {
    let mut words = TestWords::exempt();
    let mut speech = Speech::new(0);
    let prose = |kib: usize| "a b ".repeat(kib << 8);
    for piece in [prose(500), prose(600) + "\n{\"ssn\":", "\"123-45-6789\"}".to_owned(), "and so on".to_owned()] {
        speech.push(&piece, &mut words).unwrap();
    }
    assert!(!speech.is_kept() && speech.said() == prose(500));
    let mut turn = Turn::default();
    turn.keep_speech(r#""type":"text""#, "text", &speech);
    turn.record(None, &spared(), &mut words);
    assert!(words.recorded[0].contains("not all is kept") && !words.recorded[0].contains("6789"));
}

#[test]
fn many_short_texts_are_looked_through_no_more_than_one_long_one() {
    let text = json::quoted(&("[\n".repeat(260) + "x"));
    let blocks = vec![format!(r#"{{"type":"text","text":{text}}}"#); 2_000].join(",");
    let body = format!(r#"{{"messages":[{{"role":"user","content":[{blocks}]}}]}}"#);
    let node = json::read(body.as_bytes()).unwrap();
    let looked = |mut words: TestWords| {
        assert!(spared().mask_body(&node, &body, &mut words, &mut Edits::default()).is_ok());
        words.room.looked()
    };
    let most = body.len() * TIMES + ANYWAY;
    let steps = looked(TestWords::binding());
    assert!(steps > body.len() && steps <= most, "{steps} of {most}");
    // Where no mask is about fields nothing is looked for.
    assert_eq!(looked(TestWords { binds: true, ..TestWords::default() }), 0);
    // What stands behind a text changes nothing of it.
    let masked = |texts: &str| spared().masked_alone(texts, &mut TestWords::binding()).unwrap();
    let first = masked(&format!("[{text},{text}]"));
    assert!(masked(&format!("[{text},{text},{text},{{}}]")).starts_with(first.trim_end_matches(']')));
}

#[test]
fn a_request_does_each_thing_once_and_not_too_much() {
    let host = |at: usize| tools::reached(&format!("https://h{at}.example/"));
    let twice: Operations = [host(1), host(0), host(1)].into_iter().collect();
    assert_eq!(twice.bounded(), Ok(vec![host(1), host(0)]));
    let most: Operations = (0..MOST).chain(0..MOST).map(host).collect();
    assert_eq!(most.bounded().map(|list| list.len()), Ok(MOST));
    assert!((0..=MOST).map(host).collect::<Operations>().bounded().is_err());
}

proptest! {
    #[test]
    fn the_pieces_of_a_text_are_the_text(text in "([\\[\\]{}\",:a1 \n\r]|é){0,60}") {
        let whole: String = pieces(&text).iter().map(|piece| match piece {
            Piece::Prose(said) | Piece::Document(said) | Piece::Cut(said, _) | Piece::Unread(said) => *said,
        }).collect();
        prop_assert_eq!(whole, text);
    }

    #[test]
    fn documents_are_those_of_another_parser(
        text in "[\\[{]([\\[\\]{}\",:a1e.\\-+\\\\0 \n]|\"[a1]\":|\\\\u00e9|true|null|é){0,24}",
    ) {
        let mut documents = serde_json::Deserializer::from_str(&text).into_iter::<serde::de::IgnoredAny>();
        let other = documents.next().unwrap();
        match scan(&text) {
            Scan::Whole(bytes) => {
                prop_assert!(other.is_ok(), "{}", text);
                prop_assert_eq!(documents.byte_offset(), bytes);
            }
            Scan::Cut(lacks) => {
                // Of a number that breaks off the other says that it is none.
                let number = text.ends_with(['-', '+', '.', 'e']);
                prop_assert!(other.is_err_and(|error| error.is_eof() || number), "{}", text);
                let whole = format!("{text}{lacks}");
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&whole).is_ok(), "{}", whole);
            }
            Scan::Wrong(_) => prop_assert!(other.is_err_and(|error| !error.is_eof()), "{}", text),
        }
    }

    #[test]
    fn how_a_text_is_cut_changes_nothing(
        text in "([\\[\\]{}\",:a1 \n]|é|SECRET|\\{\"ssn\":1\\}){0,40}",
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut at: Vec<usize> = cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let mut words = TestWords::binding();
        let mut speech = Speech::new(0);
        let mut shown = String::new();
        for pair in at.windows(2) {
            shown.push_str(&speech.push(&text[pair[0]..pair[1]], &mut words).unwrap());
        }
        shown.push_str(&speech.end(&mut words));
        let whole = string(&text, &mut words).unwrap_or_else(|| text.clone());
        prop_assert_eq!(&shown, &whole);
        prop_assert!(!shown.contains("SECRET"));
    }

    #[test]
    fn what_is_masked_in_place_stays_json(body in "\\{\"messages\":\\[\\{\"content\":\\[\\{\"type\":\"(thinking|image|x)\",\"(thinking|data|signature|id|input)\":(\"SECRET\"|\\{\"ssn\":1\\}|\"\\{\\}\")\\}\\]\\}\\],\"metadata\":\\{\"id\":\"SECRET\"\\}\\}") {
        let spared = Spared {
            own: List::from("type id".to_owned()),
            sealed: List::from("encrypted_content".to_owned()),
            signed: List::from("thinking".to_owned()),
            foreign: List::from("input_schema".to_owned()),
            documents: List::from("metadata".to_owned()),
        };
        let node = json::read(body.as_bytes()).unwrap();
        let mut edits = Edits::default();
        prop_assert!(spared.mask_body(&node, &body, &mut TestWords::binding(), &mut edits).is_ok());
        let masked = edits.apply(&body).unwrap();
        prop_assert!(json::read(masked.as_bytes()).is_ok());
        // An id is the API's own word where the API has it.
        let own = body.contains("\"id\":\"SECRET\"}]");
        prop_assert_eq!(masked.contains("SECRET"), own, "{}", masked);
    }
}
