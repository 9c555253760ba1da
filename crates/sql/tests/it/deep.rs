//! Deep and large texts: read or refused, and never the end of the process, on a stack as small as a worker's.

use crate::shop;
use portcullis_model::Fault;
use portcullis_sql::{Dialect, Limits, Reading, read};

/// Reads on a thread with the stack that an asynchronous worker has.
fn on_small_stack(text: String) -> Reading {
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || read(&text, Dialect::Postgres, &shop::scope(), &Limits::default()))
        .expect("a thread")
        .join()
        .expect("no panic")
}

fn repeated(before: &str, middle: &str, after: &str, times: usize) -> String {
    format!("{}{middle}{}", before.repeat(times), after.repeat(times))
}

#[test]
fn nothing_nested_ends_the_process() {
    // The small ones are read on the worker's own stack.
    for times in [10, 25, 50, 100, 200, 300, 430, 2_000, 9_000, 30_000] {
        let texts = [
            format!("SELECT {}", repeated("(", "1", ")", times)),
            format!("SELECT {}", repeated("(SELECT ", "1", ")", times)),
            format!("SELECT {}", repeated("CASE WHEN true THEN ", "1", " END", times)),
            format!("SELECT {}", repeated("abs(", "1", ")", times)),
            format!("SELECT 1{}", " || 'x'".repeat(times)),
            format!("SELECT 1{}", "::int".repeat(times)),
            format!("SELECT {} true", "NOT ".repeat(times)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(times)),
            format!("SELECT 1 FROM products{}", " JOIN products p ON true".repeat(times)),
            format!("DELETE FROM payments WHERE id = 1{}", " OR id = 2".repeat(times)),
            format!("DELETE FROM payments WHERE {}", repeated("NOT (", "id = 1", ")", times)),
            format!("SELECT ARRAY{}", repeated("[", "1", "]", times)),
            format!("SELECT {}1", "+-".repeat(times / 2)),
            format!("SELECT {}1", "- ".repeat(times / 2)),
            format!("VALUES {}", repeated("(", "1", ")", times)),
            format!("{}1", "EXPLAIN ".repeat(times)),
        ];
        for text in texts {
            let shown: String = text.chars().take(30).collect();
            let reading = on_small_stack(text);
            assert!(reading.statements.iter().all(|statement| !statement.operations.is_empty()), "{shown} x {times}");
        }
    }
}

#[test]
fn usual_depths_are_read() {
    let chain = format!("SELECT title{} FROM products", " || 'x'".repeat(400));
    assert_eq!(on_small_stack(chain).fault, None);
    let joins = format!("SELECT 1 FROM products{}", " JOIN products p ON true".repeat(200));
    assert_eq!(on_small_stack(joins).fault, None);
    let nested = format!("SELECT {}", repeated("(SELECT ", "1", ")", 100));
    assert_eq!(on_small_stack(nested).fault, None);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_parsed() {
    let text = format!("SELECT 1 /* {} */; DELETE FROM payments", "x".repeat(2 << 20));
    let reading = read(&text, Dialect::Postgres, &shop::scope(), &Limits::default());
    assert!(matches!(reading.fault, Some(Fault::TooLarge { .. })), "{:?}", reading.fault);
    assert_eq!(reading.operations()[0].to_string(), "unknown");
}

#[test]
fn a_statement_behind_thousands_is_read() {
    let text = format!("{}DELETE FROM payments", "SELECT 1;".repeat(5_000));
    let reading = on_small_stack(text);
    assert_eq!(reading.statements.len(), 5_001);
    assert!(
        reading.operations().iter().any(|operation| operation.to_string() == "delete table public.payments +unbounded")
    );
}
