//! Wherever bytes are split on their way, and however late answers come, the same is sent and the same is decided.

use super::rig::{House, Rig, says};
use crate::core::fuzz_core;
use proptest::prelude::*;

/// One frame or a few that belong together.
fn phrase() -> impl Strategy<Value = Vec<u8>> {
    let texts = prop::sample::select(vec![
        "SELECT id FROM items",
        "SELECT name FROM others",
        "INSERT INTO items VALUES (1)",
        "DROP TABLE items",
        "SELECT 1/0",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "",
        "SELEC",
        "SELECT 'é'",
        "SELECT E'\\\\'",
        "INSERT INTO items VALUES (1); DROP TABLE items",
        "SELECT 1; SELECT 2",
        "PREPARE q AS SELECT id FROM items",
        "EXECUTE q",
        "DEALLOCATE ALL",
        "SET search_path = public",
        "SELECT ssn, name FROM people",
        "SELECT ssn, name FROM people; SELECT 1/0",
        "COPY people TO STDOUT",
        "DELETE FROM items WHERE id < 2 RETURNING id",
        "DELETE FROM items WHERE id < 3",
    ]);
    let names = prop::sample::select(vec!["", "a", "b", "q"]);
    prop_oneof![
        3 => texts.clone().prop_map(says::query),
        2 => (names.clone(), texts.clone()).prop_map(|(name, text)| says::parse(name, text)),
        3 => texts.prop_map(says::run),
        2 => (names.clone(), names.clone()).prop_map(|(portal, name)| says::bind(portal, name)),
        2 => names.clone().prop_map(says::execute),
        1 => names.clone().prop_map(says::close),
        1 => names.prop_map(says::describe),
        3 => Just(says::sync()),
        1 => Just([says::query("COPY items FROM STDIN"), says::data(b"1\ta\n"), says::data(b"2\tb\n"), says::done()].concat()),
        1 => Just([says::query("COPY items FROM STDIN"), says::data(b"bad"), says::data(b"x"), says::done()].concat()),
        1 => Just([says::run("COPY items FROM STDIN"), says::sync(), says::data(b"1\n"), says::done(), says::sync()].concat()),
    ]
}

/// What was sent for the client: without the gateway's own questions and nudges, and without COPY data, which are a
/// matter of what had come by then (data behind a server's error is ignored, sent or not).
fn of_client(sent: &[u8], id: &str) -> Vec<String> {
    let mut frames = Vec::new();
    let mut rest = sent;
    let mut own = false;
    while rest.len() >= 5 {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (frame, after) = rest.split_at(length + 1);
        rest = after;
        let text = String::from_utf8_lossy(frame).replace(id, "SESSION");
        if frame[0] == b'P' && text.contains("current_schemas") {
            own = true;
        }
        if !own && !matches!(frame[0], b'H' | b'd' | b'c' | b'f') {
            frames.push(text);
        }
        if own && frame[0] == b'S' {
            own = false;
        }
    }
    frames
}

/// What came of a script: sent for the client, told to it, recorded, run by the server.
#[derive(Debug, PartialEq)]
struct Came {
    sent: Vec<String>,
    told: String,
    record: Vec<String>,
    ran: Vec<String>,
    copied: Vec<u8>,
}

async fn play(house: &House, script: &[u8], cuts: &[usize], portions: &[usize]) -> Came {
    let mut rig = Rig::new(house).await;
    let mut portions = portions.iter().copied().cycle();
    let mut at = 0;
    for cut in cuts.iter().copied().chain([script.len()]) {
        let end = cut.clamp(at, script.len());
        rig.client(&script[at..end]);
        at = end;
        if let Some(portion) = portions.next() {
            rig.deliver(portion);
        }
    }
    rig.quiet();
    let id = rig.id.to_string();
    let told = String::from_utf8_lossy(&rig.told()).replace(&id, "SESSION");
    let mut ran = std::mem::take(&mut rig.server.ran);
    ran.retain(|text| !text.contains("current_schemas"));
    let copied = std::mem::take(&mut rig.server.copied);
    let (sent, session) = (of_client(&rig.sent, &id), rig.id);
    drop(rig);
    let mut record = house.told(session).await;
    // Outcomes are recorded when answers come, so their place among later commands is a matter of time.
    record.sort();
    Came { sent, told, record, ran, copied }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn any_split_in_both_directions_sends_the_same_and_decides_the_same() {
    let runtime = runtime();
    let house = runtime.block_on(super::gate());
    proptest!(cases(), |(
        phrases in prop::collection::vec(phrase(), 1..10),
        cuts in prop::collection::vec(0_usize..600, 0..30),
        portions in prop::collection::vec(prop_oneof![Just(0), 1_usize..40, Just(usize::MAX)], 1..12),
    )| {
        let script = [phrases.concat(), says::sync()].concat();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = runtime.block_on(play(&house, &script, &[], &[usize::MAX]));
        let split = runtime.block_on(play(&house, &script, &cuts, &portions));
        prop_assert_eq!(&whole, &split);
        prop_assert!(whole.sent.iter().all(|frame| !frame.contains("DROP TABLE")));
        prop_assert!(whole.ran.iter().all(|text| !text.contains("DROP")));
    });
}

#[test]
fn any_split_masks_the_same() {
    let runtime = runtime();
    let house = runtime.block_on(super::rig::masked());
    proptest!(cases(), |(
        phrases in prop::collection::vec(phrase(), 1..8),
        cuts in prop::collection::vec(0_usize..600, 0..30),
        portions in prop::collection::vec(prop_oneof![Just(0), 1_usize..40, 60_000_usize..90_000, Just(usize::MAX)], 1..12),
    )| {
        let script = [phrases.concat(), says::run("SELECT ssn, name FROM people"), says::sync()].concat();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = runtime.block_on(play(&house, &script, &[], &[usize::MAX]));
        let split = runtime.block_on(play(&house, &script, &cuts, &portions));
        prop_assert_eq!(&whole, &split);
        prop_assert!(!whole.told.contains(super::server::CANARY));
    });
}

#[test]
fn any_split_counts_the_same() {
    let runtime = runtime();
    let house = runtime.block_on(super::rig::limited());
    proptest!(cases(), |(
        phrases in prop::collection::vec(phrase(), 1..10),
        cuts in prop::collection::vec(0_usize..600, 0..30),
        portions in prop::collection::vec(prop_oneof![Just(0), 1_usize..40, Just(usize::MAX)], 1..12),
    )| {
        let script = [phrases.concat(), says::run("DELETE FROM items WHERE id < 3"), says::sync()].concat();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = runtime.block_on(play(&house, &script, &[], &[usize::MAX]));
        let split = runtime.block_on(play(&house, &script, &cuts, &portions));
        prop_assert_eq!(&whole, &split);
        // Nothing tells a client of a success that was undone.
        prop_assert!(!whole.told.contains("DELETE 3"));
    });
}

#[test]
fn what_follows_a_query_waits_where_its_end_may_take_a_path_back() {
    let runtime = runtime();
    let house = runtime.block_on(super::gate());
    let script =
        [says::run("SET search_path = public"), says::query("SELECT 1/0"), says::query("SELECT id FROM items")]
            .concat();
    let mut rig = runtime.block_on(Rig::new(&house));
    rig.client(&script);
    let sent = |rig: &Rig, text: &str| rig.sent.windows(text.len()).any(|window| window == text.as_bytes());
    while !sent(&rig, "SELECT 1/0") {
        assert!(rig.deliver(1), "the path was answered");
    }
    // The query's failure takes the path back: a text behind it was judged under one that was not in force any more.
    assert!(!sent(&rig, "SELECT id FROM items"));
    rig.quiet();
    assert!(sent(&rig, "SELECT id FROM items"));
}

#[test]
fn names_mean_the_same_however_late_the_server_is() {
    let runtime = runtime();
    let house = runtime.block_on(super::rig::masked());
    let mut copy = vec![says::run("SET search_path = public"), says::query("COPY items FROM STDIN")];
    copy.extend([says::data(b"bad"), says::done(), says::close("s"), says::sync()]);
    copy.extend([says::run("SELECT ssn, name FROM people"), says::sync()]);
    let mut prepare = vec![says::execute(""), says::sync(), says::run("PREPARE q AS SELECT id FROM items")];
    prepare.extend([says::close("q"), says::bind("", "q"), says::sync()]);
    // The path that a failure took back is asked for behind the Sync; a statement is closed while it is being prepared.
    for frames in [copy, prepare] {
        let script = frames.concat();
        let ends: Vec<usize> = (1..=frames.len()).map(|many| frames.iter().take(many).map(Vec::len).sum()).collect();
        let whole = runtime.block_on(play(&house, &script, &[], &[usize::MAX]));
        for from in 0..=ends.len() {
            for to in from..=ends.len() {
                let split = runtime.block_on(play(&house, &script, &ends[from..to], &[usize::MAX]));
                assert_eq!(whole, split, "one by one from {from} to {to}");
            }
        }
    }
}

#[test]
fn every_single_cut_of_a_pipeline_gives_the_same() {
    let runtime = runtime();
    let house = runtime.block_on(super::gate());
    let script = [
        says::run("SELECT id FROM items"),
        says::parse("x", "DROP TABLE items"),
        says::bind("", "x"),
        says::execute(""),
        says::sync(),
        says::query("SELECT 1"),
    ]
    .concat();
    let whole = runtime.block_on(play(&house, &script, &[], &[usize::MAX]));
    for cut in 0..script.len() {
        assert_eq!(whole, runtime.block_on(play(&house, &script, &[cut], &[3, usize::MAX])), "cut at {cut}");
    }
}

#[test]
fn arbitrary_bytes_of_both_sides_never_panic() {
    let runtime = runtime();
    let house = runtime.block_on(super::gate());
    proptest!(cases(), |(
        phrases in prop::collection::vec(phrase(), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
    )| {
        let mut data = phrases.concat();
        let place = at.index(data.len() + 1);
        data.splice(place..place, noise);
        let session = runtime.block_on(house.session());
        fuzz_core(session, &data);
    });
}
