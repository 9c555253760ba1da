//! What was revoked, and which logins were renewed, as a snapshot that every session can ask at every command.
//!
//! Promises: subscribed before it is first read, so no revocation falls between; a token whose record was deleted counts
//! as revoked; while changes cannot be followed (the store's stream ended and could not be opened again), every token
//! and everybody from a provider counts as revoked, and so does, logged once, whomever an entry that cannot be read is
//! about. The snapshot forgets a token once all that was made with it ran out by itself, so it holds at most two days of
//! revocations; a renewed login it forgets with its end.
//! Held by: `tests.rs`, `tests/makers.rs`, `tests/oidc.rs` and `tests/renewals.rs`.

use crate::Authenticated;
use crate::error::IdentityError;
use crate::oidc::revoked::{self, Entry, People, Said};
use crate::record::LONGEST_LIFE;
use crate::renewals::{self, Login, Renewed};
use crate::tokens::{KEYS, decode, id_of, kept_until};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use portcullis_model::{Principal, TokenId};
use portcullis_store::{Change, Table, Versioned};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long after the store's stream ended it is opened again.
const AGAIN: Duration = Duration::from_millis(250);

#[derive(Clone, Default)]
struct Snapshot {
    following: bool,
    /// Each with the time from which on neither it nor anything made with it can be live.
    revoked: HashMap<TokenId, Timestamp>,
    people: Arc<People>,
    renewed: Arc<Renewed>,
}

struct Shared {
    snapshot: ArcSwap<Snapshot>,
    changed: watch::Sender<u64>,
}

pub(crate) struct Revocations {
    shared: Arc<Shared>,
    /// Ends with this value.
    _follower: JoinSet<()>,
}

impl Revocations {
    pub(crate) async fn follow(table: Arc<dyn Table>) -> Result<Self, IdentityError> {
        let shared = Arc::new(Shared { snapshot: ArcSwap::default(), changed: watch::Sender::new(0) });
        let changes = watch_all(&*table);
        shared.read_all(&*table).await?;
        let mut follower = JoinSet::new();
        let followed = Arc::clone(&shared);
        follower.spawn(async move {
            let mut changes = changes;
            loop {
                while let Some(change) = changes.next().await {
                    followed.take(&change);
                }
                followed.blind();
                tracing::error!("the token store's changes cannot be followed; no session on a token stands");
                changes = loop {
                    tokio::time::sleep(AGAIN).await;
                    let changes = watch_all(&*table);
                    if followed.read_all(&*table).await.is_ok() {
                        break changes;
                    }
                };
                tracing::info!("the token store's changes are followed again");
            }
        });
        Ok(Self { shared, _follower: follower })
    }

    /// Whether the token counts as revoked.
    pub(crate) fn holds(&self, id: TokenId) -> bool {
        let snapshot = self.shared.snapshot.load();
        !snapshot.following || snapshot.revoked.contains_key(&id)
    }

    /// Takes a revocation at once, ahead of the store's own word of it.
    pub(crate) fn revoked(&self, id: TokenId, expires: Timestamp) {
        self.shared.add(id, kept_until(expires));
    }

    /// Whether everything that a provider gave this principal until then counts as revoked.
    pub(crate) fn holds_person(&self, principal: &Principal, issued: Option<Timestamp>) -> bool {
        let snapshot = self.shared.snapshot.load();
        !snapshot.following || snapshot.people.holds(principal, issued)
    }

    /// Whether all that the store says of revocations is known.
    pub(crate) fn is_following(&self) -> bool {
        let snapshot = self.shared.snapshot.load();
        snapshot.following && snapshot.people.are_read()
    }

    /// Takes a revocation at once, ahead of the store's own word of it.
    pub(crate) fn revoked_person(&self, entry: &Entry) {
        self.shared.change_people(|people| people.add(entry));
    }

    /// Whether this session, whose own login ran out, goes on with a newer one.
    pub(crate) fn renews(&self, session: &Authenticated, now: Timestamp) -> bool {
        let snapshot = self.shared.snapshot.load();
        let login = snapshot.renewed.login_of(session, now);
        login.is_some_and(|login| snapshot.following && !snapshot.people.holds(&session.principal, Some(login.issued)))
    }

    /// Takes a renewed login at once, ahead of the store's own word of it.
    pub(crate) fn renewed(&self, login: &Login) {
        self.shared.change_renewed(|renewed| renewed.add(login.clone()));
    }

    #[cfg(test)]
    pub(crate) fn unread(&self) -> usize {
        self.shared.snapshot.load().people.unread_beyond(&People::default()).count()
    }

    /// For what else changes standings.
    pub(crate) fn teller(&self) -> watch::Sender<u64> {
        self.shared.changed.clone()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }
}

impl Shared {
    async fn read_all(&self, table: &dyn Table) -> Result<(), IdentityError> {
        let mut found = HashMap::new();
        for (key, versioned) in table.scan(KEYS).await? {
            if let Some((id, Some(until))) = id_of(&key).map(|id| (id, revoked_until(id, &versioned))) {
                found.insert(id, until);
            }
        }
        let mut people = People::default();
        for (key, versioned) in table.scan(revoked::KEYS).await? {
            people.take(&key, &Said::of(Some(&versioned)));
        }
        people.unread_beyond(&self.snapshot.load().people).for_each(cannot_be_read);
        let mut renewed = Renewed::default();
        for (key, versioned) in table.scan(renewals::KEYS).await? {
            renewed.take(&key, Some(&versioned));
        }
        let renewed = Arc::new(renewed);
        // What was learned of a deleted token is kept: its record is no longer there to be read.
        self.snapshot.rcu(|old| {
            let mut revoked = old.revoked.clone();
            revoked.extend(found.iter().map(|(id, until)| (*id, *until)));
            let mut people = people.clone();
            people.join(&old.people);
            Snapshot { following: true, revoked, people: Arc::new(people), renewed: Arc::clone(&renewed) }
        });
        self.tell();
        Ok(())
    }

    fn take(&self, change: &Change) {
        if change.key.starts_with(revoked::KEYS) {
            let (before, said) = (self.snapshot.load_full(), Said::of(change.value.as_ref()));
            self.change_people(|people| people.take(&change.key, &said));
            self.snapshot.load().people.unread_beyond(&before.people).for_each(cannot_be_read);
            return;
        }
        if change.key.starts_with(renewals::KEYS) {
            self.change_renewed(|renewed| renewed.take(&change.key, change.value.as_ref()));
            return;
        }
        let Some(id) = id_of(&change.key) else { return };
        match &change.value {
            Some(versioned) => {
                if let Some(until) = revoked_until(id, versioned) {
                    self.add(id, until);
                }
            }
            None => {
                // A record that went because its token ran out long ago tells nothing.
                let runs_out = runs_out_at_most(id);
                if runs_out > Timestamp::now() {
                    self.add(id, kept_until(runs_out));
                }
            }
        }
    }

    fn add(&self, id: TokenId, until: Timestamp) {
        let now = Timestamp::now();
        self.snapshot.rcu(|old| {
            let mut next = Snapshot::clone(old);
            next.revoked.retain(|_, until| *until > now);
            next.revoked.insert(id, until);
            next
        });
        self.tell();
    }

    fn change_people(&self, change: impl Fn(&mut People)) {
        let now = Timestamp::now();
        self.snapshot.rcu(|old| {
            let mut people = People::clone(&old.people);
            people.forget(now);
            change(&mut people);
            Snapshot { people: Arc::new(people), ..Snapshot::clone(old) }
        });
        self.tell();
    }

    fn change_renewed(&self, change: impl Fn(&mut Renewed)) {
        let now = Timestamp::now();
        self.snapshot.rcu(|old| {
            let mut renewed = Renewed::clone(&old.renewed);
            renewed.forget(now);
            change(&mut renewed);
            Snapshot { renewed: Arc::new(renewed), ..Snapshot::clone(old) }
        });
        self.tell();
    }

    fn blind(&self) {
        self.snapshot.rcu(|old| Snapshot { following: false, ..Snapshot::clone(old) });
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Says it once for each; the key is a digest of whom it is about.
fn cannot_be_read(key: &Bytes) {
    let key = key.escape_ascii();
    tracing::error!(
        "the revocation `{key}` in the store cannot be read; whoever it is about does not stand until it can, or went"
    );
}

/// Changes to tokens, to people and to their logins, until one of them can no longer be followed.
fn watch_all(table: &dyn Table) -> BoxStream<'static, Change> {
    let until_it_ends = |prefix| table.watch(prefix).map(Some).chain(stream::once(std::future::ready(None)));
    let all = stream::select_all([KEYS, revoked::KEYS, renewals::KEYS].map(|prefix| until_it_ends(prefix).boxed()));
    all.take_while(|change| std::future::ready(change.is_some())).filter_map(std::future::ready).boxed()
}

/// The last moment at which a token of this identifier can be live: identifiers tell when they were made.
fn runs_out_at_most(id: TokenId) -> Timestamp {
    let made = id.as_uuid().get_timestamp().map(|made| made.to_unix());
    let made = made.and_then(|(seconds, _)| Timestamp::from_second(i64::try_from(seconds).ok()?).ok());
    // A second more, since the identifier's own time was cut to one.
    let longest = LONGEST_LIFE + Duration::from_secs(1);
    made.and_then(|made| made.checked_add(longest).ok()).unwrap_or(Timestamp::MAX)
}

/// Until when a kept token is to be remembered as revoked; one that cannot be read counts as revoked.
pub(crate) fn revoked_until(id: TokenId, versioned: &Versioned) -> Option<Timestamp> {
    match decode(id, versioned) {
        Ok(stored) => stored.revoked.map(|_| kept_until(stored.expires)),
        Err(_) => Some(Timestamp::MAX),
    }
}
