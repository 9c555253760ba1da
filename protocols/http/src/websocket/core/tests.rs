//! What becomes of one socket, whatever is said over it: rules, masks, holds, and sides that break off.

use super::*;
use crate::core::tests::rig::{House, Sink, policy};
use crate::frame::Method;
use crate::path::{Path, Query};
use crate::websocket::{Kind, write};
use bytes::BytesMut;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use portcullis_approvals::Ballot;
use portcullis_gate::{Downstream, Upstream};
use std::task::{Context, Poll, Waker};

const BUNDLE: &str = r#"
bundle: live
applies_to: { connections: [service], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read], objects: ["endpoint * /**"] }
  - id: talk
    allow: { actions: [connect], objects: ["endpoint GET /live/*"] }
  - id: no-refunds
    deny: { actions: [connect], objects: ["endpoint * /live/json"], fields: { "$.kind": [refund] } }
  - id: ask
    hold: { actions: [connect], objects: ["endpoint * /live/json"], fields: { "$.kind": [order] } }
    approvers: { groups: [dba] }
"#;

const FIELDS: &str = "mask:\n  - { id: ssn, json: ['$..ssn'], with: redact }\n";
const WORDS: &str = "mask:\n  - { id: mail, detect: [email], with: redact }\n";

/// One socket, with what either side was sent.
struct Rig {
    core: Core,
    steps: Steps,
    session: Arc<Session>,
    up: Upstream<Sink<ToPeer>>,
    down: Downstream<Sink<ToPeer>>,
    to_backend: Sink<ToPeer>,
    to_client: Sink<ToPeer>,
    hold: Option<Hold<ToPeer>>,
}

async fn house(masks: &str) -> House {
    let house = House::new().await;
    house.gate.set_policy(policy(&format!("{BUNDLE}{masks}")));
    house
}

impl Rig {
    async fn open(house: &House, path: &str) -> Self {
        Self::open_with(house, path, false).await
    }

    async fn open_with(house: &House, path: &str, opaque: bool) -> Self {
        let session = Arc::new(house.session().await);
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        let (path, query) = (Path::read(path).unwrap(), Query::default());
        let request = Request { method: Method::Get, path, query, headers, body: Bytes::new() };
        let command = classify::document(&request, vec![classify::upgrade(&request.path)], None);
        let Ruling::Forward(_cleared, permit) = session.ask(session.seal(request.clone(), command)) else {
            panic!("the socket is not opened")
        };
        let (to_backend, to_client) = (Sink::new(), Sink::new());
        Self {
            core: Core::new(Arc::clone(&session), request, opaque, permit, 1 << 16),
            steps: Steps::default(),
            up: Upstream::new(to_backend.again(), &session),
            down: Downstream::new(to_client.again(), &session),
            session,
            to_backend,
            to_client,
            hold: None,
        }
    }

    fn apply(&mut self) {
        if std::mem::take(&mut self.steps.withdraw) {
            self.hold = None;
        }
        self.core.pong(true, true, &mut self.steps);
        if let Some(permit) = self.steps.reserve.take() {
            let reserved = self.session.reserve(&permit, 0).now_or_never().unwrap();
            self.core.on_reserved(permit, reserved, &mut self.steps);
        }
        for cleared in self.steps.up.drain(..) {
            self.up.push(cleared);
        }
        for released in self.steps.down.drain(..) {
            self.down.push(released);
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(self.up.poll_send(&mut cx), Poll::Ready(Ok(()))));
        assert!(matches!(self.down.poll_send(&mut cx), Poll::Ready(Ok(()))));
        self.core.on_sent();
        if let Some(hold) = self.steps.hold.take() {
            self.hold = Some(hold);
        }
    }

    /// Bytes of the client.
    fn client(&mut self, bytes: &[u8]) {
        self.core.feed_client(bytes);
        while self.core.on_client(&mut self.steps) {
            self.apply();
        }
        self.apply();
    }

    fn backend(&mut self, bytes: &[u8]) {
        self.core.feed_backend(bytes);
        while self.core.on_backend(&mut self.steps) {
            self.apply();
        }
        self.apply();
    }

    fn says(&mut self, text: &str) {
        self.client(&framed(Kind::Text, text.as_bytes(), Some([1, 2, 3, 4])));
    }

    fn hears(&mut self, text: &str) {
        self.backend(&framed(Kind::Text, text.as_bytes(), None));
    }

    fn sent(&self) -> Vec<ToPeer> {
        self.to_backend.take()
    }

    fn told(&self) -> Vec<ToPeer> {
        self.to_client.take()
    }
}

fn framed(kind: Kind, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(kind, payload, mask, &mut out);
    out.to_vec()
}

fn text(text: &str) -> ToPeer {
    ToPeer::Text(Bytes::copy_from_slice(text.as_bytes()))
}

/// The code and the words of the one close among these, which is the last.
fn closed(frames: &[ToPeer]) -> (u16, String) {
    let Some(ToPeer::Close(close)) = frames.last() else { panic!("no close: {frames:?}") };
    assert_eq!(frames.iter().filter(|frame| matches!(frame, ToPeer::Close(_))).count(), 1);
    let payload = close.payload();
    let (code, reason) =
        payload.split_first_chunk::<2>().map_or((1005, &b""[..]), |(code, reason)| (u16::from_be_bytes(*code), reason));
    (code, String::from_utf8(reason.to_vec()).unwrap())
}

#[tokio::test]
async fn each_message_is_a_command_and_passes_both_ways() {
    let house = house("").await;
    let mut rig = Rig::open(&house, "/live/json").await;
    rig.says(r#"{"kind":"note"}"#);
    assert_eq!(rig.sent(), [text(r#"{"kind":"note"}"#)]);
    rig.hears("thanks");
    assert_eq!(rig.told(), [text("thanks")]);
    rig.client(&framed(Kind::Close, b"\x03\xe8bye", Some([0; 4])));
    assert_eq!((closed(&rig.sent()), closed(&rig.told())), ((1000, String::new()), (1000, String::new())));
    rig.backend(&framed(Kind::Close, b"\x03\xe8", None));
    assert!(rig.core.is_over());
    let told = house.told_of(rig.session.id()).await;
    let expected = ["1 GET /live/json", "2 GET /live/json", "2 completed sent", "said thanks", "1 completed 1000"];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_right_to_read_opens_no_socket() {
    let house = house("").await;
    let session = house.session().await;
    let path = Path::read("/other").unwrap();
    for (operation, passes) in [(classify::upgrade(&path), false), (classify::endpoint(&Method::Get, &path), true)] {
        let command = Command::new(
            Source::Request,
            Text::plain("GET /other"),
            vec![operation],
            portcullis_model::Digest::of(b"x"),
        );
        let ruling = session.ask(session.seal(text(""), command));
        assert_eq!(matches!(ruling, Ruling::Forward(..)), passes);
    }
}

#[tokio::test]
async fn a_refused_message_is_not_sent_and_the_close_says_which_rule_and_decision() {
    // What cannot be read as JSON could be anything that a rule about fields refuses.
    for said in [r#"{"kind":"refund"}"#, r#"{"kind":"note","kind":"refund"}"#, "refund"] {
        let house = house("").await;
        let mut rig = Rig::open(&house, "/live/json").await;
        rig.says(r#"{"kind":"note"}"#);
        assert_eq!(rig.sent().len(), 1);
        rig.says(said);
        let sent = rig.sent();
        assert!(sent.len() == 1 && closed(&sent).0 == 1001, "{sent:?}");
        let (code, why) = closed(&rig.told());
        assert_eq!(code, 1008);
        assert!(
            why.len() <= 123 && why.contains("live/no-refunds") && why.contains(&rig.session.id().to_string()),
            "{why}"
        );
        // Nothing behind it is asked.
        rig.says(r#"{"kind":"note"}"#);
        assert!(rig.sent().is_empty());
        let told = house.told_of(rig.session.id()).await;
        assert!(told.contains(&"3 deny".to_owned()) && told.last().unwrap() == "1 failed 1008", "{told:?}");
    }
}

#[tokio::test]
async fn each_message_is_counted_by_budgets_before_it_is_sent() {
    let house = house("budgets:\n  - { id: few, requests_per_minute: 3 }\n").await;
    let note = r#"{"kind":"note"}"#;
    // The minute may end in between: then it is the first of the next that is refused.
    let mut rig = Rig::open(&house, "/live/json").await;
    let (mut passed, mut closes) = (0, Vec::new());
    while closes.is_empty() && passed < 16 {
        rig.says(note);
        let sent = rig.sent();
        if sent == [text(note)] {
            passed += 1;
        } else {
            closes = sent;
        }
    }
    // What opened the socket counts where it is asked, which is not here.
    assert!((3..=6).contains(&passed), "{passed}");
    assert_eq!(closed(&closes).0, 1001);
    let (code, why) = closed(&rig.told());
    assert!(code == 1008 && why.contains("live/few"), "{code} {why}");
    let number = passed + 2;
    let told = house.told_of(rig.session.id()).await;
    for line in [format!("{number} deny"), format!("{number} refused"), "1 failed 1008".to_owned()] {
        assert!(told.contains(&line), "{line} in {told:?}");
    }
}

#[tokio::test]
async fn while_a_message_is_counted_nothing_behind_it_is_asked_and_the_other_side_goes_on() {
    for ends in [false, true] {
        let house = house("").await;
        let mut rig = Rig::open(&house, "/live/json").await;
        for said in ["\"first\"", "\"second\""] {
            rig.core.feed_client(&framed(Kind::Text, said.as_bytes(), Some([1, 2, 3, 4])));
        }
        while rig.core.on_client(&mut rig.steps) {}
        let permit = rig.steps.reserve.take().unwrap();
        rig.hears("meanwhile");
        assert_eq!((rig.told(), rig.sent()), (vec![text("meanwhile")], Vec::new()));
        let reserved = rig.session.reserve(&permit, 0).await;
        if ends {
            rig.core.on_idle(&mut rig.steps);
            assert!(rig.steps.withdraw);
            rig.core.on_reserved(permit, reserved, &mut rig.steps);
            rig.apply();
            let sent = rig.sent();
            assert!(sent.len() == 1 && closed(&sent).0 == 1001, "{sent:?}");
        } else {
            rig.core.on_reserved(permit, reserved, &mut rig.steps);
            rig.client(b"");
            assert_eq!(rig.sent(), [text("\"first\""), text("\"second\"")]);
        }
    }
}

#[tokio::test]
async fn a_held_message_waits_and_nothing_behind_it_is_read() {
    for (ballot, passes) in [(Ballot::Yes, true), (Ballot::No, false)] {
        let house = house("").await;
        let mut rig = Rig::open(&house, "/live/json").await;
        let mut bytes = framed(Kind::Text, br#"{"kind":"order"}"#, Some([9; 4]));
        bytes.extend(framed(Kind::Ping, b"here?", Some([9; 4])));
        bytes.extend(framed(Kind::Text, br#"{"kind":"note"}"#, Some([9; 4])));
        rig.client(&bytes);
        assert!(rig.hold.is_some() && rig.sent().is_empty());
        // The other direction goes on, and control frames are answered.
        assert_eq!(rig.told(), [ToPeer::Pong(Bytes::from("here?"))]);
        rig.hears("meanwhile");
        assert_eq!(rig.told(), [text("meanwhile")]);
        let hold = rig.hold.take().unwrap();
        let approval = hold.approval();
        let (settled, ()) = tokio::join!(hold.settle(), house.vote(approval, ballot));
        rig.core.on_settled(settled, &mut rig.steps);
        rig.apply();
        rig.client(b"");
        if passes {
            assert_eq!(rig.sent(), [text(r#"{"kind":"order"}"#), text(r#"{"kind":"note"}"#)]);
        } else {
            assert_eq!((closed(&rig.sent()).0, closed(&rig.told()).0), (1001, 1008));
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_withdraws_what_waits() {
    let house = house("").await;
    let mut rig = Rig::open(&house, "/live/json").await;
    rig.says(r#"{"kind":"order"}"#);
    assert!(rig.hold.is_some());
    rig.core.on_client_gone(&mut rig.steps);
    rig.apply();
    assert!(rig.hold.is_none() && closed(&rig.sent()).0 == 1001);
    let told = house.told_of(rig.session.id()).await;
    assert!(told.contains(&"2 withdrawn".to_owned()) && told.contains(&"1 interrupted".to_owned()), "{told:?}");
}

#[tokio::test]
async fn what_the_backend_says_is_masked_as_an_answer_is() {
    for (masks, said, shown) in [
        (FIELDS, r#"{"id": 1, "ssn":"123-45-6789"}"#, Some(r#"{"id": 1, "ssn":"[redacted]"}"#)),
        (FIELDS, r#"{"id": 1}"#, Some(r#"{"id": 1}"#)),
        // Text that is no JSON may hold a field all the same.
        (FIELDS, "ssn: 123-45-6789", None),
        (FIELDS, r#"{"ssn":"123-45-6789","ssn":"2"}"#, Some(r#"{"ssn":"[redacted]","ssn":"[redacted]"}"#)),
        (FIELDS, r#"42["event",{"ssn":"1"}]"#, None),
        (WORDS, "write to ada@example.com today", Some("write to [email] today")),
        (WORDS, "nothing here", Some("nothing here")),
        (WORDS, "a\0d\0a\0@", None),
        ("", r#"{"ssn":"123-45-6789"}"#, Some(r#"{"ssn":"123-45-6789"}"#)),
    ] {
        let house = house(masks).await;
        let mut rig = Rig::open(&house, "/live/json").await;
        rig.hears(said);
        let told = rig.told();
        let record = house.told_of(rig.session.id()).await;
        match shown {
            Some(shown) => {
                let Some(ToPeer::Text(got)) = told.first() else { panic!("{said}: {told:?}") };
                let got = String::from_utf8(got.to_vec()).unwrap();
                let secret = ["123-45-6789", "ada@example.com"].iter().any(|secret| got.contains(secret));
                assert!(!secret || masks.is_empty(), "{got}");
                assert_eq!(got == said, shown == said, "{got}");
                assert_eq!(told.len(), 1);
                assert!(record.contains(&format!("said {got}")), "{record:?}");
            }
            None => {
                assert_eq!((closed(&told).0, closed(&rig.sent()).0), (1011, 1008), "{said}");
                assert_eq!(told.len(), 1, "{said}");
                assert!(record.contains(&"1 failed 1011".to_owned()), "{record:?}");
            }
        }
        assert!(masks.is_empty() || !record.iter().any(|line| line.contains("123-45-6789") || line.contains("ada@")));
    }
}

#[tokio::test]
async fn a_message_that_renames_a_masked_member_is_refused() {
    for (masks, said, passes) in [
        (FIELDS, r#"{"type":"subscribe","payload":{"query":"subscription { customer { x: ssn } }"}}"#, false),
        (FIELDS, "subscription { customer { x: ssn } }", false),
        (FIELDS, r#"{"type":"subscribe","payload":{"query":"subscription { customer { x: id, ssn } }"}}"#, true),
        (FIELDS, r#"{"type":"say","text":"customer asked: ssn changed"}"#, true),
        ("", r#"{"type":"subscribe","payload":{"query":"subscription { customer { x: ssn } }"}}"#, true),
    ] {
        let house = house(masks).await;
        let mut rig = Rig::open(&house, "/live/chat").await;
        rig.says(said);
        let sent = rig.sent();
        assert_eq!(sent == [text(said)], passes, "{said}: {sent:?}");
        assert!(passes || closed(&rig.told()).0 == 1008, "{said}");
    }
}

#[tokio::test]
async fn bytes_pass_where_they_are_opaque_and_else_only_to_whom_nothing_is_masked() {
    for (masks, opaque, passes) in
        [("", false, true), (FIELDS, false, false), (WORDS, false, false), (FIELDS, true, true)]
    {
        let house = house(masks).await;
        let mut rig = Rig::open_with(&house, "/live/json", opaque).await;
        rig.backend(&framed(Kind::Binary, b"\0\x01", None));
        let told = rig.told();
        assert_eq!(told == [ToPeer::Binary(Bytes::from_static(b"\0\x01"))], passes, "{told:?}");
        if !passes {
            assert_eq!(closed(&told).0, 1011);
        }
    }
    for opaque in [false, true] {
        let house = house("").await;
        let mut rig = Rig::open_with(&house, "/live/raw", opaque).await;
        rig.client(&framed(Kind::Binary, b"\0\x01", Some([5; 4])));
        let sent = rig.sent();
        assert_eq!(sent == [ToPeer::Binary(Bytes::from_static(b"\0\x01"))], opaque, "{sent:?}");
        let record = house.told_of(rig.session.id()).await;
        if opaque {
            assert!(record.contains(&"2 completed sent".to_owned()), "{record:?}");
        } else {
            assert_eq!(closed(&rig.told()).0, 1003);
            assert!(record.contains(&"2 deny".to_owned()), "{record:?}");
        }
    }
}

#[tokio::test]
async fn what_moves_on_binds_the_next_message_of_either_side() {
    let without = BUNDLE.replace("allow: { actions: [connect]", "allow: { actions: [read]");
    let masked = format!("{BUNDLE}{FIELDS}");
    for (policy_now, of_client) in [(&without, true), (&without, false), (&masked, false)] {
        let house = house("").await;
        let mut rig = Rig::open(&house, "/live/json").await;
        rig.hears("before");
        assert_eq!(rig.told().len(), 1);
        house.gate.set_policy(policy(policy_now));
        if of_client {
            rig.says(r#"{"kind":"note"}"#);
        } else {
            rig.hears(r#"{"ssn":"123-45-6789"}"#);
        }
        let (sent, told) = (rig.sent(), rig.told());
        assert_eq!((sent.len(), told.len(), closed(&sent).0, closed(&told).0), (1, 1, 1001, 1008));
    }
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_told_and_nothing_of_it_passes() {
    let house = house("").await;
    // Not masked, a reserved bit, text that is none, a message that is too large.
    for (bytes, code) in [
        (framed(Kind::Text, b"hi", None), 1002),
        (b"\xc1\x80\0\0\0\0".to_vec(), 1002),
        (framed(Kind::Text, b"\xff", Some([0; 4])), 1007),
        (framed(Kind::Text, &[b'a'; (1 << 16) + 1], Some([0; 4])), 1009),
    ] {
        let mut rig = Rig::open(&house, "/live/json").await;
        rig.client(&bytes);
        let sent = rig.sent();
        assert_eq!((closed(&rig.told()).0, closed(&sent).0, sent.len()), (code, 1001, 1));
        assert_eq!(house.told_of(rig.session.id()).await.last().unwrap(), &format!("1 failed {code}"));
    }
    let mut rig = Rig::open(&house, "/live/json").await;
    rig.backend(&framed(Kind::Text, b"hi", Some([1; 4])));
    assert_eq!((closed(&rig.told()).0, closed(&rig.sent()).0), (1011, 1002));
}

#[tokio::test]
async fn every_end_is_settled_and_told_once() {
    for (end, to_client, to_backend, settled) in [
        ("backend gone", 1011, 1001, "1 failed 1011"),
        ("client gone", 1001, 1001, "1 interrupted"),
        ("idle", 1001, 1001, "1 completed 1001"),
        ("drain", 1001, 1001, "1 completed 1001"),
        ("no code", 1005, 1005, "1 completed 1005"),
    ] {
        let house = house("").await;
        let mut rig = Rig::open(&house, "/live/json").await;
        match end {
            "backend gone" => rig.core.on_backend_gone(&mut rig.steps),
            "client gone" => rig.core.on_client_gone(&mut rig.steps),
            "idle" => rig.core.on_idle(&mut rig.steps),
            "drain" => rig.core.on_drain(&mut rig.steps),
            _ => rig.backend(&framed(Kind::Close, b"", None)),
        }
        rig.apply();
        assert_eq!((closed(&rig.told()).0, closed(&rig.sent()).0), (to_client, to_backend), "{end}");
        rig.core.on_backend_gone(&mut rig.steps);
        rig.core.on_client_gone(&mut rig.steps);
        rig.core.on_drain(&mut rig.steps);
        rig.apply();
        assert!(rig.told().is_empty() && rig.sent().is_empty() && rig.core.is_over());
        assert_eq!(house.told_of(rig.session.id()).await.last().unwrap(), settled, "{end}");
    }
}

#[tokio::test]
async fn pings_are_answered_by_the_gateway_on_each_side() {
    let house = house("").await;
    let mut rig = Rig::open(&house, "/live/json").await;
    rig.core.feed_client(&[framed(Kind::Ping, b"1", Some([7; 4])), framed(Kind::Ping, b"2", Some([7; 4]))].concat());
    while rig.core.on_client(&mut rig.steps) {}
    rig.core.feed_backend(&framed(Kind::Ping, b"3", None));
    while rig.core.on_backend(&mut rig.steps) {}
    // Where one side has no room, its pong waits.
    rig.core.pong(false, true, &mut rig.steps);
    assert_eq!((rig.steps.up.len(), rig.steps.down.len()), (1, 0));
    rig.apply();
    assert_eq!(rig.told(), [ToPeer::Pong(Bytes::from("2"))]);
    assert_eq!(rig.sent(), [ToPeer::Pong(Bytes::from("3"))]);
    rig.client(&framed(Kind::Pong, b"unasked", Some([7; 4])));
    assert!(rig.told().is_empty() && rig.sent().is_empty());
}
