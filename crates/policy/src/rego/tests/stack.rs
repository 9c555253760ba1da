//! What a step of an evaluation takes of the stack, asked of the evaluator itself.

use super::*;
use crate::rego::graph::{STEP, beyond};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the stack is.
fn here() -> usize {
    let mark = 0_u8;
    std::hint::black_box(std::ptr::from_ref(&mark)).addr()
}

/// `%s` is the name of the next, `%n` that of this.
fn row(one: &str, last: &str) -> String {
    let rules: String = (0..LONG)
        .map(|nth| format!("{}\n", one.replace("%n", &format!("n{nth}")).replace("%s", &format!("n{}", nth + 1))))
        .collect();
    format!("package p\n{rules}{}\ndecision := n0\n", last.replace("%n", &format!("n{LONG}")))
}

const LONG: usize = 100;

/// Bytes that a step of this module takes until `probe()` is reached, and its steps.
fn measured(modules: &[String]) -> (usize, usize) {
    stacker::grow(STACK, || {
        let deepest = Arc::new(AtomicUsize::new(usize::MAX));
        let mut engine = Engine::new();
        let mark = Arc::clone(&deepest);
        let probe = move |_| {
            mark.fetch_min(here(), Ordering::Relaxed);
            Ok(Value::from(1_u64))
        };
        engine.add_extension("probe".to_owned(), 0, Box::new(probe)).unwrap();
        for (nth, module) in modules.iter().enumerate() {
            engine.add_policy(format!("{nth}.rego"), module.clone()).unwrap();
        }
        let all = engine.get_modules().clone();
        let counts: Vec<usize> = (0..20_000).collect();
        let steps = counts.partition_point(|most| beyond(&all, *most).is_some());
        engine.compile_with_entrypoint(&"data.p.decision".into()).unwrap();
        let start = here();
        engine.set_input(Value::new_object());
        engine.eval_rule("data.p.decision".to_owned()).unwrap();
        let end = deepest.load(Ordering::Relaxed);
        assert_ne!(end, usize::MAX, "the probe is not reached: {}", &modules[0][..200.min(modules[0].len())]);
        ((start - end) / steps, steps)
    })
}

#[test]
fn a_step_takes_no_more_of_the_stack_than_is_reckoned() {
    let many = |times: usize, one: &str| one.repeat(times);
    let numbered = |one: &str| (0..LONG).map(|nth| one.replace("%n", &format!("n{nth}"))).collect::<String>();
    let shapes = [
        ("functions", row("%n(x) := %s(x)", "%n(x) := probe()").replace("decision := n0", "decision := n0(1)")),
        (
            "bodies",
            row("%n(x) := y if {\n y := %s(x)\n}", "%n(x) := probe()").replace("decision := n0", "decision := n0(1)"),
        ),
        (
            "else",
            row("%n(x) := 1 if false else := %s(x)", "%n(x) := probe()").replace("decision := n0", "decision := n0(1)"),
        ),
        (
            "every",
            row("%n(x) if every y in [1] { %s(y) }", "%n(x) if probe() == 1")
                .replace("decision := n0", "decision := n0(1)"),
        ),
        ("rules", row("%n := %s", "%n := probe()")),
        ("rules of data", row("%n := data.p.%s", "%n := probe()")),
        ("rules by a name", row("%n := data.p[\"%s\"][x] if { x := \"a\" }", "%n := {\"a\": {\"a\": probe()}}")),
        ("rules with", row("%n := x if { x := %s with input.a as 1 }", "%n := probe()")),
        ("rules in loops", row("%n := [x | some x in [%s]]", "%n := probe()")),
        ("sets", row("%n contains x if some x in %s", "%n contains x if x := probe()")),
        ("objects", row("%n[x] := y if { x := 1; y := %s[1] }", "%n[x] := y if { x := 1; y := probe() }")),
        ("negations", row("%n if { not %s }", "%n if probe() == 2")),
        ("operators", format!("package p\ndecision := probe(){}", many(480, " + 1\n"))),
        ("comparisons", format!("package p\ndecision := 1 + {}probe(){}", many(30, "("), many(30, " + 1)"))),
        ("calls", format!("package p\ndecision := {}probe(){}", many(60, "abs("), many(60, ")"))),
        ("literals", format!("package p\ndecision := {}probe(){}", many(8, "["), many(8, "]"))),
        ("objects in each other", format!("package p\ndecision := {}probe(){}", many(6, "{1: "), many(6, "}"))),
        ("comprehensions", format!("package p\ndecision := {}probe(){}", many(6, "[y | y := "), many(6, "]"))),
        ("loops", format!("package p\ndecision := probe() if {{\n{}}}", numbered("some %n in [1]\n"))),
        (
            "loops over data",
            format!("package p\nl := [1]\ndecision := 1 if {{\n{}probe() == 1\n}}", numbered("%n := l[_]\n")),
        ),
        (
            "loops in a line",
            format!("package p\nl := [[[[[[[[1]]]]]]]]\ndecision := probe() if l{} == 1", many(8, "[_]")),
        ),
        ("walks", format!("package p\ndecision := probe() if {{\n{}}}", numbered("walk(1, [p%n, v%n])\n"))),
        ("statements", format!("package p\ndecision := probe() if {{\n{}}}", numbered("%n := 1\n"))),
    ];
    for (shape, module) in shapes {
        let (bytes, steps) = measured(&[module]);
        println!("{bytes:6} bytes a step, {steps:5} steps: {shape}");
        assert!(bytes <= STEP, "{shape}: {bytes}");
    }
    let mut modules: Vec<String> =
        (0..LONG).map(|nth| format!("package m{nth}\nimport data.m{} as next\nx := next.x\n", nth + 1)).collect();
    modules.push(format!("package m{LONG}\nx := probe()\n"));
    modules.push("package p\nimport data.m0\ndecision := m0.x\n".to_owned());
    let (bytes, steps) = measured(&modules);
    println!("{bytes:6} bytes a step, {steps:5} steps: imports");
    assert!(bytes <= STEP, "imports: {bytes}");
}
