//! The wire itself: refusals at every place where a command can stand, with a recorder between gateway and server that
//! shows whether a byte of a refused command went upstream; torn and lying frames; peers that break off or stop reading.
//! Where it can be said by PostgreSQL itself, the expectation is PostgreSQL's own answer to the same frames with a
//! statement that it rejects, and only the SQLSTATE differs.

use crate::surroundings::{Shop, Wants, Who, cases, eventually};
use portcullis_testkit::wire::frontend::{
    bind, close, copy_data, copy_done, describe, execute, flush, function_call, parse, query, sync, terminate,
};
use portcullis_testkit::wire::{RawClient, outline, startup, untagged};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const RAW: Wants = Wants { plaintext: true, recorder: true, torn: 0, extra: "" };

/// In every refused statement here, so that the recorder can be asked for it.
const MARK: &str = "zq_refused_mark";
const REFUSED: &str = "DROP TABLE orders /* zq_refused_mark */";
/// What PostgreSQL rejects by itself where the gateway refuses [`REFUSED`].
const REJECTED: &str = "DROPP TABLE orders /* zq_refused_mark */";

async fn login(shop: &Shop) -> RawClient {
    let address = shop.gateway().address("postgres").unwrap();
    RawClient::login(&address, "agent", "shop", &shop.token(Who::Agent)).await.unwrap()
}

async fn login_directly(shop: &Shop) -> RawClient {
    RawClient::login(&shop.server.address(), "postgres", &shop.database, shop.server.password()).await.unwrap()
}

/// A conversation: batches of frames, and after each the ReadyForQuery messages to wait for.
type Conversation = Vec<(Vec<bytes::Bytes>, usize)>;

async fn hold(client: &mut RawClient, conversation: &Conversation) -> Vec<String> {
    let mut heard = Vec::new();
    for (frames, ready) in conversation {
        client.send(&frames.concat()).await.unwrap();
        for _ in 0..*ready {
            heard.push(outline(&client.read_until_ready().await.unwrap()));
        }
    }
    heard
}

fn simple(sql: &str) -> (Vec<bytes::Bytes>, usize) {
    (vec![query(sql)], 1)
}

/// Every place where a command can stand, around this statement.
fn conversations(statement: &str) -> Vec<(&'static str, Conversation)> {
    let ask = "SELECT count(*) FROM orders";
    let insert = "INSERT INTO order_log (order_id, event) VALUES (1, 'half')";
    let kept = simple("SELECT event FROM order_log WHERE event = 'half'");
    let usable = simple(ask);
    vec![
        ("alone", vec![simple(statement), usable.clone()]),
        ("twice", vec![simple(statement), simple(statement), usable.clone()]),
        (
            "in a transaction",
            vec![
                simple("BEGIN"),
                simple(insert),
                simple(statement),
                simple(ask),
                simple("COMMIT"),
                kept.clone(),
                usable.clone(),
            ],
        ),
        (
            "after a savepoint",
            vec![
                simple("BEGIN"),
                simple("SAVEPOINT s"),
                simple(statement),
                simple("ROLLBACK TO s"),
                simple(ask),
                simple("ROLLBACK"),
                usable.clone(),
            ],
        ),
        ("first of several", vec![simple(&format!("{statement}; {insert}")), kept.clone()]),
        ("last of several", vec![simple(&format!("{insert}; {statement}")), kept.clone()]),
        ("three queries in one packet", vec![(vec![query(ask), query(statement), query(ask)], 3), usable.clone()]),
        (
            "at Parse",
            vec![
                (vec![parse("", statement), bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()], 1),
                usable.clone(),
            ],
        ),
        (
            "at Parse, named, then used",
            vec![
                (vec![parse("p", statement), sync()], 1),
                (vec![bind("", "p", &[]), execute("", 0), sync()], 1),
                usable.clone(),
            ],
        ),
        (
            "in a pipeline",
            vec![
                (
                    vec![
                        parse("", insert),
                        bind("", "", &[]),
                        execute("", 0),
                        parse("", statement),
                        bind("", "", &[]),
                        execute("", 0),
                        parse("", insert),
                        bind("", "", &[]),
                        execute("", 0),
                        sync(),
                        parse("", ask),
                        bind("", "", &[]),
                        execute("", 0),
                        sync(),
                    ],
                    2,
                ),
                kept.clone(),
            ],
        ),
        (
            "in a pipeline inside a transaction",
            vec![
                simple("BEGIN"),
                (vec![parse("", insert), bind("", "", &[]), execute("", 0), parse("", statement), sync()], 1),
                simple("COMMIT"),
                kept.clone(),
            ],
        ),
        ("with Flush", vec![(vec![parse("", statement), flush(), sync()], 1), usable.clone()]),
        ("with a Query behind it", vec![(vec![parse("", statement), query(ask), sync()], 1), usable.clone()]),
        ("with Close behind it", vec![(vec![parse("p", statement), close(b'S', "p"), sync()], 1), usable]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_where_postgresql_would_put_an_error() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    for ((place, refused), (_, rejected)) in conversations(REFUSED).into_iter().zip(conversations(REJECTED)) {
        shop.recorder().ledger().clear();
        let heard = hold(&mut login(&shop).await, &refused).await;
        let expected = hold(&mut login_directly(&shop).await, &rejected).await;
        // What was never parsed there does not exist here either; only the reason of the first error is ours.
        let expected: Vec<_> = expected.iter().map(|line| line.replace("E:42601", "E:42501")).collect();
        assert_eq!(heard, expected, "{place}");
        assert!(!shop.recorder().ledger().contains(MARK), "{place}: bytes of the refused command went upstream");
    }
    assert_eq!(shop.ask_server("SELECT count(*) FROM orders"), "120");
    shop.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_copy_leaves_its_data_behind() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut client = login(&shop).await;
    let refused = query("COPY hr.employees (name, salary) FROM STDIN /* zq_refused_mark */");
    // The client does not wait to be invited.
    client.send(&[refused, copy_data(b"Mallory\t1\n"), copy_done()].concat()).await.unwrap();
    assert_eq!(outline(&client.read_until_ready().await.unwrap()), "E:42501 Z:I");
    assert_eq!(outline(&client.query("SELECT 1").await.unwrap()), "T D C:SELECT 1 Z:I");
    assert!(!shop.recorder().ledger().contains(MARK));
    client.send(&query("COPY order_log (order_id, event) FROM STDIN")).await.unwrap();
    assert_eq!(client.read().await.unwrap().tag, b'G');
    client.send(&[copy_data(b"1\tallowed\n"), copy_done()].concat()).await.unwrap();
    assert_eq!(outline(&client.read_until_ready().await.unwrap()), "C:COPY 1 Z:I");
    assert_eq!(shop.ask_server("SELECT count(*) FROM hr.employees"), "3");
    shop.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_split_changes_a_verdict() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut client = login(&shop).await;
    let frames = [
        query("SELECT id FROM products WHERE id = 3"),
        query(REFUSED),
        parse("", "SELECT $1::text"),
        bind("", "", &[Some("seven")]),
        describe(b'P', ""),
        execute("", 0),
        parse("", REFUSED),
        sync(),
        query("BEGIN; SELECT 1"),
        query("DELETE FROM orders /* zq_refused_mark */"),
        query("ROLLBACK"),
    ]
    .concat();
    let mut outlines = BTreeSet::new();
    let step = (frames.len() / cases(frames.len())).max(1);
    for offset in (0..frames.len()).step_by(step) {
        client.send_split(&frames, &[offset, offset + 1, offset + 7]).await.unwrap();
        let mut heard = Vec::new();
        for _ in 0..6 {
            heard.push(outline(&client.read_until_ready().await.unwrap()));
        }
        outlines.insert(heard);
    }
    assert_eq!(outlines.len(), 1, "{outlines:?}");
    assert!(!shop.recorder().ledger().contains(MARK));
    shop.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_torn_anywhere_are_whole_again() {
    for torn in [1, 2, 3, 5, 7] {
        let Some(shop) = Shop::guarded(Wants { torn, ..RAW }) else { return };
        for (place, refused) in conversations(REFUSED) {
            let mut client = login(&shop).await;
            let heard = hold(&mut client, &refused).await;
            assert!(heard.iter().any(|line| line.contains("E:42501")), "{place}: {heard:?}");
            let rows = client.query("SELECT id, name, price FROM products ORDER BY id").await.unwrap();
            assert_eq!(rows.iter().filter(|frame| frame.tag == b'D').count(), 12, "{place}, pieces of {torn}");
        }
        assert!(!shop.recorder().ledger().contains(MARK), "pieces of {torn}");
        shop.close(&[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_prepared_text_cannot_be_swapped() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut client = login(&shop).await;
    let long = "n".repeat(63);
    let conversation: Conversation = vec![
        // A name of 64 bytes is the same name as its first 63 to the server.
        (vec![parse(&long, "SELECT 1"), sync()], 1),
        (vec![parse(&format!("{long}x"), REFUSED), sync()], 1),
        (vec![bind("", &long, &[]), execute("", 0), sync()], 1),
        // The last of two texts under one name counts, and the refused one never does.
        (vec![parse("", "SELECT 1"), parse("", REFUSED), bind("", "", &[]), execute("", 0), sync()], 1),
        // SQL's own names are the protocol's names.
        simple("PREPARE sneaky AS DELETE FROM orders"),
        (vec![bind("", "sneaky", &[]), execute("", 0), sync()], 1),
        simple("EXECUTE sneaky"),
        (vec![execute("no such portal", 0), sync()], 1),
        (vec![bind("", "no such statement", &[]), sync()], 1),
    ];
    let heard = hold(&mut client, &conversation).await;
    assert!(heard[0].ends_with("Z:I") && heard[2].contains("C:SELECT 1"), "{heard:?}");
    for refused in [1, 3, 4, 5, 6, 7, 8] {
        assert!(heard[refused].contains("E:"), "{refused}: {heard:?}");
    }
    assert!(!shop.recorder().ledger().contains(MARK));
    assert_eq!(shop.ask_server("SELECT count(*) FROM orders"), "120");
    shop.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_carry_unread_commands_are_refused() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut client = login(&shop).await;
    // FunctionCall of pg_backend_pid; its own error, and the session goes on.
    client.send(&function_call(2026)).await.unwrap();
    assert_eq!(outline(&client.read_until_ready().await.unwrap()), "E:0A000 Z:I");
    assert_eq!(outline(&client.query("SELECT 1").await.unwrap()), "T D C:SELECT 1 Z:I");
    let frames = shop.recorder().ledger().frames();
    assert!(frames.iter().flatten().all(|frame| frame.tag != b'F'), "a FunctionCall went upstream");
    shop.close(&[]);
}

/// Bytes after login that no honest client sends; each ends its own session and nobody else's.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("unknown tag", b"?\0\0\0\x04".to_vec()),
        ("length 0", b"Q\0\0\0\0".to_vec()),
        ("length 3", b"Q\0\0\0\x03".to_vec()),
        ("length of 2 GiB", b"Q\x7f\xff\xff\xff".to_vec()),
        ("negative length", b"Q\xff\xff\xff\xff".to_vec()),
        ("two texts in one Query", b"Q\0\0\0\x1bSELECT 1\0DROP TABLE t\0".to_vec()),
        ("no end of text", b"Q\0\0\0\x0cSELECT 1".to_vec()),
        ("Bind that lies about its parameters", b"B\0\0\0\x0a\0\0\0\0\xff\xff".to_vec()),
        ("Sync with a body", b"S\0\0\0\x08\0\0\0\0".to_vec()),
        ("a start-up packet inside", startup(&[("user", "agent")]).to_vec()),
        ("a password after login", b"p\0\0\0\x09root\0".to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_only_its_own_session() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut bystander = login(&shop).await;
    for (what, bytes) in nonsense() {
        let mut client = login(&shop).await;
        client.send(&bytes).await.unwrap();
        // A frame that is short of its length waits for the rest; the end of the stream settles it.
        client.finish_writing().await.unwrap();
        let heard = client.read_to_end().await.unwrap();
        assert!(heard.iter().all(|frame| matches!(frame.tag, b'E' | b'Z' | b'N')), "{what}: {}", outline(&heard));
        assert_eq!(outline(&bystander.query("SELECT 1").await.unwrap()), "T D C:SELECT 1 Z:I", "{what}");
    }
    assert!(!shop.recorder().ledger().contains("DROP TABLE t"));
    shop.close(&["08P01", "protocol", "client"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_before_login_is_answered_or_ignored() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let address = shop.gateway().address("postgres").unwrap();
    let http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let too_long = untagged(&vec![0; 20_000]).to_vec();
    let replication = startup(&[("user", "agent"), ("database", "shop"), ("replication", "true")]).to_vec();
    let options =
        startup(&[("user", "agent"), ("database", "shop"), ("options", "-c session_preload_libraries=x")]).to_vec();
    let unterminated = untagged(b"\0\x03\0\0user\0agent").to_vec();
    for (what, bytes) in [
        ("HTTP", http),
        ("too long", too_long),
        ("replication", replication),
        ("options", options),
        ("unterminated", unterminated),
        ("protocol 2", untagged(b"\0\x02\0\0").to_vec()),
        ("empty", untagged(b"").to_vec()),
    ] {
        let mut client = RawClient::connect(&address).await.unwrap();
        client.send(&bytes).await.unwrap();
        client.finish_writing().await.unwrap();
        let heard = client.read_to_end().await.unwrap();
        assert!(heard.iter().all(|frame| matches!(frame.tag, b'E' | b'R' | b'v')), "{what}: {}", outline(&heard));
        assert!(heard.iter().all(|frame| frame.tag != b'Z'), "{what} logged in");
    }
    // GSS encryption is declined, and the login goes on.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let told = async {
        let (mut declined, mut asked) = ([0], [0]);
        stream.write_all(&untagged(&80_877_104_u32.to_be_bytes())).await.unwrap();
        stream.read_exact(&mut declined).await.unwrap();
        stream.write_all(&startup(&[("user", "agent"), ("database", "shop")])).await.unwrap();
        stream.read_exact(&mut asked).await.unwrap();
        [declined, asked].concat()
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(30), told).await.unwrap(), b"NR");
    drop(stream);
    assert_eq!(outline(&login(&shop).await.query("SELECT 1").await.unwrap()), "T D C:SELECT 1 Z:I");
    shop.close(&["08P01", "protocol", "client", "handshake", "startup", "login"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_cancel_key_cancels_nothing() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let address = shop.gateway().address("postgres").unwrap();
    let mut client = login(&shop).await;
    let key = client.greeting.iter().find(|frame| frame.tag == b'K').unwrap().body.clone();
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = '{}' AND query LIKE '%slow%' AND pid <> pg_backend_pid()",
        shop.database
    );
    client.send(&query("SELECT count(*) AS slow FROM generate_series(1, 10000000000)")).await.unwrap();
    eventually("it runs", || shop.ask_server(&running) != "0");

    let mut wrong = key.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    for (body, survives) in [(wrong, true), (key.to_vec(), false)] {
        let mut canceller = RawClient::connect(&address).await.unwrap();
        canceller.send(&untagged(&[80_877_102_u32.to_be_bytes().as_slice(), &body].concat())).await.unwrap();
        // The answer is the end of the connection, whatever the key.
        assert!(canceller.read_to_end().await.unwrap().is_empty());
        if survives {
            assert_ne!(shop.ask_server(&running), "0", "a wrong key cancelled");
        }
    }
    assert_eq!(outline(&client.read_until_ready().await.unwrap()), "T E:57014 Z:I");
    shop.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_costs_only_itself() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut stuck = login(&shop).await;
    stuck.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 200000)")).await.unwrap();
    let pid = shop.gateway().program().unwrap().pid().unwrap();
    let before = resident_kib(pid);
    let mut other = login(&shop).await;
    for _ in 0..200 {
        assert_eq!(outline(&other.query("SELECT 1").await.unwrap()), "T D C:SELECT 1 Z:I");
    }
    let grown = resident_kib(pid).saturating_sub(before);
    assert!(grown < 64 << 10, "200 MB that nobody reads grew the gateway by {grown} KiB");
    drop(stuck);
    shop.close(&["client"]);
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_going_away_is_a_native_fatal_error() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut client = login(&shop).await;
    client.query("SELECT 1").await.unwrap();
    shop.ask_server(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
        shop.database
    ));
    let heard = client.read_to_end().await.unwrap();
    assert_eq!(heard.iter().filter(|frame| frame.tag == b'E').count(), 1, "{}", outline(&heard));
    assert!(outline(&heard).starts_with("E:57P01") || outline(&heard).starts_with("E:08006"), "{}", outline(&heard));
    // The next session is a new connection to the server.
    assert_eq!(outline(&login(&shop).await.query("SELECT 1").await.unwrap()), "T D C:SELECT 1 Z:I");
    shop.close(&["backend", "server", "57P01", "catalogue"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_server_session() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%left_behind%' AND pid <> pg_backend_pid()",
        shop.database
    );
    let mut polite = login(&shop).await;
    polite.query("SELECT 1 AS left_behind").await.unwrap();
    polite.send(&terminate()).await.unwrap();
    let mut rude = login(&shop).await;
    rude.send(&query("SELECT count(*) AS left_behind FROM generate_series(1, 10000000000)")).await.unwrap();
    eventually("it runs", || shop.ask_server(&sessions) != "0");
    drop((polite, rude));
    eventually("both are gone", || shop.ask_server(&sessions) == "0");
    shop.close(&["client"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_tells_its_clients() {
    let Some(shop) = Shop::guarded(RAW) else { return };
    let mut idle = login(&shop).await;
    shop.gateway().program().unwrap().signal("TERM").unwrap();
    let heard = idle.read_to_end().await.unwrap();
    assert_eq!(outline(&heard), "E:57P01");
}
