//! Errors, notices, notifications and settings: whoever says something about what is masked.

use super::answers::{columns, complete, error, notice, one, ready, row};
use super::{BOTH, CANARY, Rig, detecting, holds, masked, of, outline, rig, says, told};

fn notified(pid: i32) -> Vec<u8> {
    one(b'A', &[&pid.to_be_bytes()[..], b"ch\0", CANARY.as_bytes(), b"\0"].concat())
}

fn setting(name: &str, value: &str) -> Vec<u8> {
    one(b'S', format!("{name}\0{value}\0").as_bytes())
}

/// The server's process, as the rig says.
const OWN: i32 = 4711;

#[tokio::test]
async fn pg_p45_errors_and_notices_say_nothing_wherever_they_come() {
    let mut rig = rig().await;
    // Idle, at Parse, at Bind, at the gateway's own Describe, among rows, behind the end.
    rig.backend(&notice(CANARY));
    rig.client(&[says::run("SELECT ssn, name FROM people"), says::sync()].concat());
    rig.backend(&[notice(CANARY), one(b'1', b""), notice(CANARY), one(b'2', b""), notice(CANARY)].concat());
    rig.backend(&[columns(&BOTH), notice(CANARY), row(&[CANARY, "al"]), notice(CANARY)].concat());
    rig.backend(&[complete("SELECT 1"), notice(CANARY), ready(b'I'), notice(CANARY)].concat());
    assert_eq!(outline(&mut rig), "NN1N2NNDNCNZN");
    rig.client(&says::query("SELECT ssn FROM people"));
    rig.backend(&[error("ERROR", "22P02", CANARY), ready(b'I')].concat());
    rig.client(&[says::parse("", "SELECT ssn FROM people"), says::sync()].concat());
    rig.backend(&[error("ERROR", "P0001", CANARY), ready(b'I')].concat());
    rig.client(&[says::run("SELECT ssn FROM people"), says::sync()].concat());
    rig.backend(&[one(b'1', b""), one(b'2', b""), error("ERROR", "22012", CANARY), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "EZEZ12EZ");
    rig.client(&says::query("SELECT ssn FROM people"));
    rig.backend(&error("FATAL", "XX000", CANARY));
    assert_eq!(outline(&mut rig), "E");
}

#[tokio::test]
async fn pg_p45_what_is_deferred_says_nothing_at_the_end_of_the_transaction() {
    let mut rig = rig().await;
    let update = "UPDATE people SET name = 'x' WHERE id = 1";
    rig.client(&says::query("BEGIN"));
    rig.backend(&[complete("BEGIN"), ready(b'T')].concat());
    rig.client(&says::query(update));
    rig.backend(&[complete("UPDATE 1"), ready(b'T')].concat());
    rig.client(&says::query("COMMIT"));
    rig.backend(&[notice(CANARY), notified(OWN), error("ERROR", "23505", CANARY), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "CZCZNAEZ");
    // Without a transaction of its own, at Sync, and at a Query that comes in its place.
    rig.client(&[says::run(update), says::sync()].concat());
    rig.backend(&[one(b'1', b""), one(b'2', b""), one(b'n', b""), complete("UPDATE 1")].concat());
    rig.backend(&[notified(OWN), error("ERROR", "23505", CANARY), ready(b'I')].concat());
    rig.client(&[says::run(update), says::query("SELECT 1")].concat());
    rig.backend(&[one(b'1', b""), one(b'2', b""), one(b'n', b""), complete("UPDATE 1")].concat());
    rig.backend(&[error("ERROR", "23505", CANARY), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "12CAEZ12CEZ");
    // Behind it, a clean command's words are its own.
    rig.client(&says::query("SELECT id FROM items"));
    rig.backend(&[error("ERROR", "22P02", "its own words"), ready(b'I')].concat());
    assert!(holds(&told(&mut rig), "its own words"));
}

#[tokio::test]
async fn what_a_command_set_off_elsewhere_says_nothing_though_the_command_touches_nothing() {
    let failed = |tag: u8, more: &str| {
        let said = format!("SERROR\0VERROR\0C23502\0Mnull value\0DFailing row contains ({CANARY})\0{more}\0");
        one(tag, said.as_bytes())
    };
    // A cascade and a trigger have a context, a query of their own, or name the relation; one that is not known counts.
    for more in [
        "WSQL statement \"UPDATE ONLY ...\"\0",
        "WCOPY items, line 1\nPL/pgSQL function f() line 3 at RAISE\0",
        "qSELECT 1\0p1\0",
        "spublic\0tpeople\0cssn\0",
        "selsewhere\0tpeople\0",
        "tpeople\0",
    ] {
        for tag in [b'E', b'N'] {
            let mut rig = rig().await;
            rig.client(&says::query("DELETE FROM items WHERE id = 1"));
            rig.backend(&failed(tag, more));
            let told = told(&mut rig);
            assert!(holds(&told, "23502") || tag == b'N', "{more}");
        }
    }
    // What is about the client's own data stays.
    for more in ["", "spublic\0titems\0", "WCOPY items, line 1, column id: \"x\"\0", "WJSON data, line 1: {x\0"] {
        let mut rig = rig().await;
        rig.client(&says::query("DELETE FROM items WHERE id = 1"));
        let said = failed(b'E', more);
        rig.backend(&said);
        assert_eq!(rig.told(), said, "{more}");
    }
}

#[tokio::test]
async fn the_record_keeps_nothing_of_what_a_command_set_off_elsewhere() {
    let house = masked().await;
    let mut rig = Rig::by_hand(&house, &["agents", "privacy"]).await;
    rig.client(&says::query("DELETE FROM items WHERE id = 1"));
    let said = format!("SERROR\0VERROR\0CP0001\0M{CANARY}\0WPL/pgSQL function f() line 3 at RAISE\0\0");
    rig.backend(&[one(b'E', said.as_bytes()), ready(b'I')].concat());
    assert!(holds(&rig.told(), CANARY));
    let id = rig.id;
    drop(rig);
    let answers = house.answers(id).await;
    assert!(!answers.is_empty() && answers.iter().all(|one| !one.contains(CANARY)), "{answers:?}");
}

#[tokio::test]
async fn words_about_what_was_sent_before_do_not_depend_on_what_was_sent_behind() {
    let mut rig = rig().await;
    rig.client(&[says::query("SELECT id FROM items"), says::query("SELECT ssn FROM people")].concat());
    rig.backend(&[error("ERROR", "22P02", "its own words"), ready(b'I')].concat());
    assert!(holds(&told(&mut rig), "its own words"));
    rig.backend(&[error("ERROR", "22P02", CANARY), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "EZ");
}

#[tokio::test]
async fn pg_p46_a_notification_passes_from_its_own_session_and_says_nothing_from_another() {
    let mut rig = rig().await;
    rig.backend(&notified(OWN + 1));
    assert_eq!(outline(&mut rig), "A");
    rig.client(&says::query("SELECT id FROM items"));
    rig.backend(&notified(OWN + 1));
    assert_eq!(outline(&mut rig), "A");
    let own = one(b'A', &[&OWN.to_be_bytes()[..], b"ch\0mine\0"].concat());
    rig.backend(&own);
    assert_eq!(rig.told(), own);
}

#[tokio::test]
async fn pg_p46_a_setting_that_may_hold_what_was_touched_is_not_told() {
    let mut rig = rig().await;
    rig.client(&says::query("SET TimeZone = 'UTC'"));
    rig.backend(&[complete("SET"), setting("TimeZone", "UTC"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "CSZ");
    rig.client(&says::query("UPDATE people SET name = 'x' WHERE id = 1"));
    rig.backend(
        &[complete("UPDATE 1"), setting("application_name", CANARY), setting("DateStyle", "ISO, MDY")].concat(),
    );
    rig.backend(&ready(b'I'));
    assert_eq!(outline(&mut rig), "CSZ");
    // What was set then may come back when something else is taken back.
    rig.client(&says::query("ROLLBACK"));
    rig.backend(&[complete("ROLLBACK"), setting("application_name", CANARY), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "CZ");
}

#[tokio::test]
async fn what_detectors_find_in_words_and_settings_is_not_told() {
    const CARD: &str = "4111111111111111";
    let mut rig = of(detecting().await).await;
    rig.client(&says::query("SELECT name FROM items"));
    rig.backend(&[columns(&[("name", 20_000, 2, 25)]), row(&[CARD]), setting("application_name", CARD)].concat());
    rig.backend(&[notice(CARD), error("ERROR", "P0001", CARD), ready(b'I')].concat());
    let client = rig.told();
    assert_eq!(super::tags(&client), "TDNEZ");
    assert!(!holds(&client, CARD));
}

#[tokio::test]
async fn pg_p28_an_error_in_a_stand_ins_place_that_is_not_its_own_says_nothing_either() {
    let mut rig = rig().await;
    rig.client(&says::query("DROP TABLE people"));
    rig.backend(&[error("ERROR", "XX000", CANARY), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "EZ");
}

#[tokio::test]
async fn the_record_keeps_no_words_about_what_is_masked_whoever_asked() {
    let house = masked().await;
    let mut rig = Rig::by_hand(&house, &["agents", "privacy"]).await;
    rig.client(&says::query("SELECT ssn FROM people"));
    rig.backend(&[notice(CANARY), error("ERROR", "22P02", CANARY), ready(b'I'), notified(OWN + 1)].concat());
    rig.client(&says::query("SELECT id FROM items"));
    rig.backend(&[error("ERROR", "22P02", "its own words"), ready(b'I')].concat());
    let client = rig.told();
    assert_eq!(
        (super::tags(&client).as_str(), client.windows(11).filter(|w| *w == CANARY.as_bytes()).count()),
        ("NEZAEZ", 4)
    );
    let id = rig.id;
    drop(rig);
    let answers = house.answers(id).await;
    assert!(answers.iter().all(|one| !one.contains(CANARY)), "{answers:?}");
    assert!(answers.iter().any(|one| one == "failed: its own words"), "{answers:?}");
}
