//! The two shapes of storage that Portcullis needs, as traits, and their in-memory form.
//!
//! [`Log`] is for the record: append a batch, know when it is durable, read it back in order. [`Table`] is for
//! everything small that must be one truth for all gateways: tokens, approvals, budgets, cancel keys, live sessions.
//! Each user crate owns its keys and encoding; a store sees bytes only.
//!
//! Promises, for every implementation (held by `conform!`, which each of them passes): a batch is appended wholly or not
//! at all and in order; what was reported durable survives `kill -9`; `put` never overwrites a version other than the
//! one expected; a key that ran out is never returned. Does not promise that bytes are unaltered: that is `audit`'s chain.

pub mod conform;
pub mod faulty;
pub mod memory;
pub mod probe;
pub mod schedule;
mod watch;

pub use faulty::FaultyLog;
pub use memory::{MemoryLog, MemoryTable};
pub use probe::{Outage, Probe, ProbedTable, TableOperation};
pub use schedule::{Fact, SteppedTable, Steps, explore};
pub use watch::Watchers;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

/// A place in a [`Log`], from 1; it grows by one an entry and has no gaps.
pub type Position = u64;

/// Whose fault a failed store operation is: always the gateway's.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// What is stored cannot be read as this store's format.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The disk or the server is full.
    #[error("the store is full")]
    Full,
    /// It cannot be reached or does not work.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Another process has it open.
    #[error("the store is in use by another process")]
    InUse,
}

/// One appended entry: an ordering key for range reads, and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key by which [`Log::scan`] finds it (for the record: stream id and number, big-endian).
    pub key: Bytes,
    /// The bytes.
    pub value: Bytes,
}

/// How sure an append must be before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// On stable storage.
    Durable,
    /// Handed to the store; a later [`Sync::Durable`] append or [`Log::flush`] makes it durable.
    Buffered,
}

/// An append-only log with keyed range reads. One writer at a time; readers at any time.
pub trait Log: Send + std::marker::Sync + 'static {
    /// Appends the batch wholly or not at all, and returns the position of its last entry. Blocks the calling thread:
    /// the one writer is a thread of its own (`audit`), never an async worker. Keys are the caller's and used once.
    ///
    /// # Errors
    /// Any [`StoreError`]; nothing of the batch is then visible.
    fn append(&self, batch: &[Entry], sync: Sync) -> Result<Position, StoreError>;

    /// Makes everything appended so far durable. Blocks.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn flush(&self) -> Result<(), StoreError>;

    /// The entries whose key starts with `prefix` and is at least `from`, in key order, at most `limit`. Blocks.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The entries whose key starts with `prefix` and, where `before` is given, is below it, in falling key order, at
    /// most `limit`: with `None` and 1, the last entry of a prefix. Blocks.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The value under exactly this key. Blocks.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Replaces the value under a key that is already there: only retention does so, replacing bodies by their hashes.
    /// A key that is not there is [`StoreError::Damaged`].
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn replace(&self, entry: &Entry) -> Result<(), StoreError>;
}

/// A value with its version; versions of one key grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Bytes,
    /// Changes with every put.
    pub version: u64,
    /// When the key runs out.
    pub expires: Option<Timestamp>,
}

impl Versioned {
    /// Whether it has not run out at `now`; it runs out at the very instant of `expires`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}

/// What a put expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// No live value.
    Absent,
    /// A live value of this version.
    Version(u64),
}

impl Expect {
    /// Whether this live value, or none, is what was expected.
    #[must_use]
    pub fn is_met_by(self, live: Option<&Versioned>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => live.is_none(),
            Self::Version(version) => live.is_some_and(|row| row.version == version),
        }
    }
}

/// What became of a put or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// Done; this is the new version.
    Done(u64),
    /// What was there is not what was expected; nothing changed.
    Conflict,
}

/// A change seen by [`Table::watch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Bytes,
    /// Its new value; `None` when it was deleted.
    pub value: Option<Versioned>,
}

/// The least key above every key that starts with `prefix`; `None` where there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.last_mut() {
        if let Some(next) = last.checked_add(1) {
            *last = next;
            return Some(key);
        }
        key.pop();
    }
    None
}

/// A small key-value table with versions and expiry. Durable when a put returns.
pub trait Table: Send + std::marker::Sync + 'static {
    /// The live value.
    fn get(&self, key: &[u8]) -> BoxFuture<'_, Result<Option<Versioned>, StoreError>>;

    /// Writes the value if what is there is as expected.
    fn put(
        &self,
        key: Bytes,
        value: Bytes,
        expect: Expect,
        expires: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Put, StoreError>>;

    /// Deletes the key if what is there is as expected.
    fn delete(&self, key: Bytes, expect: Expect) -> BoxFuture<'_, Result<Put, StoreError>>;

    /// Every live key that starts with `prefix`, in key order.
    fn scan(&self, prefix: &[u8]) -> BoxFuture<'_, Result<Vec<(Bytes, Versioned)>, StoreError>>;

    /// Removes what ran out before `now`; returns how many.
    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<usize, StoreError>>;

    /// Changes to keys that start with `prefix`, from now on. A reader that lags sees the newest state of each key, not
    /// every step.
    fn watch(&self, prefix: &[u8]) -> BoxStream<'static, Change>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_above_all_its_keys() {
        assert_eq!(prefix_end(b"a"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff"), None);
        assert_eq!(prefix_end(b""), None);
    }
}
