//! Places for connections that wait for a person before their login.
//!
//! Promises: never more are taken than there are, of one address or of all, whatever happens at once; a place is free again
//! when it is dropped. Whoever takes one is still counted among those that have not logged in. Does not promise an end to the
//! wait: whoever takes a place sees to that.
//! Held by: the tests in `tests.rs`.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where one connection may wait. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waits {
    address: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// One place among those that wait. Dropping it frees it.
#[must_use = "dropping it frees the place"]
#[derive(Debug)]
pub struct Waiting {
    _address: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Waits {
    pub(super) const fn new(address: Arc<Semaphore>, all: Arc<Semaphore>) -> Self {
        Self { address, all }
    }

    /// Takes a place; `None` where the address has none left, or nobody has.
    #[must_use]
    pub fn take(&self) -> Option<Waiting> {
        let address = Arc::clone(&self.address).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Waiting { _address: address, _all: all })
    }
}
