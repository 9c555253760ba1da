use super::*;
use crate::frame::FrameLimits;
use crate::message::{Authentication, ServerMessage, TransactionStatus};
use crate::startup::Startup;
use backend::{Backend, Target, connect};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use portcullis_gate::Proof;
use portcullis_net::{Address, Authority, ClientTls, DialOptions, Roots, ServerTls, VerifyMode};
use ring::{digest, hmac, pbkdf2};
use secrecy::{ExposeSecret, SecretString};
use std::future::Future;
use std::num::NonZeroU32;
use std::path::Path;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::net::{TcpListener, UnixListener};

// ---- the client's login -------------------------------------------------------------------------------------------

fn startup() -> Startup {
    Startup::parse(b"\0\x03\0\0user\0agent\0\0").unwrap()
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Runs a client's login against what it says; the result and all the client hears.
async fn log_in(loopback: bool, said: &[u8], token: &str) -> (Result<&'static str>, Vec<u8>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let gateway = async move {
        let mut io = Io::memory(far);
        let mut buffer = FrameBuf::new(FrameLimits::default());
        let verify = |proof: Proof| async move {
            let Proof::Token { token: given, claimed_user } = proof else { panic!("{proof:?}") };
            (given.expose_secret() == token && claimed_user.as_deref() == Some("agent")).then_some("agent-7")
        };
        let (startup, timeout) = (startup(), Duration::from_secs(60));
        let login = client::Login { startup: &startup, way: &client::Way::Password, loopback, timeout };
        client::authenticate(&mut io, &mut buffer, login, verify).await
    };
    let client = async |mut stream: DuplexStream| {
        stream.write_all(said).await.ok();
        stream.shutdown().await.ok();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.ok();
        heard
    };
    tokio::join!(gateway, client(near))
}

/// What the client hears after the request for its password: code and message.
fn refusal(heard: &[u8]) -> (String, String) {
    let asked = frame(b'R', &3_u32.to_be_bytes());
    let rest = heard.strip_prefix(asked.as_slice()).expect("asked for a password first");
    match ServerMessage::decode(rest[0], &rest[5..]) {
        Ok(ServerMessage::Error(fields)) if fields.is_fatal() => {
            (fields.text(b'C').into_owned(), fields.text(b'M').into_owned())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_lets_in_and_anything_else_gets_one_answer() {
    let (result, heard) = log_in(true, &frame(b'p', b"token\0"), "token").await;
    assert_eq!(result.unwrap(), "agent-7");
    assert_eq!(heard, frame(b'R', &3_u32.to_be_bytes()));
    let mut answers = Vec::new();
    for wrong in [&b"wrong\0"[..], b"\0", b"token2\0"] {
        let (result, heard) = log_in(true, &frame(b'p', wrong), "token").await;
        assert!(matches!(result, Err(Error::Refused(_))));
        assert_eq!(refusal(&heard), ("28P01".into(), "password authentication failed for user \"agent\"".into()));
        answers.push(heard);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "not one byte tells the reasons apart");
}

#[tokio::test]
async fn pg_p13_only_a_well_formed_password_reaches_the_verifier() {
    for said in [
        frame(b'p', b"token"),
        frame(b'p', b"token\0\0"),
        frame(b'p', b"\xff\0"),
        frame(b'p', &[b't'; 16 * 1024]),
        frame(b'Q', b"SELECT 1\0"),
        b"p\0\0\0\x03".to_vec(),
    ] {
        let (result, heard) = log_in(true, &said, "token").await;
        assert!(matches!(result, Err(Error::Frame { .. } | Error::Decode { .. })), "{result:?}");
        assert!(["08P01", "22021"].contains(&refusal(&heard).0.as_str()));
    }
    let longest = [vec![b't'; 16 * 1024 - 5], vec![0]].concat();
    let token = "t".repeat(16 * 1024 - 5);
    assert!(log_in(true, &frame(b'p', &longest), &token).await.0.is_ok());
    assert!(matches!(log_in(true, b"p\0\0", "").await.0, Err(Error::Closed { side: Side::Client })));
}

#[tokio::test]
async fn a_token_is_not_asked_for_where_others_can_listen() {
    let (result, heard) = log_in(false, &frame(b'p', b"token\0"), "token").await;
    assert!(matches!(result, Err(Error::Refused(_))));
    assert_eq!(heard.first(), Some(&b'E'), "no request for a password");
}

#[test]
fn a_welcome_is_what_a_server_would_say() {
    let bytes = client::welcome([("server_version", "15.18"), ("TimeZone", "UTC")], Some((7, &[1; 32])));
    let mut buffer = FrameBuf::new(FrameLimits::default());
    buffer.push(&bytes);
    let mut said = Vec::new();
    while let Next::Frame(frame) = buffer.next(Phase::ServerLogin, b"") {
        said.push(frame);
    }
    let said: Vec<_> = said.iter().map(|frame| ServerMessage::decode(frame.tag(), frame.body()).unwrap()).collect();
    assert_eq!(
        said,
        [
            ServerMessage::Authentication(Authentication::Ok),
            ServerMessage::ParameterStatus { name: "server_version", value: b"15.18" },
            ServerMessage::ParameterStatus { name: "TimeZone", value: b"UTC" },
            ServerMessage::BackendKeyData { pid: 7, secret: &[1; 32] },
            ServerMessage::ReadyForQuery(TransactionStatus::Idle),
        ]
    );
}

// ---- the gateway's login ------------------------------------------------------------------------------------------

fn target(address: Address, tls: ClientTls, password: Option<&str>) -> Target {
    Target {
        address,
        tls,
        server_name: None,
        username: "app".into(),
        password: password.map(SecretString::from),
        database: "shop".into(),
        dial: DialOptions::default(),
        timeout: Duration::from_secs(60),
    }
}

fn in_socket(dir: &Path, password: Option<&str>) -> Target {
    target(Address::Unix(dir.to_owned()), ClientTls::disabled(), password)
}

/// A server's side of one connection.
struct Server {
    io: Io,
    buffer: FrameBuf,
}

impl Server {
    fn new(io: Io) -> Self {
        Self { io, buffer: FrameBuf::new(FrameLimits::default()) }
    }

    /// Reads the startup message: version and parameters.
    async fn startup(&mut self) -> (u32, Vec<String>) {
        let length = self.io.read_u32().await.unwrap();
        let version = self.io.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 8];
        self.io.read_exact(&mut body).await.unwrap();
        let words = String::from_utf8(body).unwrap();
        (version, words.trim_end_matches('\0').split('\0').map(str::to_owned).collect())
    }

    async fn say(&mut self, bytes: &[u8]) {
        send(&mut self.io, bytes, Side::Client).await.ok();
    }

    async fn ask(&mut self, code: u32, more: &[u8]) {
        self.say(&frame(b'R', &[&code.to_be_bytes()[..], more].concat())).await;
    }

    /// The next 'p', or nothing if the gateway hung up.
    async fn answer(&mut self) -> Option<Vec<u8>> {
        let frame = receive(&mut self.io, &mut self.buffer, Phase::ClientLogin, Side::Client).await.ok()?;
        Some(frame.body().to_vec())
    }

    /// What follows a login that succeeded.
    async fn settle(&mut self) {
        let mut out = BytesMut::new();
        write::authentication_ok(&mut out);
        for (name, value) in
            [("client_encoding", "UTF8"), ("standard_conforming_strings", "on"), ("server_version", "15.18")]
        {
            write::parameter_status(&mut out, name, value);
        }
        write::backend_key_data(&mut out, 99, &[5; 4]);
        write::ready_for_query(&mut out, TransactionStatus::Idle);
        self.say(&out).await;
    }

    /// SCRAM with this password; `twist` may change what the server says (first message, final message).
    async fn scram(&mut self, offer: &[u8], password: &str, bound: &[u8], twist: impl Fn(usize, String) -> String) {
        self.ask(10, offer).await;
        let Some(first) = self.answer().await else { return };
        let at = first.iter().position(|byte| *byte == 0).unwrap() + 5;
        let first = String::from_utf8(first[at..].to_vec()).unwrap();
        let (header, bare) = first.split_at(first.find("n=,r=").unwrap());
        let nonce = bare.strip_prefix("n=,r=").unwrap();
        let salt = b"0123456789abcdef";
        let challenge = twist(0, format!("r={nonce}SERVER,s={},i=4096", STANDARD.encode(salt)));
        self.ask(11, challenge.as_bytes()).await;
        let Some(answer) = self.answer().await else { return };
        let answer = String::from_utf8(answer).unwrap();
        let (without_proof, proof) = answer.rsplit_once(",p=").unwrap();
        let header = STANDARD.encode([header.as_bytes(), bound].concat());
        assert_eq!(without_proof, format!("c={header},r={nonce}SERVER"));
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(4096).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let client_key = sign(&salted, b"Client Key");
        let transcript = format!("{bare},{challenge},{without_proof}");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = sign(stored.as_ref(), transcript.as_bytes());
        let shown: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        assert_eq!(proof, STANDARD.encode(shown), "the client knows the password");
        let server_key = sign(&salted, b"Server Key");
        let proven = sign(server_key.as_ref(), transcript.as_bytes());
        let last = twist(1, format!("v={}", STANDARD.encode(proven.as_ref())));
        self.ask(12, last.as_bytes()).await;
    }
}

const SCRAM: &[u8] = b"SCRAM-SHA-256\0\0";
const SCRAM_PLUS: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

/// Logs in over a Unix socket against `script`.
async fn against<F, T>(password: Option<&str>, script: impl FnOnce(Server) -> F) -> (Result<Backend>, T)
where
    F: Future<Output = T>,
{
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    let target = in_socket(dir.path(), password);
    let settings = [
        ("application_name", "psql".to_owned()),
        ("client_encoding", "UTF8".to_owned()),
        ("TimeZone", "UTC".to_owned()),
    ];
    let serve = async { script(Server::new(listener.accept().await.unwrap().0.into())).await };
    tokio::join!(connect(&target, &settings, FrameLimits::default()), serve)
}

#[tokio::test]
async fn a_login_pins_what_must_not_vary_and_reports_what_the_server_said() {
    let (backend, (version, words)) = against(Some("secret"), async |mut server| {
        let introduced = server.startup().await;
        server.scram(SCRAM, "secret", b"", |_, text| text).await;
        server.settle().await;
        introduced
    })
    .await;
    let backend = backend.unwrap();
    assert_eq!(version, 196_610);
    let expected = "user app database shop application_name psql TimeZone UTC client_encoding UTF8 \
                    standard_conforming_strings on backslash_quote safe_encoding";
    assert_eq!(words.join(" "), expected);
    assert_eq!(backend.parameters.get("server_version").map(String::as_str), Some("15.18"));
    assert_eq!((backend.version.minor, backend.cancel.unwrap().pid()), (2, 99));
    assert!(backend.buffer.is_between_frames());
}

#[tokio::test]
async fn a_server_that_is_not_the_one_meant_gets_no_session() {
    type Twist = fn(usize, String) -> String;
    let twists: [Twist; 5] = [
        |step, text| if step == 0 { text.replace("r=", "r=x") } else { text },
        |step, text| if step == 0 { text.replace("i=4096", "i=100001") } else { text },
        |step, text| if step == 1 { "v=AAAA".to_owned() } else { text },
        |step, text| if step == 1 { "e=other-error".to_owned() } else { text },
        |step, text| if step == 0 { text.replace("SERVER", "") } else { text },
    ];
    for twist in twists {
        let (backend, ()) = against(Some("secret"), async |mut server| {
            server.startup().await;
            server.scram(SCRAM, "secret", b"", twist).await;
            server.settle().await;
        })
        .await;
        assert!(matches!(backend, Err(Error::Scram(_))), "{backend:?}");
    }
}

#[tokio::test]
async fn a_password_is_given_to_scram_only() {
    // (code asked with, what else is asked)
    for (code, more) in
        [(3, &b""[..]), (5, b"salt"), (7, b""), (9, b""), (2, b""), (10, b"GSSAPI\0\0"), (10, b"\0"), (0, b"")]
    {
        let (backend, answer) = against(Some("secret"), async |mut server| {
            server.startup().await;
            server.ask(code, more).await;
            server.answer().await
        })
        .await;
        assert!(matches!(backend, Err(Error::Authentication(_))), "{code}: {backend:?}");
        assert_eq!(answer, None, "nothing was sent");
    }
    // In the middle of the exchange and at its end.
    for code in [0, 3] {
        let (backend, ()) = against(Some("secret"), async |mut server| {
            server.startup().await;
            server.ask(10, SCRAM).await;
            server.answer().await;
            server.ask(code, b"").await;
            server.settle().await;
        })
        .await;
        assert!(matches!(backend, Err(Error::Authentication(_) | Error::Protocol { .. })), "{code}: {backend:?}");
    }
}

#[tokio::test]
async fn without_a_password_only_a_server_that_asks_for_none_is_used() {
    let (backend, ()) = against(None, async |mut server| {
        server.startup().await;
        server.settle().await;
    })
    .await;
    assert!(backend.is_ok());
    let (backend, _) = against(None, async |mut server| {
        server.startup().await;
        server.ask(10, SCRAM).await;
        server.answer().await
    })
    .await;
    assert!(matches!(backend, Err(Error::Authentication(_))));
}

#[tokio::test]
async fn pg_p11_versions_go_down_only_and_to_what_is_spoken() {
    let negotiate = |version: u32, options: &[&str]| {
        let mut out = BytesMut::new();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        write::negotiate_protocol_version(&mut out, version, &options);
        out.to_vec()
    };
    for (said, minor) in [
        (negotiate(196_608, &[]), Some(0)),
        (negotiate(196_610, &[]), Some(2)),
        (negotiate(196_609, &[]), None),
        (negotiate(196_611, &[]), None),
        (negotiate(131_072, &[]), None),
        (negotiate(196_608, &["_pq_.x"]), None),
    ] {
        let (backend, ()) = against(None, async |mut server| {
            server.startup().await;
            server.say(&said).await;
            server.settle().await;
        })
        .await;
        assert_eq!(backend.ok().map(|backend| backend.version.minor), minor, "{said:?}");
    }
}

#[tokio::test]
async fn pg_p11_a_server_without_a_key_leaves_the_client_without_one() {
    let (backend, ()) = against(None, async |mut server| {
        server.startup().await;
        let pins = [&frame(b'S', b"client_encoding\0UTF8\0")[..], &frame(b'S', b"standard_conforming_strings\0on\0")];
        server.say(&[&frame(b'R', &[0; 4])[..], &pins.concat(), &frame(b'Z', b"I")].concat()).await;
    })
    .await;
    assert!(backend.unwrap().cancel.is_none());
    let bytes = client::welcome([], None);
    assert_eq!(bytes, [frame(b'R', &[0; 4]), frame(b'Z', b"I")].concat());
}

#[tokio::test]
async fn what_is_out_of_place_or_malformed_ends_the_login() {
    let ok = frame(b'R', &[0; 4]);
    for said in [
        frame(b'S', b"server_version\x0015\0"),
        frame(b'K', &[0; 8]),
        frame(b'Z', b"I"),
        frame(b'D', b"\0\0"),
        frame(b'W', b"\0\0\0"),
        [ok.as_slice(), &ok].concat(),
        [ok.as_slice(), &frame(b'K', &[0; 5])].concat(),
        [ok.as_slice(), &frame(b'Z', b"T")].concat(),
        [ok.as_slice(), &frame(b'Z', b"I")].concat(),
        [ok.as_slice(), &frame(b'S', b"client_encoding\0SQL_ASCII\0"), &frame(b'Z', b"I")].concat(),
        [ok.as_slice(), &frame(b'S', b"x\0\xff\0")].concat(),
        b"R\0\0\0\x02".to_vec(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![],
    ] {
        let (backend, ()) = against(None, async |mut server| {
            server.startup().await;
            server.say(&said).await;
        })
        .await;
        let error = backend.expect_err("no session");
        assert_eq!(error.side(), Side::Backend, "{said:?}: {error}");
    }
    let (backend, ()) = against(None, async |mut server| {
        server.startup().await;
        server.ask(0, b"").await;
        let many: Vec<u8> = (0..300).flat_map(|at| frame(b'S', format!("s{at}\0v\0").as_bytes())).collect();
        server.say(&many).await;
        server.settle().await;
    })
    .await;
    assert!(matches!(backend, Err(Error::Protocol { .. })), "settings are bounded");
}

#[tokio::test]
async fn what_a_server_says_about_its_login_is_not_told_to_a_client() {
    for (code, told) in
        [("28P01", "08001"), ("28000", "08001"), ("3D000", "3D000"), ("22023", "22023"), ("53300", "53300")]
    {
        let (backend, ()) = against(None, async |mut server| {
            server.startup().await;
            let said = format!("SFATAL\0VFATAL\0C{code}\0Mno pg_hba.conf entry for host 10.1.2.3, user app\0\0");
            server.say(&frame(b'E', said.as_bytes())).await;
        })
        .await;
        let error = backend.expect_err("refused");
        assert!(matches!(&error, Error::BackendRefused { code: said, .. } if said == code));
        let report = error.report().unwrap();
        assert_eq!(report.code, told);
        let text = format!("{report:?}");
        assert!(!text.contains("10.1.2.3") && !text.contains("app\""), "{text}");
    }
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    let target = Target { timeout: Duration::from_millis(5), ..in_socket(dir.path(), None) };
    let backend = connect(&target, &[], FrameLimits::default()).await;
    assert!(matches!(backend, Err(Error::Timeout { side: Side::Backend, .. })));
}

// ---- TLS towards a server -----------------------------------------------------------------------------------------

struct Site {
    dir: tempfile::TempDir,
    tls: ServerTls,
    leaf: Vec<u8>,
    listener: TcpListener,
}

impl Site {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Authority::new(dir.path(), &[], &[]).open().unwrap().certificates;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { dir, tls: certificates.server(&[]).unwrap(), leaf: certificates.leaf(), listener }
    }

    fn target(&self, mode: VerifyMode, password: Option<&str>) -> Target {
        let port = self.listener.local_addr().unwrap().port();
        let tls = ClientTls::new(mode, &Roots::File(self.dir.path().join("ca.pem")), &[]).unwrap();
        target(Address::Tcp { host: "localhost".into(), port }, tls, password)
    }

    async fn accept(&self) -> Io {
        let mut io = Io::from(self.listener.accept().await.unwrap().0);
        let mut request = [0; 8];
        io.read_exact(&mut request).await.unwrap();
        assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
        io
    }
}

#[tokio::test]
async fn scram_is_bound_to_tls_where_the_server_offers_it() {
    let site = Site::new().await;
    let target = site.target(VerifyMode::VerifyFull, Some("secret"));
    for (offer, plus) in [(SCRAM_PLUS, true), (SCRAM, false)] {
        let serve = async {
            let mut io = site.accept().await;
            send(&mut io, b"S", Side::Client).await.unwrap();
            let mut server = Server::new(site.tls.accept(io).await.unwrap());
            server.startup().await;
            let end_point = digest::digest(&digest::SHA256, &site.leaf);
            server.scram(offer, "secret", if plus { end_point.as_ref() } else { b"" }, |_, text| text).await;
            server.settle().await;
        };
        let (backend, ()) = tokio::join!(connect(&target, &[], FrameLimits::default()), serve);
        assert!(backend.unwrap().io.is_tls());
    }
}

#[tokio::test]
async fn pg_p05_tls_is_not_given_up_and_nothing_slips_in_before_it() {
    let site = Site::new().await;
    for answer in [&b"N"[..], b"E", b"X", b"", b"SR\0\0\0\x08\0\0\0\0"] {
        for mode in [VerifyMode::VerifyFull, VerifyMode::VerifyCa, VerifyMode::Require] {
            let target = site.target(mode, Some("secret"));
            let serve = async {
                let mut io = site.accept().await;
                send(&mut io, answer, Side::Client).await.unwrap();
                io.shutdown().await.unwrap();
                let mut rest = Vec::new();
                io.read_to_end(&mut rest).await.ok();
                rest
            };
            let (backend, rest) = tokio::join!(connect(&target, &[], FrameLimits::default()), serve);
            assert_eq!(backend.expect_err("no TLS").side(), Side::Backend);
            assert!(!rest.windows(3).any(|three| three == b"app"), "no startup message in the clear");
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let site = Site::new().await;
    let target = Target { server_name: Some("db.example.com".into()), ..site.target(VerifyMode::VerifyFull, None) };
    let serve = async {
        let mut io = site.accept().await;
        send(&mut io, b"S", Side::Client).await.unwrap();
        assert!(site.tls.accept(io).await.is_err());
    };
    let (backend, ()) = tokio::join!(connect(&target, &[], FrameLimits::default()), serve);
    assert!(matches!(backend, Err(Error::Net(portcullis_net::Error::Handshake { .. }))), "{backend:?}");
}

#[tokio::test]
async fn pg_p12_a_cancel_goes_to_the_server_as_its_session_did() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    let cancel = crate::cancel::ServerCancel::new(&in_socket(dir.path(), Some("secret")), 99, vec![5; 32]);
    assert!(!format!("{cancel:?}").contains('5'));
    let serve = async {
        let mut io = listener.accept().await.unwrap().0;
        let mut request = Vec::new();
        let mut expected = BytesMut::new();
        expected.put_slice(&[0, 0, 0, 44, 4, 210, 22, 46, 0, 0, 0, 99]);
        expected.put_bytes(5, 32);
        request.resize(expected.len(), 0);
        io.read_exact(&mut request).await.unwrap();
        assert_eq!(request, expected);
    };
    let (sent, ()) = tokio::join!(cancel.send(), serve);
    sent.unwrap();

    let site = Site::new().await;
    let cancel = crate::cancel::ServerCancel::new(&site.target(VerifyMode::VerifyFull, None), 1, vec![5; 4]);
    let serve = async {
        let mut io = site.accept().await;
        send(&mut io, b"S", Side::Client).await.unwrap();
        let mut io = site.tls.accept(io).await.unwrap();
        let mut request = [0; 16];
        io.read_exact(&mut request).await.unwrap();
        request
    };
    let (sent, request) = tokio::join!(cancel.send(), serve);
    sent.unwrap();
    assert_eq!(request, [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 5, 5, 5, 5]);
}
