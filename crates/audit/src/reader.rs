//! Reading the record: which sessions there are, and their events. For the command line, the console and `verify`.
//!
//! A reader holds no state and writes nothing; it sees what is committed at the moment of each call. Its methods block
//! on the store. Does not promise that what it reads is unaltered: that is `verify`'s.

use crate::chain::LogId;
use crate::error::AuditError;
use crate::layout::{self, Keys, Leaf};
use crate::tally::{Summary, Tally};
use crate::verify::{Finding, Subject, Why};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{ClientInfo, Connection, Digest, Event, EventBody, Principal, SessionId, StreamKind};
use portcullis_store::{Entry, Log};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Entries read at once. An event may have a mebibyte, so not many.
const PAGE: usize = 64;

/// A reader of one log.
#[derive(Clone)]
pub struct Reader {
    log: Arc<dyn Log>,
    keys: Keys,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("log", &self.keys.0).finish_non_exhaustive()
    }
}

/// One session, in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// A client's session, or the gateway's own stream.
    pub kind: StreamKind,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// Where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientInfo>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// Commands received.
    pub commands: u64,
    /// Of those, refused.
    pub denied: u64,
    /// Events in it.
    pub events: u64,
}

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Bytes);

/// An event as stored.
pub(crate) struct StoredEvent<'a> {
    pub(crate) number: u64,
    pub(crate) head: Digest,
    pub(crate) json: &'a [u8],
}

impl Reader {
    /// Reads this log in this store.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, id: LogId) -> Self {
        Self { log, keys: Keys(id) }
    }

    /// The logs in a store: one for each key that ever signed there.
    ///
    /// # Errors
    /// The store's.
    pub fn logs(log: &Arc<dyn Log>) -> Result<Vec<LogId>, AuditError> {
        let mut found = Vec::new();
        let mut from = Vec::new();
        while let Some(id) = log.scan(b"", &from, 1)?.first().and_then(|entry| layout::log_of(&entry.key)) {
            found.push(id);
            // Behind every key of this log.
            from = [id.as_bytes().as_slice(), &[0xff; 64]].concat();
        }
        Ok(found)
    }

    /// Which log it reads.
    #[must_use]
    pub const fn log_id(&self) -> LogId {
        self.keys.0
    }

    /// Sessions, newest first, at most `limit`, and where to go on if there may be more.
    ///
    /// # Errors
    /// The store's, or that the first event of one cannot be read.
    pub fn sessions(
        &self,
        before: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<SessionInfo>, Option<Cursor>), AuditError> {
        let before = before.map(|cursor| cursor.0.as_ref());
        let page = self.log.scan_back(&self.keys.all(layout::OPENED), before, limit)?;
        let more = if page.len() == limit { page.last().map(|entry| Cursor(entry.key.clone())) } else { None };
        let mut found = Vec::with_capacity(page.len());
        for entry in page {
            let (_, stream) = layout::run_and_stream(&entry.key).ok_or_else(|| Finding::entry(&entry.key))?;
            found.push(self.session(stream)?);
        }
        Ok((found, more))
    }

    /// One session.
    ///
    /// # Errors
    /// The store's, that there is none, or that its first event cannot be read.
    pub fn session(&self, id: SessionId) -> Result<SessionInfo, AuditError> {
        let first = self.events(id, 0).next().ok_or(AuditError::NoSession(id))??;
        let EventBody::SessionStarted { kind, principal, connection, client, .. } = first.body else {
            let subject = Subject::Event { session: id, number: 0 };
            return Err(Finding::new(subject, Why::Altered, "a session starts with session.started").into());
        };
        let mut info = SessionInfo {
            id,
            kind,
            principal,
            connection,
            client,
            started: first.at,
            ended: None,
            reason: None,
            commands: 0,
            denied: 0,
            events: 0,
        };
        if let Some(Summary { commands, denied, ended, events, reason }) = self.summary(id)? {
            return Ok(SessionInfo { commands, denied, events, ended: Some(ended), reason: Some(reason), ..info });
        }
        let mut tally = Tally::default();
        for event in self.events(id, 0) {
            let event = event?;
            tally.note(event.at, &event.body);
        }
        (info.commands, info.denied, info.events) = (tally.commands, tally.denied, tally.events);
        (info.ended, info.reason) = tally.ended.unzip();
        Ok(info)
    }

    /// The stored summary of a closed stream.
    pub(crate) fn summary(&self, id: SessionId) -> Result<Option<Summary>, AuditError> {
        let Some(value) = self.log.get(&self.keys.closed(id))? else { return Ok(None) };
        let summary = serde_json::from_slice(&value).map_err(|_| Finding::entry(&self.keys.closed(id)))?;
        Ok(Some(summary))
    }

    /// The events of a session from this number on.
    #[must_use]
    pub fn events(&self, id: SessionId, from: u64) -> Events {
        Events { reader: self.clone(), stream: id, next: Some(from), page: VecDeque::new() }
    }

    /// The newest signed checkpoint, as a note.
    ///
    /// # Errors
    /// The store's.
    pub fn checkpoint(&self) -> Result<Option<String>, AuditError> {
        let newest = self.log.scan_back(&self.keys.all(layout::CHECKPOINT), None, 1)?;
        Ok(newest.first().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
    }

    pub(crate) const fn keys(&self) -> Keys {
        self.keys
    }

    pub(crate) const fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Every entry of a prefix, in key order, a page at a time.
    pub(crate) fn pages(
        &self,
        prefix: Bytes,
        mut each: impl FnMut(Entry) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        let mut from = prefix.to_vec();
        loop {
            let page = self.log.scan(&prefix, &from, PAGE)?;
            let full = page.len() == PAGE;
            if let Some(last) = page.last() {
                // The least key above the last one.
                from = [last.key.as_ref(), &[0]].concat();
            }
            page.into_iter().try_for_each(&mut each)?;
            if !full {
                return Ok(());
            }
        }
    }

    /// The events of a stream as stored, from this number on.
    pub(crate) fn stored(
        &self,
        id: SessionId,
        from: u64,
        mut each: impl FnMut(StoredEvent<'_>) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        let mut start = Some(self.keys.event(id, from));
        while let Some(from) = start {
            let page = self.log.scan(&self.keys.events(id), &from, PAGE)?;
            start = None;
            for entry in page {
                let parsed = layout::stream_and_number(&entry.key).zip(layout::head_and_event(&entry.value));
                let ((_, number), (head, json)) = parsed.ok_or_else(|| {
                    let place = layout::stream_and_number(&entry.key);
                    place.map_or_else(
                        || Finding::entry(&entry.key),
                        |(session, number)| Finding::new(Subject::Event { session, number }, Why::Altered, "it is cut"),
                    )
                })?;
                each(StoredEvent { number, head, json })?;
                start = number.checked_add(1).map(|next| self.keys.event(id, next));
            }
        }
        Ok(())
    }

    /// The leaves that seal a stream, with an index below `size`, in order.
    pub(crate) fn sealed(&self, id: SessionId, size: u64) -> Result<Vec<(u64, Leaf)>, AuditError> {
        let mut found = Vec::new();
        self.pages(self.keys.seals(id), |entry| {
            let bad = || Finding::entry(&entry.key);
            let (_, events) = layout::stream_and_number(&entry.key).ok_or_else(bad)?;
            let index = layout::number(&entry.value).ok_or_else(bad)?;
            let leaf = self.leaf(index)?;
            if (leaf.stream, leaf.events) != (id, events) {
                return Err(Finding::new(Subject::Leaf(index), Why::Altered, "it seals something else").into());
            }
            if index < size {
                found.push((index, leaf));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The last of them, found from the end.
    pub(crate) fn newest_seal(&self, id: SessionId, size: u64) -> Result<Option<(u64, Leaf)>, AuditError> {
        let mut before = None;
        loop {
            let page = self.log.scan_back(&self.keys.seals(id), before.as_deref(), 4)?;
            let Some(last) = page.last() else { return Ok(None) };
            before = Some(last.key.clone());
            for entry in page {
                let index = layout::number(&entry.value).ok_or_else(|| Finding::entry(&entry.key))?;
                if index < size {
                    return Ok(Some((index, self.leaf(index)?)));
                }
            }
        }
    }

    pub(crate) fn leaf(&self, index: u64) -> Result<Leaf, AuditError> {
        let value = self.log.get(&self.keys.leaf(index))?;
        let value = value.ok_or_else(|| Finding::new(Subject::Leaf(index), Why::Missing, ""))?;
        let bad = |_| Finding::new(Subject::Leaf(index), Why::Altered, "it cannot be read");
        Ok(serde_json::from_slice(&value).map_err(bad)?)
    }
}

/// The events of one session, in order.
#[derive(Debug)]
pub struct Events {
    reader: Reader,
    stream: SessionId,
    /// What to read next; `None` behind the last.
    next: Option<u64>,
    page: VecDeque<Event>,
}

impl Events {
    fn fill(&mut self, from: u64) -> Result<(), AuditError> {
        let keys = self.reader.keys;
        let page = self.reader.log.scan(&keys.events(self.stream), &keys.event(self.stream, from), PAGE)?;
        self.next = None;
        for entry in page {
            let (session, number) = layout::stream_and_number(&entry.key).ok_or_else(|| Finding::entry(&entry.key))?;
            let event = layout::head_and_event(&entry.value).and_then(|(_, json)| serde_json::from_slice(json).ok());
            let bad = || Finding::new(Subject::Event { session, number }, Why::Altered, "it cannot be read");
            self.page.push_back(event.ok_or_else(bad)?);
            self.next = number.checked_add(1);
        }
        Ok(())
    }
}

impl Iterator for Events {
    type Item = Result<Event, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty()
            && let Some(from) = self.next
            && let Err(error) = self.fill(from)
        {
            self.next = None;
            return Some(Err(error));
        }
        self.page.pop_front().map(Ok)
    }
}
