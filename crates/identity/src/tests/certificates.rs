//! The table of bad certificates: each is refused with the one answer that every client gets, and with a word of its own
//! in the record. Certificates are written here byte by byte, since no library would write most of them.

use super::logins::{Gateway, key};
use super::*;
use ed25519_dalek::{Signer as _, SigningKey};
use ssh_key::{Certificate, PrivateKey, PublicKey};

const PLAIN: &str = "ssh-ed25519-cert-v01@openssh.com";
const USER: u32 = 1;

/// What the library refuses to read, so that no record can say whose it would be.
const UNREADABLE: &str = "unreadable";
const ACCEPTED: &str = "accepted";

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    into.extend_from_slice(bytes);
}

fn blob(key: &PrivateKey) -> Vec<u8> {
    key.public_key().to_bytes().unwrap()
}

/// The key alone, without the name of its kind.
fn bare(key: &PrivateKey) -> Vec<u8> {
    let whole = blob(key);
    whole[4 + "ssh-ed25519".len()..].to_vec()
}

/// Names and values one behind the other, in this order; a value is in a string of its own where there is one.
fn options(listed: &[(&str, &str)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, value) in listed {
        put(&mut all, name.as_bytes());
        let mut inner = Vec::new();
        if !value.is_empty() {
            put(&mut inner, value.as_bytes());
        }
        put(&mut all, &inner);
    }
    all
}

/// The fields of a certificate, as they are written.
#[derive(Clone)]
struct Raw {
    kind: &'static str,
    nonce: Vec<u8>,
    key: Vec<u8>,
    serial: u64,
    of: u32,
    id: String,
    principals: Vec<String>,
    after: u64,
    before: u64,
    critical: Vec<u8>,
    extensions: Vec<u8>,
    reserved: Vec<u8>,
    authority: Vec<u8>,
}

impl Raw {
    fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.kind.as_bytes());
        put(&mut out, &self.nonce);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.serial.to_be_bytes());
        out.extend_from_slice(&self.of.to_be_bytes());
        put(&mut out, self.id.as_bytes());
        let mut principals = Vec::new();
        self.principals.iter().for_each(|one| put(&mut principals, one.as_bytes()));
        put(&mut out, &principals);
        out.extend_from_slice(&self.after.to_be_bytes());
        out.extend_from_slice(&self.before.to_be_bytes());
        for field in [&self.critical, &self.extensions, &self.reserved, &self.authority] {
            put(&mut out, field);
        }
        out
    }

    fn with_signature(&self, kind: &str, signature: &[u8]) -> Vec<u8> {
        let (mut out, mut signed) = (self.text(), Vec::new());
        put(&mut signed, kind.as_bytes());
        put(&mut signed, signature);
        put(&mut out, &signed);
        out
    }

    fn signed(&self, by: &PrivateKey) -> Vec<u8> {
        let seed = by.key_data().ed25519().unwrap().private.to_bytes();
        let signature = SigningKey::from_bytes(&seed).sign(&self.text());
        self.with_signature("ssh-ed25519", &signature.to_bytes())
    }
}

/// Who signs, and for whom.
struct World {
    gateway: Gateway,
    /// One that the configuration names.
    authority: PrivateKey,
    /// The gateway's own, for targets.
    own: PrivateKey,
    user: PrivateKey,
    /// One that a list of revoked keys names.
    stolen: PrivateKey,
    /// Another that the configuration names, and that list as well.
    fallen: PrivateKey,
    _lists: tempfile::TempDir,
}

type Change = fn(&mut Raw, &World);

/// Each is signed by the authority after the change.
const SIGNED: &[(&str, &str, Change)] = &[
    ("as it should be", ACCEPTED, |_, _| ()),
    ("an extension that nobody knows", ACCEPTED, |raw, _| raw.extensions = options(&[("later@example.com", "x")])),
    ("something in the reserved field", ACCEPTED, |raw, _| raw.reserved = b"later".to_vec()),
    ("no end: its session has one", ACCEPTED, |raw, _| (raw.after, raw.before) = (0, u64::MAX)),
    ("an end that no clock shows: its session has one", ACCEPTED, |raw, _| raw.before = u64::MAX - 1),
    ("a key id of four kilobytes: the record cuts it", ACCEPTED, |raw, _| raw.id = "x".repeat(4096)),
    ("a key id of a megabyte", UNREADABLE, |raw, _| raw.id = "x".repeat(1 << 20)),
    ("for a host", "SSH certificate that is not for users", |raw, _| raw.of = 2),
    ("for nothing known", UNREADABLE, |raw, _| raw.of = 3),
    ("for everybody", "SSH certificate without exactly one user", |raw, _| raw.principals.clear()),
    ("for two", "SSH certificate without exactly one user", |raw, _| raw.principals.push("bob".into())),
    ("for one twice", "SSH certificate without exactly one user", |raw, _| raw.principals.push("alice".into())),
    ("for ten thousand", "SSH certificate without exactly one user", |raw, _| {
        raw.principals = (0..10_000).map(|n| n.to_string()).collect();
    }),
    ("for an empty name", "SSH certificate without exactly one user", |raw, _| raw.principals = vec![String::new()]),
    ("for the reserved name", "SSH certificate without exactly one user", |raw, _| {
        raw.principals = vec!["token".into()]
    }),
    ("for a name of two lines", "SSH certificate without exactly one user", |raw, _| {
        raw.principals = vec!["alice\nroot".into()];
    }),
    ("for somebody else", "credential of another user", |raw, _| raw.principals = vec!["bob".into()]),
    ("from tomorrow", "SSH certificate not yet valid", |raw, _| {
        (raw.after, raw.before) = (raw.before, raw.before + 60)
    }),
    ("until a minute ago", "SSH certificate expired", |raw, _| raw.before = raw.after + 1),
    ("until 1970", "SSH certificate expired", |raw, _| (raw.after, raw.before) = (0, 0)),
    ("over before it began", "SSH certificate expired", |raw, _| raw.before = raw.after - 1),
    ("an option that nobody knows", "SSH certificate with an unknown critical option", |raw, _| {
        raw.critical = options(&[("anything@example.com", "x")]);
    }),
    ("a touch that nobody saw", "SSH certificate with an unknown critical option", |raw, _| {
        raw.critical = options(&[("verify-required", "")]);
    }),
    ("one command only", "SSH certificate with a forced command, which is not carried out here", |raw, _| {
        raw.critical = options(&[("force-command", "/bin/true"), ("source-address", "0.0.0.0/0")]);
    }),
    ("another address", "SSH certificate used from an address it is not good for", |raw, _| {
        raw.critical = options(&[("source-address", "198.51.100.0/24")]);
    }),
    ("an address that is none", "SSH certificate with an unknown critical option", |raw, _| {
        raw.critical = options(&[("source-address", "192.0.2.0/24,everywhere")]);
    }),
    ("options out of order", UNREADABLE, |raw, _| {
        raw.critical = options(&[("source-address", "192.0.2.0/24"), ("force-command", "ls")]);
    }),
    ("the same option twice", UNREADABLE, |raw, _| {
        raw.critical = options(&[("source-address", "198.51.100.1"), ("source-address", "192.0.2.1")]);
    }),
    ("the same extension twice", UNREADABLE, |raw, _| {
        raw.extensions = options(&[("permit-pty", ""), ("permit-pty", "")])
    }),
    ("half an option", UNREADABLE, |raw, _| raw.critical.extend_from_slice(&[0, 0, 0, 9, b'x'])),
    ("a name that is no text", UNREADABLE, |raw, _| raw.critical = [&[0, 0, 0, 1, 0xff][..], &[0; 4]].concat()),
    ("the name of another kind of key", UNREADABLE, |raw, _| raw.kind = "ecdsa-sha2-nistp256-cert-v01@openssh.com"),
    ("the name of no certificate", UNREADABLE, |raw, _| raw.kind = "ssh-ed25519"),
    ("over an RSA key", "SSH certificate with a kind of key that is not accepted", |raw, _| {
        let rsa = PublicKey::from_openssh(super::ssh::RSA).unwrap().to_bytes().unwrap();
        (raw.kind, raw.key) = ("ssh-rsa-cert-v01@openssh.com", rsa[4 + "ssh-rsa".len()..].to_vec());
    }),
    ("in the name of an RSA key", "SSH certificate with a kind of key that is not accepted", |raw, _| {
        raw.authority = PublicKey::from_openssh(super::ssh::RSA).unwrap().to_bytes().unwrap();
    }),
    ("with a serial number that is revoked", "SSH certificate revoked", |raw, _| raw.serial = 4711),
    ("with one beside those that are revoked", ACCEPTED, |raw, _| raw.serial = 4700),
    ("with a key id that is revoked", "SSH certificate revoked", |raw, _| raw.id = "alice@stolen".into()),
    ("with more behind a key id that is revoked", ACCEPTED, |raw, _| raw.id = "alice@stolen-not".into()),
    ("over a key that is revoked", "SSH key revoked", |raw, world| raw.key = bare(&world.stolen)),
    ("for somebody else, and revoked", "credential of another user", |raw, world| {
        (raw.principals, raw.key) = (vec!["bob".into()], bare(&world.stolen));
    }),
    ("in the name of a stranger", "SSH certificate of an unknown authority", |raw, _| raw.authority = blob(&key())),
    ("in the name of its own key", "SSH certificate of an unknown authority", |raw, world| {
        raw.authority = blob(&world.user)
    }),
    ("in the name of the authority for targets", "SSH certificate of an unknown authority", |raw, world| {
        raw.authority = blob(&world.own);
    }),
    ("in the name of the authority of logins", "SSH certificate with a wrong signature", |raw, world| {
        raw.authority = blob(&world.gateway.logins);
    }),
];

/// Each is changed behind its signature.
const ALTERED: &[(&str, &str, Change)] = &[
    ("the nonce", "SSH certificate with a wrong signature", |raw, _| raw.nonce[0] ^= 1),
    ("the serial number", "SSH certificate with a wrong signature", |raw, _| raw.serial += 1),
    ("the key", "SSH certificate with a wrong signature", |raw, _| raw.key = bare(&key())),
    ("the key id", "SSH certificate with a wrong signature", |raw, _| raw.id.push('x')),
    ("the user", "SSH certificate with a wrong signature", |raw, _| raw.principals = vec!["admin".into()]),
    ("one user more", "SSH certificate with a wrong signature", |raw, _| raw.principals.push("admin".into())),
    ("the beginning", "SSH certificate with a wrong signature", |raw, _| raw.after -= 1),
    ("the end", "SSH certificate with a wrong signature", |raw, _| raw.before += 1),
    ("its being for users", "SSH certificate with a wrong signature", |raw, _| raw.of = 2),
    ("an option less", "SSH certificate with a wrong signature", |raw, _| raw.critical.clear()),
    ("an extension more", "SSH certificate with a wrong signature", |raw, _| {
        raw.extensions = options(&[("permit-port-forwarding", ""), ("permit-pty", "")]);
    }),
    ("the reserved field", "SSH certificate with a wrong signature", |raw, _| raw.reserved = vec![0]),
];

impl World {
    async fn build() -> Self {
        let [authority, own, user, stolen, fallen] = std::array::from_fn(|_| key());
        let mut trust = SshTrust::without([own.public_key()]);
        trust.trust(authority.public_key()).unwrap();
        trust.trust(fallen.public_key()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut revoked = RevokedKeys::default();
        let keys = [&stolen, &fallen].map(|key| key.public_key().to_openssh().unwrap());
        let list = super::krl::of_certificates(&authority, 4701..=4799, "alice@stolen");
        for (name, contents) in [
            (
                "keys",
                keys.join(
                    "
",
                )
                .into_bytes(),
            ),
            ("krl", list),
        ] {
            std::fs::write(dir.path().join(name), contents).unwrap();
            revoked.read(dir.path().join(name)).unwrap();
        }
        let gateway = Gateway::revoking(trust, revoked).await;
        Self { gateway, authority, own, user, stolen, fallen, _lists: dir }
    }

    /// Good for ten minutes, for alice, from here.
    fn raw(&self) -> Raw {
        let now = u64::try_from(self.gateway.now.as_second()).unwrap();
        Raw {
            kind: PLAIN,
            nonce: vec![7; 32],
            key: bare(&self.user),
            serial: 5,
            of: USER,
            id: "alice@laptop".into(),
            principals: vec!["alice".into()],
            after: now - 60,
            before: now + 600,
            critical: options(&[("source-address", "192.0.2.0/24")]),
            extensions: options(&[("permit-pty", "")]),
            reserved: Vec::new(),
            authority: blob(&self.authority),
        }
    }

    /// What becomes of it: the record's word for it.
    async fn verdict(&self, bytes: &[u8]) -> &'static str {
        let Ok(certificate) = Certificate::from_bytes(bytes) else { return UNREADABLE };
        // Each from an address of its own, so that the limit stays out of it.
        let from = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, rand::random()));
        let proof = Proof::SshCertificate { certificate: Box::new(certificate), claimed_user: Some("alice".into()) };
        match self.gateway.identity.authenticate(proof, from, self.gateway.now).await {
            Ok(_) => ACCEPTED,
            Err(refused) if refused.why() == Why::TooManyAttempts => panic!("the limit came first"),
            Err(refused) => {
                assert_eq!(refused.to_string(), "the credential was not accepted");
                refused.why().words()
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_bad_certificate_is_refused_for_its_own_reason() {
    let world = World::build().await;
    let mut wrong = Vec::new();
    for (name, expected, change) in SIGNED {
        let mut raw = world.raw();
        change(&mut raw, &world);
        let found = world.verdict(&raw.signed(&world.authority)).await;
        if found != *expected {
            wrong.push(format!("{name}: {found}"));
        }
    }
    for (name, expected, change) in ALTERED {
        let world = World::build().await;
        let good = world.raw().signed(&world.authority);
        let (text, mut raw) = (world.raw().text(), world.raw());
        change(&mut raw, &world);
        let altered = [&raw.text(), &good[text.len()..]].concat();
        let found = (world.verdict(&altered).await, world.verdict(&good).await);
        if found != (*expected, ACCEPTED) {
            wrong.push(format!("{name} altered: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(SIGNED.len() + ALTERED.len() >= 50);
}

#[tokio::test(start_paused = true)]
async fn signatures_that_are_none_are_refused() {
    let world = World::build().await;
    let (raw, good) = (world.raw(), world.raw().signed(&world.authority));
    let wrong = "SSH certificate with a wrong signature";
    let last = good.len() - 1;
    let bent = [&good[..last], &[good[last] ^ 1]].concat();
    for (name, bytes, expected) in [
        ("one bit", bent, wrong),
        ("another's", raw.signed(&world.user), wrong),
        ("nothing", raw.with_signature("ssh-ed25519", b""), UNREADABLE),
        ("zeroes", raw.with_signature("ssh-ed25519", &[0; 64]), wrong),
        ("too short", raw.with_signature("ssh-ed25519", &good[good.len() - 63..]), UNREADABLE),
        ("RSA with SHA-1", raw.with_signature("ssh-rsa", &[1; 256]), wrong),
        ("RSA with SHA-2", raw.with_signature("rsa-sha2-512", &[1; 256]), wrong),
        ("of no known kind", raw.with_signature("x", &[1; 64]), UNREADABLE),
        ("more behind it", [&good[..], b"x"].concat(), UNREADABLE),
        ("itself behind it", good.repeat(2), UNREADABLE),
    ] {
        assert_eq!(world.verdict(&bytes).await, expected, "{name}");
    }
    // Cut short anywhere.
    for length in 0..good.len() {
        assert_eq!(world.verdict(&good[..length]).await, UNREADABLE, "{length}");
    }
    // A certificate in the place of an authority, and of an authority that is one.
    let mut nested = world.raw();
    nested.authority.clone_from(&good);
    for by in [&world.authority, &world.user] {
        let found = world.verdict(&nested.signed(by)).await;
        assert!([UNREADABLE, "SSH certificate with a kind of key that is not accepted"].contains(&found), "{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_revoked_authority_signed_is_refused_whatever_it_says() {
    let world = World::build().await;
    let mut raw = Raw { authority: blob(&world.fallen), ..world.raw() };
    assert_eq!(world.verdict(&raw.signed(&world.fallen)).await, "SSH certificate of a revoked authority");
    assert_eq!(world.verdict(&raw.signed(&world.authority)).await, "SSH certificate with a wrong signature");
    // What a list says of one authority is about that one; its key id and serial number are another's here.
    (raw.serial, raw.id) = (4711, "alice@stolen".into());
    assert_eq!(world.verdict(&raw.signed(&world.fallen)).await, "SSH certificate of a revoked authority");
    raw.key = bare(&world.stolen);
    assert_eq!(world.verdict(&raw.signed(&world.fallen)).await, "SSH key revoked");
}

#[tokio::test(start_paused = true)]
async fn an_authoritys_own_key_is_nobodys() {
    let world = World::build().await;
    for key in [&world.authority, &world.own, &world.gateway.logins] {
        let proof = Proof::SshKey { key: key.public_key().clone(), claimed_user: None };
        let refused = world.gateway.identity.authenticate(proof, HERE, world.gateway.now).await.unwrap_err();
        assert_eq!((refused.why(), refused.to_string().as_str()), (Why::UnknownKey, "the credential was not accepted"));
    }
}

/// In the name of the authority of logins, which has a record for each: whatever else it might have signed is nothing.
#[tokio::test(start_paused = true)]
async fn of_a_logins_certificate_only_the_very_one_counts() {
    let world = World::build().await;
    let (gateway, authority) = (&world.gateway, &world.gateway.logins);
    let made = gateway.certify(&gateway.login("alice", 10)).await.unwrap();
    let good = made.certificate.parse::<Certificate>().unwrap().to_bytes().unwrap();
    assert_eq!(world.verdict(&good).await, ACCEPTED);
    let of_record = |id: &str, change: fn(&mut Raw)| {
        let mut raw = Raw { id: id.to_owned(), authority: blob(authority), ..world.raw() };
        change(&mut raw);
        raw.signed(authority)
    };
    let (record, unknown) = (format!("portcullis-login {}", made.id), "SSH certificate of a login that is not kept");
    let request = NewToken::for_user("alice");
    let token = gateway.identity.create_token(request, &Authenticated::local_admin(None), gateway.now).await.unwrap();
    let of_token = format!("portcullis-login {}", token.id);
    for (name, bytes, expected) in [
        ("another of the same record", of_record(&record, |_| ()), unknown),
        (
            "for another user",
            of_record(&record, |raw| raw.principals = vec!["bob".into()]),
            "credential of another user",
        ),
        ("of a token's record", of_record(&of_token, |_| ()), unknown),
        ("of no record", of_record(&format!("portcullis-login {}", TokenId::new()), |_| ()), unknown),
        ("with a key id of its own", of_record("alice@laptop", |_| ()), unknown),
        ("with the bare identifier", of_record(&made.id.to_string(), |_| ()), unknown),
        ("for a host", of_record(&record, |raw| raw.of = 2), "SSH certificate that is not for users"),
        ("without an end", of_record(&record, |raw| raw.before = u64::MAX), unknown),
    ] {
        assert_eq!(world.verdict(&bytes).await, expected, "{name}");
    }
    gateway.identity.revoke_token(made.id, &Authenticated::local_admin(None), gateway.now).await.unwrap();
    assert_eq!(world.verdict(&good).await, "SSH certificate of a login, revoked");
}
