//! Exchanges whose budgets are in a store that stalls, with a backend that a test plays and no network.

use super::*;
use crate::api::mcp::Seal;
use crate::api::{Api, rest::Opaque};
use crate::core::tests::rig::House;
use crate::frame::Method;
use crate::path::{Path, Query};
use crate::tools::ToolTable;
use crate::upstream::Destination;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use portcullis_net::{Address, ClientTls};
use portcullis_store::{MemoryTable, Probe, ProbedTable, StoreError, Table, TableOperation};
use secrecy::SecretBox;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A store that reads a count once, for what a request takes, and then not until it is let.
struct Stalls {
    reads: AtomicUsize,
    let_go: Semaphore,
}

impl Probe for Stalls {
    fn before<'p>(&'p self, operation: TableOperation, _: &'p [u8]) -> BoxFuture<'p, Result<(), StoreError>> {
        Box::pin(async move {
            if operation == TableOperation::Get && self.reads.fetch_add(1, Ordering::SeqCst) > 0 {
                drop(self.let_go.acquire().await);
            }
            Ok(())
        })
    }
}

/// A backend's side of its connection, and the client's side of the exchange.
struct World {
    budgets: Arc<ProbedTable<Stalls>>,
    backend: DuplexStream,
    streamed: oneshot::Receiver<Response<Streamed>>,
    gone: CancellationToken,
    _house: House,
    _connection: JoinSet<()>,
}

impl World {
    /// What is taken from the budget.
    async fn taken(&self) -> u64 {
        let counts = self.budgets.inner.scan(b"budget/").await.unwrap();
        counts.iter().map(|(_, count)| u64::from_be_bytes(count.value.as_ref().try_into().unwrap())).sum()
    }

    async fn says(&mut self, part: &str) {
        let chunk = format!("{:x}\r\n{part}\r\n", part.len());
        self.backend.write_all(chunk.as_bytes()).await.unwrap();
    }
}

fn way() -> Way {
    Way::new(&Destination {
        address: Address::Unix("nowhere".into()),
        tls: ClientTls::disabled(),
        authority: "model.example".to_owned(),
        prefix: String::new(),
        api: Api::Anthropic,
        headers: Vec::new(),
        opaque: Arc::new(Opaque::new([])),
        tools: Arc::new(ToolTable::default()),
        seal: Arc::new(Seal::new(&SecretBox::new(Box::new([5; 32]))).unwrap()),
        hosts: Vec::new(),
        timeout: Duration::from_secs(300),
    })
    .unwrap()
}

/// A request to a model that may use 100 tokens and some, whose answer's head has come.
async fn answering() -> (Relay, World) {
    let stalls = Stalls { reads: AtomicUsize::new(0), let_go: Semaphore::new(0) };
    let budgets = Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), stalls));
    let house = House::counting_in(Arc::clone(&budgets) as Arc<dyn Table>).await;
    let session = Arc::new(house.session().await);
    let gone = CancellationToken::new();
    let (stream, streamed) = oneshot::channel();
    let mut relay = Relay::new(session, Arc::new(way()), stream, &gone);
    // It answers over a connection of the test's own.
    let (near, mut backend) = tokio::io::duplex(1 << 16);
    let (mut sender, driven) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    let mut connection = JoinSet::new();
    connection.spawn(async move { driven.await.unwrap_or_default() });
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let answers = async {
        let asked = backend.read(&mut [0; 1024]).await.unwrap();
        assert!(asked > 0);
        backend.write_all(head.as_bytes()).await.unwrap();
    };
    let (response, ()) = tokio::join!(sender.send_request(http::Request::new(Empty::<Bytes>::new())), answers);
    let (answer, answered) = oneshot::channel();
    assert!(answer.send(Ok(Came::Answer(response.unwrap()))).is_ok());
    relay.answered = Some(answered);
    let ask = r#"{"model":"claude-small","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let (path, query) = (Path::read("/v1/messages").unwrap(), Query::default());
    let request = Request { method: Method::Post, path, query, headers, body: Bytes::from(ask) };
    relay.ask(request, None, None);
    (relay, World { budgets, backend, streamed, gone, _house: house, _connection: connection })
}

/// The events of an answer that used 18 tokens: those before its end, and its end.
const BEGINS: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",",
    "\"role\":\"assistant\",\"model\":\"claude-small\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,",
    "\"usage\":{\"input_tokens\":11,\"output_tokens\":1}}}\n\n",
);
const USED: &str = concat!(
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",",
    "\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n",
);
const STOPS: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Runs the exchange until this is over; an exchange that is over before is none.
async fn meanwhile<T>(relay: &mut Relay, until: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        () = poll_fn(|cx| relay.poll(cx)) => panic!("the exchange is over"),
        done = until => done,
        () = tokio::time::sleep(Duration::from_secs(3600)) => panic!("nothing comes"),
    }
}

async fn next(body: &mut Streamed) -> Option<String> {
    let frame = body.frame().await?.ok()?;
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stalls_keeps_the_end_a_second_and_nothing_before_it() {
    let (mut relay, mut world) = answering().await;
    world.says(BEGINS).await;
    let mut body = meanwhile(&mut relay, &mut world.streamed).await.unwrap().into_body();
    assert!(meanwhile(&mut relay, next(&mut body)).await.unwrap().contains("message_start"));
    let taken = world.taken().await;
    let began = Instant::now();
    world.says(USED).await;
    assert!(meanwhile(&mut relay, next(&mut body)).await.unwrap().contains("message_delta"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.says(STOPS).await;
    world.backend.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(meanwhile(&mut relay, next(&mut body)).await.unwrap().contains("message_stop"));
    assert_eq!(meanwhile(&mut relay, next(&mut body)).await, None);
    assert_eq!(began.elapsed().as_secs(), 1);
    // It is given back all the same.
    drop(body);
    assert!(taken > 100 && world.taken().await == taken, "{taken}");
    world.budgets.probe.let_go.add_permits(1);
    relay.run().await;
    assert_eq!(world.taken().await, 18);
}

#[tokio::test(start_paused = true)]
async fn what_was_used_is_charged_and_no_more_whoever_breaks_off_behind_it() {
    for leaves in [true, false] {
        let (mut relay, mut world) = answering().await;
        world.says(BEGINS).await;
        world.says(USED).await;
        let mut body = meanwhile(&mut relay, &mut world.streamed).await.unwrap().into_body();
        let mut said = String::new();
        while !said.contains("message_delta") {
            said.push_str(&meanwhile(&mut relay, next(&mut body)).await.unwrap());
        }
        // It leaves, or reads to the end while the backend falls silent.
        if leaves {
            world.gone.cancel();
        }
        world.budgets.probe.let_go.add_permits(1);
        let read = async { while !leaves && next(&mut body).await.is_some() {} };
        let over = async { tokio::join!(relay.run(), read) };
        assert!(tokio::time::timeout(Duration::from_secs(3600), over).await.is_ok(), "leaves: {leaves}");
        assert_eq!(world.taken().await, 18, "leaves: {leaves}");
    }
}

/// More pieces of an answer than wait on the way to a client, a chunk each.
fn pieces() -> String {
    let start = concat!(
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    );
    let delta = concat!(
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"some words\"}}\n\n",
    );
    let events = std::iter::once(start).chain(std::iter::repeat_n(delta, 40));
    events.map(|event| format!("{:x}\r\n{event}\r\n", event.len())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_not_waited_for_and_one_that_reads_slowly_is() {
    // One piece in nearly all of the time that it may take, for several times as long.
    for reads in [0_u64, 8] {
        let (mut relay, mut world) = answering().await;
        world.says(BEGINS).await;
        world.budgets.probe.let_go.add_permits(8);
        let mut body = meanwhile(&mut relay, &mut world.streamed).await.unwrap().into_body();
        let patience = relay.patience;
        let began = Instant::now();
        world.backend.write_all(pieces().as_bytes()).await.unwrap();
        let listens = async {
            for _ in 0..reads {
                tokio::time::sleep(patience - Duration::from_secs(10)).await;
                assert!(next(&mut body).await.is_some(), "cut while it reads");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            _ = relay.run() => {}
            () = listens => {}
            () = tokio::time::sleep(Duration::from_secs(1 << 20)) => panic!("it is waited for"),
        }
        let waited = began.elapsed();
        let read = (patience - Duration::from_secs(10)) * u32::try_from(reads).unwrap();
        assert!(waited >= read + patience - Duration::from_secs(10), "{reads}: {waited:?}");
        assert!(waited < read + patience * 2, "{reads}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_for_a_client_that_is_gone_ends_while_the_store_stalls() {
    let (mut relay, mut world) = answering().await;
    world.says(BEGINS).await;
    world.says(USED).await;
    let mut body = meanwhile(&mut relay, &mut world.streamed).await.unwrap().into_body();
    while !meanwhile(&mut relay, next(&mut body)).await.unwrap().contains("message_delta") {}
    world.gone.cancel();
    let (mut over, mut byte) = (Box::pin(relay.run()), [0]);
    tokio::select! {
        biased;
        _ = &mut over => panic!("the store has not yet taken what is given back"),
        closed = world.backend.read(&mut byte) => assert_eq!(closed.unwrap(), 0),
        () = tokio::time::sleep(Duration::from_secs(3600)) => panic!("the backend is still asked"),
    }
    world.budgets.probe.let_go.add_permits(1);
    over.await;
    assert_eq!(world.taken().await, 18);
}
