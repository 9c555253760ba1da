//! The verifiers under a record that was tampered with: an export from a stranger, a store that somebody else held.
//!
//! An input is a list of edits to a genuine record (or, for an export, a file of its own): lines and entries are
//! removed, repeated, swapped, overwritten and inserted, and heads are computed anew, as anybody could.
//! Promises: [`fuzz_export`] and [`fuzz_store`] fail where verification says yes to an event that was never recorded, to
//! counts that are not those of the file, or, for a whole log, to a part of it. Does not promise to forge signatures.
//! Held by: the tests below, and the fuzz targets `audit_export` and `audit_store`.

use crate::chain;
use crate::export::{self, Line, Scope};
use crate::layout;
use crate::verify;
use crate::{Reader, Recorder, Settings, SigningKey};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{Digest, Effect, EventBody, Outcome, SessionId, Source, StreamKind, Text};
use portcullis_store::{Entry, Log, MemoryLog};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Edits that one input can make.
const EDITS: usize = 16;

static SAMPLE: LazyLock<Option<Sample>> = LazyLock::new(Sample::record);

/// A genuine record of two sessions, in two runs of a gateway, and both kinds of export of it.
struct Sample {
    key: SigningKey,
    entries: Vec<Entry>,
    sessions: Vec<Vec<u8>>,
    log: Vec<Vec<u8>>,
    events: BTreeSet<Vec<u8>>,
}

impl Sample {
    /// `None` where a record in memory cannot be made, which the tests below exclude.
    fn record() -> Option<Self> {
        let (key, log) = (SigningKey::from_seed(&[42; 32]), Arc::new(MemoryLog::new()));
        let mut ids = Vec::new();
        for _run in 0..2 {
            let settings = Settings { seal_every: Duration::ZERO, ..Settings::default() };
            let (recorder, writer) = Recorder::open(Arc::clone(&log) as Arc<dyn Log>, key.clone(), settings).ok()?;
            let stream = recorder.begin(started(), Timestamp::UNIX_EPOCH).ok()?;
            ids.push(stream.id());
            stream.append(Timestamp::UNIX_EPOCH, command(1)).ok()?;
            stream.append(Timestamp::UNIX_EPOCH, command(2)).ok()?;
            stream.end(Timestamp::UNIX_EPOCH, "client left").ok()?;
            drop(recorder);
            writer.close().ok()?;
        }
        let reader = Reader::new(Arc::clone(&log) as Arc<dyn Log>, key.public().log());
        let (mut some, mut whole) = (Vec::new(), Vec::new());
        export::sessions(&reader, &ids, &[1], &mut some).ok()?;
        export::all(&reader, &[1], &mut whole).ok()?;
        let entries = log.entries();
        let of_events = entries.iter().filter(|entry| entry.key.starts_with(&reader.keys().all(layout::EVENT)));
        let events = of_events.filter_map(|entry| Some(layout::head_and_event(&entry.value)?.1.to_vec())).collect();
        Some(Self { key, sessions: lines(&some), log: lines(&whole), events, entries })
    }
}

fn lines(file: &[u8]) -> Vec<Vec<u8>> {
    file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).filter(|line| !line.is_empty()).collect()
}

fn started() -> EventBody {
    let (principal, connection, client) = (None, None, None);
    EventBody::SessionStarted { kind: StreamKind::Session, principal, connection, client, gateway: "0.1.0".into() }
}

fn command(command: u64) -> [EventBody; 3] {
    let text = "DELETE FROM orders";
    [
        EventBody::CommandReceived {
            command,
            source: Source::Sql,
            text: Text::plain(text),
            digest: Digest::of(text.as_bytes()),
            operations: Vec::new(),
            parameters: Vec::new(),
            fault: None,
            prepared_by: None,
        },
        EventBody::CommandDecided {
            command,
            verdict: Effect::Allow,
            reason: None,
            told: None,
            matches: Vec::new(),
            policy: "0011".into(),
            grants: Vec::new(),
            limit: None,
        },
        EventBody::CommandSettled {
            command,
            outcome: Outcome::Completed { status: "DELETE 3".into(), rows: 3, bytes: 99 },
            data: None,
        },
    ]
}

/// The next byte of an input; zero behind its end.
fn byte(data: &mut &[u8]) -> u8 {
    let Some((first, rest)) = data.split_first() else { return 0 };
    *data = rest;
    *first
}

/// Two bytes as a place below `length`.
fn place(data: &mut &[u8], length: usize) -> usize {
    let place = usize::from(u16::from_be_bytes([byte(data), byte(data)]));
    place.checked_rem(length).unwrap_or(0)
}

/// A length, and so many bytes.
fn payload<'d>(data: &mut &'d [u8]) -> &'d [u8] {
    let length = usize::from(byte(data)).min(data.len());
    let (taken, rest) = data.split_at_checked(length).unwrap_or_default();
    *data = rest;
    taken
}

/// Overwrites, inserts or cuts out bytes of `bytes`.
fn splice(bytes: &mut Vec<u8>, data: &mut &[u8]) {
    let from = place(data, bytes.len() + 1);
    let to = (from + usize::from(byte(data) % 33)).min(bytes.len());
    let put = payload(data).to_vec();
    bytes.splice(from..to, put);
}

/// Verifies an export that an input made, and checks what a yes says.
pub fn fuzz_export(data: &[u8]) {
    let Some(sample) = &*SAMPLE else { return };
    let mut rest = data;
    let file = match byte(&mut rest) % 4 {
        0 => rest.to_vec(),
        1 | 2 => edited(&sample.sessions, rest),
        _ => edited(&sample.log, rest),
    };
    let Ok(report) = verify::export(&*file, sample.key.public(), &[]) else { return };
    let (mut events, mut sessions, mut scope, mut streams) = (0, 0, None, BTreeSet::new());
    for line in lines(&file) {
        match serde_json::from_slice(&line) {
            Ok(Line::Event { event, .. }) => {
                events += 1;
                assert!(sample.events.contains(event.get().as_bytes()), "an event that was never recorded verified");
            }
            Ok(Line::Session { stream, .. }) => {
                sessions += 1;
                assert!(streams.insert(stream), "a session that came twice verified");
            }
            Ok(Line::Header { scope: whole, .. }) => scope = Some(whole),
            Ok(Line::Consistency { .. } | Line::Leaf(_) | Line::End { .. }) => {}
            Err(_) => assert!(line.is_empty(), "a line that cannot be read verified"),
        }
    }
    assert_eq!((report.events, report.sessions, report.unsealed), (events, sessions, 0), "it counts something else");
    if scope == Some(Scope::Log) {
        assert_eq!(report.events, sample.events.len() as u64, "a part of the log verified as the whole");
    }
}

fn edited(genuine: &[Vec<u8>], mut data: &[u8]) -> Vec<u8> {
    let mut file = genuine.to_vec();
    for _ in 0..EDITS {
        if data.is_empty() || file.is_empty() {
            break;
        }
        let how = byte(&mut data);
        let at = place(&mut data, file.len());
        let other = place(&mut data, file.len());
        match how % 8 {
            0 => drop(file.remove(at)),
            1 => {
                let again = file.get(at).cloned().unwrap_or_default();
                file.insert(other, again);
            }
            2 => file.swap(at, other),
            3 => file.truncate(at),
            4 => file.insert(at, payload(&mut data).to_vec()),
            5 => rechain(&mut file),
            _ => {
                if let Some(line) = file.get_mut(at) {
                    splice(line, &mut data);
                }
            }
        }
    }
    file.iter().flat_map(|line| line.iter().chain(b"\n")).copied().collect()
}

/// Computes every head anew, as whoever changed an event would.
fn rechain(file: &mut [Vec<u8>]) {
    let Some(sample) = &*SAMPLE else { return };
    let mut head = None;
    for line in file {
        let renewed = match serde_json::from_slice::<Line<'_>>(line) {
            Ok(Line::Session { stream, .. }) => {
                head = Some(chain::genesis(&sample.key.public().log(), stream));
                None
            }
            Ok(Line::Event { event, .. }) => head.map(|before| {
                let next = chain::next(&before, event.get().as_bytes());
                head = Some(next);
                again(next, event)
            }),
            Ok(Line::Header { .. } | Line::Consistency { .. } | Line::Leaf(_) | Line::End { .. }) | Err(_) => None,
        };
        if let Some(renewed) = renewed {
            *line = renewed;
        }
    }
}

fn again(head: Digest, event: &RawValue) -> Vec<u8> {
    serde_json::to_vec(&Line::Event { head, event }).unwrap_or_default()
}

/// Verifies a store that an input tampered with, reads it in every way, and checks what a yes says.
pub fn fuzz_store(data: &[u8]) {
    let Some(sample) = &*SAMPLE else { return };
    let entries = tampered(&sample.entries, data);
    let log = Arc::new(MemoryLog::holding(entries)) as Arc<dyn Log>;
    let reader = Reader::new(Arc::clone(&log), sample.key.public().log());
    let (listed, _) = reader.sessions(None, 10).unwrap_or_default();
    let ids: Vec<SessionId> = listed.iter().map(|info| info.id).collect();
    for id in &ids {
        reader.events(*id, 0).for_each(drop);
        reader.timeline(*id).ok();
    }
    export::sessions(&reader, &ids, &[1], io::sink()).ok();
    let mut exported = Vec::new();
    let whole = export::all(&reader, &[1], &mut exported);
    let Ok(report) = verify::store(&log, sample.key.public(), &[]) else { return };
    assert!(whole.is_ok() || report.checkpoint.is_none(), "a record that verifies cannot be exported: {whole:?}");
    if report.unsealed > 0 {
        return;
    }
    for event in ids.iter().flat_map(|id| reader.events(*id, 0)) {
        let bytes = event.ok().and_then(|event| crate::canonical(&event).ok()).unwrap_or_default();
        assert!(sample.events.contains(&bytes), "an event that was never recorded verified");
    }
    if whole.is_ok() {
        let exported = verify::export(&*exported, sample.key.public(), &[]);
        assert!(exported.is_ok(), "the export of a record that verifies does not: {exported:?}");
    }
}

fn tampered(genuine: &[Entry], mut data: &[u8]) -> Vec<Entry> {
    let mut entries = genuine.to_vec();
    for _ in 0..EDITS {
        if data.is_empty() || entries.is_empty() {
            break;
        }
        let how = byte(&mut data);
        let (at, other) = (place(&mut data, entries.len()), place(&mut data, entries.len()));
        let there = entries.get(other).cloned();
        match (how % 6, entries.get_mut(at), there) {
            (0, ..) => drop(entries.remove(at)),
            (1, Some(entry), _) => entry.value = spliced(&entry.value, &mut data),
            (2, Some(entry), _) => entry.key = spliced(&entry.key, &mut data),
            (3, Some(entry), Some(there)) => entry.value = there.value,
            (4, Some(entry), Some(there)) => entry.key = there.key,
            (_, Some(entry), _) => {
                let again = Entry { key: spliced(&entry.key, &mut data), value: entry.value.clone() };
                entries.push(again);
            }
            (_, None, _) => {}
        }
    }
    entries
}

fn spliced(bytes: &Bytes, data: &mut &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    splice(&mut bytes, data);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_genuine_record_verifies_in_every_form() {
        let sample = SAMPLE.as_ref().unwrap();
        for file in [&sample.sessions, &sample.log] {
            let file = edited(file, b"");
            assert_eq!(verify::export(&*file, sample.key.public(), &[]).unwrap().events, sample.events.len() as u64);
        }
        // Computed anew, an unchanged chain is the same.
        assert_eq!(edited(&sample.log, &[5, 0, 0, 0, 0]), edited(&sample.log, b""));
    }

    proptest! {
        #[test]
        fn edits_are_found(data in prop::collection::vec(any::<u8>(), 0..120)) {
            fuzz_export(&data);
            fuzz_store(&data);
        }
    }
}
