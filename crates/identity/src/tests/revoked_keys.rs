//! Revoked SSH keys and certificates at the door and in sessions that are there: files that change, break and come back.

use super::logins::{Gateway, key};
use super::*;
use crate::revoked_keys::RESTLESS;
use ssh_key::certificate::{Builder, Certificate};
use ssh_key::{HashAlg, PrivateKey, PublicKey};
use std::fs;
use std::path::PathBuf;

fn line(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

/// A gateway that trusts an authority and knows a key, with a file of what is revoked.
struct Door {
    gateway: Gateway,
    dir: tempfile::TempDir,
    authority: PrivateKey,
    agent: PrivateKey,
}

impl Door {
    async fn build() -> Self {
        let (authority, agent) = (key(), key());
        let mut trust = SshTrust::default();
        trust.trust(authority.public_key()).unwrap();
        trust.register(agent.public_key(), "agent-7".into(), BTreeSet::new()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut revoked = RevokedKeys::default();
        for name in ["revoked", "more"] {
            fs::write(dir.path().join(name), "").unwrap();
            revoked.read(dir.path().join(name)).unwrap();
        }
        Self { gateway: Gateway::revoking(trust, revoked).await, dir, authority, agent }
    }

    /// Puts a file in the place of the one that is there, at once.
    fn put(&self, name: &str, contents: impl AsRef<[u8]>) {
        let beside = self.dir.path().join("new");
        fs::write(&beside, contents).unwrap();
        fs::rename(beside, self.dir.path().join(name)).unwrap();
    }

    fn certificate(&self, key: &PrivateKey) -> Certificate {
        let now = u64::try_from(self.gateway.now.as_second()).unwrap();
        let key = key.public_key().key_data().clone();
        let mut made = Builder::new_with_random_nonce(&mut rand::rng(), key, now - 60, now + 600).unwrap();
        made.key_id("alice").unwrap().serial(5).unwrap().valid_principal("alice").unwrap();
        made.sign(&self.authority).unwrap()
    }

    async fn ask(&self, proof: Proof) -> Result<Authenticated, Why> {
        let judged = self.gateway.identity.authenticate(proof, HERE, self.gateway.now).await;
        judged.map_err(|refused| {
            assert_eq!(refused.to_string(), "the credential was not accepted");
            refused.why()
        })
    }

    async fn agent(&self) -> Result<Authenticated, Why> {
        self.ask(Proof::SshKey { key: self.agent.public_key().clone(), claimed_user: None }).await
    }

    async fn certified(&self, certificate: &Certificate) -> Result<Authenticated, Why> {
        self.ask(Proof::SshCertificate { certificate: Box::new(certificate.clone()), claimed_user: None }).await
    }

    /// Waits for the standing of somebody who is there.
    async fn until(&self, session: &Authenticated, expected: Standing) {
        until(&self.gateway.identity, session, self.gateway.now, expected).await;
    }

    fn stands(&self, session: &Authenticated) -> bool {
        self.gateway.identity.standing(session, self.gateway.now) == Standing::Good
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_listed_ends_its_sessions_and_opens_none_until_it_is_listed_no_more() {
    let door = Door::build().await;
    let (session, other) = (door.agent().await.unwrap(), door.certified(&door.certificate(&key())).await.unwrap());
    door.put("revoked", format!("# stolen\n\n{} laptop\n", line(&door.agent)));
    door.until(&session, Standing::Revoked).await;
    assert_eq!(door.agent().await, Err(Why::KeyRevoked));
    assert!(door.stands(&other));
    // Another file takes nothing of it back.
    door.put("more", line(&key()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(door.agent().await, Err(Why::KeyRevoked));
    door.put("revoked", "");
    door.until(&session, Standing::Good).await;
    assert!(door.agent().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_falls_with_its_key_and_with_its_authoritys() {
    let door = Door::build().await;
    let holder = key();
    let (one, another) = (door.certificate(&holder), door.certificate(&key()));
    let (first, second) = (door.certified(&one).await.unwrap(), door.certified(&another).await.unwrap());
    // Listed inside another certificate, too.
    for listed in [line(&holder), one.to_openssh().unwrap()] {
        door.put("revoked", listed);
        door.until(&first, Standing::Revoked).await;
        assert_eq!(door.certified(&one).await, Err(Why::KeyRevoked));
        assert!(door.stands(&second) && door.certified(&another).await.is_ok());
        door.put("revoked", "");
        door.until(&first, Standing::Good).await;
    }
    door.put("revoked", line(&door.authority));
    door.until(&second, Standing::Revoked).await;
    assert!(!door.stands(&first));
    assert_eq!(door.certified(&another).await, Err(Why::AuthorityRevoked));
    assert!(door.agent().await.is_ok(), "nobody signed a registered key");
}

#[tokio::test(start_paused = true)]
async fn certificates_of_logins_fall_with_their_keys_too() {
    let door = Door::build().await;
    let made = door.gateway.certify(&door.gateway.login("alice", 10)).await.unwrap();
    let certificate: Certificate = made.certificate.parse().unwrap();
    let session = door.certified(&certificate).await.unwrap();
    let listed = PublicKey::from(certificate.public_key().clone());
    assert_eq!(made.key.as_ref(), listed.fingerprint(HashAlg::Sha256).to_string());
    door.put("revoked", listed.to_openssh().unwrap());
    door.until(&session, Standing::Revoked).await;
    assert_eq!(door.certified(&certificate).await, Err(Why::KeyRevoked));
}

#[tokio::test(start_paused = true)]
async fn while_a_file_cannot_be_read_no_ssh_key_stands_and_tokens_do() {
    let door = Door::build().await;
    let (session, certificate) = (door.agent().await.unwrap(), door.certificate(&key()));
    let admin = Authenticated::local_admin(None);
    let made = door.gateway.identity.create_token(NewToken::for_user("bob"), &admin, door.gateway.now).await.unwrap();
    let token = || present(&door.gateway.identity, text(&made), None, HERE, door.gateway.now);
    let by_token = token().await.unwrap();
    type Break = fn(&Door);
    let break_it: [(&str, Break); 6] = [
        // Whoever opens it waits for somebody who writes to it.
        ("a pipe", |door| {
            fs::remove_file(door.dir.path().join("more")).unwrap();
            let made = std::process::Command::new("mkfifo").arg(door.dir.path().join("more")).status();
            assert!(made.unwrap().success());
        }),
        ("no key", |door| door.put("more", "hello\n")),
        ("no whole KRL", |door| door.put("more", b"SSHKRL\n\0\0\0\0\x01")),
        ("gone", |door| fs::remove_file(door.dir.path().join("more")).unwrap()),
        ("too large", |door| door.put("more", vec![b'\n'; 16 * 1024 * 1024 + 1])),
        ("a directory", |door| {
            let _old = fs::remove_file(door.dir.path().join("more"));
            fs::create_dir(door.dir.path().join("more")).unwrap();
        }),
    ];
    for (name, break_it) in break_it {
        break_it(&door);
        door.until(&session, Standing::Revoked).await;
        assert_eq!(door.agent().await, Err(Why::RevokedKeysUnread), "{name}");
        assert_eq!(door.certified(&certificate).await, Err(Why::RevokedKeysUnread), "{name}");
        assert!(door.stands(&by_token) && token().await.is_ok(), "{name}");
        let _directory = fs::remove_dir(door.dir.path().join("more"));
        door.put("more", "");
        door.until(&session, Standing::Good).await;
        assert!(door.agent().await.is_ok(), "{name}");
    }
    // What the other file lists is still known.
    door.put("revoked", line(&door.agent));
    door.put("more", "hello\n");
    door.until(&session, Standing::Revoked).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(door.agent().await, Err(Why::KeyRevoked));
}

/// A file of its own, looked at by hand.
struct Looked {
    file: PathBuf,
    revoked: RevokedKeys,
    shown: SshProof,
    _dir: tempfile::TempDir,
}

impl Looked {
    fn with(contents: &str, listed: &PrivateKey) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut revoked) = (dir.path().join("revoked"), RevokedKeys::default());
        fs::write(&file, contents).unwrap();
        revoked.read(file.clone()).unwrap();
        Self { file, revoked, shown: SshProof::of_key(listed.public_key().key_data()).unwrap(), _dir: dir }
    }

    /// What a look finds in these contents, and whether it says that a standing may have changed.
    fn look(&mut self, contents: &str) -> (Result<(), Why>, bool) {
        fs::write(&self.file, contents).unwrap();
        let told = self.revoked.look();
        (self.revoked.snapshot().judge(&self.shown), told)
    }
}

#[test]
fn a_file_that_is_being_written_in_place_gives_nobody_back_meanwhile() {
    let stolen = key();
    let (old, new) = (line(&stolen), format!("{}\n{}\n", line(&key()), line(&stolen)));
    let mut looked = Looked::with(&old, &stolen);
    let revoked = Err(Why::KeyRevoked);
    assert_eq!(looked.look(&old), (revoked, false));
    // Emptied, then cut within a line, then another beginning, then whole.
    for part in ["", &new[..20], &new[..new.find('\n').unwrap()], "# all\n", &new] {
        assert_eq!(looked.look(part).0, revoked, "{part:?}");
    }
    assert_eq!(looked.look(&new), (revoked, true));
    assert_eq!(looked.look(&new), (revoked, false));
    // What is listed no more counts until it is seen twice.
    assert_eq!(looked.look(""), (revoked, true));
    assert_eq!(looked.look(""), (Ok(()), true));
    assert_eq!(looked.look(""), (Ok(()), false));
    // What is listed counts at once.
    assert_eq!(looked.look(&old), (revoked, true));
}

#[test]
fn what_only_one_look_found_counts_until_two_find_the_same() {
    let stolen = key();
    let (without, with) = (line(&key()), line(&stolen));
    let mut looked = Looked::with(&without, &stolen);
    let revoked = Err(Why::KeyRevoked);
    assert_eq!(looked.look(&with), (revoked, true));
    // Emptied to be written anew, and then as it was before.
    for part in ["", &without, "", &without] {
        assert_eq!(looked.look(part), (revoked, true), "{part:?}");
    }
    assert_eq!(looked.look(&without), (Ok(()), true));
    assert_eq!(looked.look(&without), (Ok(()), false));
}

#[test]
fn a_file_that_is_another_at_every_look_is_none_until_it_rests() {
    let (stolen, lists) = (key(), [line(&key()), line(&key())]);
    let mut looked = Looked::with(&lists[1], &stolen);
    for look in 0..RESTLESS {
        assert_eq!(looked.look(&lists[look % 2]), (Ok(()), true));
    }
    let unread = Err(Why::RevokedKeysUnread);
    assert_eq!(looked.look(&lists[0]), (unread, true));
    assert_eq!(looked.look(&lists[1]), (unread, false));
    assert_eq!(looked.look(&line(&stolen)), (Err(Why::KeyRevoked), false));
    assert_eq!(looked.look(&lists[0]), (unread, false));
    assert_eq!(looked.look(&lists[0]), (Ok(()), true));
    assert_eq!(looked.look(&line(&stolen)), (Err(Why::KeyRevoked), true));
}

#[test]
fn a_file_is_bad_when_two_looks_say_so_and_good_again_at_once() {
    let (stolen, other) = (key(), key());
    let good = line(&stolen);
    let mut looked = Looked::with(&good, &other);
    assert_eq!(looked.look("hello"), (Ok(()), false));
    assert_eq!(looked.look(&good), (Ok(()), false));
    assert_eq!(looked.look("hello"), (Ok(()), false));
    let unread = Err(Why::RevokedKeysUnread);
    assert_eq!(looked.look("hello again"), (unread, true));
    assert_eq!(looked.look("hello"), (unread, false));
    assert_eq!(looked.look(&good), (Ok(()), true));
    // With another list, too.
    assert_eq!((looked.look("hello"), looked.look("hello")), ((Ok(()), false), (unread, true)));
    assert_eq!(looked.look(&line(&other)), (Err(Why::KeyRevoked), true));
}

#[test]
fn a_file_that_is_bad_at_the_start_is_an_error_that_names_it_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("revoked");
    let refused = |file: &PathBuf| RevokedKeys::default().read(file.clone()).unwrap_err().to_string();
    let missing = refused(&file);
    assert!(missing.contains(file.to_str().unwrap()) && missing.contains("No such file"), "{missing}");
    assert!(refused(&dir.path().to_path_buf()).contains("not a plain file"));
    let good = line(&key());
    let cases = [
        (format!("{good}\nhello\n"), "line 2 is not a public SSH key"),
        (format!("# {good}\n\nfrom=\"10.0.0.0/8\" {good}\n"), "line 3 is not a public SSH key"),
        (good.replace("AAAA", "AAAB"), "line 1 is not a public SSH key"),
        (good[..40].to_owned(), "line 1 is not a public SSH key"),
        (good.replace("ssh-ed25519 ", "ssh-rsa "), "line 1 is not a public SSH key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n".to_owned(), "line 1 belongs to a private key"),
        ("SSHKRL\n\0".to_owned(), "the KRL is cut short"),
    ];
    for (contents, expected) in cases {
        fs::write(&file, contents).unwrap();
        let told = refused(&file);
        assert!(told.contains(expected) && told.contains(file.to_str().unwrap()), "{told}");
        assert!(!told.contains("hunter2") && !told.contains("AAAA"), "{told}");
    }
}

#[test]
fn a_file_of_keys_may_have_comments_blanks_and_any_bytes_behind_a_key() {
    let stolen = key();
    let shown = SshProof::of_key(stolen.public_key().key_data()).unwrap();
    let listed = line(&stolen);
    let spaced = [b" \t", listed.replace(' ', " \t ").as_bytes(), b" J\xf6rg's laptop\r\n"].concat();
    let rsa = [super::ssh::RSA.as_bytes(), b"\n", listed.as_bytes()].concat();
    for contents in [spaced, rsa, [b"# \xff\n\r\n \n", listed.as_bytes()].concat()] {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut revoked) = (dir.path().join("revoked"), RevokedKeys::default());
        fs::write(&file, contents).unwrap();
        revoked.read(file).unwrap();
        assert_eq!(revoked.snapshot().judge(&shown), Err(Why::KeyRevoked));
    }
}
