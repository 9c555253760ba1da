//! A recorded session, told to a person: statements, decisions, results, in order.
//!
//! Promises: shows only what the record holds, so nothing that was masked or redacted; every control character of a
//! recorded text is shown as an escape, so that a recorded session cannot drive the reader's terminal.
//! Held by: the tests below and `tests/it/sessions.rs`.

use crate::table;
use jiff::Timestamp;
use portcullis_model::{Effect, Event, EventBody, MaskedColumn, Outcome, RecordedColumn};
use std::fmt::Write as _;
use std::sync::Arc;

/// Rows of a result that are shown; all are in an export.
const SHOWN_ROWS: usize = 40;

/// Tells events one by one, relative to the first.
#[derive(Default)]
pub(crate) struct Timeline {
    began: Option<Timestamp>,
}

impl Timeline {
    /// What to print for the event, without a line end; `None` where it adds nothing for a person.
    pub(crate) fn tell(&mut self, event: &Event) -> Option<String> {
        let began = *self.began.get_or_insert(event.at);
        let since = event.at.duration_since(began);
        let text = describe(&event.body)?;
        let clock = format!("{:>4}.{:03}", since.as_secs(), since.subsec_millis());
        let mut out = String::new();
        for (at, line) in text.lines().enumerate() {
            if at > 0 {
                out.push('\n');
            }
            let margin = if at == 0 { clock.as_str() } else { "        " };
            // Writing to a String cannot fail.
            let _ = write!(out, "{margin}  {line}");
        }
        Some(out)
    }
}

fn describe(body: &EventBody) -> Option<String> {
    match body {
        EventBody::SessionStarted { principal, connection, client, gateway, .. } => {
            let who = principal.as_ref().map_or("the gateway", |principal| &principal.user);
            let mut text = format!("session of {}", table::printable(who));
            if let Some(connection) = connection {
                let _ = write!(text, " on {}", connection.name);
                if let Some(database) = &connection.database {
                    let _ = write!(text, " (database {database}, login {})", connection.login);
                }
            }
            if let Some(client) = client {
                let application = client.application.as_deref().unwrap_or("unnamed client");
                let _ =
                    write!(text, "\nfrom {} ({}, {})", client.address, table::printable(application), client.transport);
            }
            let _ = write!(text, "\ngateway {gateway}");
            Some(text)
        }
        EventBody::SessionLogin { login } => Some(format!("logged in as {}", table::printable(login))),
        EventBody::CommandReceived { command, text, operations, parameters, fault, .. } => {
            let mut out = statement(*command, text.as_str());
            for (at, parameter) in parameters.iter().enumerate() {
                let value = parameter.value.as_deref().map_or_else(|| "NULL".to_owned(), table::printable);
                let _ = write!(out, "\n     ${} = {value} ({})", at + 1, parameter.type_name);
            }
            if let Some(fault) = fault {
                let _ = write!(out, "\n     not read: {}", table::printable(fault.message()));
            } else {
                for operation in operations {
                    let _ = write!(out, "\n     · {}", table::printable(&operation.shown));
                }
            }
            Some(out)
        }
        EventBody::CommandPrepared { command, text, .. } => {
            Some(format!("{}\n     prepared, not run", statement(*command, text.as_str())))
        }
        EventBody::CommandDecided { command, verdict, told, matches, grants, limit, .. } => {
            let word = match verdict {
                Effect::Allow => "ALLOWED",
                Effect::Hold => "HELD",
                Effect::Deny => "DENIED",
            };
            let mut out = format!("[{command}] {word}");
            if let Some(told) = told {
                let _ = write!(out, ": {}", table::printable(told));
            }
            let mut rules: Vec<&str> = matches.iter().map(|m| &*m.rule).collect();
            rules.dedup();
            if !rules.is_empty() {
                let _ = write!(out, "  (matched {})", rules.join(", "));
            }
            for grant in grants {
                let _ = write!(out, "\n     under grant {grant}");
            }
            if let Some(limit) = limit {
                let _ = write!(out, "\n     up to {} rows, by {}", limit.rows, limit.rule);
            }
            Some(out)
        }
        EventBody::CommandSettled { command, outcome, .. } => Some(format!("[{command}] {}", ended(outcome))),
        EventBody::Result { columns, rows, truncated, .. } => Some(result(columns, rows, *truncated)),
        EventBody::Masked { columns, .. } => Some(masked(columns)),
        EventBody::Output { stream, text, truncated, .. } => {
            let cut = if *truncated { " … the rest is past the limit of the record" } else { "" };
            Some(format!("{stream}: {}{cut}", table::printable(text)))
        }
        EventBody::Terminal { columns, rows, name, .. } => {
            let name = name.as_deref().map(table::printable).unwrap_or_default();
            Some(format!("terminal {columns}x{rows} {name}").trim_end().to_owned())
        }
        EventBody::Usage { command, usage } => Some(format!(
            "[{command}] used {} tokens in, {} out, {} from the cache, {} into it",
            usage.input, usage.output, usage.cache_read, usage.cache_write
        )),
        EventBody::ApprovalRequested { command, approval, rule, expires, reason, preview } => {
            let mut out = format!("[{command}] approval {approval} asked for by {rule}, until {expires}");
            if let Some(reason) = reason {
                let _ = write!(out, "\n     because: {}", table::printable(reason));
            }
            if let Some(preview) = preview {
                let _ = write!(out, "\n     would write: {}", table::printable(&preview.to_string()));
            }
            Some(out)
        }
        EventBody::ApprovalSettled { command, approval, verdict, voters } => {
            Some(format!("[{command}] approval {approval} {verdict} {}", voters.join(", ")))
        }
        EventBody::GrantGiven { command, grant, rule, operations, voters, until, .. } => {
            let mut out = format!("[{command}] grant {grant} of {rule} until {until}, given by {}", voters.join(", "));
            for operation in operations {
                let _ = write!(out, "\n     · {}", table::printable(&operation.shown));
            }
            Some(out)
        }
        EventBody::GrantEnded { grant, rule, user, connection, why } => {
            let (user, connection) = (table::printable(user), table::printable(connection));
            Some(format!("grant {grant} of {rule} for {user} on {connection} ended: {why}"))
        }
        EventBody::SessionEnded { reason, commands } => {
            Some(format!("session ended: {} ({commands} commands)", table::printable(reason)))
        }
        EventBody::AdminChanged { by, change } => Some(format!("{} did {change:?}", table::printable(&by.user))),
        EventBody::PolicyLoaded { policy, bundles, accepted, problems } => {
            let word = if *accepted { "in force" } else { "refused" };
            let short: String = policy.chars().take(12).collect();
            let mut out = format!("policy {short} {word}: {}", bundles.join(", "));
            for problem in problems {
                let _ = write!(out, "\n     {}", table::printable(problem));
            }
            Some(out)
        }
        EventBody::IdentityRefused { protocol, claimed, client, why } => Some(format!(
            "login refused ({protocol}): {} from {}: {}",
            table::printable(claimed),
            client.address,
            table::printable(why)
        )),
    }
}

/// What was masked: column, rule, how many values.
fn masked(columns: &[MaskedColumn]) -> String {
    let one = |column: &MaskedColumn| {
        let rule = if column.rule.is_empty() { "no rule names it" } else { &*column.rule };
        format!("{} ({} by {rule}: {})", table::printable(&column.column), column.values, column.reason)
    };
    format!("masked: {}", columns.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The statement with its number, indented under it where it has several lines.
fn statement(command: u64, text: &str) -> String {
    let mut lines = text.lines();
    let mut out = format!("[{command}] {}", table::printable(lines.next().unwrap_or("")));
    for line in lines {
        let _ = write!(out, "\n     {}", table::printable(line));
    }
    out
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed { status, rows, bytes } => {
            format!("{} ({rows} rows, {bytes} bytes)", table::printable(status))
        }
        Outcome::Failed { status, message } => {
            let message = message.as_deref().map(table::printable).unwrap_or_default();
            format!("failed: {status} {message}")
        }
        Outcome::Skipped => "skipped by the server after an earlier error".to_owned(),
        Outcome::Refused { undone: None } => "refused".to_owned(),
        Outcome::Refused { undone: Some(rows) } => format!("refused, {rows} rows undone"),
        Outcome::Withdrawn => "withdrawn by the client".to_owned(),
        Outcome::Abandoned => "abandoned".to_owned(),
        Outcome::Interrupted => "interrupted: the outcome is not known".to_owned(),
    }
}

fn result(columns: &[RecordedColumn], rows: &[Vec<Option<Arc<str>>>], truncated: bool) -> String {
    let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
    let cells: Vec<Vec<Option<String>>> = rows
        .iter()
        .take(SHOWN_ROWS)
        .map(|row| row.iter().map(|cell| cell.as_ref().map(ToString::to_string)).collect())
        .collect();
    let mut out = table::result(&names, &cells);
    if rows.len() > SHOWN_ROWS {
        let _ = writeln!(out, "… {} more rows in the record", rows.len() - SHOWN_ROWS);
    }
    if truncated {
        out.push_str("… the rest is past the limit of the record\n");
    }
    out.truncate(out.trim_end().len());
    out
}
