//! Sockets whose sides a test plays over pipes, with no network.

use super::*;
use crate::classify;
use crate::core::tests::rig::{House, policy};
use crate::frame::Method;
use crate::path::{Path, Query};
use crate::websocket::{Code, Heard, Kind, Messages, Peer, write};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use portcullis_gate::Ruling;
use portcullis_model::SessionId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinSet;

const BUNDLE: &str = r#"
bundle: live
applies_to: { connections: [service], principals: { groups: [agents] } }
rules:
  - id: talk
    allow: { actions: [connect], objects: ["endpoint GET /live"] }
  - id: ask
    hold: { actions: [connect], objects: ["endpoint GET /live"], fields: { "$.kind": [order] } }
    approvers: { groups: [dba] }
"#;

/// One side, as a test plays it.
struct Side {
    stream: DuplexStream,
    /// What the gateway sends to it.
    messages: Messages,
    mask: Option<[u8; 4]>,
}

impl Side {
    async fn says(&mut self, kind: Kind, payload: &[u8]) {
        let mut out = BytesMut::new();
        write(kind, payload, self.mask, &mut out);
        self.stream.write_all(&out).await.unwrap();
    }

    /// What it hears next; `None` at the end of the stream.
    async fn hears(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.messages.next(false).unwrap() {
                return Some(heard);
            }
            let mut piece = [0; 4096];
            let read = self.stream.read(&mut piece).await.unwrap();
            if read == 0 {
                return None;
            }
            self.messages.feed(&piece[..read]);
        }
    }
}

struct World {
    house: House,
    session: SessionId,
    client: Side,
    backend: Side,
    drain: Drain,
    running: JoinSet<()>,
}

async fn open(idle: Duration) -> World {
    let house = House::new().await;
    house.gate.set_policy(policy(BUNDLE));
    let session = Arc::new(house.session().await);
    let mut headers = HeaderMap::new();
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    let (path, query) = (Path::read("/live").unwrap(), Query::default());
    let request = Request { method: Method::Get, path, query, headers, body: Bytes::new() };
    let command = classify::document(&request, vec![classify::upgrade(&request.path)], None);
    let Ruling::Forward(_cleared, permit) = session.ask(session.seal(request.clone(), command)) else {
        panic!("the socket is not opened")
    };
    let ((near, client), (far, backend)) = (duplex(1024), duplex(1024));
    let (id, drain) = (session.id(), Drain::new());
    let opened = Opened { session, request, permit, opaque: false, most: 1 << 20, idle, drain: drain.clone() };
    let socket = Socket::new(opened, Box::new(near), Box::new(far));
    let mut running = JoinSet::new();
    running.spawn(socket.run());
    let of = |stream, peer, mask| Side { stream, messages: Messages::of(peer, 1 << 20), mask };
    // Each reads what the gateway sends as the other kind of peer does.
    let (client, backend) = (of(client, Peer::Backend, Some([1, 2, 3, 4])), of(backend, Peer::Client, None));
    World { house, session: id, client, backend, drain, running }
}

const HOUR: Duration = Duration::from_secs(3600);

fn text(text: &str) -> Option<Heard> {
    Some(Heard::Text(text.to_owned()))
}

fn close(code: u16) -> Option<Heard> {
    Some(Heard::Close(Code::of(code)))
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_people_stops_neither_the_other_side_nor_the_notice_of_an_end() {
    let mut world = open(HOUR).await;
    world.client.says(Kind::Text, br#"{"kind":"order"}"#).await;
    world.client.says(Kind::Text, br#"{"kind":"behind"}"#).await;
    world.backend.says(Kind::Text, b"meanwhile").await;
    assert_eq!(world.client.hears().await, text("meanwhile"));
    drop(world.client);
    assert_eq!(world.backend.hears().await, close(1001));
    world.backend.says(Kind::Close, b"\x03\xe9").await;
    assert_eq!(world.backend.hears().await, None);
    world.running.join_next().await.unwrap().unwrap();
    let told = world.house.told_of(world.session).await;
    assert!(told.contains(&"2 withdrawn".to_owned()) && told.contains(&"1 interrupted".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with('3')), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_too_much_behind_a_message_that_waits_is_closed() {
    let mut world = open(HOUR).await;
    world.client.says(Kind::Text, br#"{"kind":"order"}"#).await;
    let large = vec![b'a'; 48 << 10];
    for number in 0..8 {
        let says = world.client.says(Kind::Text, &large);
        let said = tokio::time::timeout(Duration::from_secs(1), says).await.is_ok();
        assert!(said || number > 4, "{number}");
    }
    assert_eq!((world.client.hears().await, world.backend.hears().await), (close(1009), close(1001)));
    let told = world.house.told_of(world.session).await;
    assert!(told.contains(&"2 withdrawn".to_owned()) && told.contains(&"1 failed 1009".to_owned()), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_side_that_does_not_read_stops_its_own_direction_alone() {
    let mut world = open(HOUR).await;
    // The client reads nothing: what the backend says piles up as far as there is room, and then it is not read.
    let large = vec![b'a'; 64 << 10];
    let mut said = 0;
    while tokio::time::timeout(Duration::from_secs(1), world.backend.says(Kind::Binary, &large)).await.is_ok() {
        said += 1;
        assert!(said < 64, "there is no end to it");
    }
    for number in 0..3_u8 {
        let note = [b'0' + number];
        world.client.says(Kind::Text, &note).await;
        assert_eq!(world.backend.hears().await, text(std::str::from_utf8(&note).unwrap()));
    }
    // What was said in whole messages comes once it reads.
    for _ in 0..said {
        assert!(matches!(world.client.hears().await, Some(Heard::Binary(bytes)) if bytes.len() == large.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_quiet_for_too_long_ends_and_one_message_is_not_quiet() {
    let mut world = open(Duration::from_secs(60)).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    world.client.says(Kind::Text, b"\"still here\"").await;
    assert_eq!(world.backend.hears().await, text("\"still here\""));
    let began = Instant::now();
    // A ping is answered, and is no message.
    tokio::time::sleep(Duration::from_secs(50)).await;
    world.client.says(Kind::Ping, b"").await;
    assert_eq!(world.client.hears().await, Some(Heard::Pong));
    assert_eq!(world.client.hears().await, close(1001));
    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!(world.backend.hears().await, close(1001));
    // Neither side answers: it is over all the same.
    world.running.join_next().await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), 60 + FAREWELL.as_secs());
    assert_eq!(world.house.told_of(world.session).await.last().unwrap(), "1 completed 1001");
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_both_sides() {
    let mut world = open(HOUR).await;
    world.drain.start();
    assert_eq!((world.client.hears().await, world.backend.hears().await), (close(1001), close(1001)));
    world.client.says(Kind::Close, b"\x03\xe9").await;
    world.backend.says(Kind::Close, b"\x03\xe9").await;
    assert_eq!((world.client.hears().await, world.backend.hears().await), (None, None));
    world.running.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_close_arrives_before_it() {
    let mut world = open(HOUR).await;
    world.client.says(Kind::Text, b"\"the last words\"").await;
    world.client.says(Kind::Close, b"\x03\xe8").await;
    assert_eq!(world.backend.hears().await, text("\"the last words\""));
    assert_eq!((world.backend.hears().await, world.client.hears().await), (close(1000), close(1000)));
    world.backend.says(Kind::Close, b"\x03\xe8").await;
    world.running.join_next().await.unwrap().unwrap();
    let told = world.house.told_of(world.session).await;
    assert!(told.contains(&"2 completed sent".to_owned()) && told.contains(&"1 completed 1000".to_owned()), "{told:?}");
}
