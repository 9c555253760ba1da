//! A client for benchmarks that costs next to nothing itself: it reads frames by their headers and keeps nothing.
//!
//! `load rows SQL` runs a query and prints its rows, bytes and seconds. `load idle COUNT` logs in that many sessions, runs
//! one query in each, prints `ready`, and holds them until its standard input ends. The server is named by PGHOST,
//! PGPORT, PGUSER, PGPASSWORD and PGDATABASE; the connection is in plaintext.

use portcullis_testkit::TestkitError;
use portcullis_testkit::wire::{RawClient, frontend};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Instant;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), TestkitError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["rows", sql] => rows(sql).await,
        ["idle", count] => idle(count.parse().unwrap_or(0)).await,
        _other => Err(TestkitError::Absent("arguments: rows SQL, or idle COUNT".to_owned())),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

async fn login() -> Result<RawClient, TestkitError> {
    let address = format!("{}:{}", variable("PGHOST"), variable("PGPORT"));
    RawClient::login(&address, &variable("PGUSER"), &variable("PGDATABASE"), &variable("PGPASSWORD")).await
}

async fn rows(sql: &str) -> Result<(), TestkitError> {
    let mut client = login().await?;
    client.query("SELECT 1").await?;
    let began = Instant::now();
    client.send(&frontend::query(sql)).await?;
    let seen = client.drain_until_ready().await?;
    let seconds = began.elapsed().as_secs_f64();
    say(&format!("{} {} {seconds:.6}", seen.rows, seen.bytes))
}

async fn idle(count: usize) -> Result<(), TestkitError> {
    let mut clients = Vec::with_capacity(count);
    for _session in 0..count {
        let mut client = login().await?;
        client.query("SELECT 1").await?;
        clients.push(client);
    }
    say("ready")?;
    let mut until_closed = Vec::new();
    let read = tokio::task::spawn_blocking(move || std::io::stdin().read_to_end(&mut until_closed));
    let _ended = read.await;
    Ok(())
}

fn say(line: &str) -> Result<(), TestkitError> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|source| TestkitError::Io { what: "print".to_owned(), source })
}
