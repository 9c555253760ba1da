//! Names that a server looks up later, cuts elsewhere or takes for something else than the newest grammar does: raw protocol
//! through the built binary to real servers.

use crate::surroundings::{BINARY, direct, server};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::postgres::{Installation, Options, Postgres};
use portcullis_testkit::wire::frontend::{bind, execute, parse, sync};
use portcullis_testkit::wire::{Frame, RawClient, outline};
use serde_json::Value;

/// Agents may do with `hr` what they like, and read `public`, where values are masked.
const POLICY: &str = r#"
bundle: names
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: hr
    allow: { actions: [read, insert, update, delete, truncate, lock], objects: ["table hr.*"], marks: [bulk] }
  - id: temporary
    allow: { actions: [read, create], objects: ["table pg_temp*.*"] }
  - id: public
    allow: { actions: [read], objects: ["table public.*"], marks: [bulk] }
mask:
  - id: numbers
    columns: [public.customers.ssn, public.logins.system_user]
    with: redact
"#;

const SCHEMA: &str = "
CREATE TABLE public.customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO public.customers VALUES (1, 'Jos\u{e9}', '138271605'), (2, 'Ann', '138271606');
CREATE TABLE public.safe (id int, name text);
INSERT INTO public.safe VALUES (1, 'x');
CREATE TABLE public.orders (id int);
INSERT INTO public.orders VALUES (1), (2), (3);
CREATE SCHEMA hr;
CREATE TABLE hr.customers (id int, name text, ssn text);
CREATE TABLE hr.orders (id int);
INSERT INTO hr.orders VALUES (1);
CREATE TABLE public.logins (id int, \"system_user\" text);
INSERT INTO public.logins VALUES (1, 'root-138271605');
";

fn guarded() -> Option<&'static Postgres> {
    if direct() {
        println!("skipped: there is no gateway");
        return None;
    }
    server()
}

fn gateway(server: &Postgres, database: &str) -> Gateway {
    Settings::new(BINARY).policy("names", POLICY).postgres("shop", server, database).plaintext().start().unwrap()
}

async fn login(gateway: &Gateway) -> RawClient {
    let token = gateway.token("agent", &["agents"]).unwrap();
    RawClient::login(&gateway.address("postgres").unwrap(), "agent", "shop", &token).await.unwrap()
}

/// Everything that came, for what may stand nowhere in it.
fn said(frames: &[Frame]) -> String {
    frames.iter().map(|frame| String::from_utf8_lossy(&frame.body).into_owned()).collect()
}

async fn run(client: &mut RawClient, frames: &[bytes::Bytes]) -> Vec<Frame> {
    client.send(&frames.concat()).await.unwrap();
    client.read_until_ready().await.unwrap()
}

/// What the record shows of the only session.
fn shown(gateway: &Gateway) -> String {
    let listed = gateway.command(&["sessions", "list", "--json"]).unwrap();
    let entries: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let entry = entries.iter().find(|entry| entry.to_string().contains("agent")).unwrap();
    let id = ["id", "session"].iter().find_map(|field| entry[*field].as_str()).unwrap();
    gateway.command(&["sessions", "show", id]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_utility_portal_that_would_mean_something_else_is_refused_and_the_record_shows_it() {
    let Some(server) = guarded() else { return };
    let database = server.create_database("names", SCHEMA).unwrap();
    let gateway = gateway(server, &database);
    let mut client = login(&gateway).await;
    for (text, done) in [("TRUNCATE orders", "TRUNCATE TABLE"), ("COPY customers TO STDOUT", "COPY 0")] {
        assert!(outline(&client.query("SET search_path = hr").await.unwrap()).contains("C:SET"));
        let bound =
            [parse("", text), bind("late", "", &[]), parse("", "SET search_path = public"), bind("path", "", &[])];
        let moved = [&bound[..], &[execute("path", 0), execute("late", 0), sync()]].concat();
        let got = run(&mut client, &moved).await;
        assert!(outline(&got).contains("C:SET E:0A000") && !said(&got).contains("138271"), "{text}: {}", outline(&got));
        // The same without a change between runs, and so does the order in which drivers send it.
        let whole = [parse("", text), bind("", "", &[]), execute("", 0), sync()];
        let got = run(&mut client, &whole).await;
        assert!(outline(&got).contains(&format!("C:{done}")), "{text}: {}", outline(&got));
    }
    // What is planned when it is bound keeps its meaning, and passes.
    let bound = [parse("", "SELECT id FROM orders"), bind("early", "", &[]), parse("", "SET search_path = public")];
    let moved = [&bound[..], &[bind("path", "", &[]), execute("path", 0), execute("early", 0), sync()]].concat();
    let got = run(&mut client, &moved).await;
    assert!(outline(&got).contains("C:SELECT 0"), "{}", outline(&got));
    assert_eq!(server.run_sql(&database, "SELECT count(*) FROM public.orders").unwrap().trim(), "3");
    drop(client);
    let shown = shown(&gateway);
    assert!(shown.contains("bind it again"), "{shown}");
    assert_eq!(shown.matches("TRUNCATE TABLE").count(), 1, "{shown}");
    gateway.stop(&[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_in_utf8_is_asked_about_ascii_names_only() {
    let Some(server) = guarded() else { return };
    let long = "\u{e9}".repeat(32);
    let escaped = "\\00e9".repeat(32);
    let attacks = [
        format!(
            "SELECT (SELECT upper(\"{long}y\".ssn) FROM safe AS \"{long}x\" LIMIT 1) FROM customers AS \"{long}y\" \
             WHERE \"{long}y\".id = 1"
        ),
        format!(
            "SELECT (SELECT upper(U&\"{escaped}y\".ssn) FROM safe AS U&\"{escaped}x\" LIMIT 1) \
             FROM customers AS U&\"{escaped}y\" WHERE U&\"{escaped}y\".id = 1"
        ),
        format!("PREPARE \"{long}\" AS SELECT upper(ssn) FROM customers"),
    ];
    for (encoding, foreign) in [("LATIN1", true), ("SQL_ASCII", true), ("UTF8", false)] {
        let database = format!("names_{}", encoding.to_ascii_lowercase());
        let create =
            format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
        server.run_sql("postgres", &create).unwrap();
        server.run_sql(&database, &format!("SET client_encoding = 'UTF8';{SCHEMA}")).unwrap();
        let gateway = gateway(server, &database);
        let mut client = login(&gateway).await;
        for text in &attacks {
            let got = client.query(text).await.unwrap();
            assert!(!said(&got).contains("138271605"), "{encoding}: {text}");
            assert_eq!(outline(&got).contains("E:0A000"), foreign, "{encoding}: {text}: {}", outline(&got));
        }
        let name = [parse("\u{e9}", "SELECT 1"), sync()];
        let got = run(&mut client, &name).await;
        assert_eq!(outline(&got).contains("E:42602"), foreign, "{encoding}: {}", outline(&got));
        // Values are not names.
        let got = client.query("SELECT id FROM customers WHERE name = 'Jos\u{e9}' -- \u{e9}").await.unwrap();
        assert!(outline(&got).contains("C:SELECT 1"), "{encoding}: {}", outline(&got));
        drop(client);
        gateway.stop(&[]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_before_16_takes_for_a_call_is_one() {
    if guarded().is_none() {
        return;
    }
    let functions = "
        CREATE FUNCTION public.\"json_array\"(int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM public.customers LIMIT 1';
        CREATE FUNCTION public.\"json_value\"(text, text) RETURNS text LANGUAGE sql
            AS 'SELECT ssn FROM public.customers LIMIT 1';";
    for version in [14, 15] {
        let server = match Installation::of_version(version).and_then(|installation| Options::new(installation).start())
        {
            Ok(server) => server,
            Err(why) => {
                println!("skipped: {why}");
                continue;
            }
        };
        let database = server.create_database("names", &format!("{SCHEMA}{functions}")).unwrap();
        let gateway = gateway(&server, &database);
        let mut client = login(&gateway).await;
        for text in ["SELECT json_array(5)", "SELECT json_value('a', 'b')", "SELECT * FROM json_array(5)"] {
            let got = client.query(text).await.unwrap();
            assert_eq!(outline(&got), "E:42501 Z:I", "{version}: {text}");
        }
        let got = client.query("SELECT upper(system_user) FROM logins").await.unwrap();
        assert!(outline(&got).contains("C:SELECT 1"), "{version}: {}", outline(&got));
        assert!(!said(&got).to_lowercase().contains("root"), "{version}");
        let got = client.query("SELECT upper('a'), json_build_array(5), '[1]'::json").await.unwrap();
        assert!(outline(&got).contains("C:SELECT 1"), "{version}: {}", outline(&got));
        drop(client);
        let shown = shown(&gateway);
        assert!(shown.contains("execute function public.json_array"), "{version}: {shown}");
        gateway.stop(&[]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_whose_table_was_hidden_does_not_run_and_the_record_shows_it() {
    let Some(server) = guarded() else { return };
    let database = server.create_database("names", SCHEMA).unwrap();
    let gateway = gateway(server, &database);
    let mut client = login(&gateway).await;
    let text = "SELECT upper(ssn) FROM customers WHERE id < 3 ORDER BY id";
    client.query("CREATE TEMP TABLE first (id int)").await.unwrap();
    assert!(outline(&client.query(&format!("PREPARE s AS {text}")).await.unwrap()).contains("C:PREPARE"));
    run(&mut client, &[parse("p", text), sync()]).await;
    let bound = [bind("", "p", &[]), execute("", 0), sync()];
    for got in [client.query("EXECUTE s").await.unwrap(), run(&mut client, &bound).await] {
        assert!(outline(&got).contains("C:SELECT 2") && !said(&got).contains("138271"), "{}", outline(&got));
    }
    let got = client.query("CREATE TEMP TABLE customers (id int, ssn text)").await.unwrap();
    assert!(outline(&got).contains("C:CREATE TABLE"), "{}", outline(&got));
    for got in [
        client.query("EXECUTE s").await.unwrap(),
        client.query("EXPLAIN ANALYZE EXECUTE s").await.unwrap(),
        run(&mut client, &bound).await,
    ] {
        assert!(outline(&got).contains("E:0A000") && !said(&got).contains("138271"), "{}", outline(&got));
    }
    // The name means the temporary one now, of whose columns nothing is known, and what it meant is masked as ever.
    let got = client.query("SELECT upper(ssn) FROM customers").await.unwrap();
    assert!(outline(&got).contains("C:SELECT 0"), "{} {}", outline(&got), said(&got));
    let got = client.query("SELECT upper(ssn) FROM public.customers").await.unwrap();
    assert!(outline(&got).contains("C:SELECT 2") && !said(&got).contains("138271"), "{}", outline(&got));
    drop(client);
    let shown = shown(&gateway);
    assert!(shown.contains("prepare it again"), "{shown}");
    gateway.stop(&[]).unwrap();
}
