//! When a client whose command waits for people hears of it again.
//!
//! Promises: a time after the wait began, and again after each such time, as long as it lasts; no more than once for each
//! look, however late that comes. Does not promise that the client reads it: what cannot be sent waits like everything else.
//! Held by: the tests below, and `tests/it/waiting.rs` of the binary.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// How long a client that nobody answered yet hears nothing, where its protocol has words for it. What stands between may
/// take a connection for dead that is silent for longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A clock that runs while something waits.
#[derive(Debug)]
pub struct Reminder {
    every: Duration,
    due: Option<Pin<Box<Sleep>>>,
}

impl Default for Reminder {
    fn default() -> Self {
        Self::every(PATIENCE)
    }
}

impl Reminder {
    /// Due each time that this long has passed.
    #[must_use]
    pub const fn every(every: Duration) -> Self {
        Self { every, due: None }
    }

    /// Whether it is due. It runs from the first look that finds something waiting, and ends with one that does not.
    pub fn poll(&mut self, waits: bool, cx: &mut Context<'_>) -> bool {
        if !waits {
            self.due = None;
            return false;
        }
        let every = self.every;
        let due = self.due.get_or_insert_with(|| Box::pin(sleep(every)));
        let mut is_due = false;
        // Asked again behind a reset, so that it wakes whoever looks.
        while due.as_mut().poll(cx).is_ready() {
            due.as_mut().reset(Instant::now() + every);
            is_due = true;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::time::{advance, timeout};

    async fn look(reminder: &mut Reminder, waits: bool) -> bool {
        poll_fn(|cx| Poll::Ready(reminder.poll(waits, cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_due_after_each_time_while_something_waits_and_once_for_a_late_look() {
        let mut reminder = Reminder::default();
        assert!(!look(&mut reminder, true).await);
        advance(PATIENCE - Duration::from_secs(1)).await;
        assert!(!look(&mut reminder, true).await);
        advance(Duration::from_secs(1)).await;
        assert!(look(&mut reminder, true).await && !look(&mut reminder, true).await);
        advance(PATIENCE * 5).await;
        assert!(look(&mut reminder, true).await && !look(&mut reminder, true).await);
        // What waits next has the whole time again.
        assert!(!look(&mut reminder, false).await);
        advance(PATIENCE).await;
        assert!(!look(&mut reminder, true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_whoever_looked() {
        let mut reminder = Reminder::default();
        for _ in 0..3 {
            let due = poll_fn(|cx| if reminder.poll(true, cx) { Poll::Ready(()) } else { Poll::Pending });
            timeout(PATIENCE * 2, due).await.expect("it is due");
        }
    }
}
