use super::*;
use crate::frame::{Frame, HEADER};
use bytes::{Buf, BufMut, BytesMut};
use pgwire::messages::{DecodeContext, Message as _, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};
use proptest::prelude::*;

fn built(build: impl FnOnce(&mut BytesMut)) -> Frame {
    let mut out = BytesMut::new();
    build(&mut out);
    Frame::whole(out.freeze()).expect("exactly one frame")
}

fn client(frame: &Frame) -> Result<ClientMessage<'_>, DecodeError> {
    ClientMessage::decode(frame.tag(), frame.body())
}

fn server(frame: &Frame) -> Result<ServerMessage<'_>, DecodeError> {
    ServerMessage::decode(frame.tag(), frame.body())
}

/// A Bind with everything in it.
fn bind_body() -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_slice(b"p\0s\0");
    body.put_slice(&[0, 2, 0, 0, 0, 1]);
    body.put_slice(&[0, 2]);
    body.put_slice(b"\0\0\0\x03abc");
    body.put_slice(b"\xff\xff\xff\xff");
    body.put_slice(&[0, 1, 0, 1]);
    body.to_vec()
}

/// One valid body of every kind a client sends that has one.
fn client_bodies() -> Vec<(u8, Vec<u8>)> {
    vec![
        (b'Q', b"SELECT '\xc3\xa9'\0".to_vec()),
        (b'P', b"s\0SELECT $1\0\0\x02\0\0\0\x17\0\0\0\0".to_vec()),
        (b'B', bind_body()),
        (b'D', b"Ss\0".to_vec()),
        (b'C', b"Pp\0".to_vec()),
        (b'E', b"p\0\0\0\0\x05".to_vec()),
        (b'F', [&b"\0\0\0\x01\0\0\0\x01\0\0\0\x01x\0\x01"[..]].concat()),
        (b'f', b"no\0".to_vec()),
        (b'S', vec![]),
        (b'H', vec![]),
        (b'X', vec![]),
        (b'c', vec![]),
    ]
}

#[test]
fn client_messages_are_read() {
    let read = |tag, body| ClientMessage::decode(tag, body);
    assert_eq!(read(b'Q', b"SELECT 1\0"), Ok(ClientMessage::Query("SELECT 1")));
    assert_eq!(read(b'D', b"Ss\0"), Ok(ClientMessage::Describe(Target::Statement("s"))));
    assert_eq!(read(b'C', b"P\0"), Ok(ClientMessage::Close(Target::Portal(""))));
    assert_eq!(read(b'E', b"p\0\xff\xff\xff\xff"), Ok(ClientMessage::Execute { portal: "p", max_rows: -1 }));
    assert_eq!(read(b'f', b"why\0"), Ok(ClientMessage::CopyFail("why")));
    assert_eq!(read(b'd', b"a\0b"), Ok(ClientMessage::CopyData(b"a\0b")));
    let Ok(ClientMessage::Parse { statement: "s", sql: "SELECT $1", types }) =
        read(b'P', b"s\0SELECT $1\0\0\x02\0\0\0\x17\0\0\0\0")
    else {
        panic!()
    };
    assert_eq!(client::parameter_types(types).collect::<Vec<_>>(), [23, 0]);
    let body = bind_body();
    let Ok(ClientMessage::Bind { portal: "p", statement: "s", params, results }) = read(b'B', &body) else { panic!() };
    assert_eq!(params.iter().collect::<Vec<_>>(), [Some(&b"abc"[..]), None]);
    assert_eq!((params.len(), params.is_binary(0), params.is_binary(1)), (2, false, true));
    assert_eq!((results.len(), results.is_binary(0), results.is_binary(7)), (1, true, true));
    for (tag, body) in client_bodies() {
        let message = ClientMessage::decode(tag, &body).unwrap_or_else(|error| panic!("{}: {error}", char::from(tag)));
        assert_eq!(matches!(message, ClientMessage::FunctionCall { function: 1 }), tag == b'F');
    }
}

#[test]
fn pg_p01_every_cut_and_every_addition_is_refused() {
    for (tag, body) in client_bodies() {
        for cut in 0..body.len() {
            let error = ClientMessage::decode(tag, &body[..cut]).expect_err("a cut message");
            assert!(error.is_fatal() && error.sqlstate() == "08P01", "{} cut at {cut}: {error}", char::from(tag));
        }
        for extra in [0, b'x'] {
            let longer = [body.as_slice(), &[extra]].concat();
            assert_eq!(ClientMessage::decode(tag, &longer), Err(DecodeError::Trailing), "{}", char::from(tag));
        }
    }
    // A second NUL inside what is one string, and a second message behind the first.
    assert_eq!(ClientMessage::decode(b'Q', b"SELECT 1\0DROP TABLE t\0"), Err(DecodeError::Trailing));
    assert_eq!(ClientMessage::decode(b'Q', b"SELECT 1\0Q\0\0\0\x06x\0"), Err(DecodeError::Trailing));
}

#[test]
fn pg_p04_lying_counts_and_lengths_are_refused() {
    let bind = |tail: &[u8]| ClientMessage::decode(b'B', &[b"\0\0", tail].concat()).map(|_| ());
    assert_eq!(bind(b"\0\0\0\0\0\0"), Ok(()));
    for (tail, expected) in [
        (&b"\0\0\0\x01\xff\xff\xff\xfe\0\0"[..], DecodeError::Invalid("value length")),
        (b"\0\0\0\x01\x80\0\0\0\0\0", DecodeError::Invalid("value length")),
        (b"\0\0\0\x01\x7f\xff\xff\xff\0\0", DecodeError::Short),
        (b"\0\0\xff\xff\0\0", DecodeError::Short),
        (b"\xff\xff\0\0\0\0", DecodeError::Short),
        (b"\0\x01\0\x02\0\0\0\0", DecodeError::Invalid("format code")),
        (b"\0\x01\x01\0\0\0\0\0", DecodeError::Invalid("format code")),
        (b"\0\x02\0\0\0\0\0\x01\xff\xff\xff\xff\0\0", DecodeError::Invalid("number of parameter formats")),
        (b"\0\0\0\0\0\x01\0\x02", DecodeError::Invalid("format code")),
    ] {
        assert_eq!(bind(tail), Err(expected), "{tail:?}");
    }
    assert_eq!(ClientMessage::decode(b'P', b"\0\0\xff\xff"), Err(DecodeError::Short));
    assert_eq!(ClientMessage::decode(b'D', b"Xs\0"), Err(DecodeError::Invalid("subtype")));
    assert_eq!(ClientMessage::decode(b'p', b"x\0"), Err(DecodeError::Unknown));
}

#[test]
fn pg_p33_text_is_utf8_and_names_are_kept_whole() {
    // The text that one reader repairs and another runs.
    let broken = ClientMessage::decode(b'Q', b"SELECT '\xe9\x80'\0").expect_err("not UTF-8");
    assert_eq!((broken, broken.is_fatal(), broken.sqlstate()), (DecodeError::Text, false, "22021"));
    for overlong in [&b"\xc0\xaf\0"[..], b"\xed\xa0\x80\0", b"\xf4\x90\x80\x80\0", b"\x80\0"] {
        assert_eq!(ClientMessage::decode(b'Q', overlong), Err(DecodeError::Text));
    }
    let named = |name: &str| ClientMessage::decode(b'E', &[name.as_bytes(), b"\0\0\0\0\0"].concat()).map(|_| ());
    assert_eq!(named(&"n".repeat(63)), Ok(()));
    assert_eq!(named(&"n".repeat(64)), Err(DecodeError::NameTooLong));
    assert_eq!(named("gw$deny"), Err(DecodeError::ReservedName));
    assert_eq!(named("gw"), Ok(()));
    assert!(!DecodeError::NameTooLong.is_fatal() && !DecodeError::ReservedName.is_fatal());
    // Malformed beats unacceptable, so that it always ends the session.
    assert_eq!(ClientMessage::decode(b'P', b"s\0\xe9\0\0\x01"), Err(DecodeError::Short));
    assert_eq!(password(b"secret\0"), Ok("secret"));
    assert!(password(b"secret").is_err() && password(b"se\0cret\0").is_err() && password(b"").is_err());
}

#[test]
fn what_is_built_is_read_back() {
    let query = built(|out| write::query(out, "SELECT 1"));
    assert_eq!(client(&query), Ok(ClientMessage::Query("SELECT 1")));
    let parse = built(|out| write::parse(out, "s", "SELECT $1", &[23]));
    assert_eq!(client(&parse), Ok(ClientMessage::Parse { statement: "s", sql: "SELECT $1", types: &[0, 0, 0, 23] }));
    let bind = built(|out| write::bind(out, "p", "s", &[Some("a"), None], true));
    let Ok(ClientMessage::Bind { params, results, .. }) = client(&bind) else { panic!() };
    assert_eq!(params.iter().collect::<Vec<_>>(), [Some(&b"a"[..]), None]);
    assert!(results.is_binary(0) && results.any_binary());
    for (frame, expected) in [
        (built(|out| write::describe(out, Target::Portal("p"))), ClientMessage::Describe(Target::Portal("p"))),
        (built(|out| write::close(out, Target::Statement("s"))), ClientMessage::Close(Target::Statement("s"))),
        (built(|out| write::execute(out, "p", 7)), ClientMessage::Execute { portal: "p", max_rows: 7 }),
        (built(write::sync), ClientMessage::Sync),
        (built(write::flush), ClientMessage::Flush),
        (built(write::terminate), ClientMessage::Terminate),
        (built(|out| write::copy_fail(out, "no")), ClientMessage::CopyFail("no")),
    ] {
        assert_eq!(client(&frame), Ok(expected));
    }
    for (frame, expected) in [
        (built(write::authentication_ok), ServerMessage::Authentication(Authentication::Ok)),
        (built(write::authentication_cleartext), ServerMessage::Authentication(Authentication::CleartextPassword)),
        (
            built(|out| write::authentication_sasl(out, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])),
            ServerMessage::Authentication(Authentication::Sasl(vec!["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])),
        ),
        (
            built(|out| write::authentication_sasl_continue(out, b"r=x")),
            ServerMessage::Authentication(Authentication::SaslContinue(b"r=x")),
        ),
        (
            built(|out| write::authentication_sasl_final(out, b"v=x")),
            ServerMessage::Authentication(Authentication::SaslFinal(b"v=x")),
        ),
        (
            built(|out| write::parameter_status(out, "TimeZone", "UTC")),
            ServerMessage::ParameterStatus { name: "TimeZone", value: b"UTC" },
        ),
        (
            built(|out| write::backend_key_data(out, 7, &[1, 2, 3, 4])),
            ServerMessage::BackendKeyData { pid: 7, secret: &[1, 2, 3, 4] },
        ),
        (
            built(|out| write::negotiate_protocol_version(out, 196_610, &["_pq_.x".to_owned()])),
            ServerMessage::NegotiateProtocolVersion { version: 196_610, options: vec!["_pq_.x"] },
        ),
        (
            built(|out| write::ready_for_query(out, TransactionStatus::Failed)),
            ServerMessage::ReadyForQuery(TransactionStatus::Failed),
        ),
    ] {
        assert_eq!(server(&frame), Ok(expected));
    }
    let denied = Report::new(Severity::Error, "42501", "denied\0by").detail("rule r").hint("ask");
    let frame = built(|out| write::error(out, &denied));
    let Ok(ServerMessage::Error(fields)) = server(&frame) else { panic!() };
    let all: Vec<_> = b"SVCMDH".iter().map(|code| fields.text(*code).into_owned()).collect();
    assert_eq!(all, ["ERROR", "ERROR", "42501", "denied by", "rule r", "ask"]);
    assert!(!fields.is_fatal() && fields.get(b'W').is_none());
    let notice = built(|out| write::error(out, &Report::new(Severity::Notice, "00000", "wait")));
    assert!(matches!(server(&notice), Ok(ServerMessage::Notice(_))));
    let fatal = built(|out| write::error(out, &Report::new(Severity::Fatal, "57P01", "bye")));
    assert!(matches!(server(&fatal), Ok(ServerMessage::Error(fields)) if fields.is_fatal()));
}

#[test]
fn messages_without_a_tag_have_the_shapes_of_the_protocol() {
    let bytes = |build: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        build(&mut out);
        out.to_vec()
    };
    assert_eq!(bytes(&|out| write::ssl_request(out)), [0, 0, 0, 8, 4, 210, 22, 47]);
    assert_eq!(bytes(&|out| write::startup(out, 196_608, &[("user", "u")])), *b"\0\0\0\x10\0\x03\0\0user\0u\0\0");
    assert_eq!(
        bytes(&|out| write::cancel_request(out, 1, &[9; 4])),
        [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 9, 9, 9, 9]
    );
}

/// One valid body of every kind a server sends.
fn server_bodies() -> Vec<(u8, Vec<u8>)> {
    vec![
        (b'A', b"\0\0\0\x01ch\0pay\0".to_vec()),
        (b'C', b"SELECT 1\0".to_vec()),
        (b'E', b"SERROR\0C42501\0Mno\0\0".to_vec()),
        (b'N', b"SNOTICE\0\0".to_vec()),
        (b'G', b"\0\0\x02\0\0\0\0".to_vec()),
        (b'H', b"\x01\0\x01\0\x01".to_vec()),
        (b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0".to_vec()),
        (b'S', b"TimeZone\0UTC\0".to_vec()),
        (b'T', b"\0\x01id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0".to_vec()),
        (b'Z', b"I".to_vec()),
        (b't', b"\0\x01\0\0\0\x17".to_vec()),
        (b'v', b"\0\x03\0\0\0\0\0\x01_pq_.x\0".to_vec()),
    ]
}

#[test]
fn server_messages_are_read_and_cuts_are_refused() {
    for (tag, body) in server_bodies() {
        assert!(ServerMessage::decode(tag, &body).is_ok(), "{}", char::from(tag));
        for cut in 0..body.len() {
            assert!(ServerMessage::decode(tag, &body[..cut]).is_err(), "{} cut at {cut}", char::from(tag));
        }
        assert!(ServerMessage::decode(tag, &[body.as_slice(), b"\0"].concat()).is_err(), "{}", char::from(tag));
    }
    for tag in *b"123Icns" {
        assert!(ServerMessage::decode(tag, b"").is_ok());
        assert_eq!(ServerMessage::decode(tag, b"x"), Err(DecodeError::Trailing));
    }
    for tag in *b"WVQ" {
        assert_eq!(ServerMessage::decode(tag, b""), Err(DecodeError::Unknown));
    }
    let columns = server_bodies().swap_remove(8).1;
    let Ok(ServerMessage::RowDescription(columns)) = ServerMessage::decode(b'T', &columns) else { panic!() };
    assert_eq!(
        columns,
        [Column {
            name: b"id",
            relation: 0x4000,
            attribute: 1,
            type_oid: 23,
            type_size: 4,
            type_modifier: -1,
            binary: false
        }]
    );
}

#[test]
fn pg_p04_a_hostile_server_is_refused() {
    for (tag, body) in [
        (b'K', &b"\0\0\0\x01"[..]),
        (b'K', b"\0\0\0\x01abc"),
        (b'K', &[0; 4 + 257]),
        (b'Z', b"X"),
        (b'T', b"\xff\xff"),
        (b'T', b"\0\x01id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x02"),
        (b'G', b"\x02\0\0"),
        (b'v', b"\0\x03\0\0\xff\xff\xff\xff"),
        (b't', b"\xff\xff"),
        (b'E', b"SERROR"),
        (b'R', b"\0\0\0\x05abc"),
        (b'R', b"\0\0\0\x0aSCRAM"),
        (b'D', b"\0"),
    ] {
        assert!(ServerMessage::decode(tag, body).is_err(), "{} {body:?}", char::from(tag));
    }
    assert!(ServerMessage::decode(b'K', &[0; 4 + 256]).is_ok());
}

#[test]
fn rows_are_checked_as_they_are_walked() {
    let cells = |body| DataRow::read(body).unwrap().cells().collect::<Vec<_>>();
    assert_eq!(cells(b"\0\0"), []);
    assert_eq!(
        cells(b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0"),
        [Ok(Some(&b"a"[..])), Ok(None), Ok(Some(&b""[..]))]
    );
    assert_eq!(cells(b"\0\x01\0\0\0\x02a"), [Err(DecodeError::Short)]);
    assert_eq!(cells(b"\0\x02\0\0\0\x01a"), [Ok(Some(&b"a"[..])), Err(DecodeError::Short)]);
    assert_eq!(cells(b"\0\x01\xff\xff\xff\xfe"), [Err(DecodeError::Invalid("value length"))]);
    assert_eq!(cells(b"\0\0x"), [Err(DecodeError::Trailing)]);
}

fn context() -> DecodeContext {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    context
}

/// What the other implementation makes of these bytes, re-encoded; none if it did not take all of them.
fn other_client(frame: &Frame) -> Option<PgWireFrontendMessage> {
    let mut bytes = BytesMut::from(frame.bytes().as_ref());
    let message = PgWireFrontendMessage::decode(&mut bytes, &context()).ok()??;
    (!bytes.has_remaining()).then_some(message)
}

#[test]
fn another_implementation_reads_what_is_built_alike() {
    let parse = built(|out| write::parse(out, "s", "SELECT $1", &[23]));
    let Some(PgWireFrontendMessage::Parse(other)) = other_client(&parse) else { panic!() };
    assert_eq!((other.name.as_deref(), other.query.as_str(), other.type_oids), (Some("s"), "SELECT $1", vec![23]));
    let bind = built(|out| write::bind(out, "p", "s", &[Some("a"), None], true));
    let Some(PgWireFrontendMessage::Bind(other)) = other_client(&bind) else { panic!() };
    assert_eq!((other.portal_name.as_deref(), other.statement_name.as_deref()), (Some("p"), Some("s")));
    assert_eq!(other.parameters, [Some("a".into()), None]);
    assert_eq!(other.result_column_format_codes, [1]);
    let report = Report::new(Severity::Error, "42501", "denied").hint("ask");
    let error = built(|out| write::error(out, &report));
    let mut bytes = BytesMut::from(error.bytes().as_ref());
    let Ok(Some(PgWireBackendMessage::ErrorResponse(other))) = PgWireBackendMessage::decode(&mut bytes, &context())
    else {
        panic!()
    };
    assert_eq!(
        other.fields,
        [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', "42501"), (b'M', "denied"), (b'H', "ask")]
            .map(|(code, text)| (code, text.to_owned()))
    );
}

fn names() -> impl Strategy<Value = String> {
    "[^\\x00]{0,15}".prop_filter("reserved", |name| !name.starts_with(RESERVED_PREFIX))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_message(&data);
    }

    #[test]
    fn damaged_messages_never_panic(which in 0_usize..24, at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bodies = client_bodies();
        bodies.extend(server_bodies());
        let (tag, mut body) = bodies.swap_remove(which);
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = with;
        }
        fuzz_message(&[&[tag][..], &body].concat());
    }

    #[test]
    fn parse_round_trips_and_agrees(name in names(), sql in "[^\\x00]{0,80}", types in proptest::collection::vec(any::<u32>(), 0..5)) {
        let frame = built(|out| write::parse(out, &name, &sql, &types));
        let read = client(&frame);
        if let Ok(ClientMessage::Parse { statement, sql: read, types: oids }) = read {
            prop_assert_eq!((statement, read), (name.as_str(), sql.as_str()));
            prop_assert_eq!(client::parameter_types(oids).collect::<Vec<_>>(), types);
            let Some(PgWireFrontendMessage::Parse(other)) = other_client(&frame) else { panic!() };
            prop_assert_eq!(other.name.unwrap_or_default(), name);
            prop_assert_eq!(other.query, sql);
        } else {
            prop_assert!(name.len() > NAME_LIMIT, "{read:?}");
        }
    }

    #[test]
    fn bind_agrees_with_another_implementation(
        formats in 0_usize..3,
        values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
        binary in any::<bool>(),
    ) {
        let count = match formats { 0 => 0, 1 => 1, _ => values.len() };
        let mut body = BytesMut::from(&b"p\0s\0"[..]);
        body.put_u16(count as u16);
        (0..count).for_each(|_| body.put_u16(u16::from(binary)));
        body.put_u16(values.len() as u16);
        for value in &values {
            match value {
                Some(value) => { body.put_i32(value.len() as i32); body.put_slice(value); }
                None => body.put_i32(-1),
            }
        }
        body.put_u16(0);
        let Ok(ClientMessage::Bind { params, results, .. }) = ClientMessage::decode(b'B', &body) else { panic!() };
        let expected: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        prop_assert_eq!(params.iter().collect::<Vec<_>>(), expected);
        prop_assert!(results.is_empty() && !results.is_binary(0));
        prop_assert!((0..values.len()).all(|at| params.is_binary(at) == (binary && count > 0)));
        let mut copy = body.clone();
        let other = pgwire::messages::extendedquery::Bind::decode_body(&mut copy, body.len() + 4, &context()).unwrap();
        let other: Vec<Option<&[u8]>> = other.parameters.iter().map(Option::as_deref).collect();
        prop_assert_eq!(params.iter().collect::<Vec<_>>(), other);
    }

    #[test]
    fn reports_survive_any_text(message in ".{0,60}", detail in proptest::option::of(".{0,30}")) {
        let mut report = Report::new(Severity::Error, "42501", message.as_str());
        report.detail = detail.as_deref().map(Into::into);
        let frame = built(|out| write::error(out, &report));
        let Ok(ServerMessage::Error(fields)) = server(&frame) else { panic!() };
        prop_assert_eq!(fields.text(b'M'), message.replace('\0', " "));
        prop_assert_eq!(fields.get(b'D').is_some(), detail.is_some());
        prop_assert_eq!(frame.bytes().len(), frame.body().len() + HEADER);
    }
}
