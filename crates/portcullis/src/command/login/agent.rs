//! Adding a key with its certificate to an SSH agent: one message of draft-miller-ssh-agent (§3.2).
//!
//! The SSH library's client of agents adds keys without certificates only.
//! Promises: the private key goes to the agent and nowhere else, and what carried it is wiped; the agent is told when to
//! forget it, and, where it knows how (OpenSSH 8.9), to use it towards the gateway's host key only; its answer is bounded
//! in bytes and time. Does not promise that an agent does as it is told.
//! Held by: `tests/it/login_ssh.rs`, with OpenSSH's agent, and the tests below, with one that knows less.

use crate::error::Failure;
use secrecy::zeroize::Zeroizing;
use ssh_key::encoding::Encode as _;
use ssh_key::{Certificate, PrivateKey, PublicKey};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// `SSH_AGENTC_ADD_ID_CONSTRAINED`.
const ADD_CONSTRAINED: u8 = 25;
/// `SSH_AGENT_SUCCESS`.
const SUCCESS: u8 = 6;
/// `SSH_AGENT_CONSTRAIN_LIFETIME`.
const LIFETIME: u8 = 1;
/// `SSH_AGENT_CONSTRAIN_EXTENSION`.
const EXTENSION: u8 = 255;
/// OpenSSH's `PROTOCOL.agent`.
const DESTINATION: &str = "restrict-destination-v00@openssh.com";

/// Room for a message, so that no half of a key is left behind where a growing buffer was.
const ROOM: usize = 16 * 1024;

/// Bytes of an answer at most.
const ANSWER: u32 = 256 * 1024;

/// How long an agent may take: it may ask its owner.
const WITHIN: Duration = Duration::from_secs(60);

/// A connection to an agent.
pub(super) struct Agent {
    stream: UnixStream,
}

/// What is added.
pub(super) struct Entry<'e> {
    pub(super) key: &'e PrivateKey,
    pub(super) certificate: &'e Certificate,
    pub(super) comment: &'e str,
    /// After so many seconds the agent forgets it.
    pub(super) lifetime: u32,
    /// The only host that it is for: its name as it is shown, and its host key.
    pub(super) towards: Option<(&'e str, &'e PublicKey)>,
}

impl Agent {
    /// The agent of this user, by `SSH_AUTH_SOCK`.
    pub(super) async fn of_user() -> Result<Self, Failure> {
        match std::env::var_os("SSH_AUTH_SOCK") {
            Some(socket) if !socket.is_empty() => Self::at(Path::new(&socket)).await,
            Some(_) | None => Err(Failure::Usage(
                "no SSH agent: SSH_AUTH_SOCK is not set; `eval \"$(ssh-agent)\"` starts one".to_owned(),
            )),
        }
    }

    async fn at(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.map_err(|error| Failure::refused("the SSH agent does not answer", error))?;
        Ok(Self { stream })
    }

    /// Adds a key; says whether the agent keeps it to the host that it is for.
    pub(super) async fn add(&mut self, entry: &Entry<'_>) -> Result<bool, Failure> {
        if entry.towards.is_some() && self.ask(entry, entry.towards).await? {
            return Ok(true);
        }
        // It may not know that constraint; what it does not know, it refuses.
        if self.ask(entry, None).await? {
            return Ok(false);
        }
        Err(Failure::Refused("the SSH agent refused the key; it may be locked, or take no certificates".to_owned()))
    }

    async fn ask(&mut self, entry: &Entry<'_>, towards: Option<(&str, &PublicKey)>) -> Result<bool, Failure> {
        let message = message(entry, towards).map_err(|error| Failure::refused("the message to the agent", error))?;
        let length =
            u32::try_from(message.len()).map_err(|error| Failure::refused("the message to the agent", error))?;
        let asked = async {
            self.stream.write_all(&length.to_be_bytes()).await?;
            self.stream.write_all(&message).await?;
            let length = self.stream.read_u32().await?;
            if !(1..=ANSWER).contains(&length) {
                return Err(std::io::Error::other("its answer is none"));
            }
            let kind = self.stream.read_u8().await?;
            let mut rest = (&mut self.stream).take(u64::from(length - 1));
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            Ok(kind == SUCCESS)
        };
        let answered = tokio::time::timeout(WITHIN, asked).await;
        let answered = answered.map_err(|_| Failure::Refused("the SSH agent did not answer".to_owned()))?;
        answered.map_err(|error| Failure::refused("the SSH agent", error))
    }
}

fn message(entry: &Entry<'_>, towards: Option<(&str, &PublicKey)>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut message = Zeroizing::new(Vec::with_capacity(ROOM));
    let written = write(entry, towards, &mut message);
    written.map_err(|error| Failure::refused("the message to the SSH agent", error))?;
    Ok(message)
}

fn write(entry: &Entry<'_>, towards: Option<(&str, &PublicKey)>, into: &mut Vec<u8>) -> Result<(), ssh_key::Error> {
    let pair = entry.key.key_data().ed25519().ok_or(ssh_key::Error::AlgorithmUnknown)?;
    ADD_CONSTRAINED.encode(into)?;
    entry.certificate.algorithm().to_certificate_type().encode(into)?;
    entry.certificate.to_bytes()?.encode(into)?;
    pair.encode(into)?;
    entry.comment.encode(into)?;
    LIFETIME.encode(into)?;
    entry.lifetime.encode(into)?;
    if let Some((host, key)) = towards {
        EXTENSION.encode(into)?;
        DESTINATION.encode(into)?;
        destination(host, key)?.encode(into)?;
    }
    Ok(())
}

/// From here to one host, by its key.
fn destination(host: &str, key: &PublicKey) -> Result<Vec<u8>, ssh_key::Error> {
    let hop = |host: &str, key: Option<&PublicKey>| -> Result<Vec<u8>, ssh_key::Error> {
        let mut hop = Vec::new();
        for field in ["", host, ""] {
            field.encode(&mut hop)?;
        }
        if let Some(key) = key {
            key.to_bytes()?.encode(&mut hop)?;
            // It is the host's own, no authority's.
            0_u8.encode(&mut hop)?;
        }
        Ok(hop)
    };
    let mut constraint = Vec::new();
    hop("", None)?.encode(&mut constraint)?;
    hop(host, Some(key))?.encode(&mut constraint)?;
    "".encode(&mut constraint)?;
    let mut all = Vec::new();
    constraint.encode(&mut all)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_credentials::{CertificateAuthority, PrivateKey as Made};
    use tokio::net::UnixListener;
    use tokio::task::JoinSet;

    /// An agent that gives these answers, one a message, and says how long each message was.
    async fn agent(answers: &'static [&'static [u8]]) -> (Agent, JoinSet<Vec<usize>>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("agent")).unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut lengths = Vec::new();
            for answer in answers {
                let length = stream.read_u32().await.unwrap();
                let mut message = vec![0; usize::try_from(length).unwrap()];
                stream.read_exact(&mut message).await.unwrap();
                assert_eq!(message[0], ADD_CONSTRAINED);
                lengths.push(message.len());
                stream.write_all(answer).await.unwrap();
            }
            lengths
        });
        (Agent::at(&dir.path().join("agent")).await.unwrap(), serving, dir)
    }

    async fn added(answers: &'static [&'static [u8]]) -> (Result<bool, String>, Vec<usize>) {
        let (mut agent, mut serving, dir) = agent(answers).await;
        let (key, host) = (Made::generate().unwrap(), Made::generate().unwrap());
        let authority = CertificateAuthority::load_or_create(&dir.path().join("ca")).unwrap();
        let hour = Duration::from_secs(3600);
        let certificate = authority.sign_user(key.public(), "dana", hour, jiff::Timestamp::now()).unwrap();
        let entry = Entry {
            key: key.key(),
            certificate: &certificate,
            comment: "c",
            lifetime: 9,
            towards: Some(("gw", host.public())),
        };
        let done = agent.add(&entry).await.map_err(|failure| failure.to_string());
        drop(agent);
        (done, serving.join_next().await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn an_agent_that_cannot_confine_a_key_gets_it_without_that() {
        let (done, lengths) = added(&[b"\0\0\0\x01\x05", b"\0\0\0\x01\x06"]).await;
        assert_eq!(done, Ok(false));
        assert!(lengths[0] > lengths[1]);
        assert_eq!(added(&[b"\0\0\0\x01\x06"]).await.0, Ok(true));
        // OpenSSH's own says more with a refusal of an extension.
        assert_eq!(added(&[b"\0\0\0\x03\x1cxx", b"\0\0\0\x01\x06"]).await.0, Ok(false));
    }

    #[tokio::test]
    async fn an_agent_that_refuses_or_lies_is_an_error() {
        assert!(added(&[b"\0\0\0\x01\x05", b"\0\0\0\x01\x05"]).await.0.unwrap_err().contains("refused the key"));
        assert!(added(&[b"\0\0\0\0"]).await.0.unwrap_err().contains("is none"));
        assert!(added(&[b"\xff\xff\xff\xff"]).await.0.unwrap_err().contains("is none"));
        assert!(added(&[b"\0\0"]).await.0.is_err(), "it hung up");
    }
}
