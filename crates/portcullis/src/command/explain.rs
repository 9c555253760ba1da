//! `portcullis policy explain`: what a statement, a command line or a request would do, which rules match, and which
//! columns of its result would be masked, by which rule and why.
//!
//! With `--config`, the catalogue of the connection's database is read through the gateway's own credential, so that names
//! and columns mean what they mean there, under the search path that a login has by default. Without it, or where the
//! database cannot be reached, an unqualified name is taken to lie in `public` and columns cannot be followed.
//! Promises: the reader, policy and masking code of the gateway. Runs nothing. Held by: `tests/it/policy.rs`.

use crate::args::ExplainArgs;
use crate::assemble;
use crate::command::policy::{connection, load, read_shell};
use crate::error::{Failure, print_problems};
use jiff::Timestamp;
use portcullis_config::Config;
use portcullis_gate::{MaskKind, MasksExplained, OutputExplanation, explain_masks};
use portcullis_model::{Connection, CredentialKind, Effect, Fields, Name, Operation, Principal, Protocol, Verdict};
use portcullis_policy::{Case, PolicySet, read_body};
use portcullis_sql::{Dialect, Limits, Reading, Scope, Statement};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;

pub(crate) fn run(args: &ExplainArgs, runtime: impl FnOnce() -> Result<Runtime, Failure>) -> Result<ExitCode, Failure> {
    let set = load(&args.files, args.config.as_deref())?;
    let principal = Principal {
        issuer: "explain".into(),
        subject: args.user.as_str().into(),
        user: args.user.as_str().into(),
        groups: args.groups.iter().map(|group| Arc::from(group.as_str())).collect(),
        claims: BTreeMap::new(),
        credential: CredentialKind::LocalAdmin,
    };
    let asked = match (&args.sql, &args.shell, &args.http) {
        (_, Some(line), _) => Asked::shell(line, &args.connection),
        (_, None, Some(line)) => Asked::http(line, args)?,
        (sql, None, None) => Asked::sql(sql.as_deref().unwrap_or_default(), args, &set, &principal, runtime)?,
    };
    let Asked { operations, connection, fields, masks, unread } = asked;
    let case = Case {
        principal: &principal,
        connection: &connection,
        operations: &operations,
        home: None,
        fields: fields.as_ref(),
        at: Timestamp::now(),
    };
    let decision = set.decide(&case);
    let effect = decision.verdict.effect();
    let told = if args.json {
        let shown: Vec<String> = operations.iter().map(ToString::to_string).collect();
        let rules: Vec<Value> = decision
            .matches
            .iter()
            .map(|m| json!({ "rule": m.rule.to_string(), "effect": m.effect.word(), "operation": m.operation }))
            .collect();
        let columns: Vec<Value> = masks.iter().flat_map(|masks| &masks.outputs).map(column).collect();
        let object = json!({
            "operations": shown, "matches": rules, "decision": effect.word(),
            "columns": columns, "columns_unread": unread,
        });
        format!("{object}\n")
    } else {
        let denied = matches!(decision.verdict, Verdict::Deny(_));
        format!("{}\n{}", set.explain(&case), masks_told(&masks, unread.as_deref(), denied))
    };
    show(io::stdout().lock(), &told)?;
    Ok(if effect == Effect::Deny { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What is asked about, read.
struct Asked {
    operations: Vec<Operation>,
    connection: Connection,
    /// The body of a request.
    fields: Option<Fields>,
    masks: Vec<MasksExplained>,
    /// Why columns could not be followed; for what has none, nothing is said.
    unread: Option<String>,
}

impl Asked {
    fn shell(line: &str, on: &str) -> Self {
        let operations = read_shell(line).operations;
        Self { operations, connection: connection(on), fields: None, masks: Vec::new(), unread: None }
    }

    fn http(line: &str, args: &ExplainArgs) -> Result<Self, Failure> {
        let (method, path) = line
            .split_once(' ')
            .ok_or_else(|| Failure::Usage(format!("`{line}` is not METHOD PATH, as in `GET /orders/7`")))?;
        let operation = match (args.upgrade, method) {
            (true, "GET") => portcullis_http::upgrade_of(path),
            (true, _) => Err("a WebSocket is opened by a GET".to_owned()),
            (false, method) => portcullis_http::endpoint_of(method, path),
        };
        let operation = operation.map_err(Failure::Usage)?;
        let fields = match &args.body {
            None => Fields::none(),
            Some(text) => read_body(text).map_err(|problems| {
                print_problems(&problems);
                Failure::Usage("the body is not JSON".to_owned())
            })?,
        };
        let connection = Connection { protocol: Protocol::Http, ..connection(&args.connection) };
        Ok(Self { operations: vec![operation], connection, fields: Some(fields), masks: Vec::new(), unread: None })
    }

    fn sql(
        sql: &str,
        args: &ExplainArgs,
        set: &PolicySet,
        principal: &Principal,
        runtime: impl FnOnce() -> Result<Runtime, Failure>,
    ) -> Result<Self, Failure> {
        let config = args.config.as_deref().map(assemble::load).transpose()?;
        let named = Name::canonical(args.connection.as_str());
        let configured = config.as_ref().and_then(|config| assemble::connections(config).remove(&named));
        let (scope, unread) = match (&config, &configured) {
            (Some(config), Some(configured)) => match runtime()?.block_on(scope_of(config, configured)) {
                Ok(scope) => (scope, None),
                Err(failure) => (assumed(), Some(failure.to_string())),
            },
            (Some(_), None) => (assumed(), Some(format!("the configuration has no connection `{named}`"))),
            (None, _) => (assumed(), Some("no configuration is given".to_owned())),
        };
        let connection = configured.unwrap_or_else(|| connection(&args.connection));
        let reading = portcullis_sql::read(sql, Dialect::Postgres, &scope, &Limits::default().pinned());
        let explain =
            |statement: &Statement| explain_masks(set, principal, &connection, &scope.catalogue, &statement.lineage);
        let masks: Vec<_> = match unread {
            Some(_) => Vec::new(),
            None => reading.statements.iter().map(explain).collect(),
        };
        Ok(Self { operations: marked(&reading, &masks), connection, fields: None, masks, unread })
    }
}

/// A scope without a database.
fn assumed() -> Scope {
    Scope::assuming(Name::canonical("public"))
}

/// What names mean in the connection's database to a login that has changed nothing.
async fn scope_of(config: &Config, connection: &Connection) -> Result<Scope, Failure> {
    let mut scope = Scope {
        catalogue: Arc::new(assemble::catalogue(config, &connection.name).await?),
        uncertain: false,
        user: Some(Name::canonical(Arc::clone(&connection.login))),
        ..Scope::unknown()
    };
    scope.search_path = scope.effective_path(&[Name::canonical("$user"), Name::canonical("public")]);
    Ok(scope)
}

/// The operations with the marks that the masks add to them, statement by statement.
fn marked(reading: &Reading, masks: &[MasksExplained]) -> Vec<Operation> {
    if masks.iter().all(|masks| masks.marks.is_empty()) {
        return reading.operations();
    }
    let statements = reading.statements.iter().zip(masks);
    statements.flat_map(|(statement, masks)| Operation::all_marked(&statement.operations, masks.marks)).collect()
}

/// What stands in a column's place, in a word.
const fn word(mask: Option<MaskKind>) -> &'static str {
    match mask {
        None => "shown",
        Some(MaskKind::Null) => "NULL",
        Some(MaskKind::Whole) => "masked",
        Some(MaskKind::Json | MaskKind::JsonAnywhere) => "masked inside",
        Some(MaskKind::Detects) => "searched",
    }
}

fn column(output: &OutputExplanation) -> Value {
    json!({ "column": &*output.column, "becomes": word(output.mask), "rule": &*output.by, "reason": output.reason })
}

/// Writes it all. Whoever has read enough of it may close the pipe.
fn show(mut out: impl Write, told: &str) -> io::Result<()> {
    match out.write_all(told.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn masks_told(masks: &[MasksExplained], unread: Option<&str>, denied: bool) -> String {
    if let Some(why) = unread {
        return format!("\ncolumns of the result cannot be followed: {why}\n");
    }
    let mut lines = Vec::new();
    for masks in masks {
        if let Some(misuse) = masks.misuse.as_ref().filter(|_| denied) {
            lines.push(format!("\n{misuse}\n"));
        }
        if !masks.outputs.is_empty() {
            lines.push("\ncolumns of the result\n".to_owned());
        }
        for output in &masks.outputs {
            lines.push(match output.mask {
                None => format!("  {:<24} shown\n", output.column),
                Some(_) => {
                    let by = if output.by.is_empty() { "no rule names it" } else { &*output.by };
                    format!("  {:<24} {}  by {by}: {}\n", output.column, word(output.mask), output.reason)
                }
            });
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_enough_is_no_failure() {
        assert!(show(Failing(io::ErrorKind::BrokenPipe), "allow\n").is_ok());
        assert!(show(Failing(io::ErrorKind::StorageFull), "allow\n").is_err());
        let mut out = Vec::new();
        show(&mut out, "allow\n").expect("memory takes it");
        assert_eq!(out, b"allow\n");
    }
}
