//! Taking sessions out of the store, with everything that proves them: a file of JSON lines that [`crate::verify::export`]
//! checks with the public key alone, years later, without this gateway.
//!
//! ```text
//! {"header":{"format":"portcullis-record/1","scope":"sessions","log":"…","checkpoint":"<signed note>"}}
//! {"consistency":{"size":17,"path":["…"]}}            a proof from each earlier checkpoint that was asked for
//! {"leaf":{"events":5,"head":"…","run":1,"seal":9,"stream":"…"}}     scope `log` only: every sealed head, in order
//! {"session":{"stream":"…","events":5,"run":1,"seal":9,"index":16,"path":["…"]}}       path: scope `sessions` only
//! {"event":{"head":"…","event":{…}}}                        the canonical bytes, each with the head after it
//! {"end":{"sessions":1,"events":5}}
//! ```
//! Scope `log` is complete: a session left out of it is found, since its sealed head is among the leaves. Promises: what
//! is written was sealed when it was written, and verifies. Does not promise: the last second of a live session; nor, in
//! scope `sessions`, that a session goes no further: whoever knows the log can show one as it stood at an earlier seal,
//! which then lacks its end. Scope `log` shows each as it stands.

use crate::chain::LogId;
use crate::error::AuditError;
use crate::layout::{self, Leaf};
use crate::merkle;
use crate::note::Checkpoint;
use crate::reader::Reader;
use crate::seal::StoredNodes;
use crate::verify::{Finding, Subject, Why};
use portcullis_model::{Digest, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{self, Write};

pub(crate) const FORMAT: &str = "portcullis-record/1";

/// What is in an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    Log,
    Sessions,
}

/// A line. `event` borrows its bytes, which are what is hashed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Line<'a> {
    Header {
        format: Cow<'a, str>,
        scope: Scope,
        log: LogId,
        checkpoint: Cow<'a, str>,
    },
    Consistency {
        size: u64,
        path: Vec<Digest>,
    },
    Leaf(Leaf),
    Session {
        stream: SessionId,
        events: u64,
        run: u64,
        seal: u64,
        index: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<Vec<Digest>>,
    },
    Event {
        head: Digest,
        #[serde(borrow)]
        event: &'a RawValue,
    },
    End {
        sessions: u64,
        events: u64,
    },
}

/// How much was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Sessions.
    pub sessions: u64,
    /// Events of them.
    pub events: u64,
}

/// Writes these sessions with their proofs, and a proof from each of these earlier checkpoints' sizes.
///
/// # Errors
/// There is no such session, nothing of one is sealed yet, the store's and the file's.
pub fn sessions(reader: &Reader, ids: &[SessionId], since: &[u64], out: impl Write) -> Result<Exported, AuditError> {
    let mut export = Export::begin(reader, Scope::Sessions, since, out)?;
    for id in ids {
        let leaf = reader.newest_seal(*id, export.size)?;
        let Some((index, leaf)) = leaf else {
            return Err(reader.session(*id).map_or_else(|error| error, |_| AuditError::NotSealed(*id)));
        };
        let nodes = StoredNodes { log: reader.log(), keys: reader.keys() };
        let path = merkle::inclusion(&nodes, index, export.size)?;
        export.session(index, &leaf, Some(path))?;
    }
    export.end()
}

/// Writes the whole log, with a proof from each of these earlier checkpoints' sizes.
///
/// # Errors
/// Nothing is sealed yet, the store's and the file's.
pub fn all(reader: &Reader, since: &[u64], out: impl Write) -> Result<Exported, AuditError> {
    let mut export = Export::begin(reader, Scope::Log, since, out)?;
    for index in 0..export.size {
        export.line(&Line::Leaf(reader.leaf(index)?))?;
    }
    let keys = reader.keys();
    let mut from = keys.all(layout::EVENT).to_vec();
    while let Some(entry) = reader.log().scan(&keys.all(layout::EVENT), &from, 1)?.first() {
        let (stream, _) = layout::stream_and_number(&entry.key).ok_or_else(|| Finding::entry(&entry.key))?;
        // A stream that began within the last second has no leaf, and is left out.
        if let Some((index, leaf)) = reader.newest_seal(stream, export.size)? {
            export.session(index, &leaf, None)?;
        }
        from = [keys.events(stream).as_ref(), &[0xff; 9]].concat();
    }
    export.end()
}

struct Export<'a, W> {
    reader: &'a Reader,
    /// Leaves under the checkpoint that everything is proved against.
    size: u64,
    done: Exported,
    out: W,
}

impl<'a, W: Write> Export<'a, W> {
    fn begin(reader: &'a Reader, scope: Scope, since: &[u64], out: W) -> Result<Self, AuditError> {
        let newest = reader.log().scan_back(&reader.keys().all(layout::CHECKPOINT), None, 1)?;
        let missing = || Finding::new(Subject::Checkpoint, Why::Missing, "nothing is sealed yet");
        let newest = newest.first().ok_or_else(missing)?;
        let size = layout::last_number(&newest.key).ok_or_else(|| Finding::entry(&newest.key))?;
        let note = String::from_utf8_lossy(&newest.value);
        let mut export = Self { reader, size, done: Exported::default(), out };
        let log = reader.log_id();
        export.line(&Line::Header { format: FORMAT.into(), scope, log, checkpoint: note })?;
        let nodes = StoredNodes { log: reader.log(), keys: reader.keys() };
        let newest = export.size;
        for &size in since.iter().filter(|size| (1..newest).contains(*size)) {
            let path = merkle::consistency(&nodes, size, newest)?;
            export.line(&Line::Consistency { size, path })?;
        }
        Ok(export)
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), AuditError> {
        let written = serde_json::to_writer(&mut self.out, line).map_err(io::Error::from);
        written.and_then(|()| self.out.write_all(b"\n")).map_err(failed)
    }

    fn session(&mut self, index: u64, leaf: &Leaf, path: Option<Vec<Digest>>) -> Result<(), AuditError> {
        let Leaf { events, run, seal, stream, .. } = *leaf;
        self.line(&Line::Session { stream, events, run, seal, index, path })?;
        let reader = self.reader;
        reader.stored(stream, 0, |stored| {
            if stored.number >= events {
                return Ok(());
            }
            let bad = |_| {
                let subject = Subject::Event { session: stream, number: stored.number };
                Finding::new(subject, Why::Altered, "it cannot be read")
            };
            let event: &RawValue = serde_json::from_slice(stored.json).map_err(bad)?;
            self.line(&Line::Event { head: stored.head, event })
        })?;
        self.done.sessions += 1;
        self.done.events += events;
        Ok(())
    }

    fn end(mut self) -> Result<Exported, AuditError> {
        let Exported { sessions, events } = self.done;
        self.line(&Line::End { sessions, events })?;
        self.out.flush().map_err(failed)?;
        Ok(self.done)
    }
}

fn failed(source: io::Error) -> AuditError {
    AuditError::File { what: "writing the export".to_owned(), source }
}

/// The signed checkpoint in the first line of an export, which is what a later verification may be given.
///
/// # Errors
/// The first line is no header, or the checkpoint is not signed by this key.
pub fn checkpoint(first_line: &str, key: &crate::VerifyingKey) -> Result<Checkpoint, crate::BadNote> {
    match serde_json::from_str(first_line) {
        Ok(Line::Header { checkpoint, .. }) => Checkpoint::open(&checkpoint, key),
        Ok(Line::Consistency { .. } | Line::Leaf(_) | Line::Session { .. } | Line::Event { .. } | Line::End { .. })
        | Err(_) => Err(crate::BadNote::Format),
    }
}
