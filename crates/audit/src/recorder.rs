//! The way into the record: settings, the watermark, and the handle that sessions begin their streams with.

use crate::chain::LogId;
use crate::error::{AuditError, RecordUnavailable};
use crate::keys::{SigningKey, VerifyingKey};
use crate::queue::Queue;
use crate::reader::Reader;
use crate::recover::recover;
use crate::stream::Stream;
use crate::writer::{self, Outlets, Writer};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{Event, EventBody, SessionId};
use portcullis_store::Log;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// When the watermark moves (`audit.durability` of DESIGN 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the events are on stable storage.
    #[default]
    Strict,
    /// When the store has taken them; nobody waits for that. They are on stable storage within 10 ms, as far as the disk
    /// takes no longer than 5 ms.
    Batched,
}

impl Durability {
    /// How long events may gather before the store gets them.
    pub(crate) const fn gathers(self) -> Option<Duration> {
        match self {
            Self::Strict => None,
            Self::Batched => Some(writer::FLUSH_EVERY),
        }
    }
}

/// How the record is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When the watermark moves.
    pub durability: Durability,
    /// Heads are sealed this long after the first event that is not sealed; at most a second (DESIGN 8).
    pub seal_every: Duration,
    /// Appends are refused while so many bytes wait for the disk, of all streams together; streams slow down at a
    /// quarter of it.
    pub queue_bytes: usize,
    /// How many events a reader of [`Recorder::tail`] may lag.
    pub tail: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Strict,
            seal_every: Duration::from_millis(500),
            queue_bytes: 256 * 1024 * 1024,
            tail: 1024,
        }
    }
}

/// How far the record is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watermark {
    /// Every append up to this number is durable.
    Durable {
        /// A number returned by [`Stream::append`].
        upto: u64,
    },
    /// The store failed. What was not durable never will be, and nothing more is recorded.
    Failed,
}

impl Watermark {
    /// Whether what waits for this number may go on: `None` while it must wait.
    ///
    /// # Errors
    /// The record failed: it never may.
    pub const fn reached(self, number: u64) -> Result<bool, RecordUnavailable> {
        match self {
            Self::Durable { upto } => Ok(number <= upto),
            Self::Failed => Err(RecordUnavailable),
        }
    }
}

/// An event that has become durable, as [`Recorder::tail`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The stream.
    pub stream: SessionId,
    /// Its number there.
    pub number: u64,
    /// Its canonical JSON.
    pub json: Bytes,
}

impl Recorded {
    /// The event itself.
    ///
    /// # Errors
    /// The bytes are no event of this version.
    pub fn event(&self) -> Result<Event, serde_json::Error> {
        serde_json::from_slice(&self.json)
    }
}

/// The way into the record. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    log: Arc<dyn Log>,
    public: VerifyingKey,
    durable: watch::Receiver<Watermark>,
    checkpoints: watch::Receiver<Option<Arc<str>>>,
    sealed: watch::Receiver<u64>,
    tail: broadcast::Sender<Recorded>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("log", &self.log_id()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Opens the record that this key signs: verifies its end, closes streams that a crash left open as `interrupted`,
    /// seals what was not sealed, and starts the writer. Blocks while it reads and writes the store.
    ///
    /// # Errors
    /// The store failed, or what it holds was altered: then nothing is written.
    pub fn open(log: Arc<dyn Log>, key: SigningKey, settings: Settings) -> Result<(Self, Writer), AuditError> {
        let recovered = recover(&log, &key)?;
        let queue = Arc::new(Queue::new(settings.queue_bytes, settings.durability.gathers()));
        let (durable, durable_seen) = watch::channel(Watermark::Durable { upto: 0 });
        let (checkpoints, checkpoints_seen) = watch::channel(recovered.checkpoint().map(Arc::from));
        let (sealed, sealed_seen) = watch::channel(0);
        let tail = broadcast::Sender::new(settings.tail.max(1));
        let public = key.public().clone();
        let outlets = Outlets { durable, checkpoints, sealed, tail: tail.clone() };
        let writer = writer::start(Arc::clone(&log), key, &settings, recovered, Arc::clone(&queue), outlets)?;
        let (durable, checkpoints, sealed) = (durable_seen, checkpoints_seen, sealed_seen);
        let inner = Inner { queue, log, public, durable, checkpoints, sealed, tail };
        Ok((Self { inner: Arc::new(inner) }, writer))
    }

    /// Begins a stream with its `session.started`.
    ///
    /// # Errors
    /// The record failed, was closed, or has too much waiting; or the event is not `session.started`.
    pub fn begin(&self, started: EventBody, at: Timestamp) -> Result<Stream, RecordUnavailable> {
        Stream::begin(Arc::clone(&self.inner.queue), started, at)
    }

    /// How far the record is durable. A receiver that finds the sender gone treats it as [`Watermark::Failed`]: the
    /// writer was closed.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Watermark> {
        self.inner.durable.clone()
    }

    /// The newest signed checkpoint (a C2SP note), for a witness; `None` before the first.
    #[must_use]
    pub fn checkpoints(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.inner.checkpoints.clone()
    }

    /// Resolves once whatever was recorded before the call is under a signed checkpoint.
    ///
    /// # Errors
    /// The record failed before it was.
    pub fn sealed(&self) -> impl Future<Output = Result<(), RecordUnavailable>> + Send + use<> {
        let (newest, mut sealed) = (self.inner.queue.newest(), self.inner.sealed.clone());
        async move { sealed.wait_for(|upto| *upto >= newest).await.map(drop).map_err(|_| RecordUnavailable) }
    }

    /// Every event from now on, once it is durable. A reader that lags too far is told how many it missed.
    #[must_use]
    pub fn tail(&self) -> broadcast::Receiver<Recorded> {
        self.inner.tail.subscribe()
    }

    /// What is recorded, for reading. Its methods block.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.inner.log), self.log_id())
    }

    /// The public key of the record.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.inner.public
    }

    /// Which log this is.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.inner.public.log()
    }
}
