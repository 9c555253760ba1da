//! What an expression may be, what it sees, and what it may cost.

use crate::samples::{agent, bundle, columns, load, on, say, shop};
use crate::{Case, PolicySet, SourceFile};
use jiff::Timestamp;
use portcullis_model::{
    Action, Columns, Decision, Mark, Name, Object, Operation, Part, Principal, QualifiedName, RelationKind,
    SessionKind, Severity,
};
use proptest::prelude::*;

const MONDAY: &str = "2026-01-05T10:00:00Z";

/// A set that allows everything but where this holds.
fn denying(when: &str) -> Result<PolicySet, String> {
    let all = "id: all, allow: { actions: [any, unknown], objects: ['*'], marks: [dynamic, irreversible] }";
    let text =
        bundle(&[all, &format!("id: d, deny: {{}}, when: \"{}\"", when.replace('\\', "\\\\").replace('"', "\\\""))]);
    let loaded = PolicySet::load(&[SourceFile::new("b.yaml", text)]);
    loaded.map(|loaded| loaded.set).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn decided(set: &PolicySet, principal: &Principal, operations: &[Operation], at: &str) -> Decision {
    let connection = shop();
    let at: Timestamp = at.parse().expect("a moment");
    let case = Case { principal, connection: &connection, operations, home: None, fields: None, at };
    let decision = set.decide(&case);
    assert_eq!(set.explain(&case).decision, decision, "an explanation decides otherwise");
    decision
}

/// Whether it holds for an update of `public.orders (status)` on a Monday at ten: `true`, `false` or `error`.
fn holds(when: &str) -> &'static str {
    let set = denying(when).unwrap_or_else(|told| panic!("{when}: {told}"));
    let update = on(Action::Update, "public", "orders").naming(columns(&["status"])).marked(Mark::Unbounded);
    match say(&decided(&set, &agent(), &[update], MONDAY)).as_str() {
        "deny d" => "true",
        "error d" => "error",
        "allow" => "false",
        other => panic!("{when}: {other}"),
    }
}

#[test]
fn an_expression_sees_the_case() {
    for (when, expected) in [
        ("principal.user == \"agent-7\"", "true"),
        ("principal.issuer == \"test\" && principal.subject == \"agent-7\"", "true"),
        ("\"agents\" in principal.groups", "true"),
        ("\"dba\" in principal.groups", "false"),
        ("\"payments\" in principal.claims.team", "true"),
        ("\"payments\" in principal.claims[\"team\"]", "true"),
        ("has(principal.claims.cost_centre)", "false"),
        ("\"team\" in principal.claims", "true"),
        ("principal.claims.exists(claim, claim == \"team\")", "true"),
        ("principal.claims.cost_centre == [\"1\"]", "error"),
        ("connection.name == \"shop\" && connection.protocol == \"postgres\"", "true"),
        ("connection.database == \"shop\" && connection.login == \"app\"", "true"),
        ("operation.action == \"update\" && operation.kind == \"table\"", "true"),
        ("operation.object == \"table public.orders\"", "true"),
        ("operation.columns == [\"status\"]", "true"),
        ("\"unbounded\" in operation.marks", "true"),
        ("size(operation.marks) == 1 && operation.marks[0] == \"unbounded\"", "true"),
        ("operation.marks[3] == \"bulk\"", "error"),
        ("size(command.operations) == 1", "true"),
        ("command.operations.exists(o, o.action == \"update\")", "true"),
        ("command.operations.all(o, o.columns.all(c, c != \"ssn\"))", "true"),
        ("command.operations.exists_one(o, \"status\" in o.columns)", "true"),
        ("\"unbounded\" in command.marks", "true"),
        ("operation.object.startsWith(\"table \") && operation.object.endsWith(\"orders\")", "true"),
        ("operation.object.contains(\"public.\") && operation.object.matches(\"^table [a-z.]+$\")", "true"),
        ("principal.user + \"@\" + connection.name == \"agent-7@shop\"", "true"),
        ("[\"a\", principal.user].exists(u, u == \"agent-7\")", "true"),
        ("{\"shop\": 8, \"crm\": 9}[connection.name] == 8", "true"),
        ("{\"crm\": 9}[connection.name] == 8", "error"),
        ("principal.user == \"x\" ? true : operation.action == \"update\"", "true"),
        ("1 / (size(command.operations) - 1) == 0", "error"),
        ("9223372036854775807 + size(command.operations) == 0", "error"),
        ("int(principal.user) == 7", "error"),
        ("false && int(principal.user) == 7", "false"),
        ("int(principal.user) == 7 || true", "true"),
        ("string(now) == \"2026-01-05T10:00:00Z\"", "true"),
    ] {
        assert_eq!(holds(when), expected, "{when}");
    }
}

#[test]
fn an_expression_knows_the_moment_in_any_zone() {
    for (when, expected) in [
        ("now.getHours() == 10 && now.getHours(\"UTC\") == 10", "true"),
        ("now.getHours(\"Europe/Berlin\") == 11 && now.getHours(\"America/New_York\") == 5", "true"),
        ("now.getHours(\"+02:00\") == 12 && now.getMinutes(\"-00:30\") == 30", "true"),
        ("now.getDayOfWeek() == 1 && now.getDayOfWeek(\"Pacific/Kiritimati\") == 2", "true"),
        ("now.getFullYear() == 2026 && now.getMonth() == 0 && now.getDate() == 5 && now.getDayOfMonth() == 4", "true"),
        ("now.getDayOfYear(\"UTC\") == 4 && now.getSeconds() == 0 && now.getMilliseconds() == 0", "true"),
        ("now < timestamp(\"2026-01-05T10:00:01Z\") && now >= timestamp(\"2026-01-05T11:00:00+01:00\")", "true"),
        ("now - timestamp(\"2026-01-05T09:00:00Z\") == duration(\"1h\")", "true"),
        ("(now + duration(\"15h\")).getDayOfWeek() == 2", "true"),
        ("now > timestamp(principal.user)", "error"),
    ] {
        assert_eq!(holds(when), expected, "{when}");
    }
}

/// What the design shows.
#[test]
fn working_hours_deny_at_night_and_only_then() {
    let rule = "id: h, deny: { actions: [write] }, when: 'now.getHours(\"UTC\") < 8 || now.getHours(\"UTC\") >= 19'";
    let set = load(&[&bundle(&["id: w, allow: { actions: [any], objects: ['*'] }", rule])]);
    for (at, expected) in [
        ("2026-01-05T07:59:59Z", "deny h"),
        ("2026-01-05T08:00:00Z", "allow"),
        ("2026-01-05T18:59:59.999999999Z", "allow"),
        ("2026-01-05T19:00:00Z", "deny h"),
        ("2026-01-05T00:00:00Z", "deny h"),
    ] {
        let write = [on(Action::Insert, "public", "orders")];
        assert_eq!(say(&decided(&set, &agent(), &write, at)), expected, "{at}");
        let read = [on(Action::Read, "public", "orders")];
        assert_eq!(say(&decided(&set, &agent(), &read, at)), "allow", "a rule that does not match is not asked");
    }
    assert!(set.depends_on_time());
    let untimed = denying("principal.user == \"x\"").unwrap();
    assert!(!untimed.depends_on_time());
}

/// What is not known is an error to look at, whichever way the expression would lean.
#[test]
fn what_is_not_known_is_refused_and_not_guessed() {
    let unclear =
        Object::relation(QualifiedName { schema: Part::Unknown, name: Part::known("orders") }, RelationKind::Table);
    let long = Name::canonical("x".repeat(5000));
    for object in [unclear, Object::Unknown, Object::File(Part::Unknown), Object::File(Part::Known(long))] {
        for when in [
            "operation.object == \"x\"",
            "operation.object != \"x\"",
            "command.operations.exists(o, o.object == \"x\")",
        ] {
            let set = denying(when).unwrap();
            let one = [Operation::new(Action::Update, object.clone())];
            assert_eq!(say(&decided(&set, &agent(), &one, MONDAY)), "error d", "{when} {object}");
        }
        let asked = denying("has(operation.object)").unwrap();
        assert_eq!(say(&decided(&asked, &agent(), &[Operation::new(Action::Update, object)], MONDAY)), "allow");
    }
    let update = on(Action::Update, "public", "orders").naming(Columns::Unknown);
    let set = denying("\"ssn\" in operation.columns").unwrap();
    assert_eq!(say(&decided(&set, &agent(), &[update], MONDAY)), "error d");
    let plain = on(Action::Delete, "public", "orders");
    assert_eq!(say(&decided(&set, &agent(), &[plain], MONDAY)), "allow", "a delete names no column, and that is known");
    let rule = denying("connection.database == \"shop\"").unwrap();
    let connection = portcullis_model::Connection { database: None, ..shop() };
    let (principal, operations) = (agent(), [on(Action::Read, "public", "a")]);
    let at = Timestamp::UNIX_EPOCH;
    let case =
        Case { principal: &principal, connection: &connection, operations: &operations, home: None, fields: None, at };
    assert_eq!(say(&rule.decide(&case)), "error d");
}

#[test]
fn a_failing_condition_denies_whatever_the_effect_and_says_no_value() {
    let secret = Principal { user: "s3cr3t-user".into(), ..agent() };
    for rule in [
        "id: f, allow: { actions: [read], objects: ['*'] }, when: 'int(principal.user) == 1'",
        "id: f, hold: { actions: [read] }, approvers: { groups: [dba] }, when: 'int(principal.user) == 1'",
        "id: f, deny: { actions: [read] }, when: 'int(principal.user) == 1'",
        "id: f, deny: { actions: [read] }, when: 'principal.claims[principal.user] == [\"x\"]'",
        "id: f, deny: { actions: [read] }, when: '{\"a\": 1}[principal.user] == 1'",
        "id: f, deny: { actions: [read] }, when: 'timestamp(principal.user) < now'",
        "id: f, deny: { actions: [read] }, when: 'duration(principal.user) < duration(\"1s\")'",
    ] {
        let set = load(&[&bundle(&["id: all, allow: { actions: [any], objects: ['*'] }", rule])]);
        let connection = shop();
        let operations = [on(Action::Read, "public", "orders")];
        let at = Timestamp::UNIX_EPOCH;
        let case =
            Case { principal: &secret, connection: &connection, operations: &operations, home: None, fields: None, at };
        let decision = set.decide(&case);
        assert_eq!(say(&decision), "error f", "{rule}");
        assert!(!format!("{decision:?}").contains("s3cr3t"), "{decision:?}");
        let shown = set.explain(&case);
        assert!(
            shown.operations[0].rules.iter().any(|rule| {
                &*rule.rule.rule == "f"
                    && rule.note.as_ref().is_some_and(|note| {
                        note.contains("cannot be evaluated, so it denies") && !note.contains("s3cr3t")
                    })
            }),
            "{shown}"
        );
    }
}

#[test]
fn an_explanation_shows_what_a_condition_came_to() {
    let set = denying("now.getHours(\"UTC\") < 8").unwrap();
    let (principal, connection, operations) = (agent(), shop(), [on(Action::Read, "public", "a")]);
    let case = |at| Case {
        principal: &principal,
        connection: &connection,
        operations: &operations,
        home: None,
        fields: None,
        at,
    };
    let night = set.explain(&case(Timestamp::UNIX_EPOCH)).to_string();
    assert!(night.contains("[when `now.getHours(\"UTC\") < 8`: true]"), "{night}");
    let day = set.explain(&case(MONDAY.parse().unwrap())).to_string();
    assert!(day.contains("(no)") && day.contains("< 8`: false]"), "{day}");
}

#[test]
fn an_allow_with_a_condition_may_still_let_somebody_write() {
    let text = bundle(&["id: a, allow: { actions: [update], objects: ['*'] }, when: 'principal.user == \"nobody\"'"]);
    assert!(load(&[&text]).may_write(&agent(), &shop(), "public", "customers", "ssn"));
    let text = bundle(&[
        "id: a, allow: { actions: [update], objects: ['*'] }",
        "id: d, deny: { actions: [write] }, when: 'now.getHours(\"UTC\") < 8'",
    ]);
    assert!(load(&[&text]).may_write(&agent(), &shop(), "public", "customers", "ssn"), "by day");
    let text = bundle(&["id: a, allow: { actions: [update], objects: ['*'] }", "id: d, deny: { actions: [write] }"]);
    assert!(!load(&[&text]).may_write(&agent(), &shop(), "public", "customers", "ssn"));
}

#[test]
fn a_condition_that_is_new_or_changed_weakens() {
    let set = |when: &str| load(&[&bundle(&[&format!("id: d, deny: {{ actions: [drop] }}{when}")])]);
    let (always, night, day) = (set(""), set(", when: 'now.getHours() < 8'"), set(", when: 'now.getHours() < 9'"));
    assert_eq!(night.weakens(&always), ["deny b/d: only when now.getHours() < 8"]);
    assert_eq!(day.weakens(&night), ["deny b/d: only when now.getHours() < 9"]);
    assert!(always.weakens(&night).is_empty());
    assert!(night.weakens(&night).is_empty());
}

/// What cannot be meant is told when the bundle loads.
#[test]
fn a_wrong_expression_does_not_load() {
    for (when, expected) in [
        ("now.getHours(\"UTC\") <", "not an expression of CEL"),
        ("now.getHours(\"UTC\") < 8)", "not an expression of CEL"),
        ("a = 1", "not an expression of CEL"),
        ("now.getHours(\"UTC\")", "a condition is true or false, and this is a whole number"),
        ("principal.user", "and this is text"),
        ("principle.user == \"x\"", "did you mean `principal`?"),
        ("principal.usr == \"x\"", "did you mean `user`?"),
        ("principal.groups.admin == \"x\"", "a list has no members"),
        ("operation.object.name == \"x\"", "text has no members"),
        ("command.text == \"x\"", "`command` has no `text`"),
        ("connection.address == \"x\"", "`connection` has no `address`"),
        ("now.getHour() == 1", "did you mean `getHours`?"),
        ("now.getHours(\"Mars/Olympus\") == 1", "there is no time zone `Mars/Olympus`"),
        ("now.getHours(principal.user) == 1", "written out, not computed"),
        ("principal.user.matches(\"(\")", "not a regular expression"),
        ("principal.user.matches(\"(a{500}){500}\")", "not a regular expression"),
        ("principal.user.matches(connection.name)", "written out, not computed"),
        ("principal.user == 7", "a comparison is not for text and a whole number"),
        ("principal.user < now", "a comparison is not for text and a moment"),
        ("principal == principal", "a comparison is not for"),
        ("\"x\" in principal.user", "`in` is not for"),
        ("7 in principal.groups", "`in` is not for"),
        ("!principal.user", "`!` is not for text"),
        ("principal.user && true", "`&&` or `||` is not for"),
        ("principal.groups.map(g, g) == [\"x\"]", "`map` and `filter` are not offered"),
        ("size(principal.groups.filter(g, g == \"x\")) > 1", "`map` and `filter` are not offered"),
        ("principal.user.exists(u, u == \"x\")", "has no items to go through"),
        ("principal.groups + principal.groups == [\"x\"]", "`+` or `-` is not for a list and a list"),
        ("[1, \"x\"].exists(i, i == 1)", "a list of a whole number and text"),
        ("dyn(principal.user) == 7", "there is no function `dyn`"),
        ("type(principal.user) == string", "there is no"),
        ("size(now) == 1", "`size` is not for a moment"),
        ("google.protobuf.Timestamp{seconds: 1} == now", "there are no messages"),
        ("b\"x\" == b\"x\"", "nothing here is bytes"),
        ("operation.?object == \"x\"", "not an expression of CEL"),
        ("true ? 1 : \"x\"", "`? :` is not for"),
        (
            "principal.claims.exists(a, principal.claims.exists(b, principal.claims.exists(c, c == a)))",
            "more than 2 loops",
        ),
        ("@result", "not an expression of CEL"),
        (".principal.user == \"x\"", "there is no `.principal`"),
    ] {
        let told = denying(when).expect_err(when);
        assert!(told.contains(expected), "{when}\n{told}");
    }
}

#[test]
fn a_problem_is_told_where_it_stands() {
    let place = |text: &str| {
        let problems = PolicySet::load(&[SourceFile::new("b.yaml", text)]).expect_err(text);
        let wrong = problems.iter().find(|problem| problem.severity == Severity::Error).expect("an error");
        let at = wrong.location.clone().expect("a place");
        (at.line, at.column)
    };
    let rule = "bundle: b\nrules:\n  - id: d\n    deny: {}\n    when: ";
    assert_eq!(place(&format!("{rule}now == nwo\n")), (5, 18));
    assert_eq!(place(&format!("{rule}'now == nwo'\n")), (5, 19));
    assert_eq!(place(&format!("{rule}\"now == nwo\"\n")), (5, 19));
    assert_eq!(place(&format!("{rule}'\"ü\" == nwo'\n")), (5, 19));
    assert_eq!(place(&format!("{rule}|\n      true &&\n      now == nwo\n")), (7, 14));
    assert_eq!(place(&format!("{rule}'\"it''s\" == nwo'\n")), (5, 11), "escaped, so the start");
}

/// No bundle exhausts the loader, by length, depth or repetition.
#[test]
fn bombs_are_refused_or_cheap() {
    let deep = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    for bomb in [
        deep("(", "true", ")", 900),
        deep("!", "true", "", 1900),
        deep("-", "1", " == 1", 1),
        deep("[", "1", "]", 900),
        deep("{\"a\":", "1", "}", 300),
        deep("true ? ", "true", " : true", 140),
        deep("size(", "\"x\"", ")", 300),
        format!("principal{}", ".user".repeat(380)),
        format!("principal.groups{} == \"x\"", "[0]".repeat(600)),
        format!("true{}", " && true".repeat(240)),
        format!("1{} == 1", "+1".repeat(900)),
        format!("{} == \"x\"", vec!["principal.user"; 110].join("+")),
        "x".repeat(1_000_000),
        "\"".repeat(1999),
        "(".repeat(1999),
        format!("principal.groups{}", ".exists(x, true".repeat(100)),
        deep("principal.groups.exists(x, ", "true", ")", 70),
    ] {
        // It loads or does not; either way in no time and without a crash.
        let _ = denying(&bomb);
    }
}

#[test]
fn what_a_decision_may_cost_is_bounded() {
    let nested =
        "command.operations.exists(o, command.operations.exists(p, o.object == p.object && o.action != p.action))";
    let set = denying(nested).unwrap();
    let some = |count: usize| -> Vec<Operation> {
        (0..count).map(|nth| on(Action::Read, "public", &format!("t{nth}"))).collect()
    };
    assert_eq!(say(&decided(&set, &agent(), &some(40), MONDAY)), "allow");
    assert_eq!(say(&decided(&set, &agent(), &some(900), MONDAY)), "error d", "a quadratic look at many operations");
    let linear = denying("command.operations.exists(o, o.action == \"drop\")").unwrap();
    assert_eq!(say(&decided(&linear, &agent(), &some(1000), MONDAY)), "allow", "asked once for the command");
    assert_eq!(say(&decided(&linear, &agent(), &some(1001), MONDAY)), "error d");
    let each = denying("command.operations.exists(o, o.action == \"drop\" && operation.kind == \"table\")").unwrap();
    assert_eq!(say(&decided(&each, &agent(), &some(900), MONDAY)), "error d", "asked for each, it is quadratic");
    let plain = denying("principal.user == \"x\"").unwrap();
    assert_eq!(say(&decided(&plain, &agent(), &some(5000), MONDAY)), "allow", "what looks at no operation asks once");
    let wide = on(Action::Read, "public", "t")
        .naming(Columns::Named((0..2001).map(|nth| Name::canonical(format!("c{nth}"))).collect()));
    let columns = denying("operation.columns.exists(c, c == \"ssn\")").unwrap();
    assert_eq!(say(&decided(&columns, &agent(), &[wide], MONDAY)), "error d");
    let many = Principal { groups: (0..100_000).map(|nth| format!("g{nth}").into()).collect(), ..agent() };
    let groups = denying("principal.groups.exists(g, g == \"x\")").unwrap();
    assert_eq!(say(&decided(&groups, &many, &some(1), MONDAY)), "error d");
}

#[test]
fn sessions_are_operations_like_others() {
    let set = denying("operation.action == \"connect\" && operation.object == \"session sql\"").unwrap();
    let opened = set.opens(SessionKind::Sql, &agent(), &shop(), Timestamp::UNIX_EPOCH);
    assert_eq!(say(&opened), "deny d");
}

proptest! {
    /// No text makes loading or deciding panic, and what loads decides.
    #[test]
    fn no_text_is_too_odd(text in "[a-z.()\\[\\]{}\"'?:!&|<>=+*/%, 0-9-]{0,80}|\\PC{0,60}") {
        if let Ok(set) = denying(&text) {
            let said = say(&decided(&set, &agent(), &[on(Action::Read, "public", "a")], MONDAY));
            prop_assert!(["allow", "deny d", "error d"].contains(&said.as_str()));
        }
    }
}
