//! Blocks, branches and loops: what holds other statements.
//!
//! Held by: `fixtures/sql/plpgsql.tsv`.

use super::{Parser, Piece};

/// Words that end a list of statements where one could start.
const ENDS: [&str; 6] = ["end", "else", "elsif", "elseif", "when", "exception"];

impl Parser<'_> {
    /// The whole body: one block.
    pub(super) fn body(&mut self) -> Option<()> {
        self.labels()?;
        self.block()?;
        self.cursor.take(";");
        self.cursor.is_over().then_some(())
    }

    /// `<<label>>`, which may stand before a name of the block.
    pub(super) fn labels(&mut self) -> Option<()> {
        if self.cursor.take("<<") {
            let name = self.cursor.identifier()?;
            self.name(&name);
            self.cursor.need(">>")?;
        }
        Some(())
    }

    pub(super) fn statements(&mut self) -> Option<()> {
        self.deeper(|parser| {
            while parser.cursor.is_assignment() || !parser.cursor.word().is_some_and(|word| ENDS.contains(&word)) {
                parser.statement()?;
            }
            Some(())
        })
    }

    /// From DECLARE or BEGIN to END and the label behind it.
    pub(super) fn block(&mut self) -> Option<()> {
        if self.cursor.take("declare") {
            self.declarations()?;
        }
        self.cursor.need("begin")?;
        self.statements()?;
        if self.cursor.take("exception") {
            // What a handler can ask of the error may hold values.
            self.block.takes_values = true;
            self.handlers()?;
        }
        self.cursor.need("end")?;
        self.end_label()
    }

    fn handlers(&mut self) -> Option<()> {
        self.cursor.sees("when").then_some(())?;
        while self.cursor.take("when") {
            loop {
                if self.cursor.identifier()? == "sqlstate" {
                    self.cursor.text()?;
                }
                if !self.cursor.take("or") {
                    break;
                }
            }
            self.cursor.need("then")?;
            self.statements()?;
        }
        Some(())
    }

    fn end_label(&mut self) -> Option<()> {
        if !self.cursor.sees(";") && !self.cursor.is_over() {
            self.cursor.identifier()?;
        }
        Some(())
    }

    pub(super) fn branch(&mut self) -> Option<()> {
        self.expression(&["then"])?;
        self.cursor.need("then")?;
        self.statements()?;
        while self.cursor.take("elsif") || self.cursor.take("elseif") {
            self.expression(&["then"])?;
            self.cursor.need("then")?;
            self.statements()?;
        }
        if self.cursor.take("else") {
            self.statements()?;
        }
        self.cursor.need("end")?;
        self.cursor.need("if")?;
        self.cursor.need(";")
    }

    pub(super) fn case(&mut self) -> Option<()> {
        let compares = !self.cursor.sees("when");
        if compares {
            self.expression(&["when"])?;
        }
        self.cursor.sees("when").then_some(())?;
        while self.cursor.take("when") {
            if compares {
                // As the server has it: the value is looked for in this list or query.
                let text = self.cursor.until(&["then"])?;
                self.piece(Piece::Expression(format!("SELECT NULL IN ({text})")))?;
            } else {
                self.expression(&["then"])?;
            }
            self.cursor.need("then")?;
            self.statements()?;
        }
        if self.cursor.take("else") {
            self.statements()?;
        }
        self.cursor.need("end")?;
        self.cursor.need("case")?;
        self.cursor.need(";")
    }

    /// From LOOP to the semicolon behind END LOOP.
    pub(super) fn repeated(&mut self) -> Option<()> {
        self.block.repeats = true;
        self.cursor.need("loop")?;
        self.statements()?;
        self.cursor.need("end")?;
        self.cursor.need("loop")?;
        self.end_label()?;
        self.cursor.need(";")
    }

    pub(super) fn while_loop(&mut self) -> Option<()> {
        self.expression(&["loop"])?;
        self.repeated()
    }

    pub(super) fn foreach_loop(&mut self) -> Option<()> {
        self.targets()?;
        if self.cursor.take("slice") {
            self.cursor.number()?;
        }
        self.cursor.need("in")?;
        self.cursor.need("array")?;
        self.expression(&["loop"])?;
        self.repeated()
    }

    /// Variables that a loop sets; one that counts numbers is made by the loop itself.
    fn targets(&mut self) -> Option<()> {
        loop {
            let name = self.cursor.dotted()?;
            self.name(&name);
            if !self.cursor.take(",") {
                return Some(());
            }
        }
    }

    pub(super) fn for_loop(&mut self) -> Option<()> {
        self.targets()?;
        self.cursor.need("in")?;
        if self.cursor.take("execute") {
            self.constant(&["using", "loop"])?;
            self.using(&["loop"])?;
        } else if self.cursor.meets("..", "loop")? {
            self.cursor.take("reverse");
            self.expression(&[".."])?;
            self.cursor.need("..")?;
            self.expression(&["loop", "by"])?;
            if self.cursor.take("by") {
                self.expression(&["loop"])?;
            }
        } else if self.cursor.word().is_some_and(|word| self.cursors.contains(word)) {
            // A cursor of this body, whose query is read where it is declared.
            self.cursor.identifier()?;
            if self.cursor.sees("(") {
                self.arguments()?;
            }
        } else {
            let text = self.cursor.until(&["loop"])?;
            self.piece(Piece::Statement(text.to_owned()))?;
        }
        self.repeated()
    }
}
