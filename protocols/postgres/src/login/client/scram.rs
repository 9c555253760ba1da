//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS towards a client (RFC 5802, RFC 7677, RFC 5929): its messages, and nothing of
//! its token.
//!
//! Promises: both messages are read whole, attributes in their order, at most [`LONGEST`] bytes; what is malformed is
//! refused in one way, an extension that must be understood (`m=`) and an identity to act as among it. Where the
//! connection can be bound to the gateway's certificate, that is offered, checked against the certificate of this very
//! connection, and a client that says it could bind and was not offered it (`y`) is refused: somebody in between took
//! the offer away. The name in the exchange counts for nothing, as in PostgreSQL, whose clients leave it empty.
//!
//! Does not promise: that the proof is right; `identity` judges that.
//! Held by: `tests.rs` beside this file, `tests/it/scram.rs` of the binary with real clients, and the fuzz target
//! `postgres_sasl`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_gate::ScramChallenge;

pub(super) const PLAIN: &str = "SCRAM-SHA-256";
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The longest message of a client, in bytes (PostgreSQL's `PG_MAX_SASL_MESSAGE_LENGTH`).
pub(super) const LONGEST: usize = 1024;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is no message of this exchange.
    Malformed,
    /// The client would have bound the exchange, and did not see the offer.
    Stripped,
    /// It is bound to another connection.
    Bound,
}

/// An exchange after the client's first message.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The client's first message without its header.
    bare: String,
    /// What the client must send back for header and binding, in base64.
    binding: String,
    /// The client's nonce and ours.
    nonce: String,
    /// Our first message, once it was made.
    challenge: String,
}

/// What a client proved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proven {
    /// `AuthMessage`.
    pub(super) transcript: String,
    /// `ClientProof`.
    pub(super) proof: [u8; 32],
}

/// The mechanisms to offer, those to be preferred first.
pub(super) fn offered(end_point: Option<&[u8]>) -> &'static [&'static str] {
    if end_point.is_some() { &[PLUS, PLAIN] } else { &[PLAIN] }
}

impl Exchange {
    /// Reads a client's first message and answers it; `nonce` must be fresh, printable and without a comma.
    pub(super) fn begin(
        mechanism: &str,
        message: &[u8],
        end_point: Option<&[u8]>,
        nonce: &str,
        challenge: ScramChallenge,
    ) -> Result<Self, Flaw> {
        let (flag, rest) = text(message)?.split_once(',').ok_or(Flaw::Malformed)?;
        let (authorize, bare) = rest.split_once(',').ok_or(Flaw::Malformed)?;
        let header = format!("{flag},{authorize},");
        let bound = match (mechanism, flag, end_point) {
            (PLAIN, "n", _) | (PLAIN, "y", None) => header.into_bytes(),
            (PLAIN, "y", Some(_)) => return Err(Flaw::Stripped),
            (PLUS, "p=tls-server-end-point", Some(hash)) => [header.as_bytes(), hash].concat(),
            (_, _, _) => return Err(Flaw::Malformed),
        };
        let mut attributes = bare.split(',');
        let name = attributes.next().and_then(|name| name.strip_prefix("n="));
        let theirs = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let (Some(name), Some(theirs), "") = (name, theirs, authorize) else { return Err(Flaw::Malformed) };
        if !is_name(name) || !is_nonce(theirs) || !attributes.all(is_extension) {
            return Err(Flaw::Malformed);
        }
        let nonce = format!("{theirs}{nonce}");
        let challenge = format!("r={nonce},s={},i={}", STANDARD.encode(challenge.salt), challenge.iterations);
        Ok(Self { bare: bare.to_owned(), binding: STANDARD.encode(bound), nonce, challenge })
    }

    /// The answer to the client's first message.
    pub(super) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Reads its final message.
    pub(super) fn finish(self, message: &[u8]) -> Result<Proven, Flaw> {
        let message = text(message)?;
        let (signed, proof) = message.rsplit_once(",p=").ok_or(Flaw::Malformed)?;
        let mut attributes = signed.split(',');
        let binding = attributes.next().and_then(|binding| binding.strip_prefix("c=")).ok_or(Flaw::Malformed)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(Flaw::Malformed)?;
        let proof = STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok());
        let (Some(proof), true) = (proof, attributes.all(is_extension)) else { return Err(Flaw::Malformed) };
        if nonce != self.nonce || STANDARD.decode(binding).is_err() {
            return Err(Flaw::Malformed);
        }
        if binding != self.binding {
            return Err(Flaw::Bound);
        }
        Ok(Proven { transcript: format!("{},{},{signed}", self.bare, self.challenge), proof })
    }
}

/// The server's final message.
pub(super) fn signed(signature: [u8; 32]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

fn text(message: &[u8]) -> Result<&str, Flaw> {
    let short = message.len() <= LONGEST && !message.contains(&0);
    std::str::from_utf8(message).ok().filter(|_| short).ok_or(Flaw::Malformed)
}

/// `saslname`, or nothing: the comma and the equals sign are written as codes.
pub(super) fn is_name(name: &str) -> bool {
    name.split('=').skip(1).all(|after| after.starts_with("2C") || after.starts_with("3D"))
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An attribute that may be left unread: not `m`, which must be understood, nor one that has its place elsewhere.
fn is_extension(attribute: &str) -> bool {
    let mut characters = attribute.chars();
    let letter = characters.next().is_some_and(|c| c.is_ascii_alphabetic() && !"acimnprsv".contains(c));
    letter && characters.next() == Some('=') && characters.next().is_some()
}
