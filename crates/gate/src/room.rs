//! Room in the record, for a task that is polled by hand.
//!
//! Promises: while the record takes no more of a session, whoever polls is woken once it does; where there was room until
//! after the poll, the wait that nobody began yet can be seen. Does not promise that there is room when it wakes.
//! Held by: `tests/it/durability.rs`.

use crate::session::Session;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::task::Context;

/// A wait for room, where there is one.
#[derive(Default)]
pub struct Room(Option<BoxFuture<'static, ()>>);

impl Room {
    /// Waits where the record of this session has no room.
    pub fn poll(&mut self, session: &Arc<Session>, cx: &mut Context<'_>) {
        if let Some(wait) = &mut self.0
            && wait.as_mut().poll(cx).is_ready()
        {
            self.0 = None;
        }
        if self.0.is_none() && !session.has_room() {
            let session = Arc::clone(session);
            let mut wait: BoxFuture<'static, ()> = Box::pin(async move { session.room().await });
            if wait.as_mut().poll(cx).is_pending() {
                self.0 = Some(wait);
            }
        }
    }

    /// Whether there is no room since the last poll: nothing wakes for it until it is polled again.
    #[must_use]
    pub fn is_unseen(&self, session: &Session) -> bool {
        self.0.is_none() && !session.has_room()
    }
}
