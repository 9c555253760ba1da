//! Which bundles come back to themselves or go too deep, and which do not.

use super::*;

/// The problems of these modules, each at its place.
fn told(modules: &[(&str, &str)]) -> String {
    let problems = load_with(RULE, modules).err().unwrap_or_default();
    let told = problems.iter().map(|problem| {
        let at = problem.location.as_ref().expect("a place");
        format!("{}:{} {}", at.file, at.line, problem.message)
    });
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn whatever_comes_back_to_itself_is_refused_at_its_place() {
    let ask = "decision := \"allow\" if f(1) == 1";
    for (module, line) in [
        ("f(x) := f(x + 1)", 2),
        ("f(x) := 1 if x > 9e9\nelse := f(x + 1)", 2),
        ("f(x) := 1 if x > 9e9\nelse := 2 if f(x + 1)", 2),
        ("default f(_) := [y | y := f(1)]", 2),
        ("default f(_) := 1\nf(x) := f(x + 1)", 2),
        ("x := 1 f(n) := f(n + 1)", 2),
        ("x := 1\nf(x) := data[\"p\"].f(x)", 3),
        ("f(x) := data[\"p\"][\"f\"](x)", 2),
        ("f(x) := data[\"p.f\"](x)", 2),
        ("f(x) := y if {\n  some z in [1]\n  every v in [x] {\n    y := {k: 1 | k := [1, -f(v)]}\n  }\n}", 2),
        ("f([x, y]) := f([y, x])\ng := f([1, 2])", 2),
        ("f(x) := g(x)\ng(x) := 1 + f(x)", 2),
        ("f(x) := a if { x > 1 }\na := f(1)", 2),
        ("f(x) := data.p.a\na := f(1)", 2),
        ("f(x) := data.p[x]\na := f(\"b\")", 2),
        ("f(x) := data[x].a\na := f(\"p\")", 2),
        ("f(x) := y if { y := data }\na := f(\"p\")", 2),
        ("f(x) := 1 if { y := x with input.z as f(1) }", 2),
        ("f(x) := b[1]\nb[f(1)] := 1", 2),
        ("f(x) := 1 if b\nb contains f(1)", 2),
        ("f(x) := 1 if input.a[f(x)]", 2),
        ("f(x) := 1 if not f(x)", 2),
        ("f(x) := a if { b := a; a := 1 }\na := f(1)", 2),
        ("f(x) := a.b.c\na.b := f(1)", 2),
    ] {
        let told = told(&[("p.rego", &format!("package p\n{module}\n{ask}\n"))]);
        assert!(told.contains("in a circle") && told.contains("data.p.f"), "{module}: {told}");
        let lines: Vec<_> = (line..line + 2).map(|line| format!("p.rego:{line} ")).collect();
        assert!(lines.iter().any(|place| told.starts_with(place)), "{module}: {told}");
    }
}

#[test]
fn a_circle_may_go_through_modules_and_imports() {
    let ask = "decision := \"allow\" if f(1) == 1";
    for (one, other) in [
        ("import data.lib.g\nf(x) := g(x)", "package lib\nimport data.p\ng(x) := p.f(x)"),
        ("import data.lib as l\nf(x) := l.h.g(x)", "package lib.h\ng(x) := data.p.f(x)"),
        ("import data.lib\nf(x) := lib.a", "package lib\na := 1\nb := data.p.f(1)"),
        ("import data.lib\nf(x) := lib[x]", "package lib.h\nb := data.p.f(1)"),
        ("f(x) := data.lib[x].a", "package lib.h.i\nb := data.p.f(1)"),
        ("f(x) := g(x)", "package p\ng(x) := f(x)"),
        ("f(x) := l.a", "package p\nimport data.lib as l\nl2 := 1\nlib2 := f(1)"),
    ] {
        let told = told(&[("p.rego", &format!("package p\n{one}\n{ask}\n")), ("q.rego", &format!("{other}\n"))]);
        // The last has none: an import counts for its package, and there is nothing at `data.lib`.
        assert_eq!(told.contains("in a circle"), !other.contains("lib2"), "{one}: {told}");
    }
}

#[test]
fn bundles_without_a_circle_are_good() {
    for module in [
        "f(x) := set()\ng(x) := f(x)\ndecision := \"allow\" if g(1) == set()",
        "  f(x) := g(x)\n  g(x) := 1\n  decision := \"allow\" if f(1) == 1",
        "roles := named(input.principal.user)\nnamed(user) := roles if {\n  roles := data.roles[user]\n}\ndecision := \"allow\" if not roles",
        "x := f(1)\nf(x) := x + 1\ndecision := \"allow\" if x == 2",
        "x := f([1])\nf(y) if every x in y { x > 0 }\ndecision := \"allow\" if x",
        "x := f([1])\nf(y) := [x | x := y[_]]\ndecision := \"allow\" if x == [1]",
        "x := f({\"a\": 1})\nf({\"a\": x}) := x\ndecision := \"allow\" if x == 1",
        "f(x) := data.lib[x]\ndecision := \"allow\" if not f(\"a\")",
        "a.b := 1\na.c := a.b + 1\ndecision := \"allow\" if a.c == 2",
        "a[\"b\"] := 1\na[\"c\"] := a.b\ndecision := \"allow\" if a.c == 1",
        "n := input.n\ndecision := \"allow\" if n == 2 with input.n as 2",
        "n := data.n\ndecision := \"allow\" if n == 2 with data.n as 2",
        "default allow := false\nallow if input.operations\ndecision := \"allow\" if allow",
        "default f(_) := 1\nf(x) := 2 if x > 9\ndecision := \"allow\" if f(1) == 1",
    ] {
        let set = set(RULE, module);
        assert_eq!(say(&of_an_update(&set)), "allow", "{module}");
    }
    let parts = [
        ("p.rego", "package p\nimport data.a\ndecision := \"allow\" if data.a.x.f(1) == 2\n"),
        ("x.rego", "package a[\"x\"]\nf(n) := data.a.y.f(n)\n"),
        ("y.rego", "package a[\"y\"]\nf(n) := n + 1\n"),
    ];
    assert_eq!(say(&of_an_update(&load_with(RULE, &parts).expect("loads").set)), "allow");
}

#[test]
fn a_function_is_not_replaced() {
    for with in ["g as f", "data.p.g as f", "count as f", "regex.match as f", "g as 1"] {
        let module = format!(
            "package p\ng(x) := 1\nf(x) := y if {{ y := g(x) with {with} }}\ndecision := \"allow\" if f(1) == 1\n"
        );
        let told = told(&[("p.rego", &module)]);
        assert!(told.starts_with("p.rego:3 `with` replaces input and data here"), "{told}");
    }
}

/// Rows of rules and functions do not exhaust the stack: they are answered, and refused from where they would.
#[test]
fn a_row_is_answered_up_to_the_steps_that_a_stack_holds() {
    let functions = |long: usize| {
        let row: String = (0..long).map(|nth| format!("f{nth}(x) := f{}(x)\n", nth + 1)).collect();
        format!("package p\n{row}f{long}(x) := x\ndecision := \"allow\" if f0(1) == 1\n")
    };
    let rules = |long: usize| {
        let row: String = (0..long).map(|nth| format!("r{nth} := r{}\n", nth + 1)).collect();
        format!("package p\n{row}r{long} := 1\ndecision := \"allow\" if r0 == 1\n")
    };
    let loops = |long: usize| {
        let row: String = (0..200).map(|nth| format!("  some x{nth} in [1]\n")).collect();
        let rules: String = (0..long).map(|nth| format!("r{nth} if {{\n{row}  r{}\n}}\n", nth + 1)).collect();
        format!("package p\n{rules}r{long} := true\ndecision := \"allow\" if r0\n")
    };
    for (shape, good, bad) in [
        ("functions", functions(500), functions(5000)),
        ("rules", rules(500), rules(5000)),
        ("loops", loops(2), loops(90)),
    ] {
        let loaded = load_with(RULE, &[("p.rego", &good)]).unwrap_or_else(|problems| panic!("{shape}: {problems:?}"));
        assert_eq!(say(&of_an_update(&loaded.set)), "allow", "{shape}");
        assert!(told(&[("p.rego", &bad)]).contains("steps deep, from `data.p."), "{shape}");
    }
}

/// What there is to walk grows with the text, not with its square.
#[test]
fn a_long_bundle_is_walked_once() {
    let indented: String = (0..15_000).map(|nth| format!(" f{nth}(x) := f{}(x)\n", nth / 2 + 15_000)).collect();
    let indented = format!("package p\n{indented}decision := 1\n");
    let wide: String = (0..15_000).map(|nth| format!("r{nth} := data.lib[input.n]\n")).collect();
    let lib: String = (0..15_000).map(|nth| format!("r{nth} := {nth}\n")).collect();
    let imports: String = (0..1000).map(|nth| format!("import data.lib.r{nth}\n")).collect();
    let called: String = (0..10_000).map(|nth| format!("c{nth} := r{}(1)\n", nth % 1000)).collect();
    let modules = [
        ("i.rego", indented),
        ("w.rego", format!("package p\n{wide}")),
        ("l.rego", format!("package lib\n{lib}")),
        ("c.rego", format!("package c\n{imports}{called}")),
    ];
    let mut engine = Engine::new();
    let mut left = crate::rego::tokens::READS;
    let start = Instant::now();
    for (path, text) in modules {
        let file = SourceFile::new(path, text);
        let crate::rego::module::Calls::Good(text) = crate::rego::module::calls(&file, &mut left) else {
            panic!("{path} is refused")
        };
        engine.add_policy(path.to_owned(), text).unwrap();
    }
    assert!(crate::rego::graph::wrong(engine.get_modules()).is_none());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
