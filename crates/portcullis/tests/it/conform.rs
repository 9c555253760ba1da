//! The conformance suite over the real thing: the built binary, PostgreSQL's protocol, a recorder before a real server,
//! and a store whose disk is full.

use crate::surroundings::{Shop, Wants, Who};
use portcullis_testkit::conform::{Heard, Proof, Say, Subject};
use portcullis_testkit::wire::{Frame, RawClient, frame, frontend, startup};

/// The statement limit of these gateways, in bytes.
const LIMIT: usize = 64 << 10;

struct Postgres {
    shop: Shop,
    token: String,
}

impl Subject for Postgres {
    type Client = RawClient;

    async fn open() -> Option<Self> {
        let wants = Wants { plaintext: true, recorder: true, torn: 0, extra: "limits: { statement: 64KiB }" };
        let shop = Shop::guarded(wants)?;
        let token = shop.token(Who::Agent);
        Some(Self { shop, token })
    }

    async fn connect(&self, proof: Proof) -> Option<RawClient> {
        let address = self.shop.gateway().address("postgres").unwrap();
        match proof {
            Proof::Good => RawClient::login(&address, "agent", "shop", &self.token).await.ok(),
            Proof::Wrong => RawClient::login(&address, "agent", "shop", "no-such-token").await.ok(),
            Proof::Absent => {
                let mut client = RawClient::connect(&address).await.unwrap();
                client.send(&startup(&[("user", "agent"), ("database", "shop")])).await.unwrap();
                Some(client)
            }
        }
    }

    async fn say(&self, client: &mut RawClient, all: &[Say]) -> Vec<Heard> {
        let bytes: Vec<u8> = all.iter().flat_map(|say| frame_of(say).to_vec()).collect();
        if client.send(&bytes).await.is_err() {
            return vec![Heard::End];
        }
        let mut heard = Vec::new();
        for _ in all {
            heard.push(hear(client).await);
            if heard.last() == Some(&Heard::End) {
                break;
            }
        }
        heard
    }

    fn reached_backend(&self, text: &str) -> bool {
        self.shop.recorder().ledger().contains(text)
    }

    fn record(&self) -> String {
        self.shop.gateway().command(&["sessions", "export"]).unwrap()
    }

    fn log(&self) -> String {
        self.shop.gateway().log_text()
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.token.clone(), self.shop.server.password().to_owned()]
    }

    fn break_record(&self) {
        self.shop.gateway().program().unwrap().limit_files(0).unwrap();
    }
}

fn frame_of(say: &Say) -> bytes::Bytes {
    match say {
        Say::Allowed(mark) => frontend::query(&format!("SELECT '{mark}' AS mark")),
        Say::Denied(mark) => frontend::query(&format!("DROP TABLE {mark}")),
        Say::Unknown(mark) => frame(b'j', mark.as_bytes()),
        Say::Oversized(mark) => frontend::query(&format!("SELECT '{mark}{}{mark}'", "x".repeat(LIMIT))),
    }
}

/// One answer: everything up to ReadyForQuery, or the end of the connection.
async fn hear(client: &mut RawClient) -> Heard {
    let mut refused = None;
    let mut answer = String::new();
    while let Ok(Some(frame)) = client.read_or_end().await {
        match frame.tag {
            b'D' => answer.extend(
                frame.columns().into_iter().flatten().map(|value| String::from_utf8_lossy(&value).into_owned()),
            ),
            b'E' => refused = Some(shown(&frame)),
            b'Z' => return refused.map_or(Heard::Answer(answer), Heard::Refusal),
            _other => {}
        }
    }
    Heard::End
}

fn shown(error: &Frame) -> String {
    [b'C', b'M', b'D', b'H'].into_iter().filter_map(|field| error.field(field)).collect::<Vec<_>>().join("; ")
}

portcullis_testkit::conform!(Postgres);
