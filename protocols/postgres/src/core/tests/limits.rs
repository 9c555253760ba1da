//! Statements that may write so many rows: what is counted, what is undone, and what the client is told. The rule lets
//! two rows of `public.items` be written; the server writes as many as `id <` says.

use super::rig::{House, Rig, says};

const FEW: &str = "DELETE FROM items WHERE id < 2";
const MANY: &str = "DELETE FROM items WHERE id < 3";

async fn rig(house: &House) -> Rig {
    let mut rig = Rig::new(house).await;
    rig.quiet();
    rig.told();
    rig.server.ran.clear();
    rig
}

/// What the server ran, without the gateway's own questions.
fn ran(rig: &mut Rig) -> Vec<String> {
    let mut ran = std::mem::take(&mut rig.server.ran);
    ran.retain(|text| !text.contains("current_schemas"));
    ran
}

#[tokio::test]
async fn a_query_outside_a_transaction_is_committed_or_rolled_back_by_the_gateway() {
    let house = super::rig::limited().await;
    for (text, told, end) in [
        (FEW, "C ZI", "COMMIT"),
        (MANY, "E42501 ZI", "ROLLBACK"),
        ("DELETE FROM items WHERE id < 2 RETURNING id", "T D D C ZI", "COMMIT"),
        ("DELETE FROM items WHERE id < 3 RETURNING id", "E42501 ZI", "ROLLBACK"),
        ("DELETE FROM items WHERE id < 1/0", "E22012 ZI", "ROLLBACK"),
    ] {
        let mut rig = rig(&house).await;
        rig.client(&[says::query(text), says::query("SELECT id FROM items")].concat());
        rig.quiet();
        assert_eq!(rig.outline(), format!("{told} T D C ZI"), "{text}");
        assert_eq!(ran(&mut rig), ["BEGIN", text, end, "SELECT id FROM items"]);
    }
}

#[tokio::test]
async fn a_query_inside_a_transaction_fails_it_as_any_error_would() {
    let house = super::rig::limited().await;
    let mut rig = rig(&house).await;
    rig.client(&[says::query("BEGIN"), says::query(FEW), says::query(MANY), says::query(FEW)].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "C ZT C ZT E42501 ZE E25P02 ZE");
    rig.client(&[says::query("COMMIT"), says::query("SELECT id FROM items")].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "C ZI T D C ZI");
    assert_eq!(ran(&mut rig), ["BEGIN", FEW, MANY, "COMMIT", "SELECT id FROM items"]);
}

#[tokio::test]
async fn an_execute_that_wrote_too_many_fails_all_up_to_its_sync() {
    let house = super::rig::limited().await;
    let mut rig = rig(&house).await;
    rig.client(&[says::run(FEW), says::run(MANY), says::run(FEW), says::sync(), says::run(FEW), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 C 1 2 E42501 ZI 1 2 C ZI");
    assert_eq!(ran(&mut rig), [FEW, MANY, FEW], "what is behind it was discarded");
    let id = rig.id;
    drop(rig);
    let told = house.told(id).await;
    assert!(told.contains(&"4 refused, 3 rows undone".to_owned()), "{told:?}");
}

#[tokio::test]
async fn rows_are_kept_back_until_they_were_counted() {
    let house = super::rig::limited().await;
    let mut rig = rig(&house).await;
    let text = "DELETE FROM items WHERE id < 2 RETURNING id";
    rig.client(&[says::run(text), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 D D C ZI");
    rig.client(&[says::run(&text.replace('2', "3")), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 E42501 ZI");
    // An answer that is longer than is kept is undone though its rows are few.
    let long = "DELETE FROM items WHERE id < 2 RETURNING long";
    rig.client(&[says::run(long), says::sync(), says::query(long)].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 E42501 ZI E42501 ZI");
    assert_eq!(ran(&mut rig).last().map(String::as_str), Some("ROLLBACK"));
}

#[tokio::test]
async fn a_portal_that_is_run_in_parts_is_undone() {
    let house = super::rig::limited().await;
    let mut rig = rig(&house).await;
    let bound = [says::parse("", "DELETE FROM items WHERE id < 2 RETURNING parts"), says::bind("", "")].concat();
    rig.client(&[bound, says::execute_some("", 1), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 E42501 ZI");
    // Where it writes all at once, the limit on rows means nothing to the server, and drivers send one.
    rig.client(&[says::parse("", FEW), says::bind("", ""), says::execute_some("", 1), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 C ZI");
}

#[tokio::test]
async fn what_is_not_counted_is_refused_and_not_sent() {
    let house = super::rig::limited().await;
    for text in [
        "DELETE FROM items WHERE id < 1; DELETE FROM items WHERE id < 1",
        "EXPLAIN ANALYZE DELETE FROM items WHERE id < 1",
        "WITH d AS (DELETE FROM items WHERE id < 1 RETURNING id) SELECT id FROM d",
        "WITH d AS (DELETE FROM items WHERE id < 1 RETURNING id) DELETE FROM items WHERE id < 1",
        "INSERT INTO ruled VALUES (1)",
        "INSERT INTO elsewhere VALUES (1)",
        "COPY (DELETE FROM items WHERE id < 1 RETURNING id) TO STDOUT",
    ] {
        let mut rig = rig(&house).await;
        rig.client(&says::query(text));
        rig.quiet();
        let told = rig.outline();
        assert!(told == "E42501 ZI" || told == "E42P01 ZI", "{text}: {told}");
        assert!(ran(&mut rig).is_empty(), "{text}");
        rig.client(&[says::run(text), says::sync()].concat());
        rig.quiet();
        assert!(!rig.outline().contains('C'), "{text}");
        assert!(ran(&mut rig).is_empty(), "{text}");
    }
    let mut rig = rig(&house).await;
    rig.client(&[says::query("EXPLAIN DELETE FROM items WHERE id < 9"), says::query("SELECT id FROM items")].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "C ZI T D C ZI", "what runs nothing is not limited");
}

#[tokio::test]
async fn what_sql_prepared_is_counted_when_it_is_run() {
    let house = super::rig::limited().await;
    let mut rig = rig(&house).await;
    let prepare = format!("PREPARE d AS {MANY}");
    rig.client(&[says::query(&prepare), says::query("EXECUTE d")].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "C ZI E42501 ZI");
    assert_eq!(ran(&mut rig), [prepare.as_str(), "BEGIN", "EXECUTE d", "ROLLBACK"]);
    rig.client(&[says::run("EXECUTE d"), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 E42501 ZI");
}

#[tokio::test]
async fn copy_data_is_counted_when_it_is_done() {
    let house = super::rig::limited().await;
    for (rows, told, end) in [(2, "G C ZI", "COMMIT"), (3, "G E42501 ZI", "ROLLBACK")] {
        let mut rig = rig(&house).await;
        let data: Vec<u8> = (0..rows).flat_map(|_| says::data(b"1\ta\n")).collect();
        let copy = [says::query("COPY items FROM STDIN"), data.clone(), says::done()].concat();
        rig.client(&[copy, says::query("SELECT id FROM items")].concat());
        rig.quiet();
        assert_eq!(rig.outline(), format!("{told} T D C ZI"));
        assert_eq!(ran(&mut rig), ["BEGIN", "COPY items FROM STDIN", end, "SELECT id FROM items"]);
        rig.client(&[says::run("COPY items FROM STDIN"), data, says::done(), says::sync()].concat());
        rig.quiet();
        assert_eq!(rig.outline(), format!("1 2 {told}"));
    }
}

/// A cancel of the client may meet whatever runs at the server, the gateway's own statements too.
#[tokio::test]
async fn what_the_gateway_puts_around_a_query_may_fail_and_nothing_passes_by_it() {
    let house = super::rig::limited().await;
    for (text, fails, told, expected) in [
        (MANY, "BEGIN", "E57014 ZI", &["BEGIN"][..]),
        (FEW, "COMMIT", "E57014 ZI", &["BEGIN", FEW, "COMMIT", "ROLLBACK"]),
        (MANY, "ROLLBACK", "E42501 ZI", &["BEGIN", MANY, "ROLLBACK", "ROLLBACK"]),
        (FEW, FEW, "E57014 ZI", &["BEGIN", FEW, "ROLLBACK"]),
    ] {
        let mut rig = rig(&house).await;
        rig.server.fails = Some(fails.to_owned());
        rig.client(&[says::query(text), says::query("SELECT id FROM items")].concat());
        rig.quiet();
        assert_eq!(rig.outline(), format!("{told} T D C ZI"), "{text} with {fails}");
        let mut ran = ran(&mut rig);
        ran.pop();
        assert_eq!(ran, expected, "{text} with {fails}");
    }
}

#[tokio::test]
async fn a_deferred_constraint_replaces_the_success() {
    let house = super::rig::limited().await;
    let mut rig = rig(&house).await;
    rig.server.deferred = true;
    rig.client(
        &[says::query("DELETE FROM items WHERE id < 2 RETURNING id"), says::query("SELECT id FROM items")].concat(),
    );
    rig.quiet();
    assert_eq!(rig.outline(), "E23503 ZI T D C ZI");
    let id = rig.id;
    drop(rig);
    let told = house.told(id).await;
    assert!(told.contains(&"1 failed 23503".to_owned()), "{told:?}");
}

#[tokio::test]
async fn frames_before_a_sync_and_a_query_behind_them_fall_together() {
    let house = super::rig::limited().await;
    let mut rig = rig(&house).await;
    rig.client(&[says::run(FEW), says::query(MANY), says::sync(), says::query(FEW)].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 C E42501 ZI ZI C ZI");
    assert_eq!(ran(&mut rig), [FEW, "BEGIN", MANY, "ROLLBACK", "BEGIN", FEW, "COMMIT"]);
    // And where they fail, the Query is discarded with them.
    rig.client(&[says::run("SELECT 1/0"), says::query(MANY), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 E22012 ZI");
}
