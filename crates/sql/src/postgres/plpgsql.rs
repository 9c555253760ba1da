//! PL/pgSQL: the body of a DO block, taken apart into the SQL that it may run.
//!
//! The server's own grammar decides where each embedded text starts and ends: at a keyword, a comma or a semicolon
//! outside parentheses, over the tokens of the SQL scanner. That is all that is needed here, so the body is read by a
//! descent of our own over those tokens: which branch runs, how often and in which order does not matter, only that no
//! text is left out. `tokens` has the tokens, `declarations` what DECLARE has, `statements` and `control` the rest.
//!
//! Promises: a body is read whole or not at all; every query, write, expression, default, type and constant text of
//! EXECUTE in it is a [`Piece`]; EXECUTE of anything that is not one constant is not read. Never panics; nesting and the
//! number of pieces are bounded. Does not promise that the server accepts the body: it has the last word.
//! Held by: `fixtures/sql/plpgsql.tsv`, `tests.rs` here (random bodies, and the pieces that PostgreSQL's own compiler
//! finds) and `tests/it/blocks.rs`.

mod control;
mod declarations;
mod statements;
mod tokens;

#[cfg(test)]
mod tests;

use portcullis_model::Name;
use std::collections::BTreeSet;
use tokens::Cursor;

/// How deep blocks, loops and branches may be nested.
const NESTING: usize = 64;

/// How many texts one body may have: each is parsed by itself.
const PIECES: usize = 1_000;

/// One SQL text of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// One statement, its INTO taken out.
    Statement(String),
    /// What stands for a SELECT: its values go to a variable, a branch or a message.
    Expression(String),
    /// The constant of an EXECUTE: any statements, which see no variable.
    Constant(String),
}

/// A body that was read.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The texts, in order.
    pub(super) pieces: Vec<Piece>,
    /// Everything that a bare name may stand for besides a column: variables, labels, cursors.
    pub(super) names: BTreeSet<Name>,
    /// It commits or rolls back.
    pub(super) ends_transaction: bool,
    /// A text may run before one that stands in front of it: there is a loop, or a query declared for later.
    pub(super) repeats: bool,
    /// It has values that no piece of it shows: rows of a cursor, the text of an error.
    pub(super) takes_values: bool,
}

/// Reads a body; `None` where anything in it was not understood.
pub(super) fn read(body: &str) -> Option<Block> {
    let mut parser = Parser { cursor: Cursor::new(body)?, block: Block::default(), cursors: BTreeSet::new(), depth: 0 };
    // What is in every block: its own name as a label, and the variables that are always there.
    for name in ["inline_code_block", "found", "sqlstate", "sqlerrm"] {
        parser.name(name);
    }
    parser.body()?;
    Some(parser.block)
}

/// The descent over a body.
struct Parser<'t> {
    cursor: Cursor<'t>,
    block: Block,
    /// Cursors declared with their query.
    cursors: BTreeSet<String>,
    depth: usize,
}

impl Parser<'_> {
    fn name(&mut self, name: &str) {
        self.block.names.insert(Name::canonical(name));
    }

    fn piece(&mut self, piece: Piece) -> Option<()> {
        (self.block.pieces.len() < PIECES).then(|| self.block.pieces.push(piece))
    }

    /// Goes one level down.
    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        if self.depth >= NESTING {
            return None;
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Some(())
    }

    /// An expression up to one of these; the stop is not taken.
    fn expression(&mut self, stops: &[&str]) -> Option<()> {
        let text = self.cursor.until(stops)?;
        self.piece(Piece::Expression(format!("SELECT {text}")))
    }

    /// Expressions with commas between, up to one of these.
    fn expressions(&mut self, stops: &[&str]) -> Option<()> {
        let stops: Vec<&str> = stops.iter().copied().chain([","]).collect();
        loop {
            self.expression(&stops)?;
            if !self.cursor.take(",") {
                return Some(());
            }
        }
    }

    /// A statement up to the semicolon, its INTO taken out.
    fn sql(&mut self) -> Option<()> {
        let text = self.cursor.statement()?;
        self.piece(Piece::Statement(text))
    }

    /// The text of an EXECUTE up to one of these: one string constant, or it is not read.
    fn constant(&mut self, stops: &[&str]) -> Option<()> {
        let text = self.cursor.until(stops)?;
        let tree = super::parse::parse(&format!("SELECT {text}")).ok()?;
        let constant = tokens::only_constant(&tree)?;
        // Behind a constant there may be FROM or WHERE.
        self.piece(Piece::Expression(format!("SELECT {text}")))?;
        self.piece(Piece::Constant(constant))
    }

    /// USING of an EXECUTE, up to one of these.
    fn using(&mut self, stops: &[&str]) -> Option<()> {
        if self.cursor.take("using") { self.expressions(stops) } else { Some(()) }
    }
}
