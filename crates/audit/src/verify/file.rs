//! Verifying an export: line by line, with the public key alone.
//!
//! Takes hostile input: every line is bounded, and anything unexpected names the line. Of an export of the whole log the
//! sealed heads are held in memory, of one of sessions their identifiers.

use super::walk::{Walk, Walked};
use super::{Finding, Report, Subject, VerifyError, Why};
use crate::error::AuditError;
use crate::export::{FORMAT, Line, Scope};
use crate::keys::VerifyingKey;
use crate::layout::Leaf;
use crate::merkle::{Frontier, is_consistent, is_included, leaf_hash};
use crate::note::Checkpoint;
use portcullis_model::{Digest, SessionId};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::{BufRead, Read as _};

/// Refused beyond this; an event has a mebibyte or two, and a note has less.
const LONGEST_LINE: u64 = 256 * 1024 * 1024;

/// Verifies an export, and that its log contains the checkpoints given.
///
/// # Errors
/// [`VerifyError::Broken`] with the first thing that is wrong; that a checkpoint cannot be compared; the file's.
pub fn export(mut input: impl BufRead, key: &VerifyingKey, against: &[Checkpoint]) -> Result<Report, VerifyError> {
    let mut line = Vec::new();
    let mut number = 1;
    read_line(&mut input, &mut line)?;
    let mut file = File::begin(&line, key, against)?;
    while !file.ended {
        number += 1;
        if !read_line(&mut input, &mut line)? {
            return Err(Finding::new(Subject::Line(number), Why::Truncated, "the export has no end").into());
        }
        let Some(parsed) = as_written(&line) else {
            return Err(file.blame(number, Why::Altered, "it cannot be read").into());
        };
        file.line(number, parsed)?;
    }
    if read_line(&mut input, &mut line)? {
        return Err(Finding::new(Subject::Line(number + 1), Why::Unexpected, "").into());
    }
    if let Some(uncompared) = file.against.first() {
        let (export, checkpoint) = (file.checkpoint.size, uncompared.size);
        return Err(VerifyError::NotComparable { export, checkpoint });
    }
    let (log, checkpoint, note) = (key.log(), Some(file.checkpoint), Some(file.note));
    Ok(Report { log, sessions: file.sessions, events: file.events, unsealed: 0, checkpoint, note })
}

/// The next line without its end; false behind the last.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, VerifyError> {
    line.clear();
    let failed = |source| AuditError::File { what: "reading the export".to_owned(), source };
    input.by_ref().take(LONGEST_LINE).read_until(b'\n', line).map_err(failed)?;
    Ok(line.pop_if(|last| *last == b'\n').is_some() || !line.is_empty())
}

/// A line as the writer writes it: what it would have written otherwise is altered, even where it reads the same.
fn as_written(line: &[u8]) -> Option<Line<'_>> {
    let parsed: Line<'_> = serde_json::from_slice(line).ok()?;
    serde_json::to_vec(&parsed).is_ok_and(|bytes| bytes == line).then_some(parsed)
}

/// The session whose events are being read.
struct Current {
    walk: Walk,
    stream: SessionId,
    /// Events to come.
    left: u64,
    /// Events in all.
    events: u64,
    run: u64,
    seal: u64,
    index: u64,
    path: Option<Vec<Digest>>,
}

struct File<'a> {
    key: &'a VerifyingKey,
    scope: Scope,
    checkpoint: Checkpoint,
    note: String,
    /// Not compared yet.
    against: Vec<Checkpoint>,
    frontier: Frontier,
    /// Scope `log`: the leaves of each stream whose events have not come yet.
    leaves: HashMap<SessionId, Vec<(u64, Leaf)>>,
    /// Scope `log`: whether all leaves were read.
    summed: bool,
    current: Option<Current>,
    /// Those that came: one that came twice would count twice.
    seen: HashSet<SessionId>,
    sessions: u64,
    events: u64,
    ended: bool,
}

impl<'a> File<'a> {
    fn begin(first: &[u8], key: &'a VerifyingKey, against: &[Checkpoint]) -> Result<Self, VerifyError> {
        let bad = |why, detail: &str| Finding::new(Subject::Line(1), why, detail);
        let Some(Line::Header { format, scope, log, checkpoint }) = as_written(first) else {
            return Err(bad(Why::Altered, "it is not the header of an export").into());
        };
        if format != FORMAT {
            return Err(bad(Why::Altered, "the format is not known").into());
        }
        if log != key.log() {
            return Err(VerifyError::NoRecord(key.log()));
        }
        let opened = Checkpoint::open(&checkpoint, key).map_err(|bad| Finding::note(&bad))?;
        let mut file = Self {
            key,
            scope,
            checkpoint: opened,
            note: checkpoint.into_owned(),
            against: against.to_vec(),
            frontier: Frontier::default(),
            leaves: HashMap::new(),
            summed: false,
            current: None,
            seen: HashSet::new(),
            sessions: 0,
            events: 0,
            ended: false,
        };
        file.compare(opened.size, opened.root)?;
        // What has no leaf is in every log.
        file.against.retain(|given| given.size > 0);
        Ok(file)
    }

    /// Compares the checkpoints given of this size with the root that is proved.
    fn compare(&mut self, size: u64, root: Digest) -> Result<(), Finding> {
        if let Some(other) = self.against.iter().find(|given| given.size == size && given.root != root) {
            let detail = format!("the export is not of the log of the checkpoint given ({other})");
            return Err(Finding::new(Subject::Checkpoint, Why::Altered, detail));
        }
        self.against.retain(|given| given.size != size);
        Ok(())
    }

    /// What is wrong with a line: inside a session, the event that should be there.
    fn blame(&self, line: u64, why: Why, detail: &str) -> Finding {
        match &self.current {
            Some(Current { stream, left, events, .. }) => {
                let number = events - left;
                Finding::new(Subject::Event { session: *stream, number }, why, format!("line {line}: {detail}"))
            }
            None => Finding::new(Subject::Line(line), why, detail),
        }
    }

    fn line(&mut self, number: u64, line: Line<'_>) -> Result<(), VerifyError> {
        let inside = self.current.is_some();
        match line {
            Line::Event { head, event } if inside => Ok(self.event(head, event.get().as_bytes())?),
            _ if inside => Err(self.blame(number, Why::Missing, "something else is in its place").into()),
            Line::Consistency { size, path } => Ok(self.consistency(number, size, &path)?),
            Line::Leaf(leaf) if self.scope == Scope::Log && !self.summed => Ok(self.leaf(leaf)?),
            Line::Session { stream, events, run, seal, index, path } => {
                self.sum()?;
                if !self.seen.insert(stream) {
                    return Err(Finding::new(Subject::Session(stream), Why::Unexpected, "it came before").into());
                }
                let walk = Walk::new(self.key.log(), stream, self.leaves.remove(&stream).unwrap_or_default());
                self.current = Some(Current { walk, stream, left: events, events, run, seal, index, path });
                if events == 0 { Err(self.blame(number, Why::Missing, "").into()) } else { Ok(()) }
            }
            Line::End { sessions, events } => Ok(self.end(number, sessions, events)?),
            Line::Header { .. } | Line::Leaf(_) | Line::Event { .. } => {
                Err(self.blame(number, Why::Unexpected, "").into())
            }
        }
    }

    fn consistency(&mut self, number: u64, size: u64, path: &[Digest]) -> Result<(), Finding> {
        let Some(given) = self.against.iter().find(|given| given.size == size) else { return Ok(()) };
        let new = (self.checkpoint.size, &self.checkpoint.root);
        if !is_consistent((given.size, &given.root), new, path) {
            return Err(self.blame(number, Why::Altered, "the proof does not join the checkpoint given"));
        }
        let root = given.root;
        self.compare(size, root)
    }

    fn leaf(&mut self, leaf: Leaf) -> Result<(), Finding> {
        let index = self.frontier.size();
        let bad = |_| Finding::new(Subject::Leaf(index), Why::Altered, "");
        let bytes = crate::canonical::canonical(&leaf).map_err(bad)?;
        let pushed = self.frontier.push(leaf_hash(&bytes), |_, _, _| Ok::<_, Infallible>(()));
        pushed.unwrap_or_else(|never| match never {});
        self.leaves.entry(leaf.stream).or_default().push((index, leaf));
        self.compare(index + 1, self.frontier.root())
    }

    /// Behind the last leaf: they must add up to the checkpoint.
    fn sum(&mut self) -> Result<(), Finding> {
        if self.scope == Scope::Sessions || self.summed {
            return Ok(());
        }
        self.summed = true;
        if (self.frontier.size(), self.frontier.root()) == (self.checkpoint.size, self.checkpoint.root) {
            return Ok(());
        }
        let detail = "the sealed heads do not add up to it";
        Err(Finding::new(Subject::Checkpoint, Why::Altered, detail))
    }

    fn event(&mut self, head: Digest, json: &[u8]) -> Result<(), Finding> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        current.walk.step(current.events - current.left, head, json)?;
        current.left -= 1;
        self.events += 1;
        if current.left > 0 {
            self.current = Some(current);
            return Ok(());
        }
        self.sessions += 1;
        let Current { walk, stream, events, run, seal, index, path, .. } = current;
        let Walked { head, sealed, .. } = walk.finish()?;
        let proved = match (self.scope, path) {
            (Scope::Sessions, Some(path)) => {
                let bad = |_| Finding::new(Subject::Session(stream), Why::Altered, "");
                let leaf = crate::canonical::canonical(&Leaf { events, head, run, seal, stream }).map_err(bad)?;
                is_included(leaf_hash(&leaf), index, self.checkpoint.size, &path, &self.checkpoint.root)
            }
            (Scope::Log, None) => sealed == events,
            (Scope::Sessions, None) | (Scope::Log, Some(_)) => false,
        };
        let detail = "it, or an event of it, is not what was sealed";
        if proved { Ok(()) } else { Err(Finding::new(Subject::Session(stream), Why::Altered, detail)) }
    }

    fn end(&mut self, number: u64, sessions: u64, events: u64) -> Result<(), Finding> {
        self.sum()?;
        if let Some(stream) = self.leaves.keys().min() {
            return Err(Finding::new(Subject::Session(*stream), Why::Missing, "it was sealed"));
        }
        if (sessions, events) != (self.sessions, self.events) {
            return Err(self.blame(number, Why::Altered, "it counts something else"));
        }
        self.ended = true;
        Ok(())
    }
}
