//! Whatever is done to what is stored, verification finds it.

use crate::samples::{command, durable, key, now, open, sample, settings, started};
use bytes::Bytes;
use portcullis_audit::verify::{self, Finding, Subject, VerifyError, Why};
use portcullis_audit::{AuditError, Checkpoint, Recorder, Report, SigningKey};
use portcullis_model::SessionId;
use portcullis_store::{Entry, Log, MemoryLog};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

static SAMPLE: LazyLock<Vec<Entry>> = LazyLock::new(sample);

fn verified(entries: impl IntoIterator<Item = Entry>) -> Result<Report, VerifyError> {
    let log = Arc::new(MemoryLog::holding(entries)) as Arc<dyn Log>;
    verify::store(&log, key().public(), &[])
}

fn broken(entries: impl IntoIterator<Item = Entry>) -> Finding {
    match verified(entries) {
        Err(VerifyError::Broken(finding)) => finding,
        other => panic!("not found: {other:?}"),
    }
}

/// The places of the entries of one kind.
fn places(letter: u8) -> Vec<usize> {
    (0..SAMPLE.len()).filter(|at| SAMPLE[*at].key[16] == letter).collect()
}

fn event_of(entry: &Entry) -> (SessionId, u64) {
    let stream = Uuid::from_slice(&entry.key[17..33]).unwrap();
    (SessionId::from_uuid(stream), u64::from_be_bytes(entry.key[33..].try_into().unwrap()))
}

fn changed(bytes: &Bytes, at: usize, flip: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= flip;
    bytes.into()
}

#[test]
fn the_untouched_record_verifies() {
    let report = verified(SAMPLE.clone()).unwrap();
    assert_eq!((report.sessions, report.unsealed), (4, 0));
    assert_eq!(report.events, places(b'e').len() as u64);
    let note = report.note.unwrap();
    assert_eq!(Checkpoint::open(&note, key().public()).ok(), report.checkpoint);
}

#[test]
fn another_key_finds_no_record() {
    let log = Arc::new(MemoryLog::holding(SAMPLE.clone())) as Arc<dyn Log>;
    let other = SigningKey::from_seed(&[1; 32]);
    assert!(matches!(verify::store(&log, other.public(), &[]), Err(VerifyError::NoRecord(_))));
}

#[test]
fn each_flipped_event_is_named() {
    for at in places(b'e') {
        let mut entries = SAMPLE.clone();
        let (session, number) = event_of(&entries[at]);
        let last = entries[at].value.len() - 2;
        for byte in [0, 31, 32, 40, last] {
            entries[at].value = changed(&SAMPLE[at].value, byte, 1);
            let finding = broken(entries.clone());
            assert_eq!(finding.subject, Subject::Event { session, number }, "byte {byte}: {finding}");
            assert!(matches!(finding.why, Why::Altered | Why::Reordered), "{finding}");
        }
    }
}

#[test]
fn each_removed_event_is_named() {
    for at in places(b'e') {
        let mut entries = SAMPLE.clone();
        let (session, number) = event_of(&entries.remove(at));
        let finding = broken(entries.clone());
        let last = entries.get(at).is_none_or(|next| next.key[..33] != SAMPLE[at].key[..33]);
        let why = if last { Why::Truncated } else { Why::Missing };
        assert_eq!((finding.subject, finding.why), (Subject::Event { session, number }, why));
    }
}

#[test]
fn swapped_events_are_named() {
    for pair in places(b'e').windows(2) {
        let mut entries = SAMPLE.clone();
        let (session, number) = event_of(&entries[pair[0]]);
        let value = std::mem::replace(&mut entries[pair[0]].value, SAMPLE[pair[1]].value.clone());
        entries[pair[1]].value = value;
        let finding = broken(entries);
        assert_eq!((finding.subject, finding.why), (Subject::Event { session, number }, Why::Reordered));
    }
}

/// Someone who rewrites an event and all heads behind it still meets a seal.
#[test]
fn an_event_rewritten_with_all_its_heads_is_found_by_the_seal() {
    use sha2::Digest as _;
    let first = places(b'e').into_iter().find(|at| event_of(&SAMPLE[*at]).1 == 3).unwrap();
    let (session, _) = event_of(&SAMPLE[first]);
    let mut entries = SAMPLE.clone();
    let mut head = SAMPLE[first - 1].value[..32].to_vec();
    let mut at = first;
    while entries[at].key[16] == b'e' && event_of(&entries[at]).0 == session {
        let json = std::str::from_utf8(&entries[at].value[32..]).unwrap().replace("DELETE", "SELECT");
        head = sha2::Sha256::digest([&head, json.as_bytes()].concat()).to_vec();
        entries[at].value = [&head, json.as_bytes()].concat().into();
        at += 1;
        if at == entries.len() {
            break;
        }
    }
    let finding = broken(entries);
    assert_eq!(finding.why, Why::Altered);
    assert!(matches!(finding.subject, Subject::Event { session: found, .. } if found == session), "{finding}");
}

#[test]
fn a_session_removed_with_every_trace_of_its_own_is_found() {
    let (session, _) = event_of(&SAMPLE[places(b'e')[0]]);
    let id = session.as_uuid().as_bytes();
    let entries = SAMPLE.iter().filter(|entry| !entry.key.windows(16).any(|part| part == id)).cloned();
    let finding = broken(entries);
    assert!(matches!(finding.subject, Subject::Leaf(_)), "{finding}");
}

#[test]
fn a_log_cut_off_at_an_earlier_checkpoint_needs_a_later_one_to_be_found() {
    let log = Arc::new(MemoryLog::new());
    let (recorder, writer) = open(&log);
    recorder.begin(started("a"), now()).unwrap().end(now(), "x").unwrap();
    writer.close().unwrap();
    let before = log.entries();
    let (recorder, writer) = open(&log);
    recorder.begin(started("b"), now()).unwrap().end(now(), "x").unwrap();
    writer.close().unwrap();
    let later = verified(log.entries()).unwrap().checkpoint.unwrap();
    let earlier = verified(before.clone()).unwrap().checkpoint.unwrap();

    let whole = Arc::clone(&log) as Arc<dyn Log>;
    assert!(verify::store(&whole, key().public(), &[earlier, later]).is_ok());
    let cut = Arc::new(MemoryLog::holding(before)) as Arc<dyn Log>;
    assert!(verify::store(&cut, key().public(), &[]).is_ok());
    let found = verify::store(&cut, key().public(), &[later]);
    assert!(matches!(found, Err(VerifyError::Broken(Finding { why: Why::Truncated, .. }))));
    let forked = Checkpoint { root: later.root, size: earlier.size };
    let found = verify::store(&whole, key().public(), &[forked]);
    assert!(matches!(found, Err(VerifyError::Broken(Finding { subject: Subject::Checkpoint, .. }))));
}

#[test]
fn a_record_that_was_altered_stops_the_start() {
    for letter in [b'l', b'n', b'k'] {
        let mut entries = SAMPLE.clone();
        let at = *places(letter).last().unwrap();
        entries[at].value = changed(&entries[at].value, 3, 1);
        let log = Arc::new(MemoryLog::holding(entries)) as Arc<dyn Log>;
        // The last leaf or node need not be on the right edge of the tree: then it is `verify` that finds it.
        let opened = Recorder::open(Arc::clone(&log), key(), settings()).map(drop);
        assert!(matches!(opened, Err(AuditError::Damaged(_))) || verify::store(&log, key().public(), &[]).is_err());
    }
}

#[tokio::test]
async fn an_open_session_that_was_altered_stops_the_start() {
    let log = Arc::new(MemoryLog::new());
    let (recorder, writer) = open(&log);
    let stream = recorder.begin(started("a"), now()).unwrap();
    let number = command(&stream, 1);
    assert!(durable(&recorder, number).await);
    let entries = log.entries();
    drop(stream);
    drop(writer);
    let events: Vec<_> = (0..entries.len()).filter(|at| entries[*at].key[16] == b'e').collect();
    for at in events {
        let mut altered = entries.clone();
        altered[at].value = changed(&altered[at].value, 50, 1);
        let (session, number) = event_of(&altered[at]);
        let opened = Recorder::open(Arc::new(MemoryLog::holding(altered)), key(), settings()).map(drop);
        let Err(AuditError::Damaged(finding)) = opened else { panic!("{opened:?}") };
        assert_eq!(finding.subject, Subject::Event { session, number });
    }
}

/// A live record verifies at any moment, although the writer goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_verifies_while_it_is_written() {
    let log = Arc::new(MemoryLog::new());
    let (recorder, writer) = open(&log);
    let first = recorder.begin(started("first"), now()).unwrap();
    assert!(durable(&recorder, first.newest()).await);
    let verifier = tokio::task::spawn_blocking({
        let log = Arc::clone(&log) as Arc<dyn Log>;
        let recorder = recorder.clone();
        move || {
            let mut rounds = 0;
            while recorder.begin(started("between"), now()).is_ok() {
                verify::store(&log, key().public(), &[]).unwrap();
                rounds += 1;
            }
            rounds
        }
    });
    for at in 0..60 {
        let stream = recorder.begin(started(&at.to_string()), now()).unwrap();
        let number = (1..4).map(|number| command(&stream, number)).max().unwrap();
        assert!(durable(&recorder, number).await);
    }
    writer.close().unwrap();
    assert!(verifier.await.unwrap() > 0);
    assert!(verify::store(&(log as Arc<dyn Log>), key().public(), &[]).is_ok());
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_flip_of_any_stored_byte_is_found(at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0..8) {
        let mut entries = SAMPLE.clone();
        let entry = &mut entries[at.index(SAMPLE.len())];
        let place = byte.index(entry.key.len() + entry.value.len());
        if place < entry.key.len() {
            entry.key = changed(&entry.key, place, 1_u8 << bit);
        } else {
            entry.value = changed(&entry.value, place - entry.key.len(), 1_u8 << bit);
        }
        prop_assert!(matches!(verified(entries), Err(VerifyError::Broken(_))));
    }

    #[test]
    fn any_removed_entry_is_found(at in any::<prop::sample::Index>()) {
        let mut entries = SAMPLE.clone();
        entries.remove(at.index(SAMPLE.len()));
        prop_assert!(matches!(verified(entries), Err(VerifyError::Broken(_))));
    }

    #[test]
    fn any_cut_value_is_found(at in any::<prop::sample::Index>(), keep in any::<prop::sample::Index>()) {
        let mut entries = SAMPLE.clone();
        let entry = &mut entries[at.index(SAMPLE.len())];
        prop_assume!(!entry.value.is_empty());
        entry.value.truncate(keep.index(entry.value.len()));
        prop_assert!(matches!(verified(entries), Err(VerifyError::Broken(_))));
    }

    #[test]
    fn any_two_swapped_values_are_found(one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
        let mut entries = SAMPLE.clone();
        let (one, other) = (one.index(SAMPLE.len()), other.index(SAMPLE.len()));
        prop_assume!(entries[one].value != entries[other].value);
        let value = std::mem::replace(&mut entries[one].value, SAMPLE[other].value.clone());
        entries[other].value = value;
        prop_assert!(matches!(verified(entries), Err(VerifyError::Broken(_))));
    }

    #[test]
    fn any_added_entry_is_found(at in any::<prop::sample::Index>(), place in 16_usize..42, byte in any::<u8>(), value in any::<Vec<u8>>()) {
        let mut entries = SAMPLE.clone();
        let like = &SAMPLE[at.index(SAMPLE.len())];
        let mut key = like.key.to_vec();
        let place = place % key.len();
        key[place.max(16)] = byte;
        prop_assume!(SAMPLE.iter().all(|entry| entry.key != key));
        entries.push(Entry { key: key.into(), value: if byte & 1 == 0 { value.into() } else { like.value.clone() } });
        prop_assert!(matches!(verified(entries), Err(VerifyError::Broken(_))));
    }
}
