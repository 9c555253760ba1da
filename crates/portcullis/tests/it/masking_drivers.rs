//! Drivers read what is masked as they read anything: every protected type, in text and in binary, without a decoding
//! error, and nothing protected reaches the program. Each runs its own program of checks in `tests/drivers`.

use crate::drivers::{go, java, node, python};
use crate::masking_secrets::Vault;
use crate::surroundings::{part, succeed};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Column as _, Connection as _, Row as _};
use std::process::Command;
use tokio_postgres::NoTls;

fn reads(mut command: Command) {
    let Some(vault) = Vault::open(false) else { return };
    command.env("PORTCULLIS_TEST_DSN", vault.dsn("agents")).env("PORTCULLIS_TEST_MASKED", "1");
    command.env("PORTCULLIS_TEST_GATEWAY", "1");
    let said = succeed(&mut command);
    vault.assert_clean("the driver", &said);
    assert!(said.trim_end().ends_with("checks passed") && said.contains("[redacted]"), "{said}");
    vault.close(&[]);
}

#[test]
fn psycopg() {
    let Some(command) = python("psycopg_masked.py") else { return };
    reads(command);
}

#[test]
fn asyncpg() {
    let Some(command) = python("asyncpg_masked.py") else { return };
    reads(command);
}

#[test]
fn node_postgres() {
    let Some(command) = node("masked.js") else { return };
    reads(command);
}

#[test]
fn pgx() {
    let Some(command) = go() else { return };
    reads(command);
}

#[test]
fn jdbc() {
    let Some(command) = java("Masked.java") else { return };
    reads(command);
}

const EVERY_TYPE: &str = "SELECT id, name, ssn, email, tax, profile, dossier, tags, balance, born, photo, home, search FROM people ORDER BY id";

/// tokio-postgres and sqlx read results in binary.
#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres() {
    let Some(vault) = Vault::open(true) else { return };
    let dsn = vault.dsn("agents");
    let (client, connection) = tokio_postgres::connect(dsn.split(" sslmode").next().unwrap(), NoTls).await.unwrap();
    tokio::task::spawn(connection);
    let rows = client.query(EVERY_TYPE, &[]).await.unwrap();
    assert_eq!(rows.len(), 8);
    for row in &rows {
        assert!(row.get::<_, &str>("name").starts_with("Person "));
        assert_eq!(row.get::<_, Option<&str>>("ssn"), Some("[redacted]"));
        assert_eq!(row.get::<_, &str>("email").len(), 20);
        assert_eq!(row.get::<_, Option<&str>>("tax"), Some("[redacted]"));
        assert_eq!(row.get::<_, Vec<Option<&str>>>("tags"), [Some("[redacted]"), None]);
        assert_eq!(row.get::<_, Option<&[u8]>>("photo"), None);
        assert_eq!(row.get::<_, Option<&str>>("search"), None);
    }
    let texts = client.simple_query(EVERY_TYPE).await.unwrap();
    vault.assert_clean("simple_query", format!("{texts:?}"));
    vault.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlx() {
    let Some(vault) = Vault::open(true) else { return };
    let dsn = vault.dsn("agents");
    let options = PgConnectOptions::new_without_pgpass()
        .host(part(&dsn, "host"))
        .port(part(&dsn, "port").parse().unwrap())
        .username(part(&dsn, "user"))
        .password(part(&dsn, "password"))
        .database(part(&dsn, "dbname"))
        .ssl_mode(PgSslMode::Disable);
    let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
    for sql in [
        "SELECT id, ssn, tags, photo FROM people WHERE id <= $1 ORDER BY id",
        "SELECT id, upper(ssn) AS ssn, tags, photo FROM people WHERE id <= $1",
    ] {
        let rows = sqlx::query(sql).bind(3_i32).fetch_all(&mut connection).await.unwrap();
        assert_eq!(rows.len(), 3);
        for row in &rows {
            assert_eq!(row.columns()[1].name(), "ssn");
            assert!(row.get::<Option<String>, _>("ssn").is_none_or(|ssn| ssn == "[redacted]"));
            assert_eq!(row.get::<Vec<Option<String>>, _>("tags"), [Some("[redacted]".to_owned()), None]);
            assert_eq!(row.get::<Option<Vec<u8>>, _>("photo"), None);
        }
    }
    vault.close(&[]);
}
