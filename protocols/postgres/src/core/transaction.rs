//! Whether a transaction of the client's is open at the server.
//!
//! The server says so when it is ready for more, and that is not often enough: an Execute of BEGIN or COMMIT takes effect
//! at once, and nobody is ready before the next Sync or Query. So what completed counts as well, and an error.
//!
//! Promises: behind the answer to a frame it is what the server would say if it were ready then. Does not promise to tell of
//! the transaction that the frames up to a Sync share without a BEGIN, unless the server tells of it, as newer ones do behind
//! a Query among them: a BEGIN there takes over what they did.
//! Held by: the tests below, `core/tests/transactions.rs`, and `crates/portcullis/tests/it/max_rows.rs` against a real server.

use crate::message::TransactionStatus;
use portcullis_sql::Effect;

/// Whether a transaction is open.
#[derive(Debug)]
pub(super) struct Transaction(TransactionStatus);

impl Transaction {
    /// None is, as behind a login.
    pub(super) const fn none() -> Self {
        Self(TransactionStatus::Idle)
    }

    /// As the server would say it now.
    pub(super) const fn status(&self) -> TransactionStatus {
        self.0
    }

    /// A statement with these effects completed.
    pub(super) fn completed(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                // The last four complete in a block only, and ROLLBACK TO mends one that has failed. Of a block that has
                // failed COMMIT is a rollback, and AND CHAIN begins the next all the same.
                Effect::Begin
                | Effect::Savepoint(_)
                | Effect::RollbackTo(_)
                | Effect::Release(_)
                | Effect::Commit { chain: true }
                | Effect::Rollback { chain: true } => self.0 = TransactionStatus::Open,
                Effect::Commit { chain: false } | Effect::Rollback { chain: false } | Effect::TwoPhase => {
                    self.0 = TransactionStatus::Idle;
                }
                Effect::Prepare { .. }
                | Effect::Deallocate(_)
                | Effect::DeclareCursor { .. }
                | Effect::CloseCursor(_)
                | Effect::SearchPath { .. }
                | Effect::CreatesTemporary(_)
                | Effect::DropsTemporary(_)
                | Effect::ChangesCatalogue
                | Effect::DiscardAll
                | Effect::ResetAll
                | Effect::Role
                | Effect::Setting { .. } => {}
            }
        }
    }

    /// A statement failed. Where that ended the transaction, as of a COMMIT, the server says so before anything else runs.
    pub(super) fn failed(&mut self) {
        if self.0 == TransactionStatus::Open {
            self.0 = TransactionStatus::Failed;
        }
    }

    /// The server is ready for more.
    pub(super) const fn ready(&mut self, status: TransactionStatus) {
        self.0 = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::Name;

    /// From idle, open and failed, as PostgreSQL 14 and 18 answer; `None` where the statement completes in none of these.
    #[test]
    fn what_completes_is_believed_before_the_server_is_ready() {
        let name = || Name::canonical("s");
        let (i, t) = (TransactionStatus::Idle, TransactionStatus::Open);
        for (effect, [idle, open, failed]) in [
            (Effect::Begin, [Some(t), Some(t), None]),
            (Effect::Commit { chain: false }, [Some(i), Some(i), Some(i)]),
            (Effect::Commit { chain: true }, [None, Some(t), Some(t)]),
            (Effect::Rollback { chain: false }, [Some(i), Some(i), Some(i)]),
            (Effect::Rollback { chain: true }, [None, Some(t), Some(t)]),
            (Effect::Savepoint(name()), [None, Some(t), None]),
            (Effect::Release(name()), [None, Some(t), None]),
            (Effect::RollbackTo(name()), [None, Some(t), Some(t)]),
            (Effect::TwoPhase, [Some(i), Some(i), Some(i)]),
            (Effect::ResetAll, [Some(i), Some(t), None]),
        ] {
            let before = [i, t, TransactionStatus::Failed];
            for (before, after) in before.into_iter().zip([idle, open, failed]) {
                let mut transaction = Transaction(before);
                transaction.completed(std::slice::from_ref(&effect));
                assert!(after.is_none_or(|after| transaction.status() == after), "{effect:?} in {before:?}");
            }
        }
    }

    #[test]
    fn an_error_fails_a_transaction_that_is_open_and_begins_none() {
        let mut transaction = Transaction::none();
        transaction.failed();
        assert_eq!(transaction.status(), TransactionStatus::Idle);
        transaction.completed(&[Effect::Begin]);
        transaction.failed();
        assert_eq!(transaction.status(), TransactionStatus::Failed);
        transaction.ready(TransactionStatus::Idle);
        assert_eq!(transaction.status(), TransactionStatus::Idle);
    }
}
