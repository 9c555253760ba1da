//! The one thread that writes: it owns the chain heads, the Merkle log and the key.
//!
//! It commits whatever has gathered while the last commit was under way (group commit, no timer), so a lone session waits
//! for one commit and a thousand share one. Heads are sealed with the first commit after `seal_every`, or by themselves
//! when nothing else comes. In `Batched`, where nobody waits for it, events gather for [`FLUSH_EVERY`] from the first of
//! them (or until they are many), so that it is not woken for each; they are flushed by then, too.
//! Any failure of the store, and a panic of this thread, ends the record for good: [`Watermark::Failed`].
//! Held by: `tests/it/recording.rs`.

use crate::chain::{self, HEAD};
use crate::error::AuditError;
use crate::keys::SigningKey;
use crate::layout::Keys;
use crate::queue::{Item, Queue, Taken};
use crate::recorder::{Durability, Recorded, Settings, Watermark};
use crate::recover::Recovered;
use crate::seal::{Head, Sealer};
use crate::stream::Shared;
use crate::tally::Summary;
use bytes::Bytes;
use portcullis_model::{Digest, SessionId};
use portcullis_store::{Entry, Log, StoreError, Sync};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, watch};

/// `Batched` flushes this long after the first event that is not flushed, which leaves the disk 5 ms of the 10.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(5);

/// Where the writer tells what it has done.
pub(crate) struct Outlets {
    pub(crate) durable: watch::Sender<Watermark>,
    pub(crate) checkpoints: watch::Sender<Option<Arc<str>>>,
    /// The sequence number of the newest append that is sealed.
    pub(crate) sealed: watch::Sender<u64>,
    pub(crate) tail: broadcast::Sender<Recorded>,
}

/// The writer's handle: closing or dropping it writes and seals what is in the queue, and waits for that.
#[must_use]
pub struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<Result<(), AuditError>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Takes no more appends, writes and seals what is in the queue. Blocks until it is durable. Streams should be ended
    /// before: one that is still open is closed as `interrupted` by the next start.
    ///
    /// # Errors
    /// The store failed, now or earlier.
    pub fn close(mut self) -> Result<(), AuditError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), AuditError> {
        self.queue.close();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let panicked = |_| Err(StoreError::Unavailable("the writer of the record panicked".to_owned()).into());
        thread.join().unwrap_or_else(panicked)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What failed was logged by the thread when it did.
        let _logged = self.join();
    }
}

pub(crate) fn start(
    log: Arc<dyn Log>,
    key: SigningKey,
    settings: &Settings,
    recovered: Recovered,
    queue: Arc<Queue>,
    outlets: Outlets,
) -> Result<Writer, AuditError> {
    let mut state = State {
        log,
        keys: Keys(key.log()),
        sealer: recovered.sealer,
        run: recovered.run,
        durability: settings.durability,
        seal_every: settings.seal_every.min(Duration::from_secs(1)),
        chains: HashMap::new(),
        unsealed: BTreeSet::new(),
        unsealed_since: None,
        unflushed_since: None,
        committed: 0,
        outlets,
    };
    let handle = Arc::clone(&queue);
    let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
        let mut guard = FailGuard { queue: handle, state: &mut state, finished: false };
        let result = guard.run();
        match &result {
            Ok(()) => guard.finished = true,
            Err(error) => tracing::error!(%error, "the record cannot be written; nothing passes any more"),
        }
        result
    });
    let thread = thread.map_err(|source| AuditError::File { what: "starting the writer".to_owned(), source })?;
    Ok(Writer { queue, thread: Some(thread) })
}

/// Says `Failed` however the thread ends, unless it ended because it was told to.
struct FailGuard<'a> {
    queue: Arc<Queue>,
    state: &'a mut State,
    finished: bool,
}

impl FailGuard<'_> {
    fn run(&mut self) -> Result<(), AuditError> {
        let mut written = 0;
        loop {
            let taken = self.queue.take(written, self.state.deadline());
            written = taken.items.iter().map(|item| item.bytes.len()).sum();
            let last = taken.last;
            self.state.commit(taken)?;
            if last {
                return Ok(());
            }
        }
    }
}

impl Drop for FailGuard<'_> {
    fn drop(&mut self) {
        let waiting = self.queue.fail();
        if !self.finished {
            self.state.outlets.durable.send_replace(Watermark::Failed);
        }
        waiting.iter().for_each(|item| item.stream.wake());
        self.state.chains.values().filter_map(|chain| chain.owner.upgrade()).for_each(|stream| stream.wake());
    }
}

/// A chain that is open, or ended and not yet sealed.
struct Chain {
    head: Digest,
    events: u64,
    closes: Option<Summary>,
    owner: Weak<Shared>,
}

struct State {
    log: Arc<dyn Log>,
    keys: Keys,
    sealer: Sealer,
    run: u64,
    durability: Durability,
    seal_every: Duration,
    chains: HashMap<SessionId, Chain>,
    unsealed: BTreeSet<SessionId>,
    unsealed_since: Option<Instant>,
    /// Set in `Batched` while the store holds events that it may lose.
    unflushed_since: Option<Instant>,
    /// The sequence number of the newest append that the store has.
    committed: u64,
    outlets: Outlets,
}

impl State {
    /// When the writer must act even if nothing comes.
    fn deadline(&self) -> Option<Instant> {
        let seal = self.unsealed_since.map(|since| since + self.seal_every);
        let flush = self.unflushed_since.map(|since| since + FLUSH_EVERY);
        seal.into_iter().chain(flush).min()
    }

    /// Writes what was taken, and the seals that are due.
    fn commit(&mut self, Taken { items, since, last }: Taken) -> Result<(), AuditError> {
        let mut entries = Vec::new();
        let written: Vec<_> = items.iter().map(|item| (Arc::clone(&item.stream), item.bytes.len())).collect();
        let upto = items.last().map(|item| item.sequence);
        for item in items {
            self.chain(item, &mut entries);
        }
        let events = entries.len();
        let now = Instant::now();
        if !self.unsealed.is_empty() && self.unsealed_since.is_none() {
            self.unsealed_since = Some(now);
        }
        let sealing = self.unsealed_since.is_some_and(|since| last || now >= since + self.seal_every);
        if sealing {
            self.seal(&mut entries)?;
        }
        self.append(&entries, since.unwrap_or(now), last)?;
        written.iter().for_each(|(stream, bytes)| stream.written(*bytes));
        if let Some(upto) = upto {
            self.outlets.durable.send_replace(Watermark::Durable { upto });
            self.committed = upto;
        }
        if sealing {
            self.outlets.checkpoints.send_replace(self.sealer.note.as_deref().map(Arc::from));
            self.outlets.sealed.send_replace(self.committed);
        }
        self.tell(entries.get(..events).unwrap_or_default());
        Ok(())
    }

    /// Gives entries to the store, of which the oldest is from then.
    fn append(&mut self, entries: &[Entry], since: Instant, last: bool) -> Result<(), StoreError> {
        if !entries.is_empty() {
            match self.durability {
                Durability::Strict => self.log.append(entries, Sync::Durable)?,
                Durability::Batched => {
                    self.unflushed_since.get_or_insert(since);
                    self.log.append(entries, Sync::Buffered)?
                }
            };
        }
        if self.unflushed_since.is_some_and(|since| last || since.elapsed() >= FLUSH_EVERY) {
            self.log.flush()?;
            self.unflushed_since = None;
        }
        Ok(())
    }

    /// Chains the events of one append. The space before each event takes the head before it while it is hashed, and
    /// keeps the one after it: what is stored and what was hashed are the same bytes of memory.
    fn chain(&mut self, mut item: Item, entries: &mut Vec<Entry>) {
        let stream = item.stream.id;
        if item.first == 0 {
            let head = chain::genesis(&self.keys.0, stream);
            let owner = Arc::downgrade(&item.stream);
            self.chains.insert(stream, Chain { head, events: 0, closes: None, owner });
            entries.push(Entry { key: self.keys.opened(self.run, stream), value: Bytes::new() });
        }
        let Some(chain) = self.chains.get_mut(&stream) else { return };
        let mut start = 0;
        for &end in &item.ends {
            let Some(slot) = item.bytes.get_mut(start..end) else { return };
            let Some((head, _)) = slot.split_first_chunk_mut::<HEAD>() else { return };
            *head = *chain.head.as_bytes();
            chain.head = Digest::of(slot);
            if let Some((head, _)) = slot.split_first_chunk_mut::<HEAD>() {
                *head = *chain.head.as_bytes();
            }
            start = end;
        }
        let bytes = Bytes::from(item.bytes);
        let mut start = 0;
        for &end in &item.ends {
            entries.push(Entry { key: self.keys.event(stream, chain.events), value: bytes.slice(start..end) });
            chain.events += 1;
            start = end;
        }
        chain.closes = item.closes;
        self.unsealed.insert(stream);
    }

    fn seal(&mut self, entries: &mut Vec<Entry>) -> Result<(), AuditError> {
        let mut heads = Vec::with_capacity(self.unsealed.len());
        for stream in std::mem::take(&mut self.unsealed) {
            let Some(chain) = self.chains.get(&stream) else { continue };
            heads.push(Head { events: chain.events, head: chain.head, run: self.run, stream });
            if let Some(summary) = &chain.closes {
                entries.push(closed(self.keys, stream, summary)?);
                self.chains.remove(&stream);
            }
        }
        self.unsealed_since = None;
        Ok(self.sealer.seal(&heads, entries).map_err(not_canonical)?)
    }

    fn tell(&self, entries: &[Entry]) {
        if self.outlets.tail.receiver_count() == 0 {
            return;
        }
        for entry in entries {
            // What is no event is an `o` entry, which has no value.
            if entry.value.len() < HEAD {
                continue;
            }
            let Some((stream, number)) = crate::layout::stream_and_number(&entry.key) else { continue };
            // An error says that the last reader has left.
            let _nobody = self.outlets.tail.send(Recorded { stream, number, json: entry.value.slice(HEAD..) });
        }
    }
}

/// The `c` entry of a stream.
pub(crate) fn closed(keys: Keys, stream: SessionId, summary: &Summary) -> Result<Entry, StoreError> {
    let value = crate::canonical::canonical(summary).map_err(not_canonical)?;
    Ok(Entry { key: keys.closed(stream), value: value.into() })
}

/// Counts beyond 2^53 are the only way to get here.
pub(crate) fn not_canonical(error: serde_json::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
