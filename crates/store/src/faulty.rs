//! A [`Log`] that fails when told to: how `audit` and `gate` prove that they fail closed.
//!
//! Wraps any log. It can refuse every append from the nth on, say that it is full, or hold appends back until released,
//! and it counts appends and what they held, which is how a test sees that streams share a commit. Not behind a feature:
//! a second build of everything above this crate would cost more than these lines.

#![expect(clippy::disallowed_types, reason = "a gate that tests open and close, used in tests only")]

use crate::{Entry, Log, Position, StoreError, Sync};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A log with faults that a test switches on.
pub struct FaultyLog {
    inner: Arc<dyn Log>,
    state: Mutex<State>,
    changed: Condvar,
    appends: AtomicU64,
    entries: AtomicU64,
    flushes: AtomicU64,
}

struct State {
    /// How many more appends and flushes succeed.
    left: u64,
    error: StoreError,
    blocked: bool,
    /// Appends that wait because of `blocked`.
    waiting: usize,
}

impl FaultyLog {
    /// Works like `inner` until told otherwise.
    #[must_use]
    pub fn new(inner: Arc<dyn Log>) -> Self {
        Self {
            inner,
            state: Mutex::new(State { left: u64::MAX, error: StoreError::Full, blocked: false, waiting: 0 }),
            changed: Condvar::new(),
            appends: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
        }
    }

    /// After `successes` more appends or flushes, each fails with this error.
    pub fn fail_after(&self, successes: u64, error: StoreError) {
        let mut state = self.locked();
        state.left = successes;
        state.error = error;
    }

    /// Every append from now on says that the store is full.
    pub fn fill(&self) {
        self.fail_after(0, StoreError::Full);
    }

    /// Appends wait from now on.
    pub fn block(&self) {
        self.locked().blocked = true;
    }

    /// Lets them go on.
    pub fn release(&self) {
        self.locked().blocked = false;
        self.changed.notify_all();
    }

    /// Waits until an append waits. Blocks the calling thread.
    pub fn wait_until_blocked(&self) {
        let mut state = self.locked();
        while state.waiting == 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Appends that succeeded.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.appends.load(Ordering::SeqCst)
    }

    /// Entries that those appends held.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::SeqCst)
    }

    /// Flushes that succeeded, durable appends among them.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Waits while blocked, then counts one use down.
    fn pass(&self) -> Result<(), StoreError> {
        let mut state = self.locked();
        state.waiting += 1;
        self.changed.notify_all();
        while state.blocked {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        let Some(left) = state.left.checked_sub(1) else { return Err(state.error.clone()) };
        state.left = left;
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for FaultyLog {
    fn append(&self, batch: &[Entry], sync: Sync) -> Result<Position, StoreError> {
        self.pass()?;
        let position = self.inner.append(batch, sync)?;
        self.appends.fetch_add(1, Ordering::SeqCst);
        self.entries.fetch_add(batch.len() as u64, Ordering::SeqCst);
        if sync == Sync::Durable {
            self.flushes.fetch_add(1, Ordering::SeqCst);
        }
        Ok(position)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.pass()?;
        self.inner.flush()?;
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.scan(prefix, from, limit)
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.scan_back(prefix, before, limit)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key)
    }

    fn replace(&self, entry: &Entry) -> Result<(), StoreError> {
        self.pass()?;
        self.inner.replace(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryLog;

    fn one(key: &'static str) -> [Entry; 1] {
        [Entry { key: Bytes::from_static(key.as_bytes()), value: Bytes::new() }]
    }

    #[test]
    fn it_fails_from_the_nth_append_on_and_leaves_nothing() {
        let log = FaultyLog::new(Arc::new(MemoryLog::new()));
        log.fail_after(1, StoreError::Full);
        assert!(log.append(&one("a"), Sync::Durable).is_ok());
        assert!(matches!(log.append(&one("b"), Sync::Durable), Err(StoreError::Full)));
        assert!(matches!(log.flush(), Err(StoreError::Full)));
        assert_eq!(log.get(b"b").unwrap(), None);
        assert_eq!((log.appends(), log.entries(), log.flushes()), (1, 1, 1));
    }

    #[test]
    fn a_blocked_append_goes_on_when_released() {
        let log = Arc::new(FaultyLog::new(Arc::new(MemoryLog::new())));
        log.block();
        let writer = std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.append(&one("a"), Sync::Durable)
        });
        log.wait_until_blocked();
        assert_eq!(log.appends(), 0);
        log.release();
        assert_eq!(writer.join().unwrap().unwrap(), 1);
    }
}
