//! Grants and reasons, end to end: what people allow for some minutes, and why they were asked.
//!
//! Promises: what is granted runs at once and nothing else does; a grant ends when it is revoked, and survives a restart; a
//! reason reaches those who decide and the record, and nobody is asked without one where a rule wants it.

use crate::approvals::{Shop, said, told};
use crate::surroundings::eventually;
use serde_json::Value;

const UPDATE: &str = "UPDATE products SET stock = 0 WHERE id = -1";

/// The grants in force.
fn grants(shop: &Shop, words: &[&str]) -> Vec<Value> {
    let output = shop.world.approvals(&[&["grants", "--json"], words].concat(), &shop.world.dana());
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_people_allow_for_some_minutes_runs_at_once_until_it_is_revoked() {
    let Some(mut shop) = Shop::open_with("") else { return };
    let agent = shop.world.agent();
    let client = shop.psql_with(&[UPDATE], &agent, "");
    let id = shop.world.waiting();
    let words = told(&shop.world.approvals(&["show", &id], &shop.world.dana()));
    assert!(words.contains("held/often lets one be given for 1800 s at most"), "{words}");
    let long = shop.world.approvals(&["approve", &id, "--for", "31m"], &shop.world.dana());
    assert!(!long.status.success() && told(&long).contains("1800 s at most"), "{}", told(&long));
    let output = shop.world.approvals(&["approve", &id, "--for", "20m"], &shop.world.dana());
    assert!(output.status.success(), "{}", told(&output));
    assert!(said(client).contains("UPDATE 0"));
    // Another text of the same operation, by another token of the same user, in a transaction.
    let other = shop.world.agent();
    let words =
        said(shop.psql_with(&["BEGIN", "UPDATE products SET stock = 1 WHERE id IN (-2, -3)", "COMMIT"], &other, ""));
    assert!(words.contains("UPDATE 0") && words.contains("COMMIT") && !words.contains("waiting"), "{words}");
    // Every row is more than was asked about.
    let client = shop.psql_with(&["UPDATE products SET stock = 0"], &agent, "");
    shop.world.decide("reject", &shop.world.waiting(), &shop.world.dana());
    let words = said(client);
    assert!(words.contains("was refused by dana") && words.contains("Rule held/often, decision "), "{words}");
    // Dana is another principal.
    let client = shop.psql_with(&[UPDATE], &shop.world.dana(), "");
    shop.world.decide("reject", &shop.world.waiting(), &shop.world.login("erin", "dba", 1));
    assert!(said(client).contains("ERROR"));
    let listed = grants(&shop, &[]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    let grant = listed[0]["id"].as_str().unwrap().to_owned();
    shop.world.gateway.kill().unwrap();
    shop.world.gateway.restart().unwrap();
    assert!(said(shop.psql_with(&[UPDATE], &agent, "")).contains("UPDATE 0"), "it survives a restart");
    // An auditor sees it and ends nothing.
    let fay = shop.world.login("fay", "audit", 1);
    assert!(!shop.world.approvals(&["revoke", &grant], &fay).status.success());
    let output = shop.world.approvals(&["revoke", &grant], &shop.world.login("dana", "dba", 4000));
    assert!(output.status.success(), "{}", told(&output));
    let client = shop.psql_with(&[UPDATE], &agent, "");
    shop.world.decide("reject", &shop.world.waiting(), &shop.world.dana());
    assert!(said(client).contains("ERROR"));
    assert!(grants(&shop, &[]).is_empty());
    assert_eq!(grants(&shop, &["--all"])[0]["ended"], "revoked");
    eventually("its end is recorded", || shop.world.recorded().contains("\"grant.ended\""));
    let recorded = shop.world.recorded();
    for expected in
        ["\"grant.given\"", "\"grant-revoked\"", "\"why\":\"revoked\"", &format!("\"grants\":[\"{grant}\"]")]
    {
        assert!(recorded.contains(expected), "{expected} in {recorded}");
    }
    shop.world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_reason_reaches_those_who_decide_and_is_missed_where_a_rule_wants_one() {
    let Some(shop) = Shop::open_with("") else { return };
    let delete = "DELETE FROM products WHERE id = -1";
    let words = said(shop.psql_with(&[delete, "SELECT 'still here'"], &shop.world.agent(), ""));
    for expected in ["no reason was given", "HINT:  Say why", "portcullis.reason", "Rule held/explained", "still here"]
    {
        assert!(words.contains(expected), "{expected} in {words}");
    }
    assert!(shop.world.requests().is_empty());
    let client = shop.psql_with(&[delete], &shop.world.agent(), r"-c portcullis.reason=ticket\ 42:\ clean\ up");
    let id = shop.world.waiting();
    let words = told(&shop.world.approvals(&["show", &id], &shop.world.dana()));
    assert!(words.contains("because     ticket 42: clean up"), "{words}");
    shop.world.decide("approve", &id, &shop.world.dana());
    assert!(said(client).contains("DELETE 0"));
    assert!(shop.world.recorded().contains("\"reason\":\"ticket 42: clean up\""));
    shop.world.gateway.stop(&[]).unwrap();
}
