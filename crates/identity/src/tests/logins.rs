//! SSH certificates of logins: who gets one, what it opens, and every way that it ends.

use super::*;
use crate::{Fetch, FetchError, Issuer, OidcTrust};
use futures_util::future::join_all;
use portcullis_store::Table as _;
use ssh_key::{Algorithm, Certificate, PrivateKey, PublicKey};

const ISSUER: &str = "https://idp.example";

pub(super) fn key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
}

fn line(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

/// A provider that answers nobody: logins are made up here.
struct Away;

impl Fetch for Away {
    fn get<'a>(&'a self, _: &'a str, _: usize) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError::Status(503))))
    }
}

/// A gateway that certifies logins.
pub(super) struct Gateway {
    pub(super) table: Arc<Table>,
    pub(super) logins: PrivateKey,
    pub(super) identity: Identity,
    pub(super) now: Timestamp,
}

impl Gateway {
    pub(super) async fn build(ssh: SshTrust) -> Self {
        Self::revoking(ssh, RevokedKeys::default()).await
    }

    /// One that looks for what is shown in these files.
    pub(super) async fn revoking(ssh: SshTrust, revoked: RevokedKeys) -> Self {
        Self::opened(Settings { revoked_keys: revoked, ..Self::settings(ISSUER, ssh) }, table(), key()).await
    }

    /// One that trusts this provider.
    async fn trusting(issuer: &str, table: Arc<Table>, logins: PrivateKey, ssh: SshTrust) -> Self {
        Self::opened(Self::settings(issuer, ssh), table, logins).await
    }

    fn settings(issuer: &str, ssh: SshTrust) -> Settings {
        let oidc = OidcTrust::new(vec![Issuer::new(issuer, "portcullis")], Arc::new(Away)).unwrap();
        Settings { ssh, oidc, ..Settings::default() }
    }

    async fn opened(mut settings: Settings, table: Arc<Table>, logins: PrivateKey) -> Self {
        settings.ssh.sign_logins(LoginAuthority::new(Arc::new(logins.clone()))).unwrap();
        let dynamic = Arc::clone(&table) as Arc<dyn portcullis_store::Table>;
        let identity = Identity::open(dynamic, TokenKey::generate(), settings).await.unwrap();
        // A whole second, as certificates have them.
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        Self { table, logins, identity, now }
    }

    /// A login of this person for so long.
    pub(super) fn login(&self, user: &str, minutes: i64) -> Authenticated {
        Authenticated {
            principal: Principal {
                issuer: ISSUER.into(),
                subject: format!("sub-{user}").into(),
                user: user.into(),
                groups: ["dba".into()].into(),
                claims: [("team".into(), ["payments".into()].into())].into(),
                credential: CredentialKind::Oidc,
            },
            expires: Some(self.now + SignedDuration::from_mins(minutes)),
            issued: Some(self.now),
            interactive: Some(self.now),
            makers: Vec::new(),
            extensions: Extensions::all(),
            shown_key: None,
        }
    }

    pub(super) async fn certify(&self, by: &Authenticated) -> Result<MadeCertificate, IdentityError> {
        self.identity.certify_login(&line(&key()), by, self.now).await
    }

    async fn shows(&self, made: &MadeCertificate, user: Option<&str>) -> Result<Authenticated, Refused> {
        let certificate = Box::new(made.certificate.parse().unwrap());
        let proof = Proof::SshCertificate { certificate, claimed_user: user.map(Into::into) };
        self.identity.authenticate(proof, HERE, self.now).await
    }

    async fn why(&self, made: &MadeCertificate) -> Why {
        let refused = self.shows(made, None).await.unwrap_err();
        assert_eq!(refused.to_string(), "the credential was not accepted");
        refused.why()
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_the_person_who_logged_in_and_does_not_vote() {
    let gateway = Gateway::build(SshTrust::default()).await;
    let login = gateway.login("dana", 10);
    let made = gateway.certify(&login).await.unwrap();
    let found = gateway.shows(&made, None).await.unwrap();
    let expected = Principal { credential: CredentialKind::Token(made.id), ..login.principal.clone() };
    assert_eq!(found.principal, expected);
    assert_eq!((found.expires, Some(made.expires)), (login.expires, login.expires));
    assert_eq!((found.interactive, found.issued), (None, Some(gateway.now)));
    // The person is the maker: what the certificate asks for, they cannot approve.
    assert_eq!(found.makers, [tokens::person(&login.principal)]);
    let all = Extensions { agent_forwarding: false, x11_forwarding: false, ..Extensions::all() };
    assert_eq!(found.extensions, all);
    assert!(gateway.shows(&made, Some("dana")).await.is_ok());
    assert_eq!(gateway.shows(&made, Some("erin")).await.unwrap_err().why(), Why::WrongUser);
    let certificate: Certificate = made.certificate.parse().unwrap();
    assert_eq!(certificate.key_id(), format!("portcullis-login {}", made.id));
    let listed = gateway.identity.list_tokens().await.unwrap();
    assert_eq!((listed.len(), &listed[0].ssh_key, &*listed[0].created_by), (1, &Some(made.key.clone()), "dana"));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_ends_with_its_login_and_after_an_hour() {
    let mut gateway = Gateway::build(SshTrust::default()).await;
    for (minutes, expected) in [(10, 10), (59, 59), (60, 60), (600, 60)] {
        let made = gateway.certify(&gateway.login("dana", minutes)).await.unwrap();
        assert_eq!(made.expires, gateway.now + SignedDuration::from_mins(expected));
    }
    let endless = Authenticated { expires: None, ..gateway.login("erin", 1) };
    assert_eq!(gateway.certify(&endless).await.unwrap().expires, gateway.now + LONGEST_CERTIFICATE);
    let made = gateway.certify(&gateway.login("dana", 10)).await.unwrap();
    let held = gateway.shows(&made, None).await.unwrap();
    gateway.now += SignedDuration::from_mins(10);
    assert_eq!(gateway.identity.standing(&held, gateway.now), Standing::Expired);
    assert_eq!(gateway.why(&made).await, Why::CertificateExpired);
    let over = gateway.login("dana", 0);
    assert!(gateway.certify(&over).await.unwrap_err().to_string().contains("log in again"));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_opens_nothing_and_ends_what_it_opened() {
    let gateway = Gateway::build(SshTrust::default()).await;
    let admin = Authenticated::local_admin(None);
    let (first, second) = (
        gateway.certify(&gateway.login("dana", 10)).await.unwrap(),
        gateway.certify(&gateway.login("dana", 10)).await.unwrap(),
    );
    let held = gateway.shows(&first, None).await.unwrap();
    let revoked = gateway.identity.revoke_token(first.id, &admin, gateway.now).await.unwrap();
    assert!(matches!(revoked, Revocation::Revoked { .. }));
    assert_eq!(gateway.identity.standing(&held, gateway.now), Standing::Revoked);
    assert_eq!(gateway.why(&first).await, Why::CertificateRevoked);
    // The other goes with the person's logins.
    let held = gateway.shows(&second, None).await.unwrap();
    gateway.identity.revoke_oidc(ISSUER, "sub-erin", &admin, gateway.now).await.unwrap();
    assert_eq!(gateway.identity.standing(&held, gateway.now), Standing::Good);
    gateway.identity.revoke_oidc(ISSUER, "sub-dana", &admin, gateway.now).await.unwrap();
    assert_eq!(gateway.identity.standing(&held, gateway.now), Standing::Revoked);
    assert_eq!(gateway.why(&second).await, Why::CertificateOfRevoked);
    // None of these counts as guessing: an agent offers what it holds.
    for _ in 0..30 {
        assert_eq!(gateway.why(&first).await, Why::CertificateRevoked);
    }
}

/// Whoever asks may take as long over it as they like: what counts is who stands when all of it is there.
#[tokio::test(start_paused = true)]
async fn whoever_was_revoked_or_ran_out_while_they_asked_is_given_nothing() {
    let mut gateway = Gateway::build(SshTrust::default()).await;
    let admin = Authenticated::local_admin(None);
    let (dana, erin) = (gateway.login("dana", 10), gateway.login("erin", 1));
    let request = NewToken::for_user("agent-7");
    let made = gateway.identity.create_token(request.clone(), &dana, gateway.now).await.unwrap();
    let proof = Proof::Token { token: made.text, claimed_user: None };
    let agent = gateway.identity.authenticate(proof, HERE, gateway.now).await.unwrap();
    gateway.identity.revoke_oidc(ISSUER, "sub-dana", &admin, gateway.now).await.unwrap();
    // Beyond the clocks' skew, within which what is made would fall with the revocation itself.
    gateway.now += SignedDuration::from_mins(2);
    assert!(matches!(gateway.certify(&dana).await, Err(IdentityError::NoLongerStands)));
    for by in [&dana, &erin, &agent] {
        let asked = gateway.identity.create_token(request.clone(), by, gateway.now).await;
        assert!(matches!(asked, Err(IdentityError::NoLongerStands)), "{by:?}: {asked:?}");
    }
    assert_eq!(gateway.identity.list_tokens().await.unwrap().len(), 1);
    // A login after it, and nobody else, is not touched.
    let again = Authenticated { issued: Some(gateway.now), ..gateway.login("dana", 10) };
    gateway.certify(&again).await.unwrap();
    gateway.certify(&gateway.login("fay", 10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_its_record_a_certificate_is_nothing() {
    let gateway = Gateway::build(SshTrust::default()).await;
    let made = gateway.certify(&gateway.login("dana", 10)).await.unwrap();
    let held = gateway.shows(&made, None).await.unwrap();
    gateway.table.probe.outage.begin();
    assert_eq!(gateway.why(&made).await, Why::Unavailable);
    gateway.table.probe.outage.end();
    let record = gateway.table.get(&tokens::key_of(made.id)).await.unwrap().unwrap();
    let put = |value: Bytes| gateway.table.put(tokens::key_of(made.id), value, Expect::Any, None);
    let _put = put(Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(gateway.why(&made).await, Why::Unavailable);
    until(&gateway.identity, &held, gateway.now, Standing::Revoked).await;
    let gateway = Gateway::build(SshTrust::default()).await;
    let other = gateway.certify(&gateway.login("dana", 10)).await.unwrap();
    let _put = gateway.table.put(tokens::key_of(other.id), record.value, Expect::Any, None).await.unwrap();
    assert_eq!(gateway.why(&other).await, Why::UnknownCertificate, "the record of another certificate");
    let _gone = gateway.table.delete(tokens::key_of(other.id), Expect::Any).await.unwrap();
    assert_eq!(gateway.why(&other).await, Why::UnknownCertificate);
}

#[tokio::test(start_paused = true)]
async fn only_a_login_at_a_provider_gets_one_for_a_key_of_its_own() {
    let mut trust = SshTrust::without([]);
    let theirs = key();
    trust.register(theirs.public_key(), "bob".into(), BTreeSet::new()).unwrap();
    let gateway = Gateway::build(trust).await;
    let login = gateway.login("dana", 10);
    for credential in [
        CredentialKind::Token(TokenId::new()),
        CredentialKind::Saml,
        CredentialKind::SshKey("SHA256:x".into()),
        CredentialKind::SshCertificate("x".into()),
        CredentialKind::LocalAdmin,
    ] {
        let by = Authenticated { principal: Principal { credential, ..login.principal.clone() }, ..login.clone() };
        assert!(gateway.certify(&by).await.unwrap_err().to_string().contains("login --ssh"));
    }
    let rsa = super::ssh::RSA;
    let private = key().to_openssh(ssh_key::LineEnding::LF).unwrap();
    let certificate = gateway.certify(&login).await.unwrap().certificate;
    let long = format!("{} {}", line(&key()), "x".repeat(5000));
    for bad in ["", "ssh-ed25519", "x y z", rsa, &private, &certificate, &line(&gateway.logins), &long] {
        let refused = gateway.identity.certify_login(bad, &login, gateway.now).await;
        assert!(matches!(refused, Err(IdentityError::Invalid(_))), "{bad}");
    }
    let nobody = Identity::open(Arc::new(MemoryTable::new()), TokenKey::generate(), Settings::default()).await.unwrap();
    assert!(nobody.certify_login(&line(&key()), &login, gateway.now).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_person_has_so_many_at_once_and_others_have_theirs() {
    let mut gateway = Gateway::build(SshTrust::default()).await;
    // Those that ran out, by the store's clock, are no more.
    gateway.now -= SignedDuration::from_mins(10);
    let dana = gateway.login("dana", 9);
    for _ in 0..40 {
        gateway.certify(&dana).await.unwrap();
    }
    gateway.now += SignedDuration::from_mins(10);
    // As many as they like ask at once, of this gateway and of another.
    let another =
        Gateway::trusting(ISSUER, Arc::clone(&gateway.table), gateway.logins.clone(), SshTrust::default()).await;
    let dana = gateway.login("dana", 10);
    let asked = (0..80).map(|n| if n % 2 == 0 { gateway.certify(&dana) } else { another.certify(&dana) });
    let mut made: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    assert_eq!(made.len(), 32);
    assert!(gateway.certify(&dana).await.unwrap_err().to_string().contains("32"));
    // What is revoked makes no room.
    let revoked = made.pop().unwrap();
    gateway.identity.revoke_token(revoked.id, &Authenticated::local_admin(None), gateway.now).await.unwrap();
    assert!(gateway.certify(&dana).await.is_err());
    for other in [gateway.login("erin", 10), Authenticated { principal: of_another_provider(&dana), ..dana.clone() }] {
        gateway.certify(&other).await.unwrap();
    }
    for one in &made {
        gateway.shows(one, None).await.unwrap();
    }
}

fn of_another_provider(one: &Authenticated) -> Principal {
    Principal { issuer: "https://idp.example/other".into(), ..one.principal.clone() }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_a_provider_that_is_not_trusted_any_more_opens_nothing() {
    let first = Gateway::build(SshTrust::default()).await;
    let made = first.certify(&first.login("dana", 10)).await.unwrap();
    let over = |issuer| Gateway::trusting(issuer, Arc::clone(&first.table), first.logins.clone(), SshTrust::default());
    let second = over("https://idp.example/other").await;
    assert_eq!(second.why(&made).await, Why::UnknownCertificate);
    assert!(over(ISSUER).await.shows(&made, None).await.is_ok());
}

#[test]
fn the_authority_of_logins_is_nobodys_own_and_none_of_clients() {
    let (own, logins) = (key(), key());
    let authority = || LoginAuthority::new(Arc::new(logins.clone()));
    let mut trust = SshTrust::without([own.public_key(), logins.public_key()]);
    trust.sign_logins(authority()).unwrap();
    let refused = |result: Result<(), IdentityError>| result.unwrap_err().to_string().contains("gateway's own");
    assert!(refused(trust.trust(logins.public_key())));
    assert!(refused(trust.register(logins.public_key(), "a".into(), BTreeSet::new())));
    let mut trust = SshTrust::default();
    trust.trust(logins.public_key()).unwrap();
    assert!(refused(trust.sign_logins(authority())));
    let mut trust = SshTrust::default();
    trust.register(logins.public_key(), "a".into(), BTreeSet::new()).unwrap();
    assert!(refused(trust.sign_logins(authority())));
    assert!(!format!("{:?}", authority()).contains("private"));
    let _: &PublicKey = authority().public();
}

#[tokio::test(start_paused = true)]
async fn what_a_certificate_opened_goes_on_with_a_new_login_of_its_person_and_ends_with_its_record() {
    let mut gateway = Gateway::build(SshTrust::default()).await;
    let (made, other) = (gateway.login("dana", 90), gateway.login("erin", 90));
    let (made, other) = (gateway.certify(&made).await.unwrap(), gateway.certify(&other).await.unwrap());
    let session = gateway.shows(&made, None).await.unwrap();
    let another = gateway.shows(&other, None).await.unwrap();
    gateway.now += SignedDuration::from_mins(59);
    gateway.identity.renew(&gateway.login("dana", 90), gateway.now).await.unwrap();
    gateway.now += SignedDuration::from_mins(2);
    assert_eq!(gateway.identity.standing(&session, gateway.now), Standing::Good);
    assert_eq!(gateway.identity.standing(&another, gateway.now), Standing::Expired);
    // The certificate itself opens nothing more.
    assert_eq!(gateway.why(&made).await, Why::CertificateExpired);
    let admin = Authenticated::local_admin(None);
    assert!(matches!(
        gateway.identity.revoke_token(made.id, &admin, gateway.now).await.unwrap(),
        Revocation::Revoked { .. }
    ));
    assert_eq!(gateway.identity.standing(&session, gateway.now), Standing::Revoked);
}
