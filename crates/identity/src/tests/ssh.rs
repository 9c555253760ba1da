//! SSH keys and certificates at the door: what is accepted, and every way not to be.

use super::*;
use proptest::prelude::*;
use ssh_key::certificate::{Builder, CertType, Certificate};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey};
use std::process::Command;

pub(super) const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCnJTTwI9IhIVsTl+6zEJKwg9twccplc/x0yIvuF4Yt+Y4JcVvqKPBGUTvI1mUZJgb9Q8wBw6wvBUXHBsckVxGVlUzrkZ8x45Oolo1u/rD1E+6H/6SvUiRMqg2yevwRyXuiKbx1JCmuaPdj+SU7GtR4hNRsBC2BT0O0keRw4i34x9LI12PJ7WUvVD4z1jmozen66c9qSDYpOWwfTV4LZL7IsFwj35pGCxkbe3raeSX+L2qZqm44uRe7A0OF+l5s4cOQj+4ic/q8tR5JuTddeNYVMrFjbEZ7Vzyyr9K1E2LarbbTRBfrOo2jv0o4sszgA1qcWbgEEezgFIvp3Uw0P03/ rsa";
const DAY: u64 = 24 * 60 * 60;

fn key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
}

fn groups(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap()
}

/// A gateway that trusts one authority and one key.
struct Gateway {
    identity: Identity,
    authority: PrivateKey,
    agent: PrivateKey,
    now: Timestamp,
}

impl Gateway {
    async fn build() -> Self {
        let (authority, agent) = (key(), key());
        let mut ssh = SshTrust::default();
        ssh.trust(authority.public_key()).unwrap();
        ssh.register(agent.public_key(), "agent-7".into(), groups(&["agents"])).unwrap();
        ssh.groups_of("alice".into(), groups(&["dba"])).unwrap();
        let settings = Settings { ssh, ..Settings::default() };
        let identity = Identity::open(Arc::new(MemoryTable::new()), TokenKey::generate(), settings).await.unwrap();
        Self { identity, authority, agent, now: Timestamp::now() }
    }

    async fn key(&self, key: &PublicKey, claimed: Option<&str>) -> Result<Authenticated, Refused> {
        let proof = Proof::SshKey { key: key.clone(), claimed_user: claimed.map(Into::into) };
        self.identity.authenticate(proof, HERE, self.now).await
    }

    async fn certificate(&self, certificate: Certificate) -> Result<Authenticated, Refused> {
        let proof = Proof::SshCertificate { certificate: Box::new(certificate), claimed_user: None };
        self.identity.authenticate(proof, HERE, self.now).await
    }

    /// A certificate for ten minutes for alice, with these changes.
    fn sign(&self, change: impl FnOnce(&mut Builder)) -> Certificate {
        let now = seconds(self.now);
        self.sign_for((now - 60, now + 600), "alice", change)
    }

    fn sign_for(&self, (from, to): (u64, u64), user: &str, change: impl FnOnce(&mut Builder)) -> Certificate {
        let mut made =
            Builder::new_with_random_nonce(&mut rand::rng(), key().public_key().key_data().clone(), from, to).unwrap();
        made.key_id("alice\n@laptop").unwrap().serial(5).unwrap();
        made.valid_principal(user).unwrap();
        change(&mut made);
        made.sign(&self.authority).unwrap()
    }

    async fn why(&self, certificate: Certificate) -> Why {
        let refused = self.certificate(certificate).await.unwrap_err();
        assert_eq!(refused.to_string(), "the credential was not accepted");
        refused.why()
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_key_is_its_user_with_everything_permitted() {
    let gateway = Gateway::build().await;
    let mut commented = gateway.agent.public_key().clone();
    commented.set_comment("another comment");
    let found = gateway.key(&commented, None).await.unwrap();
    assert_eq!((&*found.principal.issuer, &*found.principal.user), (SSH_KEY_ISSUER, "agent-7"));
    assert_eq!(found.principal.groups, groups(&["agents"]));
    let fingerprint = gateway.agent.fingerprint(HashAlg::Sha256).to_string();
    assert_eq!(found.principal.credential, CredentialKind::SshKey(fingerprint.into()));
    assert_eq!((found.expires, found.extensions), (None, Extensions::all()));
    assert_eq!(gateway.identity.standing(&found, gateway.now), Standing::Good);
    assert!(gateway.key(&commented, Some("agent-7")).await.is_ok());
    for claimed in ["agent-8", "token", ""] {
        assert_eq!(gateway.key(&commented, Some(claimed)).await.unwrap_err().why(), Why::WrongUser, "{claimed:?}");
    }
    assert_eq!(gateway.key(gateway.authority.public_key(), None).await.unwrap_err().why(), Why::UnknownKey);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_its_principal_with_the_configured_groups_until_it_ends() {
    let gateway = Gateway::build().await;
    let found = gateway
        .certificate(gateway.sign(|made| {
            made.extension("permit-pty", "").unwrap();
        }))
        .await
        .unwrap();
    let issuer = format!("ssh-ca:{}", gateway.authority.fingerprint(HashAlg::Sha256));
    assert_eq!((&*found.principal.issuer, &*found.principal.user), (issuer.as_str(), "alice"));
    assert_eq!(found.principal.groups, groups(&["dba"]));
    assert_eq!(found.principal.credential, CredentialKind::SshCertificate("alice?@laptop (serial 5)".into()));
    let ends = Timestamp::from_second(gateway.now.as_second() + 600).unwrap();
    assert_eq!(found.expires, Some(ends));
    assert_eq!(gateway.identity.standing(&found, ends), Standing::Expired);
    let all = Extensions { pty: true, ..NOTHING };
    assert_eq!(found.extensions, all);
    let other = gateway.sign_for((0, seconds(gateway.now) + 9), "bob", |_| ());
    assert!(gateway.certificate(other).await.unwrap().principal.groups.is_empty());
}

const NOTHING: Extensions =
    Extensions { pty: false, port_forwarding: false, agent_forwarding: false, x11_forwarding: false };

#[tokio::test(start_paused = true)]
async fn a_session_of_a_certificate_lasts_a_day_at_most() {
    let gateway = Gateway::build().await;
    for end in [seconds(gateway.now) + 30 * DAY, u64::MAX, u64::MAX - 1, i64::MAX as u64] {
        let found = gateway.certificate(gateway.sign_for((0, end), "alice", |_| ())).await.unwrap();
        assert_eq!(found.expires, Some(gateway.now + LONGEST_SESSION), "{end}");
        assert_eq!(found.extensions, NOTHING);
    }
}

#[tokio::test(start_paused = true)]
async fn every_flaw_of_a_certificate_refuses_it_for_its_own_reason() {
    let gateway = Gateway::build().await;
    let now = seconds(gateway.now);
    let critical = |name: &'static str, value: &'static str| {
        gateway.sign(move |made| {
            made.critical_option(name, value).unwrap();
        })
    };
    let during = |from, to| gateway.sign_for((from, to), "alice", |_| ());
    let named = |user: &str| gateway.sign_for((now - 1, now + 9), user, |_| ());
    let cases = [
        (during(now + 1, now + 9), Why::CertificateNotYetValid),
        (during(now - 9, now), Why::CertificateExpired),
        (
            gateway.sign(|made| {
                made.cert_type(CertType::Host).unwrap();
            }),
            Why::NotAUserCertificate,
        ),
        (
            gateway.sign(|made| {
                made.valid_principal("bob").unwrap();
            }),
            Why::NotOnePrincipal,
        ),
        (
            gateway.sign(|made| {
                made.all_principals_valid().unwrap();
            }),
            Why::NotOnePrincipal,
        ),
        (named("token"), Why::NotOnePrincipal),
        (named(""), Why::NotOnePrincipal),
        (named("a\nb"), Why::NotOnePrincipal),
        (named(" alice"), Why::NotOnePrincipal),
        (critical("force-command", "/bin/true"), Why::ForceCommand),
        (critical("source-address", "198.51.100.0/24"), Why::SourceAddress),
        (critical("source-address", "192.0.2.0/24,*"), Why::CriticalOption),
        (critical("source-address", ""), Why::CriticalOption),
        (critical("verify-required", ""), Why::CriticalOption),
        (critical("anything@example.com", "x"), Why::CriticalOption),
    ];
    for (certificate, expected) in cases {
        assert_eq!(gateway.why(certificate).await, expected);
    }
    assert!(gateway.certificate(critical("source-address", "10.0.0.0/8,192.0.2.0/24")).await.is_ok());
    let stranger = Gateway { authority: key(), ..Gateway::build().await };
    assert_eq!(gateway.why(stranger.sign(|_| ())).await, Why::UnknownAuthority);
    // One that another authority signed, put in the trusted one's name.
    let (mine, foreign) = (gateway.sign(|_| ()), stranger.sign(|_| ()));
    let (old, new) =
        (stranger.authority.public_key().to_bytes().unwrap(), gateway.authority.public_key().to_bytes().unwrap());
    let forged = replaced(&foreign.to_bytes().unwrap(), &old, &new);
    assert_eq!(gateway.why(Certificate::from_bytes(&forged).unwrap()).await, Why::BadCertificate);
    assert!(gateway.certificate(mine).await.is_ok());
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_merely_unknown_lock_nobody_out_and_forged_certificates_do() {
    let gateway = Gateway::build().await;
    for _ in 0..30 {
        let asked = Instant::now();
        assert_eq!(gateway.key(key().public_key(), None).await.unwrap_err().why(), Why::UnknownKey);
        assert!(asked.elapsed() >= REFUSAL_FLOOR);
    }
    assert!(gateway.key(gateway.agent.public_key(), None).await.is_ok());
    let good = gateway.sign(|_| ()).to_bytes().unwrap();
    let forged = replaced(&good, b"alice", b"admin");
    for _ in 0..10 {
        assert_eq!(gateway.why(Certificate::from_bytes(&forged).unwrap()).await, Why::BadCertificate);
    }
    let refused = gateway.key(gateway.agent.public_key(), None).await.unwrap_err();
    assert_eq!(refused.why(), Why::TooManyAttempts);
    assert!(refused.retry_after().is_some());
    assert!(gateway.identity.knows_key(gateway.agent.public_key()), "what is only asked about is not limited");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_worth_a_signature_if_it_is_registered_or_may_come_with_a_certificate() {
    let gateway = Gateway::build().await;
    let rsa = PublicKey::from_openssh(RSA).unwrap();
    assert!(gateway.identity.knows_key(gateway.agent.public_key()));
    assert!(gateway.identity.knows_key(key().public_key()), "its certificate comes later");
    assert!(!gateway.identity.knows_key(&rsa));
    let mut ssh = SshTrust::default();
    ssh.register(gateway.agent.public_key(), "agent-7".into(), groups(&[])).unwrap();
    let settings = Settings { ssh, ..Settings::default() };
    let identity = Identity::open(Arc::new(MemoryTable::new()), TokenKey::generate(), settings).await.unwrap();
    assert!(identity.knows_key(gateway.agent.public_key()));
    assert!(!identity.knows_key(key().public_key()));
}

#[test]
fn what_may_not_be_trusted_is_refused_when_it_is_configured() {
    let (one, two, own) = (key(), key(), key());
    let mut trust = SshTrust::without([own.public_key()]);
    let said = |result: Result<(), IdentityError>| result.unwrap_err().to_string();
    assert!(said(trust.trust(own.public_key())).contains("never for clients"));
    assert!(said(trust.register(own.public_key(), "a".into(), groups(&[]))).contains("never for clients"));
    let rsa = PublicKey::from_openssh(RSA).unwrap();
    assert!(said(trust.trust(&rsa)).contains("only Ed25519 and ECDSA"));
    assert!(said(trust.register(&rsa, "a".into(), groups(&[]))).contains("only Ed25519 and ECDSA"));
    for user in ["token", "", " a", "a\n"] {
        assert!(trust.register(one.public_key(), user.into(), groups(&[])).is_err(), "{user:?}");
        assert!(trust.groups_of(user.into(), groups(&[])).is_err(), "{user:?}");
    }
    trust.register(one.public_key(), "a".into(), groups(&[])).unwrap();
    assert!(said(trust.register(one.public_key(), "b".into(), groups(&[]))).contains("twice"));
    assert!(said(trust.trust(one.public_key())).contains("registered for a user"));
    trust.trust(two.public_key()).unwrap();
    assert!(said(trust.trust(two.public_key())).contains("twice"));
    assert!(said(trust.register(two.public_key(), "b".into(), groups(&[]))).contains("nobody's own"));
    trust.groups_of("a".into(), groups(&["x"])).unwrap();
    assert!(said(trust.groups_of("a".into(), groups(&[]))).contains("twice"));
    for curve in [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521] {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ecdsa { curve }).unwrap();
        trust.register(key.public_key(), "c".into(), groups(&[])).unwrap();
        assert!(trust.judge_key(key.public_key(), None).is_ok());
    }
}

/// What OpenSSH's own tool signs, options and all.
#[tokio::test(start_paused = true)]
async fn a_certificate_made_by_ssh_keygen_is_read_as_it_was_meant() {
    let gateway = Gateway::build().await;
    let dir = tempfile::tempdir().unwrap();
    let (authority, public) = (dir.path().join("ca"), dir.path().join("user.pub"));
    gateway.authority.write_openssh_file(&authority, LineEnding::LF).unwrap();
    std::fs::write(&public, key().public_key().to_openssh().unwrap()).unwrap();
    let sign = |options: &[&str]| {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-I", "id", "-n", "alice", "-V", "-5m:+1h", "-s"])
            .arg(&authority)
            .args(options)
            .arg(&public);
        let Ok(output) = command.output() else {
            println!("skipped: ssh-keygen does not run here");
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(dir.path().join("user-cert.pub")).unwrap();
        Some(Certificate::from_openssh(&text).unwrap())
    };
    let Some(usual) = sign(&[]) else { return };
    assert_eq!(gateway.certificate(usual).await.unwrap().extensions, Extensions::all());
    let bare = sign(&["-O", "clear", "-O", "source-address=192.0.2.0/25"]).unwrap();
    assert_eq!(gateway.certificate(bare).await.unwrap().extensions, NOTHING);
    assert_eq!(gateway.why(sign(&["-O", "source-address=192.0.2.2"]).unwrap()).await, Why::SourceAddress);
    assert_eq!(gateway.why(sign(&["-O", "force-command=ls"]).unwrap()).await, Why::ForceCommand);
    assert_eq!(gateway.why(sign(&["-O", "verify-required"]).unwrap()).await, Why::CriticalOption);
    assert_eq!(gateway.why(sign(&["-h"]).unwrap()).await, Why::NotAUserCertificate);
}

proptest! {
    #[test]
    fn any_bytes_at_any_place_make_no_certificate(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        fuzz_certificate(&bytes);
    }

    /// The lengths and places that keep most of a certificate as it is.
    #[test]
    fn a_slightly_changed_certificate_is_not_accepted(at: u8, length in 0_u8..3, put in prop::collection::vec(any::<u8>(), 0..3)) {
        fuzz_certificate(&[&[at, length][..], &put].concat());
    }
}
