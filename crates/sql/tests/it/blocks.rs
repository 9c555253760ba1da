//! Code blocks: what a block changes about the session, what flows through its variables, and how far it is read.
//!
//! Held beside `fixtures/sql/plpgsql.tsv`, which has the operations.

use crate::lineage::SCOPE;
use crate::shop;
use portcullis_model::{Action, Lineage, Mark, Operation, Outputs, Usage};
use portcullis_sql::{Dialect, Effect, Limits, SearchPathValue, Statement, read};

fn statements(text: &str) -> Vec<Statement> {
    let reading = read(text, Dialect::Postgres, &SCOPE, &Limits::default());
    assert_eq!(reading.fault, None, "{text}");
    reading.statements
}

fn statement(text: &str) -> Statement {
    statements(text).remove(0)
}

fn is_read(operations: &[Operation]) -> bool {
    !operations.iter().any(|operation| operation.action == Action::Unknown || operation.marks.contains(Mark::Dynamic))
}

/// Whether anything protected or not told goes where it can be seen.
fn put_away(lineage: &Lineage) -> (usize, bool) {
    let kept = lineage.uses.iter().filter(|used| used.usage == Usage::Written { into: None });
    kept.fold((0, false), |(columns, unknown), used| {
        (columns + used.sources.columns().len(), unknown || used.sources.is_unknown())
    })
}

#[test]
fn a_block_that_changes_nothing_about_the_session_has_no_effect() {
    let block = statement("DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM customers; END $$");
    assert_eq!((block.effects, block.writes), (vec![], false));
}

#[test]
fn a_block_that_may_change_what_names_mean_leaves_the_path_unknown() {
    let path = Effect::SearchPath { value: SearchPathValue::Unknown, local: false };
    for body in
        ["SET search_path = hr", "CREATE TABLE t (a int)", "EXECUTE 'DROP TABLE payments'", "COMMIT", "SET ROLE x"]
    {
        let text = format!("DO $$ BEGIN IF false THEN {body}; END IF; END $$; SELECT * FROM customers");
        let all = statements(&text);
        assert!(all[0].effects.contains(&path) && all[0].effects.contains(&Effect::ChangesCatalogue), "{body}");
        assert_eq!(all[1].operations[0].to_string(), "read table ?.customers (?)", "{body}");
    }
    assert!(statement("DO $$ BEGIN COMMIT; END $$").writes);
}

#[test]
fn a_temporary_table_that_may_not_be_there_is_never_promised() {
    let made = statement("DO $$ BEGIN IF false THEN CREATE TEMP TABLE customers (a int); END IF; END $$");
    assert!(!made.effects.iter().any(|effect| matches!(effect, Effect::CreatesTemporary(_))));
    assert!(!is_read(&made.operations));
    let gone = statement("DO $$ BEGIN DROP TABLE pg_temp.tmp; END $$");
    assert!(gone.effects.contains(&Effect::DropsTemporary(None)));
}

#[test]
fn what_a_piece_changes_counts_for_the_pieces_before_it() {
    let in_order = "DO $$ BEGIN DELETE FROM customers WHERE id = 1; SET search_path = hr; END $$";
    assert!(statement(in_order).operations.iter().all(|operation| !operation.to_string().contains('?')));
    let text = "DO $$ BEGIN LOOP DELETE FROM customers WHERE id = 1; SET search_path = hr; END LOOP; END $$";
    let shown: Vec<_> = statement(text).operations.iter().map(ToString::to_string).collect();
    assert!(shown.iter().any(|operation| operation.starts_with("delete table ?.customers")), "{shown:?}");
}

#[test]
fn every_value_that_a_block_computes_counts_as_put_away() {
    for body in [
        "RAISE NOTICE '%', (SELECT ssn FROM people LIMIT 1)",
        "v := (SELECT ssn FROM people LIMIT 1)",
        "SELECT ssn INTO v FROM people",
        "PERFORM ssn FROM people",
        "FOR r IN SELECT ssn FROM people LOOP NULL; END LOOP",
        "FOR r IN c LOOP NULL; END LOOP",
        "OPEN d FOR SELECT ssn FROM people",
        "EXECUTE 'SELECT ssn FROM people' INTO v",
        "EXECUTE 'SELECT $1' USING (SELECT ssn FROM people LIMIT 1)",
        "DO 'BEGIN RAISE NOTICE ''%'', (SELECT ssn FROM people LIMIT 1); END'",
        "ASSERT false, (SELECT ssn FROM people LIMIT 1)",
        "DELETE FROM people WHERE id = 1 RETURNING ssn INTO v",
    ] {
        let text = format!(
            "DO $$ DECLARE v text; r record; d refcursor; c CURSOR FOR SELECT ssn FROM people; BEGIN {body}; END $$"
        );
        let block = statement(&text);
        assert!(is_read(&block.operations), "{text}: {:?}", block.operations);
        assert_eq!(block.lineage.outputs, Outputs::None);
        assert!(put_away(&block.lineage).0 >= 1, "{body}: {:?}", block.lineage);
        assert!(block.lineage.unknown, "{body}");
    }
}

#[test]
fn a_comparison_in_a_block_is_no_single_question() {
    let block = statement("DO $$ BEGIN FOR i IN 1..9 LOOP PERFORM 1 FROM people WHERE ssn = i::text; END LOOP; END $$");
    assert!(block.lineage.uses.iter().all(|used| used.usage != Usage::Equality), "{:?}", block.lineage);
    assert!(block.lineage.uses.iter().any(|used| used.usage == Usage::Condition && !used.sources.is_none()));
}

#[test]
fn rows_of_a_cursor_and_texts_of_errors_are_unknown() {
    for body in [
        "DECLARE c refcursor := 'theirs'; r record; BEGIN FETCH c INTO r; RAISE NOTICE '%', r; END",
        "BEGIN NULL; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END",
        "DECLARE m text; BEGIN GET STACKED DIAGNOSTICS m = MESSAGE_TEXT; END",
    ] {
        let block = statement(&format!("DO $$ {body} $$"));
        assert!(is_read(&block.operations) && put_away(&block.lineage).1 && block.lineage.unknown, "{body}");
    }
}

#[test]
fn a_block_without_relations_touches_nothing() {
    let block = statement("DO $$ DECLARE v int := 1; BEGIN v := v + 1; RAISE NOTICE '%', v; END $$");
    assert_eq!(*block.lineage, Lineage::default());
}

#[test]
fn values_that_belong_to_a_column_are_somewhere_in_the_statement() {
    let text = "SELECT 1; DO $$ BEGIN UPDATE people SET ssn = '123' WHERE id = 1; END $$";
    let block = statements(text).remove(1);
    assert!(!block.lineage.bound.is_empty());
    for bound in &block.lineage.bound {
        assert_eq!(bound.place, portcullis_model::Place::Text(block.span.clone()));
    }
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested =
        |levels: usize| format!("DO $$ {} NULL; {} END $$", "BEGIN ".repeat(levels), "END; ".repeat(levels - 1));
    assert!(is_read(&statement(&nested(60)).operations));
    assert!(!is_read(&statement(&nested(70)).operations));
    assert!(!is_read(&statement(&nested(50_000)).operations));
    let long = |pieces: usize| format!("DO $$ BEGIN {} END $$", "PERFORM 1; ".repeat(pieces));
    assert!(is_read(&statement(&long(1_000)).operations));
    assert!(!is_read(&statement(&long(1_001)).operations));
}

#[test]
fn blocks_inside_constants_inside_blocks_end() {
    let mut text = "BEGIN DELETE FROM customers; SET search_path = hr; END".to_owned();
    for level in 0..20 {
        text = format!("BEGIN EXECUTE $a{level}$DO $b{level}${text}$b{level}$ $a{level}$; END");
    }
    let block = statement(&format!("DO $$ {text} $$"));
    assert!(!is_read(&block.operations), "deeper than is read");
}

#[test]
fn without_a_catalogue_a_variable_may_be_a_column() {
    let text = "DO $$ DECLARE v int := 1; BEGIN DELETE FROM public.t WHERE id = v; END $$";
    let reading = read(text, Dialect::Postgres, &portcullis_sql::Scope::unknown(), &Limits::default());
    let delete = reading.statements[0].operations.iter().find(|operation| operation.action == Action::Delete);
    assert!(delete.expect("a delete").marks.contains(Mark::Unbounded));
    let known = read(
        "DO $$ DECLARE v int := 1; BEGIN DELETE FROM payments WHERE id = v; END $$",
        Dialect::Postgres,
        &shop::scope(),
        &Limits::default(),
    );
    assert!(!known.operations().iter().any(|operation| operation.marks.contains(Mark::Unbounded)));
}
