//! `portcullis policy`: run the bundles' tests, put a changed set into force; `explain.rs` explains a decision, `diff.rs`
//! says what changed bundles would have decided about what is recorded.
//!
//! Promises: `test` and `explain` use the same reader and the same policy code as the gateway; there is no backend here,
//! so an unqualified name that nothing is known of is taken to lie in `public`. Held by: `tests/it`.

use crate::args::{PolicyArgs, PolicyCommand};
use crate::assemble;
use crate::client::Client;
use crate::command::{diff, explain};
use crate::error::{Failure, print_problems};
use hyper::Method;
use portcullis_model::{Action, Connection, Decision, Name, Object, Operation, Part, Protocol, Verdict};
use portcullis_policy::{PolicySet, PolicyTest, SourceFile, TestCommand, TestOutcome, run_test};
use portcullis_sql::{Dialect, Limits, Scope};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;

pub(crate) fn run(args: PolicyArgs, runtime: impl FnOnce() -> Result<Runtime, Failure>) -> Result<ExitCode, Failure> {
    match args.command {
        PolicyCommand::Test { files, config, json } => test(&files, config.as_deref(), json),
        PolicyCommand::Explain(args) => explain::run(&args, runtime),
        PolicyCommand::Diff(args) => runtime()?.block_on(diff::run(&args)),
        PolicyCommand::Reload { gateway } => runtime()?.block_on(async {
            let client = Client::open(&gateway).await?;
            let answer: Value = client.json(Method::POST, "/api/v1/policy/reload", None).await?;
            for problem in answer.get("problems").and_then(Value::as_array).into_iter().flatten() {
                eprintln!("{}\n", problem.as_str().unwrap_or_default());
            }
            let digest = answer.get("policy").and_then(Value::as_str).unwrap_or_default();
            if answer.get("accepted").and_then(Value::as_bool) == Some(true) {
                println!("in force: {digest}");
                Ok(ExitCode::SUCCESS)
            } else {
                println!("refused; still in force: {digest}");
                Ok(ExitCode::from(1))
            }
        }),
    }
}

/// The texts of bundles, and the databases that statements inside other commands may go to, where they are known.
pub(crate) struct Sources {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) databases: Option<Vec<Connection>>,
}

impl Sources {
    /// As one set, its problems printed.
    pub(crate) fn compile(self) -> Result<PolicySet, Failure> {
        match assemble::opa::load(&self.files) {
            Ok(loaded) => {
                print_problems(&loaded.warnings);
                Ok(match self.databases {
                    Some(databases) => loaded.set.with_connections(databases),
                    None => loaded.set,
                })
            }
            Err(problems) => {
                let errors = print_problems(&problems);
                Err(Failure::Refused(format!("{errors} problems in the bundles")))
            }
        }
    }
}

/// The bundles named, or those of the configuration.
pub(crate) fn sources(files: &[PathBuf], config: Option<&Path>) -> Result<Sources, Failure> {
    match config.filter(|_| files.is_empty()) {
        Some(file) => {
            let config = assemble::load(file)?;
            let files = assemble::policy_sources(&config)?;
            Ok(Sources { files, databases: Some(assemble::databases(&config)) })
        }
        None if files.is_empty() => Err(Failure::Usage("name bundles, or --config FILE".to_owned())),
        None => {
            let files = files.iter().map(|file| assemble::read_source(file)).collect::<Result<_, _>>()?;
            Ok(Sources { files, databases: None })
        }
    }
}

/// The same as one set.
pub(crate) fn load(files: &[PathBuf], config: Option<&Path>) -> Result<PolicySet, Failure> {
    sources(files, config)?.compile()
}

/// What the text would do, read without a backend.
fn read_sql(sql: &str) -> Vec<Operation> {
    portcullis_sql::read(
        sql,
        Dialect::Postgres,
        &Scope::assuming(Name::canonical("public")),
        &Limits::default().pinned(),
    )
    .operations()
}

/// What a command line would do, read without a target: in the home of its login.
pub(crate) fn read_shell(line: &str) -> portcullis_shell::Reading {
    let mut scope = portcullis_shell::Scope { directory: Some("~".to_owned()), ..portcullis_shell::Scope::unknown() };
    scope.sql = Scope::assuming(Name::canonical("public"));
    portcullis_shell::read(line, &scope, &portcullis_shell::Limits::default())
}

pub(crate) fn connection(name: &str) -> Connection {
    Connection {
        name: Name::canonical(name),
        protocol: Protocol::Postgres,
        address: "".into(),
        database: None,
        login: "".into(),
    }
}

fn test(files: &[PathBuf], config: Option<&Path>, json: bool) -> Result<ExitCode, Failure> {
    let set = load(files, config)?;
    let mut failed = 0_usize;
    for test in set.tests() {
        let (text, (operations, fields)) = match &test.command {
            TestCommand::Sql(sql) => (Arc::clone(sql), (read_sql(sql), None)),
            TestCommand::Shell(line) => (Arc::clone(line), (read_shell(line).operations, None)),
            TestCommand::Http { method, path, upgrade } => {
                let operation = if *upgrade {
                    portcullis_http::upgrade_of(path)
                } else {
                    portcullis_http::endpoint_of(method, path)
                };
                let operation =
                    operation.map_err(|why| Failure::Refused(format!("{}:{}: {why}", test.file, test.line)))?;
                (format!("{method} {path}").into(), (vec![operation], None))
            }
            TestCommand::Model(model) => {
                let object = Object::Model(Part::known(Arc::clone(model)));
                (Arc::clone(model), (vec![Operation::new(Action::Generate, object)], None))
            }
            TestCommand::Tool { name, input } => {
                (format!("{name} {input}").into(), portcullis_http::call_of(name, input))
            }
        };
        let outcome = run_test(&set, test, &operations, fields.as_ref(), &connection(test.on.as_str()));
        failed += usize::from(!outcome.passed);
        report(test, &text, &outcome, json);
    }
    let passed = set.tests().len() - failed;
    if !json {
        println!("{passed} passed, {failed} failed");
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// One line for a test that passed; what was expected and what was decided for one that did not.
fn report(test: &PolicyTest, sql: &str, outcome: &TestOutcome, json: bool) {
    let decided = told(&outcome.decision);
    if json {
        let line = json!({
            "file": &*test.file, "line": test.line, "bundle": &*test.bundle, "run": sql,
            "expected": outcome.expected.to_string(), "decided": decided, "passed": outcome.passed,
        });
        println!("{line}");
    } else if outcome.passed {
        println!("ok    {}:{}  {}", test.file, test.line, outcome.expected);
    } else {
        println!("FAIL  {}:{}  {sql}", test.file, test.line);
        println!("      expected {}, decided {decided}", outcome.expected);
    }
}

/// What was decided, and by which rules.
pub(crate) fn told(decision: &Decision) -> String {
    let rules: Vec<String> = decision.matches.iter().map(|m| format!("{} {}", m.effect.word(), m.rule)).collect();
    match &decision.verdict {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Hold(terms) => {
            format!("hold {}", terms.iter().map(|t| t.rule.to_string()).collect::<Vec<_>>().join(", "))
        }
        Verdict::Deny(reason) if rules.is_empty() => format!("deny: {reason}"),
        Verdict::Deny(reason) => format!("deny: {reason} (matched {})", rules.join(", ")),
    }
}
