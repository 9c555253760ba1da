//! When frames leave: a write after its record is durable, a read at once and its answer after.

use crate::world::{Sink, World, reads, writes};
use bytes::Bytes;
use futures_util::FutureExt as _;
use portcullis_approvals::Desk;
use portcullis_audit::Durability;
use portcullis_gate::{Cleared, Downstream, Outlet, Permit, Ruling, SendError, Session, Upstream};
use portcullis_model::Command;
use std::future::poll_fn;
use std::sync::atomic::Ordering::SeqCst;

fn allowed(session: &Session, command: Command) -> (Cleared<Bytes>, Permit) {
    match session.ask(session.seal(Bytes::from_static(b"frame"), command)) {
        Ruling::Forward(cleared, permit) => (cleared, permit),
        Ruling::Refuse(denial) => panic!("refused: {}", denial.reason),
        Ruling::Hold(_) => panic!("held"),
    }
}

/// Polls once: whether all was sent.
fn send_now<O: Outlet>(upstream: &mut Upstream<O>) -> Option<Result<(), SendError>> {
    poll_fn(|cx| upstream.poll_send(cx)).now_or_never()
}

#[tokio::test]
async fn a_write_waits_for_its_record_and_a_read_does_not() {
    let world = World::new().await;
    let session = world.session().await;
    world.settle(&session).await;
    let sink = Sink::default();
    let sent = std::sync::Arc::clone(&sink.sent);
    let mut upstream = Upstream::new(sink, &session);
    world.log.block();
    let (read, read_permit) = allowed(&session, reads("select 1 from orders"));
    upstream.push(read);
    assert!(matches!(send_now(&mut upstream), Some(Ok(()))));
    assert_eq!(sent.load(SeqCst), 1, "a read is sent at once");
    let (write, write_permit) = allowed(&session, writes("update orders set x = 1 where id = 1"));
    let (behind, behind_permit) = allowed(&session, reads("select 2 from orders"));
    upstream.push(write);
    upstream.push(behind);
    assert!(send_now(&mut upstream).is_none(), "a write left before its record was durable");
    assert_eq!(sent.load(SeqCst), 1, "what is behind a write overtook it");
    world.log.release();
    poll_fn(|cx| upstream.poll_send(cx)).await.unwrap();
    assert_eq!(sent.load(SeqCst), 3);
    drop((read_permit, write_permit, behind_permit));
}

#[tokio::test]
async fn the_answer_to_a_read_waits_for_its_record() {
    let world = World::new().await;
    let session = world.session().await;
    world.settle(&session).await;
    let sink = Sink::default();
    let sent = std::sync::Arc::clone(&sink.sent);
    let mut downstream = Downstream::new(sink, &session);
    world.log.block();
    let (_, permit) = allowed(&session, reads("select 1 from orders"));
    downstream.push(session.answer(Some(&permit)).release(Bytes::from_static(b"row")));
    assert!(poll_fn(|cx| downstream.poll_send(cx)).now_or_never().is_none());
    assert_eq!(sent.load(SeqCst), 0);
    world.log.release();
    poll_fn(|cx| downstream.poll_send(cx)).await.unwrap();
    assert_eq!(sent.load(SeqCst), 1);
}

#[tokio::test]
async fn what_waits_for_a_record_that_failed_is_never_sent() {
    let world = World::new().await;
    let session = world.session().await;
    world.settle(&session).await;
    let sink = Sink::default();
    let sent = std::sync::Arc::clone(&sink.sent);
    let mut upstream = Upstream::new(sink, &session);
    world.log.fill();
    let (write, permit) = allowed(&session, writes("update orders set x = 1 where id = 1"));
    upstream.push(write);
    let failed = poll_fn(|cx| upstream.poll_send(cx)).await;
    assert!(matches!(failed, Err(SendError::RecordUnavailable)));
    let again = send_now(&mut upstream);
    assert!(
        matches!(again, Some(Err(SendError::RecordUnavailable))),
        "a failed record was waited for again: {again:?}"
    );
    assert_eq!(sent.load(SeqCst), 0);
    drop(permit);
    let ruling = session.ask(session.seal(Bytes::new(), reads("select 1 from orders")));
    assert!(matches!(ruling, Ruling::Refuse(_)), "a command passed after the record failed");
}

#[tokio::test]
async fn what_is_discarded_while_it_waits_is_never_sent() {
    let world = World::new().await;
    let session = world.session().await;
    world.settle(&session).await;
    let sink = Sink::default();
    let sent = std::sync::Arc::clone(&sink.sent);
    let mut upstream = Upstream::new(sink, &session);
    world.log.block();
    let (write, permit) = allowed(&session, writes("update orders set x = 1 where id = 1"));
    upstream.push(write);
    assert!(send_now(&mut upstream).is_none());
    upstream.discard();
    assert_eq!(upstream.backlog(), 0);
    world.log.release();
    world.settle(&session).await;
    assert!(matches!(send_now(&mut upstream), Some(Ok(()))));
    assert_eq!(sent.load(SeqCst), 0);
    drop(permit);
}

#[tokio::test]
async fn a_command_asked_after_the_record_failed_ends_its_session() {
    let world = World::new().await;
    let (session, other) = (world.session().await, world.session().await);
    world.settle(&session).await;
    world.settle(&other).await;
    world.log.fill();
    let mut upstream = Upstream::new(Sink::default(), &other);
    let (write, permit) = allowed(&other, writes("update orders set x = 1 where id = 1"));
    upstream.push(write);
    assert!(poll_fn(|cx| upstream.poll_send(cx)).await.is_err());
    assert!(session.record_failed());
    assert!(!session.ended().is_cancelled(), "nothing of it waited");
    let ruling = session.ask(session.seal(Bytes::new(), reads("select 1 from orders")));
    assert!(matches!(ruling, Ruling::Refuse(_)));
    assert!(session.ended().is_cancelled(), "a session outlived its record");
    drop(permit);
}

#[tokio::test]
async fn what_gathered_leaves_in_one_write() {
    let world = World::new().await;
    let session = world.session().await;
    let sink = Sink::default();
    let (sent, written) = (std::sync::Arc::clone(&sink.sent), std::sync::Arc::clone(&sink.writes));
    let mut upstream = Upstream::new(sink, &session);
    let mut permits = Vec::new();
    for _ in 0..50 {
        let (cleared, permit) = allowed(&session, reads("select 1 from orders"));
        upstream.push(cleared);
        permits.push(permit);
    }
    poll_fn(|cx| upstream.poll_send(cx)).await.unwrap();
    assert_eq!((sent.load(SeqCst), written.load(SeqCst)), (50, 1));
}

#[tokio::test]
async fn batched_durability_waits_for_nothing() {
    let world = World::with(Durability::Batched, Desk::closed()).await;
    let session = world.session().await;
    let sink = Sink::default();
    let sent = std::sync::Arc::clone(&sink.sent);
    let mut upstream = Upstream::new(sink, &session);
    world.log.block();
    let (write, permit) = allowed(&session, writes("update orders set x = 1 where id = 1"));
    upstream.push(write);
    assert!(matches!(send_now(&mut upstream), Some(Ok(()))));
    assert_eq!(sent.load(SeqCst), 1);
    world.log.release();
    drop(permit);
}
