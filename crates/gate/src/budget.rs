//! Budgets: what each principal has used of models, counted in the store so that all gateways count as one.
//!
//! Promises: a request takes what its protocol reckons that it may use before it is sent, from every budget that is about it
//! or from none, and gives back what it did not use when it settles; a [`Reservation`] that is dropped keeps all of it. A
//! count that stays as it is is not written. A count that
//! cannot be read or written, or that others change too often meanwhile, is a refusal, as is a budget where nothing counts
//! ([`Gate::count_budgets_in`](crate::Gate::count_budgets_in)). A refusal is in the record beside the command.
//! Does not promise fairness: windows are days of UTC and whole minutes, so two minutes' worth can meet at a border, and
//! a request that uses more than it took is counted when it settles, beyond the limit if need be.
//! Held by: the tests below and `tests/it/budgets.rs`.

use crate::clearance::Permit;
use crate::session::{Inner, Session};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{Action, Command, Denial, Digest, Effect, EventBody, Object, Principal, Reason, Spent, Tokens};
use portcullis_policy::Budget;
use portcullis_store::{Expect, Put, StoreError, Table};
use std::sync::Arc;

/// Tries to change one count while others do.
const TRIES: usize = 16;
/// The same where nothing else would count what was used. Whoever waits for it bounds how long.
const SETTLING: usize = 256;

/// Seconds for which a count is kept behind its window: what was taken in it may settle later.
const KEPT: i64 = 24 * 60 * 60;

/// What a request has taken from its budgets.
#[must_use = "a reservation is settled with what was used, or all of it counts as used"]
pub struct Reservation {
    session: Arc<Inner>,
    tokens: u64,
    taken: Vec<Count>,
}

/// One count of one principal in one window.
struct Count {
    key: Bytes,
    expires: Timestamp,
    limit: u64,
    spent: Spent,
}

/// Why nothing was taken.
#[derive(Debug, PartialEq, Eq)]
enum NotTaken {
    Over,
    Uncounted,
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "a budget cannot be counted");
        Self::Uncounted
    }
}

impl Session {
    /// Takes what this command may use at most from every budget that is about it, by the models that it asks: a request,
    /// and so many tokens.
    ///
    /// # Errors
    /// The denial: a budget is used up, or cannot be counted. Nothing is taken then.
    pub async fn reserve(&self, permit: &Permit, tokens: u64) -> Result<Reservation, Denial> {
        let inner = &self.inner;
        let policy = inner.shared.policy.load_full();
        let budgets = policy.set.budgets(self.principal(), self.connection(), &models(permit.command()));
        let now = Timestamp::now();
        let mut held = Reservation { session: Arc::clone(inner), tokens, taken: Vec::new() };
        for budget in budgets {
            for count in counts(&budget, self.principal(), now) {
                let Err(why) = held.take(&count).await else {
                    held.taken.push(count);
                    continue;
                };
                held.give_back_all().await;
                let spent = match why {
                    NotTaken::Over => count.spent,
                    NotTaken::Uncounted => Spent::Uncounted,
                };
                let reason = Reason::OverBudget { rule: budget.id.clone(), spent };
                inner.record([EventBody::CommandDecided {
                    command: permit.number(),
                    verdict: Effect::Deny,
                    told: Some(reason.to_string().into()),
                    reason: Some(reason.clone()),
                    matches: Vec::new(),
                    policy: Arc::clone(policy.set.digest()),
                    grants: Vec::new(),
                    limit: None,
                }]);
                return Err(inner.denial(Some(permit.number()), reason, None));
            }
        }
        Ok(held)
    }

    /// Records what a command used of a model.
    pub fn used(&self, permit: &Permit, usage: Tokens) {
        self.inner.record([EventBody::Usage { command: permit.number(), usage }]);
    }
}

impl Reservation {
    /// Says how many tokens were used; what is left of those taken is given back.
    pub async fn settle(self, used: u64) {
        let Some(table) = self.session.shared.budgets() else { return };
        if used == self.tokens {
            return;
        }
        for count in self.taken.iter().filter(|count| count.spent == Spent::Tokens) {
            if change(&**table, count, self.tokens, used, None).await.is_err() {
                // What was taken stays taken; what was used beyond it is in the record and not in the budget.
                tracing::warn!(taken = self.tokens, used, "a budget does not count what a request has used");
            }
        }
    }

    fn amount(&self, count: &Count) -> u64 {
        match count.spent {
            Spent::Tokens => self.tokens,
            Spent::Requests | Spent::Uncounted => 1,
        }
    }

    async fn take(&self, count: &Count) -> Result<(), NotTaken> {
        let table = self.session.shared.budgets().ok_or(NotTaken::Uncounted)?;
        change(&**table, count, 0, self.amount(count), Some(count.limit)).await
    }

    async fn give_back_all(self) {
        let Some(table) = self.session.shared.budgets() else { return };
        for count in &self.taken {
            if change(&**table, count, self.amount(count), 0, None).await.is_err() {
                tracing::warn!("a budget was not given back what a refused request had taken");
            }
        }
    }
}

/// Takes `less` from the count and adds `more`, if that stays within the limit.
async fn change(table: &dyn Table, count: &Count, less: u64, more: u64, limit: Option<u64>) -> Result<(), NotTaken> {
    for _ in 0..if limit.is_some() { TRIES } else { SETTLING } {
        let found = table.get(&count.key).await?;
        let (now, expect) = match &found {
            Some(row) => {
                let bytes = row.value.as_ref().try_into().map_err(|_| NotTaken::Uncounted)?;
                (u64::from_be_bytes(bytes), Expect::Version(row.version))
            }
            // A count that ran out has nothing to be given back to.
            None if more <= less => return Ok(()),
            None => (0, Expect::Absent),
        };
        let next = now.saturating_sub(less).saturating_add(more);
        if limit.is_some_and(|limit| next > limit) {
            return Err(NotTaken::Over);
        }
        if next == now {
            return Ok(());
        }
        let value = Bytes::copy_from_slice(&next.to_be_bytes());
        match table.put(count.key.clone(), value, expect, Some(count.expires)).await? {
            Put::Done(_) => return Ok(()),
            Put::Conflict => {}
        }
    }
    Err(NotTaken::Uncounted)
}

/// Every model that a command may be answered by; one that is not known is none of a name.
fn models(command: &Command) -> Vec<Option<&str>> {
    let asked = command.operations().iter().filter(|operation| operation.action == Action::Generate);
    asked
        .map(|operation| match &operation.object {
            Object::Model(model) => model.as_str(),
            _ => None,
        })
        .collect()
}

/// The counts of a budget for this principal at this moment.
fn counts(budget: &Budget, principal: &Principal, now: Timestamp) -> Vec<Count> {
    let limits =
        [(budget.tokens_per_day, Spent::Tokens, 24 * 60 * 60), (budget.requests_per_minute, Spent::Requests, 60)];
    let count = |(limit, spent, seconds): (Option<u64>, Spent, i64)| {
        let window = now.as_second().div_euclid(seconds);
        let ends = window.saturating_add(1).saturating_mul(seconds).saturating_add(KEPT);
        let who = [&budget.id.bundle, &budget.id.rule, &principal.issuer, &principal.subject];
        let mut parts: Vec<Vec<u8>> = vec![vec![spent as u8], window.to_be_bytes().to_vec()];
        for part in who {
            parts.push((part.len() as u64).to_be_bytes().to_vec());
            parts.push(part.as_bytes().to_vec());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let key = [b"budget/".as_slice(), Digest::of_parts(&parts).as_bytes()].concat();
        let expires = Timestamp::from_second(ends).unwrap_or(Timestamp::MAX);
        Some(Count { key: key.into(), expires, limit: limit?, spent })
    };
    limits.into_iter().filter_map(count).collect()
}

#[cfg(test)]
mod tests;
