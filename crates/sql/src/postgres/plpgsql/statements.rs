//! Statements that hold no others.
//!
//! What starts with a word that PL/pgSQL has no statement for is SQL. RETURN with a value, which a DO block cannot have,
//! and forms that are not known are not read. Held by: `fixtures/sql/plpgsql.tsv`.

use super::{Parser, Piece};

/// What may stand behind RAISE first.
const LEVELS: [&str; 6] = ["exception", "warning", "notice", "info", "log", "debug"];

/// What may stand between FETCH or MOVE and the cursor.
const DIRECTIONS: [&str; 10] =
    ["next", "prior", "first", "last", "absolute", "relative", "forward", "backward", "all", "-"];

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Option<()> {
        if self.cursor.sees("<<") {
            self.labels()?;
            let holds = ["declare", "begin", "loop", "while", "for", "foreach"];
            holds.iter().any(|word| self.cursor.sees(word)).then_some(())?;
        }
        if self.cursor.is_assignment() {
            return self.assignment();
        }
        let word = self.cursor.word()?.to_owned();
        match word.as_str() {
            "declare" | "begin" => {
                self.block()?;
                self.cursor.need(";")
            }
            "loop" => self.repeated(),
            "by" | "else" | "end" | "from" | "in" | "into" | "not" | "or" | "strict" | "then" | "to" | "using"
            | "when" | "all" => None,
            // These are SQL as they stand; a DO inside is read like this one.
            "call" | "do" => self.sql(),
            _ => self.known_statement(&word).unwrap_or_else(|| self.sql()),
        }
    }

    /// A statement of PL/pgSQL by its first word; outer `None` where there is no such.
    fn known_statement(&mut self, word: &str) -> Option<Option<()>> {
        let read: fn(&mut Self) -> Option<()> = match word {
            "if" => Self::branch,
            "case" => Self::case,
            "while" => Self::while_loop,
            "for" => Self::for_loop,
            "foreach" => Self::foreach_loop,
            "exit" | "continue" => Self::exit,
            "return" | "null" => |parser| parser.cursor.need(";"),
            "raise" => Self::raise,
            "assert" => Self::assert,
            "perform" => Self::perform,
            "execute" => Self::execute,
            "get" => Self::diagnostics,
            "open" => Self::open,
            "fetch" | "move" => Self::fetch,
            "close" => Self::close,
            "commit" | "rollback" => Self::end_transaction,
            _ => return None,
        };
        self.cursor.take(word);
        Some(read(self))
    }

    fn assignment(&mut self) -> Option<()> {
        let target = self.cursor.until(&[":=", "="])?;
        // Its subscripts are expressions too.
        self.piece(Piece::Expression(format!("SELECT {target}")))?;
        self.cursor.need_any(&[":=", "="])?;
        self.expression(&[";"])?;
        self.cursor.need(";")
    }

    fn perform(&mut self) -> Option<()> {
        self.expression(&[";"])?;
        self.cursor.need(";")
    }

    fn exit(&mut self) -> Option<()> {
        if !self.cursor.sees(";") && !self.cursor.sees("when") {
            self.cursor.identifier()?;
        }
        if self.cursor.take("when") {
            self.expression(&[";"])?;
        }
        self.cursor.need(";")
    }

    fn raise(&mut self) -> Option<()> {
        LEVELS.iter().any(|level| self.cursor.take(level));
        if self.cursor.text().is_some() {
            if self.cursor.take(",") {
                self.expressions(&[";", "using"])?;
            }
        } else if !self.cursor.sees("using") && !self.cursor.sees(";") && self.cursor.identifier()? == "sqlstate" {
            self.cursor.text()?;
        }
        if self.cursor.take("using") {
            loop {
                self.cursor.identifier()?;
                self.cursor.need_any(&["=", ":="])?;
                self.expression(&[",", ";"])?;
                if !self.cursor.take(",") {
                    break;
                }
            }
        }
        self.cursor.need(";")
    }

    fn assert(&mut self) -> Option<()> {
        self.expressions(&[";"])?;
        self.cursor.need(";")
    }

    /// EXECUTE: INTO and USING may come in either order.
    fn execute(&mut self) -> Option<()> {
        self.constant(&["into", "using", ";"])?;
        while !self.cursor.sees(";") {
            if self.cursor.take("into") {
                self.cursor.targets()?;
            } else {
                self.cursor.sees("using").then_some(())?;
                self.using(&["into", ";"])?;
            }
        }
        self.cursor.need(";")
    }

    fn diagnostics(&mut self) -> Option<()> {
        if self.cursor.take("stacked") {
            self.block.takes_values = true;
        } else {
            self.cursor.take("current");
        }
        self.cursor.need("diagnostics")?;
        loop {
            self.cursor.dotted()?;
            self.cursor.need_any(&["=", ":="])?;
            self.cursor.identifier()?;
            if !self.cursor.take(",") {
                return self.cursor.need(";");
            }
        }
    }

    fn open(&mut self) -> Option<()> {
        self.cursor.identifier()?;
        if self.cursor.sees("(") {
            self.arguments()?;
            return self.cursor.need(";");
        }
        if self.cursor.take("no") {
            self.cursor.need("scroll")?;
        } else {
            self.cursor.take("scroll");
        }
        if !self.cursor.take("for") {
            return self.cursor.need(";");
        }
        if !self.cursor.take("execute") {
            return self.sql();
        }
        self.constant(&["using", ";"])?;
        self.using(&[";"])?;
        self.cursor.need(";")
    }

    /// The arguments of a cursor, which may be named.
    pub(super) fn arguments(&mut self) -> Option<()> {
        self.cursor.need("(")?;
        loop {
            if self.cursor.sees_second(":=") || self.cursor.sees_second("=>") {
                self.cursor.identifier()?;
                self.cursor.need_any(&[":=", "=>"])?;
            }
            self.expression(&[",", ")"])?;
            if !self.cursor.take(",") {
                return self.cursor.need(")");
            }
        }
    }

    /// FETCH and MOVE: whose rows these are is not told.
    fn fetch(&mut self) -> Option<()> {
        self.block.takes_values = true;
        while DIRECTIONS.iter().any(|word| self.cursor.take(word)) || self.cursor.number().is_some() {}
        if !self.cursor.take("from") {
            self.cursor.take("in");
        }
        self.cursor.identifier()?;
        if self.cursor.take("into") {
            self.cursor.targets()?;
        }
        self.cursor.need(";")
    }

    fn close(&mut self) -> Option<()> {
        self.cursor.identifier()?;
        self.cursor.need(";")
    }

    fn end_transaction(&mut self) -> Option<()> {
        self.block.ends_transaction = true;
        if self.cursor.take("and") {
            self.cursor.take("no");
            self.cursor.need("chain")?;
        }
        self.cursor.need(";")
    }
}
