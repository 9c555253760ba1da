//! A refusal leaves the session usable and its transaction status true, wherever in the protocol it falls.

use crate::speak::{codes, exchange, rows, statuses, tags};
use crate::world::World;
use portcullis_testkit::wire::{frontend, outline};

#[tokio::test(flavor = "multi_thread")]
async fn pg_p14_a_statement_refused_alone_or_in_a_text_of_several_takes_all_of_the_text_with_it() {
    let world = World::new().await;
    let mut client = world.client().await;
    let alone = exchange(&mut client, &[frontend::query("DROP TABLE items")], 1).await;
    assert_eq!((tags(&alone), statuses(&alone), codes(&alone)), ("EZ".into(), "I".into(), vec!["42501".to_owned()]));
    let several = "INSERT INTO items VALUES (900, 'x', 1); DROP TABLE items; SELECT 1";
    let got = exchange(&mut client, &[frontend::query(several)], 1).await;
    assert_eq!((tags(&got), codes(&got)), ("EZ".into(), vec!["42501".to_owned()]));
    assert_eq!(world.sql("SELECT count(*) FROM items WHERE id = 900"), "0");
    let after = exchange(&mut client, &[frontend::query("SELECT 1; SELECT name FROM items WHERE id = 1")], 1).await;
    assert_eq!((tags(&after), rows(&after)), ("TDCTDCZ".into(), vec!["1".to_owned(), "item 1".to_owned()]));
    assert!(!world.recorder.ledger().contains("DROP TABLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p28_inside_a_transaction_a_refusal_aborts_it_and_commit_keeps_no_half() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::query("BEGIN"),
        frontend::query("INSERT INTO items VALUES (901, 'half', 1)"),
        frontend::query("TRUNCATE items"),
        frontend::query("SELECT 1"),
        frontend::query("COMMIT"),
        frontend::query("SELECT 2"),
    ];
    let got = exchange(&mut client, &frames, 6).await;
    assert_eq!(statuses(&got), "TTEEII");
    assert_eq!(codes(&got), ["42501", "25P02"]);
    let commit = got.iter().filter(|frame| frame.tag == b'C').nth(2).unwrap();
    assert_eq!(commit.body.as_ref(), b"ROLLBACK\0");
    assert_eq!(world.sql("SELECT count(*) FROM items WHERE id = 901"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p27_a_parse_refused_in_a_pipeline_keeps_what_came_before_and_skips_what_comes_behind() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::parse("a", "SELECT name FROM items WHERE id = $1"),
        frontend::bind("", "a", &[Some("2")]),
        frontend::execute("", 0),
        frontend::parse("b", "DROP TABLE items"),
        frontend::bind("", "b", &[]),
        frontend::execute("", 0),
        frontend::sync(),
        frontend::bind("", "a", &[Some("4")]),
        frontend::execute("", 0),
        frontend::sync(),
        frontend::bind("", "b", &[]),
        frontend::sync(),
    ];
    let got = exchange(&mut client, &frames, 3).await;
    assert_eq!(tags(&got), "12DCEZ2DCZEZ");
    assert_eq!(rows(&got), ["item 2", "item 4"]);
    assert_eq!(codes(&got), ["42501", "26000"], "{}", outline(&got));
    assert_eq!(statuses(&got), "III");
    assert!(!world.recorder.ledger().contains("DROP TABLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p28_a_bind_of_a_statement_that_policy_no_longer_allows_is_refused_with_its_parameters_judged() {
    let world = World::new().await;
    let mut client = world.client().await;
    let prepare = [frontend::parse("d", "DELETE FROM items WHERE id = $1"), frontend::sync()];
    assert_eq!(tags(&exchange(&mut client, &prepare, 1).await), "1Z");
    world.gate.set_policy(crate::world::policy(
        "bundle: test\napplies_to: { connections: [shop], principals: { groups: [agents] } }\nrules:\n  \
         - id: reads\n    allow: { actions: [read], objects: [\"table public.*\"] }\n",
    ));
    let frames = [
        frontend::parse("s", "SELECT 1"),
        frontend::bind("", "d", &[Some("1")]),
        frontend::execute("", 0),
        frontend::sync(),
        frontend::query("SELECT count(*) FROM items"),
    ];
    let got = exchange(&mut client, &frames, 2).await;
    assert_eq!(tags(&got), "1EZTDCZ", "{}", outline(&got));
    assert_eq!(codes(&got), ["42501"]);
    assert_eq!(rows(&got), ["100"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p28_an_execute_whose_policy_moved_on_is_refused_and_its_transaction_fails() {
    let world = World::new().await;
    let mut client = world.client().await;
    let open = [
        frontend::query("BEGIN"),
        frontend::parse("", "SELECT name FROM items ORDER BY id"),
        frontend::bind("p", "", &[]),
        frontend::execute("p", 2),
        frontend::sync(),
    ];
    let got = exchange(&mut client, &open, 2).await;
    assert_eq!(tags(&got), "CZ12DDsZ", "{}", outline(&got));
    world.gate.set_policy(crate::world::policy(
        "bundle: test\napplies_to: { connections: [shop], principals: { groups: [agents] } }\nrules:\n  \
         - id: no-reads\n    deny: { actions: [read], objects: [\"table public.*\"] }\n  \
         - id: nothing\n    allow: { actions: [insert], objects: [\"table public.*\"] }\n",
    ));
    let got = exchange(&mut client, &[frontend::execute("p", 2), frontend::sync()], 1).await;
    assert_eq!((tags(&got), statuses(&got)), ("EZ".into(), "E".into()), "{}", outline(&got));
    assert_eq!(codes(&got), ["42501"]);
    let got = exchange(&mut client, &[frontend::query("ROLLBACK"), frontend::query("SELECT 1")], 2).await;
    assert_eq!(statuses(&got), "II");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_call_is_refused_and_never_sent() {
    let world = World::new().await;
    let mut client = world.client().await;
    let got = exchange(&mut client, &[frontend::function_call(1598), frontend::query("SELECT 1")], 2).await;
    assert_eq!(tags(&got), "EZTDCZ");
    assert_eq!(codes(&got), ["0A000"]);
    let frames = world.recorder.ledger().frames();
    assert!(frames.iter().flatten().any(|frame| frame.tag == b'Q'), "what is sent is seen");
    assert!(frames.iter().flatten().all(|frame| frame.tag != b'F'));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p15_what_the_grammar_rejects_is_its_own_error_and_never_sent() {
    let world = World::new().await;
    let mut client = world.client().await;
    let got =
        exchange(&mut client, &[frontend::query("SELEC 1"), frontend::query(""), frontend::query("-- c")], 3).await;
    assert_eq!(tags(&got), "EZIZIZ");
    assert_eq!(codes(&got), ["42601"]);
    assert_eq!(got[0].field(b'P').as_deref(), Some("1"));
    assert!(!world.recorder.ledger().contains("SELEC 1"));
    let got = exchange(&mut client, &[frontend::query("SELECT * FROM nowhere")], 1).await;
    assert_eq!(codes(&got), ["42P01"], "{}", outline(&got));
    assert!(!world.recorder.ledger().contains("nowhere"));
    // Made elsewhere a moment ago: the catalogue is loaded anew before anything is refused.
    world.sql("CREATE TABLE nowhere (id int)");
    let got = exchange(&mut client, &[frontend::query("SELECT * FROM nowhere")], 1).await;
    assert_eq!(tags(&got), "TCZ", "{}", outline(&got));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p23_what_the_server_skips_is_skipped_in_the_record_and_its_answers_stay_in_place() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::parse("", "SELECT 1/0"),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::query("SELECT 5"),
        frontend::sync(),
        frontend::query("SELECT 6"),
    ];
    let got = exchange(&mut client, &frames, 2).await;
    let text = tags(&got);
    assert!(text.ends_with("EZTDCZ"), "{text}");
    assert_eq!(rows(&got), ["6"]);
    drop(client);
    let outcomes = crate::world::outcomes(&world.events().await);
    let skipped: Vec<&str> =
        outcomes.iter().filter(|(_, o)| *o == portcullis_model::Outcome::Skipped).map(|(t, _)| t.as_str()).collect();
    assert!(skipped.contains(&"SELECT 5"), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p01_a_length_that_lies_ends_the_session_and_nothing_is_forwarded() {
    let world = World::new().await;
    for bytes in [
        &b"Q\0\0\0\x19SELECT 1\0DROP TABLE x;"[..],
        b"Q\0\0\0\x0cSELECT 1",
        b"Q\0\0\0\x03",
        b"P\0\0\0\x06a\0",
        b"y\0\0\0\x04",
        b"p\0\0\0\x05\0",
    ] {
        let mut client = world.client().await;
        world.recorder.ledger().clear();
        client.send(bytes).await.unwrap();
        let got = client.read_to_end().await.unwrap();
        assert_eq!(codes(&got), ["08P01"], "{bytes:?}");
        assert!(!world.recorder.ledger().contains("SELECT 1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p33_names_too_long_or_reserved_are_refused_in_their_place() {
    let world = World::new().await;
    let mut client = world.client().await;
    let long = "x".repeat(64);
    let frames =
        [frontend::parse(&long, "SELECT 1"), frontend::sync(), frontend::parse("gw$a", "SELECT 1"), frontend::sync()];
    let got = exchange(&mut client, &frames, 2).await;
    assert_eq!((tags(&got), codes(&got)), ("EZEZ".into(), vec!["42622".to_owned(), "42939".to_owned()]));
    let got = exchange(&mut client, &[frontend::query("PREPARE \"gw$x\" AS SELECT 1")], 1).await;
    assert_eq!(codes(&got), ["0A000"]);
}
