//! Sealing: putting chain heads into the Merkle log and signing its new size and root.

use crate::canonical::Encoder;
use crate::error::AuditError;
use crate::keys::SigningKey;
use crate::layout::{Keys, Leaf};
use crate::merkle::{Frontier, Nodes, leaf_hash};
use crate::note::Checkpoint;
use crate::reader::Reader;
use crate::verify::{Finding, Subject, Why};
use bytes::Bytes;
use portcullis_model::{Digest, SessionId};
use portcullis_store::{Entry, Log};
use std::convert::Infallible;
use std::sync::Arc;

/// A head to be sealed: the stream, begun in that run, has it after so many events.
pub(crate) struct Head {
    pub(crate) events: u64,
    pub(crate) head: Digest,
    pub(crate) run: u64,
    pub(crate) stream: SessionId,
}

/// The Merkle log as the writer holds it.
pub(crate) struct Sealer {
    key: SigningKey,
    frontier: Frontier,
    /// How often was sealed.
    seals: u64,
    encoder: Encoder,
    /// The newest checkpoint.
    pub(crate) note: Option<String>,
}

impl Sealer {
    /// The state at the newest checkpoint, after checking that the log is the one that was signed.
    pub(crate) fn load(log: &Arc<dyn Log>, key: SigningKey) -> Result<Self, AuditError> {
        let keys = Keys(key.log());
        let bad = |why, detail: &str| Finding::new(Subject::Checkpoint, why, detail);
        let newest = log.scan_back(&keys.all(crate::layout::CHECKPOINT), None, 1)?;
        let Some(newest) = newest.into_iter().next() else {
            if !log.scan(&keys.all(crate::layout::LEAF), b"", 1)?.is_empty() {
                return Err(bad(Why::Missing, "there are sealed heads and no checkpoint over them").into());
            }
            return Ok(Self { key, frontier: Frontier::default(), seals: 0, encoder: Encoder::default(), note: None });
        };
        let note = String::from_utf8(newest.value.to_vec()).map_err(|_| bad(Why::Altered, "it is not text"))?;
        let checkpoint = Checkpoint::open(&note, key.public()).map_err(|bad| Finding::note(&bad))?;
        let frontier = Frontier::load(&StoredNodes { log, keys }, checkpoint.size)?;
        if frontier.root() != checkpoint.root {
            return Err(bad(Why::Altered, "the Merkle log is not the one that was signed").into());
        }
        if log.get(&keys.leaf(checkpoint.size))?.is_some() {
            return Err(bad(Why::Missing, "there are sealed heads beyond the newest checkpoint").into());
        }
        let last = checkpoint.size.checked_sub(1).map(|last| Reader::new(Arc::clone(log), key.log()).leaf(last));
        let seals = last.transpose()?.map_or(0, |leaf| leaf.seal);
        Ok(Self { key, frontier, seals, encoder: Encoder::default(), note: Some(note) })
    }

    /// The entries that seal these heads, to be appended wholly with what else is in the batch.
    pub(crate) fn seal(&mut self, heads: &[Head], out: &mut Vec<Entry>) -> Result<(), serde_json::Error> {
        let keys = Keys(self.key.log());
        self.seals += 1;
        for &Head { events, head, run, stream } in heads {
            let leaf = Leaf { events, head, run, seal: self.seals, stream };
            let mut data = Vec::with_capacity(256);
            self.encoder.encode(&leaf, &mut data)?;
            let index = self.frontier.size();
            let node = |level, at, hash: Digest| {
                out.push(Entry { key: keys.node(level, at), value: Bytes::copy_from_slice(hash.as_bytes()) });
                Ok::<_, Infallible>(())
            };
            self.frontier.push(leaf_hash(&data), node).unwrap_or_else(|never| match never {});
            out.push(Entry { key: keys.leaf(index), value: data.into() });
            let sealed = keys.sealed(stream, events);
            out.push(Entry { key: sealed, value: Bytes::copy_from_slice(&index.to_be_bytes()) });
        }
        let checkpoint = Checkpoint { size: self.frontier.size(), root: self.frontier.root() };
        let note = checkpoint.sign(&self.key);
        out.push(Entry { key: keys.checkpoint(checkpoint.size), value: Bytes::copy_from_slice(note.as_bytes()) });
        self.note = Some(note);
        Ok(())
    }
}

/// The nodes of a Merkle log in a store; a leaf's hash is made from the leaf.
pub(crate) struct StoredNodes<'a> {
    pub(crate) log: &'a Arc<dyn Log>,
    pub(crate) keys: Keys,
}

impl Nodes for StoredNodes<'_> {
    type Error = AuditError;

    fn node(&self, level: u8, index: u64) -> Result<Digest, AuditError> {
        let key = if level == 0 { self.keys.leaf(index) } else { self.keys.node(level, index) };
        let subject = Subject::Node { level, index };
        let value = self.log.get(&key)?.ok_or_else(|| Finding::new(subject.clone(), Why::Missing, ""))?;
        if level == 0 {
            return Ok(leaf_hash(&value));
        }
        let hash = crate::layout::hash(&value);
        Ok(hash.ok_or_else(|| Finding::new(subject, Why::Altered, "it is not a hash"))?)
    }
}
