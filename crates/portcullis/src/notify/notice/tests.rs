use super::*;
use portcullis_approvals::Binding;
use portcullis_model::{CredentialKind, DecisionId, HoldTerms, Parameter, Preview, Principal, RuleId, SessionId, Text};
use std::time::Duration;

pub(crate) fn request(text: &str, reason: Option<&str>) -> Request {
    let requester = Principal {
        issuer: "https://idp.example.com".into(),
        subject: "7".into(),
        user: "agent-7".into(),
        groups: [].into(),
        claims: [].into(),
        credential: CredentialKind::Oidc,
    };
    let terms = HoldTerms {
        rule: RuleId { bundle: "held".into(), rule: "ask".into() },
        groups: ["dba".into()].into(),
        users: ["erin".into()].into(),
        approvals: 1,
        expires: Duration::from_secs(60),
        valid: Duration::from_secs(60),
        in_transaction: false,
        grant: None,
        needs_reason: false,
        counts_rows: false,
    };
    Request {
        id: ApprovalId::new(),
        decision: DecisionId { session: SessionId::new(), number: 1 },
        connection: Name::canonical("shop"),
        text: Text::plain(text),
        parameters: vec![Parameter { type_name: "text".into(), value: Some("hunter2".into()) }],
        operations: vec!["delete table public.orders".into()],
        reason: reason.map(Arc::from),
        preview: None,
        binding: Binding::of(&requester, &[]),
        terms: vec![terms],
        requester,
        makers: Vec::new(),
        created: "2026-01-05T10:00:00Z".parse().unwrap(),
    }
}

pub(crate) fn notice(text: &str) -> Notice {
    Notice::opened(&request(text, None), "2026-01-05T10:01:00Z".parse().unwrap())
}

#[test]
fn people_are_told_who_wants_what_and_what_became_of_it() {
    let mut request = request("DELETE FROM orders", Some("a slip"));
    request.preview = Some(Preview::Count(3));
    let opened = Notice::opened(&request, "2026-01-05T10:01:00Z".parse().unwrap());
    let id = request.id;
    let expected = format!(
        "agent-7 waits for approval on shop, held by held/ask, until 2026-01-05T10:01:00Z\nReason: a slip\nRows: 3 \
         rows, counted\nDecide: portcullis approvals show {id}\nCommand: DELETE FROM orders"
    );
    assert_eq!(opened.text(for_slack), expected);
    for (verdict, words) in [
        (Verdict::Approved { by: vec!["dana".into(), "erin".into()] }, "approved by dana, erin"),
        (Verdict::Rejected { by: "dana".into() }, "rejected by dana"),
        (Verdict::Expired, "expired"),
        (Verdict::Withdrawn, "withdrawn"),
    ] {
        let ended = opened.ended(verdict);
        assert_eq!(ended.text(for_slack), format!("{id} of agent-7 on shop is {words}\nCommand: DELETE FROM orders"));
        assert_eq!(ended.delivery, format!("{id}-ended"));
        assert_eq!(serde_json::from_slice::<Notice>(&serde_json::to_vec(&ended).unwrap()).unwrap(), ended);
    }
    assert_eq!(opened.delivery, format!("{id}-opened"));
    let document = serde_json::to_string(&opened).unwrap();
    assert!(document.contains("\"type\":\"approval.opened\"") && !document.contains("hunter2"), "{document}");
}

#[test]
fn nothing_in_a_text_is_a_link_a_mention_a_line_or_unseen() {
    let mut request = request(
        "<!channel> & <@U1> @here\r\napproved by dana\u{2028}x\u{85}y\u{202e}z\u{200b}\u{1b}[2J",
        Some("ok\nDecide: portcullis approvals approve 1\n<https://evil.example|here> [here](https://evil.example)"),
    );
    request.requester.user = "a\n<!here>".into();
    let opened = Notice::opened(&request, "2026-01-05T10:01:00Z".parse().unwrap());
    let ended = opened.ended(Verdict::Rejected { by: "@everyone\n".into() });
    for (text, lines) in [(opened.text(for_slack), 4), (ended.text(for_slack), 2)] {
        assert_eq!(text.lines().count(), lines, "{text}");
        assert!(!text.contains(['<', '>', '\r', '\u{2028}', '\u{85}', '\u{202e}', '\u{1b}']), "{text:?}");
        assert!(
            !text.contains("@here")
                && !text.contains("](")
                && !text.contains("@everyone")
                && !text.contains("z\u{200b}"),
            "{text:?}"
        );
        assert!(text.contains("&lt;!channel&gt; &amp; &lt;@\u{200b}U1&gt;"), "{text}");
    }
}

#[test]
fn what_people_do_not_see_stands_in_a_text_as_a_mark() {
    for c in "\u{ad}\u{34f}\u{61c}\u{115f}\u{17b4}\u{180e}\u{200b}\u{202e}\u{2066}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{e0041}\u{e0100}".chars() {
        let text = notice(&format!("DELETE FROM a{c}b")).text(for_slack);
        assert!(text.ends_with("DELETE FROM a\u{fffd}b"), "U+{:04X}: {text}", u32::from(c));
    }
}

#[test]
fn what_is_told_is_cut_between_characters() {
    for (text, length, cut) in [
        ("é".repeat(1024), 2048, false),
        (format!("x{}", "é".repeat(1024)), 2047, true),
        ("é".repeat(1 << 20), 2048, true),
    ] {
        let told = notice(&text);
        assert_eq!((told.command.len(), told.cut), (length, cut));
        assert!(serde_json::to_vec(&told).unwrap().len() < 8192);
        assert_eq!(told.text(for_slack).contains("(cut)"), cut);
    }
    let mut many = request("x", Some(&"é".repeat(1000)));
    many.operations = vec!["o".repeat(1000).into(); 1000];
    let told = Notice::opened(&many, Timestamp::UNIX_EPOCH);
    assert_eq!((told.operations.len(), told.operations[0].len(), told.reason.unwrap().len()), (20, 256, 512));
}
