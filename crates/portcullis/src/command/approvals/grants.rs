//! `portcullis approvals grants|revoke`: what people allowed for some minutes, and ending it.
//!
//! Promises: what is shown of a grant cannot move the reader's cursor. Held by: `tests/it`.

use super::rule;
use crate::args::{GatewayArgs, ListArgs};
use crate::client::Client;
use crate::command::token::text;
use crate::error::Failure;
use crate::table;
use hyper::Method;
use serde_json::Value;

pub(super) async fn list(args: &ListArgs, all: bool) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let mut grants: Vec<Value> = client.json(Method::GET, "/api/v1/grants", None).await?;
    grants.retain(|grant| all || grant.get("ended").is_none());
    if args.json {
        grants.iter().for_each(|grant| println!("{grant}"));
    } else {
        let rows: Vec<Vec<String>> = grants.iter().map(row).collect();
        print!("{}", table::render(&["ID", "STATE", "USER", "CONNECTION", "RULE", "GIVEN BY", "UNTIL"], &rows));
    }
    Ok(())
}

fn row(grant: &Value) -> Vec<String> {
    let state = match grant.get("ended").and_then(Value::as_str) {
        Some(why) => format!("ended: {why}"),
        None => "in force".to_owned(),
    };
    let user = |party: &Value| party.pointer("/principal/user").and_then(Value::as_str).unwrap_or_default().to_owned();
    let voters = grant.get("voters").and_then(Value::as_array).into_iter().flatten().map(user);
    vec![
        text(grant, "id").to_owned(),
        state,
        grant.get("holder").map(user).unwrap_or_default(),
        text(grant, "connection").to_owned(),
        grant.pointer("/terms/rule").map(rule).unwrap_or_default(),
        voters.collect::<Vec<_>>().join(", "),
        text(grant, "until").to_owned(),
    ]
}

pub(super) async fn revoke(gateway: &GatewayArgs, grant: &str) -> Result<(), Failure> {
    let client = Client::open(gateway).await?;
    client.ask(Method::DELETE, &format!("/api/v1/grants/{grant}"), None).await?;
    println!("revoked {grant}");
    Ok(())
}
