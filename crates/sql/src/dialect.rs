//! The SQL of other systems (MySQL, SQLite, ClickHouse, Snowflake, BigQuery, SQL Server), read with `sqlparser`.
//!
//! Shell commands, HTTP bodies and tool calls carry such texts; there is no session behind them, so names keep schema
//! `?` unless they are qualified by exactly one, every statement's span is the whole text, and `effects` stay empty.
//!
//! Promises: every statement of the text has its operations, and everything nested in it (sub-queries, blocks, EXPLAIN,
//! PREPARE) counts; a text whose tokens this parser and the system could see differently is [`Fault::Ambiguous`], one that
//! holds a command for the system's client program [`Fault::Unsupported`], one that does not parse [`Fault::Syntax`]; all
//! of these are `unknown`. Deep texts never end the process: tokens are capped and reading runs on a stack of its own.
//! Does not promise that the target system accepts the text, nor column lineage.
//! Held by: `fixtures/sql/dialects.tsv`, the ledgers and properties in `dialect/tests.rs`.

mod bounded;
mod facts;
mod guard;
mod heads;
mod names;
mod secrets;
mod walk;

#[cfg(test)]
mod tests;

use crate::reading::{Reading, Statement};
use crate::{Dialect, Limits, lexical};
use facts::Facts;
use portcullis_model::Fault;
use sqlparser::ast;
use sqlparser::parser::{Parser, ParserError};

/// The stack that parsing, walking and dropping a tree takes: a tree is as deep as its text is long.
const STACK_BYTES: usize = 32 << 20;

/// Tokens of a text, whatever the limits say: each may be a level of the tree, and dropping a level takes stack.
const TOKENS: usize = 100_000;

/// What a statement of such a text is called: its grammar has no names for its kinds.
const TAG: &str = "statement";

/// Reads a text of a dialect other than PostgreSQL's.
pub(crate) fn read(text: &str, dialect: Dialect, limits: &Limits) -> Reading {
    let facts = Facts::of(dialect);
    if let Err(fault) = lexical::within_size(text, limits) {
        return refused(text, fault, Vec::new());
    }
    stacker::grow(STACK_BYTES, || {
        let (tokens, found) = match guard::tokens(text, &facts, limits.tokens.min(TOKENS)) {
            Ok(tokens) => {
                let found = secrets::find(text, &tokens);
                (tokens, found)
            }
            Err(fault) => return refused(text, fault, secrets::suspect(text)),
        };
        match guard::check(text, &tokens, &facts).and_then(|()| parse(text, &facts, tokens.clone())) {
            Ok(parsed) => match statements(text, &parsed, &facts, &tokens) {
                Ok(statements) => Reading { statements, fault: None, secrets: found },
                Err(fault) => refused(text, fault, found),
            },
            Err(fault) => refused(text, fault, found),
        }
    })
}

fn refused(text: &str, fault: Fault, secrets: Vec<std::ops::Range<usize>>) -> Reading {
    Reading { secrets, ..Reading::faulty(text, fault) }
}

fn parse(text: &str, facts: &Facts, tokens: Vec<guard::Spanned>) -> Result<Vec<ast::Statement>, Fault> {
    Parser::new(facts.grammar()).with_tokens_with_locations(tokens).parse_statements().map_err(|error| match error {
        ParserError::RecursionLimitExceeded => Fault::TooLarge { message: "the statement is nested too deeply".into() },
        // The parser's message quotes the text, which may hold a secret; only its place is told.
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => Fault::Syntax {
            message: "the text is not SQL of its dialect, or of a form that is not read".into(),
            position: guard::position(text, &message),
        },
    })
}

fn statements(
    text: &str,
    parsed: &[ast::Statement],
    facts: &Facts,
    tokens: &[guard::Spanned],
) -> Result<Vec<Statement>, Fault> {
    let mut seen = 0;
    let mut out = Vec::with_capacity(parsed.len());
    for statement in parsed {
        let walked = walk::walk(statement, facts);
        seen += walked.statements;
        let mut read = Statement::of(0..text.len(), TAG, walked.operations);
        read.writes = walked.writes;
        // Their names are not resolved against a catalogue.
        read.lineage = std::sync::Arc::new(portcullis_model::Lineage::untold());
        out.push(read);
    }
    guard::count(tokens, seen)?;
    Ok(out)
}
