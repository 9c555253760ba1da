//! What reading a text gives: its statements, what each would do, and what it changes about later text.
//!
//! Promises: a statement has at least one operation; a faulty text has one statement whose only operation is `unknown`,
//! so nothing that was not read can be taken for harmless; secrets are byte ranges of the text that was read. A reading
//! is plain data and can be shared.
//!
//! Does not promise that a source named in a lineage does flow: only that no other can.
//! Held by: the tables in `fixtures/sql/`, and the properties in `tests/it/properties.rs`.

use portcullis_model::{Counted, Fault, Lineage, Name, Operation};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// A text, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// In order; empty only for a text without a statement (empty, or comments alone).
    pub statements: Vec<Statement>,
    /// Set where the text must not be forwarded whatever a rule says.
    pub fault: Option<Fault>,
    /// Byte ranges of the text that hold a secret (passwords in literals).
    pub secrets: Vec<Range<usize>>,
}

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// The grammar's name for its node, such as `SelectStmt`.
    pub tag: &'static str,
    /// What it would do; never empty.
    pub operations: Vec<Operation>,
    /// What it changes about how later text is read.
    pub effects: Vec<Effect>,
    /// Whether it makes changes lasting although its operations do not say so (COMMIT).
    pub writes: bool,
    /// Prepared statements that it runs; their texts are to be judged with it.
    pub executes: Vec<Name>,
    /// Cursors that it reads from.
    pub fetches: Vec<Name>,
    /// Whether it starts a COPY with the client.
    pub copies: Option<CopyDirection>,
    /// The form of what a COPY to the client sends; none where it could not be told.
    pub copy_options: Option<CopyOptions>,
    /// Whether its command tag says how many rows it wrote.
    pub counted: Counted,
    /// Where its values come from and where they go.
    pub lineage: Arc<Lineage>,
    /// For DECLARE CURSOR, the lineage of its query: what FETCH returns.
    pub cursor: Option<Arc<Lineage>>,
}

/// The form of COPY data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Lines of fields, with escapes.
    Text,
    /// Comma-separated values.
    Csv,
    /// Tuples of binary values.
    Binary,
}

/// Which columns of CSV have their values in quotes whatever they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForceQuote {
    /// None.
    None,
    /// All.
    All,
    /// Those of these names.
    Columns(Vec<Name>),
}

/// The form of what a COPY sends. Its encoding is UTF8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// The format.
    pub format: CopyFormat,
    /// What stands between fields.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
    /// CSV's quote.
    pub quote: u8,
    /// What stands before a quote inside quotes.
    pub escape: u8,
    /// Whether the first line is the names of the columns.
    pub header: bool,
    /// Which values are always in quotes.
    pub force_quote: ForceQuote,
}

/// Which way the data of a COPY goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// What a statement changes about the session, and so about the meaning of later text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END.
    Commit {
        /// AND CHAIN: a new transaction is open behind it.
        chain: bool,
    },
    /// ROLLBACK, ABORT.
    Rollback {
        /// AND CHAIN: a new transaction is open behind it.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(Name),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(Name),
    /// RELEASE SAVEPOINT.
    Release(Name),
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase,
    /// PREPARE.
    Prepare {
        /// Of the prepared statement.
        name: Name,
        /// The statement inside, whole.
        text: Arc<str>,
    },
    /// DEALLOCATE; `None` is ALL.
    Deallocate(Option<Name>),
    /// DECLARE CURSOR.
    DeclareCursor {
        /// Of the cursor.
        name: Name,
        /// WITH HOLD: it outlives the transaction.
        hold: bool,
    },
    /// CLOSE; `None` is ALL.
    CloseCursor(Option<Name>),
    /// The search path becomes another.
    SearchPath {
        /// What it becomes.
        value: SearchPathValue,
        /// SET LOCAL: until the transaction ends.
        local: bool,
    },
    /// Relations made in `pg_temp`.
    CreatesTemporary(Vec<Name>),
    /// Relations that go from `pg_temp`; `None` is all of them.
    DropsTemporary(Option<Vec<Name>>),
    /// The catalogue may be another behind it: refresh before reading on.
    ChangesCatalogue,
    /// DISCARD ALL.
    DiscardAll,
    /// RESET ALL.
    ResetAll,
    /// The current user becomes another.
    Role,
    /// A setting becomes another.
    Setting {
        /// Its name, folded.
        name: Name,
        /// SET LOCAL.
        local: bool,
    },
}

/// What SET makes of the search path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchPathValue {
    /// These schemas as written, `$user` kept.
    List(Vec<Name>),
    /// The session's default.
    Default,
    /// Not to be told from the text.
    Unknown,
}

impl Effect {
    /// Whether later text cannot be judged before the reply to this was read.
    #[must_use]
    pub const fn is_barrier(&self) -> bool {
        match self {
            // What a transaction's end or a rollback undoes is only known from the reply.
            Self::Commit { .. }
            | Self::Rollback { .. }
            | Self::RollbackTo(_)
            | Self::TwoPhase
            | Self::SearchPath { .. }
            | Self::CreatesTemporary(_)
            | Self::DropsTemporary(_)
            | Self::ChangesCatalogue
            | Self::DiscardAll
            | Self::ResetAll
            | Self::Role
            | Self::Prepare { .. }
            | Self::Deallocate(_) => true,
            Self::Begin
            | Self::Savepoint(_)
            | Self::Release(_)
            | Self::DeclareCursor { .. }
            | Self::CloseCursor(_)
            | Self::Setting { .. } => false,
        }
    }
}

/// Savepoints of one text behind which nothing changed what names mean, so that a rollback to one of them undoes
/// nothing about names. They are the last of those that the server has; one of the same name hides those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Savepoints(Vec<Name>);

impl Savepoints {
    /// So many are followed; those before them count as unknown.
    const MOST: usize = 64;

    /// Whether names may mean something else behind this effect of the text's next statement.
    pub fn renames(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::Savepoint(name) => {
                if self.0.len() >= Self::MOST {
                    self.0.remove(0);
                }
                self.0.push(name.clone());
                false
            }
            // It goes with all that were made behind it; where it is none of these, these were.
            Effect::Release(name) => {
                self.0.truncate(self.last(name).unwrap_or(0));
                false
            }
            // It stays, and those behind it go.
            Effect::RollbackTo(name) => {
                let kept = self.last(name).map_or(0, |at| at + 1);
                self.0.truncate(kept);
                kept == 0
            }
            Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::TwoPhase
            | Effect::SearchPath { .. }
            | Effect::CreatesTemporary(_)
            | Effect::DropsTemporary(_)
            | Effect::ChangesCatalogue
            | Effect::DiscardAll
            | Effect::ResetAll
            | Effect::Role => {
                self.0.clear();
                true
            }
            // What the name of a prepared statement stands for says nothing of relations, and no rollback undoes it.
            Effect::Prepare { .. }
            | Effect::Deallocate(_)
            | Effect::Begin
            | Effect::DeclareCursor { .. }
            | Effect::CloseCursor(_)
            | Effect::Setting { .. } => false,
        }
    }

    /// A statement ran of which it is not told what it did about savepoints.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    fn last(&self, name: &Name) -> Option<usize> {
        self.0.iter().rposition(|kept| kept == name)
    }
}

impl Statement {
    /// A statement that could not be read.
    #[must_use]
    pub fn unknown(span: Range<usize>, tag: &'static str) -> Self {
        Self { lineage: Arc::new(Lineage::untold()), ..Self::of(span, tag, vec![Operation::unknown()]) }
    }

    /// A statement that does these operations, returns nothing and changes nothing about later text.
    #[must_use]
    pub fn of(span: Range<usize>, tag: &'static str, mut operations: Vec<Operation>) -> Self {
        if operations.is_empty() {
            operations.push(Operation::session());
        }
        Self {
            span,
            tag,
            operations,
            effects: Vec::new(),
            writes: false,
            executes: Vec::new(),
            fetches: Vec::new(),
            copies: None,
            copy_options: None,
            counted: Counted::not("it is no plain write"),
            lineage: Arc::default(),
            cursor: None,
        }
    }
}

impl Reading {
    /// These statements, without fault or secret.
    #[must_use]
    pub const fn of(statements: Vec<Statement>) -> Self {
        Self { statements, fault: None, secrets: Vec::new() }
    }

    /// A text that must not be forwarded.
    #[must_use]
    pub fn faulty(text: &str, fault: Fault) -> Self {
        Self { statements: vec![Statement::unknown(0..text.len(), "")], fault: Some(fault), secrets: Vec::new() }
    }

    /// Everything that the text would do; `session` alone for a text without a statement. Never empty.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let mut seen = HashSet::new();
        let each = self.statements.iter().flat_map(|statement| &statement.operations);
        let mut all: Vec<Operation> = each.filter(|operation| seen.insert(*operation)).cloned().collect();
        if all.is_empty() {
            all.push(Operation::session());
        }
        all
    }

    /// Whether a statement of it makes changes lasting although its operations do not say so.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.statements.iter().any(|statement| statement.writes)
    }

    /// Whether later text cannot be judged before the reply to this was read.
    #[must_use]
    pub fn is_barrier(&self) -> bool {
        self.statements.iter().flat_map(|statement| &statement.effects).any(Effect::is_barrier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{Action, Object, QualifiedName, RelationKind};

    /// What each effect says: savepoints `+a`, RELEASE `-a`, ROLLBACK TO `<a`, a change of names `!`, PREPARE `p`.
    fn renames(script: &str) -> String {
        let mut saved = Savepoints::default();
        let said = script.split(' ').map(|word| {
            let name = || Name::canonical(&word[1..]);
            let effect = match &word[..1] {
                "+" => Effect::Savepoint(name()),
                "-" => Effect::Release(name()),
                "<" => Effect::RollbackTo(name()),
                "p" => Effect::Prepare { name: name(), text: "SELECT 1".into() },
                _ => Effect::ChangesCatalogue,
            };
            if saved.renames(&effect) { '?' } else { '.' }
        });
        said.collect()
    }

    #[test]
    fn a_rollback_to_a_savepoint_of_the_text_undoes_nothing_about_names_where_nothing_was_done() {
        for (script, said) in [
            ("+a <a <a", "..."),
            ("+a p <a", "..."),
            ("<a", "?"),
            ("+a ! <a", ".??"),
            ("+a ! <a <a", ".???"),
            ("+a <b", ".?"),
            ("+a <b <a", ".??"),
            // The last of a name hides the others, until it goes.
            ("+a ! +a <a", ".?.."),
            ("+a ! +a -a <a", ".?..?"),
            ("+a +a -a <a -a <a", ".....?"),
            ("+a ! +b <a <b", ".?.??"),
            ("+a +b -a <b", "...?"),
            ("+a +b <a <b", "...?"),
            ("+a +b <b <a", "...."),
            ("! +a -b <a", "?..?"),
        ] {
            assert_eq!(renames(script), said, "{script}");
        }
    }

    #[test]
    fn only_so_many_savepoints_are_followed() {
        let many: Vec<_> = (0..100).map(|number| format!("+s{number}")).collect();
        assert!(renames(&format!("{} <s36", many.join(" "))).ends_with('.'));
        assert!(renames(&format!("{} <s35", many.join(" "))).ends_with('?'));
    }

    #[test]
    fn operations_of_several_statements_are_listed_once_in_the_order_of_first_mention() {
        let read = |name: &str| {
            let object = Object::relation(QualifiedName::new("public", name), RelationKind::Table);
            Operation::new(Action::Read, object)
        };
        let of = |names: &[&str]| Statement::of(0..1, "SelectStmt", names.iter().map(|name| read(name)).collect());
        let reading = Reading::of(vec![of(&["b", "a"]), of(&["a"]), of(&["c", "b"])]);
        assert_eq!(reading.operations(), ["b", "a", "c"].map(read));
        assert_eq!(Reading::of(Vec::new()).operations(), [Operation::session()]);
    }
}
