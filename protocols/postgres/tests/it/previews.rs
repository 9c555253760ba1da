//! What a held statement would write, asked of real servers: what is told, and that asking runs no code of users.

use crate::world::{BUNDLE, PATIENCE, Wish, World};
use jiff::Timestamp;
use portcullis_approvals::{Ballot, Desk, State, Vote};
use portcullis_model::{CredentialKind, Preview, Principal};
use portcullis_store::MemoryTable;
use portcullis_testkit::Postgres;
use portcullis_testkit::postgres::SUPERUSER;
use portcullis_testkit::wire::{RawClient, frontend};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Every function says in the server's log that it ran.
const TABLES: &str = "
    CREATE FUNCTION leave(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
        AS $$BEGIN RAISE LOG 'left by %', what; RETURN true; END$$;
    CREATE FUNCTION leaves(number int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG 'left by a number'; RETURN true; END$$;
    CREATE FUNCTION leaves(one int, other int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
        AS $$BEGIN RAISE LOG 'left by an operator'; RETURN true; END$$;
    CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = leaves);
    CREATE TABLE counted (id int PRIMARY KEY, note text, at date);
    CREATE TABLE parts (id int, note text) PARTITION BY RANGE (id);
    CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (50);
    CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (50) TO (1000);
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE moods (id int, mood mood, moods mood[]);
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
    CREATE FUNCTION row_left(moods) RETURNS text LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG 'left by a row'; RETURN 'x'; END$$;
    CREATE FUNCTION rows_left(moods[]) RETURNS text LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG 'left by rows'; RETURN 'x'; END$$;
    CREATE FUNCTION json_left(moods) RETURNS json LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG 'left by a row as JSON'; RETURN '{}'; END$$;
    CREATE FUNCTION leave_date(at date) RETURNS text LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG 'left by a date'; RETURN 'x'; END$$;
    CREATE FUNCTION leave_dates(one date, other date) RETURNS text LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG 'left by dates'; RETURN 'x'; END$$;
    CREATE VIEW seen AS SELECT id FROM counted WHERE leave('a view');
    CREATE FOREIGN DATA WRAPPER nothing;
    CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE far (id int) SERVER nowhere;
    INSERT INTO counted SELECT n, 'item', '2026-01-02' FROM generate_series(1, 100) n;
    INSERT INTO parts SELECT n, 'part' FROM generate_series(1, 100) n;
    INSERT INTO moods SELECT n, 'bad', '{good,bad}' FROM generate_series(1, 10) n;
    ANALYZE counted;";

/// How often a preview is asked for again that a busy machine made late.
const LATE: usize = 30;

struct Seat {
    world: World,
    desk: Desk,
    client: RawClient,
}

impl Seat {
    /// Every write waits for people; `terms` are further lines of the rule.
    async fn open(terms: &str) -> Self {
        let desk = Desk::open_at(Arc::new(MemoryTable::new()), "one", Arc::new(Timestamp::now)).await.unwrap();
        let allowed = BUNDLE.replace("[update, delete], marks: [unbounded]", "[truncate], marks: [unbounded]");
        let policy = format!(
            "{allowed}\n  - id: ask\n    hold: {{ actions: [write], objects: [\"table *.*\"] }}\n    approvers: {{ groups: [dba] }}\n    \
             in_transaction: wait\n{terms}"
        );
        let world = World::with(Wish { policy, desk: Some(desk.clone()), ..Wish::default() }).await;
        world.sql(TABLES);
        let client = world.client().await;
        Self { world, desk, client }
    }

    /// What people are told of what this makes wait, who then say no.
    async fn refused(&mut self, frames: &[u8]) -> Preview {
        self.client.send(frames).await.unwrap();
        let begun = Instant::now();
        let shown = loop {
            assert!(begun.elapsed() < PATIENCE, "nobody is asked");
            let mut listed = self.desk.list().await.unwrap();
            listed.retain(|shown| shown.state == State::Open);
            if let Some(shown) = listed.pop() {
                break shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let voter = Principal {
            issuer: "idp".into(),
            subject: "dana".into(),
            user: "dana".into(),
            groups: ["dba".into()].into(),
            claims: [].into(),
            credential: CredentialKind::Oidc,
        };
        let vote = Vote::new(voter, Timestamp::now(), Timestamp::now(), Ballot::No).unwrap();
        self.desk.vote(shown.request.id, &vote).await.unwrap();
        self.client.read_until_ready().await.unwrap();
        shown.request.preview.expect("what writes rows has one")
    }

    /// That people are told this. A machine that is busy makes previews late, and then there is less of them.
    async fn foretells(&mut self, frames: &[u8], expected: &Preview) {
        for _ in 0..LATE {
            let preview = self.refused(frames).await;
            if preview == *expected {
                return;
            }
            let less = matches!((&preview, expected), (Preview::Estimate(_), Preview::Count(_)));
            assert!(less || preview == Preview::none("it takes too long"), "{preview}, not {expected}");
        }
        panic!("never {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_estimated_or_counted_with_the_values_that_were_bound() {
    let mut seat = Seat::open("").await;
    let estimated = [
        ("DELETE FROM counted", 100),
        ("DELETE FROM counted WHERE false", 0),
        ("UPDATE counted SET note = 'x' WHERE id = 1", 1),
        ("INSERT INTO counted (id) SELECT n FROM generate_series(1001, 1010) n", 10),
    ];
    for (text, rows) in estimated {
        println!("{text}");
        seat.foretells(&frontend::query(text), &Preview::Estimate(rows)).await;
    }
    let mut seat = Seat::open("    preview: count\n").await;
    let counted = [
        ("DELETE FROM counted WHERE id % 10 = 3", 10),
        ("DELETE FROM counted c USING parts p WHERE p.id IN (c.id, c.id + 1) AND c.id < 5", 4),
        ("UPDATE counted SET note = 'x' WHERE id IN (SELECT id FROM parts WHERE id < 8)", 7),
        ("INSERT INTO counted (id) SELECT id + 1000 FROM parts WHERE id <= 33", 33),
        ("INSERT INTO counted (id) VALUES (1001), (1002)", 2),
        ("WITH few AS (SELECT id FROM parts LIMIT 3) DELETE FROM counted USING few WHERE few.id = counted.id", 3),
        ("DELETE FROM parts WHERE id > 45 AND id <= 55", 10),
        ("DELETE FROM moods WHERE mood = 'bad' AND 'good' = ANY (moods)", 10),
    ];
    for (text, rows) in counted {
        println!("{text}");
        seat.foretells(&frontend::query(text), &Preview::Count(rows)).await;
    }
    // A write never goes to a WITH query of its target's name; a SELECT would.
    let hidden = "WITH counted AS (SELECT 1 AS id WHERE false) DELETE FROM counted";
    seat.foretells(&frontend::query(hidden), &Preview::Estimate(100)).await;
    // Text values of types that nobody declared, of which the count needs but one.
    let bound = [
        frontend::parse("", "UPDATE counted SET note = $1 WHERE id <= $2"),
        frontend::bind("", "", &[Some("x"), Some("12")]),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    seat.foretells(&bound.concat(), &Preview::Count(12)).await;
    assert_eq!(seat.world.sql("SELECT count(*), count(note) FROM counted WHERE note = 'item'"), "100|100");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_code_of_users_would_run_nothing_is_asked_and_none_of_it_runs() {
    let mut seat = Seat::open("    preview: count\n").await;
    let code = "a table of it has functions or operators that users defined";
    let cases = [
        ("DELETE FROM counted WHERE leave('the condition')", "it would also execute function public.leave"),
        ("DELETE FROM counted WHERE id ### 1", "it would also execute function public.leaves"),
        ("DELETE FROM checked WHERE id = 1", code),
        ("DELETE FROM compared WHERE id = 1", code),
        ("DELETE FROM indexed WHERE id = 1", code),
        ("DELETE FROM measured WHERE id = 1", code),
        ("DELETE FROM parents WHERE id = 1", code),
        ("DELETE FROM counted USING checked WHERE checked.id = counted.id", code),
        ("DELETE FROM bound WHERE id = 1", "row security policies bind a table of it"),
        ("DELETE FROM ruled WHERE id = 1", "rewrite rules of ruled may put another statement in its place"),
        ("DELETE FROM typed WHERE id = 1", "it has values of types that users defined"),
        ("DELETE FROM counted WHERE id = 1::small", "it would also execute function public.leaves"),
        ("DELETE FROM counted USING seen WHERE seen.id = counted.id", "it reaches a view"),
        ("DELETE FROM far", "it reaches a foreign table"),
        ("DELETE FROM counted USING far WHERE far.id = counted.id", "it reaches a foreign table"),
    ];
    for (text, why) in cases {
        println!("{text}");
        seat.foretells(&frontend::query(text), &Preview::none(why)).await;
    }
    seat.world.sql(
        "CREATE FUNCTION said(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE LOG 'left by a cast'; \
         RETURN 'x'; END$$; CREATE CAST (int AS text) WITH FUNCTION said(int) AS IMPLICIT",
    );
    let cast = Preview::none("casts that users defined may run in it");
    seat.foretells(&frontend::query("DELETE FROM counted WHERE note = 5"), &cast).await;
    seat.world.sql("DROP CAST (int AS text)");
    // Rows of tables are values of types that users defined, and so are arrays of them; a cast may have to be asked for.
    for (made, text) in [
        ("(moods AS text) WITH FUNCTION row_left(moods) AS IMPLICIT", "DELETE FROM moods m WHERE length(m) > 0"),
        (
            "(moods[] AS text) WITH FUNCTION rows_left(moods[]) AS IMPLICIT",
            "DELETE FROM counted WHERE length((SELECT array_agg(m) FROM moods m)) > 0",
        ),
        ("(moods AS json) WITH FUNCTION json_left(moods)", "DELETE FROM moods m WHERE to_json(m) IS NULL"),
    ] {
        println!("{text}");
        seat.world.sql(&format!("CREATE CAST {made}"));
        seat.foretells(&frontend::query(text), &cast).await;
        seat.world.sql(&format!("DROP CAST {}", made.split_once(" WITH").unwrap().0));
    }
    seat.foretells(&frontend::query("DELETE FROM moods WHERE id > 0"), &Preview::Count(10)).await;
    // What users defined a moment ago, under names that the server has too: the catalogue of the gateway may not know it.
    let fresh = Preview::none("users defined a function, operator or type of a name that it uses");
    for (made, text) in [
        (
            "CREATE FUNCTION lower(date) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT leave_date($1)'",
            "DELETE FROM counted WHERE lower(at) = 'x'",
        ),
        (
            "CREATE OPERATOR ^ (LEFTARG = date, RIGHTARG = date, FUNCTION = leave_dates)",
            "DELETE FROM counted WHERE at ^ at = 'x'",
        ),
    ] {
        println!("{text}");
        seat.world.sql(made);
        let mut told = Preview::none("it takes too long");
        for _ in 0..LATE {
            if told == Preview::none("it takes too long") {
                told = seat.refused(&frontend::query(text)).await;
            }
        }
        let by_name = told.to_string().contains("it would also execute function public.");
        println!("{told}");
        assert!(told == fresh || by_name, "{told}");
    }
    let server = Postgres::shared().unwrap();
    assert!(!server.log_text().contains("  left by"), "{}", server.log_text());
    // It would have been seen.
    seat.world.sql(
        "CREATE CAST (int AS text) WITH FUNCTION said(int) AS IMPLICIT; \
         CREATE CAST (moods AS text) WITH FUNCTION row_left(moods) AS IMPLICIT; \
         EXPLAIN DELETE FROM counted WHERE note = 5; EXPLAIN DELETE FROM counted WHERE leave('me'); \
         EXPLAIN DELETE FROM counted WHERE lower(date '2026-01-02') = 'x'; SELECT FROM moods m WHERE length(m) > 0",
    );
    let left = ["  left by a cast", "  left by me", "  left by a row", "  left by a date"];
    let begun = Instant::now();
    while !left.iter().all(|left| server.log_text().contains(left)) {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log_text());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_or_changed_by_its_own_transaction_is_not_waited_for() {
    let mut seat = Seat::open("    preview: count\n").await;
    let mut other = seat.world.client().await;
    for text in ["BEGIN", "SELECT id FROM parts", "ALTER TABLE moods ADD extra int"] {
        other.query(text).await.unwrap();
    }
    let delete = frontend::query("DELETE FROM moods WHERE id = 1");
    seat.foretells(&delete, &Preview::none("a table of it is locked")).await;
    other.query("ROLLBACK").await.unwrap();
    seat.foretells(&delete, &Preview::Count(1)).await;
    for text in ["BEGIN", "CREATE TABLE fresh (id int)"] {
        seat.client.query(text).await.unwrap();
    }
    let changed = Preview::none("its transaction has changed what only it sees");
    seat.foretells(&delete, &changed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_is_asked_for_as_it_is() {
    let mut seat =
        Seat::open("    preview: count\n  - id: become\n    allow: { actions: [become], objects: [\"role *\"] }\n")
            .await;
    // Values are read as it reads them now, not as it did when it logged in.
    let day = frontend::query("DELETE FROM counted WHERE at = '02/01/2026'");
    seat.client.query("SET DateStyle = 'SQL, MDY'").await.unwrap();
    seat.foretells(&day, &Preview::Count(0)).await;
    seat.client.query("SET DateStyle = 'SQL, DMY'").await.unwrap();
    seat.foretells(&day, &Preview::Count(100)).await;
    // Its login's own transactions see an older state: those that are open, and not what is asked beside them.
    let database = seat.world.database.clone();
    seat.world.sql(&format!("ALTER DATABASE \"{database}\" SET default_transaction_isolation = 'repeatable read'"));
    let delete = frontend::query("DELETE FROM counted WHERE id <= 7");
    let mut client = seat.world.client().await;
    std::mem::swap(&mut client, &mut seat.client);
    seat.foretells(&delete, &Preview::Count(7)).await;
    for text in ["BEGIN", "SELECT id FROM parts"] {
        seat.client.query(text).await.unwrap();
    }
    seat.foretells(&delete, &Preview::none("its transaction may see an older state")).await;
    // Its login begins as another role than the session has.
    seat.world.sql(&format!(
        "CREATE ROLE {database}_few; GRANT USAGE ON SCHEMA public TO {database}_few; \
         ALTER DATABASE \"{database}\" SET role = '{database}_few'"
    ));
    let mut client = seat.world.client().await;
    std::mem::swap(&mut client, &mut seat.client);
    seat.foretells(&delete, &Preview::none("the gateway's login may not do it")).await;
    seat.client.query(&format!("SET ROLE {SUPERUSER}")).await.unwrap();
    seat.foretells(&delete, &Preview::Count(7)).await;
}
