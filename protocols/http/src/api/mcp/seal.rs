//! The ids of sessions and of events that clients see.
//!
//! Promises: what a client is given is the server's id, encrypted and bound to whoever it was given to and to what it is an
//! id of, so that any replica with the same key can serve it and nobody else can use it, read it or make one. The same id
//! for the same holder is sealed the same way each time: the nonce is made of what it seals, by a key of its own. Ids of
//! events are sealed because servers replay what follows one to whoever names it, whoever it was said to.
//! Does not promise that the session or the event is still there: the server says so.
//! Held by: the tests below.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_model::Digest;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretBox};
use std::fmt;

/// Bytes of a server's id.
const LONGEST: usize = 1024;

/// What an id is of. One of the one kind never opens as one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// A session.
    Session,
    /// An event of a stream.
    Event,
}

impl Of {
    /// What stands behind the holder in what is bound. No id has a byte like these, so none is taken for a part of it; a
    /// session's has none, as those have that clients hold.
    const fn mark(self) -> &'static [u8] {
        match self {
            Self::Session => b"",
            Self::Event => b"\0event\0",
        }
    }
}

/// Seals and opens ids.
pub struct Seal {
    nonces: hmac::Key,
    key: LessSafeKey,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// By this key; `None` where the library does not take it.
    #[must_use]
    pub fn new(secret: &SecretBox<[u8; 32]>) -> Option<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret());
        let derive = |purpose: &str| hmac::sign(&root, purpose.as_bytes());
        let key = UnboundKey::new(&CHACHA20_POLY1305, derive("portcullis mcp session key").as_ref()).ok()?;
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, derive("portcullis mcp session nonce").as_ref());
        Some(Self { nonces, key: LessSafeKey::new(key) })
    }

    /// The server's id, for this holder; `None` where it is no id.
    pub(crate) fn seal(&self, holder: &Digest, of: Of, id: &str) -> Option<String> {
        if !is_id(id) {
            return None;
        }
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(holder.as_bytes());
        context.update(of.mark());
        context.update(id.as_bytes());
        let tag = context.sign();
        let nonce: [u8; NONCE_LEN] = tag.as_ref().get(..NONCE_LEN)?.try_into().ok()?;
        let mut sealed = id.as_bytes().to_vec();
        let aad = Aad::from(bound(holder, of));
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// The server's id in what this holder was given; `None` where it was not given to it.
    pub(crate) fn open(&self, holder: &Digest, of: Of, sealed: &str) -> Option<String> {
        if sealed.len() > 2 * LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let id = self.key.open_in_place(nonce, Aad::from(bound(holder, of)), &mut sealed).ok()?;
        let id = std::str::from_utf8(id).ok()?;
        is_id(id).then(|| id.to_owned())
    }
}

/// What a sealed id is bound to.
fn bound(holder: &Digest, of: Of) -> Vec<u8> {
    [holder.as_bytes().as_slice(), of.mark()].concat()
}

/// Visible ASCII, as the protocol wants it (2025-11-25, Session Management).
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::new(&SecretBox::new(Box::new([byte; 32]))).unwrap()
    }

    #[test]
    fn an_id_is_its_holders_and_nobody_elses() {
        let (mine, theirs) = (Digest::of(b"me"), Digest::of(b"them"));
        for of in [Of::Session, Of::Event] {
            let sealed = seal(1).seal(&mine, of, "abc-SECRET").unwrap();
            // Another replica with the same key serves it, and seals it alike.
            assert_eq!(seal(1).open(&mine, of, &sealed).as_deref(), Some("abc-SECRET"));
            assert_eq!(seal(1).seal(&mine, of, "abc-SECRET"), Some(sealed.clone()));
            assert_eq!(seal(1).open(&theirs, of, &sealed), None);
            assert_eq!(seal(2).open(&mine, of, &sealed), None);
            assert_ne!(seal(1).seal(&theirs, of, "abc-SECRET"), Some(sealed.clone()));
            for at in 0..sealed.len() {
                let mut other = sealed.clone().into_bytes();
                other[at] = if other[at] == b'A' { b'B' } else { b'A' };
                assert_eq!(seal(1).open(&mine, of, std::str::from_utf8(&other).unwrap()), None, "{at}");
            }
            for foreign in ["", "abc-SECRET", "A", "=", &"A".repeat(5000), &sealed[..20]] {
                assert_eq!(seal(1).open(&mine, of, foreign), None);
            }
        }
    }

    #[test]
    fn a_session_is_no_event_and_an_event_no_session() {
        let mine = Digest::of(b"me");
        for id in ["3", "event", "event:3"] {
            let (session, event) = (seal(1).seal(&mine, Of::Session, id), seal(1).seal(&mine, Of::Event, id));
            assert_ne!(session, event);
            assert_eq!(seal(1).open(&mine, Of::Event, &session.unwrap()), None, "{id}");
            assert_eq!(seal(1).open(&mine, Of::Session, &event.unwrap()), None, "{id}");
        }
        // Nor by a holder that is written like another with the mark of events: a digest is as long as any.
        assert_ne!(bound(&mine, Of::Session).len(), bound(&mine, Of::Event).len());
    }

    #[test]
    fn what_is_no_id_is_not_sealed() {
        for id in ["", "a b", "a\n", "é", &"a".repeat(LONGEST + 1)] {
            assert_eq!(seal(1).seal(&Digest::of(b"me"), Of::Session, id), None);
        }
        assert!(seal(1).seal(&Digest::of(b"me"), Of::Session, &"a".repeat(LONGEST)).is_some());
        assert_eq!(format!("{:?}", seal(7)), "Seal(..)");
    }
}
