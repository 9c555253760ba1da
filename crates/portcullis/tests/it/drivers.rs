//! Drivers of other languages: each runs its own program of checks (`tests/drivers`) through the gateway, refusals included.

use crate::surroundings::{Shop, Wants, Who, direct, fetched, succeed};
use std::path::PathBuf;
use std::process::Command;

fn program(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(name)
}

fn checks(mut command: Command) {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    command.env("PORTCULLIS_TEST_DSN", shop.dsn(Who::Agent)).env("PYTHONDONTWRITEBYTECODE", "1");
    if !direct() {
        command.env("PORTCULLIS_TEST_GATEWAY", "1");
    }
    let said = succeed(&mut command);
    assert!(said.trim_end().ends_with("checks passed"), "{said}");
    assert_eq!(shop.ask_server("SELECT count(*) FROM orders"), "120");
    shop.close(&[]);
}

#[test]
fn psycopg() {
    let Some(python) = fetched("python/bin/python") else { return };
    let mut command = Command::new(python);
    command.arg(program("psycopg_checks.py"));
    checks(command);
}

#[test]
fn asyncpg() {
    let Some(python) = fetched("python/bin/python") else { return };
    let mut command = Command::new(python);
    command.arg(program("asyncpg_checks.py"));
    checks(command);
}

#[test]
fn node_postgres() {
    let Some(modules) = fetched("node/node_modules") else { return };
    let mut command = Command::new("node");
    command.arg(program("node/checks.js")).env("NODE_PATH", modules);
    checks(command);
}

#[test]
fn pgx() {
    let Some(pgx) = fetched("go/pgx") else { return };
    checks(Command::new(pgx));
}

#[test]
fn jdbc() {
    let Some(jar) = fetched("java/postgresql.jar") else { return };
    let mut command = Command::new("java");
    command.arg("-cp").arg(jar).arg(program("java/Checks.java"));
    checks(command);
}
