//! `portcullis approvals`: what waits for people, and saying yes or no to it.
//!
//! Promises: what is shown of a command cannot move the reader's cursor; a vote is the gateway's to judge, and what it
//! refuses is a refusal here. Held by: `tests/it`.

mod grants;

use super::token::text;
use crate::args::{ApprovalArgs, ApprovalsArgs, ApprovalsCommand, ListArgs};
use crate::client::Client;
use crate::error::Failure;
use crate::table;
use hyper::Method;
use portcullis_model::Preview;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) async fn run(args: ApprovalsArgs) -> Result<(), Failure> {
    match args.command {
        ApprovalsCommand::List { list: args, all } => list(&args, all).await,
        ApprovalsCommand::Show(args) => show(&args).await,
        ApprovalsCommand::Approve { approval, grant } => vote(&approval, true, grant.as_deref()).await,
        ApprovalsCommand::Reject(args) => vote(&args, false, None).await,
        ApprovalsCommand::Grants { list, all } => grants::list(&list, all).await,
        ApprovalsCommand::Revoke { gateway, grant } => grants::revoke(&gateway, &grant).await,
    }
}

async fn list(args: &ListArgs, all: bool) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let path = format!("/api/v1/approvals?all={all}");
    let requests: Vec<Value> = client.json(Method::GET, &path, None).await?;
    if args.json {
        requests.iter().for_each(|request| println!("{request}"));
    } else {
        let rows: Vec<Vec<String>> = requests.iter().map(row).collect();
        print!("{}", table::render(&["ID", "STATE", "USER", "CONNECTION", "COMMAND", "RULE", "ROWS", "UNTIL"], &rows));
    }
    Ok(())
}

fn row(request: &Value) -> Vec<String> {
    vec![
        text(request, "id").to_owned(),
        text(request, "state").to_owned(),
        requester(request).to_owned(),
        text(request, "connection").to_owned(),
        command(request).to_owned(),
        rules(request).join(", "),
        rows(request),
        text(request, "deadline").to_owned(),
    ]
}

async fn show(args: &ApprovalArgs) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let request: Value = client.json(Method::GET, &format!("/api/v1/approvals/{}", args.id), None).await?;
    if args.json {
        println!("{request}");
        return Ok(());
    }
    let mut lines = vec![
        ("id", text(&request, "id").to_owned()),
        ("state", text(&request, "state").to_owned()),
        ("asked by", requester(&request).to_owned()),
        ("connection", text(&request, "connection").to_owned()),
        ("command", command(&request).to_owned()),
    ];
    for parameter in request.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let value = parameter.get("value").and_then(Value::as_str).unwrap_or("NULL");
        lines.push(("with", format!("{} {value}", text(parameter, "type"))));
    }
    let operations = request.get("operations").and_then(Value::as_array).into_iter().flatten();
    lines.extend(operations.filter_map(Value::as_str).map(|operation| ("would", operation.to_owned())));
    lines.extend(rules(&request).into_iter().map(|rule| ("held by", rule)));
    if let Some(reason) = request.get("reason").and_then(Value::as_str) {
        lines.push(("because", reason.to_owned()));
    }
    if let Some(preview) = preview(&request) {
        lines.push(("rows", preview.to_string()));
    }
    for terms in request.get("terms").and_then(Value::as_array).into_iter().flatten() {
        if let Some(seconds) = terms.pointer("/grant/secs").and_then(Value::as_u64) {
            let rule = terms.get("rule").map(rule).unwrap_or_default();
            lines.push(("grant", format!("{rule} lets one be given for {seconds} s at most")));
        }
    }
    for vote in request.get("votes").and_then(Value::as_array).into_iter().flatten() {
        let said = if vote.get("yes").and_then(Value::as_bool) == Some(true) { "yes" } else { "no" };
        let voter = vote.get("voter").map(|voter| text(voter, "user")).unwrap_or_default();
        let grant = vote.pointer("/grant/secs").and_then(Value::as_u64);
        let grant = grant.map(|seconds| format!(", with a grant of {seconds} s")).unwrap_or_default();
        lines.push(("vote", format!("{said} by {voter} at {}{grant}", text(vote, "at"))));
    }
    lines.push(("missing", request.get("missing").map(ToString::to_string).unwrap_or_default()));
    lines.push(("until", text(&request, "deadline").to_owned()));
    for (name, value) in lines {
        println!("{name:<10}  {}", table::printable(&value));
    }
    Ok(())
}

async fn vote(args: &ApprovalArgs, approve: bool, grant: Option<&str>) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let path = format!("/api/v1/approvals/{}/votes", args.id);
    let said = match grant {
        Some(length) => json!({ "approve": approve, "for": length }),
        None => json!({ "approve": approve }),
    };
    let counted: Value = client.json(Method::POST, &path, Some(said)).await?;
    if args.json {
        println!("{counted}");
        return Ok(());
    }
    match counted.get("missing").and_then(Value::as_u64) {
        Some(missing @ 1..) if approve => println!("counted; {missing} more must say yes"),
        _ => println!("{} is {}", args.id, text(&counted, "state")),
    }
    Ok(())
}

fn preview(request: &Value) -> Option<Preview> {
    Preview::deserialize(request.get("preview")?).ok()
}

/// What it would write, in few characters: an estimate has a tilde.
fn rows(request: &Value) -> String {
    match preview(request) {
        Some(Preview::Count(rows)) => rows.to_string(),
        Some(Preview::Estimate(rows)) => format!("~{rows}"),
        Some(Preview::None(_)) | None => "-".to_owned(),
    }
}

fn requester(request: &Value) -> &str {
    request.get("requester").map(|requester| text(requester, "user")).unwrap_or_default()
}

fn command(request: &Value) -> &str {
    text(request, "text")
}

fn rules(request: &Value) -> Vec<String> {
    let terms = request.get("terms").and_then(Value::as_array).into_iter().flatten();
    terms.filter_map(|terms| terms.get("rule")).map(rule).collect()
}

fn rule(rule: &Value) -> String {
    format!("{}/{}", text(rule, "bundle"), text(rule, "rule"))
}
