//! When frames leave: a write after its record is durable, a read at once and its answer after.

use crate::world::{Sink, World, reads, writes};
use bytes::Bytes;
use futures_util::FutureExt as _;
use portcullis_approvals::Desk;
use portcullis_audit::Durability;
use portcullis_gate::{Cleared, Downstream, Permit, Room, Ruling, SendError, Session, Upstream};
use portcullis_model::Command;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

fn allowed(session: &Session, command: Command) -> (Cleared<Bytes>, Permit) {
    match session.ask(session.seal(Bytes::from_static(b"frame"), command)) {
        Ruling::Forward(cleared, permit) => (cleared, permit),
        Ruling::Refuse(denial) => panic!("refused: {}", denial.reason),
        Ruling::Hold(_) => panic!("held"),
    }
}

/// A session whose beginning is recorded, and a backend that counts what it is sent.
struct Seat {
    world: World,
    session: Session,
    sent: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    upstream: Upstream<Sink>,
}

impl Seat {
    async fn open() -> Self {
        Self::of(World::new().await).await
    }

    async fn of(world: World) -> Self {
        let session = world.session().await;
        world.settle(&session).await;
        let sink = Sink::default();
        let (sent, writes) = (Arc::clone(&sink.sent), Arc::clone(&sink.writes));
        let upstream = Upstream::new(sink, &session);
        Self { world, session, sent, writes, upstream }
    }

    /// Asks for this, which is allowed, and hands its frame over.
    fn pushes(&mut self, command: Command) -> Permit {
        let (cleared, permit) = allowed(&self.session, command);
        self.upstream.push(cleared);
        permit
    }

    /// An update of one row.
    fn pushes_a_write(&mut self) -> Permit {
        self.pushes(writes("update orders set x = 1 where id = 1"))
    }

    /// Polls once: whether all was sent.
    fn send_now(&mut self) -> Option<Result<(), SendError>> {
        poll_fn(|cx| self.upstream.poll_send(cx)).now_or_never()
    }

    async fn send(&mut self) -> Result<(), SendError> {
        poll_fn(|cx| self.upstream.poll_send(cx)).await
    }

    fn sent(&self) -> usize {
        self.sent.load(SeqCst)
    }
}

#[tokio::test]
async fn a_write_waits_for_its_record_and_a_read_does_not() {
    let mut seat = Seat::open().await;
    seat.world.log.block();
    let _read = seat.pushes(reads("select 1 from orders"));
    assert!(matches!(seat.send_now(), Some(Ok(()))));
    assert_eq!(seat.sent(), 1, "a read is sent at once");
    let _write = seat.pushes_a_write();
    let _behind = seat.pushes(reads("select 2 from orders"));
    assert!(seat.send_now().is_none(), "a write left before its record was durable");
    assert_eq!(seat.sent(), 1, "what is behind a write overtook it");
    seat.world.log.release();
    seat.send().await.unwrap();
    assert_eq!(seat.sent(), 3);
}

#[tokio::test]
async fn the_answer_to_a_read_waits_for_its_record() {
    let seat = Seat::open().await;
    let sink = Sink::default();
    let sent = Arc::clone(&sink.sent);
    let mut downstream = Downstream::new(sink, &seat.session);
    seat.world.log.block();
    let (_, permit) = allowed(&seat.session, reads("select 1 from orders"));
    downstream.push(seat.session.answer(Some(&permit)).release(Bytes::from_static(b"row")));
    assert!(poll_fn(|cx| downstream.poll_send(cx)).now_or_never().is_none());
    assert_eq!(sent.load(SeqCst), 0);
    seat.world.log.release();
    poll_fn(|cx| downstream.poll_send(cx)).await.unwrap();
    assert_eq!(sent.load(SeqCst), 1);
}

#[tokio::test]
async fn what_waits_for_a_record_that_failed_is_never_sent() {
    let mut seat = Seat::open().await;
    seat.world.log.fill();
    let _write = seat.pushes_a_write();
    assert!(matches!(seat.send().await, Err(SendError::RecordUnavailable)));
    let again = seat.send_now();
    assert!(
        matches!(again, Some(Err(SendError::RecordUnavailable))),
        "a failed record was waited for again: {again:?}"
    );
    assert_eq!(seat.sent(), 0);
    let ruling = seat.session.ask(seat.session.seal(Bytes::new(), reads("select 1 from orders")));
    assert!(matches!(ruling, Ruling::Refuse(_)), "a command passed after the record failed");
}

#[tokio::test]
async fn what_is_discarded_while_it_waits_is_never_sent() {
    let mut seat = Seat::open().await;
    seat.world.log.block();
    let _write = seat.pushes_a_write();
    assert!(seat.send_now().is_none());
    seat.upstream.discard();
    assert_eq!(seat.upstream.backlog(), 0);
    seat.world.log.release();
    seat.world.settle(&seat.session).await;
    assert!(matches!(seat.send_now(), Some(Ok(()))));
    assert_eq!(seat.sent(), 0);
}

#[tokio::test]
async fn what_waits_when_its_session_is_killed_is_never_sent() {
    let mut seat = Seat::open().await;
    seat.world.log.block();
    let _write = seat.pushes_a_write();
    assert!(seat.send_now().is_none());
    assert!(seat.world.gate.kill(seat.session.id()));
    seat.world.log.release();
    seat.world.settle(&seat.session).await;
    assert!(matches!(seat.send_now(), Some(Ok(()))));
    assert_eq!((seat.sent(), seat.upstream.backlog()), (0, 0));
}

#[tokio::test]
async fn a_command_asked_after_the_record_failed_ends_its_session() {
    let mut seat = Seat::open().await;
    let session = seat.world.session().await;
    seat.world.settle(&session).await;
    seat.world.log.fill();
    let _write = seat.pushes_a_write();
    assert!(seat.send().await.is_err());
    assert!(session.record_failed());
    assert!(!session.ended().is_cancelled(), "nothing of it waited");
    let ruling = session.ask(session.seal(Bytes::new(), reads("select 1 from orders")));
    assert!(matches!(ruling, Ruling::Refuse(_)));
    assert!(session.ended().is_cancelled(), "a session outlived its record");
}

#[tokio::test]
async fn who_polls_is_woken_once_a_record_without_room_has_some_again() {
    let seat = Seat::open().await;
    let session = Arc::new(seat.session);
    seat.world.log.block();
    let long = format!("select '{}' from orders", "x".repeat(100 * 1024));
    let mut permits = Vec::new();
    let mut room = Room::default();
    let mut cx = Context::from_waker(Waker::noop());
    room.poll(&session, &mut cx);
    while session.has_room() {
        assert!(!room.is_unseen(&session));
        permits.push(allowed(&session, reads(&long)));
    }
    // Nobody looked since: nothing would wake for it.
    assert!(room.is_unseen(&session));
    let waits = poll_fn(|cx| {
        room.poll(&session, cx);
        assert!(!room.is_unseen(&session));
        if session.has_room() { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::join!(waits, async { seat.world.log.release() });
}

#[tokio::test]
async fn what_gathered_leaves_in_one_write() {
    let mut seat = Seat::open().await;
    let _permits: Vec<Permit> = (0..50).map(|_| seat.pushes(reads("select 1 from orders"))).collect();
    seat.send().await.unwrap();
    assert_eq!((seat.sent(), seat.writes.load(SeqCst)), (50, 1));
}

#[tokio::test]
async fn batched_durability_waits_for_nothing() {
    let mut seat = Seat::of(World::with(Durability::Batched, Desk::closed()).await).await;
    seat.world.log.block();
    let _write = seat.pushes_a_write();
    assert!(matches!(seat.send_now(), Some(Ok(()))));
    assert_eq!(seat.sent(), 1);
    seat.world.log.release();
}
