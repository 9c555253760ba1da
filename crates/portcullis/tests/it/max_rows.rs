//! `max_rows` through the built binary: what real clients are told, and what a direct connection finds in the table
//! afterwards. The rule lets a statement write three rows; each table has ten.

use crate::surroundings::{BINARY, eventually, fetched, libpq_client, server, succeed};
use bytes::Bytes;
use portcullis_testkit::Postgres;
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::process::run_with_input;
use portcullis_testkit::wire::frontend::{bind, execute, parse, query, sync};
use portcullis_testkit::wire::{Frame, RawClient, outline};
use std::process::Command;

const TABLES: &str = "
    CREATE TABLE items (id int PRIMARY KEY, note text);
    CREATE TABLE owners (id int PRIMARY KEY);
    CREATE TABLE owned (id int PRIMARY KEY, owner int REFERENCES owners ON DELETE CASCADE);
    CREATE TABLE pets (id int PRIMARY KEY);
    CREATE TABLE toys (id int PRIMARY KEY, pet int REFERENCES pets DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE watched (id int PRIMARY KEY);
    CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM items; RETURN NULL; END$$;
    CREATE TRIGGER watch AFTER DELETE ON watched FOR EACH STATEMENT EXECUTE FUNCTION watch();
    CREATE VIEW seen AS SELECT id FROM items;
    CREATE TABLE parts (id int) PARTITION BY RANGE (id);
    CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (5);
    CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (5) TO (100);
    INSERT INTO items SELECT n, 'item' FROM generate_series(1, 10) n;
    INSERT INTO owners SELECT n FROM generate_series(1, 10) n;
    INSERT INTO owned SELECT n, 1 FROM generate_series(1, 10) n;
    INSERT INTO pets SELECT n FROM generate_series(1, 10) n;
    INSERT INTO toys SELECT n, n FROM generate_series(1, 10) n;
    INSERT INTO watched SELECT n FROM generate_series(1, 10) n;
    INSERT INTO parts SELECT n FROM generate_series(1, 10) n;";

const FEW: &str = r#"
bundle: few
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: read
    allow: { actions: [read], objects: ["table public.*"], marks: [bulk] }
  - id: few
    allow: { actions: [write], objects: ["table public.*"], marks: [bulk] }
    max_rows: 3
    message: Three rows at a time.
"#;

struct Seat {
    server: &'static Postgres,
    database: String,
    gateway: Gateway,
}

impl Seat {
    fn open(policy: &str) -> Option<Self> {
        let server = server()?;
        let database = server.create_database("max_rows", TABLES).unwrap();
        let gateway = Settings::new(BINARY)
            .plaintext()
            .policy("few", policy)
            .postgres("shop", server, &database)
            .start()
            .unwrap();
        Some(Self { server, database, gateway })
    }

    async fn client(&self) -> RawClient {
        let token = self.gateway.token("agent", &["agents"]).unwrap();
        RawClient::login(&self.gateway.address("postgres").unwrap(), "agent", "shop", &token).await.unwrap()
    }

    fn dsn(&self) -> String {
        let token = self.gateway.token("agent", &["agents"]).unwrap();
        self.gateway.dsn("shop", "agent", &token).unwrap()
    }

    /// Rows of a table, as a direct connection counts them.
    fn rows(&self, table: &str) -> usize {
        let count = format!("SELECT count(*) FROM {table}");
        self.server.run_sql(&self.database, &count).unwrap().trim().parse().unwrap()
    }
}

fn said(heard: &[Frame]) -> String {
    heard.iter().filter(|frame| frame.tag == b'E').map(|frame| String::from_utf8_lossy(&frame.body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_writes_too_many_is_undone_and_told_so() {
    let Some(seat) = Seat::open(FEW) else { return };
    let mut client = seat.client().await;
    for (text, told, left) in [
        ("DELETE FROM items", "E:42501 Z:I", 10),
        ("DELETE FROM items WHERE id > 3 RETURNING id", "E:42501 Z:I", 10),
        ("INSERT INTO items SELECT n FROM generate_series(20, 23) n", "E:42501 Z:I", 10),
        ("MERGE INTO items USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", "E:42501 Z:I", 10),
        ("UPDATE items SET note = 'x'", "E:42501 Z:I", 10),
        ("DELETE FROM seen", "E:42501 Z:I", 10),
        ("WITH w AS (SELECT 1) DELETE FROM items USING w", "E:42501 Z:I", 10),
        ("DELETE FROM items WHERE id = 1; DELETE FROM items WHERE id = 2", "E:42501 Z:I", 10),
        ("EXPLAIN ANALYZE DELETE FROM items WHERE id = 1", "E:42501 Z:I", 10),
        ("DO $$BEGIN DELETE FROM items WHERE id = 1; END$$", "E:42501 Z:I", 10),
        ("INSERT INTO items VALUES (1)", "E:23505 Z:I", 10),
        ("DELETE FROM items WHERE id > 7", "C:DELETE 3 Z:I", 7),
    ] {
        let heard = client.query(text).await.unwrap();
        assert_eq!(outline(&heard), told, "{text}: {}", said(&heard));
        assert_eq!(seat.rows("items"), left, "{text}");
    }
    let heard = client.query("DELETE FROM items").await.unwrap();
    for part in ["lets a statement write 3 rows", "this one wrote 7", "few/few", "Three rows at a time."] {
        assert!(said(&heard).contains(part), "{part} in {}", said(&heard));
    }
    let heard = client.query("DELETE FROM parts").await.unwrap();
    assert_eq!((outline(&heard).as_str(), seat.rows("parts")), ("E:42501 Z:I", 10));
    seat.gateway.stop(&[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_a_transaction_the_transaction_fails_and_its_savepoints_work() {
    let Some(seat) = Seat::open(FEW) else { return };
    let mut client = seat.client().await;
    for (text, told) in [
        ("BEGIN", "C:BEGIN Z:T"),
        ("DELETE FROM items WHERE id = 1", "C:DELETE 1 Z:T"),
        ("SAVEPOINT a", "C:SAVEPOINT Z:T"),
        ("DELETE FROM items", "E:42501 Z:E"),
        ("SELECT 1", "E:25P02 Z:E"),
        ("ROLLBACK TO a", "C:ROLLBACK Z:T"),
        ("DELETE FROM items WHERE id = 2", "C:DELETE 1 Z:T"),
        ("COMMIT", "C:COMMIT Z:I"),
        ("BEGIN", "C:BEGIN Z:T"),
        ("DELETE FROM items WHERE id = 3", "C:DELETE 1 Z:T"),
        ("DELETE FROM items", "E:42501 Z:E"),
        ("COMMIT", "C:ROLLBACK Z:I"),
    ] {
        let heard = client.query(text).await.unwrap();
        assert_eq!(outline(&heard), told, "{text}: {}", said(&heard));
    }
    assert_eq!(seat.rows("items"), 8);
    seat.gateway.stop(&[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_falls_with_the_statement_that_wrote_too_many() {
    let Some(seat) = Seat::open(FEW) else { return };
    let mut client = seat.client().await;
    let run = |sql: &str, rows: u32| Bytes::from([parse("", sql), bind("", "", &[]), execute("", rows)].concat());
    let one = |id: i32| run(&format!("DELETE FROM items WHERE id = {id}"), 0);
    client.send(&[one(1), run("DELETE FROM items", 0), one(2), sync()].concat()).await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert!(outline(&heard).ends_with("E:42501 Z:I"), "{}", outline(&heard));
    assert_eq!(seat.rows("items"), 10, "what came before it in the pipeline is gone with it");
    client.send(&[one(1), run("DELETE FROM items WHERE id IN (2, 3)", 1), sync()].concat()).await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert!(outline(&heard).ends_with("C:DELETE 2 Z:I"), "{}", outline(&heard));
    client.send(&[run("DELETE FROM items WHERE id IN (4, 5) RETURNING id", 1), sync()].concat()).await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert!(outline(&heard).ends_with("E:42501 Z:I"), "a portal in parts: {}", outline(&heard));
    assert_eq!(seat.rows("items"), 7);
    for text in ["PREPARE d AS DELETE FROM items", "EXECUTE d"] {
        client.send(&query(text)).await.unwrap();
        client.read_until_ready().await.unwrap();
    }
    assert_eq!(seat.rows("items"), 7);
    // Nothing stands when the client goes before its Sync.
    client.send(&[one(4), parse("", "SELECT 1")].concat()).await.unwrap();
    drop(client);
    eventually("the server ends the session", || {
        let others = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state LIKE '%transaction%'",
            seat.database
        );
        seat.server.run_sql(&seat.database, &others).unwrap().trim() == "0"
    });
    assert_eq!(seat.rows("items"), 7);
    seat.gateway.stop(&[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_an_execute_ended_or_began_is_not_mistaken() {
    let Some(seat) = Seat::open(FEW) else { return };
    let mut client = seat.client().await;
    let run = |sql: &str| Bytes::from([parse("", sql), bind("", "", &[]), execute("", 0)].concat());
    // COMMIT is done when it was executed, though the server was not ready since: the DELETE is in no transaction.
    client.query("BEGIN").await.unwrap();
    client.send(&[run("COMMIT"), query("DELETE FROM items")].concat()).await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert!(outline(&heard).ends_with("E:42501 Z:I"), "{}", said(&heard));
    assert_eq!(seat.rows("items"), 10);
    // BEGIN as well: the client's own transaction is not committed by the gateway.
    client.send(&[run("BEGIN"), query("DELETE FROM items WHERE id = 1")].concat()).await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert!(outline(&heard).ends_with("C:DELETE 1 Z:T"), "{}", said(&heard));
    assert_eq!(seat.rows("items"), 10);
    let heard = client.query("ROLLBACK").await.unwrap();
    assert_eq!(outline(&heard), "C:ROLLBACK Z:I");
    assert_eq!(seat.rows("items"), 10);
    seat.gateway.stop(&[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_behind_a_statement_is_refused_unless_the_rule_ignores_it() {
    let Some(seat) = Seat::open(FEW) else { return };
    let mut client = seat.client().await;
    for (text, why) in [
        ("DELETE FROM owners WHERE id = 1", "foreign key of owned"),
        ("DELETE FROM watched WHERE id = 1", "trigger watch of watched"),
    ] {
        let heard = client.query(text).await.unwrap();
        assert!(said(&heard).contains(why), "{text}: {}", said(&heard));
    }
    assert_eq!((seat.rows("owners"), seat.rows("watched"), seat.rows("owned")), (10, 10, 10));
    // A constraint that is looked at last replaces the success.
    let heard = client.query("DELETE FROM pets WHERE id = 1 RETURNING id").await.unwrap();
    assert_eq!(outline(&heard), "E:23503 Z:I");
    assert_eq!(seat.rows("pets"), 10);
    seat.gateway.stop(&[]).unwrap();
    let ignoring = FEW.replace("max_rows: 3", "max_rows: 3\n    cascades: ignore");
    let Some(seat) = Seat::open(&ignoring) else { return };
    let mut client = seat.client().await;
    let heard = client.query("DELETE FROM owners WHERE id = 1").await.unwrap();
    assert_eq!(outline(&heard), "C:DELETE 1 Z:I", "{}", said(&heard));
    assert_eq!((seat.rows("owners"), seat.rows("owned")), (9, 0));
    seat.gateway.stop(&[]).unwrap();
}

#[test]
fn psql_and_psycopg_are_told_and_go_on() {
    let Some(seat) = Seat::open(FEW) else { return };
    let dsn = seat.dsn();
    let mut command = Command::new("sh");
    let psql = libpq_client("psql", &dsn).unwrap();
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(psql.get_program()).args(["-X", "-f", "-"]);
    command.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let script = "DELETE FROM items;\nDELETE FROM items WHERE id = 1;\nCOPY items (id) FROM STDIN;\n20\n21\n22\n23\n\\.\n\
                  COPY items (id) FROM STDIN;\n20\n\\.\n\\set ON_ERROR_ROLLBACK on\nBEGIN;\nDELETE FROM items;\n\
                  DELETE FROM items WHERE id = 2;\nCOMMIT;\n";
    let heard = run_with_input(&mut command, script.as_bytes()).unwrap();
    assert_eq!(heard.matches("this one wrote").count(), 3, "{heard}");
    for part in ["DELETE 1\n", "COPY 1\n", "COMMIT\n", "HINT:  Three rows at a time."] {
        assert!(heard.contains(part), "{part} in {heard}");
    }
    assert_eq!(seat.rows("items"), 9);
    if let Some(python) = fetched("python/bin/python") {
        let program = "import os, psycopg\n\
            with psycopg.connect(os.environ['DSN'], autocommit=True) as c:\n\
            \x20   try:\n\
            \x20       with c.pipeline():\n\
            \x20           c.execute('DELETE FROM items WHERE id = %s', (3,))\n\
            \x20           c.execute('DELETE FROM items WHERE id > %s', (0,))\n\
            \x20       print('passed')\n\
            \x20   except psycopg.errors.InsufficientPrivilege as e:\n\
            \x20       print('refused', e.diag.message_detail)\n\
            \x20   print(c.execute('DELETE FROM items WHERE id = %s RETURNING id', (4,)).fetchall())\n\
            \x20   try:\n\
            \x20       with c.transaction():\n\
            \x20           c.execute('DELETE FROM items WHERE id = %s', (5,))\n\
            \x20           c.execute('DELETE FROM items')\n\
            \x20   except psycopg.errors.InsufficientPrivilege:\n\
            \x20       print('rolled back')\n";
        let heard = succeed(Command::new(python).args(["-c", program]).env("DSN", &dsn));
        assert!(heard.contains("refused Rule few/few"), "{heard}");
        assert!(heard.contains("[(4,)]") && heard.contains("rolled back"), "{heard}");
        assert_eq!(seat.rows("items WHERE id IN (3, 5)"), 2);
    }
    seat.gateway.stop(&[]).unwrap();
}
