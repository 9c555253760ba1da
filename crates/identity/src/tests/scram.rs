//! Tokens proven by SCRAM: by a client written from the RFC, which knows nothing of what is kept.

use super::*;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().into()
}

/// What a client with this password answers, and the signature it expects.
fn answer(challenge: ScramChallenge, password: &str, transcript: &[u8]) -> ([u8; 32], [u8; 32]) {
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &challenge.salt, challenge.iterations, &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let mut proof = mac(&Sha256::digest(client_key), transcript);
    proof.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
    (proof, mac(&mac(&salted, b"Server Key"), transcript))
}

impl House {
    /// Logs in as a client that has this password, and checks that it is answered only if it is let in.
    async fn scram(&self, user: &str, password: &str, from: IpAddr) -> Result<Authenticated, Refused> {
        let transcript = format!("n=,r=abc,r=abcdef,s=...,i=4096,c=biws,r=abcdef {user}");
        let (proof, expected) = answer(self.identity.scram_challenge(user), password, transcript.as_bytes());
        let (shown, signature) = ScramProof::new(user.into(), transcript.into_bytes(), proof);
        let judged = self.identity.authenticate(Proof::Scram(shown), from, self.now).await;
        assert_eq!(signature.get(), judged.is_ok().then_some(expected), "the gateway shows that it knows the token");
        judged
    }

    async fn scram_why(&self, user: &str, password: &str) -> Why {
        let from = IpAddr::V4((0x0b00_0000 + self.addresses.fetch_add(1, Ordering::SeqCst)).into());
        self.scram(user, password, from).await.unwrap_err().why()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_proven_without_being_shown() {
    let house = House::build().await;
    let made = [house.make("agent-7").await, house.make("agent-7").await, house.make("agent-7").await];
    let other = house.make("agent-70").await;
    for made in &made {
        let found = house.scram("agent-7", text(made), HERE).await.unwrap();
        assert_eq!(found, house.present(text(made), None, HERE).await.unwrap(), "the same as by the token itself");
    }
    for (user, password) in [
        ("agent-7", text(&other)),
        ("agent-70", text(&made[0])),
        ("agent-7", "nonsense"),
        ("agent-7", ""),
        ("nobody", text(&made[0])),
        ("token", text(&made[0])),
        ("Agent-7", text(&made[0])),
        ("", text(&made[0])),
    ] {
        assert_eq!(house.scram_why(user, password).await, Why::NoScramToken, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_expired_or_gone_is_refused_like_a_wrong_one() {
    let mut house = House::build().await;
    let (live, revoked, gone) = (house.make("a").await, house.make("a").await, house.make("a").await);
    house.identity.revoke_token(revoked.id, &house.admin(), house.now).await.unwrap();
    let _ = portcullis_store::Table::delete(&*house.table, tokens::key_of(gone.id), Expect::Any).await.unwrap();
    let minute = NewToken::for_user("a").lasting(Duration::from_secs(60));
    let short = house.identity.create_token(minute, &house.admin(), house.now).await.unwrap();
    house.now += SignedDuration::from_secs(60);
    for (n, (password, why)) in [
        (text(&revoked), Why::Revoked),
        (text(&gone), Why::Unknown),
        (text(&short), Why::Expired),
        ("nonsense", Why::NoScramToken),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = Instant::now();
        let from = IpAddr::from([10, 1, 0, u8::try_from(n).unwrap()]);
        let refused = house.scram("a", password, from).await.unwrap_err();
        assert_eq!((refused.why(), asked.elapsed()), (why, REFUSAL_FLOOR));
        assert_eq!(refused.to_string(), "the credential was not accepted");
    }
    let held = house.scram("a", text(&live), HERE).await.unwrap();
    house.identity.revoke_token(live.id, &house.admin(), house.now).await.unwrap();
    assert_eq!(house.identity.standing(&held, house.now), Standing::Revoked);
    assert_eq!(house.scram_why("a", text(&live)).await, Why::Revoked);
}

#[tokio::test(start_paused = true)]
async fn guessing_closes_an_address_and_a_store_that_fails_does_not() {
    let house = House::build().await;
    let made = house.make("a").await;
    house.table.probe.outage.begin();
    for _ in 0..50 {
        assert_eq!(house.scram("a", text(&made), HERE).await.unwrap_err().why(), Why::Unavailable);
    }
    house.table.probe.outage.end();
    for _ in 0..10 {
        assert_eq!(house.scram("a", "nonsense", HERE).await.unwrap_err().why(), Why::NoScramToken);
    }
    assert_eq!(house.scram("a", text(&made), HERE).await.unwrap_err().why(), Why::TooManyAttempts);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_good_for_its_own_exchange_only() {
    let house = House::build().await;
    let made = house.make("a").await;
    let (proof, _) = answer(house.identity.scram_challenge("a"), text(&made), b"one exchange");
    let (shown, signature) = ScramProof::new("a".into(), b"another exchange".to_vec(), proof);
    let refused = house.identity.authenticate(Proof::Scram(shown), HERE, house.now).await.unwrap_err();
    assert_eq!((refused.why(), signature.get()), (Why::NoScramToken, None));
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_its_record_or_of_another_opens_nothing() {
    let house = House::build().await;
    let (first, second) = (house.make("a").await, house.make("b").await);
    let entries = portcullis_store::Table::scan(&*house.table, b"scram/").await.unwrap();
    assert_eq!(entries.len(), 2);
    // The keys of one token where the other's should be: whoever can write that still has no other's identity.
    for (at, (key, _)) in entries.iter().enumerate() {
        let value = entries[1 - at].1.value.clone();
        let _ = portcullis_store::Table::put(&*house.table, key.clone(), value, Expect::Any, None).await.unwrap();
    }
    for user in ["a", "b"] {
        for made in [&first, &second] {
            let why = house.scram_why(user, text(made)).await;
            assert!(matches!(why, Why::NoScramToken | Why::WrongSecret), "{why:?}");
        }
    }
    let damaged = Bytes::from_static(b"{}");
    let _ =
        portcullis_store::Table::put(&*house.table, entries[0].0.clone(), damaged, Expect::Any, None).await.unwrap();
    let both = [house.scram_why("a", text(&first)).await, house.scram_why("b", text(&second)).await];
    assert!(both.contains(&Why::Unavailable), "{both:?}");
    // A token from before such entries were kept.
    for (key, _) in &entries {
        let _ = portcullis_store::Table::delete(&*house.table, key.clone(), Expect::Any).await.unwrap();
    }
    assert_eq!(house.scram_why("a", text(&first)).await, Why::NoScramToken);
    assert!(house.present(text(&first), Some("a"), HERE).await.is_ok(), "it is a password still");
}

#[tokio::test(start_paused = true)]
async fn the_newest_of_very_many_tokens_can_be_used_and_all_are_passwords() {
    let house = House::build().await;
    let oldest = house.make("a").await;
    let mut newest = house.make("a").await;
    for _ in 0..crate::scram::MOST {
        newest = house.make("a").await;
    }
    let entries = portcullis_store::Table::scan(&*house.table, b"scram/").await.unwrap();
    assert_eq!(entries.len(), crate::scram::MOST);
    assert!(house.scram("a", text(&newest), HERE).await.is_ok());
    assert_eq!(house.scram_why("a", text(&oldest)).await, Why::NoScramToken);
    assert!(house.present(text(&oldest), Some("a"), HERE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_entry_goes_with_its_token() {
    let house = House::build().await;
    house.make("a").await;
    let entries = portcullis_store::Table::scan(&*house.table, b"scram/").await.unwrap();
    assert_eq!(entries[0].1.expires, Some(house.now + SignedDuration::from_hours(1)));
}
