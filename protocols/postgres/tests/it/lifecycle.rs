//! How sessions end, and what ends commands.

use crate::speak::{ask, codes, exchange, tags};
use crate::world::{Wish, World, eventually, outcomes};
use portcullis_model::{EventBody, Outcome};
use portcullis_testkit::wire::{RawClient, frontend, outline};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

async fn reason(world: &World) -> String {
    let events = world.events().await;
    let ended = events.iter().rev().find_map(|event| match &event.body {
        EventBody::SessionEnded { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    ended.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_session_is_told_and_ends_also_in_the_middle_of_a_statement() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&frontend::query("SELECT pg_sleep(60)")).await.unwrap();
    until_running(&world, "pg_sleep(60)").await;
    let session = world.gate.sessions()[0].id;
    assert!(world.gate.kill(session));
    let got = client.read_to_end().await.unwrap();
    assert_eq!(codes(&got), ["57P01"]);
    assert_eq!(reason(&world).await, "killed");
    assert!(outcomes(&world.events().await).contains(&("SELECT pg_sleep(60)".to_owned(), Outcome::Interrupted)));
}

/// Waits until the server runs this text.
async fn until_running(world: &World, text: &str) {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{text}' AND datname = current_database() AND pid <> pg_backend_pid()"
    );
    eventually(text, || world.sql(&query) != "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_a_transaction_finish_and_then_ends_the_session() {
    let world = World::new().await;
    let mut client = world.client().await;
    exchange(&mut client, &[frontend::query("BEGIN")], 1).await;
    world.drain.start();
    assert_eq!(ask(&mut client, "INSERT INTO items VALUES (700, 'x', 1)").await, Ok(vec![]));
    client.send(&frontend::query("COMMIT")).await.unwrap();
    let got = client.read_to_end().await.unwrap();
    assert_eq!((tags(&got), codes(&got)), ("CZE".to_owned(), vec!["57P01".to_owned()]));
    assert_eq!(world.sql("SELECT count(*) FROM items WHERE id = 700"), "1");
    assert_eq!(reason(&world).await, "the gateway stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_ends_what_a_drain_left_open() {
    let world = World::new().await;
    let mut client = world.client().await;
    exchange(&mut client, &[frontend::query("BEGIN")], 1).await;
    world.drain.cut();
    client.read_to_end().await.unwrap();
    assert!(world.events().await.iter().any(|event| matches!(event.body, EventBody::SessionEnded { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_is_ended() {
    // A busy machine may ask when it has been idle for so long already: then anew, with more time.
    for idle in [200, 1000, 5000].map(Duration::from_millis) {
        let world = World::with(Wish { idle, ..Wish::default() }).await;
        let mut client = world.client().await;
        let asked = client.send(&frontend::query("SELECT 1")).await.is_ok();
        let got = client.read_to_end().await.unwrap();
        assert_eq!(reason(&world).await, "idle");
        if asked && tags(&got) == "TDCZE" {
            assert_eq!(codes(&got), ["57P05"]);
            return;
        }
        // What was said to it may be lost with a connection that it wrote to too late.
        assert!(["", "E"].contains(&tags(&got).as_str()), "{}", outline(&got));
    }
    panic!("it was ended before it was idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p12_a_cancel_request_with_our_key_stops_the_statement_and_no_other_key_does() {
    let world = World::new().await;
    let mut client = world.client().await;
    let key = client.greeting.iter().find(|frame| frame.tag == b'K').unwrap().body.clone();
    client.send(&frontend::query("SELECT pg_sleep(60)")).await.unwrap();
    until_running(&world, "pg_sleep(60)").await;
    for (wrong, last) in [(true, 1), (false, 0)] {
        let mut request = vec![0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];
        request.extend_from_slice(&key);
        if wrong {
            let end = request.len() - last;
            request[end] ^= 0x55;
        }
        let mut stream = tokio::net::TcpStream::connect(&world.address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.unwrap();
        assert!(rest.is_empty(), "a cancel request gets no answer");
    }
    let got = client.read_until_ready().await.unwrap();
    assert_eq!(codes(&got), ["57014"]);
    assert_eq!(ask(&mut client, "SELECT 1").await, Ok(vec!["1".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p61_a_backend_that_dies_ends_the_session_with_a_fatal_error() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&frontend::query("SELECT pg_sleep(60)")).await.unwrap();
    until_running(&world, "pg_sleep(60)").await;
    world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()");
    let got = client.read_to_end().await.unwrap();
    assert_eq!(codes(&got), ["57P01"]);
    assert_eq!(reason(&world).await, "the backend ended the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p66_a_client_that_vanishes_stops_what_it_ran() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&frontend::query("SELECT pg_sleep(60)")).await.unwrap();
    until_running(&world, "pg_sleep(60)").await;
    drop(client);
    let query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)' AND datname = current_database() AND pid <> pg_backend_pid()";
    eventually("its end", || world.sql(query) == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p66_terminate_ends_both_sides() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&frontend::terminate()).await.unwrap();
    assert!(client.read_to_end().await.unwrap().is_empty());
    assert_eq!(reason(&world).await, "terminated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fails_ends_the_session_and_sends_nothing() {
    let world = World::new().await;
    let mut client: RawClient = world.client().await;
    assert_eq!(ask(&mut client, "SELECT 1").await, Ok(vec!["1".to_owned()]));
    world.recorder.ledger().clear();
    world.log.fail_after(0, portcullis_store::StoreError::Full);
    client.send(&frontend::query("INSERT INTO items VALUES (800, 'x', 1)")).await.unwrap();
    let got = client.read_to_end().await.unwrap();
    assert_eq!(codes(&got), ["58030"]);
    assert!(!world.recorder.ledger().contains("INSERT INTO items"));
}

/// Sends this while nothing becomes durable, and waits until the gate allowed its command.
async fn send_while_the_record_stalls(world: &World, client: &mut RawClient, frames: &[bytes::Bytes]) {
    assert_eq!(ask(client, "SELECT 1").await, Ok(vec!["1".to_owned()]));
    world.recorder.ledger().clear();
    let before = world.gate.counts().allowed;
    world.log.block();
    client.send(&frames.concat()).await.unwrap();
    eventually("the verdict", || world.gate.counts().allowed > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_its_record_when_its_session_ends_is_never_sent() {
    let world = World::new().await;
    for id in 810..830 {
        let mut client = world.client().await;
        let insert = frontend::query(&format!("INSERT INTO items VALUES ({id}, 'x', 1)"));
        send_while_the_record_stalls(&world, &mut client, &[insert]).await;
        assert!(world.gate.kill(world.gate.sessions()[0].id));
        world.log.release();
        let got = client.read_to_end().await.unwrap();
        assert_eq!(codes(&got), ["57P01"]);
        assert_eq!(reason(&world).await, "killed");
        assert!(!world.recorder.ledger().contains("INSERT INTO items"), "it was sent after the session was killed");
    }
    assert_eq!(world.sql("SELECT count(*) FROM items WHERE id >= 810"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_sent_once_its_record_is_durable_also_behind_a_goodbye() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [frontend::query("INSERT INTO items VALUES (840, 'x', 1)"), frontend::terminate()];
    send_while_the_record_stalls(&world, &mut client, &frames).await;
    world.log.release();
    client.read_to_end().await.unwrap();
    assert_eq!(reason(&world).await, "terminated");
    assert_eq!(world.sql("SELECT count(*) FROM items WHERE id = 840"), "1");
}
