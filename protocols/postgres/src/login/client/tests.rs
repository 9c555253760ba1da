//! Both mechanisms at the level of bytes, against a client written from the RFCs.

use super::*;
use crate::frame::FrameLimits;
use crate::message::ServerMessage;
use bytes::BufMut;
use portcullis_net::{Authority, ClientTls, Roots, VerifyMode};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const CHALLENGE: ScramChallenge = ScramChallenge { salt: *b"0123456789abcdef", iterations: 4096 };
const FIRST: &[u8] = b"n,,n=,r=theirs";

fn begin(
    mechanism: &str,
    message: &[u8],
    end_point: Option<&[u8]>,
) -> std::result::Result<scram::Exchange, scram::Flaw> {
    scram::Exchange::begin(mechanism, message, end_point, "ours", CHALLENGE)
}

fn last(binding: &str, more: &str) -> String {
    format!("c={binding},r=theirsours{more},p={}", STANDARD.encode([7; 32]))
}

#[test]
fn an_exchange_is_signed_as_it_was_said() {
    let exchange = begin("SCRAM-SHA-256", b"n,,n=,r=theirs,x=ext", None).unwrap();
    assert_eq!(exchange.challenge(), "r=theirsours,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096");
    let proven = exchange.finish(last("biws", ",t=ext,u=1").as_bytes()).unwrap();
    assert_eq!(proven.proof, [7; 32]);
    assert_eq!(
        proven.transcript,
        "n=,r=theirs,x=ext,r=theirsours,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096,c=biws,r=theirsours,t=ext,u=1"
    );
    // What clients put there: nothing, an asterisk, the user, the user with a comma.
    for name in ["", "*", "agent", "a=2Cb=3D", "größe"] {
        assert!(begin("SCRAM-SHA-256", format!("n,,n={name},r=x").as_bytes(), None).is_ok(), "{name}");
    }
}

#[test]
fn every_malformed_first_message_is_refused_alike() {
    for message in [
        "",
        ",",
        ",,",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,n=,",
        "n,,r=x",
        "n,,n=,r=",
        "n,,r=x,n=",
        "n,,n=,n=,r=x",
        "n,,n=,r=x,",
        "n,,n=,r=x,,y=1",
        "n,,n=,r=x,y",
        "n,,n=,r=x,y=",
        "n,,n=,r=x,1=1",
        "n,,m=1,n=,r=x",
        "n,,n=,m=1,r=x",
        "n,,n=,r=x,m=1",
        "n,,n=,r=x,p=1",
        "n,a=agent,n=,r=x",
        "n,agent,n=,r=x",
        "n,a=,n=,r=x",
        "N,,n=,r=x",
        "z,,n=,r=x",
        "nn,,n=,r=x",
        "p,,n=,r=x",
        "p=,,n=,r=x",
        "p=tls-unique,,n=,r=x",
        "p=tls-server-end-point,,n=,r=x",
        "n,,n=a=b,r=x",
        "n,,n==,r=x",
        "n,,n=,r=x y",
        "n,,n=,r=é",
        "n,,n=,r=\x7f",
        "n,,n=,r=x\0",
        "n,,n=\0,r=x",
        " n,,n=,r=x",
        "n,, n=,r=x",
        "n,,N=,r=x",
    ] {
        for end_point in [None, Some(&b"hash"[..])] {
            let flaw = begin("SCRAM-SHA-256", message.as_bytes(), end_point).unwrap_err();
            assert_eq!(flaw, scram::Flaw::Malformed, "{message:?}");
        }
    }
    for message in ["n,,n=,r=x", "y,,n=,r=x", "p=tls-unique,,n=,r=x", "p=tls-server-end-point2,,n=,r=x"] {
        assert_eq!(begin("SCRAM-SHA-256-PLUS", message.as_bytes(), Some(b"hash")).unwrap_err(), scram::Flaw::Malformed);
    }
    // Not offered: nothing to bind to.
    let bound = b"p=tls-server-end-point,,n=,r=x";
    assert_eq!(begin("SCRAM-SHA-256-PLUS", bound, None).unwrap_err(), scram::Flaw::Malformed);
    assert_eq!(begin("SCRAM-SHA-256", b"n,,n=,r=\xff", None).unwrap_err(), scram::Flaw::Malformed);
    let long = |length: usize| [FIRST, vec![b'x'; length - FIRST.len()].as_slice()].concat();
    assert!(begin("SCRAM-SHA-256", &long(1024), None).is_ok());
    assert_eq!(begin("SCRAM-SHA-256", &long(1025), None).unwrap_err(), scram::Flaw::Malformed);
    for cut in 0..FIRST.len() {
        assert_eq!(begin("SCRAM-SHA-256", &FIRST[..cut], None).is_ok(), cut > 8, "{cut}");
    }
}

#[test]
fn every_malformed_final_message_is_refused_alike() {
    let proof = STANDARD.encode([7; 32]);
    let short = STANDARD.encode([7; 31]);
    let long = STANDARD.encode([7; 33]);
    for message in [
        String::new(),
        "c=biws".into(),
        "c=biws,r=theirsours".into(),
        "c=biws,r=theirsours,p=".into(),
        format!("c=biws,r=theirsours,p={short}"),
        format!("c=biws,r=theirsours,p={long}"),
        format!("c=biws,r=theirsours,p={proof},"),
        format!("c=biws,r=theirsours,p={proof},x=1"),
        format!("c=biws,r=theirsours,p={proof},p={proof}"),
        format!("c=biws,r=theirsours,p={}", proof.trim_end_matches('=')),
        format!("c=biws,r=theirsours,m=1,p={proof}"),
        format!("c=biws,r=theirsours,r=theirsours,p={proof}"),
        format!("c=biws,r=theirsours,,p={proof}"),
        format!("r=theirsours,c=biws,p={proof}"),
        format!("c=biws,x=1,r=theirsours,p={proof}"),
        format!("c=biws,p={proof},r=theirsours"),
        format!("c=biws,r=theirs,p={proof}"),
        format!("c=biws,r=theirsour,p={proof}"),
        format!("c=biws,r=theirsours2,p={proof}"),
        format!("c=biws,r=ours,p={proof}"),
        format!("c=,,r=theirsours,p={proof}"),
        format!("c=biws=,r=theirsours,p={proof}"),
        format!("c=bi ws,r=theirsours,p={proof}"),
        format!("c=biws,r=theirsours,p={proof}\0"),
        format!("c=biws,r=theirsours,x={},p={proof}", "y".repeat(1024)),
    ] {
        let exchange = begin("SCRAM-SHA-256", FIRST, None).unwrap();
        assert_eq!(exchange.finish(message.as_bytes()), Err(scram::Flaw::Malformed), "{message:?}");
    }
    let good = last("biws", "");
    for cut in 0..good.len() {
        assert!(begin("SCRAM-SHA-256", FIRST, None).unwrap().finish(&good.as_bytes()[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn binding_is_to_this_connection_and_cannot_be_taken_away() {
    let hash = &b"the hash of a certificate"[..];
    let bound = |hash: &[u8]| STANDARD.encode([b"p=tls-server-end-point,,", hash].concat());
    let plus = || begin("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=theirs", Some(hash)).unwrap();
    assert!(plus().finish(last(&bound(hash), "").as_bytes()).is_ok());
    for other in [bound(b"another certificate"), bound(b""), bound(&hash[1..]), "biws".into(), "eSws".into()] {
        assert_eq!(plus().finish(last(&other, "").as_bytes()), Err(scram::Flaw::Bound), "{other}");
    }
    // It could have bound, and believes that we cannot.
    assert_eq!(begin("SCRAM-SHA-256", b"y,,n=,r=theirs", Some(hash)).unwrap_err(), scram::Flaw::Stripped);
    let cannot = begin("SCRAM-SHA-256", b"y,,n=,r=theirs", None).unwrap();
    assert!(cannot.finish(last("eSws", "").as_bytes()).is_ok());
    // It cannot, and says in the end that it could have: what it said first is what is signed.
    let changed = begin("SCRAM-SHA-256", FIRST, Some(hash)).unwrap();
    assert_eq!(changed.finish(last("eSws", "").as_bytes()), Err(scram::Flaw::Bound));
    assert_eq!(scram::offered(Some(hash)), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    assert_eq!(scram::offered(None), ["SCRAM-SHA-256"]);
}

#[test]
fn a_bearer_token_is_read_or_asked_for() {
    for (message, asks) in [
        ("n,,\x01auth=\x01\x01", oauth::Asks::Where),
        ("n,,\x01auth=Bearer a.b-c_d~e+f/g==\x01\x01", oauth::Asks::In("a.b-c_d~e+f/g==")),
        ("y,,\x01auth=bearer   x\x01\x01", oauth::Asks::In("x")),
        ("n,a=agent,\x01auth=BEARER x\x01\x01", oauth::Asks::In("x")),
        ("n,,\x01host=gw\x01port=6442\x01auth=Bearer x\x01other=a=b c\t\r\n\x01\x01", oauth::Asks::In("x")),
    ] {
        assert_eq!(oauth::read(message.as_bytes(), "agent"), Ok(asks), "{message:?}");
    }
    assert_eq!(oauth::read(b"n,a=b=2Cc=3D2C,\x01auth=\x01\x01", "b,c=2C"), Ok(oauth::Asks::Where));
    for message in
        ["n,a=other,\x01auth=Bearer x\x01\x01", "n,a=Agent,\x01auth=\x01\x01", "n,a=agent ,\x01auth=\x01\x01"]
    {
        assert_eq!(oauth::read(message.as_bytes(), "agent"), Err(oauth::Flaw::SomebodyElse), "{message:?}");
    }
}

#[test]
fn every_malformed_bearer_message_is_refused_alike() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,\x01",
        "n,,\x01\x01",
        "n,,auth=Bearer x\x01\x01",
        "n,,\x01auth=Bearer x\x01",
        "n,,\x01auth=Bearer x",
        "n,,\x01auth=Bearer x\x01\x01\x01",
        "n,,\x01\x01auth=Bearer x\x01\x01",
        "n,,\x01auth=Bearer x\x01\x01trailing",
        "n,,\x01auth=Bearer x\x01auth=Bearer x\x01\x01",
        "n,,\x01auth=\x01auth=\x01\x01",
        "n,,\x01host=a\x01\x01",
        "n,,\x01auth\x01\x01",
        "n,,\x01=x\x01auth=\x01\x01",
        "n,,\x01a1=x\x01auth=\x01\x01",
        "n,,\x01auth=Bearer\x01\x01",
        "n,,\x01auth=Bearer \x01\x01",
        "n,,\x01auth=Bearerx\x01\x01",
        "n,,\x01auth=Basic x\x01\x01",
        "n,,\x01auth=Bearer x y\x01\x01",
        "n,,\x01auth=Bearer =\x01\x01",
        "n,,\x01auth=Bearer x=y\x01\x01",
        "n,,\x01auth=Bearer \"x\"\x01\x01",
        "n,,\x01auth= Bearer x\x01\x01",
        "n,,\x01auth=Bearer x,\x01\x01",
        "n,,\x01auth=Bearer \u{e9}\x01\x01",
        "n,,\x01auth=\x01k=\x02\x01\x01",
        "n,,\x01auth=Bearer x\0\x01\x01",
        "p=tls-server-end-point,,\x01auth=\x01\x01",
        "N,,\x01auth=\x01\x01",
        "n,agent,\x01auth=\x01\x01",
        "n,a=,\x01auth=\x01\x01",
        "n,a=x=y,\x01auth=\x01\x01",
        "n,b=agent,\x01auth=\x01\x01",
        ",,\x01auth=\x01\x01",
    ] {
        assert_eq!(oauth::read(message.as_bytes(), "agent"), Err(oauth::Flaw::Malformed), "{message:?}");
    }
    assert_eq!(oauth::read(b"n,,\x01auth=\xff\x01\x01", "agent"), Err(oauth::Flaw::Malformed));
    let good = "n,a=agent,\x01host=gw\x01auth=Bearer x\x01\x01";
    for cut in 0..good.len() {
        assert_eq!(oauth::read(&good.as_bytes()[..cut], "agent"), Err(oauth::Flaw::Malformed), "{cut}");
    }
}

// ---- on the wire --------------------------------------------------------------------------------------------------

fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(b'p');
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.put_slice(body);
    out.to_vec()
}

fn initial(mechanism: &str, message: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    write::sasl_initial(&mut out, mechanism, message);
    out.to_vec()
}

fn discovery() -> Way {
    Way::OAuth(Discovery { issuer: "https://idp.example/realm/".into(), scope: "openid \"x\"".into() })
}

/// What a client hears: the codes of authentication requests, or SQLSTATE and message of its refusal.
fn heard(mut bytes: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let (body, rest) = rest.split_at(length);
        said.push(match ServerMessage::decode(head[0], body).unwrap() {
            ServerMessage::Error(fields) => format!("{} {}", fields.text(b'C'), fields.text(b'M')),
            ServerMessage::Authentication(_) => String::from_utf8_lossy(&body[3..]).into_owned(),
            other => panic!("{other:?}"),
        });
        bytes = rest;
    }
    said
}

struct Outcome {
    result: Result<&'static str>,
    heard: Vec<String>,
    /// Tokens that were verified.
    verified: Vec<String>,
}

/// Runs a login against a client that says all this, in pieces of so many bytes; `good` is the token accepted.
async fn against(way: &Way, said: &[u8], piece: usize) -> Outcome {
    let (near, far) = tokio::io::duplex(1 << 18);
    let startup = Startup::parse(b"\0\x03\0\0user\0agent\0\0").unwrap();
    let (verified, mut tried) = tokio::sync::mpsc::channel(4);
    let gateway = async {
        let mut io = Io::memory(far);
        let mut buffer = FrameBuf::new(FrameLimits::default());
        let verify = |proof: Proof| async {
            let Proof::Token { token, claimed_user } = proof else { return None };
            assert_eq!(claimed_user.as_deref(), Some("agent"));
            verified.try_send(token.expose_secret().to_owned()).unwrap();
            (token.expose_secret() == "good").then_some("let in")
        };
        let login = Login { startup: &startup, way, loopback: true, timeout: Duration::from_secs(60) };
        authenticate(&mut io, &mut buffer, login, verify).await
    };
    let client = async |mut stream: DuplexStream| {
        for piece in said.chunks(piece.max(1)) {
            stream.write_all(piece).await.ok();
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.ok();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.ok();
        heard
    };
    let (result, bytes) = tokio::join!(gateway, client(near));
    let verified = std::iter::from_fn(|| tried.try_recv().ok()).collect();
    Outcome { result, heard: heard(&bytes), verified }
}

const ASKED: &str = "\nOAUTHBEARER\0\0";
const TOLD: &str = "\x0b{\"openid-configuration\":\"https://idp.example/realm/.well-known/openid-configuration\",\"scope\":\"openid \\\"x\\\"\",\"status\":\"invalid_token\"}";
const REFUSED: &str = "28000 OAuth bearer authentication failed for user \"agent\"";

#[tokio::test]
async fn a_good_token_is_followed_by_nothing_more_of_sasl() {
    let message = b"n,,\x01auth=Bearer good\x01\x01";
    for said in [
        initial("OAUTHBEARER", message),
        // Without a first message of its own.
        [frame(b"OAUTHBEARER\0\xff\xff\xff\xff"), frame(message)].concat(),
    ] {
        for piece in 1..=said.len() {
            let outcome = against(&discovery(), &said, piece).await;
            assert_eq!(outcome.result.unwrap(), "let in", "in pieces of {piece}");
            assert_eq!((outcome.heard[0].as_str(), outcome.verified.len()), (ASKED, 1));
        }
    }
}

#[tokio::test]
async fn asking_where_and_a_bad_token_end_alike_and_only_one_was_tried() {
    for (message, tried) in [(&b"n,,\x01auth=\x01\x01"[..], 0), (b"n,,\x01auth=Bearer bad\x01\x01", 1)] {
        let said = [initial("OAUTHBEARER", message), frame(b"\x01")].concat();
        let outcome = against(&discovery(), &said, said.len()).await;
        assert!(matches!(outcome.result, Err(Error::Refused(_))));
        assert_eq!(outcome.heard, [ASKED, TOLD, REFUSED]);
        assert_eq!(outcome.verified.len(), tried, "asking where is no attempt");
    }
    // What is not the end that the exchange has, another token above all, ends it as well.
    for end in [&b""[..], b"\x01\x01", b"\x02", b"n,,\x01auth=Bearer good\x01\x01"] {
        let said = [initial("OAUTHBEARER", b"n,,\x01auth=\x01\x01"), frame(end)].concat();
        let outcome = against(&discovery(), &said, said.len()).await;
        assert_eq!(outcome.heard[2], "08P01 malformed OAUTHBEARER message", "{end:?}");
        assert!(outcome.verified.is_empty());
    }
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_not_tried() {
    let message = b"n,,\x01auth=Bearer good\x01\x01";
    let good = initial("OAUTHBEARER", message);
    let lie = |length: i32| frame(&[b"OAUTHBEARER\0", &length.to_be_bytes()[..], message].concat());
    for (said, refused) in [
        (initial("SCRAM-SHA-256", message), "08P01 the client chose a SASL mechanism that was not offered"),
        (initial("", message), "08P01 the client chose a SASL mechanism that was not offered"),
        (initial("oauthbearer", message), "08P01 the client chose a SASL mechanism that was not offered"),
        (frame(b"good\0"), "08P01 insufficient data left in message"),
        (frame(b""), "08P01 insufficient data left in message"),
        (lie(-2), "08P01 invalid value length in message"),
        (lie(i32::MIN), "08P01 invalid value length in message"),
        (lie(-1), "08P01 invalid message format"),
        (lie(0), "08P01 invalid message format"),
        (lie(21), "08P01 invalid message format"),
        (lie(23), "08P01 insufficient data left in message"),
        (lie(i32::MAX), "08P01 insufficient data left in message"),
        (initial("OAUTHBEARER", b""), "08P01 malformed OAUTHBEARER message"),
        (
            initial("OAUTHBEARER", b"n,a=other,\x01auth=Bearer good\x01\x01"),
            "28000 the authorization identity is not the user of the connection",
        ),
        ([b"Q", &good[1..]].concat(), "08P01"),
    ] {
        let outcome = against(&discovery(), &said, said.len()).await;
        assert!(outcome.heard[1].starts_with(refused), "{:?}", outcome.heard);
        assert!(outcome.verified.is_empty() && outcome.result.is_err());
    }
    for cut in 0..good.len() {
        let outcome = against(&discovery(), &good[..cut], cut).await;
        assert!(matches!(outcome.result, Err(Error::Closed { side: Side::Client })), "{cut}");
    }
    // 64 KiB and not a byte more.
    let long = |length: usize| {
        let around = frame(b"OAUTHBEARER\0").len() + 3 + b"n,,\x01auth=Bearer \x01\x01".len();
        initial("OAUTHBEARER", format!("n,,\x01auth=Bearer {}\x01\x01", "x".repeat(length - around)).as_bytes())
    };
    assert_eq!(against(&discovery(), &long(64 * 1024), 9999).await.verified.len(), 1);
    let outcome = against(&discovery(), &long(64 * 1024 + 1), 9999).await;
    assert!(outcome.heard[1].starts_with("08P01") && outcome.verified.is_empty());
}

#[tokio::test]
async fn a_provider_that_nobody_verified_is_not_believed_over_a_line_others_hear() {
    for way in [Way::Password, Way::Scram(CHALLENGE), discovery()] {
        let (near, far) = tokio::io::duplex(1 << 16);
        let startup = Startup::parse(b"\0\x03\0\0user\0agent\0\0").unwrap();
        let login = Login { startup: &startup, way: &way, loopback: false, timeout: Duration::from_secs(60) };
        let (mut io, mut buffer) = (Io::memory(far), FrameBuf::new(FrameLimits::default()));
        let verify = |_| async { Some(()) };
        assert!(authenticate(&mut io, &mut buffer, login, verify).await.is_err());
        drop(io);
        let mut bytes = Vec::new();
        let mut near = near;
        near.read_to_end(&mut bytes).await.unwrap();
        assert!(heard(&bytes)[0].starts_with("28000"), "refused before anything is asked");
    }
}

#[tokio::test]
async fn scram_on_the_wire_refuses_whatever_is_out_of_place() {
    let way = Way::Scram(CHALLENGE);
    for (said, refused) in [
        (
            initial("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=x"),
            "08P01 the client chose a SASL mechanism that was not offered",
        ),
        (
            initial("OAUTHBEARER", b"n,,\x01auth=Bearer good\x01\x01"),
            "08P01 the client chose a SASL mechanism that was not offered",
        ),
        (initial("SCRAM-SHA-256", b"n,,m=1,n=,r=x"), "08P01 malformed SCRAM message"),
        (frame(b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r="), "08P01 insufficient data left in message"),
        (frame(b"SCRAM-SHA-256"), "08P01 insufficient data left in message"),
        (frame(b"pct_token\0"), "08P01 insufficient data left in message"),
    ] {
        let outcome = against(&way, &said, said.len()).await;
        assert_eq!((outcome.heard[0].as_str(), outcome.heard[1].as_str()), ("\nSCRAM-SHA-256\0\0", refused));
    }
    // A proof over a nonce that was never given out, whatever else it says.
    let said = [initial("SCRAM-SHA-256", FIRST), frame(last("biws", "").as_bytes())].concat();
    for piece in 1..said.len() {
        let outcome = against(&way, &said, piece).await;
        assert_eq!(outcome.heard.last().unwrap(), "08P01 malformed SCRAM message");
        assert!(outcome.heard[1].starts_with("\x0br=theirs"), "{:?}", outcome.heard);
    }
}

#[tokio::test]
async fn over_tls_a_client_that_was_robbed_of_the_offer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Authority::new(dir.path(), &[], &[]).open().unwrap().certificates.server(&[]).unwrap();
    let client = ClientTls::new(VerifyMode::VerifyFull, &Roots::File(dir.path().join("ca.pem")), &[]).unwrap();
    for (first, refused, recorded) in [
        (
            &b"y,,n=,r=x"[..],
            "28000 SCRAM channel binding negotiation error",
            Some("SCRAM by a client that did not see the offer to bind"),
        ),
        (b"p=tls-server-end-point,,n=,r=x", "08P01 malformed SCRAM message", None),
    ] {
        let (near, far) = tokio::io::duplex(1 << 16);
        let startup = Startup::parse(b"\0\x03\0\0user\0agent\0\0").unwrap();
        let gateway = async {
            let mut io = tls.accept(Io::memory(far)).await.unwrap();
            let way = Way::Scram(CHALLENGE);
            let login = Login { startup: &startup, way: &way, loopback: false, timeout: Duration::from_secs(60) };
            authenticate(&mut io, &mut FrameBuf::new(FrameLimits::default()), login, |_| async { Some(()) }).await
        };
        let talk = async {
            let mut io = client.connect(Io::memory(near), "localhost").await.unwrap();
            io.write_all(&initial("SCRAM-SHA-256", first)).await.unwrap();
            io.flush().await.unwrap();
            let mut bytes = Vec::new();
            io.read_to_end(&mut bytes).await.ok();
            heard(&bytes)
        };
        let (result, heard) = tokio::join!(gateway, talk);
        assert_eq!(unjudged(&result), recorded);
        assert_eq!(heard, ["\nSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", refused]);
    }
}

/// What is to be recorded of a login that nothing was judged for.
fn unjudged<T>(result: &Result<T>) -> Option<&'static str> {
    match result {
        Err(Error::Refused(refused)) => refused.unjudged,
        Ok(_) | Err(_) => None,
    }
}

#[tokio::test]
async fn what_nothing_is_judged_for_is_for_the_record() {
    let other = initial("OAUTHBEARER", b"n,a=other,\x01auth=Bearer good\x01\x01");
    let outcome = against(&discovery(), &other, other.len()).await;
    assert_eq!(unjudged(&outcome.result), Some("OAUTHBEARER as another user than the connection's"));
    let bound: Result<()> = Err(scram_flaw(scram::Flaw::Bound, "agent"));
    assert_eq!(unjudged(&bound), Some("SCRAM bound to another connection"));
    // A token that was judged is the verifier's to record; asking where to get one is no attempt.
    for message in [&b"n,,\x01auth=\x01\x01"[..], b"n,,\x01auth=Bearer bad\x01\x01"] {
        let said = [initial("OAUTHBEARER", message), frame(b"\x01")].concat();
        assert_eq!(unjudged(&against(&discovery(), &said, said.len()).await.result), None);
    }
}
