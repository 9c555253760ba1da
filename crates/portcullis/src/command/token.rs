//! `portcullis token`: make, list, revoke. A token's text is printed once and kept nowhere.

use crate::args::{TokenArgs, TokenCommand};
use crate::client::Client;
use crate::command::exchange;
use crate::error::Failure;
use crate::table;
use hyper::Method;
use serde_json::{Value, json};

pub(crate) async fn run(args: TokenArgs) -> Result<(), Failure> {
    match args.command {
        TokenCommand::Create { gateway, user, groups, ttl, json } => {
            let client = Client::open(&gateway).await?;
            let wanted = json!({ "user": user, "groups": groups, "ttl": ttl });
            let made: Value = client.json(Method::POST, "/api/v1/tokens", Some(wanted)).await?;
            if json {
                println!("{made}");
            } else {
                println!("{}", text(&made, "token"));
            }
        }
        TokenCommand::List(list) => {
            let client = Client::open(&list.gateway).await?;
            let tokens: Vec<Value> = client.json(Method::GET, "/api/v1/tokens", None).await?;
            if list.json {
                tokens.iter().for_each(|token| println!("{token}"));
            } else {
                let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
                print!("{}", table::render(&["ID", "USER", "GROUPS", "EXPIRES", "MADE BY", "STATE", "KIND"], &rows));
            }
        }
        TokenCommand::Revoke { gateway, id } => {
            let client = Client::open(&gateway).await?;
            client.ask(Method::DELETE, &format!("/api/v1/tokens/{id}"), None).await?;
            println!("revoked {id}");
        }
        TokenCommand::RevokeLogins { gateway, issuer, subject } => {
            let client = Client::open(&gateway).await?;
            let person = json!({ "issuer": issuer, "subject": subject });
            client.ask(Method::POST, "/api/v1/revocations", Some(person)).await?;
            println!("revoked what {issuer} gave {subject} until now");
        }
        TokenCommand::Exchange(args) => exchange::run(args).await?,
    }
    Ok(())
}

fn row(token: &Value) -> Vec<String> {
    let groups = token.get("groups").and_then(Value::as_array).cloned().unwrap_or_default();
    let groups: Vec<&str> = groups.iter().filter_map(Value::as_str).collect();
    let state = if token.get("revoked").is_some_and(|revoked| !revoked.is_null()) { "revoked" } else { "valid" };
    vec![
        text(token, "id").to_owned(),
        text(token, "user").to_owned(),
        groups.join(","),
        text(token, "expires").to_owned(),
        text(token, "created_by").to_owned(),
        state.to_owned(),
        if text(token, "ssh_key").is_empty() { "token" } else { "ssh certificate" }.to_owned(),
    ]
}

/// The string under this key; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
