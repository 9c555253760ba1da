//! What names mean follows the session, whatever changes it.

use crate::speak::{ask, codes, exchange, rows};
use crate::world::{SCHEMA, Wish, World};
use portcullis_testkit::wire::{frontend, outline};

fn refused() -> Result<Vec<String>, String> {
    Err("42501".to_owned())
}

const COUNT: &str = "SELECT count(*) FROM items";

fn hundred() -> Result<Vec<String>, String> {
    Ok(vec!["100".to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p40_a_search_path_is_followed_through_transactions_and_savepoints() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, COUNT).await, hundred());
    ask(&mut client, "SET search_path = evil").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, refused());
    ask(&mut client, "SET search_path = public").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, hundred());
    for undo in ["ROLLBACK", "COMMIT"] {
        ask(&mut client, "BEGIN").await.unwrap();
        ask(&mut client, "SET LOCAL search_path = evil").await.unwrap();
        assert_eq!(ask(&mut client, COUNT).await, refused());
        ask(&mut client, undo).await.unwrap();
        assert_eq!(ask(&mut client, COUNT).await, hundred(), "{undo}");
    }
    ask(&mut client, "BEGIN").await.unwrap();
    ask(&mut client, "SAVEPOINT a").await.unwrap();
    ask(&mut client, "SET search_path = evil").await.unwrap();
    ask(&mut client, "ROLLBACK TO a").await.unwrap();
    // It may be either now, so only what is true of both is allowed.
    assert_eq!(ask(&mut client, COUNT).await, refused());
    ask(&mut client, "ROLLBACK").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, hundred());
    // All at once: each is judged behind the reply to the one before.
    let frames = [
        frontend::query("SET search_path = evil"),
        frontend::query(COUNT),
        frontend::query("SET search_path = public"),
        frontend::query(COUNT),
    ];
    let got = exchange(&mut client, &frames, 4).await;
    assert_eq!((codes(&got), rows(&got)), (vec!["42501".to_owned()], vec!["100".to_owned()]), "{}", outline(&got));
    ask(&mut client, "SELECT set_config('search_path', 'evil', false)").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, refused());
    ask(&mut client, "RESET ALL").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, hundred());
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p57_a_temporary_relation_hides_the_real_one_as_long_as_it_is_there() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, "SELECT word FROM secrets").await, refused());
    ask(&mut client, "CREATE TEMP TABLE secrets (word text)").await.unwrap();
    assert_eq!(ask(&mut client, "SELECT word FROM secrets").await, Ok(vec![]));
    assert_eq!(ask(&mut client, "SELECT word FROM public.secrets").await, refused());
    ask(&mut client, "DROP TABLE pg_temp.secrets").await.unwrap_or_default();
    let still = ask(&mut client, "SELECT to_regclass('pg_temp.secrets')").await;
    if still == Ok(vec!["null".to_owned()]) {
        assert_eq!(ask(&mut client, "SELECT word FROM secrets").await, refused());
    }
    ask(&mut client, "DISCARD ALL").await.unwrap();
    assert_eq!(ask(&mut client, "SELECT word FROM secrets").await, refused());
    ask(&mut client, "BEGIN").await.unwrap();
    ask(&mut client, "CREATE TEMP TABLE secrets (word text) ON COMMIT DROP").await.unwrap();
    ask(&mut client, "COMMIT").await.unwrap();
    assert_eq!(ask(&mut client, "SELECT word FROM secrets").await, refused());
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p57_where_the_path_or_a_type_says_more_nothing_is_settled() {
    let world = World::new().await;
    for path in ["public, PG_TEMP", "Pg_Temp, public", "public,\"pg_temp\""] {
        let mut client = world.client().await;
        let set = format!("SELECT set_config('search_path', '{path}', false)");
        ask(&mut client, &set).await.unwrap();
        assert_eq!(ask(&mut client, COUNT).await, refused(), "{path}");
        ask(&mut client, "CREATE TEMP TABLE secrets (word text)").await.unwrap();
        assert_eq!(ask(&mut client, "SELECT word FROM secrets").await, refused(), "{path}");
        ask(&mut client, "SET search_path = public").await.unwrap();
        assert_eq!(ask(&mut client, COUNT).await, hundred(), "{path}");
        assert_eq!(ask(&mut client, "SELECT word FROM secrets").await, Ok(vec![]), "{path}");
    }
    // Rows of a relation are a type of its name.
    let mut client = world.client().await;
    ask(&mut client, "CREATE TEMP TABLE words (a int)").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, hundred());
    ask(&mut client, "CREATE TEMP TABLE uuid (a int)").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, refused());
    ask(&mut client, "SET search_path = public").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, refused());
    ask(&mut client, "DISCARD ALL").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, hundred());
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p50_what_a_function_did_to_the_search_path_is_asked_for() {
    let sql = Box::leak(
        format!(
            "{SCHEMA} CREATE FUNCTION public.shift() RETURNS void LANGUAGE plpgsql AS \
             $$BEGIN PERFORM set_config('search_path', 'evil', false); END$$;"
        )
        .into_boxed_str(),
    );
    let world = World::with(Wish { sql, ..Wish::default() }).await;
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, COUNT).await, hundred());
    ask(&mut client, "SELECT shift()").await.unwrap();
    assert_eq!(ask(&mut client, COUNT).await, refused());
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p43_what_ddl_made_is_known_behind_it_and_in_its_transaction() {
    let world = World::new().await;
    let mut client = world.client().await;
    ask(&mut client, "CREATE TABLE made (id int)").await.unwrap();
    assert_eq!(ask(&mut client, "SELECT * FROM made").await, Ok(vec![]));
    ask(&mut client, "BEGIN").await.unwrap();
    ask(&mut client, "CREATE TABLE inside (id int)").await.unwrap();
    // It is in no catalogue yet, so its schema is not certain, and only a rule for every schema would allow it.
    let _ = ask(&mut client, "INSERT INTO public.inside VALUES (1)").await;
    ask(&mut client, "ROLLBACK").await.unwrap();
    assert_eq!(ask(&mut client, "SELECT * FROM inside").await, Err("42P01".to_owned()));
    let frames = [frontend::query("CREATE TABLE one (id int)"), frontend::query("SELECT * FROM one")];
    let got = exchange(&mut client, &frames, 2).await;
    assert_eq!(codes(&got), Vec::<String>::new(), "{}", outline(&got));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_questions_leave_the_clients_unnamed_statement_alone() {
    let world = World::new().await;
    let mut client = world.client().await;
    let prepare = [frontend::parse("", "SELECT name FROM items WHERE id = 9"), frontend::sync()];
    exchange(&mut client, &prepare, 1).await;
    // A SET by the extended protocol makes the gateway ask before the next command.
    let set = [
        frontend::parse("set", "SET search_path = public"),
        frontend::bind("p", "set", &[]),
        frontend::execute("p", 0),
        frontend::sync(),
    ];
    exchange(&mut client, &set, 1).await;
    let run = [frontend::bind("", "", &[]), frontend::execute("", 0), frontend::sync()];
    let got = exchange(&mut client, &run, 1).await;
    assert_eq!(rows(&got), ["item 9"], "{}", outline(&got));
}
