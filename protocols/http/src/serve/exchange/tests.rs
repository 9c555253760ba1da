//! Exchanges whose budgets are in a store that stalls, or whose stream ends in one way or another, with a backend that a test
//! plays and no network.

use super::*;
use crate::api::mcp::Seal;
use crate::api::{Api, rest::Opaque};
use crate::core::tests::rig::{BUNDLE, House, policy};
use crate::frame::Method;
use crate::path::{Path, Query};
use crate::tools::ToolTable;
use crate::upstream::Destination;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_net::{Address, ClientTls};
use portcullis_store::{MemoryTable, Probe, ProbedTable, StoreError, Table, TableOperation};
use secrecy::SecretBox;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

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

fn way(api: Api) -> Way {
    Way::new(&Destination {
        address: Address::Unix("nowhere".into()),
        tls: ClientTls::disabled(),
        authority: "model.example".to_owned(),
        prefix: String::new(),
        api,
        headers: Vec::new(),
        opaque: Arc::new(Opaque::new([])),
        tools: Arc::new(ToolTable::default()),
        seal: Arc::new(Seal::new(&SecretBox::new(Box::new([5; 32]))).unwrap()),
        hosts: Vec::new(),
        timeout: Duration::from_secs(300),
    })
    .unwrap()
}

/// A request to a model that may use 100 tokens and some.
fn asks() -> Request {
    let ask = r#"{"model":"claude-small","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let (path, query) = (Path::read("/v1/messages").unwrap(), Query::default());
    Request { method: Method::Post, path, query, headers, body: Bytes::from(ask) }
}

/// One whose answer's head has come.
async fn answering() -> (Exchange, World) {
    let stalls = Stalls { reads: AtomicUsize::new(0), let_go: Semaphore::new(0) };
    let budgets = Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), stalls));
    let house = House::counting_in(Arc::clone(&budgets) as Arc<dyn Table>).await;
    let session = Arc::new(house.session().await);
    let gone = CancellationToken::new();
    let (stream, streamed) = oneshot::channel();
    let mut exchange = Exchange::new(session, Arc::new(way(Api::Anthropic)), Share::alone(1 << 20), stream, &gone);
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
    exchange.answered = Some(answered);
    exchange.ask(asks(), None, None);
    (exchange, World { budgets, backend, streamed, gone, _house: house, _connection: connection })
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
async fn meanwhile<T>(exchange: &mut Exchange, until: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        () = poll_fn(|cx| exchange.poll(cx)) => panic!("the exchange is over"),
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
    let (mut exchange, mut world) = answering().await;
    world.says(BEGINS).await;
    let mut body = meanwhile(&mut exchange, &mut world.streamed).await.unwrap().into_body();
    assert!(meanwhile(&mut exchange, next(&mut body)).await.unwrap().contains("message_start"));
    let taken = world.taken().await;
    let began = Instant::now();
    world.says(USED).await;
    assert!(meanwhile(&mut exchange, next(&mut body)).await.unwrap().contains("message_delta"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.says(STOPS).await;
    world.backend.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(meanwhile(&mut exchange, next(&mut body)).await.unwrap().contains("message_stop"));
    assert_eq!(meanwhile(&mut exchange, next(&mut body)).await, None);
    assert_eq!(began.elapsed().as_secs(), 1);
    // It is given back all the same.
    drop(body);
    assert!(taken > 100 && world.taken().await == taken, "{taken}");
    world.budgets.probe.let_go.add_permits(1);
    exchange.run().await;
    assert_eq!(world.taken().await, 18);
}

#[tokio::test(start_paused = true)]
async fn what_was_used_is_charged_and_no_more_whoever_breaks_off_behind_it() {
    for leaves in [true, false] {
        let (mut exchange, mut world) = answering().await;
        world.says(BEGINS).await;
        world.says(USED).await;
        let mut body = meanwhile(&mut exchange, &mut world.streamed).await.unwrap().into_body();
        let mut said = String::new();
        while !said.contains("message_delta") {
            said.push_str(&meanwhile(&mut exchange, next(&mut body)).await.unwrap());
        }
        // It leaves, or reads to the end while the backend falls silent.
        if leaves {
            world.gone.cancel();
        }
        world.budgets.probe.let_go.add_permits(1);
        let read = async { while !leaves && next(&mut body).await.is_some() {} };
        let over = async { tokio::join!(exchange.run(), read) };
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
        let (mut exchange, mut world) = answering().await;
        world.says(BEGINS).await;
        world.budgets.probe.let_go.add_permits(8);
        let mut body = meanwhile(&mut exchange, &mut world.streamed).await.unwrap().into_body();
        let patience = exchange.way.timeout;
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
            _ = exchange.run() => {}
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
    let (mut exchange, mut world) = answering().await;
    world.says(BEGINS).await;
    world.says(USED).await;
    let mut body = meanwhile(&mut exchange, &mut world.streamed).await.unwrap().into_body();
    while !meanwhile(&mut exchange, next(&mut body)).await.unwrap().contains("message_delta") {}
    world.gone.cancel();
    let (mut over, mut byte) = (Box::pin(exchange.run()), [0]);
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

#[tokio::test(start_paused = true)]
async fn what_was_taken_for_a_client_that_leaves_before_anything_is_sent_goes_back() {
    let stalls = Stalls { reads: AtomicUsize::new(0), let_go: Semaphore::new(0) };
    let budgets = Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), stalls));
    let house = House::counting_in(Arc::clone(&budgets) as Arc<dyn Table>).await;
    let second = "tokens_per_day: 1000 }\n  - { id: also, tokens_per_day: 2000 }";
    house.gate.set_policy(policy(&BUNDLE.replace("tokens_per_day: 1000 }", second)));
    let (gone, (stream, _streamed)) = (CancellationToken::new(), oneshot::channel());
    let (session, way) = (Arc::new(house.session().await), Arc::new(way(Api::Anthropic)));
    let mut exchange = Exchange::new(session, way, Share::alone(1 << 20), stream, &gone);
    exchange.ask(asks(), None, None);
    // The first of two budgets has given, and the second is asked.
    meanwhile(&mut exchange, tokio::time::sleep(Duration::from_secs(1))).await;
    let taken = async || {
        let counts = budgets.inner.scan(b"budget/").await.unwrap();
        counts.iter().map(|(_, count)| u64::from_be_bytes(count.value.as_ref().try_into().unwrap())).sum::<u64>()
    };
    assert!(taken().await > 100);
    gone.cancel();
    budgets.probe.let_go.add_permits(16);
    exchange.run().await;
    assert_eq!(taken().await, 0);
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [head.as_slice(), payload].concat()
}

/// Whether the frames behind the preface of a client hold a request.
fn asked(heard: &[u8]) -> bool {
    let mut rest = heard.get(24..).unwrap_or_default();
    while let Some((head, behind)) = rest.split_at_checked(9) {
        if head[3] == 1 {
            return true;
        }
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        rest = behind.get(length..).unwrap_or_default();
    }
    false
}

/// What a client gets of an answer in these frames, and whether that is whole.
async fn over_http2(frames: &[Vec<u8>]) -> (String, bool) {
    let house = House::new().await;
    let (gone, (stream, streamed)) = (CancellationToken::new(), oneshot::channel());
    let (session, way) = (Arc::new(house.session().await), Arc::new(way(Api::Rest)));
    let mut exchange = Exchange::new(session, way, Share::alone(1 << 20), stream, &gone);
    let (near, mut backend) = tokio::io::duplex(1 << 16);
    let (mut sender, driven) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
    let mut connection = JoinSet::new();
    connection.spawn(async move { drop(driven.await) });
    let asks = http::Request::builder().uri("http://service.example/a").body(Empty::<Bytes>::new()).unwrap();
    let answers = async {
        backend.write_all(&frame(4, 0, 0, b"")).await.unwrap();
        let (mut heard, mut piece) = (Vec::new(), [0; 1024]);
        while !asked(&heard) {
            let read = backend.read(&mut piece).await.unwrap();
            assert!(read > 0, "nothing is asked");
            heard.extend_from_slice(&piece[..read]);
        }
        backend.write_all(&frames.concat()).await.unwrap();
    };
    let (response, ()) = tokio::join!(sender.send_request(asks), answers);
    let (answer, answered) = oneshot::channel();
    assert!(answer.send(Ok(Came::Answer(response.unwrap()))).is_ok());
    exchange.answered = Some(answered);
    let (path, query) = (Path::read("/a").unwrap(), Query::default());
    exchange.ask(
        Request { method: Method::Get, path, query, headers: HeaderMap::new(), body: Bytes::new() },
        None,
        None,
    );
    let reads = async {
        let (mut body, mut said) = (streamed.await.unwrap().into_body(), String::new());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return (said, false) };
            said.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
        (said, true)
    };
    tokio::join!(exchange.run(), reads).1
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_reset_before_its_end_never_looks_whole() {
    // The heads say 200 and 400 (RFC 7541, appendix A); flag 1 ends a stream, flag 4 a head.
    let head = || frame(1, 4, 1, b"\x88");
    let part = || frame(0, 0, 1, b"first part;");
    let reset = |code: u8| frame(3, 0, 1, &[0, 0, 0, code]);
    let trailers = frame(1, 5, 1, b"\0\x01a\x01b");
    let last = frame(0, 1, 1, b"last part");
    for (frames, said, whole) in [
        (vec![head(), part(), last.clone()], "first part;last part", true),
        (vec![head(), part(), frame(0, 1, 1, b"")], "first part;", true),
        (vec![head(), part(), trailers], "first part;", true),
        (vec![head(), part(), last.clone(), reset(0)], "first part;last part", true),
        (vec![frame(1, 5, 1, b"\x88")], "", true),
        (vec![head(), part(), reset(0)], "first part;", false),
        (vec![head(), part(), reset(8)], "first part;", false),
        // What a service says of a request that it did not read to its end.
        (vec![frame(1, 4, 1, b"\x8c"), part(), reset(0)], "first part;", true),
    ] {
        assert_eq!(over_http2(&frames).await, (said.to_owned(), whole), "{frames:?}");
    }
}
