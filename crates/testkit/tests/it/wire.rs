//! The raw client, the recorder and the fake server against each other and against a real server.

use portcullis_testkit::fake::{FakeBackend, Login, idle_server};
use portcullis_testkit::wire::{RawClient, frontend, outline};
use portcullis_testkit::{Postgres, Recorder, or_skip};

fn shared() -> Option<&'static Postgres> {
    or_skip(Postgres::shared())
}

#[tokio::test]
async fn logs_in_at_a_real_server() {
    let Some(server) = shared() else { return };
    let mut client = RawClient::login(&server.address(), "postgres", "postgres", server.password()).await.unwrap();
    assert!(client.greeting.iter().any(|frame| frame.tag == b'K'));
    assert_eq!(outline(&client.query("SELECT 1; BEGIN; oops").await.unwrap()), "E:42601 Z:I");
    let pipeline = [
        frontend::parse("", "SELECT $1::int"),
        frontend::bind("", "", &[Some("7")]),
        frontend::describe(b'P', ""),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    client.send_split(&pipeline.concat(), &[1, 3, 9, 40]).await.unwrap();
    let frames = client.read_until_ready().await.unwrap();
    assert_eq!(outline(&frames), "1 2 T D C:SELECT 1 Z:I");
    assert_eq!(frames[3].columns(), [Some("7".into())]);
    client.send(&frontend::terminate()).await.unwrap();
    assert!(client.read_to_end().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_recorder_sees_every_byte() {
    let Some(server) = shared() else { return };
    let recorder = Recorder::start(&server.address()).unwrap();
    let mut client = RawClient::login(&recorder.address(), "postgres", "postgres", server.password()).await.unwrap();
    client.query("SELECT 'Marker One'").await.unwrap();
    assert!(recorder.ledger().contains("marker one"));
    assert!(!recorder.ledger().contains("marker two"));
    let frames = recorder.ledger().frames();
    let tags: Vec<u8> = frames[0].iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, b"ppQ");
    recorder.ledger().clear();
    assert!(recorder.ledger().is_empty());
}

#[tokio::test]
async fn the_fake_server_lets_clients_in_and_idles() {
    for (login, password, works) in [
        (Login::Trust, "", true),
        (Login::Scram("right".to_owned()), "right", true),
        (Login::Scram("right".to_owned()), "wrong", false),
    ] {
        let fake = FakeBackend::start(login, idle_server()).unwrap();
        let client = RawClient::login(&fake.address(), "anyone", "anything", password).await;
        assert_eq!(client.is_ok(), works, "{password}");
        let Ok(mut client) = client else { continue };
        assert_eq!(outline(&client.query("SELECT 1").await.unwrap()), "T C:SELECT 0 Z:I");
        assert_eq!(outline(&client.query("/*x*/!").await.unwrap()), "E:42601 Z:I");
        assert!(fake.ledger().contains("SELECT 1"));
    }
}
