//! Commands that people decide about.

use crate::speak::{codes, exchange, rows, tags};
use crate::world::{BUNDLE, PATIENCE, Wish, World};
use jiff::Timestamp;
use portcullis_approvals::{Ballot, Desk, Vote};
use portcullis_model::{CredentialKind, Principal};
use portcullis_store::MemoryTable;
use portcullis_testkit::wire::{RawClient, frontend, outline};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

async fn world() -> (World, Desk) {
    let desk = Desk::open_at(Arc::new(MemoryTable::new()), "one", Arc::new(Timestamp::now)).await.unwrap();
    let policy = format!(
        "{BUNDLE}\n  - id: ask\n    hold: {{ actions: [drop], objects: [\"table other.*\"] }}\n    approvers: {{ groups: [dba] }}\n"
    );
    let world = World::with(Wish { policy, desk: Some(desk.clone()), ..Wish::default() }).await;
    (world, desk)
}

/// Reads the notice that the command waits, and votes.
async fn vote(client: &mut RawClient, desk: &Desk, ballot: Ballot) {
    let notice = client.read().await.unwrap();
    assert_eq!(notice.tag, b'N');
    let message = notice.field(b'M').unwrap();
    let approval = message.rsplit(' ').next().unwrap().parse().unwrap();
    let voter = Principal {
        issuer: "idp".into(),
        subject: "dana".into(),
        user: "dana".into(),
        groups: ["dba".into()].into(),
        claims: [].into(),
        credential: CredentialKind::Oidc,
    };
    let vote = Vote::new(voter, Timestamp::now(), Timestamp::now(), ballot).unwrap();
    // The request is written behind the notice.
    let begun = tokio::time::Instant::now();
    while desk.vote(approval, &vote).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody asked for {approval}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p62_an_approved_command_runs_once_and_a_rejected_one_does_not() {
    let (world, desk) = world().await;
    let mut client = world.client().await;
    client.send(&frontend::query("DROP TABLE other.things")).await.unwrap();
    vote(&mut client, &desk, Ballot::No).await;
    let got = client.read_until_ready().await.unwrap();
    assert_eq!((tags(&got), codes(&got)), ("EZ".to_owned(), vec!["42501".to_owned()]));
    assert!(!world.recorder.ledger().contains("DROP TABLE other"));
    let run = [
        frontend::parse("", "DROP TABLE other.things"),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::sync(),
        frontend::query("SELECT 1"),
    ];
    client.send(&run.concat()).await.unwrap();
    vote(&mut client, &desk, Ballot::Yes).await;
    let mut got = client.read_until_ready().await.unwrap();
    got.extend(client.read_until_ready().await.unwrap());
    assert_eq!(tags(&got), "12CZTDCZ", "{}", outline(&got));
    assert_eq!(world.sql("SELECT to_regclass('other.things') IS NULL"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p12_a_cancel_request_withdraws_what_waits_and_the_session_goes_on() {
    let (world, _desk) = world().await;
    let mut client = world.client().await;
    let key = client.greeting.iter().find(|frame| frame.tag == b'K').unwrap().body.clone();
    client.send(&frontend::query("DROP TABLE other.things")).await.unwrap();
    assert_eq!(client.read().await.unwrap().tag, b'N');
    let request = [&[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e][..], &key].concat();
    let mut stream = tokio::net::TcpStream::connect(&world.address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let got = client.read_until_ready().await.unwrap();
    assert_eq!(codes(&got), ["57014"]);
    assert_eq!(rows(&exchange(&mut client, &[frontend::query("SELECT 1")], 1).await), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p62_a_client_that_leaves_withdraws_what_waits() {
    let (world, desk) = world().await;
    let mut client = world.client().await;
    client.send(&frontend::query("DROP TABLE other.things")).await.unwrap();
    assert_eq!(client.read().await.unwrap().tag, b'N');
    drop(client);
    let events = world.events().await;
    let outcomes = crate::world::outcomes(&events);
    assert!(
        outcomes.contains(&("DROP TABLE other.things".to_owned(), portcullis_model::Outcome::Withdrawn)),
        "{outcomes:?}"
    );
    drop(desk);
    assert_eq!(world.sql("SELECT to_regclass('other.things') IS NULL"), "f");
}
