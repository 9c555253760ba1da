//! SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding, for a fake server and a raw client.
//!
//! Promises: a true exchange, so that a gateway which insists on SCRAM can be tested against a fake. Does not promise
//! hardening: nonces come from the system, but nothing here is compared in constant time.
//! Held by: the round trip below, and the raw client's login at a real server in `tests/it/wire.rs`.

use crate::error::TestkitError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

const ITERATIONS: u32 = 4096;

fn keyed(key: &[u8], message: &[u8]) -> Result<Hash, TestkitError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|e| TestkitError::Protocol(e.to_string()))?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

fn salted(password: &str, salt: &[u8], iterations: u32) -> Result<Hash, TestkitError> {
    let mut step = keyed(password.as_bytes(), &[salt, &1_u32.to_be_bytes()].concat())?;
    let mut sum = step;
    for _round in 1..iterations {
        step = keyed(password.as_bytes(), &step)?;
        sum = xor(sum, step);
    }
    Ok(sum)
}

fn xor(mut left: Hash, right: Hash) -> Hash {
    left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    left
}

fn attribute<'a>(message: &'a str, name: &str) -> Result<&'a str, TestkitError> {
    let mut found = message.split(',').filter_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.next().ok_or_else(|| TestkitError::Protocol(format!("SCRAM message without {name}=")))
}

/// What both sides must agree on at the end.
struct Keys {
    client: Hash,
    stored: Hash,
    server: Hash,
}

impl Keys {
    fn new(password: &str, salt: &[u8], iterations: u32) -> Result<Self, TestkitError> {
        let salted = salted(password, salt, iterations)?;
        let client = keyed(&salted, b"Client Key")?;
        Ok(Self { client, stored: Sha256::digest(client).into(), server: keyed(&salted, b"Server Key")? })
    }
}

/// What opens a server as well as a password does: what the password becomes under the salt and rounds of the verifier that
/// the server keeps (`SCRAM-SHA-256$ROUNDS:SALT$…`), and the client's key made of it.
///
/// # Errors
/// [`TestkitError::Protocol`] where it is no such verifier.
pub fn equivalents(password: &str, verifier: &str) -> Result<[Vec<u8>; 2], TestkitError> {
    let bad = || TestkitError::Protocol("no SCRAM verifier".to_owned());
    let (rounds, salt) = verifier.split('$').nth(1).and_then(|part| part.split_once(':')).ok_or_else(bad)?;
    let salt = STANDARD.decode(salt).map_err(|_| bad())?;
    let rounds = rounds.parse().map_err(|_| bad())?;
    let keys = Keys::new(password, &salt, rounds)?;
    Ok([salted(password, &salt, rounds)?.to_vec(), keys.client.to_vec()])
}

/// The client's side.
pub(crate) struct ClientExchange {
    first_bare: String,
    server_signature: String,
}

impl ClientExchange {
    /// Starts; the second part is the client-first-message.
    pub(crate) fn start() -> Result<(Self, String), TestkitError> {
        let first_bare = format!("n=,r={}", crate::random_hex()?);
        let first = format!("n,,{first_bare}");
        Ok((Self { first_bare, server_signature: String::new() }, first))
    }

    /// The client-final-message for the server-first-message.
    pub(crate) fn answer(&mut self, password: &str, server_first: &str) -> Result<String, TestkitError> {
        let bad = |what: &str| TestkitError::Protocol(format!("SCRAM: {what}"));
        let salt = STANDARD.decode(attribute(server_first, "s")?).map_err(|_error| bad("salt"))?;
        let iterations = attribute(server_first, "i")?.parse().map_err(|_error| bad("iterations"))?;
        let keys = Keys::new(password, &salt, iterations)?;
        let without_proof = format!("c=biws,r={}", attribute(server_first, "r")?);
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        self.server_signature = STANDARD.encode(keyed(&keys.server, signed.as_bytes())?);
        let proof = xor(keys.client, keyed(&keys.stored, signed.as_bytes())?);
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Checks the server-final-message.
    pub(crate) fn finish(&self, server_final: &str) -> Result<(), TestkitError> {
        if attribute(server_final, "v")? == self.server_signature {
            return Ok(());
        }
        Err(TestkitError::Protocol("SCRAM: the server does not know the password".to_owned()))
    }
}

/// The server's side.
pub(crate) struct ServerExchange {
    keys: Keys,
    conversation: String,
    server_first: String,
}

impl ServerExchange {
    /// Takes the client-first-message; [`ServerExchange::first`] answers it.
    pub(crate) fn start(password: &str, client_first: &str) -> Result<Self, TestkitError> {
        let bare = client_first.splitn(3, ',').nth(2).unwrap_or_default();
        let salt = crate::random_hex()?;
        let keys = Keys::new(password, salt.as_bytes(), ITERATIONS)?;
        let nonce = format!("{}{}", attribute(bare, "r")?, crate::random_hex()?);
        let server_first = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(salt));
        Ok(Self { keys, conversation: format!("{bare},{server_first}"), server_first })
    }

    /// The server-first-message.
    pub(crate) fn first(&self) -> &str {
        &self.server_first
    }

    /// The server-final-message, if the proof is right.
    pub(crate) fn finish(&self, client_final: &str) -> Result<String, TestkitError> {
        let without_proof = client_final.rsplit_once(",p=").map(|(before, _)| before).unwrap_or_default();
        let signed = format!("{},{without_proof}", self.conversation);
        let proof = xor(self.keys.client, keyed(&self.keys.stored, signed.as_bytes())?);
        if attribute(client_final, "p")? != STANDARD.encode(proof) {
            return Err(TestkitError::Protocol("SCRAM: wrong password".to_owned()));
        }
        Ok(format!("v={}", STANDARD.encode(keyed(&self.keys.server, signed.as_bytes())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientExchange, ServerExchange};

    fn exchange(client: &str, server: &str) -> bool {
        let (mut ours, first) = ClientExchange::start().unwrap();
        let theirs = ServerExchange::start(server, &first).unwrap();
        let last = ours.answer(client, theirs.first()).unwrap();
        theirs.finish(&last).is_ok_and(|last| ours.finish(&last).is_ok())
    }

    #[test]
    fn agrees_only_on_the_same_password() {
        assert!(exchange("pencil", "pencil"));
        assert!(!exchange("pencil", "Pencil"));
    }
}
