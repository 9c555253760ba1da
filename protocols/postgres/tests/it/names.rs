//! The names of prepared statements, portals and cursors, which SQL and the protocol share.

use crate::speak::{ask, codes, exchange, rows, statuses, tags};
use crate::world::World;
use portcullis_testkit::wire::{frontend, outline};

#[tokio::test(flavor = "multi_thread")]
async fn pg_p32_a_statement_outlives_an_error_behind_it_and_a_portal_its_sync_only_in_a_transaction() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::parse("keep", "SELECT name FROM items WHERE id = 1"),
        frontend::parse("", "SELECT 1/0"),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::sync(),
        frontend::bind("p", "keep", &[]),
        frontend::sync(),
        frontend::execute("p", 0),
        frontend::sync(),
        frontend::query("BEGIN"),
        frontend::bind("p", "keep", &[]),
        frontend::sync(),
        frontend::execute("p", 0),
        frontend::sync(),
        frontend::query("COMMIT"),
    ];
    let got = exchange(&mut client, &frames, 7).await;
    assert_eq!(codes(&got), ["22012", "34000"], "{}", outline(&got));
    assert_eq!(rows(&got), ["item 1"]);
    assert_eq!(statuses(&got), "IIITTTI");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p32_preparing_a_name_again_fails_at_the_server_and_the_first_text_is_what_runs() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::parse("s", "SELECT name FROM items WHERE id = 1"),
        frontend::sync(),
        frontend::parse("s", "SELECT name FROM items WHERE id = 2"),
        frontend::sync(),
        frontend::bind("", "s", &[]),
        frontend::execute("", 0),
        frontend::sync(),
        frontend::close(b'S', "s"),
        frontend::parse("s", "SELECT name FROM items WHERE id = 3"),
        frontend::bind("", "s", &[]),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    let got = exchange(&mut client, &frames, 4).await;
    assert_eq!(tags(&got), "1ZEZ2DCZ312DCZ", "{}", outline(&got));
    assert_eq!(codes(&got), ["42P05"]);
    assert_eq!(rows(&got), ["item 1", "item 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p34_sql_and_protocol_share_their_names() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert!(ask(&mut client, "PREPARE sp(int) AS SELECT name FROM items WHERE id = $1").await.is_ok());
    let frames = [
        frontend::bind("", "sp", &[Some("5")]),
        frontend::execute("", 0),
        frontend::parse("pp", "SELECT name FROM items WHERE id = 6"),
        frontend::sync(),
        frontend::query("EXECUTE pp"),
        frontend::query("BEGIN; DECLARE c CURSOR FOR SELECT name FROM items ORDER BY id"),
        frontend::execute("c", 2),
        frontend::sync(),
        frontend::query("FETCH 1 FROM c"),
        frontend::query("COMMIT"),
        frontend::query("FETCH 1 FROM c"),
    ];
    let got = exchange(&mut client, &frames, 7).await;
    assert_eq!(rows(&got), ["item 5", "item 6", "item 1", "item 2", "item 3"], "{}", outline(&got));
    assert_eq!(codes(&got), ["34000"]);
    assert_eq!(ask(&mut client, "DEALLOCATE sp").await, Ok(vec![]));
    assert_eq!(ask(&mut client, "EXECUTE sp(1)").await, Err("26000".to_owned()));
    assert_eq!(ask(&mut client, "DISCARD ALL").await, Ok(vec![]));
    assert_eq!(ask(&mut client, "EXECUTE pp").await, Err("26000".to_owned()));
    assert!(!world.recorder.ledger().contains("EXECUTE sp(1)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p34_what_is_prepared_by_sql_is_judged_when_it_is_prepared_and_when_it_runs() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, "PREPARE p AS DELETE FROM items").await, Err("42501".to_owned()));
    assert_eq!(ask(&mut client, "PREPARE p AS SELECT name FROM items WHERE id = 1").await, Ok(vec![]));
    world.gate.set_policy(crate::world::policy(
        "bundle: test\napplies_to: { connections: [shop], principals: { groups: [agents] } }\nrules:\n  \
         - id: others\n    allow: { actions: [read], objects: [\"table other.*\"] }\n",
    ));
    assert_eq!(ask(&mut client, "EXECUTE p").await, Err("42501".to_owned()));
    assert_eq!(ask(&mut client, "SELECT * FROM other.things").await, Ok(vec!["7".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p38_a_suspended_portal_goes_on_under_the_same_permission() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::query("BEGIN"),
        frontend::parse("", "SELECT id FROM items ORDER BY id LIMIT 5"),
        frontend::bind("p", "", &[]),
        frontend::execute("p", 2),
        frontend::execute("p", 2),
        frontend::sync(),
        frontend::execute("p", 2),
        frontend::execute("p", 2),
        frontend::sync(),
        frontend::query("COMMIT"),
    ];
    let got = exchange(&mut client, &frames, 4).await;
    assert_eq!(tags(&got), "CZ12DDsDDsZDCCZCZ", "{}", outline(&got));
    drop(client);
    let outcomes = crate::world::outcomes(&world.events().await);
    let of_portal: Vec<_> = outcomes.iter().filter(|(text, _)| text.contains("LIMIT 5")).collect();
    assert!(
        matches!(&of_portal[0].1, portcullis_model::Outcome::Completed { rows: 5, .. }),
        "one command, five rows: {of_portal:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p40_a_prepared_text_is_judged_by_what_its_names_mean_when_it_is_bound() {
    let world = World::new().await;
    let mut client = world.client().await;
    let run = [frontend::bind("", "s", &[]), frontend::execute("", 0), frontend::sync()];
    let prepare = [frontend::parse("s", "SELECT count(*) FROM items"), frontend::sync()];
    assert_eq!(tags(&exchange(&mut client, &prepare, 1).await), "1Z");
    assert_eq!(rows(&exchange(&mut client, &run, 1).await), ["100"]);
    assert!(ask(&mut client, "SET search_path = evil, public").await.is_ok());
    let got = exchange(&mut client, &run, 1).await;
    assert_eq!(codes(&got), ["42501"], "{}", outline(&got));
    assert!(ask(&mut client, "SET search_path = public").await.is_ok());
    assert_eq!(rows(&exchange(&mut client, &run, 1).await), ["100"]);
    // In one pipeline, without waiting for anything.
    let all = [
        frontend::parse("", "SET search_path = evil"),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        run[0].clone(),
        run[1].clone(),
        run[2].clone(),
    ];
    let got = exchange(&mut client, &all, 1).await;
    assert_eq!(tags(&got), "12CEZ", "{}", outline(&got));
    assert_eq!(codes(&got), ["42501"]);
    // The pipeline failed, so its SET is gone with it.
    assert_eq!(rows(&exchange(&mut client, &run, 1).await), ["100"]);
}
