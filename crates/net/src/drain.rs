//! The token that ends a gateway gently: first a wish, after the deadline an order.
//!
//! Promises: every clone sees both steps, in order, and neither can be taken back; waiting for either is cancel safe.
//! Does not promise: that a session obeys the wish. [`crate::serve_tcp`] makes the order effective.
//! Held by: the drain tests of `accept.rs`.

use tokio_util::sync::CancellationToken;

/// A shared, two-step stop signal.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    wish: CancellationToken,
    order: CancellationToken,
}

impl Drain {
    /// A token on which nothing has been asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks: listeners stop accepting, sessions end at their next quiet point.
    pub fn start(&self) {
        self.wish.cancel();
    }

    /// Orders: sessions that still run are dropped. Implies [`Drain::start`].
    pub fn cut(&self) {
        self.wish.cancel();
        self.order.cancel();
    }

    /// Whether a drain was asked for.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.wish.is_cancelled()
    }

    /// Resolves once a drain was asked for.
    pub async fn draining(&self) {
        self.wish.cancelled().await;
    }

    /// Resolves once the order was given.
    pub async fn cutting(&self) {
        self.order.cancelled().await;
    }
}
