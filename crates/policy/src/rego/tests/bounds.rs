//! What a bundle may ask of its reader, and a call of the evaluator.

use super::super::builtins::{Bound, CALLS};
use super::super::module::NOT_OFFERED;
use super::*;
use regorus::unstable::BUILTINS;

/// A moment that nothing takes which ends by itself; what it stands against would take years, or all memory.
const LONG: Duration = Duration::from_secs(20);

/// How a module is refused, and that it takes no time.
fn told(text: &str) -> String {
    let start = Instant::now();
    let problems = load_with(RULE, &[("p.rego", text)]).err().unwrap_or_default();
    assert!(start.elapsed() < LONG, "{:?} for {}", start.elapsed(), text.chars().take(80).collect::<String>());
    let told = problems.iter().map(|problem| {
        let at = problem.location.as_ref().expect("a place");
        format!("{}:{} {}", at.file, at.line, problem.message)
    });
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_text_that_takes_too_long_to_read_is_refused_at_its_place() {
    let nested = |open: &str, times: usize, close: &str| {
        format!("package p\n\ndecision := {}1{}\n", open.repeat(times), close.repeat(times))
    };
    let lines = |one: &str, times: usize| one.repeat(times);
    for (text, why) in [
        (nested("[", 40, "]"), "of `[` and `{` inside each other"),
        (nested("1 + [", 100_000, "]"), "of `[` and `{` inside each other"),
        (nested("[\n", 15_000, "]"), "of `[` and `{` inside each other"),
        (nested("{", 40, "}"), "of `[` and `{` inside each other"),
        (nested("{1: ", 13, "}"), "of `[` and `{` inside each other"),
        (nested("[x | x := ", 13, "]"), "too much of it is inside brackets"),
        (nested("input[", 13, "]"), "of `[` and `{` inside each other"),
        (nested("[", 40, "$"), "of `[` and `{` inside each other"),
        (nested("(", 100, ")"), "64 brackets inside each other"),
        (nested("abs(", 100, ")"), "64 brackets inside each other"),
        (nested("-", 600, ""), "an expression of more than 500"),
        (nested("set(\n", 10_000, ")"), "`set(` in a row"),
        (nested("set( # set\n", 9, ")"), "`set(` in a row"),
        (format!("package p\nx := 1{}\n", lines(" +\n1", 15_000)), "an expression of more than 500"),
        (format!("package p\nx := 1{}\n", lines("+1", 480) + &lines("\n -1", 30)), "an expression of more than 500"),
        (format!("package p\nx := {}y\n", lines("-a\n+ ", 600)), "an expression of more than 500"),
        (format!("package p\nx := input{}\n", lines(".a", 501)), "an expression of more than 500"),
        (format!("package p\nx := {}y\n", lines("a in\n", 600)), "an expression of more than 500"),
        (
            format!("package p\nx := {}1{}\n", lines("(", 60), lines("+1+1+1+1+1+1+1+1+1+1)\n", 60)),
            "an expression of more than 500",
        ),
        (
            format!("package p\n{}", lines("x := [[[[[[[[1, 2], 3], 4], 5], 6], 7], 8], 9]\n", 2000)),
            "too much of it is inside brackets",
        ),
        (nested("[", 9, &format!("# {}\n]", "x".repeat(100_000))), "too much of it is inside brackets"),
        (
            format!("package p\ndecision := {}1, `{}`{}\n", lines("[", 9), lines("xxxxxxxxx\n", 9999), lines("]", 9)),
            "too much of it is inside brackets",
        ),
        (
            format!("package p\nimport data.{} as l\n{}", "a".repeat(900), lines("x := l.f(1)\n", 2000)),
            "longer than 1 MiB with its imports",
        ),
        (format!("package p\n{}x := 1\n", lines("import data.l\n", 1001)), "more than 1000 imports"),
        (format!("package p\nx := 1 if {{\n{}}}\n", lines("input.a\n", 251)), "a body of more than 250 statements"),
        (format!("package p\nx := [1 |\n{}]\n", lines("input.a\n", 251)), "a body of more than 250 statements"),
        (format!("package p\n{}", lines("x:=1 x:=1 x:=1 x:=1 x:=1\n", 19_000)), "more than 200000 words"),
    ] {
        let told = told(&text);
        assert!(
            told.contains(why) && told.starts_with("p.rego:"),
            "{}: {told}",
            text.chars().take(60).collect::<String>()
        );
    }
}

/// Modules at the bounds.
fn at_the_bounds() -> Vec<String> {
    let lines = |one: &str, times: usize| one.repeat(times);
    vec![
        format!("package p\ndecision := 1{}\n", lines("\n+ 1", 499)),
        format!("package p\ndecision := {}1{}\n", lines("[", 12), lines("]", 12)),
        format!("package p\ndecision := {}1{}\n", lines("{1: ", 11), lines("}", 11)),
        format!("package p\ndecision := {}1{}\n", lines("[x | x := ", 10), lines("]", 10)),
        // Each level is read three times over here: as a comprehension, twice a statement, then as an array.
        format!("package p\ndecision := {}1{}\n", lines("[x | ", 9), lines(" | y]", 9)),
        format!(
            "package p\n{}decision := 1\n",
            format!("z := {}1{}\n", lines("[x | ", 7), lines(" | y]", 7)).repeat(60)
        ),
        format!(
            "package p\n{}decision := 1\n",
            format!("x := {}{{1: 2}}{}\n", lines("[{1: ", 4), lines("}]", 4)).repeat(20)
        ),
        format!("package p\n{}decision := 1\n", "x := [{\"a\": [1, {\"b\": {\"c\": 1}}]}]\n".repeat(2000)),
        format!("package p\ndecision := {}1{}\n", lines("(", 31), lines("+1+1+1+1+1+1+1+1+1)\n", 31)),
        format!("package p\ndecision := {}1{}\n", lines("abs(", 64), lines(")", 64)),
        format!("package p\ndecision := {}1\n", lines("-a\n+ ", 240)),
        format!("package p\ndecision := {}[1]\n", lines("1 in\n", 499)),
        format!("package p\ndecision := input{}\n", lines(".a", 499)),
        format!("package p\ndecision := input{}\n", lines("[1]", 240)),
        format!("package p\n{}decision := 1\n", numbered("x := 1 if {\nx0 := 1\n", "x%m := x%n\n", 249).repeat(60)),
        format!("package p\n{}decision := 1\n", numbered("", "import data.l%n as m%n\n", 1000)),
        format!("package p\n{}decision := 1\n", lines("x := 1 if input.a else := 2\n", 19_000)),
    ]
}

/// `%n` is the number of a line, `%m` the next; a body is closed.
fn numbered(before: &str, line: &str, times: usize) -> String {
    let lines = (0..times).map(|nth| line.replace("%n", &nth.to_string()).replace("%m", &(nth + 1).to_string()));
    let close = if before.contains('{') { "}\n" } else { "" };
    format!("{before}{}{close}", lines.collect::<String>())
}

/// A set is read on a thread of its own and dropped on another, which has a stack of 2 MiB.
#[test]
fn what_is_read_is_dropped_on_an_ordinary_stack() {
    let small = |run: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread").join().expect("it ends");
    };
    for text in at_the_bounds() {
        let start = text.chars().take(60).collect::<String>();
        small(Box::new(move || {
            let begun = Instant::now();
            let loaded = load_with(RULE, &[("p.rego", &text)]);
            let loaded = loaded.unwrap_or_else(|problems| panic!("{start}: {problems:?}"));
            assert!(begun.elapsed() < LONG, "{start}: {:?}", begun.elapsed());
            println!("{:?} {start}", begun.elapsed());
            of_an_update(&loaded.set);
            // One that does not compile is dropped where it was read.
            let other = RULE.replace("data.p.decision", "data.p.other");
            assert!(load_with(&other, &[("p.rego", &text)]).is_err());
        }));
    }
}

/// A claim says how much.
#[test]
fn no_call_takes_what_a_number_or_text_of_it_says() {
    let start = Instant::now();
    for call in [
        "numbers.range(1, 1000000000000)",
        "numbers.range(1, 9000000000000000000)",
        "numbers.range(-9000000000000000000, 9000000000000000000)",
        "numbers.range(1, 1000000000)",
        "numbers.range(1, 100001)",
        "numbers.range(1, 1e30)",
        "numbers.range_step(1, 1000000000, 2)",
        "numbers.range_step(1, 1000000000, -1)",
        "bits.lsh(1, 4000000000)",
        "bits.lsh(1, 5000)",
        "units.parse(\"1e2000000000\")",
        "units.parse_bytes(\"1e2000000000KB\")",
        "to_number(\"1e2000000000\")",
        "json.unmarshal(\"[1e2000000000]\")",
        "sprintf(\"%04000000000d\", [1])",
        "sprintf(\"%4000000000d\", [1])",
        "sprintf(\"%.4000000000f\", [1.5])",
        "sprintf(\"%1001d\", [1])",
        "sprintf(\"%99999999999999999999d\", [1])",
        "concat(t, split(t, \"\"))",
        "replace(t, \"a\", t)",
        "replace(concat(\"\", [t, t, t]), \"a\", \"b\")",
        "strings.replace_n({\"a\": t}, t)",
        "regex.replace(t, \"a\", t)",
        "regex.match(\"(a{1000}){1000}\", t)",
        "indexof(concat(\"\", [t, t]), t)",
        "strings.count(concat(\"\", [t, t]), t)",
        "array.concat(numbers.range(1, 60000), numbers.range(1, 60000))",
        "product(numbers.range(1, 60000))",
        "hex.encode(concat(\"\", [t | some _ in numbers.range(1, 30)]))",
        "graph[\"reachable_paths\"]({1: [1]}, [1])",
        // Results that are much longer than what they are made of.
        "strings.replace_n({\"a\": bs, \"b\": cs, \"c\": ds, \"d\": es}, \"a\")",
        "strings.replace_n({\"\": bs, \"b\": cs, \"c\": ds}, \"a\")",
        "strings.replace_n({sprintf(\"a%d\", [n]): \"\" | some n in numbers.range(1, 5000)}, u)",
        "replace(u, \"\", u)",
        "replace(u, \"a\", u)",
        "regex.replace(u, \"\", u)",
        "regex.replace(u, \"a\", u)",
        "regex.replace(u, \".*\", replace(u, \"a\", \"$0\"))",
        "regex.find_all_string_submatch_n(replace(substring(u, 0, 900), \"a\", \"()\"), u, -1)",
        "regex.template_match(replace(substring(u, 0, 900), \"a\", \"<a{300}>\"), u, \"<\", \">\")",
        "glob.match(u, [\"a\" | some _ in numbers.range(1, 2000)], u)",
        "json[\"marshal_with_options\"]([1], {\"prefix\": u})",
        "urlquery.encode_object({u: [u | some _ in numbers.range(1, 50)]})",
        "urlquery.encode_object({u: [\"\" | some _ in numbers.range(1, 90000)]})",
        "walk(shared)",
        "graph.reachable({n: r | some n in r}, [1])",
        "json.filter({}, [r])",
        "json.remove({\"a\": 1}, [replace(u, \"a\", \"a/\")])",
        "object.union_n([{n: n} | some n in r])",
        "union({{n} | some n in r})",
        "object.subset([0 | some _ in r], array.concat([0 | some _ in numbers.range(1, 15000)], [1]))",
        "sort(shared)",
        "max(shared)",
        "product([bits.lsh(1, 4096) | some _ in numbers.range(1, 1000)])",
        "json.marshal([n | n := bits.lsh(1, 4096); some _ in numbers.range(1, 2000)])",
        "to_number(replace(u, \"a\", \"1\"))",
        "json.unmarshal(replace(u, \"a\", \"1\"))",
        // The evaluator would write what stands in a wrong place into its message.
        "startswith(shared, \"a\")",
        "upper(shared)",
        "abs(shared)",
        "array.reverse({1: shared})",
        "object.get(shared, 1, 2)",
        "time.clock(shared)",
        "json.is_valid(shared)",
    ] {
        let text = "t := replace(sprintf(\"%01000d%01000d%01000d\", [0, 0, 0]), \"0\", \"aaaaaaaaaaaaa\")";
        let more = concat!(
            "r := numbers.range(1, 20000)\nshared := [r | some _ in r]\nu := substring(t, 0, 20000)\n",
            "bs := replace(substring(t, 0, 1000), \"a\", \"b\")\ncs := replace(bs, \"b\", \"c\")\n",
            "ds := replace(bs, \"b\", \"d\")\nes := replace(bs, \"b\", \"e\")",
        );
        let module = format!("{text}\n{more}\ndecision := \"allow\" if {call}\n");
        let loaded = load_with(RULE, &[("p.rego", &format!("package p\n{module}"))]).expect(call);
        assert_eq!(say(&of_an_update(&loaded.set)), "error r", "{call}");
    }
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

#[test]
fn calls_within_the_bounds_are_made() {
    for call in [
        "count(numbers.range(1, 100000)) == 100000",
        "numbers.range_step(1, 9, 4) == [1, 5, 9]",
        "bits.lsh(1, 4) == 16",
        "units.parse(\"10K\") == 10000",
        "units.parse_bytes(\"1e3KB\") == 1000000",
        "to_number(\"1e3\") == 1000",
        "sprintf(\"%5d|%s|%.2f|%d%%\", [7, \"a\", 1.5, 3]) == \"    7|a|1.50|3%\"",
        "concat(\", \", [\"a\", \"b\"]) == \"a, b\"",
        "concat(\", \", {\"a\", \"b\"}) == \"a, b\"",
        "replace(\"abc\", \"b\", \"x\") == \"axc\"",
        "json.unmarshal(\"{\\\"employee\\\": 1e9}\") == {\"employee\": 1000000000}",
        "json.unmarshal(\"[\\\"1e99999\\\"]\") == [\"1e99999\"]",
        "regex.match(\"^a+$\", \"aaa\")",
        "array.concat([1], [2]) == [1, 2]",
        "product([2, 3]) == 6",
        "strings.replace_n({\"<\": \"&lt;\", \">\": \"&gt;\"}, \"<a>\") == \"&lt;a&gt;\"",
        "replace(\"abc\", \"\", \"-\") == \"-a-b-c-\"",
        "regex.replace(\"abc\", \"(b)\", \"[$1]\") == \"a[b]c\"",
        "regex.find_all_string_submatch_n(\"(a)(b)\", \"abab\", -1) == [[\"ab\", \"a\", \"b\"], [\"ab\", \"a\", \"b\"]]",
        "regex.template_match(\"urn:{[a-z]+}\", \"urn:foo\", \"{\", \"}\")",
        "glob.match(\"a.*.c\", [\".\", \":\"], \"a.b.c\")",
        "glob.match(\"a*\", null, \"abc\")",
        "urlquery.encode_object({\"a\": [\"b\", \"c\"], \"d\": \"e\"}) == \"a=b&a=c&d=e\"",
        "[path | walk({\"a\": [1]}, [path, 1])] == [[\"a\", 0]]",
        "graph.reachable({1: [2], 2: [], 3: []}, [1]) == {1, 2}",
        "json.filter({\"a\": 1, \"b\": 2}, [\"a\"]) == {\"a\": 1}",
        "object.union_n([{\"a\": 1}, {\"b\": 2}]) == {\"a\": 1, \"b\": 2}",
        "union({{1}, {2}}) == {1, 2}",
        "object.subset({\"a\": [1, 2, 3]}, {\"a\": [2, 3]})",
        "count([r | r := numbers.range(1, 2000); some _ in r]) == 2000",
        "array.reverse([r | r := numbers.range(1, 1000); some _ in numbers.range(1, 2000)])[0][0] == 1",
        "object.get({\"a\": [r | r := numbers.range(1, 1000); some _ in numbers.range(1, 2000)]}, \"a\", 1) != 1",
        "time.clock([0, \"UTC\"]) == [0, 0, 0]",
        "json.marshal({\"a\": [1]}) == \"{\\\"a\\\":[1]}\"",
        "hex.encode(\"a\") == \"61\"",
        "rand := 1",
    ] {
        assert_eq!(say(&of_an_update(&set(RULE, &format!("decision := \"allow\" if {call}")))), "allow", "{call}");
    }
    assert_eq!(
        say(&of_an_update(&set(RULE, "decision := \"allow\" if { concat(\"\", [\"a\"], x); x == \"a\" }"))),
        "allow"
    );
}

/// A panic of the evaluator is a denial, and no more.
#[test]
fn a_panic_of_the_evaluator_denies() {
    let module = "decision := \"allow\" if strings.count(\"aaa\", \"\") >= 0";
    let set = set(RULE, module);
    assert_eq!(say(&of_an_update(&set)), "error r");
    assert_eq!(say(&of_an_update(&set)), "error r", "and what was loaded is as it was");
}

/// Each of the evaluator's functions was looked at, and has a row that says what bounds it, or is not offered. One that is new
/// here is to be looked at, too. Whatever it does, it is not given values that take minutes to go over.
#[test]
fn every_function_of_the_evaluator_was_looked_at_and_is_bounded() {
    let rows = CALLS.iter().flat_map(|(bound, names)| names.iter().map(|name| (*name, *bound)));
    let rows: Vec<(&str, Bound)> = rows.collect();
    let not_offered = NOT_OFFERED.iter().copied().filter(|name| BUILTINS.contains_key(name));
    let mut names: Vec<&str> = rows.iter().map(|(name, _)| *name).chain(not_offered).chain(["time.now_ns"]).collect();
    names.sort_unstable();
    let mut all: Vec<&str> = BUILTINS.keys().copied().collect();
    all.sort_unstable();
    assert_eq!(names, all);
    let start = Instant::now();
    for (name, bound) in rows.into_iter().filter(|(_, bound)| *bound != Bound::Kind) {
        let given = vec!["shared"; usize::from(BUILTINS[name].1)].join(", ");
        let shared = "r := numbers.range(1, 2000)\nshared := {n: r | some n in r}";
        let set = set(RULE, &format!("{shared}\ndecision := \"allow\" if {name}({given})"));
        let told = if name == "object.keys" { "allow" } else { "error r" };
        assert_eq!(say(&of_an_update(&set)), told, "{name} {bound:?}");
    }
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

#[test]
fn an_evaluation_ends_whatever_its_functions_do_with_errors() {
    let rows: String = (0..60)
        .map(|nth| format!("f{nth}(x) := f{}(x) if x > 0\nf{nth}(x) := f{}(x) if x < 9\n", nth + 1, nth + 1))
        .collect();
    let start = Instant::now();
    let set = set(RULE, &format!("{rows}f60(x) := x\ndecision := \"allow\" if f0(1) == 1"));
    assert_eq!(say(&of_an_update(&set)), "error r");
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

#[test]
fn the_time_of_a_decision_is_one_for_all_that_it_asks() {
    let two = format!("{RULE}  - {{ id: s, rego: {{ bundle: opa/, query: data.p.decision }} }}\n");
    let three = format!("{two}  - {{ id: t, rego: {{ bundle: opa/, query: data.p.other }} }}\n");
    let read = std::cell::Cell::new(0);
    let loaded = PolicySet::load_with(&[SourceFile::new("b.yaml", three)], &|_, _| {
        read.set(read.get() + 1);
        Ok(vec![SourceFile::new("p.rego", "package p\ndecision := \"allow\"\nother := \"allow\"\n")])
    });
    let set = loaded.expect("loads").set;
    assert_eq!(read.get(), 1, "a bundle is read once");
    let asked: Vec<_> =
        set.bundles.iter().flat_map(|bundle| &bundle.rules).filter_map(|rule| rule.rego.clone()).collect();
    let [one, same, other] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(Arc::ptr_eq(one, same), "the same query is asked once");
    assert!(!Arc::ptr_eq(one, other));
    let (principal, connection, operations) = (agent(), shop(), [update()]);
    let facts = Facts::new(&principal, &connection, &operations, Timestamp::UNIX_EPOCH);
    assert!(other.ask(&facts).says.is_ok());
    assert!(facts.time_left() < LIMIT);
    facts.take_time(LIMIT);
    assert!(one.ask(&facts).says.is_err(), "nothing is left");
    facts.refill();
    assert!(one.ask(&facts).says.is_ok());
}

#[test]
fn what_is_wrong_with_a_bundle_is_told_once() {
    let two = format!("{RULE}  - {{ id: s, rego: {{ bundle: opa/, query: data.p.other }} }}\n");
    let problems = load_with(&two, &[("p.rego", "package p\nx := \n\ny = = 2\n")]).expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
}
