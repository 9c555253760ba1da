use super::*;

mod certificates;
mod krl;
mod logins;
mod makers;
mod oidc;
mod renewals;
mod revoked_keys;
mod scram;
mod ssh;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use jiff::SignedDuration;
use portcullis_model::TokenId;
use portcullis_store::{Change, Expect, MemoryTable, Outage, Probe, ProbedTable, StoreError, TableOperation};
use secrecy::ExposeSecret as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Reads can be made to fail and change streams can be ended; it counts reads.
struct Watched {
    outage: Outage,
    reads: AtomicU64,
}

impl Probe for Watched {
    fn before<'p>(&'p self, operation: TableOperation, key: &'p [u8]) -> BoxFuture<'p, Result<(), StoreError>> {
        if operation == TableOperation::Get {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        self.outage.before(operation, key)
    }

    fn after<'p>(&'p self, operation: TableOperation, _: &'p [u8]) -> BoxFuture<'p, ()> {
        Box::pin(async move {
            // What is read is old by the time it is used, so that changes at the same time do meet.
            if matches!(operation, TableOperation::Get | TableOperation::Scan) {
                tokio::task::yield_now().await;
            }
        })
    }

    fn heard(&self, prefix: &[u8], changes: BoxStream<'static, Change>) -> BoxStream<'static, Change> {
        self.outage.heard(prefix, changes)
    }
}

type Table = ProbedTable<Watched>;

fn table() -> Arc<Table> {
    let outage = Outage::of(|operation, _| matches!(operation, TableOperation::Get | TableOperation::Scan));
    Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), Watched { outage, reads: AtomicU64::new(0) }))
}

struct House {
    table: Arc<Table>,
    key: TokenKey,
    identity: Identity,
    now: Timestamp,
    addresses: AtomicU32,
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

impl House {
    async fn build() -> Self {
        let (table, key) = (table(), TokenKey::generate());
        let identity = Self::open(&table, &key).await;
        Self { table, key, identity, now: Timestamp::now(), addresses: AtomicU32::new(1) }
    }

    async fn open(table: &Arc<Table>, key: &TokenKey) -> Identity {
        Identity::open(Arc::clone(table) as Arc<dyn portcullis_store::Table>, key.clone(), Settings::default())
            .await
            .unwrap()
    }

    /// Another gateway over the same table.
    async fn another(&self) -> Identity {
        Self::open(&self.table, &self.key).await
    }

    fn admin(&self) -> Authenticated {
        Authenticated::local_admin(Some("root"))
    }

    async fn make(&self, user: &str) -> MadeToken {
        let request = NewToken::for_user(user).in_group("agents");
        self.identity.create_token(request, &self.admin(), self.now).await.unwrap()
    }

    async fn present(&self, text: &str, user: Option<&str>, from: IpAddr) -> Result<Authenticated, Refused> {
        present(&self.identity, text, user, from, self.now).await
    }

    async fn why(&self, text: &str, user: Option<&str>) -> Why {
        // Each from an address of its own, so that the limit stays out of it.
        let from = IpAddr::V4((0x0a00_0000 + self.addresses.fetch_add(1, Ordering::SeqCst)).into());
        self.present(text, user, from).await.unwrap_err().why()
    }
}

async fn present(
    identity: &Identity,
    text: &str,
    user: Option<&str>,
    from: IpAddr,
    now: Timestamp,
) -> Result<Authenticated, Refused> {
    let proof = Proof::Token { token: text.into(), claimed_user: user.map(Into::into) };
    identity.authenticate(proof, from, now).await
}

fn text(made: &MadeToken) -> &str {
    made.text.expose_secret()
}

/// Waits until the follower of changes has seen to it.
async fn until(identity: &Identity, authenticated: &Authenticated, now: Timestamp, expected: Standing) {
    let mut changes = identity.changes();
    let seen = async {
        while identity.standing(authenticated, now) != expected {
            changes.changed().await.unwrap();
        }
    };
    // The clock is paused: this fails as soon as nothing is left to happen.
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap_or_else(|_| panic!("never {expected:?}"));
}

#[tokio::test(start_paused = true)]
async fn a_token_authenticates_its_user_or_the_reserved_one() {
    let house = House::build().await;
    let made = house.make("agent-7").await;
    for user in [None, Some("agent-7"), Some(RESERVED_USER)] {
        let found = house.present(text(&made), user, HERE).await.unwrap();
        assert_eq!((&*found.principal.user, &*found.principal.issuer), ("agent-7", TOKEN_ISSUER));
        assert_eq!(found.principal.groups, ["agents".into()].into());
        assert_eq!(found.principal.credential, CredentialKind::Token(made.id));
        assert_eq!(found.expires, Some(house.now + SignedDuration::from_hours(1)));
        assert_eq!(found.makers.len(), 1);
        assert_eq!(&*found.makers[0].user, "root");
    }
    for user in ["agent-8", "Agent-7", "agent-7 ", "", "Token"] {
        assert_eq!(house.why(text(&made), Some(user)).await, Why::WrongUser, "{user:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_told_alike_and_takes_as_long() {
    let mut house = House::build().await;
    let (live, revoked, gone) = (house.make("a").await, house.make("b").await, house.make("c").await);
    house.identity.revoke_token(revoked.id, &house.admin(), house.now).await.unwrap();
    let _ = portcullis_store::Table::delete(&*house.table, tokens::key_of(gone.id), Expect::Any).await.unwrap();
    // The same identifier under the same key, with another secret than the one kept.
    let (forged, _) = text::make(&house.key, live.id);
    let (elsewhere, _) = text::make(&TokenKey::generate(), live.id);
    let minute = NewToken::for_user("d").lasting(Duration::from_secs(60));
    let short = house.identity.create_token(minute, &house.admin(), house.now).await.unwrap();
    house.now += SignedDuration::from_secs(60);

    let cases = [
        ("nonsense", None, Why::NotOurs),
        ("", None, Why::NotOurs),
        (elsewhere.expose_secret(), None, Why::NotOurs),
        (forged.expose_secret(), None, Why::WrongSecret),
        (text(&gone), None, Why::Unknown),
        (text(&revoked), None, Why::Revoked),
        (text(&short), None, Why::Expired),
        (text(&live), Some("b"), Why::WrongUser),
    ];
    for (n, (token, user, why)) in cases.into_iter().enumerate() {
        let asked = Instant::now();
        let from = IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
        let refused = house.present(token, user, from).await.unwrap_err();
        assert_eq!(refused.why(), why);
        assert_eq!((refused.to_string().as_str(), refused.retry_after()), ("the credential was not accepted", None));
        assert_eq!(asked.elapsed(), REFUSAL_FLOOR, "{why:?}");
        assert!(!format!("{refused:?}").contains("pct_"));
    }
    assert!(house.present(text(&live), None, HERE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_this_gateway_did_not_sign_never_reaches_the_store() {
    let house = House::build().await;
    let (elsewhere, _) = text::make(&TokenKey::generate(), TokenId::new());
    let before = house.table.probe.reads.load(Ordering::SeqCst);
    for token in ["", "pct_", "nonsense", elsewhere.expose_secret()] {
        assert!(house.present(token, None, HERE).await.is_err());
    }
    assert_eq!(house.table.probe.reads.load(Ordering::SeqCst), before);
}

#[tokio::test(start_paused = true)]
async fn a_token_lives_an_hour_or_as_long_as_asked_and_never_beyond_a_day() {
    let mut house = House::build().await;
    let made = house.make("a").await;
    let held = house.present(text(&made), None, HERE).await.unwrap();
    house.now += SignedDuration::from_secs(3599);
    assert_eq!(house.identity.standing(&held, house.now), Standing::Good);
    house.now += SignedDuration::from_secs(1);
    assert_eq!(house.identity.standing(&held, house.now), Standing::Expired);
    assert_eq!(house.why(text(&made), None).await, Why::Expired);
    for seconds in [0, 24 * 3600 + 1] {
        let request = NewToken::for_user("a").lasting(Duration::from_secs(seconds));
        let error = house.identity.create_token(request, &house.admin(), house.now).await.unwrap_err();
        assert!(error.to_string().contains("at most 24h"), "{error}");
    }
    let day = NewToken::for_user("a").lasting(Duration::from_secs(24 * 3600));
    assert!(house.identity.create_token(day, &house.admin(), house.now).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn names_that_would_mislead_are_refused() {
    let house = House::build().await;
    let long = "x".repeat(129);
    for user in ["", "token", "Token", " a", "a ", "a\nb", "a\0b", &long] {
        let made = house.identity.create_token(NewToken::for_user(user), &house.admin(), house.now).await;
        assert!(matches!(made, Err(IdentityError::Invalid(_))), "{user:?}");
    }
    let group = NewToken::for_user("a").in_group("dba\u{7}");
    assert!(house.identity.create_token(group, &house.admin(), house.now).await.is_err());
    let mut claims = NewToken::for_user("a");
    claims.claims = (0..65).map(|n| (format!("c{n}").into(), [].into())).collect();
    assert!(house.identity.create_token(claims, &house.admin(), house.now).await.is_err());
    assert!(house.identity.list_tokens().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_live_sessions_here_at_once_and_at_other_gateways() {
    let house = House::build().await;
    let other = house.another().await;
    let (made, kept) = (house.make("a").await, house.make("b").await);
    let here = house.present(text(&made), None, HERE).await.unwrap();
    let there = present(&other, text(&made), None, HERE, house.now).await.unwrap();
    let untouched = house.present(text(&kept), None, HERE).await.unwrap();
    let done = house.identity.revoke_token(made.id, &house.admin(), house.now).await.unwrap();
    assert_eq!(done, Revocation::Revoked { expires: made.expires });
    assert_eq!(house.identity.standing(&here, house.now), Standing::Revoked);
    until(&other, &there, house.now, Standing::Revoked).await;
    assert_eq!(house.identity.standing(&untouched, house.now), Standing::Good);
    assert_eq!(house.why(text(&made), None).await, Why::Revoked);
    let again = house.identity.revoke_token(made.id, &house.admin(), house.now).await.unwrap();
    assert_eq!(again, Revocation::AlreadyRevoked { expires: made.expires });
    let unknown = house.identity.revoke_token(TokenId::new(), &house.admin(), house.now).await.unwrap();
    assert_eq!(unknown, Revocation::Unknown);
    // A gateway that starts later knows of it too.
    assert_eq!(house.another().await.standing(&here, house.now), Standing::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_token_no_longer_stands() {
    let house = House::build().await;
    let made = house.make("a").await;
    let held = house.present(text(&made), None, HERE).await.unwrap();
    let _ = portcullis_store::Table::delete(&*house.table, tokens::key_of(made.id), Expect::Any).await.unwrap();
    until(&house.identity, &held, house.now, Standing::Revoked).await;
}

#[tokio::test(start_paused = true)]
async fn while_revocations_cannot_be_followed_no_token_stands_and_then_it_does_again() {
    let house = House::build().await;
    let (made, other) = (house.make("a").await, house.make("b").await);
    let held = house.present(text(&made), None, HERE).await.unwrap();
    let lost = house.present(text(&other), None, HERE).await.unwrap();
    house.table.probe.outage.begin();
    house.table.probe.outage.cut();
    until(&house.identity, &held, house.now, Standing::Revoked).await;
    let admin = house.admin();
    assert_eq!(house.identity.standing(&admin, house.now), Standing::Good, "the local administrator is no token");
    // Revoked while nobody here could hear of it.
    house.table.probe.outage.end();
    tokens::revoke(&*house.table.inner, other.id, &admin, house.now).await.unwrap();
    until(&house.identity, &held, house.now, Standing::Good).await;
    assert_eq!(house.identity.standing(&lost, house.now), Standing::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_refuses_and_counts_against_nobody() {
    let house = House::build().await;
    let made = house.make("a").await;
    house.table.probe.outage.begin();
    for _ in 0..50 {
        let refused = house.present(text(&made), None, HERE).await.unwrap_err();
        assert_eq!((refused.why(), refused.retry_after()), (Why::Unavailable, None));
    }
    house.table.probe.outage.end();
    assert!(house.present(text(&made), None, HERE).await.is_ok());
    let damaged = Bytes::from_static(b"{\"hash\":1}");
    let _ =
        portcullis_store::Table::put(&*house.table, tokens::key_of(made.id), damaged, Expect::Any, None).await.unwrap();
    assert_eq!(house.why(text(&made), None).await, Why::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn failures_close_an_address_for_a_while_and_no_other() {
    let house = House::build().await;
    let made = house.make("a").await;
    let other = IpAddr::from([192, 0, 2, 2]);
    for _ in 0..10 {
        assert_eq!(house.present("nonsense", None, HERE).await.unwrap_err().why(), Why::NotOurs);
        // Neither another's success nor one's own clears the account.
        assert!(house.present(text(&made), None, other).await.is_ok());
    }
    let refused = house.present(text(&made), None, HERE).await.unwrap_err();
    assert_eq!(refused.why(), Why::TooManyAttempts);
    let wait = refused.retry_after().unwrap();
    assert!(wait <= Duration::from_secs(6), "{wait:?}");
    assert!(refused.to_string().contains("try again in"), "{refused}");
    assert!(house.present(text(&made), None, other).await.is_ok());
    tokio::time::advance(wait).await;
    assert!(house.present(text(&made), None, HERE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn attempts_side_by_side_all_count() {
    let house = House::build().await;
    let many = (0..200).map(|_| house.present("nonsense", None, HERE));
    let refused = futures_util::future::join_all(many).await;
    let judged = refused.iter().filter(|refused| refused.as_ref().unwrap_err().why() == Why::NotOurs).count();
    assert_eq!(judged, 10);
}

#[tokio::test(start_paused = true)]
async fn a_listing_shows_who_made_what_and_nothing_that_opens_a_door() {
    let house = House::build().await;
    let made = house.make("a").await;
    let maker = house.present(text(&made), None, HERE).await.unwrap();
    let second = house.identity.create_token(NewToken::for_user("b"), &maker, house.now).await.unwrap();
    let found = house.present(text(&second), None, HERE).await.unwrap();
    house.identity.revoke_token(made.id, &house.admin(), house.now).await.unwrap();
    let tokens = house.identity.list_tokens().await.unwrap();
    let shown: Vec<_> = tokens.iter().map(|t| (t.id, &*t.user, &*t.created_by, t.revoked.is_some())).collect();
    assert_eq!(shown, [(made.id, "a", "root", true), (second.id, "b", "a", false)]);
    let json = serde_json::to_string(&tokens).unwrap();
    let stored: Vec<_> = portcullis_store::Table::scan(&*house.table, b"").await.unwrap();
    let kept: String = stored.iter().map(|(_, row)| String::from_utf8_lossy(&row.value).into_owned()).collect();
    for token in [text(&made), text(&second)] {
        // Neither the token nor the part of it behind the identifier.
        assert!(!json.contains(&token[26..]) && !kept.contains(&token[26..]) && !kept.contains(token));
    }
    // Whoever made the token that made a token is kept with it.
    let makers: Vec<_> = found.makers.iter().map(|maker| &*maker.user).collect();
    assert_eq!(makers, ["a", "root"]);
}

#[tokio::test(start_paused = true)]
async fn two_revocations_at_once_are_one() {
    let house = House::build().await;
    let made = house.make("a").await;
    let admin = house.admin();
    let both =
        futures_util::future::join_all((0..8).map(|_| house.identity.revoke_token(made.id, &admin, house.now))).await;
    let first = both.iter().filter(|done| matches!(done, Ok(Revocation::Revoked { .. }))).count();
    assert_eq!(first, 1);
    assert!(both.iter().all(Result::is_ok));
}
