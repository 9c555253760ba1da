//! Tokens of identity providers at the door: accepted, refused alike, revoked.

use super::*;
use crate::oidc::fuzz::{AUDIENCE, Forge, ISSUER};
use crate::{Fetch, FetchError, Flaw, Issuer, OidcTrust};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

struct Provider(String);

impl Fetch for Provider {
    fn get<'a>(&'a self, url: &'a str, _: usize) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        let document = json!({"issuer": ISSUER, "jwks_uri": "https://idp.example/keys"}).to_string();
        let body = if url.ends_with("/keys") { self.0.clone() } else { document };
        Box::pin(std::future::ready(Ok(body.into())))
    }
}

/// A gateway that trusts one provider.
pub(super) struct Gateway {
    pub(super) table: Arc<Table>,
    pub(super) forge: Forge,
    pub(super) identity: Identity,
    pub(super) now: Timestamp,
}

impl Gateway {
    pub(super) async fn build() -> Self {
        let (table, forge) = (table(), Forge::new("k"));
        let identity = Self::open(&table, &forge).await;
        Self { table, forge, identity, now: Timestamp::now() }
    }

    pub(super) async fn open(table: &Arc<Table>, forge: &Forge) -> Identity {
        let mut issuer = Issuer::new(ISSUER, AUDIENCE);
        issuer.groups_claim = Some("groups".into());
        let oidc = OidcTrust::new(vec![issuer], Arc::new(Provider(forge.set()))).unwrap();
        let settings = Settings { oidc, ..Settings::default() };
        let table = Arc::clone(table) as Arc<dyn portcullis_store::Table>;
        Identity::open(table, TokenKey::generate(), settings).await.unwrap()
    }

    pub(super) fn token(&self, subject: &str, more: &Value) -> String {
        let at = self.now.as_second();
        let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": at, "exp": at + 3600});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.forge.sign(claims.to_string().as_bytes())
    }

    pub(super) async fn present(&self, text: &str, user: Option<&str>) -> Result<Authenticated, Refused> {
        present(&self.identity, text, user, HERE, self.now).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_providers_token_authenticates_its_user_until_it_runs_out() {
    let mut house = Gateway::build().await;
    let token =
        house.token("alice", &json!({"groups": ["dba"], "team": "payments", "auth_time": house.now.as_second()}));
    for user in [None, Some("alice"), Some(RESERVED_USER)] {
        let found = house.present(&token, user).await.unwrap();
        assert_eq!((&*found.principal.user, &*found.principal.issuer), ("alice", ISSUER));
        assert_eq!(
            (&found.principal.groups, &found.principal.credential),
            (&["dba".into()].into(), &CredentialKind::Oidc)
        );
        assert_eq!(found.principal.claims.get("team"), Some(&["payments".into()].into()));
        assert_eq!(found.interactive.map(Timestamp::as_second), Some(house.now.as_second()));
        assert_eq!(found.expires.map(Timestamp::as_second), Some(house.now.as_second() + 3600));
        assert!(found.makers.is_empty());
    }
    assert_eq!(house.present(&token, Some("bob")).await.unwrap_err().why(), Why::WrongUser);
    let held = house.present(&token, None).await.unwrap();
    house.now += SignedDuration::from_secs(3600);
    assert_eq!(house.identity.standing(&held, house.now), Standing::Expired);
    assert_eq!(house.present(&token, None).await.unwrap_err().why(), Why::Oidc(Flaw::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_refused_like_any_other_and_counts() {
    let house = Gateway::build().await;
    let bad = house.token("alice", &json!({"aud": "somebody-else"}));
    for _ in 0..10 {
        let asked = Instant::now();
        let refused = house.present(&bad, None).await.unwrap_err();
        assert_eq!(refused.why(), Why::Oidc(Flaw::Audience));
        assert_eq!((refused.to_string().as_str(), asked.elapsed()), ("the credential was not accepted", REFUSAL_FLOOR));
    }
    assert_eq!(house.present(&bad, None).await.unwrap_err().why(), Why::TooManyAttempts);
    // A gateway that trusts no provider knows no such token.
    let other = House::build().await;
    assert_eq!(other.why(&house.token("alice", &json!({})), None).await, Why::NotOurs);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_the_gateway_asked_for_is_of_the_provider_that_was_asked() {
    let house = Gateway::build().await;
    let at = house.now.as_second();
    let login = |text: String, issuer: &str| {
        let proof = Proof::Login { token: text.into(), issuer: issuer.into() };
        house.identity.authenticate(proof, HERE, house.now)
    };
    let presented = house.present(&house.token("alice", &json!({"auth_time": at})), None).await.unwrap();
    let asked = login(house.token("alice", &json!({"auth_time": at})), ISSUER).await.unwrap();
    assert_eq!(asked, presented);
    let other = login(house.token("alice", &json!({})), "https://elsewhere.example").await;
    assert_eq!(other.unwrap_err().why(), Why::Oidc(Flaw::Issuer));
    let other = login(house.token("alice", &json!({"aud": "somebody-else"})), ISSUER).await;
    assert_eq!(other.unwrap_err().why(), Why::Oidc(Flaw::Audience));
    // A token of the gateway's own is no answer of a provider.
    assert_eq!(login("pct_x".to_owned(), ISSUER).await.unwrap_err().why(), Why::Oidc(Flaw::Shape));
}

#[tokio::test(start_paused = true)]
async fn no_login_is_begun_from_an_address_that_failed_too_often() {
    let house = Gateway::build().await;
    assert!(house.identity.begin_login(HERE).is_ok());
    for _ in 0..10 {
        house.present("pct_x", None).await.unwrap_err();
    }
    assert_eq!(house.identity.begin_login(HERE).unwrap_err().why(), Why::TooManyAttempts);
    // Those that were begun lock nobody out.
    let (other, token) = ("192.0.2.200".parse().unwrap(), house.token("alice", &json!({})));
    while house.identity.begin_login(other).is_ok() {}
    assert!(present(&house.identity, &token, None, other, house.now).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_sessions_here_and_elsewhere_and_refuses_what_was_issued_before() {
    let mut house = Gateway::build().await;
    let other = Gateway::open(&house.table, &house.forge).await;
    let (alice, bob) = (house.token("alice", &json!({})), house.token("bob", &json!({})));
    let unpresented = house.token("alice", &json!({"iat": house.now.as_second() + 30}));
    let here = house.present(&alice, None).await.unwrap();
    let there = present(&other, &alice, None, HERE, house.now).await.unwrap();
    let untouched = house.present(&bob, None).await.unwrap();
    let admin = Authenticated::local_admin(Some("root"));
    house.identity.revoke_oidc(ISSUER, "alice", &admin, house.now).await.unwrap();
    house.identity.revoke_oidc("https://elsewhere.example", "bob", &admin, house.now).await.unwrap();
    assert_eq!(house.identity.standing(&here, house.now), Standing::Revoked);
    until(&other, &there, house.now, Standing::Revoked).await;
    assert_eq!(house.identity.standing(&untouched, house.now), Standing::Good);
    // Also one of a provider whose clock runs ahead.
    for token in [&alice, &unpresented] {
        assert_eq!(house.present(token, None).await.unwrap_err().why(), Why::Oidc(Flaw::Revoked));
    }
    // A gateway that starts later knows of it too.
    let later = Gateway::open(&house.table, &house.forge).await;
    assert_eq!(later.standing(&here, house.now), Standing::Revoked);
    // A login a minute later counts, and the sessions from before still do not.
    house.now += SignedDuration::from_secs(62);
    let again = house.token("alice", &json!({}));
    let again = house.present(&again, None).await.unwrap();
    assert_eq!(house.identity.standing(&again, house.now), Standing::Good);
    assert_eq!(house.identity.standing(&here, house.now), Standing::Revoked);
    // An earlier revocation, told late, takes nothing back.
    let earlier = house.now - SignedDuration::from_hours(1);
    house.identity.revoke_oidc(ISSUER, "alice", &admin, earlier).await.unwrap();
    assert_eq!(house.identity.standing(&here, house.now), Standing::Revoked);
    assert_eq!(house.present(&alice, None).await.unwrap_err().why(), Why::Oidc(Flaw::Revoked));
}

#[tokio::test(start_paused = true)]
async fn of_revocations_at_once_the_latest_holds() {
    let house = Gateway::build().await;
    let admin = Authenticated::local_admin(Some("root"));
    let at = |minutes| house.now - SignedDuration::from_mins(minutes);
    let revoke = |minutes| house.identity.revoke_oidc(ISSUER, "alice", &admin, at(minutes));
    let all = futures_util::future::join_all([30, 10, 50, 20, 40].map(revoke)).await;
    assert!(all.iter().all(Result::is_ok));
    let issued = |minutes| house.token("alice", &json!({"iat": at(minutes).as_second()}));
    assert_eq!(house.present(&issued(10), None).await.unwrap_err().why(), Why::Oidc(Flaw::Revoked));
    let found = house.present(&issued(8), None).await.unwrap();
    assert_eq!(house.identity.standing(&found, house.now), Standing::Good);
    // What the store holds of somebody and cannot be read refuses them.
    let (key, row) = portcullis_store::Table::scan(&*house.table, b"oidc-revoked/").await.unwrap().remove(0);
    let expect = Expect::Version(row.version);
    let _ = portcullis_store::Table::put(&*house.table, key, Bytes::from_static(b"{}"), expect, None).await.unwrap();
    assert_eq!(house.present(&issued(8), None).await.unwrap_err().why(), Why::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn while_revocations_cannot_be_followed_nobody_from_a_provider_stands() {
    let house = Gateway::build().await;
    let held = house.present(&house.token("alice", &json!({})), None).await.unwrap();
    house.table.probe.outage.begin();
    let refused = house.present(&house.token("alice", &json!({})), None).await.unwrap_err();
    assert_eq!(refused.why(), Why::Unavailable);
    house.table.probe.outage.cut();
    until(&house.identity, &held, house.now, Standing::Revoked).await;
    assert!(!house.identity.is_following());
    house.table.probe.outage.end();
    until(&house.identity, &held, house.now, Standing::Good).await;
    assert!(house.identity.is_following());
}

/// Counts errors of the thread's log.
struct Errors(Arc<AtomicU32>);

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

async fn until_unread(identity: &Identity, count: usize) {
    let mut changes = identity.changes();
    let seen = async {
        while identity.revocations.unread() != count {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap_or_else(|_| panic!("never {count}"));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_read_ends_whom_it_is_about_and_nobody_else_until_it_can_or_went() {
    let errors = Arc::new(AtomicU32::new(0));
    let _log = tracing::subscriber::set_default(Errors(Arc::clone(&errors)));
    let mut house = Gateway::build().await;
    let admin = Authenticated::local_admin(Some("root"));
    // One of somebody's, damaged, and to be written back; they logged in again since.
    house.identity.revoke_oidc(ISSUER, "bob", &admin, house.now).await.unwrap();
    house.now += SignedDuration::from_secs(62);
    let login = async |name: &str| house.present(&house.token(name, &json!({})), None).await;
    let (alice, bob) = (login("alice").await.unwrap(), login("bob").await.unwrap());
    let make = async |by: &Authenticated| {
        let made = house.identity.create_token(NewToken::for_user("bot"), by, house.now).await.unwrap();
        house.present(text(&made), None).await.unwrap()
    };
    let (alices, bobs) = (make(&alice).await, make(&bob).await);
    let (key, kept) = portcullis_store::Table::scan(&*house.table, b"oidc-revoked/").await.unwrap().remove(0);
    let put = |key: &Bytes, value: &Bytes| {
        portcullis_store::Table::put(&*house.table, key.clone(), value.clone(), Expect::Any, None)
    };
    let (damaged, nobodys) = (Bytes::from_static(b"{}"), Bytes::from_static(b"oidc-revoked/x"));
    for (key, unread) in [(&key, 1), (&nobodys, 2)] {
        let _ = put(key, &damaged).await.unwrap();
        until_unread(&house.identity, unread).await;
        assert!(!house.identity.is_following());
    }
    // A gateway that starts now finds both, and one that can follow again says nothing twice.
    let later = Gateway::open(&house.table, &house.forge).await;
    for identity in [&house.identity, &later] {
        for (one, standing) in [(&alice, Standing::Good), (&alices, Standing::Good)]
            .into_iter()
            .chain([(&bob, Standing::Revoked), (&bobs, Standing::Revoked)])
        {
            assert_eq!(identity.standing(one, house.now), standing, "{}", one.principal.user);
        }
    }
    // The door says what the sessions are told.
    assert!(login("alice").await.is_ok());
    assert_eq!(login("bob").await.unwrap_err().why(), Why::Unavailable);
    assert_eq!(errors.swap(0, Ordering::SeqCst), 4);
    let _ = put(&nobodys, &Bytes::from_static(b"[]")).await.unwrap();
    // The one is repaired, the other goes.
    let _ = put(&key, &kept.value).await.unwrap();
    for identity in [&house.identity, &later] {
        until(identity, &bob, house.now, Standing::Good).await;
        assert!(!identity.is_following(), "the other is still there");
    }
    let _ = portcullis_store::Table::delete(&*house.table, nobodys, Expect::Any).await.unwrap();
    until_unread(&house.identity, 0).await;
    assert!(house.identity.is_following());
    assert_eq!(errors.load(Ordering::SeqCst), 0);
    // What was read of it before and after still counts.
    let before = house.token("bob", &json!({"iat": house.now.as_second() - 62}));
    assert_eq!(house.present(&before, None).await.unwrap_err().why(), Why::Oidc(Flaw::Revoked));
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_with_the_logins_of_whoever_made_it() {
    let mut house = Gateway::build().await;
    let other = Gateway::open(&house.table, &house.forge).await;
    let dana = house.present(&house.token("dana", &json!({})), None).await.unwrap();
    let alice = house.present(&house.token("alice", &json!({})), None).await.unwrap();
    let make = async |house: &Gateway, user: &str, by: &Authenticated| {
        let day = NewToken::for_user(user).lasting(Duration::from_secs(24 * 3600));
        house.identity.create_token(day, by, house.now).await.unwrap()
    };
    let (hers, anothers) = (make(&house, "agent-7", &dana).await, make(&house, "agent-8", &alice).await);
    let held = house.present(text(&hers), None).await.unwrap();
    assert_eq!(held.issued, Some(house.now));
    // One that was made with hers, and one whose user is called like her.
    let grandchild = make(&house, "agent-9", &held).await;
    let admin = Authenticated::local_admin(Some("dana"));
    let namesake = make(&house, "dana", &admin).await;
    let mut gone = vec![held, house.present(text(&grandchild), None).await.unwrap()];
    let kept =
        [house.present(text(&anothers), None).await.unwrap(), house.present(text(&namesake), None).await.unwrap()];
    house.now += SignedDuration::from_hours(5);
    assert_eq!(house.identity.standing(&gone[0], house.now), Standing::Good);
    house.identity.revoke_oidc(ISSUER, "dana", &admin, house.now).await.unwrap();
    // Live sessions, here and elsewhere; and none begins.
    for one in &gone {
        assert_eq!(house.identity.standing(one, house.now), Standing::Revoked);
        until(&other, one, house.now, Standing::Revoked).await;
    }
    for made in [&hers, &grandchild] {
        assert_eq!(house.present(text(made), None).await.unwrap_err().why(), Why::MakerRevoked);
    }
    for one in &kept {
        assert_eq!(house.identity.standing(one, house.now), Standing::Good);
    }
    assert!(house.present(text(&anothers), None).await.is_ok() && house.present(text(&namesake), None).await.is_ok());
    // What she makes after a new login counts; what she made before never does again.
    house.now += SignedDuration::from_secs(62);
    let again = house.present(&house.token("dana", &json!({})), None).await.unwrap();
    let new = make(&house, "agent-7", &again).await;
    let new = house.present(text(&new), None).await.unwrap();
    assert_eq!(house.identity.standing(&new, house.now), Standing::Good);
    assert_eq!(house.present(text(&hers), None).await.unwrap_err().why(), Why::MakerRevoked);
    // A gateway that starts later knows of it too.
    let later = Gateway::open(&house.table, &house.forge).await;
    gone.retain(|one| later.standing(one, house.now) != Standing::Revoked);
    assert!(gone.is_empty(), "{gone:?}");
    // Where the store's word of her cannot be read, the token is nobody's to use.
    let (key, row) = portcullis_store::Table::scan(&*house.table, b"oidc-revoked/").await.unwrap().remove(0);
    let expect = Expect::Version(row.version);
    let _ = portcullis_store::Table::put(&*house.table, key, Bytes::from_static(b"{}"), expect, None).await.unwrap();
    assert_eq!(house.present(text(&hers), None).await.unwrap_err().why(), Why::Unavailable);
}
