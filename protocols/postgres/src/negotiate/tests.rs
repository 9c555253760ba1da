use super::*;
use crate::frame::{FrameBuf, FrameLimits, Phase};
use crate::login::receive;
use crate::message::{Fields, ServerMessage};
use portcullis_net::{Authority, ClientTls, Roots, VerifyMode};
use proptest::prelude::*;
use std::future::Future;
use tokio::io::{AsyncWriteExt, DuplexStream};

const SSL: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// A listener with a certificate, and what its clients need.
struct Site {
    dir: tempfile::TempDir,
    settings: Settings,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tls = Authority::new(dir.path(), &[], &[]).open().unwrap().certificates.server(&[ALPN]).unwrap();
        Self { dir, settings: Settings::new(Some(tls)) }
    }

    async fn encrypt(&self, stream: DuplexStream, alpn: &[&[u8]]) -> Io {
        let roots = Roots::File(self.dir.path().join("ca.pem"));
        let tls = ClientTls::new(VerifyMode::VerifyFull, &roots, alpn).unwrap();
        tls.connect(Io::memory(stream), "localhost").await.unwrap()
    }
}

fn startup() -> Vec<u8> {
    let mut out = BytesMut::new();
    write::startup(&mut out, 196_608, &[("user", "agent"), ("database", "shop")]);
    out.to_vec()
}

/// Opens a connection while `client` speaks into its other end.
async fn meet<T, F>(settings: &Settings, loopback: bool, client: impl FnOnce(DuplexStream) -> F) -> (Result<Opened>, T)
where
    F: Future<Output = T>,
{
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::join!(open(Io::memory(far), loopback, settings), client(near))
}

/// Everything the gateway said, after `said` was said at once.
async fn say(settings: &Settings, loopback: bool, said: &[u8]) -> (Result<Opened>, Vec<u8>) {
    meet(settings, loopback, async |mut stream| {
        stream.write_all(said).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.ok();
        heard
    })
    .await
}

/// The code of the one error a refused client hears, after `before`.
fn code(heard: &[u8], before: &[u8]) -> String {
    let rest = heard.strip_prefix(before).expect("what was said before");
    let Ok(ServerMessage::Error(fields)) = ServerMessage::decode(rest[0], &rest[5..]) else { panic!("{rest:?}") };
    assert!(fields.is_fatal());
    fatal_code(&fields)
}

fn fatal_code(fields: &Fields<'_>) -> String {
    fields.text(b'C').into_owned()
}

fn session(opened: Result<Opened>) -> Opening {
    match opened.unwrap() {
        Opened::Session(opening) => *opening,
        Opened::Cancel(_) => panic!("a cancel request"),
    }
}

#[tokio::test]
async fn a_listener_without_tls_serves_loopback_only() {
    let settings = Settings::new(None);
    let (opened, _) = meet(&settings, true, async |mut stream| {
        stream.write_all(&startup()).await.unwrap();
        stream
    })
    .await;
    let opening = session(opened);
    assert_eq!((opening.startup.user.as_str(), opening.startup.database.as_str()), ("agent", "shop"));
    assert_eq!(opening.transport, Transport { tls: None, direct: false });

    let (opened, heard) = say(&settings, false, &startup()).await;
    assert!(matches!(opened, Err(Error::Refused(_))));
    assert_eq!(code(&heard, b""), "28000");
}

#[tokio::test]
async fn pg_p06_encryption_is_asked_for_once_each_in_any_order() {
    let plain = Settings::new(None);
    for (requests, answers) in
        [(vec![SSL], b"N".to_vec()), (vec![SSL, GSS], b"NN".to_vec()), (vec![GSS, SSL], b"NN".to_vec())]
    {
        let (opened, heard) = meet(&plain, true, async |mut stream| {
            let mut heard = Vec::new();
            for request in &requests {
                stream.write_all(request).await.unwrap();
                heard.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(&startup()).await.unwrap();
            heard
        })
        .await;
        assert_eq!(session(opened).startup.user, "agent");
        assert_eq!(heard, answers);
    }
    for request in [SSL, GSS] {
        let (opened, heard) = meet(&plain, true, async |mut stream| {
            stream.write_all(&request).await.unwrap();
            let mut heard = vec![stream.read_u8().await.unwrap()];
            stream.write_all(&request).await.unwrap();
            stream.read_to_end(&mut heard).await.unwrap();
            heard
        })
        .await;
        assert!(matches!(opened, Err(Error::Protocol { side: Side::Client, .. })));
        assert_eq!(code(&heard, b"N"), "08P01");
    }
}

#[tokio::test]
async fn pg_p05_bytes_behind_an_encryption_request_refuse_the_connection() {
    let site = Site::new();
    for request in [SSL, GSS] {
        for stuffing in [startup(), vec![0x16], b"x".to_vec()] {
            let (opened, heard) = say(&site.settings, true, &[&request[..], &stuffing].concat()).await;
            assert!(matches!(opened, Err(Error::Protocol { reason, .. }) if reason.contains("unencrypted data")));
            assert_eq!(code(&heard, b""), "08P01", "neither S nor N");
        }
    }
}

#[tokio::test]
async fn a_session_comes_in_through_tls() {
    let site = Site::new();
    let (opened, mut io) = meet(&site.settings, false, async |mut stream| {
        stream.write_all(&GSS).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'N');
        // However slowly it comes.
        for byte in SSL {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(stream.read_u8().await.unwrap(), b'S');
        let mut io = site.encrypt(stream, &[]).await;
        for byte in startup() {
            io.write_all(&[byte]).await.unwrap();
            io.flush().await.unwrap();
        }
        io
    })
    .await;
    let mut opening = session(opened);
    let tls = opening.transport.tls.clone().unwrap();
    assert_eq!((tls.version.as_str(), tls.server_name.as_deref()), ("TLSv1.3", Some("localhost")));
    assert!(!opening.transport.direct && opening.io.is_tls());
    send(&mut opening.io, b"!", Side::Client).await.unwrap();
    assert_eq!(io.read_u8().await.unwrap(), b'!');
}

#[tokio::test]
async fn a_listener_with_tls_serves_no_session_in_the_clear() {
    let site = Site::new();
    let (opened, heard) = say(&site.settings, true, &startup()).await;
    assert!(matches!(opened, Err(Error::Refused(Refused { hint: Some(hint), .. })) if hint.contains("sslmode")));
    assert_eq!(code(&heard, b""), "28000");
}

#[tokio::test]
async fn pg_p06_inside_tls_no_encryption_can_be_asked_for() {
    let site = Site::new();
    for request in [SSL, GSS] {
        let (opened, code) = meet(&site.settings, false, async |mut stream| {
            stream.write_all(&SSL).await.unwrap();
            stream.read_u8().await.unwrap();
            let mut io = site.encrypt(stream, &[]).await;
            send(&mut io, &request, Side::Backend).await.unwrap();
            let mut buffer = FrameBuf::new(FrameLimits::default());
            let frame = receive(&mut io, &mut buffer, Phase::ServerLogin, Side::Backend).await.unwrap();
            match ServerMessage::decode(frame.tag(), frame.body()) {
                Ok(ServerMessage::Error(fields)) => fatal_code(&fields),
                other => panic!("{other:?}"),
            }
        })
        .await;
        assert!(matches!(opened, Err(Error::Protocol { .. })));
        assert_eq!(code, "08P01");
    }
}

#[tokio::test]
async fn pg_p06_direct_tls_needs_the_application_protocol() {
    let site = Site::new();
    let (opened, _io) = meet(&site.settings, false, async |stream| {
        let mut io = site.encrypt(stream, &[ALPN]).await;
        send(&mut io, &startup(), Side::Backend).await.unwrap();
        io
    })
    .await;
    let opening = session(opened);
    assert!(opening.transport.direct);
    assert_eq!(opening.transport.tls.unwrap().alpn.as_deref(), Some(ALPN));

    let (opened, heard) = meet(&site.settings, false, async |stream| {
        let mut io = site.encrypt(stream, &[]).await;
        send(&mut io, &startup(), Side::Backend).await.ok();
        let mut heard = Vec::new();
        io.read_to_end(&mut heard).await.ok();
        heard
    })
    .await;
    assert!(matches!(opened, Err(Error::Protocol { reason, .. }) if reason.contains("ALPN")));
    assert_eq!(code(&heard, b""), "08P01");
}

fn cancel(secret: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    write::cancel_request(&mut out, 7, secret);
    out.to_vec()
}

#[tokio::test]
async fn pg_p12_cancel_requests_are_read_and_not_answered() {
    let site = Site::new();
    for length in [4, 32, 256] {
        let (opened, heard) = say(&site.settings, false, &cancel(&vec![9; length])).await;
        let Ok(Opened::Cancel(request)) = opened else { panic!("{opened:?}") };
        assert_eq!((request.pid, request.secret.len()), (7, length));
        assert!(!format!("{request:?}").contains("[9"), "keys are not printed");
        assert!(heard.is_empty());
    }
    let strict = Settings { cancel_in_clear: false, ..site.settings.clone() };
    assert!(say(&strict, true, &cancel(&[9; 4])).await.0.is_err());
    let (opened, ()) = meet(&strict, false, async |mut stream| {
        stream.write_all(&SSL).await.unwrap();
        stream.read_u8().await.unwrap();
        let mut io = site.encrypt(stream, &[]).await;
        send(&mut io, &cancel(&[9; 4]), Side::Backend).await.unwrap();
        // As clients do: wait until the other side closes.
        io.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    assert!(matches!(opened, Ok(Opened::Cancel(_))));
}

#[tokio::test]
async fn pg_p07_lengths_are_checked_before_anything_is_taken() {
    let settings = Settings::new(None);
    let with = |length: u32, code: u32| [length.to_be_bytes(), code.to_be_bytes()].concat();
    for said in [
        with(0, 196_608),
        with(7, 196_608),
        with(8, 196_608),
        with(10_001, 196_608),
        with(u32::MAX, 196_608),
        with(9, SSL_REQUEST),
        with(12, GSSENC_REQUEST),
        with(15, CANCEL_REQUEST),
        with(269, CANCEL_REQUEST),
        b"GET / HTTP/1.1\r\n".to_vec(),
        // A TLS handshake, where there is no TLS.
        b"\x16\x03\x01\x02\0\x01\0\x01".to_vec(),
    ] {
        let (opened, heard) = say(&settings, true, &said).await;
        assert!(matches!(opened, Err(Error::Protocol { .. })), "{said:?}: {opened:?}");
        assert_eq!(code(&heard, b""), "08P01");
    }
    for cut in 0..startup().len() {
        let (opened, heard) = say(&settings, true, &startup()[..cut]).await;
        assert!(matches!(opened, Err(Error::Closed { side: Side::Client })), "cut at {cut}");
        assert!(heard.is_empty());
    }
}

#[tokio::test]
async fn pg_p10_other_versions_are_negotiated_before_anything_else() {
    let settings = Settings::new(None);
    let mut said = BytesMut::new();
    write::startup(&mut said, 196_608 + 9999, &[("user", "u"), ("_pq_.grease", "1")]);
    let (opened, heard) = meet(&settings, true, async |mut stream| {
        stream.write_all(&said).await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut heard = vec![0; usize::from(head[4]) - 4];
        stream.read_exact(&mut heard).await.unwrap();
        [&head[..], &heard].concat()
    })
    .await;
    assert_eq!(session(opened).startup.version, crate::startup::Version::V3_2);
    assert_eq!(
        ServerMessage::decode(heard[0], &heard[5..]),
        Ok(ServerMessage::NegotiateProtocolVersion { version: 196_610, options: vec!["_pq_.grease"] })
    );
    let mut said = BytesMut::new();
    write::startup(&mut said, 2 << 16, &[("user", "u")]);
    let (opened, heard) = say(&settings, true, &said).await;
    assert!(matches!(opened, Err(Error::Refused(_))));
    assert_eq!(code(&heard, b""), "0A000");
}

#[tokio::test]
async fn a_silent_client_is_not_waited_for() {
    let settings = Settings { timeout: Duration::ZERO, ..Settings::new(None) };
    let (opened, _stream) = meet(&settings, true, async |stream| stream).await;
    assert!(matches!(opened, Err(Error::Timeout { side: Side::Client, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_openings_never_panic(
        head in proptest::sample::select(vec![vec![], SSL.to_vec(), GSS.to_vec(), vec![0, 0, 0, 30, 0, 3, 0, 0]]),
        data in proptest::collection::vec(any::<u8>(), 0..60),
        loopback in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let said = [head, data].concat();
        let (opened, ()) = runtime.block_on(meet(&Settings::new(None), loopback, async |mut stream| {
            stream.write_all(&said).await.ok();
            stream.shutdown().await.ok();
        }));
        if let Ok(Opened::Session(opening)) = opened {
            assert!(loopback && !opening.startup.user.is_empty());
        }
    }
}
