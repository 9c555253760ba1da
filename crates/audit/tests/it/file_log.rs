//! A [`Log`] in one file, small enough to be seen to be right: what `kill -9` is tested against without a real store.

use bytes::Bytes;
use portcullis_store::{Entry, Log, MemoryLog, Position, StoreError, Sync};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// Batches one behind the other, each behind its length; a batch that was cut by a crash is dropped when opened.
pub(crate) struct FileLog {
    file: File,
    read: MemoryLog,
}

impl FileLog {
    pub(crate) fn open(path: &Path) -> Self {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let read = MemoryLog::new();
        let mut left = bytes.as_slice();
        while let Some(batch) = take(&mut left) {
            let (mut batch, mut entries) = (batch, Vec::new());
            while let (Some(key), Some(value)) = (take(&mut batch), take(&mut batch)) {
                entries.push(Entry { key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value) });
            }
            read.append(&entries, Sync::Durable).unwrap();
        }
        file.set_len((bytes.len() - left.len()) as u64).unwrap();
        Self { file, read }
    }
}

/// The next bytes behind their length; nothing where they are cut, and then nothing is consumed.
fn take<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = left.split_first_chunk()?;
    let (taken, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *left = rest;
    Some(taken)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

impl Log for FileLog {
    fn append(&self, batch: &[Entry], sync: Sync) -> Result<Position, StoreError> {
        let (mut inner, mut bytes) = (Vec::new(), Vec::new());
        for entry in batch {
            put(&mut inner, &entry.key);
            put(&mut inner, &entry.value);
        }
        put(&mut bytes, &inner);
        (&self.file).write_all(&bytes).unwrap();
        if sync == Sync::Durable {
            self.flush()?;
        }
        self.read.append(batch, sync)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.file.sync_data().unwrap();
        Ok(())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read.scan(prefix, from, limit)
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read.scan_back(prefix, before, limit)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read.get(key)
    }

    fn replace(&self, _: &Entry) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("not needed here".to_owned()))
    }
}
