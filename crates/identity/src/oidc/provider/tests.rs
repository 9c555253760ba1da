//! Providers that rotate, go away, lie and are slow, on a paused clock.

use super::super::fuzz::{Forge, ISSUER};
use super::*;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const KEYS: &str = "https://idp.example/keys";

/// A provider that says what a test tells it, and counts how often it is asked for its keys.
#[derive(Default)]
struct Script {
    answers: ArcSwap<HashMap<String, Result<Bytes, FetchError>>>,
    takes: ArcSwap<Duration>,
    asked: AtomicUsize,
}

impl Script {
    fn says(&self, url: &str, answer: Result<&str, FetchError>) {
        let answer = answer.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        self.answers.rcu(|old| {
            let mut answers = HashMap::clone(old);
            answers.insert(url.to_owned(), answer.clone());
            answers
        });
    }

    fn keys_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Fetch for Script {
    fn get<'a>(&'a self, url: &'a str, _: usize) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async move {
            if url == KEYS {
                self.asked.fetch_add(1, Ordering::SeqCst);
            }
            tokio::time::sleep(**self.takes.load()).await;
            self.answers.load().get(url).cloned().unwrap_or(Err(FetchError::Status(404)))
        })
    }
}

fn document(issuer: &str, jwks_uri: &str) -> String {
    serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri, "token_endpoint": "https://idp.example/token"})
        .to_string()
}

fn script(forge: &Forge) -> Arc<Script> {
    let script = Arc::new(Script::default());
    script.says("https://idp.example/.well-known/openid-configuration", Ok(&document(ISSUER, KEYS)));
    script.says(KEYS, Ok(&forge.set()));
    script
}

fn start(script: &Arc<Script>) -> Provider {
    Provider::start(ISSUER.into(), Arc::clone(script) as Arc<dyn Fetch>)
}

/// What comes of a token that this forge signed.
async fn judge(provider: &Provider, forge: &Forge) -> Result<(), Why> {
    let text = forge.sign(b"{}");
    let token = Token::read(&text).unwrap();
    provider.key(&token).await?.verify(&token).map_err(Why::Oidc)
}

const UNKNOWN: Result<(), Why> = Err(Why::Oidc(Flaw::UnknownKey));

#[tokio::test(start_paused = true)]
async fn the_first_token_waits_for_the_first_fetch_and_later_ones_for_none() {
    let forge = Forge::new("a");
    let script = script(&forge);
    script.takes.store(Arc::new(Duration::from_secs(2)));
    let provider = start(&script);
    assert_eq!(judge(&provider, &forge).await, Ok(()));
    let before = Instant::now();
    for _ in 0..100 {
        assert_eq!(judge(&provider, &forge).await, Ok(()));
    }
    assert_eq!((script.keys_asked(), before.elapsed()), (1, Duration::ZERO));
    // Another's key of the same name is not it.
    assert_eq!(judge(&provider, &Forge::new("a")).await, Err(Why::Oidc(Flaw::Signature)));
    tokio::time::sleep(REFRESH + Duration::from_secs(5)).await;
    assert_eq!(script.keys_asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_tokens_of_an_unknown_key_are_one_fetch_and_then_none_for_a_while() {
    let (old, new) = (Forge::new("old"), Forge::new("new"));
    let script = script(&old);
    let provider = start(&script);
    assert_eq!(judge(&provider, &old).await, Ok(()));
    tokio::time::sleep(SPACING).await;
    script.says(KEYS, Ok(&new.set()));
    script.takes.store(Arc::new(Duration::from_secs(1)));
    let all = futures_util::future::join_all((0..WAITING).map(|_| judge(&provider, &new))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(script.keys_asked(), 2);
    // What was taken back is gone, and asking for it costs nobody anything for a while.
    for _ in 0..100 {
        assert_eq!(judge(&provider, &old).await, UNKNOWN);
    }
    assert_eq!(script.keys_asked(), 2);
    tokio::time::sleep(SPACING).await;
    assert_eq!(judge(&provider, &old).await, UNKNOWN);
    assert_eq!(script.keys_asked(), 3);
    let all = futures_util::future::join_all((0..2 * WAITING).map(|_| judge(&provider, &old))).await;
    let turned_away = all.iter().filter(|found| **found == Err(Why::Unavailable)).count();
    assert_eq!(turned_away, WAITING);
}

#[tokio::test(start_paused = true)]
async fn while_the_provider_is_away_old_keys_are_good_for_a_day_and_then_none_is() {
    let forge = Forge::new("a");
    let script = script(&forge);
    let provider = start(&script);
    assert_eq!(judge(&provider, &forge).await, Ok(()));
    for away in [FetchError::Status(503), FetchError::Failed("no route".to_owned())] {
        script.says(KEYS, Err(away));
        tokio::time::sleep(LONGEST_KEPT / 2 - Duration::from_secs(5)).await;
        assert_eq!(judge(&provider, &forge).await, Ok(()));
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(judge(&provider, &forge).await, Err(Why::Unavailable));
    script.says(KEYS, Ok(&forge.set()));
    tokio::time::sleep(SPACING).await;
    assert_eq!(judge(&provider, &forge).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_taken_back_is_gone_also_where_only_the_keys_can_be_had() {
    let (old, new) = (Forge::new("a"), Forge::new("b"));
    let script = script(&old);
    let provider = start(&script);
    assert_eq!(judge(&provider, &old).await, Ok(()));
    script.says("https://idp.example/.well-known/openid-configuration", Err(FetchError::Status(404)));
    script.says(KEYS, Ok(&new.set()));
    tokio::time::sleep(REFRESH + Duration::from_secs(1)).await;
    assert_eq!((judge(&provider, &old).await, judge(&provider, &new).await), (UNKNOWN, Ok(())));
    // One that says it is somebody else is asked for nothing more.
    script.says("https://idp.example/.well-known/openid-configuration", Ok(&document("https://other.example", KEYS)));
    tokio::time::sleep(REFRESH).await;
    let asked = script.keys_asked();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((judge(&provider, &old).await, judge(&provider, &new).await), (UNKNOWN, Ok(())));
    assert_eq!(script.keys_asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_at_the_start_refuses_and_is_asked_again() {
    let forge = Forge::new("a");
    let script = script(&forge);
    script.says("https://idp.example/.well-known/openid-configuration", Err(FetchError::Status(502)));
    let provider = start(&script);
    assert_eq!(judge(&provider, &forge).await, Err(Why::Unavailable));
    script.says("https://idp.example/.well-known/openid-configuration", Ok(&document(ISSUER, KEYS)));
    tokio::time::sleep(SPACING).await;
    assert_eq!(judge(&provider, &forge).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_holds_nobody_for_long() {
    let forge = Forge::new("a");
    let script = script(&forge);
    script.takes.store(Arc::new(Duration::from_secs(3600)));
    let provider = start(&script);
    let before = Instant::now();
    assert_eq!(judge(&provider, &forge).await, Err(Why::Unavailable));
    assert!(before.elapsed() <= 2 * PATIENCE, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn documents_that_lie_are_not_taken() {
    let forge = Forge::new("a");
    let long = format!("{{\"keys\":[],\"a\":\"{}\"}}", "x".repeat(LONGEST));
    let good = document(ISSUER, KEYS);
    for (discovery, keys) in [
        (document("https://idp.example/", KEYS), forge.set()),
        (document("https://other.example", KEYS), forge.set()),
        (document(ISSUER, "http://idp.example/keys"), forge.set()),
        (document(ISSUER, "http://127.0.0.1/keys"), forge.set()),
        (document(ISSUER, "file:///keys"), forge.set()),
        (document(ISSUER, "https://u:p@idp.example/keys"), forge.set()),
        (document(ISSUER, "/keys"), forge.set()),
        (format!("{{\"issuer\":\"{ISSUER}\",{}", &good[1..]), forge.set()),
        ("{}".to_owned(), forge.set()),
        (String::new(), forge.set()),
        (good.clone(), "[]".to_owned()),
        (good.clone(), long),
    ] {
        let script = Arc::new(Script::default());
        script.says("https://idp.example/.well-known/openid-configuration", Ok(&discovery));
        for url in [KEYS, "http://idp.example/keys", "http://127.0.0.1/keys", "file:///keys"] {
            script.says(url, Ok(&keys));
        }
        assert_eq!(judge(&start(&script), &forge).await, Err(Why::Unavailable), "{discovery}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_it_ends_its_task() {
    let forge = Forge::new("a");
    let script = script(&forge);
    let provider = start(&script);
    assert_eq!(judge(&provider, &forge).await, Ok(()));
    drop(provider);
    tokio::time::sleep(2 * REFRESH).await;
    assert_eq!((script.keys_asked(), Arc::strong_count(&script)), (1, 1));
}
