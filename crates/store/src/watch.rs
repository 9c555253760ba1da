//! Watching keys of a [`Table`](crate::Table) inside one process.
//!
//! Every watcher keeps one slot a changed key, so a reader that lags sees the newest state of each key and a reader that
//! never reads costs at most one value a key: no queue can grow with the number of changes. Shared by the stores whose
//! every writer lives in this process. Promises: a change published after [`Watchers::watch`] returned is seen, or a
//! newer one of the same key is. Does not promise: every step, or an order between keys.
//! Held by: `conform::table_watch_*`.

#![expect(clippy::disallowed_types, reason = "a short lock around a map; never held across an await or a disk access")]

use crate::{Change, Versioned};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// What a watcher has not read yet.
#[derive(Debug, Default)]
struct Unread {
    changes: BTreeMap<Bytes, Option<Versioned>>,
    closed: bool,
}

#[derive(Debug)]
struct Watcher {
    prefix: Bytes,
    unread: Mutex<Unread>,
    changed: Notify,
}

impl Watcher {
    async fn next(&self) -> Option<Change> {
        loop {
            let changed = self.changed.notified();
            {
                let mut unread = locked(&self.unread);
                if let Some((key, value)) = unread.changes.pop_first() {
                    return Some(Change { key, value });
                }
                if unread.closed {
                    return None;
                }
            }
            changed.await;
        }
    }
}

/// The watchers of one table.
#[derive(Debug, Default)]
pub struct Watchers {
    all: Mutex<Vec<Weak<Watcher>>>,
}

impl Watchers {
    /// Tells every watcher of a prefix of the key.
    pub fn publish(&self, change: &Change) {
        locked(&self.all).retain(|watcher| {
            let Some(watcher) = watcher.upgrade() else { return false };
            if change.key.starts_with(&watcher.prefix) {
                locked(&watcher.unread).changes.insert(change.key.clone(), change.value.clone());
                watcher.changed.notify_one();
            }
            true
        });
    }

    /// Changes published from now on to keys that start with `prefix`; ends when this is dropped.
    pub fn watch(&self, prefix: &[u8]) -> BoxStream<'static, Change> {
        let watcher = Arc::new(Watcher {
            prefix: Bytes::copy_from_slice(prefix),
            unread: Mutex::default(),
            changed: Notify::new(),
        });
        locked(&self.all).push(Arc::downgrade(&watcher));
        unfold(watcher, |watcher| async move { watcher.next().await.map(|change| (change, watcher)) }).boxed()
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for watcher in locked(&self.all).drain(..).filter_map(|watcher| watcher.upgrade()) {
            locked(&watcher.unread).closed = true;
            watcher.changed.notify_one();
        }
    }
}

/// What is behind these locks is whole after every statement, so a panic elsewhere leaves nothing half-done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
