//! SCRAM-SHA-256 towards a server (RFC 5802, RFC 7677), bound to TLS where the server offers it (`-PLUS`).
//!
//! Promises: the server's nonce continues ours, its iterations are at most [`MOST_ITERATIONS`], and it must prove that
//! it knows the password before the login counts; the key is derived off the async workers. If the server does not
//! offer binding although we could, it is told that we noticed (`y`), so a stripped offer fails.
//! Does not promise: a floor on iterations; that is the server's configuration.
//! Held by: the vectors of RFC 7677 and the hostile servers in `login/tests.rs`.

use crate::error::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use secrecy::{ExposeSecret, SecretString};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// The most rounds of key derivation a server may ask for: 25 times PostgreSQL's default, a fraction of a second.
pub(super) const MOST_ITERATIONS: u32 = 100_000;

/// The rounds of what is made here: PostgreSQL's default.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// How the login is tied to the TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// There is no TLS, or nothing to bind to.
    Impossible,
    /// The server did not offer it.
    NotOffered,
    /// To this hash of the server's certificate.
    ServerEndPoint(Vec<u8>),
}

impl Binding {
    fn header(&self) -> &'static str {
        match self {
            Self::Impossible => "n,,",
            Self::NotOffered => "y,,",
            Self::ServerEndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    pub(super) fn mechanism(&self) -> &'static str {
        match self {
            Self::Impossible | Self::NotOffered => "SCRAM-SHA-256",
            Self::ServerEndPoint(_) => "SCRAM-SHA-256-PLUS",
        }
    }
}

/// An exchange after its first message.
pub(super) struct Scram {
    binding: Binding,
    /// `n=,r=` and our nonce. The name is empty: the server takes it from the startup message.
    bare: String,
    nonce: String,
}

/// An exchange after its last message: what the server must show.
pub(super) struct Expectation {
    server_key: Zeroizing<Vec<u8>>,
    transcript: String,
}

impl Scram {
    /// Begins with this nonce, which must be fresh, printable and without a comma.
    pub(super) fn new(binding: Binding, nonce: String) -> Self {
        Self { binding, bare: format!("n=,r={nonce}"), nonce }
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare)
    }

    /// The client's final message, and what the server must answer.
    pub(super) async fn finish(self, server_first: &[u8], password: &SecretString) -> Result<(String, Expectation)> {
        let server_first = std::str::from_utf8(server_first).map_err(|_| Error::Scram("its message is not text"))?;
        let Challenge { nonce, salt, iterations } = Challenge::read(server_first, &self.nonce)?;
        let salted = salted(password, salt, iterations).await?;
        let mut bound = self.binding.header().as_bytes().to_vec();
        if let Binding::ServerEndPoint(hash) = &self.binding {
            bound.extend_from_slice(hash);
        }
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(bound));
        let transcript = format!("{},{server_first},{without_proof}", self.bare);
        let client_key = Zeroizing::new(sign(&salted, b"Client Key"));
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = sign(stored_key.as_ref(), transcript.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let message = format!("{without_proof},p={}", STANDARD.encode(proof));
        let server_key = Zeroizing::new(sign(&salted, b"Server Key"));
        Ok((message, Expectation { server_key, transcript }))
    }
}

/// What a server keeps of a password (`SCRAM-SHA-256$…`): it can be checked against, and shows nobody the password.
pub(crate) async fn verifier(password: &SecretString) -> Result<String> {
    let mut salt = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut salt)
        .map_err(|_| Error::Scram("no random numbers"))?;
    let salted = salted(password, salt.to_vec(), ITERATIONS).await?;
    Ok(verifier_of(&salted, &salt, ITERATIONS))
}

fn verifier_of(salted: &[u8], salt: &[u8], iterations: NonZeroU32) -> String {
    let client_key = Zeroizing::new(sign(salted, b"Client Key"));
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let server_key = Zeroizing::new(sign(salted, b"Server Key"));
    let [salt, stored_key, server_key] = [salt, stored_key.as_ref(), &server_key].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${iterations}:{salt}${stored_key}:{server_key}")
}

/// The key that everything else is made of, derived off the async workers.
async fn salted(password: &SecretString, salt: Vec<u8>, iterations: NonZeroU32) -> Result<Zeroizing<Vec<u8>>> {
    let password = prepared(password.expose_secret());
    tokio::task::spawn_blocking(move || {
        // Not an array: moved to another thread, it would leave itself behind.
        let mut salted = Zeroizing::new(vec![0; digest::SHA256_OUTPUT_LEN]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
        salted
    })
    .await
    .map_err(|_| Error::Scram("the key could not be derived"))
}

impl Expectation {
    /// Whether the server's final message proves that it knows the password.
    pub(super) fn verify(&self, server_final: &[u8]) -> Result<()> {
        let shown = server_final
            .strip_prefix(b"v=")
            .and_then(|shown| shown.split(|byte| *byte == b',').next())
            .and_then(|shown| STANDARD.decode(shown).ok())
            .ok_or(Error::Scram("it ended the exchange without proof"))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.server_key);
        // Compared in constant time.
        hmac::verify(&key, self.transcript.as_bytes(), &shown)
            .map_err(|_| Error::Scram("it does not know the password it asks for"))
    }
}

/// The server's first message.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl<'a> Challenge<'a> {
    fn read(message: &'a str, ours: &str) -> Result<Self> {
        let mut fields = message.split(',');
        let mut field = |prefix: &str| {
            fields.next().and_then(|field| field.strip_prefix(prefix)).ok_or(Error::Scram("its challenge is malformed"))
        };
        let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
        if nonce.strip_prefix(ours).is_none_or(str::is_empty) {
            return Err(Error::Scram("its nonce does not continue ours"));
        }
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty());
        let iterations = iterations.parse().ok().filter(|rounds: &NonZeroU32| rounds.get() <= MOST_ITERATIONS);
        Ok(Self {
            nonce,
            salt: salt.ok_or(Error::Scram("its salt is malformed"))?,
            iterations: iterations.ok_or(Error::Scram("it asks for too many rounds or none"))?,
        })
    }
}

/// SASLprep; a password it does not apply to is used as it is, as PostgreSQL does.
fn prepared(password: &str) -> Zeroizing<String> {
    Zeroizing::new(stringprep::saslprep(password).map_or_else(|_| password.to_owned(), std::borrow::Cow::into_owned))
}

fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// Reads arbitrary bytes as a server's side of the exchange, and as a password.
pub fn fuzz_login(data: &[u8]) {
    const OURS: &str = "abc";
    let expectation = Expectation { server_key: Zeroizing::new(vec![7; 32]), transcript: "n=,r=abc".to_owned() };
    assert!(expectation.verify(data).is_err(), "an arbitrary proof was believed");
    let Ok(text) = std::str::from_utf8(data) else { return };
    prepared(text);
    let challenge = format!("r={OURS}{text}");
    for message in [text, &challenge] {
        if let Ok(Challenge { nonce, salt, iterations }) = Challenge::read(message, OURS) {
            assert!(nonce.len() > OURS.len() && nonce.starts_with(OURS), "a nonce that is not ours was taken");
            assert!(!nonce.contains(','), "a nonce with a comma was taken");
            assert!(iterations.get() <= MOST_ITERATIONS && !salt.is_empty(), "a challenge beyond its bounds was taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn exchange() -> Scram {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        Scram { binding: Binding::Impossible, bare: format!("n=user,r={nonce}"), nonce }
    }

    #[tokio::test]
    async fn the_exchange_of_the_rfc() {
        let scram = exchange();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (answer, expectation) = scram.finish(SERVER_FIRST.as_bytes(), &"pencil".into()).await.unwrap();
        assert_eq!(
            answer,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        expectation.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        for wrong in [
            &b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="[..],
            b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
            b"v=",
            b"e=invalid-proof",
            b"",
        ] {
            assert!(expectation.verify(wrong).is_err());
        }
    }

    #[tokio::test]
    async fn a_verifier_is_what_the_server_of_the_rfc_keeps() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted(&"pencil".into(), salt.clone(), ITERATIONS).await.unwrap();
        // As the documentation of PostgreSQL (`pg_authid`) writes it, with the keys of the exchange above.
        let made = verifier_of(&salted, &salt, ITERATIONS);
        let server_key = STANDARD.encode(sign(&salted, b"Server Key"));
        assert!(made.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"), "{made}");
        assert!(made.ends_with(&format!(":{server_key}")), "{made}");
        assert_ne!(verifier(&"pencil".into()).await.unwrap(), verifier(&"pencil".into()).await.unwrap(), "a salt each");
    }

    #[tokio::test]
    async fn challenges_are_checked() {
        for wrong in [
            "",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
            "r=other,s=W22Z,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=100001",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=-1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z",
            "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1",
            "s=W22Z,r=rOprNGfwEbeRWgbNEkqOx,i=1",
        ] {
            assert!(exchange().finish(wrong.as_bytes(), &"pencil".into()).await.is_err(), "{wrong}");
        }
        assert!(exchange().finish(b"r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=100000", &"p".into()).await.is_ok());
        assert!(exchange().finish(b"\xff", &"p".into()).await.is_err());
    }

    #[tokio::test]
    async fn binding_is_part_of_what_is_signed() {
        let answer = |binding: Binding| async {
            let first = Scram::new(binding.clone(), "abc".into()).first();
            let scram = Scram::new(binding, "abc".into());
            (first, scram.finish(b"r=abcd,s=W22Z,i=1", &"p".into()).await.unwrap().0)
        };
        let (first, answer_bound) = answer(Binding::ServerEndPoint(vec![1, 2, 3])).await;
        assert_eq!(first, "p=tls-server-end-point,,n=,r=abc");
        let bound = STANDARD.encode(b"p=tls-server-end-point,,\x01\x02\x03");
        assert!(answer_bound.starts_with(&format!("c={bound},r=abcd,p=")));
        let (first, answer_noticed) = answer(Binding::NotOffered).await;
        assert_eq!(first, "y,,n=,r=abc");
        assert!(answer_noticed.starts_with("c=eSws,r=abcd,p="));
    }
}
