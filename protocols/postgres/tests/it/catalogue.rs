//! The catalogue, loaded from real servers of every version that is here.

use crate::world::World;
use portcullis_model::catalogue::{FiredBy, ReferentialAction, RelKind, Volatility};
use portcullis_model::{Catalogue, Name};
use portcullis_net::{ClientTls, DialOptions};
use portcullis_postgres::load_catalogue;
use portcullis_postgres::login::backend::Target;
use portcullis_testkit::Postgres;
use portcullis_testkit::postgres::{Installation, Options, SUPERUSER};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
CREATE SCHEMA app;
CREATE FUNCTION app.check_it(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT length(t) > 0';
CREATE FUNCTION app.fire() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END';
CREATE DOMAIN app.word AS text CHECK (app.check_it(VALUE));
CREATE TABLE app.parent (id int PRIMARY KEY, word app.word NOT NULL DEFAULT 'x', twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE app.child (id int PRIMARY KEY, parent int REFERENCES app.parent (id) ON DELETE CASCADE ON UPDATE SET NULL,
  note text CHECK (app.check_it(note)));
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON app.child FOR EACH ROW EXECUTE FUNCTION app.fire();
CREATE VIEW app.both AS SELECT p.id, c.note FROM app.parent p JOIN app.child c ON c.parent = p.id;
CREATE MATERIALIZED VIEW app.kept AS SELECT * FROM app.both;
CREATE RULE r AS ON DELETE TO app.both DO INSTEAD DELETE FROM app.child WHERE parent = OLD.id;
CREATE TABLE app.parts (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.base (id int); CREATE TABLE app.heir (more text) INHERITS (app.base);
CREATE OPERATOR app.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.texteq);
CREATE TYPE app.pair AS (a int, b text);
CREATE CAST (text AS app.pair) WITH INOUT;
CREATE FUNCTION app.to_pair(int) RETURNS app.pair LANGUAGE sql BEGIN ATOMIC SELECT ROW($1, '')::app.pair; END;
CREATE CAST (int AS app.pair) WITH FUNCTION app.to_pair(int);
";

fn target(server: &Postgres, database: &str) -> Target {
    Target {
        address: server.address().parse().unwrap(),
        tls: ClientTls::disabled(),
        server_name: None,
        username: SUPERUSER.into(),
        password: Some(server.password().into()),
        database: database.to_owned(),
        dial: DialOptions::default(),
        timeout: Duration::from_secs(20),
    }
}

fn relation<'a>(catalogue: &'a Catalogue, name: &str) -> &'a portcullis_model::catalogue::Relation {
    catalogue.relation_named(&Name::canonical("app"), &Name::canonical(name)).unwrap_or_else(|| panic!("{name}"))
}

async fn holds(server: &Postgres) {
    let database = server.create_database("cat", SCHEMA).unwrap();
    let catalogue = load_catalogue(&target(server, &database), 7).await.unwrap();
    assert!(catalogue.is_known() && catalogue.epoch() == 7 && catalogue.has_schema("app"));
    let (parent, child) = (relation(&catalogue, "parent"), relation(&catalogue, "child"));
    let columns: Vec<_> = parent.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["id", "word", "twice"]);
    assert!(parent.columns[2].generated.as_deref().unwrap().contains("id * 2"));
    assert!(parent.columns[1].default.is_some() && parent.columns[1].not_null);
    let key = &parent.referenced_by[0];
    assert_eq!(
        (key.relation, key.on_delete, key.on_update),
        (child.oid, ReferentialAction::Cascade, ReferentialAction::SetNull)
    );
    assert_eq!((key.columns[0].as_str(), key.referenced[0].as_str()), ("parent", "id"));
    let check = catalogue.functions_named("check_it").next().unwrap();
    assert_eq!(check.volatility, Volatility::Immutable);
    assert!(child.functions.contains(&check.oid));
    assert_eq!(child.triggers[0].events, [FiredBy::Insert, FiredBy::Update]);
    assert!(catalogue.function(child.triggers[0].function).unwrap().security_definer);
    let both = relation(&catalogue, "both");
    assert_eq!(both.kind, RelKind::View);
    assert!(both.definition.as_deref().unwrap().contains("app.parent"), "{:?}", both.definition);
    let mut reads = both.reads.clone();
    reads.sort_unstable();
    let mut expected = [parent.oid, child.oid];
    expected.sort_unstable();
    assert_eq!(reads, expected);
    assert!(both.rules[0].instead && both.rules[0].event == FiredBy::Delete);
    assert_eq!(relation(&catalogue, "kept").kind, RelKind::MaterializedView);
    let (parts, base) = (relation(&catalogue, "parts"), relation(&catalogue, "base"));
    assert_eq!(parts.kind, RelKind::PartitionedTable);
    assert_eq!(parts.children, [relation(&catalogue, "parts_1").oid]);
    assert_eq!(relation(&catalogue, "heir").parents, [base.oid]);
    assert_eq!(catalogue.operators_named("===").len(), 1);
    let word = catalogue.type_named(&Name::canonical("app"), &Name::canonical("word")).unwrap();
    assert_eq!(word.functions, [check.oid]);
    let pair = catalogue.type_named(&Name::canonical("app"), &Name::canonical("pair")).unwrap();
    let to_pair = catalogue.functions_named("to_pair").next().unwrap();
    assert_eq!(catalogue.casts_to(pair.oid), [to_pair.oid]);
    assert!(to_pair.source.as_deref().unwrap().contains("ROW"), "a body in SQL has a source: {:?}", to_pair.source);
    let class = catalogue.relation_named(&Name::canonical("pg_catalog"), &Name::canonical("pg_class")).unwrap();
    assert!(class.column("relname").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_a_reader_needs_is_in_it() {
    holds(Postgres::shared().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_every_version_tell_the_same() {
    for version in 14..=18 {
        match Installation::of_version(version) {
            Ok(installation) => holds(&Options::new(installation).start().unwrap()).await,
            Err(absent) => eprintln!("skipped: {absent}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_columns_are_loaded() {
    let server = Postgres::shared().unwrap();
    let sql = "DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE format('CREATE TABLE public.wide_%s (%s)', i, \
         (SELECT string_agg(format('c%s int DEFAULT %s', n, n), ', ') FROM generate_series(1, 50) n)); END LOOP; END $$;";
    let database = server.create_database("wide", sql).unwrap();
    let began = Instant::now();
    let catalogue = load_catalogue(&target(server, &database), 1).await.unwrap();
    let took = began.elapsed();
    let columns: usize = catalogue.relations().filter(|r| r.schema.as_str() == "public").map(|r| r.columns.len()).sum();
    assert_eq!(columns, 10_000);
    // Budget: under a second. Printed, not asserted: a busy machine is no defect.
    println!("10,000 columns in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_cannot_be_loaded_leaves_names_unknown_and_policy_decides() {
    let world = World::new().await;
    let mut client = world.client().await;
    // A role of the database that may not read what the queries need is enough; here the server lacks a function.
    world.sql("ALTER FUNCTION pg_catalog.pg_get_ruledef(oid) RENAME TO pg_get_ruledef_gone");
    let got = crate::speak::ask(&mut client, "CREATE TABLE more (id int)").await;
    assert_eq!(got, Ok(vec![]));
    // Allow rules name schemas, and `?` is none of them.
    assert_eq!(crate::speak::ask(&mut client, "SELECT * FROM items").await, Err("42501".to_owned()));
    world.sql("ALTER FUNCTION pg_catalog.pg_get_ruledef_gone(oid) RENAME TO pg_get_ruledef");
}
