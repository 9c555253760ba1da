//! What the record says became of each command.

use super::rig::{Rig, says};

async fn record(script: Vec<u8>) -> Vec<String> {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&script);
    rig.quiet();
    let id = rig.id;
    drop(rig);
    house.told(id).await
}

#[tokio::test]
async fn a_query_is_settled_with_what_the_server_said_last() {
    assert_eq!(
        record([says::query("SELECT id FROM items; INSERT INTO items VALUES (1)"), says::query("SELECT 1/0")].concat())
            .await,
        [
            "1 SELECT id FROM items; INSERT INTO items VALUES (1)",
            "2 SELECT 1/0",
            "1 completed INSERT 0 1 1",
            "2 failed 22012",
        ]
    );
}

#[tokio::test]
async fn a_parse_is_prepared_and_each_bind_a_command_of_its_own() {
    let script = [
        says::parse("s", "SELECT id FROM items"),
        says::bind("", "s"),
        says::execute(""),
        says::bind("", "s"),
        says::sync(),
    ];
    assert_eq!(
        record(script.concat()).await,
        [
            "1 prepared SELECT id FROM items",
            "2 SELECT id FROM items",
            "3 SELECT id FROM items",
            "2 completed SELECT 1 1",
            "3 completed BIND 0",
        ]
    );
}

#[tokio::test]
async fn pg_p23_what_the_server_discards_is_recorded_as_skipped() {
    let script = [
        says::run("SELECT 1/0"),
        says::bind("", ""),
        says::execute(""),
        says::query("SELECT id FROM items"),
        says::sync(),
    ];
    let told = record(script.concat()).await;
    assert!(told.contains(&"2 failed 22012".to_owned()), "{told:?}");
    assert!(told.contains(&"3 skipped".to_owned()) && told.contains(&"4 skipped".to_owned()), "{told:?}");
}

#[tokio::test]
async fn names_beyond_ascii_pass_only_where_the_database_says_that_it_is_in_utf8() {
    let house = super::gate().await;
    for (encoding, refused) in [(Some("LATIN1"), true), (Some("SQL_ASCII"), true), (None, true), (Some("UTF8"), false)]
    {
        let mut rig = Rig::new(&house).await;
        rig.quiet();
        let reported = encoding.map(|encoding| ("server_encoding".to_owned(), encoding.to_owned()));
        rig.core.begins_with(&[], &reported.into_iter().collect());
        for text in [
            "SELECT id AS \"é\" FROM items",
            "SELECT id AS é FROM items",
            "SELECT set_config('search_path', 'é', false)",
        ] {
            rig.told();
            rig.client(&says::query(text));
            rig.quiet();
            assert_eq!(rig.outline().contains("E0A000"), refused, "{encoding:?}: {text}");
        }
        rig.client(&says::query("SELECT id FROM items WHERE name = 'é'"));
        rig.quiet();
        assert!(!rig.outline().contains('E'), "{encoding:?}");
        rig.client(&[says::parse("é", "SELECT id FROM items"), says::sync()].concat());
        rig.quiet();
        assert_eq!(rig.outline().contains("E42602"), refused, "{encoding:?}");
    }
}

#[tokio::test]
async fn what_is_under_way_when_the_session_drops_is_interrupted() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.quiet();
    rig.client(&says::query("SELECT id FROM items"));
    let id = rig.id;
    drop(rig);
    assert!(house.told(id).await.contains(&"1 interrupted".to_owned()));
}

#[tokio::test]
async fn pg_p34_names_made_by_sql_are_the_protocols_and_the_other_way_round() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&says::query("PREPARE q AS SELECT id FROM items"));
    rig.client(&says::query("EXECUTE q"));
    rig.client(&says::query("EXECUTE unknown"));
    rig.client(&[says::parse("p", "SELECT name FROM others"), says::sync()].concat());
    rig.client(&says::query("EXPLAIN EXECUTE p"));
    rig.client(&says::query("DEALLOCATE q; SELECT 1"));
    rig.client(&says::query("EXECUTE q"));
    rig.quiet();
    assert_eq!(rig.outline(), "C ZI C ZI E26000 ZI 1 ZI C ZI C T D C ZI E26000 ZI");
}

#[tokio::test]
async fn pg_p34_a_name_used_in_the_text_that_makes_it_is_judged_as_made_there() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&says::query("PREPARE q AS DROP TABLE items"));
    rig.client(&says::query("PREPARE q AS SELECT id FROM items; EXECUTE q; DEALLOCATE q; EXECUTE q"));
    rig.quiet();
    // PREPARE takes only queries, so the first is no grammar; the last EXECUTE has nothing to run.
    assert_eq!(rig.outline(), "E42601 ZI E26000 ZI");
}
