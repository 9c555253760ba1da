//! How long an exchange waits for its peers.
//!
//! Promises: a backend that says nothing of its answer while it is waited for is given what its connection says, from the
//! last that came; a client that takes nothing of what waits for it as long, and [`DEAF`] at least, from the last that it
//! took. Neither clock runs while it is something else that is waited for: the record, or people. Does not end anything:
//! `exchange.rs` does. Held by: the tests below.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The shortest that a client may take nothing for.
const DEAF: Duration = Duration::from_secs(120);

/// A clock that runs while something is waited for.
#[derive(Default)]
struct Clock(Option<Pin<Box<Sleep>>>);

impl Clock {
    /// Whether it has run out. It begins anew with each progress, and is gone while nothing is waited for.
    fn poll(&mut self, patience: Duration, waits: bool, progress: bool, cx: &mut Context<'_>) -> bool {
        if !waits {
            self.0 = None;
            return false;
        }
        let due = Instant::now() + patience;
        let clock = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if progress {
            clock.as_mut().reset(due);
        }
        clock.as_mut().poll(cx).is_ready()
    }
}

/// The clocks of one exchange.
pub(super) struct Patience {
    patience: Duration,
    silence: Clock,
    deaf: Clock,
}

impl Patience {
    /// For a backend that may be silent for this long.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, silence: Clock::default(), deaf: Clock::default() }
    }

    /// Whether the backend has been silent for too long, where it is waited for.
    pub(super) fn is_silent(&mut self, waits: bool, progress: bool, cx: &mut Context<'_>) -> bool {
        self.silence.poll(self.patience, waits, progress, cx)
    }

    /// Whether the client has taken nothing for too long, where something waits for it.
    pub(super) fn is_deaf(&mut self, waits: bool, took: bool, cx: &mut Context<'_>) -> bool {
        self.deaf.poll(self.patience.max(DEAF), waits, took, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_clock_runs_while_it_is_waited_for_and_begins_anew_with_progress() {
        let mut patience = Patience::new(10 * SECOND);
        poll_fn(|cx| {
            assert!(!patience.is_silent(true, false, cx));
            Poll::Ready(())
        })
        .await;
        for (waits, progress, silent) in [
            (true, false, false),
            (true, true, false),
            (true, false, false),
            (true, false, true),
            // Something else was waited for: it begins anew behind that.
            (false, false, false),
            (true, false, false),
            (true, false, false),
            (true, false, true),
        ] {
            advance(6 * SECOND).await;
            assert_eq!(poll_fn(|cx| Poll::Ready(patience.is_silent(waits, progress, cx))).await, silent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_two_minutes_at_least() {
        for (connections, least) in [(SECOND, DEAF), (3 * DEAF, 3 * DEAF)] {
            let mut patience = Patience::new(connections);
            for (after, deaf) in [(Duration::ZERO, false), (least - SECOND, false), (SECOND, true)] {
                advance(after).await;
                assert_eq!(poll_fn(|cx| Poll::Ready(patience.is_deaf(true, false, cx))).await, deaf, "{after:?}");
            }
        }
    }
}
