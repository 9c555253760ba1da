//! The suite that every store passes: `conform!` makes one test of each case.
//!
//! ```text
//! portcullis_store::conform! {
//!     log: || (Arc::new(MemoryLog::new()) as Arc<dyn Log>, ()),       // a fresh, empty store, and what must outlive it
//!     table: || (Arc::new(MemoryTable::new()) as Arc<dyn Table>, ()), // (a temporary directory, a server)
//! }
//! ```
//!
//! The cases are plain functions, so a store with a need of its own can call one alone. A case panics when the store
//! breaks the promise it is named for and returns the store's error when the store itself fails. What a case cannot see
//! from inside one process (surviving `kill -9`) each durable store tests for itself.

use crate::{Change, Entry, Expect, Log, Put, StoreError, Sync, Table};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Makes a `#[test]` of every case for the stores that the two closures make.
#[macro_export]
macro_rules! conform {
    (log: $log:expr, table: $table:expr $(,)?) => {
        $crate::conform!(@log $log =>
            log_appends_wholly_and_in_order, log_positions_grow_without_gaps, log_scans_by_prefix,
            log_scans_backwards, log_keeps_every_byte, log_replaces_only_what_is_there,
            log_is_read_while_it_is_written,
        );
        $crate::conform!(@table $table =>
            table_puts_and_gets, table_expects_what_is_there, table_versions_only_grow, table_forgets_what_ran_out,
            table_scans_by_prefix, table_lets_exactly_one_win, table_counts_without_losing, table_watch_sees_changes,
            table_watch_coalesces_for_the_slow, table_keeps_every_byte,
        );
    };
    (@log $make:expr => $($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            let (store, _kept) = ($make)();
            $crate::conform::$case(&store).unwrap();
        })*
    };
    (@table $make:expr => $($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            let (store, _kept) = ($make)();
            $crate::conform::blocking($crate::conform::$case(&store)).unwrap();
        })*
    };
}

/// Runs a case of a [`Table`] to its end on a runtime of its own.
///
/// # Errors
/// The case's, or that no runtime could be made.
pub fn blocking<T>(case: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
        .block_on(case)
}

fn entry(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Entry {
    Entry { key: Bytes::copy_from_slice(key.as_ref()), value: Bytes::copy_from_slice(value.as_ref()) }
}

fn keys(found: &[Entry]) -> Vec<&[u8]> {
    found.iter().map(|entry| entry.key.as_ref()).collect()
}

/// A batch is there wholly, and each of its keys reads back.
///
/// # Errors
/// The store's.
pub fn log_appends_wholly_and_in_order(log: &Arc<dyn Log>) -> Result<(), StoreError> {
    assert_eq!(log.scan(b"", b"", 10)?, []);
    let batch = [entry("b", "2"), entry("a", "1"), entry("c", "3")];
    log.append(&batch, Sync::Durable)?;
    assert_eq!(keys(&log.scan(b"", b"", 10)?), [b"a", b"b", b"c"]);
    assert_eq!(log.get(b"b")?.as_deref(), Some(&b"2"[..]));
    assert_eq!(log.get(b"bb")?, None);
    log.append(&[entry("d", "4")], Sync::Buffered)?;
    assert_eq!(log.get(b"d")?.as_deref(), Some(&b"4"[..]), "a buffered entry is visible at once");
    log.flush()
}

/// Positions count entries from 1.
///
/// # Errors
/// The store's.
pub fn log_positions_grow_without_gaps(log: &Arc<dyn Log>) -> Result<(), StoreError> {
    assert_eq!(log.append(&[entry("a", "")], Sync::Durable)?, 1);
    assert_eq!(log.append(&[entry("b", ""), entry("c", "")], Sync::Buffered)?, 3);
    assert_eq!(log.append(&[], Sync::Durable)?, 3, "an empty batch takes no position");
    assert_eq!(log.append(&[entry("d", "")], Sync::Durable)?, 4);
    Ok(())
}

/// A scan stays within its prefix, starts where told and stops at its limit.
///
/// # Errors
/// The store's.
pub fn log_scans_by_prefix(log: &Arc<dyn Log>) -> Result<(), StoreError> {
    let batch: Vec<_> = ["a", "b", "b\0", "b1", "b2", "b\u{ff}", "c"].iter().map(|key| entry(key, key)).collect();
    log.append(&batch, Sync::Durable)?;
    log.append(&[entry(b"b\xff\xff", "x"), entry(b"\xff\xff", "y")], Sync::Durable)?;
    assert_eq!(log.scan(b"b", b"", 100)?.len(), 6);
    assert_eq!(keys(&log.scan(b"b", b"b1", 2)?), [b"b1", b"b2"]);
    assert_eq!(keys(&log.scan(b"b", b"a", 2)?), [&b"b"[..], b"b\0"], "from below the prefix starts at it");
    assert_eq!(log.scan(b"b", b"c", 100)?, [], "from beyond the prefix finds nothing");
    assert_eq!(keys(&log.scan(b"\xff\xff", b"", 9)?), [b"\xff\xff"]);
    assert_eq!(log.scan(b"", b"", 0)?, []);
    assert_eq!(log.scan(b"", b"", 100)?.len(), 9);
    Ok(())
}

/// A backward scan is the forward one reversed, below a bound.
///
/// # Errors
/// The store's.
pub fn log_scans_backwards(log: &Arc<dyn Log>) -> Result<(), StoreError> {
    assert_eq!(log.scan_back(b"k", None, 1)?, []);
    for number in 0_u64..20 {
        log.append(&[entry([b"k".as_slice(), &number.to_be_bytes()].concat(), number.to_string())], Sync::Buffered)?;
    }
    log.append(&[entry("a", ""), entry("l", ""), entry(b"\xff\xff", "end")], Sync::Durable)?;
    let last = log.scan_back(b"k", None, 1)?;
    assert_eq!(last.iter().map(|entry| entry.value.as_ref()).collect::<Vec<_>>(), [b"19"]);
    let bound = [b"k".as_slice(), &5_u64.to_be_bytes()].concat();
    let below = log.scan_back(b"k", Some(&bound), 3)?;
    assert_eq!(below.iter().map(|entry| entry.value.as_ref()).collect::<Vec<_>>(), [b"4", b"3", b"2"]);
    let mut all = log.scan_back(b"k", None, 100)?;
    all.reverse();
    assert_eq!(all, log.scan(b"k", b"", 100)?);
    assert_eq!(log.scan_back(b"k", Some(b"a"), 9)?, [], "a bound below the prefix finds nothing");
    assert_eq!(log.scan_back(b"k", Some(b"z"), 1)?, last, "a bound beyond the prefix changes nothing");
    assert_eq!(keys(&log.scan_back(b"\xff\xff", None, 9)?), [b"\xff\xff"]);
    assert_eq!(keys(&log.scan_back(b"", None, 1)?), [b"\xff\xff"]);
    Ok(())
}

/// Any byte in keys and values, and values from nothing to a mebibyte.
///
/// # Errors
/// The store's.
pub fn log_keeps_every_byte(log: &Arc<dyn Log>) -> Result<(), StoreError> {
    let every: Vec<u8> = (0..=255).collect();
    let large = every.repeat(4096);
    log.append(&[entry(&every, &every), entry("large", &large), entry("none", "")], Sync::Durable)?;
    assert_eq!(log.get(&every)?.as_deref(), Some(every.as_slice()));
    assert_eq!(log.get(b"large")?.as_deref(), Some(large.as_slice()));
    assert_eq!(log.get(b"none")?.as_deref(), Some(&b""[..]), "empty is not absent");
    Ok(())
}

/// Retention's replace.
///
/// # Errors
/// The store's.
pub fn log_replaces_only_what_is_there(log: &Arc<dyn Log>) -> Result<(), StoreError> {
    log.append(&[entry("a", "body")], Sync::Durable)?;
    log.replace(&entry("a", "hash"))?;
    assert_eq!(log.get(b"a")?.as_deref(), Some(&b"hash"[..]));
    assert!(matches!(log.replace(&entry("b", "x")), Err(StoreError::Damaged(_))));
    assert_eq!(log.get(b"b")?, None);
    assert_eq!(log.append(&[entry("c", "")], Sync::Durable)?, 2, "a replacement takes no position");
    Ok(())
}

/// A reader never sees half a batch.
///
/// # Errors
/// The store's.
pub fn log_is_read_while_it_is_written(log: &Arc<dyn Log>) -> Result<(), StoreError> {
    const BATCHES: usize = 200;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (0..BATCHES).try_for_each(|at| {
                let batch = [entry(format!("{at:06}a"), ""), entry(format!("{at:06}b"), "")];
                log.append(&batch, Sync::Buffered).map(drop)
            })
        });
        while !writer.is_finished() {
            assert_eq!(log.scan(b"", b"", 2 * BATCHES)?.len() % 2, 0, "half a batch was seen");
        }
        writer.join().unwrap_or(Err(StoreError::Unavailable("the writer panicked".to_owned())))
    })?;
    assert_eq!(log.scan(b"", b"", 4 * BATCHES)?.len(), 2 * BATCHES);
    Ok(())
}

fn done(put: Put) -> u64 {
    match put {
        Put::Done(version) => version,
        Put::Conflict => {
            assert_eq!(put, Put::Done(0), "an expected put was refused");
            0
        }
    }
}

fn after(seconds: i64) -> Option<Timestamp> {
    Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// The plain cycle of a key.
///
/// # Errors
/// The store's.
pub async fn table_puts_and_gets(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    assert_eq!(table.get(b"k").await?, None);
    let expires = after(3600);
    let version = done(table.put("k".into(), "v".into(), Expect::Any, expires).await?);
    let row = table.get(b"k").await?;
    assert_eq!(row.as_ref().map(|row| (row.value.as_ref(), row.version)), Some((&b"v"[..], version)));
    let kept = row.and_then(|row| row.expires);
    assert_eq!(kept, expires, "the instant of expiry is kept to the nanosecond");
    done(table.delete("k".into(), Expect::Any).await?);
    assert_eq!(table.get(b"k").await?, None);
    done(table.delete("k".into(), Expect::Absent).await?);
    Ok(())
}

/// A put never overwrites a version other than the one expected.
///
/// # Errors
/// The store's.
pub async fn table_expects_what_is_there(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    let put = |value: &'static str, expect| table.put("k".into(), value.into(), expect, None);
    assert_eq!(put("0", Expect::Version(1)).await?, Put::Conflict);
    let first = done(put("1", Expect::Absent).await?);
    assert_eq!(put("2", Expect::Absent).await?, Put::Conflict);
    let second = done(put("2", Expect::Version(first)).await?);
    assert_eq!(put("3", Expect::Version(first)).await?, Put::Conflict);
    assert_eq!(table.delete("k".into(), Expect::Version(first)).await?, Put::Conflict);
    assert_eq!(table.delete("k".into(), Expect::Absent).await?, Put::Conflict);
    let row = table.get(b"k").await?;
    assert_eq!(row.map(|row| row.value), Some(Bytes::from_static(b"2")), "a conflict changes nothing");
    done(table.delete("k".into(), Expect::Version(second)).await?);
    assert_eq!(table.delete("k".into(), Expect::Version(second)).await?, Put::Conflict);
    Ok(())
}

/// A version is never used twice for a key, not even when it was deleted between.
///
/// # Errors
/// The store's.
pub async fn table_versions_only_grow(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    let mut newest = 0;
    for _ in 0..5 {
        let version = done(table.put("k".into(), "v".into(), Expect::Any, None).await?);
        assert!(version > newest);
        newest = version;
        newest = newest.max(done(table.delete("k".into(), Expect::Any).await?));
    }
    Ok(())
}

/// A key that ran out is never returned, counts as absent, and is removed by `expire`.
///
/// # Errors
/// The store's.
pub async fn table_forgets_what_ran_out(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    let old = done(table.put("gone".into(), "v".into(), Expect::Any, after(-1)).await?);
    done(table.put("soon".into(), "v".into(), Expect::Any, after(3600)).await?);
    done(table.put("kept".into(), "v".into(), Expect::Any, None).await?);
    assert_eq!(table.get(b"gone").await?, None);
    assert_eq!(table.scan(b"").await?.len(), 2);
    assert_eq!(table.put("gone".into(), "w".into(), Expect::Version(old), None).await?, Put::Conflict);
    let again = done(table.put("gone".into(), "w".into(), Expect::Absent, after(-1)).await?);
    assert!(again > old);
    assert_eq!(table.expire(Timestamp::now()).await?, 1);
    assert_eq!(table.expire(Timestamp::now()).await?, 0);
    assert_eq!(table.expire(after(7200).unwrap_or(Timestamp::MAX)).await?, 1);
    assert_eq!(table.scan(b"").await?.len(), 1);
    Ok(())
}

/// A scan stays within its prefix, in key order.
///
/// # Errors
/// The store's.
pub async fn table_scans_by_prefix(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    for key in ["b2", "a", "b", "c", "b1"] {
        done(table.put(key.into(), key.into(), Expect::Absent, None).await?);
    }
    done(table.put(Bytes::from_static(b"b\xff\xff"), "x".into(), Expect::Absent, None).await?);
    let found: Vec<_> = table.scan(b"b").await?.into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, [&b"b"[..], b"b1", b"b2", b"b\xff\xff"]);
    assert_eq!(table.scan(b"b1x").await?, []);
    assert_eq!(table.scan(b"").await?.len(), 6);
    Ok(())
}

/// Of many that put at once, exactly one wins.
///
/// # Errors
/// The store's.
pub async fn table_lets_exactly_one_win(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    for round in 0..10 {
        let key = Bytes::from(format!("k{round}"));
        let puts = (0..16).map(|at: u8| table.put(key.clone(), vec![at].into(), Expect::Absent, None));
        let puts: Vec<_> = join_all(puts).await.into_iter().collect::<Result<_, _>>()?;
        assert_eq!(puts.iter().filter(|put| matches!(put, Put::Done(_))).count(), 1, "two won, or none");
    }
    Ok(())
}

/// Compare-and-put loses no increment.
///
/// # Errors
/// The store's.
pub async fn table_counts_without_losing(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    done(table.put("n".into(), vec![0].into(), Expect::Absent, None).await?);
    let add = || async {
        loop {
            let Some(row) = table.get(b"n").await? else { return Err(StoreError::Damaged("lost".to_owned())) };
            let next = row.value.iter().map(|byte| byte + 1).collect::<Vec<_>>();
            if let Put::Done(_) = table.put("n".into(), next.into(), Expect::Version(row.version), None).await? {
                return Ok(());
            }
        }
    };
    join_all((0..20).map(|_| add())).await.into_iter().collect::<Result<Vec<()>, _>>()?;
    assert_eq!(table.get(b"n").await?.map(|row| row.value), Some(Bytes::from_static(&[20])));
    Ok(())
}

/// Puts, deletes and expiry of the prefix are seen, others not.
///
/// # Errors
/// The store's.
pub async fn table_watch_sees_changes(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    let mut changes = table.watch(b"a/");
    done(table.put("b/1".into(), "no".into(), Expect::Any, None).await?);
    let version = done(table.put("a/1".into(), "yes".into(), Expect::Any, None).await?);
    let seen = changes.next().await;
    let expected = (Bytes::from_static(b"a/1"), Some((Bytes::from_static(b"yes"), version)));
    let shown = |change: Change| (change.key, change.value.map(|row| (row.value, row.version)));
    assert_eq!(seen.map(shown), Some(expected));
    done(table.delete("a/1".into(), Expect::Any).await?);
    assert_eq!(changes.next().await, Some(Change { key: "a/1".into(), value: None }));
    done(table.put("a/2".into(), "x".into(), Expect::Any, after(-1)).await?);
    table.expire(Timestamp::now()).await?;
    let mut last = changes.next().await;
    if last.as_ref().is_some_and(|change| change.value.is_some()) {
        last = changes.next().await;
    }
    assert_eq!(last, Some(Change { key: "a/2".into(), value: None }));
    Ok(())
}

/// A reader that lags sees the newest state of each key.
///
/// # Errors
/// The store's.
pub async fn table_watch_coalesces_for_the_slow(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    let mut changes = table.watch(b"");
    for at in 0..100_u8 {
        done(table.put("a".into(), vec![at].into(), Expect::Any, None).await?);
        done(table.put("b".into(), vec![at].into(), Expect::Any, None).await?);
    }
    let (mut a, mut b) = (None, None);
    while (a.as_deref(), b.as_deref()) != (Some(&[99][..]), Some(&[99][..])) {
        let Some(change) = changes.next().await else {
            return Err(StoreError::Unavailable("the watch ended".to_owned()));
        };
        let slot = if change.key == "a" { &mut a } else { &mut b };
        *slot = change.value.map(|row| row.value);
    }
    Ok(())
}

/// Any byte in keys and values.
///
/// # Errors
/// The store's.
pub async fn table_keeps_every_byte(table: &Arc<dyn Table>) -> Result<(), StoreError> {
    let every = Bytes::from_iter(0..=255_u8);
    done(table.put(every.clone(), every.clone(), Expect::Absent, None).await?);
    assert_eq!(table.get(&every).await?.map(|row| row.value), Some(every));
    done(table.put("none".into(), Bytes::new(), Expect::Absent, None).await?);
    assert_eq!(table.get(b"none").await?.map(|row| row.value), Some(Bytes::new()));
    Ok(())
}
