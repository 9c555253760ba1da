//! Masks against a real server: what somebody tries who wants the values. The canary is what is masked; no byte that
//! holds it may reach the client or the record.

use crate::speak::{ask, codes, exchange, rows, statuses, tags};
use crate::world::{BUNDLE, Wish, World};
use bytes::{BufMut, Bytes, BytesMut};
use portcullis_model::EventBody;
use portcullis_testkit::wire::{Frame, RawClient, frame, frontend, outline};

const CANARY: &str = "123-45-6789";

const PEOPLE: &str = "
CREATE TABLE public.items (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO public.items SELECT n, 'item ' || n FROM generate_series(1, 20) n;
CREATE TABLE public.people (id int PRIMARY KEY, ssn text, name text, grp int,
    CONSTRAINT once UNIQUE (ssn, grp) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO public.people VALUES (1, '123-45-6789', 'al', 1), (2, '123-45-6789', 'bo', 2), (3, '987-65-4321', 'cy', 3);
CREATE TABLE public.also (id int, note text);
CREATE RULE tells AS ON INSERT TO public.also DO ALSO SELECT upper(ssn) AS s, ssn FROM public.people;
CREATE RULE logs AS ON UPDATE TO public.also DO ALSO INSERT INTO public.items VALUES (1000, 'logged');
CREATE VIEW public.front AS SELECT id, name FROM public.items;
CREATE RULE instead AS ON UPDATE TO public.front DO INSTEAD
    UPDATE public.people SET grp = grp WHERE people.id = old.id RETURNING people.id, people.ssn AS name;
CREATE TABLE public.gone (id int);
CREATE RULE never AS ON DELETE TO public.gone DO INSTEAD NOTHING;
CREATE FUNCTION public.speaks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_notify('ch', new.ssn);
    PERFORM set_config('application_name', new.ssn, false);
    RAISE NOTICE 'it is %', new.ssn;
    RETURN new;
END $$;
CREATE TRIGGER speaks BEFORE UPDATE ON public.people FOR EACH ROW WHEN (new.name = 'speak') EXECUTE FUNCTION public.speaks();
CREATE PROCEDURE public.proc(INOUT x text) LANGUAGE plpgsql AS $$ BEGIN
    SELECT ssn INTO x FROM public.people WHERE id = 1; COMMIT; END $$;
";

const MASKS: &str = r"
  - id: calls
    allow: { actions: [call], objects: ['function public.*'] }
  - id: channels
    allow: { actions: [read], objects: ['channel *'] }
mask:
  - id: pii
    columns: [public.people.ssn]
    with: redact
    predicates: allow
";

async fn world() -> World {
    World::with(Wish { policy: format!("{BUNDLE}{MASKS}"), sql: PEOPLE, ..Wish::default() }).await
}

fn leaks(frames: &[Frame]) -> bool {
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.body.to_vec()).collect();
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

/// Sends the frames; nothing that comes may hold what is masked.
async fn safe(client: &mut RawClient, frames: &[Bytes], ready: usize) -> Vec<Frame> {
    let got = exchange(client, frames, ready).await;
    assert!(!leaks(&got), "it leaks: {}", outline(&got));
    got
}

fn run(sql: &str) -> Vec<Bytes> {
    vec![frontend::parse("", sql), frontend::bind("", "", &[]), frontend::execute("", 0), frontend::sync()]
}

/// The same, with results in binary form.
fn run_binary(sql: &str) -> Vec<Bytes> {
    let mut bind = BytesMut::new();
    bind.put_slice(b"\0\0\0\0\0\0\0\x01\0\x01");
    vec![frontend::parse("", sql), frame(b'B', &bind), frontend::execute("", 0), frontend::sync()]
}

/// Nothing that the record holds of an answer holds what is masked.
async fn recorded(world: &World) {
    let events = world.events().await;
    assert!(events.iter().any(|event| matches!(event.body, EventBody::CommandSettled { .. })), "{events:?}");
    for event in events {
        if let EventBody::Result { .. } | EventBody::Output { .. } | EventBody::CommandSettled { .. } = &event.body {
            let text = format!("{:?}", event.body);
            assert!(!text.contains(CANARY), "it is recorded: {text}");
        }
    }
}

const ATTEMPTS: [&str; 30] = [
    "SELECT * FROM people",
    "SELECT ssn FROM people ORDER BY id",
    "SELECT p FROM people p",
    "SELECT upper(ssn), left(ssn, 11), ssn || '' FROM people",
    "SELECT row_to_json(p) FROM people p",
    "SELECT (SELECT ssn FROM people WHERE id = 1) FROM items",
    "SELECT ssn FROM people UNION ALL SELECT name FROM items",
    "WITH x AS (SELECT ssn AS name FROM people) SELECT name FROM x",
    "SELECT array_agg(ssn) FROM people",
    "SELECT string_agg(ssn, ',') OVER () FROM people",
    "SELECT ssn::int FROM people",
    "SELECT name, 1 / (id - 1) FROM people WHERE ssn IS NOT NULL",
    "UPDATE people SET grp = grp WHERE id = 1 RETURNING ssn, *",
    "UPDATE people SET name = 'speak' WHERE id = 1",
    "UPDATE people SET name = 'speak' WHERE id = 1 RETURNING name",
    "UPDATE people SET grp = 1 WHERE id = 2",
    "INSERT INTO people VALUES (1, 'x', 'x', 9)",
    "INSERT INTO also VALUES (1, 'x')",
    "INSERT INTO also VALUES (1, 'x') RETURNING id, note",
    "UPDATE front SET name = 'x' WHERE id = 1 RETURNING id, name",
    "WITH u AS (UPDATE people SET grp = grp WHERE id = 1 RETURNING ssn) SELECT * FROM u",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM people WHERE ssn = '123-45-' || '6789'",
    "CALL proc('x')",
    "TABLE people",
    "SELECT most_common_vals FROM pg_stats WHERE tablename = 'people'",
    "SELECT query_to_xml('SELECT ssn FROM people', true, true, '')",
    "DECLARE c CURSOR WITH HOLD FOR SELECT ssn FROM people; FETCH ALL FROM c; CLOSE c",
    "COPY people TO STDOUT",
    "COPY (SELECT ssn, name FROM people) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)",
    "COPY people TO STDOUT (FORMAT binary)",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_tried_no_byte_of_what_is_masked_leaves_or_is_recorded() {
    let world = world().await;
    let mut client = world.client().await;
    let mut masked = 0;
    for sql in ATTEMPTS {
        let got = safe(&mut client, &[frontend::query(sql)], 1).await;
        masked += usize::from(codes(&got).is_empty());
        if !sql.contains(';') {
            safe(&mut client, &run(sql), 1).await;
            safe(&mut client, &run_binary(sql), 1).await;
        }
        let got =
            safe(&mut client, &[frontend::query(&format!("SELECT upper(name) FROM items WHERE id = 1; {sql}"))], 1)
                .await;
        if let Some(first) = rows(&got).first() {
            assert_eq!(first, "ITEM 1", "{sql}");
        }
    }
    assert!(masked > 20, "only {masked} of {} came through at all", ATTEMPTS.len());
    safe(&mut client, &[frontend::query("SELECT 1")], 1).await;
    drop(client);
    recorded(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p34_the_statement_of_a_text_is_counted_as_the_server_completes_them() {
    let world = world().await;
    let mut client = world.client().await;
    // What comes before in the same text, and how often the server completes it.
    let before = [
        ";;",
        "SET TimeZone = 'UTC'",
        "BEGIN; COMMIT",
        "UPDATE public.also SET note = 'x' WHERE id = 1",
        "INSERT INTO public.also VALUES (1, 'x')",
        "UPDATE public.front SET name = 'x' WHERE id = 1",
        "DELETE FROM public.gone WHERE id = 1",
        "EXPLAIN SELECT * FROM public.people",
        "PREPARE q AS SELECT ssn FROM public.people; EXECUTE q; DEALLOCATE q",
        "BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM public.people; FETCH 1 FROM c; MOVE 1 FROM c; CLOSE c; COMMIT",
        "COPY public.people TO STDOUT",
        "CREATE TEMP TABLE IF NOT EXISTS t (id int)",
        "SHOW TimeZone",
        "SELECT FROM public.items WHERE id = 1",
    ];
    for text in before {
        let sql = format!(
            "{text}; SELECT pg_catalog.upper(ssn), id FROM public.people WHERE id = 1; SELECT pg_catalog.upper(name) FROM public.items WHERE id = 1"
        );
        let got = safe(&mut client, &[frontend::query(&sql)], 1).await;
        assert_eq!(codes(&got), Vec::<String>::new(), "{text}: {}", outline(&got));
        let rows = rows(&got);
        assert_eq!(rows[rows.len() - 2..], ["null|1", "ITEM 1"], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p34_a_name_made_anew_between_bind_and_execute_shows_nothing() {
    let world = world().await;
    for (make, sql, remake) in [
        ("PREPARE q AS SELECT name FROM items", "EXECUTE q", "DEALLOCATE q; PREPARE q AS SELECT ssn FROM people"),
        (
            "DECLARE q CURSOR FOR SELECT name FROM items",
            "FETCH ALL FROM q",
            "CLOSE q; DECLARE q CURSOR FOR SELECT ssn FROM people",
        ),
    ] {
        let mut client = world.client().await;
        let (unmake, masked) = remake.split_once("; ").unwrap();
        // Clear at Bind, masked when it is run; and the other way round, begun and gone on with.
        for (first, second, begin) in [(make, masked, false), (masked, make, true)] {
            let mut frames = vec![frontend::query("BEGIN"), frontend::query(first), frontend::parse("s", sql)];
            frames.extend([frontend::bind("p", "s", &[]), frontend::describe(b'P', "p"), frontend::sync()]);
            if begin {
                frames.extend([frontend::execute("p", 1), frontend::sync()]);
            }
            frames.push(frontend::query(&format!("{unmake}; {second}")));
            frames.extend([frontend::describe(b'P', "p"), frontend::execute("p", 0), frontend::sync()]);
            frames.extend([frontend::close(b'S', "s"), frontend::sync(), frontend::query("ROLLBACK; DEALLOCATE ALL")]);
            let got = safe(&mut client, &frames, if begin { 8 } else { 7 }).await;
            assert!(rows(&got).iter().any(|row| row == "[redacted]"), "{sql}: {}", outline(&got));
        }
    }
    recorded(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p35_what_was_prepared_shows_nothing_when_what_it_names_becomes_something_else() {
    let world = world().await;
    world.sql("CREATE SCHEMA clear; CREATE TABLE clear.people (id int, ssn text, name text, grp int); GRANT ALL ON SCHEMA clear TO public");
    let mut client = world.client().await;
    // Read, described and bound under one search path, run under another.
    let prepared = [
        frontend::query("SET search_path = clear"),
        frontend::parse("s", "SELECT ssn FROM people"),
        frontend::describe(b'S', "s"),
        frontend::sync(),
        frontend::query("SET search_path = public"),
    ];
    safe(&mut client, &prepared, 3).await;
    safe(&mut client, &[frontend::bind("", "s", &[]), frontend::execute("", 0), frontend::sync()], 1).await;
    // A column that another session added meanwhile, which the catalogue does not have yet.
    world.sql("ALTER TABLE public.people ADD COLUMN copy text; UPDATE public.people SET copy = ssn");
    safe(&mut client, &[frontend::query("SELECT * FROM people; TABLE people; SELECT copy FROM people")], 1).await;
    safe(&mut client, &run("SELECT *, copy FROM people"), 1).await;
    safe(&mut client, &[frontend::query("COPY people TO STDOUT")], 1).await;
    drop(client);
    recorded(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p35_portals_are_run_in_parts_again_and_by_the_name_of_a_cursor() {
    let world = world().await;
    let mut client = world.client().await;
    let name = "p".repeat(63);
    let frames = [
        frontend::query("BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM people ORDER BY id"),
        frontend::parse("s", "SELECT ssn, id FROM people ORDER BY id"),
        frontend::bind(&name, "s", &[]),
        frontend::describe(b'P', &name),
        frontend::execute(&name, 1),
        frontend::execute(&name, 1),
        frontend::execute("c", 1),
        frontend::sync(),
        frontend::execute(&name, 0),
        frontend::execute(&name, 0),
        frontend::execute("c", 0),
        frontend::sync(),
        frontend::execute("nowhere", 0),
        frontend::execute(&name, 0),
        frontend::sync(),
        frontend::query("ROLLBACK"),
    ];
    let got = safe(&mut client, &frames, 5).await;
    let expected = ["[redacted]|1", "[redacted]|2", "[redacted]", "[redacted]|3", "[redacted]", "[redacted]"];
    assert_eq!(rows(&got), expected, "{}", outline(&got));
    assert_eq!((tags(&got).as_str(), statuses(&got).as_str()), ("CCZ12TDsDsDsZDCCDDCZEZCZ", "TTTEI"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p45_triggers_and_deferred_constraints_say_nothing() {
    let world = world().await;
    let mut client = world.client().await;
    ask(&mut client, "LISTEN ch").await.unwrap();
    let frames = [
        frontend::query("BEGIN"),
        frontend::query("UPDATE people SET grp = 1, name = 'speak' WHERE id = 2"),
        frontend::query("COMMIT"),
        frontend::query("SHOW application_name"),
    ];
    let got = exchange(&mut client, &frames, 4).await;
    assert_eq!(codes(&got), ["23505"], "{}", outline(&got));
    let said: Vec<Frame> = got.into_iter().filter(|frame| frame.tag != b'D').collect();
    assert!(!leaks(&said), "{}", outline(&said));
    let update = "UPDATE people SET name = 'speak' WHERE id = 1";
    let mut got = safe(&mut client, &run(update), 1).await;
    got.extend(safe(&mut client, &[frontend::query(update)], 1).await);
    assert!(got.iter().any(|frame| frame.tag == b'A'), "it is notified: {}", outline(&got));
    safe(&mut client, &run("UPDATE people SET grp = 1 WHERE id = 2"), 1).await;
    let [parse, bind, execute, _] = run("UPDATE people SET grp = 1 WHERE id = 2").try_into().unwrap();
    let got = safe(&mut client, &[parse, bind, execute, frontend::query("SELECT 1")], 1).await;
    assert_eq!(codes(&got), ["23505"], "{}", outline(&got));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p44_a_copy_that_cannot_be_read_is_refused_and_the_session_lives() {
    let world = world().await;
    let mut client = world.client().await;
    for options in ["(ENCODING 'LATIN1')", "(FORMAT csv, ENCODING 'SQL_ASCII')"] {
        let copy = format!("COPY people TO STDOUT {options}");
        let got = safe(&mut client, &[frontend::query(&copy)], 1).await;
        assert_eq!(codes(&got), ["0A000"], "{}", outline(&got));
        let got = safe(&mut client, &run(&copy), 1).await;
        assert_eq!(codes(&got), ["0A000"], "{}", outline(&got));
    }
    let got = safe(&mut client, &run("COPY (SELECT ssn, id FROM people ORDER BY id) TO STDOUT"), 1).await;
    assert_eq!(tags(&got), "12HdddcCZ");
    let got = safe(&mut client, &[frontend::query("COPY items TO STDOUT (ENCODING 'LATIN1')")], 1).await;
    assert_eq!(codes(&got), Vec::<String>::new());
    drop(client);
    recorded(&world).await;
}
