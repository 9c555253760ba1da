//! What a delegated rule is asked, what it may answer, how answers combine, and what a module cannot do.

mod bounds;
mod circles;
mod stack;

use super::*;
use crate::samples::{agent, columns, on, say, shop, table};
use crate::{Case, Loaded, PolicySet};
use portcullis_model::{Action, Mark, Object, Operation, Part, Problem, QualifiedName, RelationKind, Verdict};
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/rego").join(name)
}

/// The files of a directory, as the binary reads them.
fn files(root: &Path, at: &str) -> Vec<SourceFile> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(at)).expect("the directory") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let path = if at.is_empty() { name } else { format!("{at}/{name}") };
        if root.join(&path).is_dir() {
            found.extend(files(root, &path));
        } else if !path.ends_with("_test.rego") {
            found.push(SourceFile::new(&*path, std::fs::read_to_string(root.join(&path)).expect("text")));
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

const RULE: &str = "bundle: b\nrules:\n  - { id: r, rego: { bundle: opa/, query: data.p.decision } }\n";

fn load_with(bundle: &str, modules: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    PolicySet::load_with(&[SourceFile::new("b.yaml", bundle)], &|_, directory| {
        assert_eq!(directory, "opa/");
        Ok(modules.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect())
    })
}

fn set(bundle: &str, module: &str) -> PolicySet {
    let loaded = load_with(bundle, &[("p.rego", &format!("package p\n{module}\n"))]);
    loaded.unwrap_or_else(|problems| panic!("{module}: {problems:?}")).set
}

/// What is decided of an update, whoever explains it.
fn of_an_update(set: &PolicySet) -> portcullis_model::Decision {
    let (principal, connection, operations) = (agent(), shop(), [update()]);
    let at = Timestamp::UNIX_EPOCH;
    set.decide(&Case {
        principal: &principal,
        connection: &connection,
        operations: &operations,
        home: None,
        fields: None,
        at,
    })
}

/// What this module says of these operations.
fn asked(bundle: &str, module: &str, operations: &[Operation]) -> String {
    let set = set(bundle, module);
    let (principal, connection) = (agent(), shop());
    let at = "2026-01-05T10:00:00Z".parse().unwrap();
    let case = Case { principal: &principal, connection: &connection, operations, home: None, fields: None, at };
    let decision = set.decide(&case);
    assert_eq!(set.explain(&case).decision, decision);
    let message = decision.message.map(|message| format!(" ({message})")).unwrap_or_default();
    format!("{}{message}", say(&decision_of(decision.verdict)))
}

fn decision_of(verdict: Verdict) -> portcullis_model::Decision {
    portcullis_model::Decision { verdict, limit: None, matches: Vec::new(), message: None, policy: "".into() }
}

fn update() -> Operation {
    on(Action::Update, "public", "orders").naming(columns(&["status"]))
}

#[test]
fn each_answer_does_what_a_rule_of_that_effect_does() {
    for (module, expected) in [
        ("decision := \"allow\"", "allow"),
        ("decision := \"deny\"", "deny r"),
        ("decision := {\"decision\": \"deny\", \"message\": \"Not now.\"}", "deny r (Not now.)"),
        ("decision := {\"decision\": \"allow\"}", "allow"),
        ("decision := \"no-opinion\"", "deny: update table public.orders (status)"),
        ("decision := {\"decision\": \"hold\", \"approvers\": {\"groups\": [\"dba\"]}}", "hold r"),
        (
            "decision := {\"decision\": \"hold\", \"approvers\": {\"users\": {\"ann\"}}, \"message\": \"Ask.\"}",
            "hold r (Ask.)",
        ),
    ] {
        assert_eq!(asked(RULE, module, &[update()]), expected, "{module}");
    }
}

#[test]
fn whatever_is_no_answer_is_a_denial() {
    for module in [
        "decision := \"allow\" if false",
        "decision := true",
        "decision := 1",
        "decision := null",
        "decision := \"Allow\"",
        "decision := \"allow \"",
        "decision := \"\"",
        "decision := [\"allow\"]",
        "decision := {\"allow\"}",
        "decision contains \"allow\"",
        "decision := {}",
        "decision := {\"decision\": true}",
        "decision := {\"decision\": \"allow\", \"mark\": [\"dynamic\"]}",
        "decision := {\"decision\": \"allow\", \"message\": 1}",
        "decision := {\"decision\": \"allow\", \"marks\": \"dynamic\"}",
        "decision := {\"decision\": \"allow\", \"marks\": [\"bulk\"]}",
        "decision := {\"decision\": \"allow\", \"marks\": [\"infers-protected\"]}",
        "decision := {\"decision\": \"allow\", \"message\": concat(\"\", [\"0123456789\" | some _ in numbers.range(1, 101)])}",
        "decision := {1: \"allow\"}",
        // Held, and nobody could say yes.
        "decision := \"hold\"",
        "decision := {\"decision\": \"hold\", \"approvers\": {\"groups\": []}}",
        "decision := {\"decision\": \"hold\", \"approvers\": {}}",
        "decision := {\"decision\": \"hold\", \"approvers\": {\"group\": [\"dba\"]}}",
        "decision := {\"decision\": \"hold\", \"approvers\": {\"users\": [\"ann\"]}, \"approvals\": 2}",
        "decision := {\"decision\": \"hold\", \"approvers\": {\"groups\": [\"dba\"]}, \"approvals\": 0}",
        "decision := {\"decision\": \"hold\", \"approvers\": {\"groups\": [\"dba\"]}, \"approvals\": 1.5}",
        // Two values at once.
        "decision := \"allow\" if true\ndecision := \"deny\" if true",
        "decision := \"allow\" if 1 / (count(input.operations) - 1) == 7",
    ] {
        assert_eq!(asked(RULE, module, &[update()]), "error r", "{module}");
    }
}

#[test]
fn the_strictest_wins_whoever_says_it() {
    let with = |rule: &str| format!("{RULE}  - {{ {rule} }}\n");
    let allow = "decision := \"allow\"";
    assert_eq!(asked(&with("id: d, deny: { actions: [update] }"), allow, &[update()]), "deny d");
    let hold = "id: h, hold: { actions: [update] }, approvers: { groups: [dba] }";
    assert_eq!(asked(&with(hold), allow, &[update()]), "hold h");
    let grant = with("id: a, allow: { actions: [any], objects: ['*'] }");
    assert_eq!(asked(&grant, "decision := \"deny\"", &[update()]), "deny r");
    assert_eq!(asked(&grant, "decision := \"no-opinion\"", &[update()]), "allow");
    assert_eq!(asked(&grant, "decision := \"allow\" if false", &[update()]), "error r");
}

#[test]
fn marks_and_the_unknown_pass_only_where_rule_or_answer_names_them() {
    let allow = "decision := \"allow\"";
    let named = |word: &str| format!("decision := {{\"decision\": \"allow\", \"marks\": [\"{word}\"]}}");
    for (mark, word) in [
        (Mark::Dynamic, "dynamic"),
        (Mark::Privileged, "privileged"),
        (Mark::Irreversible, "irreversible"),
        (Mark::ExposesProtected, "exposes-protected"),
    ] {
        let marked = [update().marked(mark)];
        assert!(asked(RULE, allow, &marked).starts_with("deny: "), "{word}");
        assert_eq!(asked(RULE, &named(word), &marked), "allow");
        let rule = RULE.replace("opa/,", &format!("opa/, marks: [{word}],"));
        assert_eq!(asked(&rule, allow, &marked), "allow");
    }
    assert_eq!(asked(RULE, allow, &[update().marked(Mark::Unbounded)]), "allow", "as in an allow rule");
    let unknown = [Operation::unknown()];
    assert!(asked(RULE, allow, &unknown).starts_with("deny: "));
    assert_eq!(asked(RULE, &named("unknown"), &unknown), "allow");
    let rule = RULE.replace("opa/,", "opa/, actions: [any, unknown],");
    assert_eq!(asked(&rule, allow, &unknown), "allow");
    let inferring = [update().marked(Mark::InfersProtected)];
    assert!(asked(RULE, allow, &inferring).starts_with("deny: "), "no rule permits it");
    let hold = "decision := {\"decision\": \"hold\", \"approvers\": {\"groups\": [\"dba\"]}}";
    assert!(
        asked(RULE, hold, &[update().marked(Mark::Dynamic)]).starts_with("deny: "),
        "a hold does not permit it either"
    );
    let shell = [Operation::new(Action::Connect, Object::Session(portcullis_model::SessionKind::Shell))];
    assert!(asked(RULE, allow, &shell).starts_with("deny: "), "a session that must be named");
    let rule = RULE.replace("opa/,", "opa/, objects: ['session shell'],");
    assert_eq!(asked(&rule, allow, &shell), "allow");
}

#[test]
fn actions_and_objects_say_what_it_is_asked_about() {
    let rule = RULE.replace("opa/,", "opa/, actions: [write], objects: ['table public.orders'],");
    let deny = "decision := \"deny\"";
    assert_eq!(asked(&rule, deny, &[update()]), "deny r");
    assert!(asked(&rule, deny, &[on(Action::Read, "public", "orders")]).starts_with("deny: "));
    let unclear = Operation::new(
        Action::Update,
        Object::relation(QualifiedName { schema: Part::Unknown, name: Part::known("orders") }, RelationKind::Table),
    );
    assert_eq!(asked(&rule, deny, std::slice::from_ref(&unclear)), "deny r", "what it may be about, it is asked about");
    let allow = "decision := \"allow\"";
    assert!(asked(&rule, allow, &[unclear]).starts_with("deny: "), "and permits what it is surely about");
    let both = [update(), on(Action::Delete, "public", "customers")];
    assert!(asked(&rule, allow, &both).starts_with("deny: delete"), "an answer permits what the rule is about");
    let conditional = RULE.replace("} }", "}, when: 'operation.action == \"delete\"' }");
    assert!(asked(&conditional, allow, &both).starts_with("deny: update"), "a condition narrows it");
}

#[test]
fn it_sees_the_whole_command_once_and_the_moment_of_the_case() {
    let counted =
        "decision := {\"decision\": \"deny\", \"message\": sprintf(\"%d %s\", [count(input.operations), input.now])}";
    let both = [update(), on(Action::Delete, "public", "customers")];
    assert_eq!(asked(RULE, counted, &both), "deny r (2 2026-01-05T10:00:00Z)");
    let clock = "decision := \"deny\" if time.now_ns() == time.parse_rfc3339_ns(input.now)";
    assert_eq!(asked(RULE, clock, &[update()]), "deny r", "the clock is the case's");
    let twice = "decision := \"deny\" if time.now_ns() - time.now_ns() == 0";
    assert_eq!(asked(RULE, twice, &[update()]), "deny r");
}

#[test]
fn a_module_reaches_nothing_but_its_input_and_data() {
    for (call, name) in [
        ("http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1\"})", "http.send"),
        ("opa.runtime()", "opa.runtime"),
        ("net.lookup_ip_addr(\"example.com\")", "net.lookup_ip_addr"),
        ("net.cidr_contains(\"10.0.0.0/8\", \"10.0.0.1\")", "net.cidr_contains"),
        ("rand.intn(\"x\", 2)", "rand.intn"),
        ("uuid.rfc4122(\"x\")", "uuid.rfc4122"),
        ("providers.aws.sign_req({}, {}, 1)", "providers.aws.sign_req"),
        ("crypto.sha256(\"x\")", "crypto.sha256"),
    ] {
        let module =
            format!("package p\n# http.send(\ndecision := \"allow\" if {{\n\tprint(\"{name}(\")\n\t{call}\n}}\n");
        let problems = load_with(RULE, &[("p.rego", &module)]).expect_err(call);
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(problem.message.contains(&format!("`{name}` is not offered")), "{problem}");
        let at = problem.location.as_ref().unwrap();
        assert_eq!((&*at.file, at.line, at.column), ("p.rego", 5, 2));
        // Met in another way, it is an error when it is asked, and so a denial.
        let spelled = call.replacen('.', "[\"", 1).replacen('(', "\"](", 1);
        let module = format!("package p\ndecision := \"allow\" if {spelled}\n");
        if let Ok(loaded) = load_with(RULE, &[("p.rego", &module)]) {
            assert!(matches!(of_an_update(&loaded.set).verdict, Verdict::Deny(_)), "{spelled}");
        }
    }
    let own = [
        ("p.rego", "package p\nimport data.lib.net\ndecision := \"deny\" if net.near(1)\n"),
        ("net.rego", "package lib.net\nnear(x) if x < 2\n"),
    ];
    assert!(load_with(RULE, &own).is_ok(), "a package may be named as a family is");
}

#[test]
fn an_evaluation_ends() {
    for module in [
        "decision := \"allow\" if count([x | some x in numbers.range(1, 3000); some y in numbers.range(1, 3000); y > x]) > 1",
        "f(x) := f(x + 1)\ndecision := \"allow\" if f(1) == 1",
    ] {
        let loaded = load_with(RULE, &[("p.rego", &format!("package p\n{module}\n"))]);
        let Ok(loaded) = loaded else { continue };
        assert_eq!(say(&of_an_update(&loaded.set)), "error r", "{module}");
    }
}

#[test]
fn rules_that_come_back_to_themselves_are_refused() {
    for module in [
        "f(x) := f(x + 1)\ndecision := \"allow\" if f(1) == 1",
        "f(x) := g(x)\ng(x) := data.p.f(x)\ndecision := \"allow\" if f(1) == 1",
        "f(x) := y if\n  y := g(x)\ng(x) := y if {\n  y := f(x)\n}\ndecision := \"allow\" if f(1) == 1",
        "import data.p as q\nf(x) := q.f(x)\ndecision := \"allow\" if f(1) == 1",
        "a := b\nb := a\ndecision := \"allow\" if a == 1",
        "f(x) := a\na := f(1)\ndecision := \"allow\" if a == 1",
        "f(x) := data.p.a\na := f(1)\ndecision := \"allow\" if a == 1",
        "decision := f(1)\nf(x) := data.p.decision",
    ] {
        let problems = load_with(RULE, &[("p.rego", &format!("package p\n{module}\n"))]).expect_err(module);
        let [problem] = problems.as_slice() else { panic!("{module}: {problems:?}") };
        assert!(problem.message.contains("in a circle"), "{module}: {problem}");
    }
}

#[test]
fn functions_that_call_each_other_in_no_circle_are_good() {
    for module in [
        "f(x) := g(x)\ng(x) := h(x) if x > 1\ng(x) := 1 if x <= 1\nh(x) := x - 1\ndecision := \"allow\" if f(3) == 2",
        "f(x) := count(x)\ncounted(x) := f(x)\ndecision := \"allow\" if counted([1]) == 1",
    ] {
        load_with(RULE, &[("p.rego", &format!("package p\n{module}\n"))]).unwrap();
    }
    let same = [
        ("p.rego", "package p\ncheck(x) := data.lib.check(x)\ndecision := \"allow\" if check(1)\n"),
        ("lib/l.rego", "package lib\ncheck(x) if x == 1\n"),
    ];
    load_with(RULE, &same).unwrap();
}

#[test]
fn what_is_wrong_with_a_bundle_is_told_at_its_place() {
    let told = |bundle: &str, files: &[(&str, &str)]| {
        let problems = load_with(bundle, files).expect_err("refused");
        let told = problems.iter().map(|problem| {
            let at = problem.location.as_ref().expect("a place");
            format!("{}:{}:{} {}", at.file, at.line, at.column, problem.message)
        });
        told.collect::<Vec<_>>().join("\n")
    };
    let good = ("p.rego", "package p\ndecision := \"allow\"\n");
    assert_eq!(told(RULE, &[]), "b.yaml:3:30 the bundle `opa/` has no module");
    let other = RULE.replace("data.p.decision", "data.p.decide");
    assert_eq!(told(&other, &[good]), "b.yaml:3:43 the bundle has no rule `data.p.decide`");
    for bad in ["p.decision", "data", "data.p", "data.p.decision; true", "data..x", "data.p[\"x\"]"] {
        let query = RULE.replace("data.p.decision", &format!("'{}'", bad.replace('\'', "")));
        assert!(told(&query, &[good]).contains("is not the path of a rule"), "{bad}");
    }
    let broken = told(RULE, &[good, ("lib/q.rego", "package q\nx := \n\ny = = 2\n")]);
    assert!(broken.starts_with("lib/q.rego:4:") || broken.starts_with("lib/q.rego:2:"), "{broken}");
    let json = told(RULE, &[good, ("data.json", "{\n  \"a\": trap\n}")]);
    assert!(json.starts_with("data.json:2:"), "{json}");
    assert!(told(RULE, &[good, ("data.json", "[1]")]).contains("data is a mapping"));
    assert!(told(RULE, &[good, ("data.yaml", "a: *x\n")]).starts_with("data.yaml:1:"));
    let twice = told(RULE, &[good, ("a/data.json", "{\"x\": 1}"), ("data.json", "{\"a\": {\"x\": 2}}")]);
    assert!(twice.starts_with("data.json:1:1"), "{twice}");
    let both = RULE.replace("rego:", "allow: { actions: [read], objects: ['*'] }, rego:");
    assert!(told(&both, &[good]).contains("says both `allow` and `rego`"));
    let unread = PolicySet::load(&[SourceFile::new("b.yaml", RULE)]).expect_err("nobody reads it");
    assert!(unread[0].message.contains("cannot be read: no OPA bundles are read here"), "{unread:?}");
}

#[test]
fn the_files_are_part_of_the_digest_and_a_change_of_them_may_weaken() {
    let module = ("p.rego", "package p\ndecision := \"deny\"\n");
    let library = ("q.rego", "package q\n");
    let changed = ("q.rego", "package q\nx := 1\n");
    let load = |files: &[(&str, &str)]| load_with(RULE, files).expect("loads").set;
    let (one, two, other) = (load(&[module]), load(&[module, library]), load(&[module, changed]));
    assert_ne!(one.digest(), two.digest());
    assert_ne!(two.digest(), other.digest());
    assert_eq!(one.weakens(&two), ["rule b/r: q.rego of opa/ is gone"]);
    assert_eq!(other.weakens(&two), ["rule b/r: q.rego of opa/ changed"]);
    assert_eq!(two.weakens(&one), ["rule b/r: q.rego of opa/ is new"]);
    assert!(two.weakens(&two).is_empty());
    let empty = crate::samples::load(&["bundle: b\nrules:\n  - { id: x, deny: { actions: [drop] } }\n"]);
    assert_eq!(empty.weakens(&one), ["rule b/r is gone"]);
    let denies = crate::samples::load(&["bundle: b\nrules:\n  - { id: r, deny: {} }\n"]);
    assert!(denies.weakens(&one).is_empty(), "a plain deny is as strict as it gets");
    assert_eq!(one.weakens(&denies), ["deny b/r: asks data.p.decision of opa/ instead"]);
    let marked = load_with(&RULE.replace("opa/,", "opa/, marks: [dynamic],"), &[module]).expect("loads").set;
    assert_eq!(marked.weakens(&one), ["rule b/r: its answers may also permit dynamic"]);
    assert!(one.depends_on_time());
}

#[test]
fn whoever_may_be_answered_allow_may_write() {
    let set = set(RULE, "decision := \"deny\"");
    assert!(set.may_write(&agent(), &shop(), "public", "customers", "ssn"));
    let reads = RULE.replace("opa/,", "opa/, actions: [read],");
    let set = load_with(&reads, &[("p.rego", "package p\ndecision := \"deny\"\n")]).expect("loads").set;
    assert!(!set.may_write(&agent(), &shop(), "public", "customers", "ssn"));
}

#[test]
fn an_explanation_shows_the_answer() {
    let set = set(RULE, "decision := {\"decision\": \"allow\", \"message\": \"Fine.\"}");
    let (principal, connection, operations) = (agent(), shop(), [update(), update().marked(Mark::Dynamic)]);
    let at = Timestamp::UNIX_EPOCH;
    let case =
        Case { principal: &principal, connection: &connection, operations: &operations, home: None, fields: None, at };
    let shown = set.explain(&case).to_string();
    assert!(shown.contains("allow  b/r  b.yaml:3  [data.p.decision says allow: Fine.]"), "{shown}");
    assert!(shown.contains("says allow, but neither it nor the rule names `dynamic`"), "{shown}");
}

/// The cases of the fixture: what is asked about, and when.
fn cases() -> Vec<(&'static str, Vec<Operation>, &'static str)> {
    let (monday, sunday) = ("2026-01-05T10:00:00Z", "2026-01-04T10:00:00Z");
    let unclear = Operation::new(Action::Delete, Object::Unknown);
    let read = on(Action::Read, "public", "orders").naming(columns(&["id"]));
    vec![
        ("read", vec![read.clone()], monday),
        ("update", vec![read.clone(), update()], monday),
        ("update-on-sunday", vec![update()], sunday),
        ("update-early", vec![update()], "2026-07-06T05:59:59Z"),
        ("update-in-summer", vec![update()], "2026-07-06T06:00:00Z"),
        ("update-elsewhere", vec![on(Action::Update, "hr", "people")], monday),
        ("update-in-a-freeze", vec![update()], "2026-12-24T10:00:00Z"),
        ("drop", vec![Operation::new(Action::Drop, table("public", "orders")).marked(Mark::Irreversible)], monday),
        ("two-changes", vec![on(Action::Create, "public", "a"), on(Action::Alter, "public", "b")], sunday),
        ("unclear", vec![read, unclear.marked(Mark::Unbounded)], monday),
        ("session", vec![Operation::new(Action::Connect, Object::Session(portcullis_model::SessionKind::Sql))], monday),
    ]
}

fn compare(path: &Path, found: &serde_json::Value) {
    let text = format!("{}\n", serde_json::to_string_pretty(found).expect("text"));
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, &text).expect("written");
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap_or_default(), "{}", path.display());
}

/// `cases/NAME/input.json` is what is asked, and `answer.json` what is answered. Run with `UPDATE_FIXTURES=1` to write them
/// anew, and read the difference. Where `PORTCULLIS_OPA` names the real `opa`, its answer to the same input is the same.
#[test]
fn the_answers_of_the_fixture_are_those_of_opa() {
    // `opa` places data by the path it is given, and takes `..` in it for a name.
    let root = fixtures("change-window").canonicalize().expect("the fixture");
    let source = SourceFile::new("policy.yaml", std::fs::read_to_string(root.join("policy.yaml")).expect("the bundle"));
    let loaded = PolicySet::load_with(&[source], &|_, directory| Ok(files(&root.join(directory), "")));
    let set = loaded.unwrap_or_else(|problems| panic!("{problems:?}")).set;
    let rego = set.bundles.iter().flat_map(|bundle| &bundle.rules).find_map(|rule| rule.rego.clone()).expect("it asks");
    let opa = std::env::var_os("PORTCULLIS_OPA");
    for (name, operations, at) in cases() {
        let (principal, connection) = (agent(), shop());
        let at: Timestamp = at.parse().expect("a moment");
        let facts = Facts::new(&principal, &connection, &operations, at);
        let input = root.join("cases").join(name).join("input.json");
        compare(&input, &input::document(&facts.view));
        let Ok(value) = rego.evaluate(input::of(&facts.view), at, LIMIT) else { panic!("{name} is not answered") };
        assert!(Answer::read(&value).says.is_ok(), "{name}: {value}");
        let answer: serde_json::Value = serde_json::from_str(&value.to_json_str().expect("JSON")).expect("JSON");
        compare(&input.with_file_name("answer.json"), &answer);
        if let Some(opa) = &opa {
            let output = Command::new(opa)
                .args(["eval", "--format", "raw", "--bundle"])
                .arg(root.join("opa"))
                .arg("--input")
                .arg(&input)
                .arg(&*rego.query)
                .output()
                .expect("opa runs");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8_lossy(&output.stdout);
            // Raw output is a text without its quotes, or JSON.
            let said = serde_json::from_str(&text).unwrap_or_else(|_| serde_json::Value::from(text.trim()));
            assert_eq!(said, answer, "{name}");
        }
    }
}
