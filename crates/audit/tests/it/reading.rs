//! Listing and showing sessions.

use crate::samples::{command, decided, durable, key, now, open, received, result, settled, started};
use portcullis_audit::{AuditError, Exchange, Reader, Step};
use portcullis_model::{ApprovalId, Effect, EventBody, SessionId};
use portcullis_store::{Log, MemoryLog};
use std::sync::Arc;

#[tokio::test]
async fn sessions_are_listed_newest_first_across_runs_and_pages() {
    let log = Arc::new(MemoryLog::new());
    let mut expected = Vec::new();
    for run in 0..3 {
        let (recorder, writer) = open(&log);
        for at in 0..4 {
            let stream = recorder.begin(started(&format!("user-{run}-{at}")), now()).unwrap();
            command(&stream, 1);
            stream.append(now(), [received(2, "x"), decided(2, Effect::Deny)]).unwrap();
            expected.push(stream.id());
            stream.end(now(), "client left").unwrap();
        }
        writer.close().unwrap();
    }
    expected.reverse();
    let (recorder, writer) = open(&log);
    let live = recorder.begin(started("live"), now()).unwrap();
    expected.insert(0, live.id());
    assert!(durable(&recorder, live.newest()).await);
    let reader = recorder.reader();
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let (page, more) = reader.sessions(cursor.as_ref(), 5).unwrap();
        listed.extend(page);
        cursor = more;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed.iter().map(|info| info.id).collect::<Vec<_>>(), expected);
    assert_eq!((listed[0].ended, listed[0].commands, listed[0].events), (None, 0, 1));
    let older = &listed[12];
    assert_eq!((older.commands, older.denied, older.reason.as_deref()), (2, 1, Some("client left")));
    assert_eq!(&*older.principal.as_ref().unwrap().user, "user-0-0");
    assert_eq!(reader.session(older.id).unwrap(), *older);
    drop(live);
    writer.close().unwrap();
}

#[test]
fn a_session_that_is_not_there_is_said_not_to_be() {
    let (recorder, _writer) = open(&Arc::new(MemoryLog::new()));
    assert!(matches!(recorder.reader().session(SessionId::new()), Err(AuditError::NoSession(_))));
    assert!(matches!(recorder.reader().timeline(SessionId::new()), Err(AuditError::NoSession(_))));
}

#[test]
fn the_logs_in_a_store_are_found() {
    let log = Arc::new(MemoryLog::new()) as Arc<dyn Log>;
    assert_eq!(Reader::logs(&log).unwrap(), []);
    let mut expected = Vec::new();
    for seed in 1..4 {
        let key = portcullis_audit::SigningKey::from_seed(&[seed; 32]);
        expected.push(key.log());
        let (recorder, _writer) =
            portcullis_audit::Recorder::open(Arc::clone(&log), key, crate::samples::settings()).unwrap();
        recorder.begin(started("a"), now()).unwrap();
    }
    expected.sort_unstable();
    assert_eq!(Reader::logs(&log).unwrap(), expected);
    assert!(!expected.contains(&key().log()));
}

#[test]
fn a_timeline_puts_each_command_together() {
    let (recorder, writer) = open(&Arc::new(MemoryLog::new()));
    let stream = recorder.begin(started("a"), now()).unwrap();
    let approval = ApprovalId::new();
    // Two commands whose events interleave, one of them held and approved; a notice that belongs to none.
    let requested = EventBody::ApprovalRequested {
        command: 1,
        approval,
        rule: "shop/schema".into(),
        expires: now(),
        reason: None,
        preview: None,
    };
    let approved =
        EventBody::ApprovalSettled { command: 1, approval, verdict: "approved".into(), voters: vec!["dba".into()] };
    let output = |command, text: &str| EventBody::Output {
        command,
        stream: "notice".into(),
        text: text.into(),
        truncated: false,
    };
    stream.append(now(), [received(1, "one"), decided(1, Effect::Hold), requested]).unwrap();
    stream.append(now(), [received(2, "two"), decided(2, Effect::Allow), output(None, "hello")]).unwrap();
    stream.append(now(), [result(2, &["a", "b"], 2), approved, result(2, &[], 3), output(Some(2), "slow")]).unwrap();
    stream.append(now(), [result(2, &["c"], 1), settled(2), settled(1)]).unwrap();
    let id = stream.id();
    drop(stream);
    writer.close().unwrap();
    let timeline = recorder.reader().timeline(id).unwrap();
    let exchanges: Vec<&Exchange> = timeline
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Exchange(exchange) => Some(exchange.as_ref()),
            Step::Remark(_) => None,
        })
        .collect();
    assert_eq!(timeline.steps.len(), 5, "start, two commands, the notice, end");
    let [one, two] = exchanges.as_slice() else { panic!("two commands") };
    assert_eq!((one.text.as_str(), two.text.as_str()), ("one", "two"));
    assert_eq!(one.votes[0].verdict.as_deref(), Some("approved"));
    assert_eq!(one.ruling.as_ref().unwrap().verdict, Effect::Hold);
    assert!(one.outcome.is_some() && two.outcome.is_some());
    let json = serde_json::to_value(&two.answer).unwrap();
    assert_eq!(json[0]["rows"]["rows"].as_array().unwrap().len(), 5, "two parts of one result are one");
    assert_eq!(json[1]["output"]["text"], "slow");
    assert_eq!(json[2]["rows"]["columns"][0]["name"], "c");
    assert_eq!(timeline.session.commands, 2);
}
