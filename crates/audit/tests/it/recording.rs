//! Appending, the watermark, group commit, room, failure.

use crate::samples::{command, decided, durable, now, open, open_faulty, received, settings, started};
use portcullis_audit::{Durability, RecordUnavailable, Recorder, Settings, Watermark};
use portcullis_model::{Effect, Event, EventBody, Outcome, SessionId};
use portcullis_store::{Log, MemoryLog, StoreError};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn events(recorder: &Recorder, id: SessionId) -> Vec<Event> {
    recorder.reader().events(id, 0).collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn events_are_recorded_in_the_order_of_the_calls() {
    let (recorder, writer) = open(&Arc::new(MemoryLog::new()));
    let stream = recorder.begin(started("a"), now()).unwrap();
    let numbers: Vec<_> = (1..=50).map(|number| command(&stream, number)).collect();
    assert!(numbers.is_sorted_by(|left, right| left < right));
    let last = stream.end(now(), "client left").unwrap();
    assert_eq!(stream.newest(), last);
    assert!(durable(&recorder, last).await);
    let recorded = events(&recorder, stream.id());
    assert_eq!(recorded.len(), 1 + 50 * 4 + 1);
    assert!(recorded.iter().enumerate().all(|(at, event)| event.number == at as u64 && event.stream == stream.id()));
    assert_eq!(recorded.last().unwrap().body, EventBody::SessionEnded { reason: "client left".into(), commands: 50 });
    assert_eq!(stream.pending_bytes(), 0);
    writer.close().unwrap();
}

#[tokio::test]
async fn many_streams_share_a_commit() {
    let (writer, recorder, log) = open_faulty(Settings::default());
    let streams: Vec<_> = (0..100).map(|at| recorder.begin(started(&at.to_string()), now()).unwrap()).collect();
    assert!(durable(&recorder, streams.last().unwrap().newest()).await);
    log.block();
    // The first append keeps the writer busy while the others gather.
    command(&streams[0], 1);
    log.wait_until_blocked();
    let before = log.appends();
    let last = streams.iter().map(|stream| command(stream, 2)).max().unwrap();
    assert_eq!(*recorder.durable().borrow(), Watermark::Durable { upto: 100 }, "nothing blocked is called durable");
    log.release();
    assert!(durable(&recorder, last).await);
    // The busy one with a part of the first stream's, at most one more of it, and one with everything else.
    assert!(log.appends() - before <= 3, "{} commits", log.appends() - before);
    drop(streams);
    writer.close().unwrap();
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_ended_as_interrupted() {
    let (recorder, writer) = open(&Arc::new(MemoryLog::new()));
    let stream = recorder.begin(started("a"), now()).unwrap();
    let id = stream.id();
    command(&stream, 1);
    stream.append(now(), [received(2, "SELECT 1"), decided(2, Effect::Allow)]).unwrap();
    drop(stream);
    writer.close().unwrap();
    let recorded = events(&recorder, id);
    let [.., settled, ended] = recorded.as_slice() else { panic!("too few") };
    let interrupted = EventBody::CommandSettled { command: 2, outcome: Outcome::Interrupted, data: None };
    assert_eq!(settled.body, interrupted);
    assert_eq!(ended.body, EventBody::SessionEnded { reason: "interrupted".into(), commands: 2 });
}

#[tokio::test]
async fn nothing_is_recorded_out_of_place() {
    let (recorder, writer) = open(&Arc::new(MemoryLog::new()));
    assert_eq!(recorder.begin(received(1, "x"), now()).err(), Some(RecordUnavailable));
    let stream = recorder.begin(started("a"), now()).unwrap();
    assert_eq!(stream.append(now(), [received(1, "x"), started("a")]), Err(RecordUnavailable));
    stream.end(now(), "client left").unwrap();
    assert_eq!(stream.append(now(), [received(1, "x")]), Err(RecordUnavailable));
    assert_eq!(stream.end(now(), "again"), Err(RecordUnavailable));
    let id = stream.id();
    drop(stream);
    writer.close().unwrap();
    assert_eq!(events(&recorder, id).len(), 2, "what was refused left nothing");
    assert_eq!(recorder.begin(started("a"), now()).err(), Some(RecordUnavailable), "closed");
}

#[tokio::test]
async fn an_event_without_canonical_form_is_refused_and_the_stream_goes_on() {
    let (recorder, writer) = open(&Arc::new(MemoryLog::new()));
    let stream = recorder.begin(started("a"), now()).unwrap();
    assert_eq!(stream.append(now(), [received(1, "x"), received(1 << 53, "x")]), Err(RecordUnavailable));
    let number = command(&stream, 1);
    assert!(durable(&recorder, number).await);
    assert_eq!(events(&recorder, stream.id()).len(), 5);
    drop(stream);
    writer.close().unwrap();
}

#[tokio::test]
async fn failing_latches_whatever_the_fault() {
    for error in [StoreError::Full, StoreError::Unavailable("gone".to_owned())] {
        for durability in [Durability::Strict, Durability::Batched] {
            let (writer, recorder, log) = open_faulty(Settings { durability, ..settings() });
            let stream = recorder.begin(started("a"), now()).unwrap();
            assert!(durable(&recorder, stream.newest()).await);
            log.fail_after(0, error.clone());
            let number = stream.append(now(), [received(1, "x")]).unwrap();
            assert!(!durable(&recorder, number).await);
            log.fail_after(u64::MAX, error.clone());
            let mut watermark = recorder.durable();
            watermark.wait_for(|watermark| *watermark == Watermark::Failed).await.unwrap();
            assert_eq!(stream.append(now(), [received(2, "x")]), Err(RecordUnavailable));
            assert_eq!(recorder.begin(started("b"), now()).err(), Some(RecordUnavailable));
            assert_eq!(*watermark.borrow(), Watermark::Failed);
            stream.room().await;
            assert!(writer.close().is_err());
            assert_eq!(log.get(b"nothing").unwrap(), None);
        }
    }
}

#[tokio::test]
async fn the_nth_commit_fails_and_what_was_durable_before_is_there() {
    for nth in 1..6 {
        let (writer, recorder, log) = open_faulty(settings());
        let stream = recorder.begin(started("a"), now()).unwrap();
        assert!(durable(&recorder, stream.newest()).await);
        log.fail_after(nth, StoreError::Full);
        let mut last = None;
        for number in 1..10 {
            let Ok(appended) = stream.append(now(), [received(number, "x")]) else { break };
            if !durable(&recorder, appended).await {
                break;
            }
            last = Some(number);
        }
        assert_eq!(last, Some(nth));
        assert_eq!(events(&recorder, stream.id()).len() as u64, 1 + nth);
        drop(writer);
    }
}

#[tokio::test]
async fn a_stream_waits_for_room_and_others_do_not() {
    let (writer, recorder, log) = open_faulty(Settings::default());
    let (busy, idle) = (recorder.begin(started("a"), now()).unwrap(), recorder.begin(started("b"), now()).unwrap());
    assert!(durable(&recorder, idle.newest()).await);
    log.block();
    let large = "x".repeat(100 * 1024);
    while busy.has_room() {
        busy.append(now(), [received(1, &large)]).unwrap();
    }
    assert!(busy.pending_bytes() >= 256 * 1024 && busy.pending_bytes() < 512 * 1024);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(busy.poll_room(&mut cx), Poll::Pending);
    assert_eq!(idle.poll_room(&mut cx), Poll::Ready(()));
    command(&idle, 1);
    let waits = async { tokio::join!(busy.room(), busy.room(), async { log.release() }) };
    waits.await;
    assert!(busy.has_room());
    drop((busy, idle));
    writer.close().unwrap();
}

#[tokio::test]
async fn one_that_never_waits_is_refused_before_it_fills_the_memory() {
    let (writer, recorder, log) = open_faulty(Settings::default());
    let (hostile, other) = (recorder.begin(started("a"), now()).unwrap(), recorder.begin(started("b"), now()).unwrap());
    assert!(durable(&recorder, other.newest()).await);
    log.block();
    let large = "x".repeat(1024 * 1024);
    let taken = (0..100).take_while(|_| hostile.append(now(), [received(1, &large)]).is_ok()).count();
    assert!(taken < 20, "{taken} MiB");
    command(&other, 1);
    log.release();
    hostile.room().await;
    assert!(hostile.append(now(), [received(2, "x")]).is_ok(), "what fits again is taken again");
    drop((hostile, other));
    writer.close().unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let (writer, recorder, log) = open_faulty(Settings { queue_bytes: 1024 * 1024, ..settings() });
    let streams: Vec<_> = (0..8).map(|_| recorder.begin(started("a"), now()).unwrap()).collect();
    assert!(durable(&recorder, streams[7].newest()).await);
    log.block();
    let part = "x".repeat(150 * 1024);
    let taken = streams.iter().filter(|stream| stream.append(now(), [received(1, &part)]).is_ok()).count();
    assert_eq!(taken, 6);
    assert!(streams[7].has_room() && !streams[0].has_room(), "crowded: one append a stream at a time");
    log.release();
    streams[0].room().await;
    assert!(durable(&recorder, streams[5].newest()).await);
    assert!(streams[7].append(now(), [received(1, "x")]).is_ok());
    drop(streams);
    writer.close().unwrap();
}

#[tokio::test]
async fn batched_moves_the_watermark_before_the_disk_and_flushes_after() {
    let (writer, recorder, log) =
        open_faulty(Settings { durability: Durability::Batched, seal_every: Duration::from_secs(1), ..settings() });
    let stream = recorder.begin(started("a"), now()).unwrap();
    assert!(durable(&recorder, stream.newest()).await);
    // By itself, without another append.
    while log.flushes() == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    writer.close().unwrap();
    assert!(log.flushes() >= 2, "closing flushes");
}

#[tokio::test]
async fn heads_are_sealed_when_nothing_else_comes() {
    let log = Arc::new(MemoryLog::new());
    let short = Settings { seal_every: Duration::from_millis(1), ..Settings::default() };
    let (recorder, writer) = Recorder::open(Arc::clone(&log) as Arc<dyn Log>, crate::samples::key(), short).unwrap();
    let mut checkpoints = recorder.checkpoints();
    assert_eq!(*checkpoints.borrow(), None);
    let stream = recorder.begin(started("a"), now()).unwrap();
    let note = checkpoints.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(portcullis_audit::Checkpoint::open(&note, recorder.public()).is_ok());
    assert_eq!(recorder.reader().checkpoint().unwrap().as_deref(), Some(&*note));
    drop(stream);
    writer.close().unwrap();
}

#[tokio::test]
async fn what_was_recorded_before_it_is_asked_is_sealed_when_that_is_said() {
    let log = Arc::new(MemoryLog::new()) as Arc<dyn Log>;
    let short = Settings { seal_every: Duration::from_millis(1), ..Settings::default() };
    let (recorder, writer) = Recorder::open(log, crate::samples::key(), short).unwrap();
    recorder.sealed().await.unwrap();
    let streams: Vec<_> = (0..50).map(|at| recorder.begin(started(&at.to_string()), now()).unwrap()).collect();
    for (at, stream) in streams.iter().enumerate() {
        command(stream, 1);
        recorder.sealed().await.unwrap();
        let exported = portcullis_audit::export::sessions(&recorder.reader(), &[stream.id()], &[], Vec::new()).unwrap();
        assert_eq!(exported.events, 5, "{at}");
    }
    drop(streams);
    writer.close().unwrap();
}

#[tokio::test]
async fn a_record_that_fails_seals_nothing_more() {
    let (writer, recorder, log) = open_faulty(settings());
    log.block();
    let stream = recorder.begin(started("a"), now()).unwrap();
    log.wait_until_blocked();
    let sealed = recorder.sealed();
    log.fill();
    log.release();
    assert_eq!(sealed.await, Err(RecordUnavailable));
    drop(stream);
    assert!(writer.close().is_err());
}

#[tokio::test]
async fn the_tail_tells_what_became_durable_in_order() {
    let (writer, recorder, log) = open_faulty(settings());
    let mut tail = recorder.tail();
    log.block();
    let stream = recorder.begin(started("a"), now()).unwrap();
    log.wait_until_blocked();
    assert!(tail.is_empty(), "what is not durable is not told");
    log.release();
    command(&stream, 1);
    let id = stream.id();
    drop(stream);
    writer.close().unwrap();
    let mut told = Vec::new();
    while let Ok(recorded) = tail.try_recv() {
        assert_eq!((recorded.stream, recorded.number), (id, told.len() as u64));
        told.push(recorded.event().unwrap());
    }
    assert_eq!(told, events(&recorder, id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_append_to_one_stream() {
    let (recorder, writer) = open(&Arc::new(MemoryLog::new()));
    let stream = Arc::new(recorder.begin(started("a"), now()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let stream = Arc::clone(&stream);
        tasks.spawn(async move {
            for number in 0..50 {
                stream.room().await;
                command(&stream, task * 50 + number + 1);
            }
        });
    }
    tasks.join_all().await;
    let id = stream.id();
    drop(stream);
    writer.close().unwrap();
    let recorded = events(&recorder, id);
    assert_eq!(recorded.len(), 1 + 8 * 50 * 4 + 1);
    let info = recorder.reader().session(id).unwrap();
    assert_eq!((info.commands, info.denied, info.events), (400, 0, recorded.len() as u64));
}
