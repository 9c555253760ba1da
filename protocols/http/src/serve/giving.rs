//! What an answer did not use of its budgets, on its way back to them.
//!
//! Promises: the end of the answer waits for it, so that the client's next request finds there what this one gave back;
//! for [`PATIENCE`] and no longer, however long the store takes or how often others change the count meanwhile. What came
//! before the end does not wait. It goes on behind the end, until the store has it or has failed.
//! Does not promise that a next request finds it where the store is slower than that: it may be refused until then.
//! Held by: the tests below, and `exchange/tests.rs` for a whole exchange.

use futures_util::future::BoxFuture;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long the end of an answer waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is given back; nothing at first.
#[derive(Default)]
pub(super) struct GivingBack {
    settling: Option<BoxFuture<'static, ()>>,
    /// Until then the end waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl GivingBack {
    /// Begins with it. It is asked for the first time by [`GivingBack::poll`].
    pub(super) fn begin(&mut self, settling: impl Future<Output = ()> + Send + 'static) {
        self.settling = Some(Box::pin(settling));
        self.patience = Some(Box::pin(sleep(PATIENCE)));
    }

    /// Goes on with it. True when the end that waited may leave.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let settled = |settling: &mut BoxFuture<'static, ()>| settling.as_mut().poll(cx).is_ready();
        if self.settling.as_mut().is_some_and(settled) {
            self.settling = None;
        }
        let Some(patience) = &mut self.patience else { return false };
        let leaves = self.settling.is_none() || patience.as_mut().poll(cx).is_ready();
        if leaves {
            self.patience = None;
        }
        leaves
    }

    /// Whether the end of the answer waits for it.
    pub(super) const fn keeps_the_end(&self) -> bool {
        self.patience.is_some()
    }

    /// Until there is nothing to give back any more.
    pub(super) async fn over(mut self) {
        poll_fn(|cx| {
            self.poll(cx);
            if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether there is nothing to give back any more.
    pub(super) const fn is_over(&self) -> bool {
        self.settling.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    /// What is given back when it is told so.
    fn slow() -> (GivingBack, oneshot::Sender<()>) {
        let (done, told) = oneshot::channel();
        let mut giving_back = GivingBack::default();
        giving_back.begin(async move { drop(told.await) });
        (giving_back, done)
    }

    async fn leaves(giving_back: &mut GivingBack) {
        poll_fn(|cx| if giving_back.poll(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_until_it_is_back() {
        let began = Instant::now();
        let mut none = GivingBack::default();
        assert!(none.is_over() && !none.keeps_the_end() && !poll_fn(|cx| Poll::Ready(none.poll(cx))).await);
        let (mut giving_back, done) = slow();
        assert!(giving_back.keeps_the_end() && !poll_fn(|cx| Poll::Ready(giving_back.poll(cx))).await);
        assert!(giving_back.keeps_the_end() && !giving_back.is_over());
        done.send(()).unwrap();
        leaves(&mut giving_back).await;
        assert!(giving_back.is_over() && !giving_back.keeps_the_end());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stalls_keeps_an_answer_no_longer_than_a_second() {
        let (mut giving_back, done) = slow();
        let began = Instant::now();
        leaves(&mut giving_back).await;
        assert_eq!(began.elapsed().as_millis() / 10, PATIENCE.as_millis() / 10);
        // It is still on its way, and nothing leaves a second time.
        assert!(!giving_back.keeps_the_end() && !giving_back.is_over());
        done.send(()).unwrap();
        poll_fn(|cx| {
            assert!(!giving_back.poll(cx), "the end had left");
            if giving_back.is_over() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
