//! What a start does with what the last run left: nothing that is durable is lost, nothing stays open.
//!
//! The streams of the last run that were not closed are read and verified; their open commands are settled and they are
//! ended, both as `interrupted`, and their heads are sealed, in one batch. A crash in here leaves the store as it was, so
//! the next start does the same again. Earlier runs were left whole by the start that followed them. What was altered
//! stops the start: an altered record is for people to look at, not for a gateway to write on.
//! Does not promise: to read what was closed and sealed before; `verify` does that. Costs one read for each session of
//! the last run.

use crate::canonical::Encoder;
use crate::chain::{self, HEAD};
use crate::error::AuditError;
use crate::keys::SigningKey;
use crate::layout::{self, Keys};
use crate::reader::Reader;
use crate::seal::{Head, Sealer};
use crate::verify::walk::Walk;
use crate::verify::{Finding, Subject, Why};
use crate::writer::{closed, not_canonical};
use jiff::Timestamp;
use portcullis_model::{Event, SessionId};
use portcullis_store::{Entry, Log, Sync};
use std::sync::Arc;

/// Where the new run starts.
pub(crate) struct Recovered {
    pub(crate) sealer: Sealer,
    /// The number of this run.
    pub(crate) run: u64,
}

impl Recovered {
    /// The newest checkpoint.
    pub(crate) fn checkpoint(&self) -> Option<&str> {
        self.sealer.note.as_deref()
    }
}

pub(crate) fn recover(log: &Arc<dyn Log>, key: &SigningKey) -> Result<Recovered, AuditError> {
    let keys = Keys(key.log());
    let mut sealer = Sealer::load(log, key.clone())?;
    let Some(last) = log.scan_back(&keys.all(layout::OPENED), None, 1)?.into_iter().next() else {
        return Ok(Recovered { sealer, run: 1 });
    };
    let (run, _) = opened(&last)?;
    let (mut entries, mut heads) = (Vec::new(), Vec::new());
    let reader = Reader::new(Arc::clone(log), key.log());
    reader.pages(keys.run(run), |entry| {
        let (_, stream) = opened(&entry)?;
        if log.get(&keys.closed(stream))?.is_none() {
            heads.extend(close(&reader, keys, run, stream, &mut entries)?);
        }
        Ok(())
    })?;
    if !entries.is_empty() {
        if !heads.is_empty() {
            sealer.seal(&heads, &mut entries).map_err(not_canonical)?;
        }
        log.append(&entries, Sync::Durable)?;
        tracing::info!(streams = heads.len(), "closed what the last run left open");
    }
    Ok(Recovered { sealer, run: run + 1 })
}

fn opened(entry: &Entry) -> Result<(u64, SessionId), Finding> {
    layout::run_and_stream(&entry.key).ok_or_else(|| Finding::entry(&entry.key))
}

/// Closes one stream; returns its head to be sealed, unless it is sealed as it is.
fn close(
    reader: &Reader,
    keys: Keys,
    run: u64,
    stream: SessionId,
    entries: &mut Vec<Entry>,
) -> Result<Option<Head>, AuditError> {
    let mut walk = Walk::new(keys.0, stream, reader.sealed(stream, u64::MAX)?);
    reader.stored(stream, 0, |event| Ok(walk.step(event.number, event.head, event.json)?))?;
    let walked = walk.finish()?;
    let (mut head, mut tally) = (walked.head, walked.tally);
    if tally.events == 0 {
        let subject = Subject::Event { session: stream, number: 0 };
        return Err(Finding::new(subject, Why::Missing, "the session was begun and has no event").into());
    }
    if tally.ended.is_none() {
        let at = Timestamp::now();
        for body in tally.closing("interrupted".into()) {
            let number = tally.events;
            tally.note(at, &body);
            let mut value = vec![0; HEAD];
            let event = Event { stream, number, at, body };
            Encoder::default().encode(&event, &mut value).map_err(not_canonical)?;
            head = chain::next(&head, value.get(HEAD..).unwrap_or_default());
            if let Some((slot, _)) = value.split_first_chunk_mut::<HEAD>() {
                *slot = *head.as_bytes();
            }
            entries.push(Entry { key: keys.event(stream, number), value: value.into() });
        }
    }
    if let Some(summary) = tally.summary() {
        entries.push(closed(keys, stream, &summary)?);
    }
    Ok((walked.sealed < tally.events).then_some(Head { events: tally.events, head, run, stream }))
}
