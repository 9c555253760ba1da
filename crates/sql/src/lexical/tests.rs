//! The table of verdicts, the limits, and the comparison with PostgreSQL's own scanner.

use super::fuzz::{ours, scanned};
use super::*;
use proptest::prelude::*;

const TABLE: &str = include_str!("../../../../fixtures/sql/lexical.tsv");

fn verdict(text: &str) -> &'static str {
    let limits = Limits::default();
    match check(text, &limits) {
        Ok(()) => "ok",
        Err(Fault::Ambiguous { .. }) if check(text, &limits.pinned()).is_ok() => "pinned",
        Err(Fault::Ambiguous { .. }) => "ambiguous",
        Err(Fault::TooLarge { .. }) => "too large",
        Err(Fault::Syntax { .. } | Fault::Missing { .. } | Fault::Unsupported { .. }) => "other",
    }
}

#[test]
fn texts_are_judged_as_the_table_says() {
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let (text, expected) = line.rsplit_once('\t').unwrap();
        let text: String = serde_json::from_str(text).unwrap();
        assert_eq!(verdict(&text), expected, "{text}");
    }
}

#[test]
fn what_is_beyond_a_limit_is_refused_before_it_is_slow() {
    let limits = Limits { statement_bytes: 300_000, tokens: 1_000, comment_nesting: 3, ..Limits::default() };
    let too_large = |text: &str| matches!(check(text, &limits), Err(Fault::TooLarge { .. }));
    assert!(!too_large(&"x".repeat(300_000)));
    assert!(too_large(&"x".repeat(300_001)));
    assert!(!too_large(&"x ".repeat(1_000)));
    assert!(too_large(&"x ".repeat(1_001)));
    assert!(!too_large("/* /* /* /* */ */ */ */ select 1"));
    assert!(too_large("/* /* /* /* /* */ */ */ */ */ select 1"));
    // many comments side by side are no nesting, unless each makes the scanner go over the same run again
    assert!(!too_large(&"/* a */ ".repeat(30_000)));
    assert!(too_large(&"/**/".repeat(50_000)));
    assert!(!too_large(&format!("/*{}*/ select 1", "*".repeat(200_000))));
    let wide = Limits { tokens: 1_000_000, ..limits };
    assert!(matches!(check(&"+-".repeat(100_000), &wide), Err(Fault::TooLarge { .. })));
    assert_eq!(check(&format!("select 1{}", " + 1".repeat(50_000)), &wide), Ok(()));
}

#[test]
fn names_are_plain_where_no_encoding_could_change_them() {
    for text in [
        "SELECT name FROM t WHERE name = 'José' AND note <> E'\\u00e9' AND n = U&'\\00e9' -- é",
        "INSERT INTO t VALUES ('é') ON CONFLICT DO NOTHING",
        "SELECT $$é$$, $a$é$a$, /* é */ \"u&\", u & 1, 'do'",
        "DO $$ BEGIN DELETE FROM t WHERE id = 5; END $$",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT 1, ''é'' '; SELECT 'é'",
    ] {
        assert!(has_plain_names(text), "{text}");
    }
    for text in [
        "SELECT 1 AS é",
        "SELECT 1 AS \"é\"",
        "SELECT 1 AS U&\"\\00e9\"",
        "SELECT 1 AS u&\"e\"",
        "SELECT $é$ x $é$",
        "DO $$ BEGIN DELETE FROM é; END $$",
        "SELECT 1; /* */ do E'BEGIN DELETE FROM \\u00e9; END'",
        "DO U&'BEGIN DELETE FROM !00e9; END' UESCAPE '!'",
    ] {
        assert!(!has_plain_names(text), "{text}");
    }
}

#[test]
fn the_advice_of_a_refusal_names_the_way_out() {
    let Err(Fault::Ambiguous { message }) = check(r"select 'a\'", &Limits::default()) else { panic!("passed") };
    assert!(message.contains("E'…'") && message.contains("parameter"), "{message}");
}

/// Pieces in which lexers go wrong, often in a sequence that a scanner accepts.
fn piece() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("'"),
        Just("''"),
        Just("'a'"),
        Just("E'"),
        Just("e'\\''"),
        Just("\\"),
        Just("\\\\"),
        Just("U&'"),
        Just("U&\""),
        Just("N'b'"),
        Just("B'1'"),
        Just("x'0F'"),
        Just("\""),
        Just("\"q\""),
        Just("$$"),
        Just("$a$"),
        Just("$a1$"),
        Just("$1"),
        Just("a$$"),
        Just("a$b$"),
        Just("é"),
        Just("$é$"),
        Just("--"),
        Just("/*"),
        Just("*/"),
        Just("\n"),
        Just("\r"),
        Just("\t"),
        Just("\u{b}"),
        Just("\u{c}"),
        Just(" "),
        Just(" "),
        Just(";"),
        Just("; "),
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("@"),
        Just("<"),
        Just("("),
        Just(")"),
        Just(","),
        Just("1"),
        Just("1.5"),
        Just("1e5"),
        Just("0x1F"),
        Just("0b1"),
        Just("0o7"),
        Just("1_0"),
        Just("0"),
        Just("_"),
        Just("."),
        Just(".."),
        Just(":"),
        Just("::"),
        Just("e"),
        Just("u&"),
        Just("n"),
        Just("select"),
        Just("_x"),
        Just("\u{a0}"),
        Just("\u{feff}"),
        Just("U&'d' UESCAPE '!'"),
        Just("escape"),
        Just("ESCAPE '\\'"),
        Just("'\\'"),
    ]
}

/// How many random texts: `PORTCULLIS_CASES`, else a number that takes a second.
fn cases() -> u32 {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Where PostgreSQL's scanner accepts a text, literals, names and statement ends begin where ours says.
    #[test]
    fn borders_agree_with_the_scanner_of_postgresql(pieces in proptest::collection::vec(piece(), 1..16)) {
        let text = pieces.concat();
        if let Some(theirs) = scanned(&text) {
            prop_assert_eq!(ours(&text), theirs, "{:?}", text);
        }
    }

    #[test]
    fn bytes_of_any_kind_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        fuzz_lexical(&bytes);
    }

    #[test]
    fn pieces_of_any_kind_do_not_panic(pieces in proptest::collection::vec(piece(), 0..40)) {
        fuzz_lexical(pieces.concat().as_bytes());
    }
}
