//! What gives a login back that somebody made for one session.
//!
//! Promises: dropping a [`Kept`] tells whoever keeps such logins, however the session ended, and waits for nothing. For a
//! role that the gateway makes there is room to tell it before it is made, or it is not made.
//! Does not promise that a login of the vault server is given back at once where 4096 messages wait already: its keeper
//! finds that nobody holds it when it would be renewed.
//! Held by: the tests of `server/leases.rs`, and `tests/server.rs` and `tests/roles.rs` of this crate.

use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// What a keeper is told.
pub(crate) enum Told {
    Begun { id: Arc<str>, path: Arc<str>, lasts: Duration, renewable: bool, held: Weak<()> },
    Ended { id: Arc<str>, path: Arc<str> },
    LoggedIn(Duration),
}

/// Who made it, and how its maker's keeper is told of the end.
#[derive(Debug)]
enum Maker {
    /// The vault server: the path is that of a role of its database engine.
    Server(mpsc::Sender<Told>),
    /// The gateway: the path is the connection's name.
    Gateway(mpsc::OwnedPermit<Told>),
}

/// A login that was made for somebody. Dropping it gives it back.
#[derive(Debug)]
pub struct Kept {
    id: Arc<str>,
    path: Arc<str>,
    /// Shows the keeper that it is held, where no message about its end arrives.
    _held: Arc<()>,
    /// `None` once it was given back.
    maker: Option<Maker>,
}

impl Kept {
    /// A login of the vault server, which is there already.
    pub(crate) fn of_server(
        id: String,
        path: Arc<str>,
        lasts: Duration,
        renewable: bool,
        tell: mpsc::Sender<Told>,
    ) -> Self {
        let (id, held) = (Arc::<str>::from(id), Arc::new(()));
        let (its, of) = (Arc::clone(&id), Arc::clone(&path));
        let begun = Told::Begun { id: its, path: of, lasts, renewable, held: Arc::downgrade(&held) };
        if tell.try_send(begun).is_err() {
            tracing::warn!(%path, "a login of the vault server is not kept: it ends by itself");
        }
        Self { id, path, _held: held, maker: Some(Maker::Server(tell)) }
    }

    /// A role that the gateway is about to make; `None` where nobody would keep it.
    pub(crate) fn of_gateway(
        id: Arc<str>,
        connection: Arc<str>,
        lasts: Duration,
        tell: &mpsc::Sender<Told>,
    ) -> Option<Self> {
        let end = tell.clone().try_reserve_owned().ok()?;
        let held = Arc::new(());
        let (its, of) = (Arc::clone(&id), Arc::clone(&connection));
        let begun = Told::Begun { id: its, path: of, lasts, renewable: true, held: Arc::downgrade(&held) };
        tell.try_send(begun).ok()?;
        Some(Self { id, path: connection, _held: held, maker: Some(Maker::Gateway(end)) })
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Whether it is a role that the gateway made.
    pub(crate) const fn is_of_gateway(&self) -> bool {
        matches!(self.maker, Some(Maker::Gateway(_)))
    }

    /// Somebody gave it back.
    pub(crate) fn done(mut self) {
        self.maker = None;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let ended = Told::Ended { id: Arc::clone(&self.id), path: Arc::clone(&self.path) };
        match self.maker.take() {
            None => {}
            Some(Maker::Gateway(end)) => drop(end.send(ended)),
            Some(Maker::Server(tell)) => {
                let heard = tell.try_send(ended).is_ok();
                if !heard {
                    let path = &self.path;
                    tracing::warn!(%path, "a login of the vault server is given back late: when it would be renewed");
                }
            }
        }
    }
}
