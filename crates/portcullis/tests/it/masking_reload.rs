//! Masks that change under a running session: what was asked under the old ones is not answered past the change, the
//! session lives, and no mask is lost by a file alone.

use crate::masking_secrets::{EVERYTHING, MASKS, Vault};
use crate::surroundings::eventually;
use portcullis_testkit::wire::frontend::{bind, describe, execute, parse, sync};
use portcullis_testkit::wire::{Frame, outline};

/// One more column is protected.
const NAMES_TOO: &str = r#"
bundle: names
applies_to: { connections: ["*"] }
mask:
  - id: names
    columns: [public.people.name]
    with: redact
"#;

fn first(heard: &[Frame]) -> Vec<Option<bytes::Bytes>> {
    heard.iter().find(|frame| frame.tag == b'D').map(Frame::columns).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_does_not_outlive_the_masks_it_was_opened_under() {
    let Some(vault) = Vault::open(true) else { return };
    let mut client = vault.login("agents").await;
    let open = [
        portcullis_testkit::wire::frontend::query("BEGIN"),
        parse("s", "SELECT name, ssn FROM people ORDER BY id"),
        bind("p", "s", &[]),
        describe(b'P', "p"),
        execute("p", 2),
        sync(),
    ];
    client.send(&open.concat()).await.unwrap();
    client.read_until_ready().await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert_eq!(outline(&heard), "1 2 T D D s Z:T");
    assert_eq!(first(&heard), [Some("Person 1".into()), Some("[redacted]".into())]);

    vault.gateway.write_policy("names", NAMES_TOO).unwrap();
    vault.gateway.command(&["policy", "reload"]).unwrap();
    client.send(&[execute("p", 2), sync()].concat()).await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert!(!heard.iter().any(|frame| frame.tag == b'D'), "{}", outline(&heard));
    assert_eq!(outline(&heard), "E:42501 Z:E");
    assert_eq!(outline(&client.query("ROLLBACK").await.unwrap()), "C:ROLLBACK Z:I");

    // What was prepared before is answered under the masks of now.
    client.send(&[bind("", "s", &[]), describe(b'P', ""), execute("", 1), sync()].concat()).await.unwrap();
    let heard = client.read_until_ready().await.unwrap();
    assert_eq!(first(&heard), [Some("[redacted]".into()), Some("[redacted]".into())], "{}", outline(&heard));
    vault.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mask_is_lost_by_a_file_alone() {
    let Some(vault) = Vault::with(true, &[("everything", EVERYTHING), ("secrets", MASKS), ("names", NAMES_TOO)], "")
    else {
        return;
    };
    let mut client = vault.login("agents").await;
    let ask = "SELECT name FROM people WHERE id = 1";
    assert_eq!(first(&client.query(ask).await.unwrap()), [Some("[redacted]".into())]);
    // Another column instead; fewer; none at all.
    for weaker in [
        NAMES_TOO.replace("people.name", "people.city"),
        NAMES_TOO.replace("with: redact", "with: redact\n    predicates: allow"),
        NAMES_TOO.replace("with: redact", "with: redact\n    unless: { groups: [agents] }"),
        "bundle: names\napplies_to: { connections: [\"*\"] }\nrules: []\n".to_owned(),
    ] {
        let before = vault.gateway.log_text().matches("changed bundles are not taken").count();
        vault.gateway.write_policy("names", &weaker).unwrap();
        eventually("the file is refused", || {
            vault.gateway.log_text().matches("changed bundles are not taken").count() > before
        });
        assert_eq!(first(&client.query(ask).await.unwrap()), [Some("[redacted]".into())], "{weaker}");
    }
    vault.gateway.write_policy("names", &NAMES_TOO.replace("people.name", "people.city")).unwrap();
    vault.gateway.command(&["policy", "reload"]).unwrap();
    assert_eq!(first(&client.query(ask).await.unwrap()), [Some("Person 1".into())]);
    vault.close(&["changed bundles are not taken"]);
}
