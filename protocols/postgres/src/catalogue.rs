//! What a database says about itself: one snapshot for each connection and database, shared by all its sessions.
//!
//! It is loaded through a connection of the gateway's own, with the credential of the session that asks, in one
//! repeatable-read transaction of set queries. It is loaded anew when DDL passed, when a text names what the snapshot
//! does not have, and when it is older than [`FRESH_FOR`] while sessions live. Sessions that ask at the same time share
//! one load.
//!
//! Promises: whoever asked for a newer catalogue gets one whose load began after the question; what cannot be loaded is
//! [`Catalogue::unknown`], so that names resolve to `?` and policy decides; one load at a time for each database, each
//! bounded in time and size.
//! Does not promise to know what was changed elsewhere sooner than [`FRESH_FOR`].
//! Held by: `tests/it/catalogue.rs` against real servers, with 10,000 columns.

mod build;
mod load;
mod queries;

use crate::error::Result;
use crate::login::backend::Target;
use arc_swap::ArcSwap;
use portcullis_model::{Catalogue, Name};
use portcullis_sql::Cache;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A snapshot older than this is loaded anew while sessions live.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(30);
/// What could not be loaded is tried again after this.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The time one load may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The snapshot of one database.
pub(crate) struct Shared {
    current: ArcSwap<Loaded>,
    /// Readings of texts: they depend on this catalogue's epochs.
    cache: Arc<Cache>,
    /// One load at a time.
    turn: Semaphore,
    /// Few previews at a time.
    previews: Arc<Semaphore>,
}

struct Loaded {
    catalogue: Arc<Catalogue>,
    /// When its load began; none before the first.
    began: Option<Instant>,
    /// The number of the load; grows also where nothing could be loaded.
    epoch: u64,
}

/// Loads the catalogue of the target's database once, as the sessions of a gateway do.
///
/// # Errors
/// The backend's side of [`Error`](crate::Error).
pub async fn load_catalogue(target: &Target, epoch: u64) -> Result<Catalogue> {
    load::load(target, epoch).await
}

impl Shared {
    fn new(cache: u64) -> Self {
        let nothing = Loaded { catalogue: Arc::new(Catalogue::unknown()), began: None, epoch: 0 };
        Self {
            current: ArcSwap::from_pointee(nothing),
            cache: Arc::new(Cache::new(cache)),
            turn: Semaphore::new(1),
            previews: Arc::new(Semaphore::new(crate::preview::AT_ONCE)),
        }
    }

    /// Whose turn it is to ask this database what a held statement would write.
    pub(crate) fn previews(&self) -> Arc<Semaphore> {
        Arc::clone(&self.previews)
    }

    /// Readings of texts of this database.
    pub(crate) fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.cache)
    }

    /// The newest snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Catalogue> {
        Arc::clone(&self.current.load().catalogue)
    }

    /// How long until it should be loaded anew.
    pub(crate) fn fresh_for(&self) -> Duration {
        let current = self.current.load();
        let lasts = if current.catalogue.is_known() { FRESH_FOR } else { RETRY_AFTER };
        current.began.map_or(Duration::ZERO, |began| lasts.saturating_sub(began.elapsed()))
    }

    /// Loads it anew unless somebody did since `asked`. Afterwards the snapshot is newer than that, or knows nothing.
    pub(crate) async fn refresh(&self, target: &Target, asked: Instant) {
        let Ok(_turn) = self.turn.acquire().await else { return };
        let current = self.current.load_full();
        if current.began.is_some_and(|began| began >= asked) {
            return;
        }
        let began = Some(Instant::now());
        let epoch = current.epoch + 1;
        let catalogue = match self.load(target, epoch).await {
            Ok(catalogue) => catalogue,
            Err(error) => {
                tracing::warn!(%error, database = %target.database, "the catalogue cannot be loaded; names resolve to ?");
                Catalogue::unknown()
            }
        };
        self.current.store(Arc::new(Loaded { catalogue: Arc::new(catalogue), began, epoch }));
    }

    async fn load(&self, target: &Target, epoch: u64) -> Result<Catalogue> {
        let timeout = || crate::error::Error::Timeout {
            side: crate::error::Side::Backend,
            doing: "answering the catalogue queries",
        };
        let once = || async { tokio::time::timeout(PATIENCE, load::load(target, epoch)).await.map_err(|_| timeout())? };
        match once().await {
            // What was dropped while it was read fails the whole load; the second time it is gone.
            Err(crate::error::Error::BackendFailed { .. } | crate::error::Error::BackendRefused { .. }) => once().await,
            done => done,
        }
    }
}

/// The snapshots of all databases. Made once a connection and database, looked up once a session.
pub(crate) struct Catalogues {
    /// Bytes of readings kept for each database.
    cache: u64,
    #[expect(clippy::disallowed_types, reason = "one map operation a session; never held across an await")]
    shared: std::sync::Mutex<HashMap<(Name, Name), Arc<Shared>>>,
}

impl Catalogues {
    /// None yet; `cache` bytes of readings are kept for each database.
    pub(crate) fn new(cache: u64) -> Self {
        #[expect(clippy::disallowed_types, reason = "see the field")]
        Self { cache, shared: std::sync::Mutex::new(HashMap::new()) }
    }

    /// The snapshot of this database.
    pub(crate) fn of(&self, connection: &Name, database: &Name) -> Arc<Shared> {
        // A panic while it was held leaves the map whole: every use is one map operation.
        let mut shared = self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (connection.clone(), database.clone());
        Arc::clone(shared.entry(key).or_insert_with(|| Arc::new(Shared::new(self.cache))))
    }
}
