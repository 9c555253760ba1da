//! What people are told of a statement that is held, as far as the core knows: the rule holds what deletes from
//! `public.items`, in transactions too, and wants its rows counted.

use super::rig::{Rig, says};
use super::server::frame;
use crate::message::ClientMessage;
use crate::preview::Foretold;
use crate::startup::Setting;
use bytes::BytesMut;

/// What people would be told about what was held last.
fn told(rig: &mut Rig) -> String {
    rig.quiet();
    assert!(rig.hold.is_some(), "something is held");
    let told = match rig.preview.take() {
        None => "nothing".to_owned(),
        Some(Foretold::Said(preview)) => preview.to_string(),
        Some(Foretold::Ask(wanted)) => {
            assert!(wanted.counts);
            wanted.question.plan
        }
    };
    rig.withdraw();
    rig.quiet();
    rig.told();
    told
}

const ONE: &str = "DELETE FROM items WHERE id = 1";
const ASKED: &str = "EXPLAIN (FORMAT JSON) DELETE FROM items WHERE id = 1";
const CHANGED: &str = "no preview: its transaction has changed what only it sees";

#[tokio::test]
async fn the_database_is_asked_about_what_writes_rows_and_nothing_else_is() {
    let house = super::rig::holding().await;
    let mut rig = Rig::new(&house).await;
    for (text, expected) in [
        (ONE, ASKED),
        ("DELETE FROM items WHERE leave(id)", "no preview: it would also execute function ?.leave"),
        ("DELETE FROM items; DELETE FROM items", "no preview: it is one of several statements in one text"),
        ("TRUNCATE items", "nothing"),
    ] {
        rig.client(&says::query(text));
        assert_eq!(told(&mut rig), expected, "{text}");
    }
}

#[tokio::test]
async fn the_values_of_a_bind_are_asked_with() {
    let house = super::rig::holding().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::run("DELETE FROM items WHERE id = 7"), says::sync()].concat());
    rig.quiet();
    let Some(Foretold::Ask(wanted)) = rig.preview.take() else { panic!("it is asked") };
    let (types, body) = wanted.bound.expect("a Bind");
    assert!(types.is_empty());
    assert!(matches!(ClientMessage::decode(b'B', &body), Ok(ClientMessage::Bind { .. })));
}

#[tokio::test]
async fn a_transaction_that_changed_what_only_it_sees_has_none_until_it_is_over() {
    let house = super::rig::holding().await;
    let mut rig = Rig::new(&house).await;
    let write = says::query("INSERT INTO others (id) VALUES (1)");
    for (before, expected) in [
        (write.clone(), ASKED),
        (says::query("BEGIN"), ASKED),
        (says::query("SELECT id FROM items"), "nothing is held any more"),
        (says::query("ROLLBACK"), ASKED),
        ([says::query("BEGIN"), write.clone()].concat(), CHANGED),
        (says::query("ROLLBACK"), ASKED),
        ([says::query("BEGIN"), says::query("SELECT id FROM items")].concat(), ASKED),
        (says::query("ROLLBACK"), ASKED),
    ] {
        rig.client(&before);
        rig.quiet();
        if expected == "nothing is held any more" {
            // What was held failed its transaction.
            continue;
        }
        rig.client(&says::query(ONE));
        assert_eq!(told(&mut rig), expected);
    }
    // The same where the transaction is that of a pipeline.
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::run("INSERT INTO others (id) VALUES (1)"), says::run(ONE), says::sync()].concat());
    assert_eq!(told(&mut rig), CHANGED);
    rig.client(&[says::run(ONE), says::sync()].concat());
    assert_eq!(told(&mut rig), ASKED);
}

/// How another session would have to read the values of what is held.
fn settings(rig: &mut Rig) -> Result<Vec<Setting>, String> {
    rig.client(&says::query(ONE));
    rig.quiet();
    let told = match rig.preview.take().expect("something is held") {
        Foretold::Ask(wanted) => Ok(wanted.settings),
        Foretold::Said(preview) => Err(preview.to_string()),
    };
    rig.withdraw();
    rig.quiet();
    rig.told();
    told
}

fn report(rig: &mut Rig, name: &str, value: &str) {
    let mut out = BytesMut::new();
    frame(&mut out, b'S', format!("{name}\0{value}\0").as_bytes());
    rig.backend(&out);
}

#[tokio::test]
async fn values_are_read_as_the_server_says_that_the_session_reads_them() {
    let house = super::rig::holding().await;
    let mut rig = Rig::new(&house).await;
    let at_login = [("DateStyle", "ISO, MDY"), ("TimeZone", "UTC"), ("server_version", "18.1")];
    let at_login = at_login.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let chosen = [("bytea_output", "escape".to_owned()), ("TimeZone", "utc".to_owned()), ("jit", "off".to_owned())];
    rig.core.begins_with(&chosen, &at_login.into());
    let setting = |name, value: &str| (name, value.to_owned());
    let as_it_began =
        vec![setting("DateStyle", "ISO, MDY"), setting("TimeZone", "UTC"), setting("bytea_output", "escape")];
    assert_eq!(settings(&mut rig), Ok(as_it_began));
    rig.client(&says::query("SET datestyle = 'SQL, DMY'"));
    rig.quiet();
    report(&mut rig, "DateStyle", "SQL, DMY");
    let changed = vec![setting("DateStyle", "SQL, DMY"), setting("TimeZone", "UTC"), setting("bytea_output", "escape")];
    assert_eq!(settings(&mut rig), Ok(changed.clone()));
    for harmless in
        ["SET application_name = 'x'", "SET search_path = public", "SET statement_timeout = 1", "SET jit = on"]
    {
        rig.client(&says::query(harmless));
        rig.quiet();
    }
    assert_eq!(settings(&mut rig), Ok(changed));
    // What the server has not reported yet, and what it never does.
    let chosen = "no preview: its session has chosen how values are read";
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::run("SET DateStyle = 'SQL, DMY'"), says::run(ONE), says::sync()].concat());
    assert_eq!(told(&mut rig), chosen);
    assert_eq!(settings(&mut rig), Ok(Vec::new()));
    rig.client(&says::query("SET extra_float_digits = 0"));
    rig.quiet();
    assert_eq!(settings(&mut rig), Err(chosen.to_owned()));
}

#[tokio::test]
async fn a_transaction_that_may_see_an_older_state_has_none() {
    let older = "no preview: its transaction may see an older state";
    let began = "no preview: it asks when its transaction began";
    let house = super::rig::holding().await;
    let clock = "DELETE FROM items WHERE now() > '2026-01-01'";
    let clock_asked = "EXPLAIN (FORMAT JSON) DELETE FROM items WHERE now() > '2026-01-01'";
    for (before, text, expected) in [
        (vec!["BEGIN ISOLATION LEVEL REPEATABLE READ"], ONE, older),
        (vec!["BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"], ONE, older),
        (vec!["BEGIN ISOLATION LEVEL SERIALIZABLE", "ROLLBACK"], ONE, ASKED),
        (vec!["BEGIN ISOLATION LEVEL SERIALIZABLE", "ROLLBACK", "BEGIN"], ONE, ASKED),
        (vec!["SET default_transaction_isolation = 'repeatable read'"], ONE, ASKED),
        (vec!["SET default_transaction_isolation = 'repeatable read'", "BEGIN"], ONE, older),
        (vec!["BEGIN ISOLATION LEVEL READ COMMITTED"], ONE, ASKED),
        (vec![], clock, clock_asked),
        (vec!["BEGIN"], clock, began),
    ] {
        let mut rig = Rig::new(&house).await;
        for text in &before {
            rig.client(&says::query(text));
            rig.quiet();
        }
        rig.client(&says::query(text));
        assert_eq!(told(&mut rig), expected, "{before:?}");
    }
    // What ran before it in one pipeline has begun its transaction.
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::run("SELECT id FROM items"), says::run(clock), says::sync()].concat());
    assert_eq!(told(&mut rig), began);
    rig.client(&[says::run(clock), says::sync()].concat());
    assert_eq!(told(&mut rig), clock_asked);
}

#[tokio::test]
async fn a_text_that_is_long_is_not_read_again() {
    let house = super::rig::holding().await;
    let mut rig = Rig::new(&house).await;
    for (length, expected) in [(60 << 10, "EXPLAIN"), (64 << 10, "no preview: its text is too long")] {
        rig.client(&says::query(&format!("{ONE} OR name = '{}'", "x".repeat(length))));
        assert!(told(&mut rig).starts_with(expected), "{length}");
    }
}
