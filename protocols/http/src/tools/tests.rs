mod judged;

use super::*;
use portcullis_model::Reach;
use proptest::prelude::*;
use std::sync::Arc;

fn read(name: &str, input: &str) -> Command {
    call(&ToolTable::default(), name, Some("toolu_1"), input)
}

/// The marks of the call, and the operations besides it.
fn printed(command: &Command) -> String {
    if command.fault.is_some() {
        return "fault".to_owned();
    }
    let (first, rest) = command.operations().split_first().unwrap();
    assert_eq!((first.action, first.object.noun()), (Action::Call, "tool"));
    let marks = first.marks.iter().map(|mark| format!("+{}", mark.word())).collect::<Vec<_>>().join(" ");
    let rest = rest.iter().map(ToString::to_string);
    (!marks.is_empty()).then_some(marks).into_iter().chain(rest).collect::<Vec<_>>().join(" ; ")
}

/// A set: in which order a reading says things is not promised.
fn set(text: &str) -> BTreeSet<String> {
    text.split(" ; ").map(|part| part.replace('"', "")).collect()
}

#[test]
fn calls_do_what_the_table_says() {
    let table = include_str!("../../../../fixtures/http/tools.tsv");
    let mut wrong = String::new();
    let mut rows = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [tool, input, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let got = printed(&read(tool, input));
        if set(&got) != set(expected) {
            wrong.push_str(&format!("{tool}\t{input}\n  expected {expected}\n  got      {got}\n"));
        }
        rows += 1;
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(rows > 70, "{rows}");
}

#[test]
fn the_record_shows_the_call_without_its_secrets() {
    let shown = |name: &str, input: &str| {
        let command = read(name, input);
        let kept = command.parameters.first().map(|kept| (kept.type_name.to_string(), kept.value.clone().unwrap()));
        (command.text.as_str().to_owned(), kept)
    };
    let (text, kept) = shown("Read", r#"{ "file_path" : "/x\u0041", "limit": 1E2 }"#);
    assert_eq!(text, "Read (toolu_1)");
    assert_eq!(kept, Some(("json".to_owned(), r#"{"file_path":"/xA","limit":1E2}"#.into())));
    for (name, input) in [
        ("Bash", r#"{"command":"PGPASSWORD=hunter2 psql -h db app -c 'select 1'"}"#),
        ("x", r#"{"sql":"ALTER ROLE a PASSWORD 'hunter2'"}"#),
        ("x", r#"{"q":"{\"sql\":\"ALTER ROLE a PASSWORD 'hunter2'\"}"}"#),
        ("shell", r#"{"command":["bash","-c","PGPASSWORD=hunter2 psql -c 'select 1'"]}"#),
        // Also of lists that nobody describes, whichever reading finds it.
        ("x", r#"{"commands":["ls","PGPASSWORD=hunter2 psql -c 'select 1'"]}"#),
        ("x", r#"{"commands":["bash","-c","PGPASSWORD=hunter2 psql -c 'select 1'"]}"#),
        ("shell", r#"{"commands":["ls","PGPASSWORD=hunter2 psql -c 'select 1'"]}"#),
        // And of a program whose words stand in another field.
        ("x", r#"{"command":"psql","args":["-c","ALTER ROLE a PASSWORD 'hunter2'"]}"#),
        ("x", r#"{"program":"psql","args":["postgres://a:hunter2@b/c"]}"#),
        ("x", r#"{"command":"psql","args":"postgres://a:hunter2@b/c"}"#),
        ("x", r#"{"program":"psql","args":{"url":"postgres://a:hunter2@b/c"}}"#),
        // And of variables beside a command.
        ("x", r#"{"command":"psql -c 'select 1'","env":{"PGPASSWORD":"hunter2"}}"#),
        ("x", r#"{"command":"psql -c 'select 1'","options":{"env":["PGPASSWORD=hunter2"]}}"#),
        ("x", r#"{"command":"psql -c 'select 1'","env":[{"name":"PGPASSWORD","value":"hunter2"}]}"#),
        ("Bash", r#"{"command":"psql -c 'select 1'","env":"PGPASSWORD=hunter2"}"#),
        ("shell", r#"{"command":["psql","-c","select 1"],"env":{"PGPASSWORD":"hunter2"}}"#),
        ("x", r#"{"q":"{\"command\":\"ls /srv\",\"env\":{\"PGPASSWORD\":\"hunter2\"}}"}"#),
        ("x", r#"{"q":"{\"sql\":\"ALTER ROLE a PASSWORD 'hunter2'\",}"}"#),
        // Also where the code has a fault.
        ("x", r#"{"sql":"ALTER ROLE a PASSWORD 'hunter2' )"}"#),
        ("x", r#"{"query":"ALTER ROLE a PASSWORD 'hunter2' )"}"#),
        ("Bash", r#"{"command":"PGPASSWORD=hunter2 psql -c 'open"}"#),
    ] {
        let (text, kept) = shown(name, input);
        let (_, kept) = kept.unwrap();
        assert!(!text.contains("hunter2") && !kept.contains("hunter2") && kept.contains("[redacted]"), "{kept}");
        assert!(json::read(kept.as_bytes()).is_ok(), "{kept}");
    }
    // Also behind as many texts as are read.
    let many = (0..TEXTS).map(|at| format!(r#""a{at}":{{"command":"true"}}"#)).collect::<Vec<_>>().join(",");
    for last in [
        r#"{"command":"PGPASSWORD=hunter2 psql -c 'select 1'"}"#,
        r#"{"sql":"ALTER ROLE a PASSWORD 'hunter2'"}"#,
        r#"{"query":"ALTER ROLE a PASSWORD 'hunter2'"}"#,
        r#"["ALTER ROLE a PASSWORD 'hunter2'"]"#,
        r#"{"command":["psql","postgres://a:hunter2@b/c"]}"#,
        r#"{"command":"true","env":{"PGPASSWORD":"hunter2"}}"#,
        r#""{\"sql\":\"ALTER ROLE a PASSWORD 'hunter2'\"}""#,
    ] {
        let (_, kept) = shown("x", &format!(r#"{{{many},"z":{last}}}"#));
        let (_, kept) = kept.unwrap();
        assert!(!kept.contains("hunter2") && kept.contains(r#""z":"#) && kept.contains("[redacted]"), "{kept}");
        // What was read is still shown.
        assert!(kept.contains(r#""a0":{"command":"true"}"#), "{kept}");
    }
    // What cannot be read may hold anything.
    assert_eq!(shown("x", r#"{"sql":"ALTER ROLE a PASSWORD 'hunter2'"#), ("x (toolu_1)".to_owned(), None));
    // An id that is no id is not shown.
    let odd = call(&ToolTable::default(), "x", Some("a\nb"), "{}");
    assert_eq!(odd.text.as_str(), "x");
}

/// A deny or mask of another bundle's is about SQL only where that may reach its database.
#[test]
fn sql_may_be_for_any_database() {
    for (name, input) in [
        ("mcp__db__run_sql", r#"{"sql":"SELECT ssn FROM people"}"#),
        ("mcp__db__query", r#"{"query":"SELECT ssn FROM people"}"#),
        ("x", r#"{"y":["SELECT ssn FROM people"]}"#),
        ("x", r#"{"y":"{\"z\":\"SELECT ssn FROM people\"}"}"#),
    ] {
        let command = read(name, input);
        let [call, sql] = command.operations() else { panic!("{command:?}") };
        assert!(call.reaches.is_none(), "{input}");
        assert_eq!(sql.reaches.as_deref(), Some(&Reach::unknown()), "{input}");
    }
}

#[test]
fn rules_see_the_values_of_the_input() {
    let fields = |input: &str| read("refund", input).fields;
    let one = |input: &str| Some(Arc::new(json::read(input.as_bytes()).unwrap().fields(&[])));
    assert_eq!(fields(r#"{"amount":5000}"#), one(r#"{"amount":5000}"#));
    assert_eq!(fields(r#"{"amount":1,"sql":"no SQL at all"}"#), one(r#"{"amount":1,"sql":"no SQL at all"}"#));
    for unread in ["", "[5000]", r#"{"amount":1,"amount":5000}"#, r#"{"amount":5000"#] {
        assert_eq!(fields(unread), Some(Arc::new(Fields::unknown())), "{unread}");
    }
    assert_eq!(spoilt("a").fields, Some(Arc::new(Fields::unknown())));
}

/// In the time that one pass takes: this is a minute and more where each capital looks through the whole name.
#[test]
fn a_long_name_of_a_field_is_looked_through_once() {
    let name = "A".repeat(LONGEST / 2);
    assert!(read("x", &format!(r#"{{"{name}":1}}"#)).fault.is_none());
    assert!(read("x", &format!(r#"{{"a{name}":1}}"#)).fault.is_none());
}

#[test]
fn a_call_is_its_name_and_its_input() {
    let digest = |name: &str, input: &str| read(name, input).digest;
    assert_eq!(digest("a", "{}"), digest("a", "{}"));
    assert_ne!(digest("a", "{}"), digest("b", "{}"));
    assert_ne!(digest("a", "{}"), digest("a", "{ }"));
    for name in ["", "a b", "a\nb", "a\u{202e}b", &"a".repeat(NAME + 1)] {
        assert!(read(name, "{}").fault.is_some(), "{name:?}");
    }
}

#[test]
fn what_is_too_much_is_a_fault() {
    let many = |count: usize| format!(r#"{{"sql":[{}]}}"#, vec![r#""DROP TABLE t""#; count].join(","));
    assert!(read("x", &many(TEXTS)).fault.is_none());
    assert!(matches!(read("x", &many(TEXTS + 1)).fault, Some(Fault::TooLarge { .. })));
    let large = format!(r#"{{"a":"{}"}}"#, "a".repeat(LONGEST));
    assert!(matches!(read("x", &large).fault, Some(Fault::TooLarge { .. })));
}

#[test]
fn tools_on_offer_are_prepared_only() {
    assert_eq!(offers([].into_iter()), None);
    let command = offers(["b", "a", "b"].into_iter()).unwrap();
    let said: Vec<String> = command.operations().iter().map(ToString::to_string).collect();
    assert_eq!(said, ["call tool a", "call tool b"]);
    assert!(command.prepares() && !command.can_write());
    assert_eq!(command.text.as_str(), "tools on offer: a, b");
    assert!(offers(["a\nb"].into_iter()).unwrap().fault.is_some());
}

#[test]
fn a_configuration_overrides() {
    use std::collections::BTreeMap;
    let fields = BTreeMap::from([("q".to_owned(), ToolField::Sql), ("command".to_owned(), ToolField::None)]);
    let table = ToolTable::new(BTreeMap::from([("run".to_owned(), fields)]));
    let said = |input: &str| printed(&call(&table, "mcp__x__run", None, input));
    assert_eq!(said(r#"{"q":"DROP TABLE t"}"#), "drop table ?.t");
    assert_eq!(said(r#"{"q":"words"}"#), "fault");
    assert_eq!(said(r#"{"command":"rm -rf /srv"}"#), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_input_is_without_a_call(name in "[a-zA-Z_]{0,6}|Bash|Read|shell|memory", input in "\\PC{0,40}|\\{\"(command|sql|x)\":\"[a-z ;|$`/(-]{0,30}\"\\}") {
        let command = read(&name, &input);
        prop_assert!(command.fault.is_some() || command.operations()[0].action == Action::Call);
    }
}

#[test]
fn a_name_of_a_tool_shows_all_of_itself() {
    assert!(is_name("run_query") && is_name("søk"));
    for c in "\n \u{a0}\u{ad}\u{34f}\u{200b}\u{2013}\u{2028}\u{202e}\u{2060}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{e0100}"
        .chars()
    {
        assert!(!is_name(&format!("run{c}query")), "U+{:04X}", u32::from(c));
    }
}
