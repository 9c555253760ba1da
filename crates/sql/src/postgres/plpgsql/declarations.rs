//! DECLARE: variables with their types and defaults, aliases, cursors and their queries.
//!
//! Promises: a type is an expression that casts to it, so what a use of the type runs is seen; a default and a cursor's
//! query are pieces. `%TYPE` and `%ROWTYPE` run nothing. Held by: `fixtures/sql/plpgsql.tsv`.

use super::{Parser, Piece};

impl Parser<'_> {
    /// What stands between DECLARE and BEGIN.
    pub(super) fn declarations(&mut self) -> Option<()> {
        while !self.cursor.sees("begin") {
            // The word may be said again.
            if !self.cursor.take("declare") {
                self.declaration()?;
            }
        }
        Some(())
    }

    fn declaration(&mut self) -> Option<()> {
        let name = self.cursor.identifier()?;
        self.name(&name);
        if self.cursor.take("alias") {
            self.cursor.need("for")?;
            self.cursor.dotted()?;
            return self.cursor.need(";");
        }
        if self.cursor.sees("cursor") || self.cursor.sees("scroll") || self.cursor.sees("no") {
            self.cursors.insert(name);
            return self.cursor_declaration();
        }
        self.cursor.take("constant");
        self.variable_type(&[";", ":=", "=", "default", "not", "collate"])?;
        if self.cursor.take("collate") {
            self.cursor.dotted()?;
        }
        if self.cursor.take("not") {
            self.cursor.need("null")?;
        }
        if self.cursor.take(":=") || self.cursor.take("=") || self.cursor.take("default") {
            self.expression(&[";"])?;
        }
        self.cursor.need(";")
    }

    fn variable_type(&mut self, stops: &[&str]) -> Option<()> {
        let text = self.cursor.until(stops)?;
        if copies_type(text) {
            return Some(());
        }
        self.piece(Piece::Expression(format!("SELECT NULL::{text}")))
    }

    fn cursor_declaration(&mut self) -> Option<()> {
        self.block.repeats = true;
        if self.cursor.take("no") {
            self.cursor.need("scroll")?;
        } else {
            self.cursor.take("scroll");
        }
        self.cursor.need("cursor")?;
        if self.cursor.take("(") {
            loop {
                let name = self.cursor.identifier()?;
                self.name(&name);
                self.variable_type(&[",", ")"])?;
                if !self.cursor.take(",") {
                    break;
                }
            }
            self.cursor.need(")")?;
        }
        self.cursor.need_any(&["for", "is"])?;
        self.sql()
    }
}

/// Whether a type is that of a column or row: names, dots, and `%TYPE` or `%ROWTYPE` at the end, maybe as an array.
fn copies_type(text: &str) -> bool {
    let Some((name, kind)) = text.rsplit_once('%') else { return false };
    let kind = kind.trim().to_ascii_lowercase();
    let kind = kind.trim_end_matches("[]").trim_end();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '"' | ' ');
    matches!(kind, "type" | "rowtype") && name.chars().all(plain)
}
