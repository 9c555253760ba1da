//! `kill -9`: what was reported durable is there, wholly and in order.
//!
//! The child is this test binary run again with a variable set; it says what it saw become durable, and is killed.

use bytes::Bytes;
use portcullis_store::conform::blocking;
use portcullis_store::{Entry, Expect, Put, Sync};
use portcullis_store_rocksdb::Store;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

const DIRECTORY: &str = "PORTCULLIS_STORE_CRASH";
/// Entries of one batch: all or none of them are there.
const BATCH: u64 = 5;

fn entry(batch: u64, at: u64) -> Entry {
    let key = [batch.to_be_bytes(), at.to_be_bytes()].concat();
    Entry { key: key.into(), value: Bytes::from(vec![7; 300]) }
}

/// Not a test by itself: the child, which does nothing unless it is started as that.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = Store::open(Path::new(&directory)).unwrap();
    let (log, table) = (store.log(), store.table());
    let start = log
        .scan_back(b"", None, 1)
        .unwrap()
        .first()
        .map_or(0, |last| u64::from_be_bytes(last.key[..8].try_into().unwrap()) + 1);
    for batch in start.. {
        let entries: Vec<_> = (0..BATCH).map(|at| entry(batch, at)).collect();
        // Every third one is made durable by a flush.
        let sync = if batch % 3 == 0 { Sync::Buffered } else { Sync::Durable };
        log.append(&entries, sync).unwrap();
        if sync == Sync::Buffered {
            log.flush().unwrap();
        }
        writeln!(std::io::stdout(), "log {batch}").unwrap();
        let value = Bytes::copy_from_slice(&batch.to_be_bytes());
        assert_ne!(blocking(table.put("newest".into(), value, Expect::Any, None)).unwrap(), Put::Conflict);
        writeln!(std::io::stdout(), "table {batch}").unwrap();
    }
}

/// The newest batch that the child said was durable, in the log and in the table.
fn run_and_kill(directory: &Path, lines: usize) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "crash::child_that_writes_until_it_is_killed", "--nocapture"]).env(DIRECTORY, directory);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut log, mut table, mut seen) = (0, 0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let told = line.rsplit_once(' ').and_then(|(what, batch)| Some((what, batch.parse::<u64>().ok()?)));
        match told {
            Some((what, batch)) if what.ends_with("log") => log = batch,
            Some((what, batch)) if what.ends_with("table") => table = batch,
            Some(_) | None => continue,
        }
        seen += 1;
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the child ended by itself");
    (log, table)
}

#[test]
fn what_was_durable_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let cases = std::env::var("PORTCULLIS_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .map_or(3, |cases: usize| cases.min(50));
    for case in 0..cases {
        let (newest, put) = run_and_kill(&path, 60 + 13 * case);
        let store = Store::open_read_only(&path).unwrap();
        let found = store.log().scan(b"", b"", usize::MAX).unwrap();
        assert_eq!(found.len() as u64 % BATCH, 0, "half a batch is there");
        let batches = found.len() as u64 / BATCH;
        assert!(batches > newest, "batch {newest} was durable and {batches} are there");
        let expected = (0..batches).flat_map(|batch| (0..BATCH).map(move |at| entry(batch, at)));
        assert!(found.into_iter().eq(expected));
        let table = store.table();
        let row = blocking(table.get(b"newest")).unwrap().unwrap();
        assert!(u64::from_be_bytes(row.value.as_ref().try_into().unwrap()) >= put);
        drop((table, store));
        let position = Store::open(&path).unwrap().log().append(&[], Sync::Durable).unwrap();
        assert_eq!(position, batches * BATCH, "positions have no gap");
    }
}
