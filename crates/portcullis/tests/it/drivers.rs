//! Drivers of other languages: each runs its own program of checks (`tests/drivers`) through the gateway, refusals included.

use crate::surroundings::{Shop, Wants, Who, direct, fetched, succeed};
use std::path::PathBuf;
use std::process::Command;

fn program(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(name)
}

/// A program of checks in Python; `None`, as below, where its driver was not fetched, which is then said.
pub(crate) fn python(checks: &str) -> Option<Command> {
    let mut command = Command::new(fetched("python/bin/python")?);
    command.arg(program(checks)).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// One for Node.
pub(crate) fn node(checks: &str) -> Option<Command> {
    let modules = fetched("node/node_modules")?;
    let mut command = Command::new("node");
    command.arg(program("node").join(checks)).env("NODE_PATH", modules);
    Some(command)
}

/// The one in Go, which was built when it was fetched.
pub(crate) fn go() -> Option<Command> {
    fetched("go/pgx").map(Command::new)
}

/// One in Java.
pub(crate) fn java(checks: &str) -> Option<Command> {
    let jar = fetched("java/postgresql.jar")?;
    let mut command = Command::new("java");
    command.arg("-cp").arg(jar).arg(program("java").join(checks));
    Some(command)
}

fn checks(mut command: Command) {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    command.env("PORTCULLIS_TEST_DSN", shop.dsn(Who::Agent));
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
    let Some(command) = python("psycopg_checks.py") else { return };
    checks(command);
}

#[test]
fn asyncpg() {
    let Some(command) = python("asyncpg_checks.py") else { return };
    checks(command);
}

#[test]
fn node_postgres() {
    let Some(command) = node("checks.js") else { return };
    checks(command);
}

#[test]
fn pgx() {
    let Some(command) = go() else { return };
    checks(command);
}

#[test]
fn jdbc() {
    let Some(command) = java("Checks.java") else { return };
    checks(command);
}
