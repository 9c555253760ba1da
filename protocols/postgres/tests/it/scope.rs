//! What names mean follows the session, whatever changes it.

use crate::speak::{ask, codes, exchange, rows};
use crate::world::{SCHEMA, Wish, World};
use portcullis_testkit::wire::{RawClient, frontend, outline};

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

/// What is bound under the path `public` and run when it is `evil`, and the SQLSTATE that it must give.
const MOVED: [(&str, Option<&str>); 9] = [
    ("COPY items TO STDOUT", Some("0A000")),
    ("COPY (SELECT name FROM items WHERE id = 9) TO STDOUT", Some("0A000")),
    ("CREATE TABLE late_made (id int)", Some("0A000")),
    ("SELECT id INTO late_made FROM public.items", Some("0A000")),
    ("ALTER TABLE items ADD COLUMN late_made int", Some("0A000")),
    ("COPY secrets TO STDOUT", Some("42501")),
    // The server looks nothing up any more, or the same.
    ("SELECT name FROM items WHERE id = 9", None),
    ("COPY public.items TO STDOUT", None),
    ("SET TimeZone = 'UTC'", None),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_up_when_it_runs_means_what_was_judged_or_is_refused() {
    let world = World::new().await;
    let mut client = world.client().await;
    for (text, code) in MOVED {
        ask(&mut client, "SET search_path = public").await.unwrap();
        let run = [
            frontend::parse("", text),
            frontend::bind("late", "", &[]),
            frontend::parse("", "SET search_path = evil"),
            frontend::bind("path", "", &[]),
            frontend::execute("path", 0),
            frontend::execute("late", 0),
            frontend::sync(),
        ];
        let got = exchange(&mut client, &run, 1).await;
        assert_eq!(codes(&got), code.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{text}: {}", outline(&got));
        let copied = got.iter().filter(|frame| frame.tag == b'd').count();
        assert_eq!(copied, if text == "COPY public.items TO STDOUT" { 100 } else { 0 }, "{text}");
    }
    // Nothing between Bind and Execute, and nothing that changes names: all as ever, in a transaction of several Syncs too.
    ask(&mut client, "SET search_path = public").await.unwrap();
    ask(&mut client, "BEGIN").await.unwrap();
    let bind = [frontend::parse("", "COPY items TO STDOUT"), frontend::bind("late", "", &[]), frontend::sync()];
    exchange(&mut client, &bind, 1).await;
    assert_eq!(ask(&mut client, COUNT).await, hundred());
    let got = exchange(&mut client, &[frontend::execute("late", 0), frontend::sync()], 1).await;
    assert_eq!(got.iter().filter(|frame| frame.tag == b'd').count(), 100, "{}", outline(&got));
    ask(&mut client, "COMMIT").await.unwrap();
    assert_eq!(world.sql("SELECT count(*) FROM pg_attribute WHERE attname = 'late_made'"), "0");
    assert_eq!(world.sql("SELECT count(*) FROM pg_class WHERE relname = 'late_made'"), "0");
}

/// A statement by Parse of this name and one by SQL of the same with `_sql`, both of this text.
async fn prepare(client: &mut RawClient, name: &str, text: &str) {
    let got = exchange(client, &[frontend::parse(name, text), frontend::sync()], 1).await;
    assert_eq!(codes(&got), Vec::<String>::new(), "{text}");
    ask(client, &format!("PREPARE {name}_sql AS {text}")).await.unwrap();
}

/// What both give.
async fn both(client: &mut RawClient, name: &str) -> [Result<Vec<String>, String>; 2] {
    let run = [frontend::bind("", name, &[]), frontend::execute("", 0), frontend::sync()];
    let got = exchange(client, &run, 1).await;
    let bound = codes(&got).into_iter().next().map_or_else(|| Ok(rows(&got)), Err);
    [bound, ask(client, &format!("EXECUTE {name}_sql")).await]
}

fn twice(result: Result<&str, &str>) -> [Result<Vec<String>, String>; 2] {
    let one = result.map(|row| vec![row.to_owned()]).map_err(str::to_owned);
    [one.clone(), one]
}

const NINTH: &str = "SELECT name FROM items WHERE id = 9";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_before_a_name_was_hidden_is_refused() {
    let world = World::new().await;
    let mut client = world.client().await;
    // The first temporary relation makes its schema, behind which the server looks everything up anew.
    ask(&mut client, "CREATE TEMP TABLE first (id int)").await.unwrap();
    prepare(&mut client, "s", NINTH).await;
    assert_eq!(both(&mut client, "s").await, twice(Ok("item 9")));
    ask(&mut client, "CREATE TEMP TABLE items (id int, name text)").await.unwrap();
    assert_eq!(ask(&mut client, NINTH).await, Ok(vec![]));
    assert_eq!(both(&mut client, "s").await, twice(Err("0A000")));
    assert_eq!(ask(&mut client, "EXPLAIN EXECUTE s_sql").await, Err("0A000".to_owned()));
    assert_eq!(ask(&mut client, "CREATE TABLE copied AS EXECUTE s_sql").await, Err("0A000".to_owned()));
    // With the temporary one gone, both mean what they did.
    ask(&mut client, "DISCARD TEMP").await.unwrap();
    assert_eq!(both(&mut client, "s").await, twice(Ok("item 9")));
    // A Describe has the server look: then it stays with the one that it saw, whatever comes before that again.
    ask(&mut client, "CREATE TEMP TABLE items (id int, name text)").await.unwrap();
    prepare(&mut client, "d", NINTH).await;
    ask(&mut client, "DISCARD TEMP").await.unwrap();
    exchange(&mut client, &[frontend::describe(b'S', "d"), frontend::sync()], 1).await;
    ask(&mut client, "CREATE TEMP TABLE items (id int, name text)").await.unwrap();
    let run = [frontend::bind("", "d", &[]), frontend::execute("", 0), frontend::sync()];
    assert_eq!(codes(&exchange(&mut client, &run, 1).await), ["0A000"]);
    // Prepared again it is what it reads as.
    ask(&mut client, "DEALLOCATE s_sql").await.unwrap();
    exchange(&mut client, &[frontend::close(b'S', "s"), frontend::sync()], 1).await;
    prepare(&mut client, "s", "SELECT count(*) FROM items").await;
    assert_eq!(both(&mut client, "s").await, twice(Ok("0")));
    ask(&mut client, "DISCARD ALL").await.unwrap();
    prepare(&mut client, "s", COUNT).await;
    assert_eq!(both(&mut client, "s").await, twice(Ok("100")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_or_function_that_is_made_in_an_earlier_schema_is_not_what_was_prepared() {
    let sql = Box::leak(
        format!("{SCHEMA} CREATE FUNCTION public.mine(text) RETURNS text LANGUAGE sql AS 'SELECT $1';")
            .into_boxed_str(),
    );
    let world = World::with(Wish { sql, ..Wish::default() }).await;
    let mut client = world.client().await;
    ask(&mut client, "SET search_path = other, public").await.unwrap();
    prepare(&mut client, "t", NINTH).await;
    prepare(&mut client, "q", "SELECT name FROM public.items WHERE id = 9").await;
    prepare(&mut client, "f", "SELECT mine(name) FROM public.items WHERE id = 9").await;
    for name in ["t", "q", "f"] {
        assert_eq!(both(&mut client, name).await, twice(Ok("item 9")), "{name}");
    }
    world.sql("CREATE FUNCTION other.mine(text) RETURNS text LANGUAGE sql AS 'SELECT upper($1)'");
    ask(&mut client, "CREATE TABLE other.items (id int, name text)").await.unwrap();
    assert_eq!(both(&mut client, "t").await, twice(Err("0A000")));
    assert_eq!(both(&mut client, "q").await, twice(Ok("item 9")));
    assert_eq!(both(&mut client, "f").await, twice(Err("0A000")));
    // In the transaction that makes it, it is not known which is meant, and only a rule for every schema would allow it.
    let mut client = world.client().await;
    ask(&mut client, "CREATE TABLE public.late (id int)").await.unwrap();
    ask(&mut client, "SET search_path = other, public").await.unwrap();
    prepare(&mut client, "l", "SELECT count(*) FROM late").await;
    ask(&mut client, "BEGIN").await.unwrap();
    ask(&mut client, "CREATE TABLE other.late (id int)").await.unwrap();
    assert_eq!(both(&mut client, "l").await[0], Err("42501".to_owned()));
    ask(&mut client, "ROLLBACK").await.unwrap();
    assert_eq!(both(&mut client, "l").await, twice(Ok("0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_follows_the_path_between_tenants_and_outlives_changes_of_its_tables() {
    let tenants: String = (0..20)
        .map(|n| {
            format!(
                "CREATE SCHEMA tenant_{n}; CREATE TABLE tenant_{n}.items AS \
                 SELECT id, name FROM public.items WHERE id <= {n};\n"
            )
        })
        .collect();
    let sql = Box::leak(format!("{SCHEMA}{tenants}").into_boxed_str());
    let policy = crate::world::BUNDLE.replace("\"table other.*\"]", "\"table other.*\", \"table tenant_*.*\"]");
    let world = World::with(Wish { sql, policy, ..Wish::default() }).await;
    let mut client = world.client().await;
    prepare(&mut client, "s", COUNT).await;
    for n in (0..20).chain([3, 0, 3, 19]) {
        ask(&mut client, &format!("SET search_path = tenant_{n}, public")).await.unwrap();
        assert_eq!(both(&mut client, "s").await, twice(Ok(&n.to_string())));
        assert_eq!(both(&mut client, "s").await, twice(Ok(&n.to_string())));
    }
    for n in [4, 5, 4, 5] {
        ask(&mut client, "BEGIN").await.unwrap();
        ask(&mut client, &format!("SET LOCAL search_path = tenant_{n}, public")).await.unwrap();
        assert_eq!(both(&mut client, "s").await, twice(Ok(&n.to_string())));
        ask(&mut client, "COMMIT").await.unwrap();
    }
    ask(&mut client, "SET search_path = public").await.unwrap();
    world.sql("ALTER TABLE public.items ADD COLUMN more int");
    ask(&mut client, "CREATE TABLE made (id int)").await.unwrap();
    assert_eq!(both(&mut client, "s").await, twice(Ok("100")));
    prepare(&mut client, "m", "SELECT count(*) FROM made").await;
    ask(&mut client, "CREATE TABLE other_made (id int)").await.unwrap();
    assert_eq!(both(&mut client, "m").await, twice(Ok("0")));
    // A partition that comes later is none that the text names.
    ask(&mut client, "CREATE TABLE parted (id int) PARTITION BY RANGE (id)").await.unwrap();
    prepare(&mut client, "p", "SELECT count(*) FROM parted").await;
    ask(&mut client, "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)").await.unwrap();
    assert_eq!(both(&mut client, "p").await, twice(Ok("0")));
}
