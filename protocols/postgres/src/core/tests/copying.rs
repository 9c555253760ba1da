//! COPY data from the client, and where it may not go.

use super::rig::{Rig, says};

#[tokio::test]
async fn pg_p60_data_goes_to_the_statement_that_reads_it_and_nowhere_else() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    // All in one piece, the data before the server said that it reads it.
    rig.client(
        &[
            says::data(b"stray"),
            says::query("COPY items FROM STDIN"),
            says::data(b"1\ta\n"),
            says::done(),
            says::data(b"stray"),
            says::query("SELECT id FROM items"),
        ]
        .concat(),
    );
    rig.quiet();
    assert_eq!(rig.outline(), "G C ZI T D C ZI");
    assert_eq!(rig.server.copied, b"1\ta\n");
    let id = rig.id;
    drop(rig);
    assert!(house.told(id).await.contains(&"1 completed COPY 1 0 +data".to_owned()));
}

#[tokio::test]
async fn pg_p30_a_sync_that_the_server_ignores_while_it_reads_data_is_not_counted() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::run("COPY items FROM STDIN"), says::sync()].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "1 2 G");
    rig.client(&[says::data(b"x"), says::done(), says::sync(), says::query("SELECT id FROM items")].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "C ZI T D C ZI");
}

#[tokio::test]
async fn pg_p60_data_behind_a_servers_error_is_dropped() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::query("COPY items FROM STDIN"), says::data(b"bad"), says::data(b"more"), says::done()].concat());
    rig.client(&says::query("SELECT id FROM items"));
    rig.quiet();
    assert_eq!(rig.outline(), "G E22P04 ZI T D C ZI");
}

#[tokio::test]
async fn pg_p60_a_copy_that_may_not_go_on_is_failed_and_the_client_told_why() {
    let house = super::gate().await;
    for extended in [false, true] {
        let mut rig = Rig::new(&house).await;
        let copy = "COPY items FROM STDIN";
        rig.client(&if extended { says::run(copy) } else { says::query(copy) });
        rig.quiet();
        rig.client(&says::data(b"one"));
        let before = house.gate.with_policy(|set| set.digest().to_string());
        house.gate.set_policy(
            portcullis_policy::PolicySet::load(&[portcullis_policy::SourceFile::new(
                "t.yaml",
                "bundle: test\napplies_to: { connections: [shop], principals: { groups: [agents] } }\nrules:\n  \
                 - id: no-bulk\n    deny: { actions: [insert], marks: [bulk] }\n  \
                 - id: all\n    allow: { actions: [read, insert], objects: [\"table public.*\"], marks: [bulk] }\n",
            )])
            .map_err(|problems| format!("{problems:?}"))
            .unwrap()
            .set,
        );
        rig.client(&[says::data(b"two"), says::data(b"three"), says::done(), says::sync()].concat());
        rig.quiet();
        let told = rig.outline();
        assert!(told.ends_with(if extended { "E42501 ZI" } else { "E42501 ZI ZI" }), "{told}");
        assert_eq!(rig.server.copied, b"one", "{before}");
        house.gate.set_policy(super::rig::usual());
    }
}
