//! Documents that come back and go out: what the client and the provider have of them, and what the record keeps.

use crate::world::{World, policy, reads};
use bytes::Bytes;
use portcullis_gate::{Answer, JsonPath, Permit, Ruling, Session, Withheld};
use portcullis_model::{EventBody, Parameter, Severity};

const MASKED: &str = r#"
bundle: shop
applies_to: { connections: [shop] }
rules:
  - id: reads
    allow: { actions: [read], objects: ["table public.*"] }
mask:
  - id: fields
    json: ["$..ssn", "$.owner.name"]
    with: hash
    unless: { groups: [privacy] }
  - id: cards
    detect: [payment_card, email]
    with: { keep_last: 4 }
    unless: { groups: [privacy] }
  - id: columns
    columns: [public.customers.phone]
    with: redact
"#;

const COLUMNS: &str = r#"
bundle: shop
applies_to: { connections: [shop] }
rules:
  - id: reads
    allow: { actions: [read], objects: ["table public.*"] }
mask:
  - id: columns
    columns: [public.customers.phone]
    with: redact
"#;

const DOCUMENT: &str = r#"{"ssn": 123, "owner":{"name":"Ann"},"note":"4111111111111111","t":"{\"ssn\":\"123\"}" }"#;
const SHOWN: &str =
    r#"{"ssn": "[redacted]", "owner":{"name":"[redacted]"},"note":"************1111","t":"{\"ssn\":\"[redacted]\"}" }"#;

async fn world(rules: &str) -> World {
    let world = World::new().await;
    world.gate.set_policy(policy(rules));
    world
}

async fn member_of(world: &World, group: &str) -> Session {
    let (_, token) = world.token(group).await;
    world.arrive("shop", token).await.unwrap()
}

fn permit(session: &Session) -> Permit {
    match session.ask(session.seal(Bytes::new(), reads("run"))) {
        Ruling::Forward(_, permit) => permit,
        Ruling::Refuse(_) | Ruling::Hold(_) => panic!("not allowed"),
    }
}

async fn recorded(world: &World, session: &Session) -> Vec<EventBody> {
    world.settle(session).await;
    world.events(session.id()).into_iter().map(|event| event.body).collect()
}

fn outputs(events: &[EventBody]) -> Vec<(&str, &str, bool)> {
    let output = |event| match event {
        &EventBody::Output { ref stream, ref text, truncated, .. } => Some((&**stream, &**text, truncated)),
        _ => None,
    };
    events.iter().filter_map(output).collect()
}

/// Column, rule, reason, values.
fn masked(events: &[EventBody]) -> Vec<(&str, &str, &str, u64)> {
    let columns = events.iter().filter_map(|event| match event {
        EventBody::Masked { columns, .. } => Some(columns),
        _ => None,
    });
    columns.flatten().map(|one| (&*one.column, &*one.rule, &*one.reason, one.values)).collect()
}

fn json(answer: &mut Answer, document: &str) -> Result<Option<String>, Withheld> {
    let shown = answer.json("json", document.as_bytes(), &[])?;
    Ok(shown.map(|shown| String::from_utf8(shown.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_document_is_masked_by_path_and_by_detectors_and_counted_by_rule() {
    let world = world(MASKED).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    assert!(answer.masks() && answer.masks_paths() && answer.detects());
    assert_eq!(json(&mut answer, DOCUMENT).unwrap().as_deref(), Some(SHOWN));
    assert_eq!(json(&mut answer, r#"{"a": 1}"#), Ok(None));
    assert_eq!(
        answer.json_part("event", br#"{"ssn":1}"#, &[]).unwrap().as_deref(),
        Some(&br#"{"ssn":"[redacted]"}"#[..])
    );
    let id = [JsonPath::parse("$.id").unwrap()];
    assert_eq!(answer.json_part("event", br#"{"id":4111111111111111}"#, &id), Ok(None));
    for bad in ["", "{", "{} {}", "\u{feff}{}", "[\"\u{1}\"]", "data: {}"] {
        assert_eq!(json(&mut answer, bad), Err(Withheld::NotJson), "{bad:?}");
    }
    answer.finish();
    drop(answer);
    let events = recorded(&world, &session).await;
    assert_eq!(outputs(&events), [("json", SHOWN, false), ("json", r#"{"a": 1}"#, false)]);
    let expected = [
        ("$..ssn", "shop/fields", "path", 3),
        ("$.owner.name", "shop/fields", "path", 1),
        ("json", "shop/cards", "detector", 1),
    ];
    assert_eq!(masked(&events), expected);
}

#[tokio::test]
async fn who_is_exempt_has_the_document_as_it_is_and_the_record_has_not() {
    let world = world(MASKED).await;
    let session = member_of(&world, "privacy").await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    assert!(!answer.masks_paths() && !answer.detects() && !session.outgoing().masks());
    assert_eq!(json(&mut answer, DOCUMENT), Ok(None));
    // nothing binds the client, so what it gets may be anything; the record cannot be masked, so it keeps nothing
    assert_eq!(json(&mut answer, r#"{"ssn":1"#), Ok(None));
    drop(answer);
    let events = recorded(&world, &session).await;
    let kept = outputs(&events);
    assert_eq!(kept[0], ("json", SHOWN, false));
    assert!(kept[1].1.starts_with("[not kept"), "{kept:?}");
    assert_eq!(masked(&events), []);
}

#[tokio::test]
async fn masks_of_columns_change_no_document() {
    let world = world(COLUMNS).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    assert!(answer.masks() && !answer.masks_paths() && !answer.detects());
    assert_eq!(json(&mut answer, "{\"phone\":1} or not"), Ok(None));
    drop(answer);
    assert_eq!(outputs(&recorded(&world, &session).await), [("json", "{\"phone\":1} or not", false)]);
}

#[tokio::test]
async fn a_mask_that_protects_nothing_where_there_are_no_columns_is_warned_of() {
    let world = world(COLUMNS).await;
    let connection = world.session().await.connection().clone();
    let warned = |rules: &str| portcullis_gate::mask_warnings_without_columns(&policy(rules), &connection);
    let [warning] = &warned(COLUMNS)[..] else { panic!("one is due") };
    assert!(matches!(warning.severity, Severity::Warning) && warning.message.contains("`shop/columns`"), "{warning:?}");
    assert_eq!(warned(MASKED).len(), 1);
    assert_eq!(
        warned(&COLUMNS.replace("    with", "    json: [\"$..a\"]\n    with")).len(),
        1,
        "its paths apply in columns"
    );
    assert_eq!(
        warned(&COLUMNS.replace("    with", "    detect: [email]\n    with")).len(),
        1,
        "what it looks for is found, and its columns are nothing there"
    );
    assert_eq!(warned(&COLUMNS.replace("columns: [public.customers.phone]", "json: [\"$..a\"]")).len(), 0);
}

#[tokio::test]
async fn the_record_of_documents_is_bounded_and_says_that_it_was_cut() {
    let world = world(MASKED).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    let long = format!("[\"{}\"]", "\u{e9}".repeat(400));
    for _ in 0..3 {
        assert_eq!(json(&mut answer, &long), Ok(None));
    }
    drop(answer);
    let events = recorded(&world, &session).await;
    let kept = outputs(&events);
    assert_eq!(kept.iter().map(|one| one.2).collect::<Vec<_>>(), [false, true]);
    let size: usize = kept.iter().map(|one| one.1.len()).sum();
    assert!((1023..=1024).contains(&size), "{size}");
    let cut = |event: &&EventBody| matches!(event, EventBody::Result { truncated: true, .. });
    assert_eq!(events.iter().filter(cut).count(), 0, "it is said twice");
}

#[tokio::test]
async fn what_goes_out_is_masked_alike_each_time_and_counted_with_its_command() {
    let world = world(MASKED).await;
    let session = world.session().await;
    let mut outgoing = session.outgoing();
    assert!(outgoing.masks());
    let sent = outgoing.json(DOCUMENT.as_bytes(), &[]).unwrap().unwrap();
    assert_eq!(sent, SHOWN);
    assert_eq!(session.outgoing().json(DOCUMENT.as_bytes(), &[]).unwrap().unwrap(), sent);
    // what was masked once stays as it is when it comes again in the history
    assert_eq!(outgoing.json(&sent, &[]).unwrap().unwrap(), sent);
    assert_eq!(outgoing.text("to ann@example.com").unwrap().as_deref(), Some("to ***********.com"));
    assert_eq!(outgoing.text(r#" {"ssn":1} "#).unwrap().as_deref(), Some(r#" {"ssn":"[redacted]"} "#));
    assert_eq!(outgoing.text("nothing").unwrap(), None);
    assert_eq!(outgoing.json(b"{\"a\":1", &[]), Err(Withheld::NotJson));
    let permit = permit(&session);
    assert!(outgoing.is_of(&permit));
    let mut answer = session.answer(Some(&permit));
    answer.sent(outgoing);
    drop(answer);
    let events = recorded(&world, &session).await;
    let expected = [
        ("$..ssn", "shop/fields", "path", 5),
        ("$.owner.name", "shop/fields", "path", 2),
        ("request", "shop/cards", "detector", 2),
    ];
    assert_eq!(masked(&events), expected);
    assert_eq!(outputs(&events), []);
}

#[tokio::test]
async fn what_was_masked_under_other_masks_is_told() {
    let world = world(COLUMNS).await;
    let session = world.session().await;
    let mut outgoing = session.outgoing();
    assert_eq!(outgoing.json(DOCUMENT.as_bytes(), &[]), Ok(None));
    world.gate.set_policy(policy(MASKED));
    let permit = permit(&session);
    assert!(!outgoing.is_of(&permit));
    assert!(session.outgoing().is_of(&permit));
}

#[tokio::test]
async fn under_a_mask_that_cannot_be_carried_out_nothing_passes() {
    let world = world(&MASKED.replace("[payment_card, email]", "[{ regex: \"(\" }]")).await;
    let session = world.session().await;
    let mut answer = session.answer(None);
    assert!(answer.masks_paths() && answer.detects());
    assert_eq!(json(&mut answer, "{}"), Err(Withheld::Broken));
    assert_eq!(answer.text_of("text", 0, Bytes::from_static(b"x")), Err(Withheld::Broken));
    assert_eq!(session.outgoing().json(b"{}", &[]), Err(Withheld::Broken));
    assert_eq!(session.outgoing().text("x"), Err(Withheld::Broken));
    assert!(session.outgoing().masks_paths());
    let kept = answer.keeping().unwrap().words("x");
    assert_eq!(kept.as_deref(), Some("[not kept: it is not JSON that could be masked]"));
}

#[tokio::test]
async fn what_is_sent_is_looked_into_only_where_masks_are_about_fields() {
    let world = world(MASKED).await;
    let session = world.session().await;
    assert!(session.outgoing().masks() && session.outgoing().masks_paths());
    world.gate.set_policy(policy(&MASKED.replace("    json: [\"$..ssn\", \"$.owner.name\"]", "    detect: [us_ssn]")));
    assert!(session.outgoing().masks() && !session.outgoing().masks_paths());
}

#[tokio::test]
async fn what_a_command_sent_is_in_the_record_masked_by_its_fields_and_then_cut() {
    let world = world(MASKED).await;
    let session = member_of(&world, "privacy").await;
    let long = format!(r#"{{"ssn":"078-05-1120","pad":"{}"}}"#, "x".repeat(300 * 1024));
    let unread = r#"{"ssn":"078-05-1120","ssn":"1"}"#;
    let sent = [
        ("json", r#"{"ssn":"078-05-1120","to":"ann\u0040example.com"}"#),
        ("jsonb", r#"{"owner":{"name":"Ann"}}"#),
        ("json", unread.split_at(20).0),
        ("document", unread.split_at(20).0),
        ("document", "ssn=078-05-1120"),
        ("json", &long),
        ("text", "card 4111111111111111"),
        ("text", r#"{"ssn":"1"}"#),
    ];
    let parameter = |&(kind, value): &(&str, &str)| Parameter { type_name: kind.into(), value: Some(value.into()) };
    let command = reads("run").with_parameters(sent.iter().map(parameter).collect());
    let Ruling::Forward(_, permit) = session.ask(session.seal(Bytes::new(), command)) else { panic!() };
    drop(permit);
    let events = recorded(&world, &session).await;
    let kept: Vec<&str> = events
        .iter()
        .find_map(|event| match event {
            EventBody::CommandReceived { parameters, .. } => {
                Some(parameters.iter().filter_map(|parameter| parameter.value.as_deref()).collect())
            }
            _ => None,
        })
        .unwrap();
    assert_eq!(kept[0], r#"{"ssn":"[redacted]","to":"***********.com"}"#);
    assert_eq!(kept[1], r#"{"owner":{"name":"[redacted]"}}"#);
    for unkept in &kept[2..5] {
        assert!(unkept.starts_with("[not kept"), "{unkept}");
    }
    assert!(kept[5].starts_with(r#"{"ssn":"[redacted]","pad":"xxx"#) && kept[5].len() < 260 * 1024);
    assert!(kept[5].ends_with(" bytes)"), "it does not say that it was cut");
    // what is no document is searched
    assert_eq!(kept[6..], ["card ************1111", r#"{"ssn":"1"}"#]);
}

#[tokio::test]
async fn what_is_only_recorded_is_masked_for_the_record_and_counted_nowhere() {
    let world = world(MASKED).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    answer.keep_document("a", DOCUMENT, true);
    answer.keep_document("b", "ssn=1", true);
    answer.keep_words("c", r#"{"ssn":1}"#);
    answer.keep_words("d", "to ann@example.com: 7");
    answer.keep_words("e", r#"found {"ssn": 1}"#);
    let keeping = answer.keeping().unwrap();
    assert!(keeping.is_alike() && keeping.masks() && keeping.masks_paths());
    assert_eq!(keeping.json(br#"{"ssn":1}"#).unwrap().as_deref(), Some(r#"{"ssn":"[redacted]"}"#));
    assert_eq!(keeping.words("ann@example.com").as_deref(), Some("***********.com"));
    answer.keep_made("f", "made");
    answer.keep_document("g", r#"{"a":"#, false);
    answer.keep_words("h", "nothing follows what was cut");
    drop(answer);
    let events = recorded(&world, &session).await;
    let unkept = "[not kept: it is not JSON that could be masked]";
    let expected = [
        ("a", SHOWN, false),
        ("b", unkept, false),
        ("c", r#"{"ssn":"[redacted]"}"#, false),
        ("d", "to ***********.com: 7", false),
        ("e", unkept, false),
        ("f", "made", false),
        ("g", unkept, true),
    ];
    assert_eq!(outputs(&events), expected);
    assert_eq!(masked(&events), []);
}

#[tokio::test]
async fn who_is_exempt_has_another_record_than_answer() {
    let world = world(MASKED).await;
    let session = member_of(&world, "privacy").await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    let keeping = answer.keeping().unwrap();
    assert!(!keeping.is_alike() && keeping.masks_paths() && !answer.masks_paths());
}

#[tokio::test]
async fn a_value_cut_in_two_is_whole_neither_in_the_record_nor_for_the_client() {
    let world = world(MASKED).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    for piece in ["card 4111111", "111111111 ok"] {
        answer.keep_text_of("body", 0, &Bytes::from(piece));
    }
    assert!(answer.text_of_end("body", 0).is_empty());
    drop(answer);
    assert_eq!(outputs(&recorded(&world, &session).await), [("body 0", "card ************1111 ok", false)]);
}
