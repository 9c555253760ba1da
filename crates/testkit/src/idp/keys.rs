//! A provider's keys: one of each kind, made anew at every rotation, and what they sign.
//!
//! Promises: keys are random, so a token of one provider is never one of another, nor one from before a rotation; what is
//! published holds no private part. Everything is signed by `ring`; only RSA keys are made elsewhere, because it makes none.
//! Held by: `tests/it/oidc.rs` of `identity`, whose gateway accepts what is signed here and nothing else.

use crate::error::TestkitError;
use crate::random_hex;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use sha2::Sha256;

/// An algorithm that a provider signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as in a token's header")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::RS256, Self::RS384, Self::RS512, Self::PS256, Self::ES256, Self::ES384, Self::EdDSA];

    /// Its name in a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 => "rsa",
            Self::ES256 => "p256",
            Self::ES384 => "p384",
            Self::EdDSA => "ed25519",
        }
    }
}

/// A key of each kind.
pub(crate) struct Keys {
    /// What the names of these keys end with.
    generation: String,
    rsa: RsaKeyPair,
    rsa_pem: String,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

fn wrong(error: impl std::fmt::Display) -> TestkitError {
    TestkitError::Key(error.to_string())
}

impl Keys {
    pub(crate) fn generate() -> Result<Self, TestkitError> {
        let random = SystemRandom::new();
        let made = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).map_err(wrong)?;
        let rsa_pem = made.to_public_key().to_public_key_pem(LineEnding::LF).map_err(wrong)?;
        let rsa = RsaKeyPair::from_der(made.to_pkcs1_der().map_err(wrong)?.as_bytes()).map_err(wrong)?;
        let ecdsa = |algorithm| {
            let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(wrong)?;
            EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).map_err(wrong)
        };
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).map_err(wrong)?;
        Ok(Self {
            generation: random_hex()?,
            rsa,
            rsa_pem,
            p256: ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?,
            p384: ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)?,
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).map_err(wrong)?,
        })
    }

    /// The name of the key that signs so.
    pub(crate) fn id(&self, algorithm: Algorithm) -> String {
        format!("{}-{}", algorithm.kind(), self.generation)
    }

    /// What is published of them.
    pub(crate) fn public(&self) -> Vec<Value> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let parts = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let curve = |name: &str, pair: &EcdsaKeyPair, algorithm| {
            // A point that is written whole: one byte that says so, and both numbers.
            let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": name, "x": encode(x), "y": encode(y), "use": "sig", "kid": self.id(algorithm)})
        };
        vec![
            json!({"kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e), "use": "sig", "kid": self.id(Algorithm::RS256)}),
            curve("P-256", &self.p256, Algorithm::ES256),
            curve("P-384", &self.p384, Algorithm::ES384),
            json!({"kty": "OKP", "crv": "Ed25519", "x": encode(self.ed25519.public_key().as_ref()), "use": "sig",
                   "kid": self.id(Algorithm::EdDSA)}),
        ]
    }

    /// The public RSA key as a file has it: what a forger takes for the key of an HMAC.
    pub(crate) fn public_pem(&self) -> &str {
        &self.rsa_pem
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, TestkitError> {
        let random = SystemRandom::new();
        let rsa = |padding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, message, &mut signature).map_err(wrong)?;
            Ok(signature)
        };
        let ecdsa = |pair: &EcdsaKeyPair| Ok(pair.sign(&random, message).map_err(wrong)?.as_ref().to_vec());
        match algorithm {
            Algorithm::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::PS256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::ES256 => ecdsa(&self.p256),
            Algorithm::ES384 => ecdsa(&self.p384),
            Algorithm::EdDSA => Ok(self.ed25519.sign(message).as_ref().to_vec()),
        }
    }
}

/// HMAC-SHA-256, as HS256 signs.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Result<Vec<u8>, TestkitError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(wrong)?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}
