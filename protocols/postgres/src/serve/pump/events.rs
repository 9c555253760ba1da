//! What happens to a session beside its two streams: people decide, the catalogue was loaded, somebody cancels, kills,
//! stops the gateway or waits too long.
//!
//! Promises: whatever begins here is polled in the same turn, or the turn says that another must follow: nothing waits for
//! a waker that nobody has. Held by: `waiting` of the binary's end-to-end tests, `tests/it/lifecycle.rs`.

use super::{HIGH, Pump, ready};
use portcullis_gate::SendError;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

impl Pump {
    /// What happens beside the two streams. True where the core was told: what it began by that, as a hold of what waited for
    /// the catalogue, was not asked yet, and would wake nobody.
    pub(super) fn poll_events(&mut self, cx: &mut Context<'_>) -> bool {
        let mut told = false;
        if let Some(hold) = &mut self.hold
            && let Poll::Ready(settled) = hold.as_mut().poll(cx)
        {
            self.hold = None;
            self.core.on_settled(settled, &mut self.steps);
            self.apply();
            told = true;
        }
        // One that does not read has enough to read.
        if self.reminder.poll(self.hold.is_some(), cx) && self.down.backlog() < HIGH {
            self.core.on_waited(&mut self.steps);
            self.apply();
        }
        if ready(&mut self.refresh, cx) {
            self.core.on_refreshed(&mut self.steps);
            self.apply();
            told = true;
        }
        ready(&mut self.renewal, cx);
        ready(&mut self.cancelling, cx);
        self.room.poll(&self.around.session, cx);
        if self.renewal.is_none() && self.renew_at.as_mut().poll(cx).is_ready() {
            self.renew();
            ready(&mut self.renewal, cx);
        }
        let asked = self.around.registration.as_mut().is_some_and(|keys| keys.poll_requested(cx).is_ready());
        if asked {
            self.cancel();
            ready(&mut self.cancelling, cx);
        }
        if self.killed.as_mut().poll(cx).is_ready() {
            self.killed_or_lost();
        } else if self.cut.as_mut().poll(cx).is_ready() {
            self.end_with("57P01", "terminating connection due to administrator command", "the gateway stopped");
        }
        if ready(&mut self.draining, cx) {
            self.is_draining = true;
        }
        while self.ending.is_none() && self.idle.as_mut().poll(cx).is_ready() {
            let ends = self.last + self.around.idle;
            if Instant::now() >= ends && !self.core.is_running() && !self.core.is_holding() {
                self.end_with("57P05", "terminating connection due to idle-session timeout", "idle");
            } else {
                let next = ends.max(Instant::now() + Duration::from_secs(1));
                self.idle.as_mut().reset(next.into());
            }
        }
        told
    }

    fn killed_or_lost(&mut self) {
        if self.around.session.record_failed() {
            self.lost(&SendError::RecordUnavailable, "the record failed");
        } else {
            self.end_with("57P01", "terminating connection due to administrator command", "killed");
        }
    }

    /// The snapshot is old, or somebody renewed it meanwhile.
    fn renew(&mut self) {
        let left = self.around.catalogue.fresh_for();
        if left.is_zero() {
            self.renewal = Some(self.load(Instant::now()));
        }
        let next = if left.is_zero() { crate::catalogue::RETRY_AFTER } else { left };
        self.renew_at.as_mut().reset(tokio::time::Instant::now() + next);
    }

    /// The client asked for a cancel.
    fn cancel(&mut self) {
        if self.core.is_holding() {
            self.core.on_withdrawn(&mut self.steps);
            self.apply();
        } else {
            self.cancel_running();
        }
    }

    pub(super) fn cancel_running(&mut self) {
        if self.core.is_running()
            && self.cancelling.is_none()
            && let Some(cancel) = self.around.cancel.clone()
        {
            self.cancelling = Some(Box::pin(async move {
                if let Err(error) = cancel.send().await {
                    tracing::warn!(%error, "a cancel request did not reach the backend");
                }
            }));
        }
    }
}
