//! What is recorded of an answer: rows up to the budget, and that the rest was cut off.

use crate::world::{World, reads};
use bytes::Bytes;
use portcullis_gate::{Permit, Ruling, Session};
use portcullis_model::{EventBody, RecordedColumn};
use std::sync::Arc;

fn permit(session: &Session) -> Permit {
    match session.ask(session.seal(Bytes::new(), reads("select x from orders"))) {
        Ruling::Forward(_, permit) => permit,
        Ruling::Refuse(_) | Ruling::Hold(_) => panic!("not allowed"),
    }
}

async fn recorded(world: &World, session: &Session) -> (usize, usize, bool) {
    world.settle(session).await;
    let (mut columns, mut rows, mut cut) = (0, 0, false);
    for event in world.events(session.id()) {
        if let EventBody::Result { columns: names, rows: some, truncated, .. } = event.body {
            columns += names.len();
            rows += some.len();
            assert!(!cut, "something was recorded behind the cut");
            cut |= truncated;
        }
    }
    (columns, rows, cut)
}

fn column() -> Vec<RecordedColumn> {
    vec![RecordedColumn { name: "x".into(), type_name: "text".into() }]
}

#[tokio::test]
async fn a_result_is_recorded_whole_when_it_fits() {
    let world = World::new().await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    answer.columns(column());
    answer.row(vec![Some("1".into())]);
    answer.row(vec![None]);
    assert_eq!(answer.rows(), 2);
    drop(answer);
    assert_eq!(recorded(&world, &session).await, (1, 2, false));
}

#[tokio::test]
async fn a_result_past_the_budget_is_cut_and_says_so_once() {
    let world = World::new().await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    answer.columns(column());
    let value: Arc<str> = "y".repeat(100).into();
    for _ in 0..50 {
        answer.row(vec![Some(Arc::clone(&value))]);
    }
    answer.flush();
    answer.count_rows(50);
    answer.flush();
    assert_eq!(answer.rows(), 100);
    assert!(!answer.records_rows());
    drop(answer);
    let (columns, rows, cut) = recorded(&world, &session).await;
    assert!(columns == 1 && (5..50).contains(&rows) && cut, "{columns} {rows} {cut}");
}

#[tokio::test]
async fn what_is_withheld_is_recorded_when_it_is_given_and_else_never() {
    let world = World::new().await;
    for given in [true, false] {
        let session = world.session().await;
        let permit = permit(&session);
        let mut answer = session.answer(Some(&permit));
        answer.withhold();
        answer.columns(column());
        let value: Arc<str> = "y".repeat(100).into();
        for _ in 0..50 {
            answer.row(vec![Some(Arc::clone(&value))]);
        }
        answer.flush();
        if given {
            answer.give();
        }
        drop(answer);
        let (columns, rows, cut) = recorded(&world, &session).await;
        if given {
            assert!(columns == 1 && (5..50).contains(&rows) && cut, "{columns} {rows} {cut}");
        } else {
            assert_eq!((columns, rows, cut), (0, 0, false));
        }
    }
}
