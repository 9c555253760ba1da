//! Limits of rows among transactions that Execute begins and ends before the server is ready: what is committed, against a
//! server alone that is told to fail where the gateway would refuse. The rule and the server are those of `limits.rs`.

use super::rig::{House, Rig, outline, says};
use super::server::Server;
use proptest::prelude::*;

const FEW: &str = "DELETE FROM items WHERE id < 2";
const MANY: &str = "DELETE FROM items WHERE id < 3";

/// What the server ran for a script, what the client was told, and what was committed.
async fn play(house: &House, script: &[Vec<u8>]) -> (Vec<String>, String, Vec<u32>) {
    let mut rig = Rig::new(house).await;
    rig.quiet();
    rig.told();
    rig.server.ran.clear();
    rig.client(&script.concat());
    rig.quiet();
    assert_eq!(rig.end, None);
    (rig.server.ran.clone(), rig.outline(), rig.server.ledger.committed.clone())
}

#[tokio::test]
async fn a_commit_that_was_executed_is_over_before_the_server_is_ready() {
    let house = super::rig::limited().await;
    let script = [says::query("BEGIN"), says::run("COMMIT"), says::query(MANY)];
    let (ran, told, committed) = play(&house, &script).await;
    assert_eq!(ran, ["BEGIN", "COMMIT", "BEGIN", MANY, "ROLLBACK"]);
    assert_eq!((told.as_str(), committed), ("C ZT 1 2 C E42501 ZI", vec![]));
    let script = [says::query("BEGIN"), says::run("COMMIT AND CHAIN"), says::query(MANY), says::query("COMMIT")];
    let (ran, told, committed) = play(&house, &script).await;
    assert_eq!(ran, ["BEGIN", "COMMIT AND CHAIN", MANY, "COMMIT"]);
    assert_eq!((told.as_str(), committed), ("C ZT 1 2 C E42501 ZE C ZI", vec![]));
}

#[tokio::test]
async fn a_begin_that_was_executed_is_the_clients_own() {
    let house = super::rig::limited().await;
    let (ran, told, committed) = play(&house, &[says::run("BEGIN"), says::query(FEW), says::query("ROLLBACK")]).await;
    assert_eq!(ran, ["BEGIN", FEW, "ROLLBACK"]);
    assert_eq!((told.as_str(), committed), ("1 2 C C ZT C ZI", vec![]));
    let script = ["BEGIN", "SAVEPOINT a", "SELECT 1/0"].map(says::query);
    let script = [script.concat(), says::run("ROLLBACK TO a"), says::query(FEW), says::query("ROLLBACK")];
    let (ran, _, committed) = play(&house, &script).await;
    assert_eq!(ran[3..], ["ROLLBACK TO a", FEW, "ROLLBACK"]);
    assert!(committed.is_empty());
}

#[tokio::test]
async fn a_hold_in_a_transaction_that_an_execute_began_is_refused() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&says::run("BEGIN"));
    rig.quiet();
    assert!(!rig.core.is_quiet(), "a transaction is open");
    rig.client(&[says::run("TRUNCATE items"), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 C 1 E42501 ZE");
    rig.client(&[says::run("ROLLBACK"), says::query("TRUNCATE items")].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 C N", "nothing is open any more");
    assert!(rig.hold.is_some());
}

/// A server whose transaction ends without being told to: what it wrote may stand.
#[tokio::test]
async fn nobody_is_told_that_something_was_undone_which_may_stand() {
    let house = super::rig::limited().await;
    for begins in [true, false] {
        let mut rig = Rig::new(&house).await;
        rig.quiet();
        rig.server.silent = true;
        rig.client(&says::query(if begins { "BEGIN" } else { MANY }));
        rig.backend(&[b"C\0\0\0\x0aBEGIN\0".as_slice(), b"Z\0\0\0\x05T"].concat());
        if begins {
            rig.client(&says::query(MANY));
        }
        rig.told();
        rig.backend(&[b"C\0\0\0\x0dDELETE 3\0".as_slice(), b"Z\0\0\0\x05I"].concat());
        assert_eq!(rig.outline(), "E08P01");
        assert!(rig.end.is_some());
        let id = rig.id;
        drop(rig);
        let told = house.told(id).await;
        assert!(told.iter().any(|line| line.contains("completed DELETE 3")), "{told:?}");
        assert!(!told.iter().any(|line| line.contains("undone")), "{told:?}");
    }
}

/// What a client may do with transactions and rows, as a Query or as Parse, Bind and Execute.
fn phrase() -> impl Strategy<Value = Option<(&'static str, bool)>> {
    let control = prop::sample::select(vec![
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "COMMIT AND CHAIN",
        "ROLLBACK AND CHAIN",
        "SAVEPOINT a",
        "SAVEPOINT b",
        "ROLLBACK TO a",
        "RELEASE a",
    ]);
    let writes = prop::sample::select(vec![FEW, MANY]);
    let other = prop::sample::select(vec!["SELECT 1/0", "SELECT id FROM items", "SELECT 1"]);
    prop_oneof![
        4 => (control, any::<bool>()).prop_map(Some),
        4 => (writes, any::<bool>()).prop_map(Some),
        1 => (other, any::<bool>()).prop_map(Some),
        2 => Just(None),
    ]
}

fn says(phrase: Option<(&str, bool)>) -> Vec<u8> {
    match phrase {
        None => says::sync(),
        Some((text, true)) => says::query(text),
        Some((text, false)) => says::run(text),
    }
}

#[test]
fn whatever_begins_and_ends_transactions_no_more_is_committed_than_the_rule_lets() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = runtime.block_on(super::rig::limited());
    let cases = std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(
        phrases in prop::collection::vec(phrase(), 1..14),
        portions in prop::collection::vec(prop_oneof![Just(0), 1_usize..60, Just(usize::MAX)], 14),
        newer in any::<bool>(),
    )| {
        let mut rig = runtime.block_on(Rig::new(&house));
        rig.server.ledger.newer = newer;
        rig.quiet();
        rig.told();
        for (phrase, portion) in phrases.iter().zip(portions) {
            rig.client(&says(*phrase));
            rig.deliver(portion);
        }
        rig.client(&says::sync());
        rig.quiet();
        prop_assert_eq!(rig.end, None);
        prop_assert!(!rig.server.ledger.committed.contains(&3), "{:?}", rig.server.ran);
        // A newer server keeps what precedes a Query until the Sync, and the gateway's COMMIT does not.
        if !newer {
            let mut alone = Server::default();
            let failing = |phrase: &Option<(&'static str, bool)>| {
                says(phrase.map(|(text, simple)| (if text == MANY { "SELECT 1/0" } else { text }, simple)))
            };
            let script = [phrases.iter().map(failing).collect::<Vec<_>>().concat(), says::sync()].concat();
            let told = outline(&alone.take(&script));
            prop_assert_eq!(rig.outline().replace("E42501", "E22012"), told);
            prop_assert_eq!(&rig.server.ledger.committed, &alone.ledger.committed, "{:?}", rig.server.ran);
        }
    });
}
