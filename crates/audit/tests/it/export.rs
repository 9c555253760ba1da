//! Exports verify with the public key alone, and nothing in them can be changed.

use crate::samples::{command, durable, key, now, sample, settings, started};
use portcullis_audit::export::{self, Exported};
use portcullis_audit::verify::{self, Finding, Subject, VerifyError, Why};
use portcullis_audit::{AuditError, Checkpoint, Reader, Recorder, SigningKey};
use portcullis_model::SessionId;
use portcullis_store::{Log, MemoryLog};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static STORE: LazyLock<Arc<dyn Log>> = LazyLock::new(|| Arc::new(MemoryLog::holding(sample())));

fn reader() -> Reader {
    Reader::new(Arc::clone(&STORE), key().log())
}

fn ids() -> Vec<SessionId> {
    reader().sessions(None, 10).unwrap().0.iter().map(|info| info.id).collect()
}

fn sessions(ids: &[SessionId], since: &[u64]) -> String {
    let mut out = Vec::new();
    export::sessions(&reader(), ids, since, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn all() -> String {
    let mut out = Vec::new();
    export::all(&reader(), &[], &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn verified(text: &str, against: &[Checkpoint]) -> Result<portcullis_audit::Report, VerifyError> {
    verify::export(text.as_bytes(), key().public(), against)
}

fn newest() -> Checkpoint {
    verify::store(&STORE, key().public(), &[]).unwrap().checkpoint.unwrap()
}

/// The checkpoint of the first leaves of the sample's log, made as a witness would have kept it.
fn earlier(size: u64) -> Checkpoint {
    let found = STORE.scan(key().log().as_bytes(), b"", 10_000).unwrap();
    let notes = found.iter().filter(|entry| entry.key[16] == b'k');
    let mut checkpoints =
        notes.map(|entry| Checkpoint::open(std::str::from_utf8(&entry.value).unwrap(), key().public()));
    checkpoints.find_map(|checkpoint| checkpoint.ok().filter(|found| found.size >= size)).unwrap()
}

#[test]
fn one_session_and_the_whole_log_verify() {
    let one = verified(&sessions(&ids()[..1], &[]), &[]).unwrap();
    assert_eq!((one.sessions, one.unsealed), (1, 0));
    assert_eq!(one.checkpoint, Some(newest()));
    let whole = verified(&all(), &[newest()]).unwrap();
    assert_eq!(whole.sessions, 4);
    assert_eq!(whole.events, verify::store(&STORE, key().public(), &[]).unwrap().events);
    assert!(matches!(
        verify::export(all().as_bytes(), SigningKey::from_seed(&[1; 32]).public(), &[]),
        Err(VerifyError::NoRecord(_))
    ));
}

#[test]
fn exported_events_are_the_recorded_bytes() {
    let text = sessions(&ids()[..1], &[]);
    let expected: Vec<_> = reader().events(ids()[0], 0).map(Result::unwrap).collect();
    let exported = text.lines().filter(|line| line.starts_with("{\"event\"")).map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        serde_json::from_value(line["event"]["event"].clone()).unwrap()
    });
    assert_eq!(exported.collect::<Vec<portcullis_model::Event>>(), expected);
}

#[test]
fn an_export_is_compared_with_checkpoints_kept_elsewhere() {
    let (newest, earlier) = (newest(), earlier(2));
    assert!(earlier.size < newest.size);
    let (without, with) = (sessions(&ids()[..1], &[]), sessions(&ids()[..1], &[earlier.size]));
    assert!(verified(&without, &[newest]).is_ok());
    assert!(matches!(verified(&without, &[earlier]), Err(VerifyError::NotComparable { .. })));
    assert!(verified(&with, &[earlier, newest]).is_ok());
    assert!(verified(&all(), &[earlier]).is_ok(), "the whole log contains every earlier checkpoint");
    for forked in [Checkpoint { root: newest.root, ..earlier }, Checkpoint { root: earlier.root, ..newest }] {
        assert!(matches!(verified(&with, &[forked]), Err(VerifyError::Broken(_))));
        assert!(matches!(verified(&all(), &[forked]), Err(VerifyError::Broken(_))));
    }
    let beyond = Checkpoint { size: newest.size + 1, ..newest };
    assert!(matches!(verified(&all(), &[beyond]), Err(VerifyError::NotComparable { .. })));
    let first = without.lines().next().unwrap();
    assert_eq!(export::checkpoint(first, key().public()), Ok(newest));
}

#[test]
fn a_session_left_out_of_the_whole_log_is_found() {
    let text = all();
    let lines: Vec<_> = text.lines().collect();
    let starts: Vec<_> = (0..lines.len()).filter(|at| lines[*at].starts_with("{\"session\"")).collect();
    let session: serde_json::Value = serde_json::from_str(lines[starts[1]]).unwrap();
    let events = session["session"]["events"].as_u64().unwrap();
    let total = verified(&text, &[]).unwrap().events;
    let end = format!("{{\"end\":{{\"sessions\":3,\"events\":{}}}}}", total - events);
    let kept = [&lines[..starts[1]], &lines[starts[2]..lines.len() - 1], &[end.as_str()]].concat().join("\n");
    let Err(VerifyError::Broken(Finding { subject: Subject::Session(missing), why: Why::Missing, .. })) =
        verified(&kept, &[])
    else {
        panic!("not found")
    };
    assert_eq!(missing.to_string(), session["session"]["stream"].as_str().unwrap());
}

/// A session that stands twice in an export would be counted twice.
#[test]
fn a_session_that_comes_twice_is_found() {
    let text = sessions(&ids()[..1], &[]);
    let lines: Vec<_> = text.lines().collect();
    let total = verified(&text, &[]).unwrap().events;
    let end = format!("{{\"end\":{{\"sessions\":2,\"events\":{}}}}}", 2 * total);
    let session = &lines[1..lines.len() - 1];
    let twice = [&lines[..1], session, session, &[end.as_str()]].concat().join("\n");
    let Err(VerifyError::Broken(finding)) = verified(&twice, &[]) else { panic!("not found") };
    assert_eq!((finding.subject, finding.why), (Subject::Session(ids()[0]), Why::Unexpected));
}

/// What reads the same and was not written so was altered, the header too.
#[test]
fn a_line_spelled_otherwise_is_found() {
    let text = sessions(&ids()[..1], &[]);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    for at in 0..lines.len() {
        let mut spaced = lines.clone();
        spaced[at].insert(1, ' ');
        assert!(matches!(verified(&spaced.join("\n"), &[]), Err(VerifyError::Broken(_))), "line {at}");
    }
    let (mut header, mut rest) = (lines[0].clone(), lines[1..].to_vec());
    header = header.replacen("portcullis-record", "portcullis\\u002drecord", 1);
    rest.insert(0, header);
    assert!(matches!(verified(&rest.join("\n"), &[]), Err(VerifyError::Broken(_))));
}

#[test]
fn each_event_line_changed_removed_or_swapped_is_named() {
    for text in [sessions(&ids()[..1], &[]), all()] {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let events: Vec<_> = (0..lines.len()).filter(|at| lines[*at].starts_with("{\"event\"")).collect();
        for at in events {
            let event: serde_json::Value = serde_json::from_str(&lines[at]).unwrap();
            let event = &event["event"]["event"];
            let session: SessionId = event["stream"].as_str().unwrap().parse().unwrap();
            let subject = Subject::Event { session, number: event["number"].as_u64().unwrap() };
            let mut changed = lines.clone();
            changed[at] = changed[at].replacen("\"at\":\"2", "\"at\":\"1", 1);
            let mut removed = lines.clone();
            removed.remove(at);
            let mut edits = vec![changed, removed];
            if lines[at + 1].starts_with("{\"event\"") {
                let mut swapped = lines.clone();
                swapped.swap(at, at + 1);
                edits.push(swapped);
            }
            for edited in edits {
                let Err(VerifyError::Broken(finding)) = verified(&edited.join("\n"), &[]) else { panic!("not found") };
                assert_eq!(finding.subject, subject, "{finding}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_sealed_is_not_exported() {
    for _attempt in 0..20 {
        if nothing_unsealed_is_exported().await {
            return;
        }
    }
    panic!("each time a seal came between");
}

/// False where a seal came while it was looked at, so that there was nothing to see.
async fn nothing_unsealed_is_exported() -> bool {
    let log = Arc::new(MemoryLog::new()) as Arc<dyn Log>;
    let slow = portcullis_audit::Settings { seal_every: Duration::from_secs(1), ..settings() };
    let (recorder, writer) = Recorder::open(Arc::clone(&log), key(), slow).unwrap();
    let stream = recorder.begin(started("a"), now()).unwrap();
    let mut checkpoints = recorder.checkpoints();
    let sealed = checkpoints.wait_for(Option::is_some).await.unwrap().clone();
    let number = command(&stream, 1);
    assert!(durable(&recorder, number).await);
    let fresh = recorder.begin(started("b"), now()).unwrap();
    assert!(durable(&recorder, fresh.newest()).await);
    let reader = recorder.reader();
    let mut out = Vec::new();
    let exported = export::sessions(&reader, &[stream.id()], &[], &mut out).unwrap();
    let unsealed = export::sessions(&reader, &[fresh.id()], &[], Vec::new());
    let absent = export::sessions(&reader, &[SessionId::new()], &[], Vec::new());
    let verified = verify::store(&log, key().public(), &[]).unwrap();
    let still = reader.checkpoint().unwrap().as_deref() == sealed.as_deref();
    drop((stream, fresh));
    writer.close().unwrap();
    if still {
        assert_eq!(exported, Exported { sessions: 1, events: 1 });
        assert!(verify::export(out.as_slice(), key().public(), &[]).is_ok());
        assert!(matches!(unsealed, Err(AuditError::NotSealed(_))));
        assert!(matches!(absent, Err(AuditError::NoSession(_))));
        assert_eq!(verified.unsealed, 5);
    }
    still
}

static TEXTS: LazyLock<[String; 2]> = LazyLock::new(|| [sessions(&ids()[..2], &[2]), all()]);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_flip_in_an_export_is_found(which in 0_usize..2, at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = TEXTS[which].clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        // The one proof of consistency is not used here.
        let before = TEXTS[which].floor_char_boundary(at);
        let line = TEXTS[which][..before].rfind('\n').map_or(0, |end| end + 1);
        prop_assume!(!TEXTS[which][line..].starts_with("{\"consistency\""));
        prop_assert!(verify::export(bytes.as_slice(), key().public(), &[]).is_err());
    }

    #[test]
    fn any_cut_of_an_export_is_found(which in 0_usize..2, at in any::<prop::sample::Index>()) {
        let cut = at.index(TEXTS[which].trim_end().len());
        prop_assert!(verify::export(&TEXTS[which].as_bytes()[..cut], key().public(), &[]).is_err());
    }

    #[test]
    fn hostile_files_get_an_answer(bytes in any::<Vec<u8>>()) {
        prop_assert!(verify::export(bytes.as_slice(), key().public(), &[]).is_err());
    }
}
