//! The transactions of the server of the tests: which is open, and what was committed: of each statement that wrote, how many
//! rows. As PostgreSQL 14 and 18 do it; a statement that fails is told to it by the server.

use crate::message::TransactionStatus;

#[derive(Default)]
pub(super) struct Ledger {
    /// Rows of statements that were committed.
    pub(super) committed: Vec<u32>,
    open: Vec<u32>,
    /// Names, and how much was open when each was made.
    savepoints: Vec<(String, usize)>,
    explicit: Explicit,
    /// What ran since a Sync stays open behind a Query, as with newer servers.
    pub(super) newer: bool,
    /// An Execute ran since the transaction began, and what ran behind it is in a block with it.
    pipelined: bool,
    block: bool,
}

/// Whether a BEGIN is in force.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Explicit {
    #[default]
    None,
    Open,
    Failed,
}

/// Whether it is about transactions, and what it does is done before the next Sync.
pub(super) fn is_control(sql: &str) -> bool {
    ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT ", "RELEASE "].iter().any(|word| sql.starts_with(word))
}

impl Ledger {
    /// Whether nothing but an end of the transaction runs.
    pub(super) fn has_failed(&self) -> bool {
        self.explicit == Explicit::Failed
    }

    /// A statement begins.
    pub(super) fn begins(&mut self) {
        self.block |= self.newer && self.pipelined && self.explicit == Explicit::None;
    }

    pub(super) fn executed(&mut self, sql: &str) {
        self.pipelined |= !is_control(sql);
    }

    pub(super) fn wrote(&mut self, rows: u32) {
        self.open.push(rows);
    }

    pub(super) fn failed(&mut self) {
        match self.explicit {
            Explicit::None => self.roll_back(),
            Explicit::Open | Explicit::Failed => self.explicit = Explicit::Failed,
        }
        (self.pipelined, self.block) = (false, false);
    }

    /// A COMMIT failed, and ended the transaction.
    pub(super) fn commit_failed(&mut self) {
        self.roll_back();
        self.explicit = Explicit::None;
    }

    pub(super) fn synced(&mut self) {
        self.block = false;
    }

    /// A Query or Sync is over.
    pub(super) fn ready(&mut self) -> TransactionStatus {
        match self.explicit {
            Explicit::Open => TransactionStatus::Open,
            Explicit::Failed => TransactionStatus::Failed,
            Explicit::None if self.block => TransactionStatus::Open,
            Explicit::None => {
                self.commit();
                self.pipelined = false;
                TransactionStatus::Idle
            }
        }
    }

    /// Begins and ends transactions: the tag, or an SQLSTATE.
    pub(super) fn control(&mut self, sql: &str) -> Result<&'static str, &'static str> {
        let mut words = sql.split(' ');
        let tag = match (words.next().unwrap_or(""), words.next(), words.next()) {
            ("BEGIN", ..) => "BEGIN",
            (_, Some(_), _) if self.explicit == Explicit::None => return Err("25P01"),
            ("SAVEPOINT", Some(name), _) => {
                self.savepoints.push((name.to_owned(), self.open.len()));
                "SAVEPOINT"
            }
            ("RELEASE", Some(name), _) => {
                let place = self.savepoint(name)?;
                self.savepoints.truncate(place);
                "RELEASE"
            }
            ("ROLLBACK", Some("TO"), Some(name)) => {
                let place = self.savepoint(name)?;
                self.savepoints.truncate(place + 1);
                self.open.truncate(self.savepoints[place].1);
                "ROLLBACK"
            }
            ("COMMIT", ..) if self.explicit != Explicit::Failed => {
                self.commit();
                "COMMIT"
            }
            _ => {
                self.roll_back();
                "ROLLBACK"
            }
        };
        self.explicit = if matches!(sql, "COMMIT" | "ROLLBACK") { Explicit::None } else { Explicit::Open };
        (self.pipelined, self.block) = (false, false);
        Ok(tag)
    }

    fn savepoint(&self, name: &str) -> Result<usize, &'static str> {
        self.savepoints.iter().rposition(|(one, _)| one == name).ok_or("3B001")
    }

    fn commit(&mut self) {
        self.committed.append(&mut self.open);
        self.savepoints.clear();
    }

    fn roll_back(&mut self) {
        self.open.clear();
        self.savepoints.clear();
    }
}
