//! Bodies: random ones never fail, and what PostgreSQL's own compiler finds in a body is in its pieces.

use super::{Piece, read};
use proptest::prelude::*;
use std::collections::BTreeSet;

const FIXTURES: [&str; 3] = [
    include_str!("../../../../../fixtures/sql/plpgsql.tsv"),
    include_str!("../../../../../fixtures/sql/corpus.tsv"),
    include_str!("../../../../../fixtures/sql/server.tsv"),
];

/// DO statements of the fixtures.
fn texts() -> Vec<String> {
    let rows = FIXTURES.iter().flat_map(|table| table.lines()).filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split('\t').next().unwrap_or_default().replace("\\n", "\n").replace("\\\\", "\\"))
        .filter(|text| text.starts_with("DO "))
        .collect()
}

fn body(text: &str) -> Option<String> {
    let tree = pg_query::parse(text, 0).ok()?.protobuf;
    let Some(pg_query::NodeEnum::DoStmt(block)) = tree.stmts[0].stmt.as_ref()?.node.as_ref() else { return None };
    super::super::define::options(&block.args)
        .find(|option| option.defname == "as")
        .and_then(|option| super::super::expression::constant(option.arg.as_deref()))
        .map(str::to_owned)
}

/// The texts that PostgreSQL's compiler finds, blanks aside.
fn compiled(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(serde_json::Value::String(query)) = fields.get("query") {
                found.insert(plain(query));
            }
            fields.values().for_each(|value| compiled(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| compiled(value, found)),
        _ => {}
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn every_text_that_the_servers_compiler_finds_is_in_a_piece() {
    let mut checked = 0;
    for text in texts() {
        let Some(block) = body(&text).and_then(|body| read(&body)) else { continue };
        let Ok(tree) = pg_query::parse_plpgsql(&text) else { continue };
        let pieces: Vec<_> = block
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Statement(text) | Piece::Expression(text) | Piece::Constant(text) => plain(text),
            })
            .collect();
        let mut found = BTreeSet::new();
        compiled(&tree, &mut found);
        for query in found {
            // An assignment is two pieces; the text of EXECUTE is read for what it says; the compiler wraps the values
            // of CASE and the arguments of cursors.
            let wrapped = query.starts_with("\"__Case__Variable") || query.contains("ASk");
            // How many rows a FETCH moves is one too.
            let wrapped = wrapped || query.chars().all(|c| c.is_ascii_digit());
            let constant = pg_query::parse(&format!("SELECT {query}"), 0)
                .is_ok_and(|tree| super::tokens::only_constant(&tree.protobuf).is_some());
            let inside = |part: &str| pieces.iter().any(|piece| piece.contains(part));
            let parts: Vec<_> = query.splitn(2, ":=").collect();
            let whole = inside(&query) || parts.iter().all(|part| inside(part));
            assert!(whole || wrapped || constant, "{query} of {text}: {pieces:?}");
            checked += 1;
        }
    }
    assert!(checked >= 60, "{checked} texts");
}

#[test]
fn most_blocks_of_the_fixtures_are_read() {
    let refused = texts().iter().filter(|text| body(text).is_some_and(|body| read(&body).is_none())).count();
    let all = texts().len();
    assert!(refused * 2 < all, "{refused} of {all} are not read");
}

const WORDS: [&str; 70] = [
    "BEGIN",
    "END",
    "END",
    ";",
    ";",
    ";",
    "IF",
    "THEN",
    "ELSE",
    "ELSIF",
    "LOOP",
    "FOR",
    "IN",
    "WHILE",
    "CASE",
    "WHEN",
    "DECLARE",
    "x",
    "y",
    "int",
    ":=",
    "=",
    "(",
    ")",
    "[",
    "]",
    ",",
    "..",
    "<<",
    ">>",
    "EXECUTE",
    "'DELETE FROM t'",
    "||",
    "USING",
    "INTO",
    "STRICT",
    "PERFORM",
    "SELECT",
    "1",
    "FROM",
    "t",
    "RAISE",
    "NOTICE",
    "'%'",
    "EXCEPTION",
    "OTHERS",
    "CURSOR",
    "OPEN",
    "FETCH",
    "MOVE",
    "CLOSE",
    "GET",
    "DIAGNOSTICS",
    "STACKED",
    "RETURN",
    "NULL",
    "EXIT",
    "CONTINUE",
    "FOREACH",
    "ARRAY",
    "ASSERT",
    "COMMIT",
    "ROLLBACK",
    "AND",
    "CHAIN",
    "$q$",
    "\"q\"",
    "--",
    "/*",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bodies_are_read_or_not(words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..40)) {
        let body = words.join(" ");
        let _ = read(&body);
        let _ = read(&format!("BEGIN {body}; END"));
    }

    #[test]
    fn random_characters_are_read_or_not(body in ".{0,60}") {
        let _ = read(&body);
        let _ = read(&format!("BEGIN {body} END"));
    }
}

#[test]
fn a_body_that_was_cut_anywhere_is_not_read() {
    for text in texts() {
        let Some(body) = body(&text).filter(|body| read(body).is_some()) else { continue };
        let end = body.to_ascii_lowercase().rfind("end").unwrap_or_default();
        for (at, _) in body.char_indices().filter(|(at, _)| *at <= end) {
            assert_eq!(read(&body[..at]).map(|block| block.pieces), None, "{} of {body}", &body[..at]);
        }
    }
}
