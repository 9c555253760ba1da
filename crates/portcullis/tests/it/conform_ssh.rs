//! The conformance suite over SSH: the built binary, a raw client of the library, and a real OpenSSH server that writes
//! down every command it is given.

use crate::surroundings::BINARY;
use portcullis_testkit::conform::{Heard, Proof, Say, Subject};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::or_skip;
use portcullis_testkit::ssh::Sshd;
use russh::client::{self, AuthResult, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelMsg};
use std::path::PathBuf;
use std::sync::Arc;

/// The limit on a command line of these gateways, in bytes.
const LIMIT: usize = 16 << 10;

const POLICY: &str = r#"
bundle: conform
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: echo
    allow: { actions: [execute], objects: ["program echo"] }
"#;

struct Ssh {
    server: Sshd,
    gateway: Gateway,
    token: String,
    /// What reached the server.
    ledger: PathBuf,
}

/// Believes any host: what the gateway shows is not what is tested here.
struct Anyone;

impl client::Handler for Anyone {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

impl Subject for Ssh {
    type Client = Handle<Anyone>;

    async fn open() -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("pc-ledger-").tempdir().unwrap().keep();
        std::process::Command::new("chmod").arg("777").arg(&directory).status().unwrap();
        let ledger = directory.join("commands");
        let kept = format!(
            "ForceCommand printf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >>{} && eval \"$SSH_ORIGINAL_COMMAND\"",
            ledger.display()
        );
        let server = or_skip(Sshd::start(&[&kept]))?;
        let settings = Settings::new(BINARY).ssh("box", &server).policy("conform", POLICY);
        let gateway = settings.extra("limits: { statement: 16KiB }").start().unwrap();
        let token = gateway.token("agent", &["agents"]).unwrap();
        Some(Self { server, gateway, token, ledger })
    }

    async fn connect(&self, proof: Proof) -> Option<Handle<Anyone>> {
        let address = self.gateway.address("ssh").unwrap();
        let mut handle = client::connect(Arc::default(), address, Anyone).await.ok()?;
        let password = match proof {
            Proof::Good => self.token.as_str(),
            Proof::Wrong => "no-such-token",
            Proof::Absent => return Some(handle),
        };
        match handle.authenticate_password("box", password).await.ok()? {
            AuthResult::Success => Some(handle),
            AuthResult::Failure { .. } => None,
        }
    }

    async fn say(&self, client: &mut Handle<Anyone>, all: &[Say]) -> Vec<Heard> {
        let mut said = Vec::new();
        for say in all {
            said.push(send(client, say).await);
        }
        let mut heard = Vec::new();
        for channel in said {
            heard.push(match channel {
                Sent::Channel(channel) => hear(channel).await,
                Sent::Answered(heard) => heard,
            });
            if heard.last() == Some(&Heard::End) {
                break;
            }
        }
        heard
    }

    fn reached_backend(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.ledger).unwrap_or_default().contains(text)
    }

    fn record(&self) -> String {
        self.gateway.command(&["sessions", "export"]).unwrap()
    }

    fn log(&self) -> String {
        self.gateway.log_text()
    }

    fn secrets(&self) -> Vec<String> {
        let key = std::fs::read_to_string(self.server.client_key()).unwrap();
        let line = key.lines().nth(1).expect("a line of the key").to_owned();
        vec![self.token.clone(), line]
    }

    fn break_record(&self) {
        self.gateway.program().unwrap().limit_files(0).unwrap();
    }

    fn close(self) {
        std::fs::remove_dir_all(self.ledger.parent().expect("a directory")).unwrap();
    }
}

enum Sent {
    Channel(Channel<client::Msg>),
    Answered(Heard),
}

async fn send(client: &Handle<Anyone>, say: &Say) -> Sent {
    let command = match say {
        Say::Allowed(mark) => format!("echo {mark}"),
        Say::Denied(mark) => format!("destroy {mark}"),
        Say::Oversized(mark) => format!("echo {mark}{}{mark}", "x".repeat(LIMIT)),
        Say::Unknown(mark) => {
            return match client.send_global_request(format!("{mark}@example.org"), &[], true).await {
                Ok(Some(_)) => Sent::Answered(Heard::Answer(mark.clone())),
                Ok(None) => Sent::Answered(Heard::Refusal("the request failed".to_owned())),
                Err(_) => Sent::Answered(Heard::End),
            };
        }
    };
    match client.channel_open_session().await {
        Ok(channel) if channel.exec(true, command).await.is_ok() => Sent::Channel(channel),
        Ok(_) | Err(_) => Sent::Answered(Heard::End),
    }
}

/// One answer: everything up to the end of the channel.
async fn hear(mut channel: Channel<client::Msg>) -> Heard {
    let (mut out, mut err, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => out.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => err.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _other => {}
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match status {
        Some(0) => Heard::Answer(text(out)),
        Some(_) => Heard::Refusal(text(err)),
        None => Heard::End,
    }
}

portcullis_testkit::conform!(Ssh);
