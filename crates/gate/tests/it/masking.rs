//! What masks make of commands and answers: marks, refusals, plans, and a record that nobody is exempt from.

use crate::world::{World, policy, table};
use bytes::Bytes;
use portcullis_gate::{MaskKind, Permit, ResultColumn, Ruling, Session};
use portcullis_model::catalogue::{Column, Contents, RelKind, Relation};
use portcullis_model::{
    Action, Bound, Catalogue, ColumnId, Command, Digest, EventBody, Fault, Followed, Lineage, Misuse, Name, Operation,
    Outcome, Output, Outputs, Parameter, Place, Reason, Source, Sources, Text, Usage, Use,
};
use std::sync::Arc;

const MASKED: &str = r#"
bundle: shop
applies_to: { connections: [shop] }
rules:
  - id: reads
    allow: { actions: [read, update], objects: ["table public.*"] }
mask:
  - id: pii
    columns: [public.orders.email]
    with: { keep_last: 4 }
    unless: { groups: [privacy] }
  - id: refs
    columns: [public.orders.reference]
    with: redact
    predicates: equality
  - id: cards
    detect: [payment_card]
    with: redact
"#;

const ORDERS: u32 = 20_000;
const EMAIL: ColumnId = ColumnId { relation: ORDERS, number: 2 };
const REFERENCE: ColumnId = ColumnId { relation: ORDERS, number: 3 };
const ID: ColumnId = ColumnId { relation: ORDERS, number: 1 };

fn catalogue() -> Arc<Catalogue> {
    let column = |number, name: &str| Column {
        number,
        name: Name::canonical(name),
        type_oid: 25,
        collation: 100,
        not_null: false,
        generated: None,
        default: None,
        derived: None,
    };
    let orders = Relation {
        oid: ORDERS,
        schema: Name::canonical("public"),
        name: Name::canonical("orders"),
        kind: RelKind::Table,
        columns: vec![column(1, "id"), column(2, "email"), column(3, "reference")],
        children: Vec::new(),
        parents: Vec::new(),
        definition: None,
        reads: Vec::new(),
        rules: Vec::new(),
        triggers: Vec::new(),
        referenced_by: Vec::new(),
        functions: Vec::new(),
    };
    let contents =
        Contents { schemas: vec![Name::canonical("public")], relations: vec![orders], ..Contents::default() };
    Arc::new(Catalogue::new(7, contents))
}

fn output(column: ColumnId, exact: bool) -> Output {
    Output { name: None, sources: Sources::column(column), exact }
}

fn command(text: &str, action: Action, lineage: Lineage) -> Command {
    let operation = Operation::new(action, table("orders"));
    let mut command = Command::new(Source::Sql, Text::plain(text), [operation], Digest::of(text.as_bytes()));
    command.followed = Some(Followed::new(catalogue(), [Arc::new(lineage)], text.into(), []));
    command
}

fn reading(outputs: Vec<Output>, uses: Vec<Use>) -> Lineage {
    Lineage { outputs: Outputs::Known(outputs), uses, relations: vec![ORDERS], ..Lineage::default() }
}

fn uses(column: ColumnId, usage: Usage) -> Vec<Use> {
    vec![Use { sources: Sources::column(column), usage }]
}

fn ask(session: &Session, command: Command) -> Result<Permit, Reason> {
    match session.ask(session.seal(Bytes::new(), command)) {
        Ruling::Forward(_, permit) => Ok(permit),
        Ruling::Refuse(denial) => Err(denial.reason),
        Ruling::Hold(_) => panic!("held"),
    }
}

async fn world() -> World {
    let world = World::new().await;
    world.gate.set_policy(policy(MASKED));
    world
}

async fn member_of(world: &World, group: &str) -> Session {
    let (_, token) = world.token(group).await;
    world.arrive("shop", token).await.unwrap()
}

#[tokio::test]
async fn a_protected_value_is_neither_written_elsewhere_nor_inferred_from() {
    let world = world().await;
    let session = world.session().await;
    let misuse = |result: Result<Permit, Reason>| match result {
        Err(Reason::Protected { rule, column, misuse }) => (rule.to_string(), column.to_string(), misuse),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("allowed"),
    };
    let condition = command("select id … email", Action::Read, reading(vec![], uses(EMAIL, Usage::Condition)));
    let expected = ("shop/pii".to_owned(), "public.orders.email".to_owned(), Misuse::Inferred);
    assert_eq!(misuse(ask(&session, condition)), expected);
    let written = command("update", Action::Update, reading(vec![], uses(EMAIL, Usage::Written { into: Some(ID) })));
    assert_eq!(misuse(ask(&session, written)).2, Misuse::Exposed);
    let itself = command("update", Action::Update, reading(vec![], uses(EMAIL, Usage::Written { into: Some(EMAIL) })));
    assert!(ask(&session, itself).is_ok());
    let other = command("select", Action::Read, reading(vec![output(ID, true)], uses(ID, Usage::Condition)));
    assert!(ask(&session, other).is_ok());
    // Who is exempt may do both.
    let exempt = member_of(&world, "privacy").await;
    let condition = command("select", Action::Read, reading(vec![], uses(EMAIL, Usage::Condition)));
    assert!(ask(&exempt, condition).is_ok());
}

#[tokio::test]
async fn comparisons_are_counted_for_the_principal_and_run_out() {
    let world = world().await;
    let compare = |session: &Session| {
        ask(session, command("select", Action::Read, reading(vec![], uses(REFERENCE, Usage::Equality))))
    };
    let (first, second) = (world.session().await, world.session().await);
    let passed = (0..60).filter(|n| compare(if n % 2 == 0 { &first } else { &second }).is_ok()).count();
    assert!((30..60).contains(&passed), "{passed}");
    let refused = compare(&first).err();
    assert!(matches!(refused, Some(Reason::Protected { misuse: Misuse::TooOften, .. })), "{refused:?}");
    let condition = command("select", Action::Read, reading(vec![], uses(REFERENCE, Usage::Condition)));
    assert!(ask(&first, condition).is_err());
}

#[tokio::test]
async fn a_plan_follows_the_server_where_it_says_and_the_lineage_where_it_does_not() {
    let world = world().await;
    let session = world.session().await;
    let outputs = vec![output(EMAIL, true), output(EMAIL, false), output(ID, true), output(ID, true)];
    let permit = ask(&session, command("select", Action::Read, reading(outputs, vec![]))).unwrap();
    let mut answer = session.answer(Some(&permit));
    assert!(answer.plans() && answer.touches());
    let column = |origin| ResultColumn { name: "x", origin, json: false };
    // The last is what the lineage takes for the id and the server says is the address.
    let plans = answer.plan(0, &[column(Some(EMAIL)), column(None), column(None), column(Some(EMAIL))]);
    let kinds = |plan: Option<portcullis_gate::Plan>| -> Vec<Option<MaskKind>> {
        plan.unwrap().iter().map(|mask| mask.as_ref().map(|mask| mask.kind())).collect()
    };
    let expected = [MaskKind::Whole, MaskKind::Null, MaskKind::Detects, MaskKind::Whole].map(Some);
    assert_eq!(kinds(plans.client), expected);
    // A result of another width than was read is not proven at all.
    let plans = answer.plan(0, &[column(None)]);
    assert_eq!(kinds(plans.client), [Some(MaskKind::Null)]);
    // Who is exempt sees the value, and the record does not.
    let exempt = member_of(&world, "privacy").await;
    let outputs = vec![output(EMAIL, true)];
    let permit = ask(&exempt, command("select", Action::Read, reading(outputs, vec![]))).unwrap();
    let plans = exempt.answer(Some(&permit)).plan(0, &[column(Some(EMAIL))]);
    assert_eq!(kinds(plans.client), [Some(MaskKind::Detects)]);
    assert_eq!(kinds(plans.record), [Some(MaskKind::Whole)]);
}

#[tokio::test]
async fn what_was_masked_is_counted_and_the_values_of_the_text_are_not_recorded() {
    let world = world().await;
    let session = member_of(&world, "privacy").await;
    let text = "select email from orders where email = 'ada@example.com' and id = 7 and email <> $1";
    let mut lineage = reading(vec![output(EMAIL, true)], uses(EMAIL, Usage::Condition));
    let at = text.find("'ada").unwrap();
    lineage.bound = vec![
        Bound { column: EMAIL, place: Place::Text(at..at + "'ada@example.com'".len()) },
        Bound { column: EMAIL, place: Place::Parameter(1) },
    ];
    let parameter = |value: &str| Parameter { type_name: "text".into(), value: Some(value.into()) };
    let command = command(text, Action::Read, lineage).with_parameters(vec![
        parameter("bob@example.com"),
        parameter("4111 1111 1111 1111"),
        parameter("plain"),
    ]);
    let permit = ask(&session, command).unwrap();
    let mut answer = session.answer(Some(&permit));
    answer.plan(0, &[ResultColumn { name: "email", origin: Some(EMAIL), json: false }]);
    answer.masked(&[3]);
    answer.finish();
    drop(answer);
    world.settle(&session).await;
    let events = world.events(session.id());
    let all = serde_json::to_string(&events).unwrap();
    assert!(!all.contains("ada@") && !all.contains("bob@") && !all.contains("4111 1111"), "{all}");
    assert!(all.contains("id = 7") && all.contains("plain"), "{all}");
    let counted = events.iter().find_map(|event| match &event.body {
        EventBody::Masked { columns, .. } => Some(columns.clone()),
        _ => None,
    });
    let counted = counted.unwrap();
    assert_eq!((&*counted[0].column, counted[0].values, &*counted[0].reason), ("email", 3, "detector"));
}

#[tokio::test]
async fn a_running_command_ends_where_the_masks_become_others() {
    let world = world().await;
    let session = world.session().await;
    let read = || command("select", Action::Read, reading(vec![output(ID, true)], vec![]));
    let permit = ask(&session, read()).unwrap();
    assert!(session.follow(&permit, Bytes::new()).is_ok());
    // The same masks once more change nothing.
    world.gate.set_policy(policy(MASKED));
    assert!(session.follow(&permit, Bytes::new()).is_ok());
    world.gate.set_policy(policy(&MASKED.replace("orders.email", "orders.id")));
    let stale = session.follow(&permit, Bytes::new()).err().unwrap();
    assert_eq!(stale.denial.reason, Reason::MasksChanged);
    assert!(ask(&session, read()).is_ok(), "asked anew, it is planned anew");
}

#[tokio::test]
async fn a_mask_that_cannot_be_carried_out_refuses_everything() {
    let world = world().await;
    let broken = MASKED.replace("[payment_card]", "[{ regex: \"(\" }]");
    let set = policy(&broken);
    let connection = world.session().await.connection().clone();
    assert!(!portcullis_gate::mask_problems(&set, std::slice::from_ref(&connection)).is_empty());
    world.gate.set_policy(set);
    let session = world.session().await;
    let read = command("select", Action::Read, reading(vec![output(ID, true)], vec![]));
    assert!(matches!(ask(&session, read).err(), Some(Reason::PolicyError { .. })));
    assert!(portcullis_gate::mask_problems(&policy(MASKED), &[connection]).is_empty());
}

#[tokio::test]
async fn who_is_exempt_from_all_but_clean_functions_reads_what_the_server_says() {
    let world = World::new().await;
    let clean = "  - id: clean\n    functions: { clean: [public.order_total] }\n";
    let unless = "    with: redact\n    predicates: equality\n    unless: { groups: [privacy] }\n";
    let masks = MASKED.replace("    with: redact\n    predicates: equality\n", unless);
    let masks = masks.replace("  - id: cards\n    detect: [payment_card]\n    with: redact\n", clean);
    assert!(masks.contains("clean") && !masks.contains("cards"), "{masks}");
    world.gate.set_policy(policy(&masks));
    // A text that was not followed may touch anything, for whom something is masked.
    let untold = || {
        Command::new(Source::Sql, Text::plain("x"), [Operation::new(Action::Read, table("orders"))], Digest::of(b"x"))
    };
    for (group, bound) in [("privacy", false), ("agents", true)] {
        let session = member_of(&world, group).await;
        let permit = ask(&session, untold()).unwrap();
        let answer = session.answer(Some(&permit));
        assert_eq!((answer.touches(), answer.masks()), (bound, bound), "{group}");
        assert!(answer.touches_record(), "the record knows no exemption");
        drop(answer);
        let unasked = session.answer(None);
        assert_eq!((unasked.touches(), unasked.masks()), (bound, bound), "{group}");
    }
}

#[tokio::test]
async fn what_could_not_be_read_and_what_failed_is_searched_before_it_is_recorded() {
    let world = world().await;
    let session = world.session().await;
    let text = "selec '4111 1111 1111 1111'";
    let fault = Fault::Syntax { message: "syntax error".into(), position: None };
    let unread = Command::faulty(Source::Sql, Text::plain(text), fault, Digest::of(text.as_bytes()));
    assert!(ask(&session, unread).is_err());
    let permit = ask(&session, command("select id", Action::Read, reading(vec![output(ID, true)], vec![]))).unwrap();
    let message = Some("no such card: 4111 1111 1111 1111".into());
    session.settle(permit, Outcome::Failed { status: "P0001".into(), message }, None);
    world.settle(&session).await;
    let all = serde_json::to_string(&world.events(session.id())).unwrap();
    assert!(all.contains("selec ") && all.contains("no such card"), "{all}");
    assert!(!all.contains("4111 1111"), "{all}");
}

#[tokio::test]
async fn a_mark_on_what_needs_no_rule_is_refused_too() {
    let world = world().await;
    let session = world.session().await;
    let text = "show something";
    let implicit = |lineage| {
        let mut command =
            Command::new(Source::Sql, Text::plain(text), [Operation::session()], Digest::of(text.as_bytes()));
        command.followed = Some(Followed::new(catalogue(), [Arc::new(lineage)], text.into(), []));
        command
    };
    assert!(ask(&session, implicit(Lineage::default())).is_ok());
    let kept = Lineage { uses: uses(EMAIL, Usage::Written { into: None }), ..Lineage::default() };
    assert!(ask(&session, implicit(kept)).is_err());
}
