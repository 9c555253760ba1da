//! Giving, asking for, revoking and ending grants at a desk.
//!
//! Promises: a desk at which nobody can vote has none. Held by: `grants/tests.rs`.

use super::{Ended, GrantShown};
use crate::Desk;
use crate::error::{DeskError, GrantError};
use crate::grant::Grant;
use jiff::Timestamp;
use portcullis_model::{Connection, GrantId, Principal};
use std::sync::Arc;

impl Desk {
    /// Lets a grant count from now on.
    ///
    /// # Errors
    /// It could not be kept; it then counts nowhere.
    pub async fn give(&self, grant: Grant) -> Result<(), GrantError> {
        let open = self.opened()?;
        open.core.give(&open.grants, grant).await
    }

    /// What this principal was granted on this connection and is in force at this moment, whoever asks. Reads one snapshot.
    #[must_use]
    pub fn granted(&self, principal: &Principal, here: &Connection, now: Timestamp) -> Vec<Arc<Grant>> {
        self.open.as_ref().map(|open| open.grants.in_force(principal, here, now)).unwrap_or_default()
    }

    /// Whether this grant is in force at this moment.
    #[must_use]
    pub fn is_in_force(&self, grant: &Grant, now: Timestamp) -> bool {
        self.open.as_ref().is_some_and(|open| open.grants.is_in_force(grant, now))
    }

    /// Ends a grant: when this returns, no command passes under it at this gateway.
    ///
    /// # Errors
    /// [`GrantError`]: there is none, it ended before, or the store failed and it is in force as before.
    pub async fn revoke(&self, grant: GrantId, by: &Arc<str>) -> Result<(), GrantError> {
        let open = self.opened()?;
        open.core.revoke(&open.grants, grant, by).await
    }

    /// Every grant that is kept, oldest first.
    ///
    /// # Errors
    /// Nobody can vote here.
    pub fn grants(&self) -> Result<Vec<GrantShown>, DeskError> {
        self.opened().map(|open| open.grants.list(open.core.now()))
    }

    /// The grants given here whose end is to be told, and why they ended: their time is over, somebody revoked them, or
    /// `stands` says no of whoever has or gave them. Each is to be kept with [`Desk::told`], and then recorded.
    pub fn ended(&self, now: Timestamp, stands: impl Fn(&Grant) -> bool) -> Vec<(Arc<Grant>, Ended)> {
        self.open.as_ref().map(|open| open.core.ended(&open.grants, now, stands)).unwrap_or_default()
    }

    /// Ends a grant for this reason, where it did not end before, and keeps that its end was told: whoever calls this records
    /// it next, so that a store that fails does not fill the record with one end. A gateway that is killed in between does
    /// not tell it again.
    ///
    /// # Errors
    /// There is none, or the store failed; its end is then not to be recorded, and [`Desk::ended`] says it again.
    pub async fn told(&self, grant: GrantId, ended: Ended) -> Result<(), GrantError> {
        let open = self.opened()?;
        open.core.told(&open.grants, grant, ended).await
    }
}
