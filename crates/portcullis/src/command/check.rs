//! `portcullis check`: builds everything a configuration names, without opening the store, and prints all problems at
//! once. Exit 0 good, 1 problems.

use crate::args::CheckArgs;
use crate::assemble;
use crate::error::Failure;
use portcullis_config as config;
use portcullis_config::Config;
use portcullis_model::{Problem, Severity};
use portcullis_policy::PolicySet;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let problems = problems(&args.config)?;
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if args.json {
        for problem in &problems {
            println!("{}", serde_json::to_string(problem)?);
        }
    } else {
        for problem in &problems {
            println!("{problem}\n");
        }
        let warnings = problems.len() - errors;
        println!("{}: {errors} errors, {warnings} warnings", args.config.display());
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Every problem of the configuration and of what it names.
fn problems(file: &Path) -> Result<Vec<Problem>, Failure> {
    let (config, mut problems) = match config::load(file) {
        Ok(loaded) => (loaded.config, loaded.warnings),
        Err(problems) => return Ok(problems),
    };
    problems.extend(policy_problems(&config));
    problems.extend(tls_problems(&config));
    if let Err(failure) = assemble::destinations(&config) {
        problems.push(Problem::error("connections", failure.to_string()));
    }
    let credentials = assemble::credentials(&config);
    let unreadable = crate::runtime()?.block_on(credentials.problems());
    let path = |connection: &dyn std::fmt::Display| format!("connections.{connection}.password");
    problems.extend(unreadable.iter().map(|(name, why)| Problem::error(path(name), why.to_string())));
    problems.extend(credentials.warnings().iter().map(|(name, why)| Problem::warning(path(name), why.as_str())));
    Ok(problems)
}

fn policy_problems(config: &Config) -> Vec<Problem> {
    let files = match config.policy_files() {
        Ok(files) => files,
        Err(problems) => return problems,
    };
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for file in &files {
        match assemble::read_source(file) {
            Ok(source) => sources.push(source),
            Err(failure) => problems.push(Problem::error("policies", failure.to_string())),
        }
    }
    match PolicySet::load(&sources) {
        Ok(loaded) => problems.extend(loaded.warnings),
        Err(found) => problems.extend(found),
    }
    problems
}

/// A configured certificate must load; one that the gateway would make itself is not made by a check.
fn tls_problems(config: &Config) -> Option<Problem> {
    match &config.tls {
        config::Tls::Files { .. } => {
            assemble::tls(config, &[]).err().map(|failure| Problem::error("tls", failure.to_string()))
        }
        config::Tls::SelfMade | config::Tls::Off => None,
    }
}
