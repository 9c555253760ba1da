//! Telling people that something waits for them: webhooks, Slack, mail, a command.
//!
//! Promises: each notifier of the configuration is told when a request for approval opens and when it ends, with what those
//! who decide see of it and no value bound to it; a notifier that is slow, down or broken delays neither a wait nor another
//! notifier. An opening and an ending are handed to the notifiers at most once, whatever restarts between; what ended
//! while no gateway ran, or while the store did not say so, is told by the next one. Every queue is bounded: what finds one full is dropped, and said.
//! Does not promise that anybody reads it, or that what waited to be delivered when a gateway was killed is told again.
//! Held by: `tests/it/notifications.rs`, and the tests in `notify/`.

mod mail;
mod notice;
mod send;

pub(crate) use mail::{Mail, Security, Server};
pub(crate) use send::{Notifier, Secret, Way};

use bytes::Bytes;
use jiff::SignedDuration;
use notice::Notice;
use portcullis_approvals::{Desk, DeskError, State, Verdict};
use portcullis_audit::{Recorded, Recorder};
use portcullis_model::{ApprovalId, EventBody};
use portcullis_net::Drain;
use portcullis_store::{Expect, Put, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Notices that wait for one notifier; one beyond them is dropped.
const WAITING: usize = 256;

/// Requests whose end is waited for at once; one beyond them is told when it opens and no more.
const FOLLOWED: usize = 1024;

/// How an opening is named in the record, as its events are kept. Inside a value its quotes would be escaped.
const OPENED: &[u8] = b"\"type\":\"approval.requested\"";

/// Keys of what was told to be open and not yet to have ended.
const KEYS: &[u8] = b"notified/";

/// How long after its deadline such a key is kept at most.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How long the last endings are waited for when the gateway stops, and then their delivery.
const LAST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// What became of a request.
type End = (ApprovalId, Result<Verdict, DeskError>);

/// Tells every notifier what opens and ends.
pub(crate) struct Teller {
    desk: Desk,
    table: Arc<dyn Table>,
    tail: Receiver<Recorded>,
    queues: Vec<Queue>,
    telling: JoinSet<()>,
    /// What opened and has not ended.
    open: BTreeMap<ApprovalId, Notice>,
    endings: JoinSet<End>,
}

/// The way to one notifier.
struct Queue {
    notifier: Arc<Notifier>,
    sender: mpsc::Sender<Arc<Notice>>,
    full: bool,
}

impl Teller {
    /// Listens to the record from now on. To be made before anybody can ask, inside a Tokio runtime.
    pub(crate) fn new(notifiers: Vec<Notifier>, desk: Desk, table: Arc<dyn Table>, recorder: &Recorder) -> Self {
        let (mut queues, mut telling) = (Vec::new(), JoinSet::new());
        for notifier in notifiers.into_iter().map(Arc::new) {
            let (sender, waiting) = mpsc::channel(WAITING);
            let told = Arc::clone(&notifier);
            telling.spawn(async move { told.run(waiting).await });
            queues.push(Queue { notifier, sender, full: false });
        }
        let tail = recorder.tail();
        Self { desk, table, tail, queues, telling, open: BTreeMap::new(), endings: JoinSet::new() }
    }

    /// Until the gateway stops: this is to end after its sessions.
    pub(crate) async fn run(mut self, drain: Drain) {
        self.take_up().await;
        loop {
            tokio::select! {
                () = drain.draining() => break,
                event = self.tail.recv() => match event {
                    Ok(recorded) => self.event(&recorded).await,
                    Err(RecvError::Lagged(missed)) => {
                        tracing::debug!(missed, "the record was faster than notifications");
                        self.catch_up().await;
                    }
                    Err(RecvError::Closed) => break,
                },
                Some(end) = self.endings.join_next() => self.ended(end.ok()).await,
            }
        }
        self.finish().await;
    }

    /// What an earlier run told to be open.
    async fn take_up(&mut self) {
        let found = match self.table.scan(KEYS).await {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, "what an earlier run told is not known; its ends are not told"),
        };
        for (key, versioned) in found {
            match serde_json::from_slice::<Notice>(&versioned.value) {
                Ok(notice) => self.await_end(notice),
                Err(_) => drop(self.table.delete(key, Expect::Any).await),
            }
        }
    }

    async fn event(&mut self, recorded: &Recorded) {
        if memchr::memmem::find(&recorded.json, OPENED).is_none() {
            return;
        }
        if let Ok(EventBody::ApprovalRequested { approval, .. }) = recorded.event().map(|event| event.body) {
            match self.desk.show(approval).await {
                Ok(shown) => self.opened(Notice::opened(&shown.request, shown.deadline)).await,
                Err(error) => tracing::warn!(%approval, %error, "a request for approval cannot be told of"),
            }
        }
    }

    /// Finds what opened and was missed.
    async fn catch_up(&mut self) {
        match self.desk.list().await {
            Ok(listed) => {
                for shown in listed.iter().filter(|shown| shown.state == State::Open) {
                    self.opened(Notice::opened(&shown.request, shown.deadline)).await;
                }
            }
            Err(error) => tracing::warn!(%error, "requests for approval were missed, and are not told of"),
        }
    }

    async fn opened(&mut self, notice: Notice) {
        if self.open.contains_key(&notice.approval) || !self.queues.iter().any(|queue| queue.notifier.is_for(&notice)) {
            return;
        }
        match self.keep(&notice).await {
            Ok(Put::Done(_)) => {}
            Ok(Put::Conflict) => return,
            // People are told all the same; of its end only while this run lives.
            Err(error) => tracing::warn!(%error, "what people were told cannot be kept"),
        }
        self.tell(&Arc::new(notice.clone()));
        self.await_end(notice);
    }

    async fn keep(&self, notice: &Notice) -> Result<Put, portcullis_store::StoreError> {
        let value = serde_json::to_vec(notice).unwrap_or_default();
        let until = notice.deadline.checked_add(KEPT).unwrap_or(notice.deadline);
        self.table.put(key_of(notice.approval), value.into(), Expect::Absent, Some(until)).await
    }

    fn await_end(&mut self, notice: Notice) {
        if self.open.len() >= FOLLOWED {
            tracing::warn!(approval = %notice.approval, "too many requests wait; the end of one is not told");
            return;
        }
        let id = notice.approval;
        let end = self.desk.watch(id);
        self.open.insert(id, notice);
        self.endings.spawn(async move { (id, end.await) });
    }

    async fn ended(&mut self, end: Option<End>) {
        let Some((id, verdict)) = end else { return };
        let Some(notice) = self.open.remove(&id) else { return };
        let verdict = match verdict {
            // There is nothing to tell of, for the next run neither.
            Err(DeskError::NotFound(_)) => None,
            Ok(verdict) => Some(verdict),
            Err(error) => {
                tracing::warn!(approval = %id, %error, "the end of a request is not known; the next run tells of it");
                return;
            }
        };
        // First: what was told is not told again.
        if let Err(error) = self.table.delete(key_of(id), Expect::Any).await {
            tracing::warn!(approval = %id, %error, "the end of a request cannot be noted; the next run tells of it");
            return;
        }
        match verdict {
            Some(verdict) => self.tell(&Arc::new(notice.ended(verdict))),
            None => tracing::warn!(approval = %id, "a request is gone, and its end is not told"),
        }
    }

    fn tell(&mut self, notice: &Arc<Notice>) {
        for queue in self.queues.iter_mut().filter(|queue| queue.notifier.is_for(notice)) {
            let full = queue.sender.try_send(Arc::clone(notice)).is_err();
            if full && !queue.full {
                tracing::warn!(notifier = %queue.notifier.name, "too many notices wait; people are not told of some");
            }
            queue.full = full;
        }
    }

    /// The sessions are gone, and with them what they waited for: the last endings are told, for a while.
    async fn finish(mut self) {
        let (ends, told) = LAST;
        let last = async {
            while let Some(end) = self.endings.join_next().await {
                self.ended(end.ok()).await;
            }
        };
        let _what_was_left_open = tokio::time::timeout(ends, last).await;
        self.queues.clear();
        let delivered = async { while self.telling.join_next().await.is_some() {} };
        if tokio::time::timeout(told, delivered).await.is_err() {
            tracing::warn!("the gateway stops before every notice was delivered");
        }
    }
}

fn key_of(id: ApprovalId) -> Bytes {
    [KEYS, id.to_string().as_bytes()].concat().into()
}

#[cfg(test)]
mod tests;
