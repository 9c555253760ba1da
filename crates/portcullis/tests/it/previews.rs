//! What people are told of a held statement before they decide, end to end: how many rows it would write.
//!
//! Promises: the planner's estimate for what is plain, the exact count where the rule asks for it, the values of a Bind
//! included; nothing where code of users would run, another server would be asked or a table is locked, and then none of
//! that code has run; the requester is told none of it, and whoever leaves meanwhile leaves no request.

use crate::approvals::{World, said, told};
use crate::surroundings::{BINARY, eventually, fetched, libpq_client, server};
use portcullis_testkit::Postgres;
use portcullis_testkit::gateway::Settings;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

/// Every function says in the server's log that it ran.
const TABLES: &str = "
    CREATE FUNCTION leave(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
        AS $$BEGIN RAISE LOG 'left by %', what; RETURN true; END$$;
    CREATE FUNCTION leaves(number int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG 'left by a number'; RETURN true; END$$;
    CREATE FUNCTION leaves(one int, other int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
        AS $$BEGIN RAISE LOG 'left by an operator'; RETURN true; END$$;
    CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = leaves);
    CREATE TABLE items (id int PRIMARY KEY, note text, at date);
    CREATE TABLE counted (id int PRIMARY KEY, note text, at date);
    CREATE TABLE counted_parts (id int, note text) PARTITION BY RANGE (id);
    CREATE TABLE counted_low PARTITION OF counted_parts FOR VALUES FROM (0) TO (50);
    CREATE TABLE counted_high PARTITION OF counted_parts FOR VALUES FROM (50) TO (1000);
    CREATE SCHEMA other;
    CREATE TABLE other.counted (id int);
    INSERT INTO other.counted VALUES (1), (1), (2);
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE counted_moods (id int, mood mood, moods mood[]);
    CREATE TABLE checked (id int CHECK (leaves(id)));
    CREATE TABLE compared (id int CHECK (id ### 1));
    CREATE TABLE indexed (id int);
    CREATE INDEX ON indexed (id) WHERE leaves(id);
    CREATE TABLE measured (id int, other int);
    CREATE STATISTICS both_of (dependencies) ON (leaves(id)), other FROM measured;
    CREATE TABLE bound (id int);
    ALTER TABLE bound ENABLE ROW LEVEL SECURITY;
    CREATE POLICY few ON bound USING (leave('a policy'));
    CREATE TABLE ruled (id int);
    CREATE RULE more AS ON UPDATE TO ruled DO ALSO SELECT leave('a rule');
    CREATE DOMAIN small AS int CHECK (leaves(VALUE));
    CREATE TABLE typed (id small);
    CREATE TABLE parents (id int);
    CREATE TABLE heirs (CHECK (leaves(id))) INHERITS (parents);
    CREATE TABLE locked (id int);
    CREATE VIEW seen AS SELECT id FROM items WHERE leave('a view');
    CREATE FOREIGN DATA WRAPPER nothing;
    CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE far (id int) SERVER nowhere;
    INSERT INTO items SELECT n, 'item', '2026-01-02' FROM generate_series(1, 100) n;
    INSERT INTO counted SELECT n, 'item', '2026-01-02' FROM generate_series(1, 100) n;
    INSERT INTO counted_parts SELECT n, 'part' FROM generate_series(1, 100) n;
    INSERT INTO counted_moods SELECT n, 'bad', '{good,bad}' FROM generate_series(1, 10) n;
    ANALYZE items, counted;";

const PREVIEWED: &str = r#"
bundle: writes
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: ask
    hold: { actions: [write, execute], objects: ["table public.*", "function **"] }
    approvers: { groups: [dba] }
    in_transaction: wait
  - id: count
    hold: { actions: [write], objects: ["table public.counted*", "table other.*"] }
    approvers: { groups: [dba] }
    in_transaction: wait
    preview: count
  - id: others
    allow: { actions: [read], objects: ["table other.*"] }
  - id: paths
    allow: { actions: [configure], objects: ["setting search_path"] }
"#;

/// How often a late preview is asked for again.
const LATE: usize = 30;

struct Seat {
    server: &'static Postgres,
    database: String,
    world: World,
}

impl Seat {
    fn open() -> Option<Self> {
        let server = server()?;
        let database = server.create_database("previews", TABLES).unwrap();
        let settings = Settings::new(BINARY).policy("writes", PREVIEWED).postgres("shop", server, &database);
        Some(Self { server, database, world: World::open(settings, "") })
    }

    fn psql(&self, texts: &[&str]) -> Child {
        let dsn = self.world.gateway.dsn("shop", "token", &self.world.agent()).unwrap();
        let mut command = libpq_client("psql", &dsn).unwrap();
        command.arg("-X").args(texts.iter().flat_map(|text| ["-c", text]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A session with the server itself.
    fn direct(&self, texts: &[&str]) -> Child {
        let mut command = libpq_client("psql", &self.server.dsn(&self.database)).unwrap();
        command.arg("-X").args(texts.iter().flat_map(|text| ["-c", text]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn ask(&self, sql: &str) -> String {
        self.server.run_sql(&self.database, sql).unwrap().trim().to_owned()
    }

    /// Clients of the gateway that the server has.
    fn sessions(&self) -> usize {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND pid <> pg_backend_pid() \
                     AND datname = current_database()";
        self.ask(count).parse().unwrap()
    }

    /// The request that waits.
    fn request(&self) -> Value {
        let id = self.world.waiting();
        self.world.requests().into_iter().find(|request| request["id"] == id.as_str()).unwrap()
    }

    /// What people are told of what waits, which they then refuse; and all that its requester was told.
    fn refused(&self, client: Child) -> (Value, String) {
        let request = self.request();
        self.world.decide("reject", request["id"].as_str().unwrap(), &self.world.dana());
        (request["preview"].clone(), said(client))
    }

    /// That people are told this of what the client sends, and what its requester was told. A machine that is busy makes
    /// previews late, and then there is less of them: that is asked again.
    fn foretells(&self, expected: &Value, start: impl Fn() -> Child) -> String {
        for _ in 0..LATE {
            let (preview, words) = self.refused(start());
            if preview == *expected {
                return words;
            }
            // Only a count may become an estimate.
            let counts = expected.get("count").is_some() && preview.get("estimate").is_some();
            assert!(counts || preview == none("it takes too long"), "{preview}, not {expected}: {words}");
        }
        panic!("never {expected}");
    }

    fn tells(&self, text: &str, expected: &Value) -> String {
        self.foretells(expected, || self.psql(&[text]))
    }
}

fn none(why: &str) -> Value {
    json!({ "none": why })
}

#[test]
fn people_are_told_how_many_rows_and_the_requester_is_not() {
    let Some(seat) = Seat::open() else { return };
    for (text, expected) in [
        ("DELETE FROM items", json!({ "estimate": 100 })),
        ("DELETE FROM items WHERE false", json!({ "estimate": 0 })),
        ("UPDATE items SET note = 'x' WHERE id = 1", json!({ "estimate": 1 })),
        ("INSERT INTO items (id) SELECT n FROM generate_series(1001, 1010) n", json!({ "estimate": 10 })),
        ("INSERT INTO items (id) VALUES (1001), (1002)", json!({ "count": 2 })),
        ("MERGE INTO counted USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", json!({ "estimate": 100 })),
        ("DELETE FROM counted WHERE id % 10 = 3", json!({ "count": 10 })),
        ("DELETE FROM counted c USING items i WHERE i.id IN (c.id, c.id + 1) AND c.id < 5", json!({ "count": 4 })),
        ("UPDATE counted SET note = 'x' WHERE id IN (SELECT id FROM items WHERE id < 8)", json!({ "count": 7 })),
        ("INSERT INTO counted (id) SELECT id + 1000 FROM items WHERE id <= 33", json!({ "count": 33 })),
        (
            "WITH few AS (SELECT id FROM items LIMIT 3) DELETE FROM counted USING few WHERE few.id = counted.id",
            json!({ "count": 3 }),
        ),
        ("DELETE FROM counted_parts WHERE id > 45 AND id <= 55", json!({ "count": 10 })),
        ("DELETE FROM counted_moods WHERE mood = 'bad' AND 'good' = ANY (moods)", json!({ "count": 10 })),
        ("SET DateStyle = 'SQL, DMY'; DELETE FROM counted", none("it is one of several statements in one text")),
        ("WITH counted AS (SELECT 1 AS id WHERE false) DELETE FROM counted", json!({ "estimate": 100 })),
        (
            "DELETE FROM counted WHERE current_setting('transaction_read_only') = 'off'",
            none("it asks about its own session"),
        ),
        ("DELETE FROM counted WHERE pg_backend_pid() = 1", none("it asks about its own session")),
    ] {
        let words = seat.tells(text, &expected);
        assert!(words.contains("waiting for approval") && words.contains("was refused by dana"), "{words}");
        assert!(!words.contains("estimate") && !words.contains("counted,") && !words.contains("preview"), "{words}");
    }
    assert_eq!(seat.ask("SELECT count(*) FROM items, counted"), "10000");
    // Those who decide and auditors read it everywhere.
    let few = "DELETE FROM counted WHERE id <= 7";
    seat.tells(few, &json!({ "count": 7 }));
    let client = seat.psql(&[few]);
    let id = seat.world.waiting();
    let words = told(&seat.world.approvals(&["show", &id], &seat.world.dana()));
    assert!(words.contains("rows        ") && words.contains("row"), "{words}");
    let listed = told(&seat.world.approvals(&["list", "--all"], &seat.world.dana()));
    assert!(listed.contains("ROWS") && listed.contains("  7  ") && listed.contains("  ~100  "), "{listed}");
    seat.world.decide("approve", &id, &seat.world.dana());
    assert!(said(client).contains("DELETE 7"));
    let recorded = seat.world.recorded();
    assert!(recorded.contains("\"preview\":{\"count\":7}") && recorded.contains("\"preview\":{\"estimate\":100}"));
    let session = seat.world.gateway.command(&["sessions", "list", "--json"]).unwrap();
    let shown = session
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|session| seat.world.gateway.command(&["sessions", "show", session["id"].as_str().unwrap()]).unwrap());
    assert!(shown.into_iter().any(|text| text.contains("would write: 7 rows, counted")));
    seat.world.gateway.stop(&[]).unwrap();
}

#[test]
fn the_values_and_the_surroundings_of_the_session_count() {
    let Some(seat) = Seat::open() else { return };
    let dsn = seat.world.gateway.dsn("shop", "token", &seat.world.agent()).unwrap();
    if let Some(python) = fetched("python/bin/python") {
        let run = |lines: &str| {
            let head = "import os, datetime, psycopg\nwith psycopg.connect(os.environ['DSN']) as c:\n    try:\n";
            let tail = "    except psycopg.errors.InsufficientPrivilege: print('refused')\n";
            let program = format!("{head}        {lines}\n{tail}");
            let mut command = Command::new(&python);
            command.args(["-c", &program]).env("DSN", &dsn);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        for (lines, expected) in [
            ("c.execute('DELETE FROM counted WHERE id <= %s AND note = %s', (41, 'item'))", json!({ "count": 41 })),
            ("c.execute('UPDATE counted SET note = %s WHERE id <= %s', ('x', 12))", json!({ "count": 12 })),
            (
                "c.execute('DELETE FROM counted WHERE at = %b AND id = ANY(%b)', (datetime.date(2026, 1, 2), [1, 2, 3]))",
                json!({ "count": 3 }),
            ),
            ("c.execute('DELETE FROM counted WHERE note IS NOT DISTINCT FROM %s', (None,))", json!({ "count": 0 })),
            ("c.execute('DELETE FROM counted_moods WHERE mood = %s', ('bad',))", json!({ "count": 10 })),
        ] {
            let words = seat.foretells(&expected, || run(lines));
            assert!(words.contains("refused"), "{words}");
        }
    }
    // A search path, a prepared statement, and a transaction's own changes.
    let named = ["SET search_path = other, public", "DELETE FROM counted WHERE id = 1"];
    seat.foretells(&json!({ "count": 2 }), || seat.psql(&named));
    let dated = ["SET DateStyle = 'SQL, DMY'", "DELETE FROM counted WHERE at = '02/01/2026'"];
    seat.foretells(&json!({ "count": 100 }), || seat.psql(&dated));
    let isolated = ["BEGIN ISOLATION LEVEL REPEATABLE READ", "DELETE FROM counted", "ROLLBACK"];
    seat.foretells(&none("its transaction may see an older state"), || seat.psql(&isolated));
    let prepared = ["PREPARE p AS DELETE FROM counted", "EXECUTE p"];
    seat.foretells(&none("it is not one plain INSERT, UPDATE, DELETE or MERGE"), || seat.psql(&prepared));
    let client = seat.psql(&["BEGIN", "DELETE FROM counted WHERE id = 1", "DELETE FROM counted", "ROLLBACK"]);
    let first = seat.request();
    seat.world.decide("approve", first["id"].as_str().unwrap(), &seat.world.dana());
    assert_eq!(seat.refused(client).0, none("its transaction has changed what only it sees"));
    seat.world.gateway.stop(&[]).unwrap();
}

#[test]
fn where_code_of_users_would_run_nothing_is_asked_and_none_of_it_runs() {
    let Some(seat) = Seat::open() else { return };
    let code = none("a table of it has functions or operators that users defined");
    for (text, expected) in [
        ("DELETE FROM items WHERE leave('the condition')", none("it would also execute function public.leave")),
        ("DELETE FROM items WHERE id ### 1", none("it would also execute function public.leaves")),
        ("DELETE FROM checked WHERE id = 1", code.clone()),
        ("DELETE FROM compared WHERE id = 1", code.clone()),
        ("DELETE FROM indexed WHERE id = 1", code.clone()),
        ("DELETE FROM measured WHERE id = 1", code.clone()),
        ("DELETE FROM parents WHERE id = 1", code.clone()),
        ("DELETE FROM items USING checked WHERE checked.id = items.id", code.clone()),
        ("DELETE FROM bound WHERE id = 1", none("row security policies bind a table of it")),
        ("DELETE FROM ruled WHERE id = 1", none("rewrite rules of ruled may put another statement in its place")),
        ("DELETE FROM typed WHERE id = 1", none("it has values of types that users defined")),
        ("DELETE FROM items WHERE id = 1::small", none("it would also execute function public.leaves")),
        ("DELETE FROM items USING seen WHERE seen.id = items.id", none("it reaches a view")),
        ("DELETE FROM far", none("it reaches a foreign table")),
        ("DELETE FROM items USING far WHERE far.id = items.id", none("it reaches a foreign table")),
    ] {
        seat.tells(text, &expected);
    }
    seat.tells("DELETE FROM items WHERE note = 5::text", &json!({ "estimate": 1 }));
    seat.ask(
        "CREATE FUNCTION said(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE LOG 'left by a cast'; \
         RETURN 'x'; END$$; CREATE CAST (int AS text) WITH FUNCTION said(int) AS IMPLICIT",
    );
    let cast = none("casts that users defined may run in it");
    seat.tells("DELETE FROM items WHERE note = 5", &cast);
    let log = seat.server.log_text();
    assert!(!log.contains(": left by") && !log.contains("  left by"), "{log}");
    // It would have been seen.
    seat.ask("EXPLAIN DELETE FROM items WHERE note = 5; EXPLAIN DELETE FROM items WHERE leave('me')");
    eventually("the trace of a function", || {
        let log = seat.server.log_text();
        log.contains("  left by a cast") && log.contains("  left by me")
    });
    seat.world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_preview_waits_for_nothing_long_and_ends_with_its_client() {
    let Some(seat) = Seat::open() else { return };
    let mut locker = seat.direct(&["BEGIN; LOCK TABLE locked; SELECT pg_sleep(600)"]);
    eventually("a lock", || {
        seat.ask("SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass AND granted") == "1"
    });
    seat.tells("DELETE FROM locked WHERE id = 1", &none("a table of it is locked"));
    seat.ask("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'locked'::regclass");
    locker.wait().unwrap();
    // The count takes for ever; the estimate stays.
    let slow = "DELETE FROM counted USING counted_parts a, counted_parts b, counted_parts c, counted_parts d \
                WHERE md5(a.id::text || b.id || c.id || d.id) = counted.note";
    let estimated = (0..LATE).any(|_| seat.refused(seat.psql(&[slow])).0["estimate"].is_u64());
    assert!(estimated, "the estimate of what cannot be counted");
    // Whoever leaves meanwhile leaves no request, and nothing that runs. A machine that is busy may not come to count, or
    // be done with it before its client is gone.
    let counting = || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_catalog.count(DIS%' \
                     AND datname = current_database()";
        seat.ask(count) != "0"
    };
    let left = (0..LATE).any(|_| {
        let before = seat.world.requests().len();
        let mut client = seat.psql(&[slow]);
        let seen = (0..30).any(|_| counting());
        client.kill().unwrap();
        client.wait().unwrap();
        eventually("the end of the count", || !counting());
        eventually("the end of the session", || seat.sessions() == 0);
        seen && seat.world.requests().len() == before
    });
    assert!(left, "a count that its client did not wait for");
    assert!(seat.world.recorded().contains("\"verdict\":\"withdrawn\""));
    assert_eq!(seat.ask("SELECT count(*) FROM counted"), "100");
    seat.world.gateway.stop(&[]).unwrap();
}

#[test]
fn an_approver_who_asks_is_not_told_either() {
    let Some(seat) = Seat::open() else { return };
    let dana = seat.world.login("dana", "agents", 5);
    let dsn = seat.world.gateway.dsn("shop", "token", &dana).unwrap();
    let mut command = libpq_client("psql", &dsn).unwrap();
    command.args(["-X", "-c", "DELETE FROM counted WHERE id < 10"]);
    let client = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let request = seat.request();
    assert!(request["preview"].is_object(), "others are told");
    let id = request["id"].as_str().unwrap();
    for words in [vec!["show", id], vec!["list"], vec!["show", id, "--json"], vec!["list", "--json"]] {
        let words = told(&seat.world.approvals(&words, &seat.world.dana()));
        assert!(words.contains(id) && !words.contains("preview") && !words.contains("counted,"), "{words}");
    }
    seat.world.decide("reject", id, &seat.world.login("erin", "dba", 1));
    assert!(said(client).contains("was refused by erin"));
    seat.world.gateway.stop(&[]).unwrap();
}
