//! Verifying a whole store.
//!
//! In two passes that hold neither events nor leaves in memory: along the Merkle log, remaking every node and comparing
//! every checkpoint; then along every stream, remaking its chain and comparing it with its seals and summary. At last
//! every key of every kind is counted, so that nothing can be added. A gateway may write meanwhile: each check reads in
//! the order in which a commit could not make it fail.

use super::walk::Walk;
use super::{Finding, Report, Subject, VerifyError, Why};
use crate::error::AuditError;
use crate::keys::VerifyingKey;
use crate::layout::{self, Keys, Leaf};
use crate::merkle::{Frontier, empty_root, leaf_hash};
use crate::note::Checkpoint;
use crate::reader::Reader;
use portcullis_model::{Digest, SessionId};
use portcullis_store::{Entry, Log};
use std::collections::HashMap;
use std::sync::Arc;

/// Verifies everything that this key's log has in the store, and that it contains the checkpoints given.
///
/// # Errors
/// [`VerifyError::Broken`] with the first thing that is wrong; that there is no such log; the store's.
pub fn store(log: &Arc<dyn Log>, key: &VerifyingKey, against: &[Checkpoint]) -> Result<Report, VerifyError> {
    let reader = Reader::new(Arc::clone(log), key.log());
    if log.scan(key.log().as_bytes(), b"", 1)?.is_empty() {
        return Err(VerifyError::NoRecord(key.log()));
    }
    let mut whole = Whole { keys: reader.keys(), key, reader: &reader, size: 0, events: 0, unsealed: 0 };
    let (checkpoint, note) = whole.newest()?.unzip();
    whole.size = checkpoint.map_or(0, |checkpoint| checkpoint.size);
    whole.merkle_log(checkpoint, against)?;
    let streams = whole.streams()?;
    whole.nothing_else(&streams)?;
    let (events, unsealed) = (whole.events, whole.unsealed);
    Ok(Report { log: key.log(), sessions: streams.len() as u64, events, unsealed, checkpoint, note })
}

/// What is known of a stream after its chain was walked.
struct Known {
    /// The run of its leaves, where it has some.
    run: Option<u64>,
    closed: bool,
}

struct Whole<'a> {
    keys: Keys,
    key: &'a VerifyingKey,
    reader: &'a Reader,
    /// Leaves under the newest checkpoint.
    size: u64,
    events: u64,
    unsealed: u64,
}

impl Whole<'_> {
    fn log(&self) -> &Arc<dyn Log> {
        self.reader.log()
    }

    fn newest(&self) -> Result<Option<(Checkpoint, String)>, AuditError> {
        let newest = self.log().scan_back(&self.keys.all(layout::CHECKPOINT), None, 1)?;
        Ok(newest.first().map(|entry| self.open(entry)).transpose()?)
    }

    fn open(&self, entry: &Entry) -> Result<(Checkpoint, String), Finding> {
        let note = std::str::from_utf8(&entry.value).map_err(|_| Finding::entry(&entry.key))?;
        let checkpoint = Checkpoint::open(note, self.key).map_err(|bad| Finding::note(&bad))?;
        if layout::last_number(&entry.key) != Some(checkpoint.size) {
            return Err(Finding::new(Subject::Checkpoint, Why::Reordered, format!("size {}", checkpoint.size)));
        }
        Ok((checkpoint, note.to_owned()))
    }

    /// Every leaf, node and checkpoint under the newest checkpoint.
    fn merkle_log(&self, newest: Option<Checkpoint>, against: &[Checkpoint]) -> Result<(), VerifyError> {
        let mut against = against.to_vec();
        against.sort_by_key(|checkpoint| checkpoint.size);
        if let Some(beyond) = against.last().filter(|checkpoint| checkpoint.size > self.size) {
            let detail = format!("the checkpoint given has {} sealed heads", beyond.size);
            return Err(Finding::new(Subject::Leaf(self.size), Why::Truncated, detail).into());
        }
        let mut stored = self.checkpoints()?.into_iter().peekable();
        let mut frontier = Frontier::default();
        let mut against = against.into_iter().peekable();
        let mut seal = 0;
        loop {
            let (size, root) = (frontier.size(), frontier.root());
            let mut signed = size == 0;
            while let Some(expected) = stored.next_if(|checkpoint| checkpoint.size <= size) {
                same_root(&expected, size, root, "a stored checkpoint")?;
                signed = true;
            }
            while let Some(expected) = against.next_if(|checkpoint| checkpoint.size <= size) {
                same_root(&expected, size, root, "the checkpoint given")?;
            }
            if size >= self.size {
                break;
            }
            let next = self.leaf(size, &mut frontier)?;
            // What was sealed together was signed behind its last.
            if next != seal && (next != seal + 1 || !signed) {
                return Err(Finding::new(Subject::Checkpoint, Why::Missing, format!("over {size} sealed heads")).into());
            }
            seal = next;
        }
        let root = newest.map_or_else(empty_root, |checkpoint| checkpoint.root);
        Ok(same_root(&Checkpoint { size: self.size, root }, frontier.size(), frontier.root(), "the newest checkpoint")?)
    }

    /// The signed checkpoints up to the newest.
    fn checkpoints(&self) -> Result<Vec<Checkpoint>, AuditError> {
        let mut found = Vec::new();
        self.reader.pages(self.keys.all(layout::CHECKPOINT), |entry| {
            let (checkpoint, _) = self.open(&entry)?;
            found.push(checkpoint);
            Ok(())
        })?;
        found.retain(|checkpoint| checkpoint.size <= self.size);
        Ok(found)
    }

    /// Adds the next leaf, comparing the nodes that it completes and its index entry with what is stored.
    /// Returns the number of its seal.
    fn leaf(&self, index: u64, frontier: &mut Frontier) -> Result<u64, AuditError> {
        let value = self.log().get(&self.keys.leaf(index))?;
        let value = value.ok_or_else(|| Finding::new(Subject::Leaf(index), Why::Missing, ""))?;
        let altered = |_| Finding::new(Subject::Leaf(index), Why::Altered, "it cannot be read");
        let leaf: Leaf = serde_json::from_slice(&value).map_err(altered)?;
        let sealed = self.log().get(&self.keys.sealed(leaf.stream, leaf.events))?;
        if sealed.as_deref().and_then(layout::number) != Some(index) {
            return Err(Finding::new(Subject::Leaf(index), Why::Altered, "its index entry says otherwise").into());
        }
        frontier.push(leaf_hash(&value), |level, at, hash| {
            let stored = self.log().get(&self.keys.node(level, at))?;
            let subject = Subject::Node { level, index: at };
            match stored.as_deref().map(layout::hash) {
                Some(Some(stored)) if stored == hash => Ok(()),
                Some(_) => Err(Finding::new(subject, Why::Altered, "it, or a sealed head under it").into()),
                None => Err(AuditError::from(Finding::new(subject, Why::Missing, ""))),
            }
        })?;
        Ok(leaf.seal)
    }

    /// Every chain, its seals and its summary.
    fn streams(&mut self) -> Result<HashMap<SessionId, Known>, AuditError> {
        let mut known = HashMap::new();
        let mut from = self.keys.all(layout::EVENT).to_vec();
        loop {
            let next = self.log().scan(&self.keys.all(layout::EVENT), &from, 1)?;
            let Some(entry) = next.first() else { return Ok(known) };
            let place = layout::stream_and_number(&entry.key);
            let (stream, _) = place.ok_or_else(|| unexpected(&entry.key))?;
            known.insert(stream, self.stream(stream)?);
            // Behind every event of this stream, and before the next stream.
            from = [self.keys.events(stream).as_ref(), &[0xff; 9]].concat();
        }
    }

    /// Seals are read before the summary and that before the events: each is written no later than the one before it.
    fn stream(&mut self, stream: SessionId) -> Result<Known, AuditError> {
        let leaves = self.reader.sealed(stream, self.size)?;
        let runs: Vec<_> = leaves.iter().map(|(_, leaf)| leaf.run).collect();
        let run = runs.first().copied();
        if runs.iter().any(|other| Some(*other) != run) {
            return Err(Finding::new(Subject::Session(stream), Why::Altered, "it was sealed in two runs").into());
        }
        let summary = self.log().get(&self.keys.closed(stream))?;
        let mut walk = Walk::new(self.keys.0, stream, leaves);
        self.reader.stored(stream, 0, |event| Ok(walk.step(event.number, event.head, event.json)?))?;
        let walked = walk.finish()?;
        self.events += walked.sealed;
        self.unsealed += walked.tally.events - walked.sealed;
        let (ended, whole) = (walked.tally.summary(), walked.sealed == walked.tally.events);
        let expected = ended.and_then(|ended| crate::canonical::canonical(&ended).ok());
        if (summary.is_some() || whole) && summary.as_deref() != expected.as_deref() {
            return Err(Finding::new(Subject::Session(stream), Why::Altered, "its summary says otherwise").into());
        }
        Ok(Known { run, closed: summary.is_some() })
    }

    /// That every key has its reason, and every stream its index entries.
    fn nothing_else(&self, known: &HashMap<SessionId, Known>) -> Result<(), AuditError> {
        for letter in (u8::MIN..=u8::MAX).filter(|letter| !layout::LETTERS.contains(letter)) {
            if let Some(entry) = self.log().scan(&self.keys.all(letter), b"", 1)?.first() {
                return Err(unexpected(&entry.key).into());
            }
        }
        let id = self.keys.0;
        if let Some(entry) = self.log().scan(id.as_bytes(), b"", 1)?.first().filter(|entry| entry.key.len() < 17) {
            return Err(unexpected(&entry.key).into());
        }
        self.opened(known)?;
        self.closed(known)?;
        self.seals()?;
        self.nodes()?;
        self.beyond()
    }

    /// A stream that is not known must have come meanwhile.
    fn is_there(&self, stream: SessionId) -> Result<bool, AuditError> {
        Ok(self.log().get(&self.keys.event(stream, 0))?.is_some())
    }

    fn opened(&self, known: &HashMap<SessionId, Known>) -> Result<(), AuditError> {
        let mut seen = HashMap::new();
        self.reader.pages(self.keys.all(layout::OPENED), |entry| {
            let (run, stream) = layout::run_and_stream(&entry.key).ok_or_else(|| unexpected(&entry.key))?;
            let fits = match known.get(&stream) {
                Some(known) => known.run.is_none_or(|sealed| sealed == run),
                None if self.is_there(stream)? => true,
                None => return Err(Finding::new(Subject::Session(stream), Why::Missing, "it was begun").into()),
            };
            if !fits || !entry.value.is_empty() || seen.insert(stream, run).is_some() {
                return Err(Finding::entry(&entry.key).into());
            }
            Ok(())
        })?;
        match known.keys().find(|stream| !seen.contains_key(*stream)) {
            Some(stream) => Err(Finding::new(Subject::Session(*stream), Why::Unexpected, "it was never begun").into()),
            None => Ok(()),
        }
    }

    fn closed(&self, known: &HashMap<SessionId, Known>) -> Result<(), AuditError> {
        self.reader.pages(self.keys.all(layout::CLOSED), |entry| {
            let stream = layout::stream(&entry.key).ok_or_else(|| unexpected(&entry.key))?;
            // One that was not closed when it was read was closed meanwhile, which its events show.
            let fits = match known.get(&stream) {
                Some(Known { closed: true, .. }) => true,
                Some(Known { closed: false, .. }) | None => self.ends_as(stream, &entry)?,
            };
            if fits { Ok(()) } else { Err(unexpected(&entry.key).into()) }
        })
    }

    fn ends_as(&self, stream: SessionId, entry: &Entry) -> Result<bool, AuditError> {
        let Ok(summary) = serde_json::from_slice::<crate::Summary>(&entry.value) else { return Ok(false) };
        let Some(last) = summary.events.checked_sub(1) else { return Ok(false) };
        Ok(self.log().get(&self.keys.event(stream, last))?.is_some()
            && self.log().get(&self.keys.sealed(stream, summary.events))?.is_some())
    }

    /// The index from streams to leaves has an entry for each leaf (seen on the way) and no other.
    fn seals(&self) -> Result<(), AuditError> {
        let mut count = 0;
        self.reader.pages(self.keys.all(layout::SEALED), |entry| {
            let place = layout::stream_and_number(&entry.key).zip(layout::number(&entry.value));
            let ((stream, events), index) = place.ok_or_else(|| unexpected(&entry.key))?;
            if index < self.size {
                count += 1;
                return Ok(());
            }
            let leaf = self.reader.leaf(index)?;
            if (leaf.stream, leaf.events) == (stream, events) { Ok(()) } else { Err(unexpected(&entry.key).into()) }
        })?;
        if count == self.size { Ok(()) } else { Err(unexpected(&self.keys.all(layout::SEALED)).into()) }
    }

    fn nodes(&self) -> Result<(), AuditError> {
        let (mut expected, mut count) = (0, 0);
        for level in 1..64 {
            expected += self.size >> level;
        }
        self.reader.pages(self.keys.all(layout::NODE), |entry| {
            let (level, index) = layout::level_and_index(&entry.key).ok_or_else(|| unexpected(&entry.key))?;
            let last = index.checked_add(1).and_then(|after| after.checked_mul(1_u64.checked_shl(level.into())?));
            let last = last.filter(|_| level > 0).ok_or_else(|| unexpected(&entry.key))?;
            if last <= self.size {
                count += 1;
            } else if self.log().get(&self.keys.leaf(last - 1))?.is_none() {
                return Err(unexpected(&entry.key).into());
            }
            Ok(())
        })?;
        if count == expected { Ok(()) } else { Err(unexpected(&self.keys.all(layout::NODE)).into()) }
    }

    /// Leaves behind the newest checkpoint have a newer checkpoint by now.
    fn beyond(&self) -> Result<(), AuditError> {
        let mut leaves = 0;
        self.reader.pages(self.keys.all(layout::LEAF), |entry| {
            match layout::last_number(&entry.key) {
                Some(index) if index == leaves => leaves += 1,
                Some(_) | None => return Err(unexpected(&entry.key).into()),
            }
            Ok(())
        })?;
        let covered = self.newest()?.map_or(0, |(checkpoint, _)| checkpoint.size);
        if leaves > covered {
            return Err(Finding::new(Subject::Checkpoint, Why::Missing, format!("over {leaves} sealed heads")).into());
        }
        Ok(())
    }
}

fn same_root(expected: &Checkpoint, size: u64, root: Digest, which: &str) -> Result<(), Finding> {
    if (expected.size, expected.root) == (size, root) {
        return Ok(());
    }
    let detail = format!("the sealed heads do not add up to {which} ({expected})");
    Err(Finding::new(Subject::Checkpoint, Why::Altered, detail))
}

fn unexpected(key: &[u8]) -> Finding {
    Finding::new(Subject::Entry(hex::encode(key)), Why::Unexpected, "")
}
