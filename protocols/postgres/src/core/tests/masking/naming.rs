//! Names that mean something else by the time they are run.

use super::answers::{columns, complete, one, ready, row};
use super::{BOTH, CANARY, Rig, outline, rig, says, sent};

const CLEAR: [(&str, u32, i16, u32); 1] = [("name", 20_000, 2, 25)];

/// Opens a transaction, makes what is clear under the name, binds a portal that runs it by name, and describes that.
async fn bound(make: &str, run: &str) -> Rig {
    let mut rig = rig().await;
    rig.client(&says::query("BEGIN"));
    rig.backend(&[complete("BEGIN"), ready(b'T')].concat());
    rig.client(&says::query(make));
    rig.backend(&[complete("PREPARE"), ready(b'T')].concat());
    rig.client(&[says::parse("s", run), says::bind("p", "s"), says::describe("p"), says::sync()].concat());
    rig.backend(&[one(b'1', b""), one(b'2', b""), columns(&CLEAR), ready(b'T')].concat());
    assert_eq!(outline(&mut rig), "CZCZ12TZ");
    sent(&mut rig);
    rig
}

const MADE: [(&str, &str, &str); 2] = [
    ("PREPARE q AS SELECT name FROM items", "EXECUTE q", "DEALLOCATE q; PREPARE q AS SELECT ssn FROM people"),
    (
        "DECLARE q CURSOR FOR SELECT name FROM items",
        "FETCH ALL FROM q",
        "CLOSE q; DECLARE q CURSOR FOR SELECT ssn FROM people",
    ),
];

#[tokio::test]
async fn pg_p34_a_portal_that_runs_a_name_gives_what_the_name_means_when_it_is_run() {
    for (make, run, remake) in MADE {
        let mut rig = bound(make, run).await;
        rig.client(&says::query(remake));
        rig.backend(&[complete("X"), complete("X"), ready(b'T')].concat());
        rig.client(&[says::execute("p"), says::sync()].concat());
        assert_eq!(sent(&mut rig), "QDES", "what was described before is not believed");
        rig.backend(&[columns(&BOTH[..1]), row(&[CANARY]), complete("X"), ready(b'T')].concat());
        assert_eq!(outline(&mut rig), "CCZDCZ", "{run}");
    }
}

#[tokio::test]
async fn pg_p34_rows_that_were_made_already_are_not_described_anew() {
    for (first, run, remake) in MADE {
        // The other way round: what is masked comes first, and what is clear is described behind it.
        let (masked, clear) = remake.split_once("; ").unwrap();
        let mut rig = bound(clear, run).await;
        rig.client(&[says::execute_some("p", 1), says::sync()].concat());
        rig.backend(&[columns(&BOTH[..1]), row(&[CANARY]), one(b's', b""), ready(b'T')].concat());
        assert_eq!(outline(&mut rig), "DsZ");
        rig.client(&says::query(&format!("{masked}; {first}")));
        rig.backend(&[complete("X"), complete("X"), ready(b'T')].concat());
        rig.client(&[says::describe("p"), says::execute("p"), says::sync()].concat());
        rig.backend(&[columns(&CLEAR), row(&[CANARY]), complete("X"), ready(b'T')].concat());
        assert_eq!(outline(&mut rig), "CCZTDCZ", "{run}");
    }
}

#[tokio::test]
async fn pg_p34_a_portal_that_runs_a_name_cannot_be_fetched_from() {
    let mut rig = bound(MADE[0].0, MADE[0].1).await;
    rig.client(&says::query("FETCH ALL FROM p"));
    assert_eq!(sent(&mut rig), "Q");
    rig.backend(&[server_error("42601"), ready(b'E')].concat());
    let told = String::from_utf8_lossy(&super::told(&mut rig)).into_owned();
    assert!(told.contains("refused by policy"), "{told}");
}

fn server_error(code: &str) -> Vec<u8> {
    super::answers::error("ERROR", code, "stand-in")
}

#[tokio::test]
async fn pg_p34_a_cursor_of_sql_is_run_by_name_and_described_each_time() {
    let mut rig = rig().await;
    rig.client(&says::query("BEGIN; DECLARE c CURSOR FOR SELECT ssn, name FROM people"));
    rig.backend(&[complete("BEGIN"), complete("DECLARE CURSOR"), ready(b'T')].concat());
    sent(&mut rig);
    for _ in 0..2 {
        rig.client(&[says::execute_some("c", 1), says::sync()].concat());
        assert_eq!(sent(&mut rig), "DES");
        rig.backend(&[columns(&BOTH), row(&[CANARY, "al"]), one(b's', b""), ready(b'T')].concat());
    }
    assert_eq!(outline(&mut rig), "CCZDsZDsZ");
}

#[tokio::test]
async fn pg_p33_names_that_the_server_would_cut_are_refused() {
    let mut rig = rig().await;
    let (short, long) = ("n".repeat(63), "n".repeat(64));
    rig.client(&[says::parse("", "SELECT ssn FROM people"), says::bind(&short, ""), says::execute(&short)].concat());
    assert_eq!(sent(&mut rig), "PBDE");
    rig.client(&[says::bind(&long, ""), says::execute(&long), says::describe(&long), says::sync()].concat());
    let forwarded = String::from_utf8_lossy(&rig.sent).into_owned();
    assert!(!forwarded.contains(&long));
}
