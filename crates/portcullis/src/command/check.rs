//! `portcullis check`: builds everything a configuration names, without opening the store, and prints all problems at
//! once. Exit 0 good, 1 problems.

use crate::args::CheckArgs;
use crate::assemble;
use crate::error::Failure;
use portcullis_config as config;
use portcullis_config::Config;
use portcullis_model::{Connection, Name, Problem, Protocol, Severity};
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
    let unreachable = assemble::reach_problems(&config);
    problems.extend(unreachable.iter().map(|failure| Problem::error("connections", failure.to_string())));
    let (credentials, _keepers) = match assemble::credentials(&config) {
        Ok(made) => made,
        Err(failure) => {
            problems.push(Problem::error("credentials", failure.to_string()));
            return Ok(problems);
        }
    };
    let unreadable = crate::runtime()?.block_on(credentials.problems());
    let path = |name: &Name| match config.connections.get(name) {
        Some(_) => format!("connections.{name}.{}", credential_key(&config, name)),
        // The names of notifiers are their paths.
        None => name.to_string(),
    };
    problems.extend(unreadable.iter().map(|(name, why)| Problem::error(path(name), why.to_string())));
    problems.extend(credentials.warnings().iter().map(|(name, why)| Problem::warning(path(name), why.as_str())));
    problems.extend(assemble::ssh::trust(&config, None).err().into_iter().flatten());
    problems.extend(assemble::ssh::revoked_keys(&config).err().into_iter().flatten());
    Ok(problems)
}

/// The key under which a connection's credential stands.
fn credential_key(config: &Config, name: &Name) -> &'static str {
    let target = match config.connections.get(name) {
        Some(config::Connection::Ssh(target)) => target,
        Some(config::Connection::Http(_)) => return "headers",
        Some(config::Connection::Postgres(postgres)) => return database_key(postgres),
        None => return "password",
    };
    match &target.login {
        config::SshLogin::Password(_) => "password",
        config::SshLogin::PrivateKey(_) => "private_key",
        config::SshLogin::OwnCertificate => "certificate",
    }
}

fn database_key(postgres: &config::Postgres) -> &'static str {
    match postgres.password {
        Some(config::Password::SessionRole(_)) => "session_role",
        Some(config::Password::Kept(_) | config::Password::Issued(_)) | None => "password",
    }
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
    match assemble::opa::load(&sources) {
        Ok(loaded) => {
            problems.extend(loaded.warnings);
            problems.extend(assemble::mask_problems(config, &loaded.set));
            problems.extend(mask_warnings(config, &loaded.set));
        }
        Err(found) => problems.extend(found),
    }
    problems
}

/// Where masks may not say what was meant, as far as the databases can be asked.
fn mask_warnings(config: &Config, set: &PolicySet) -> Vec<Problem> {
    let connections = assemble::connections(config);
    let of = |protocol| connections.values().filter(move |one| one.protocol == protocol);
    let services = of(Protocol::Http).flat_map(|one| portcullis_gate::mask_warnings_without_columns(set, one));
    let masked: Vec<&Connection> = of(Protocol::Postgres).filter(|one| !set.masks_of_record(one).is_empty()).collect();
    let Ok(runtime) = crate::runtime() else { return services.collect() };
    let asked =
        masked.iter().flat_map(|connection| match runtime.block_on(assemble::catalogue(config, &connection.name)) {
            Ok(catalogue) => portcullis_gate::mask_warnings(set, connection, &catalogue),
            Err(failure) => {
                let message = format!("its database was not asked what the masks mean there: {failure}");
                vec![Problem::warning(format!("connections.{}", connection.name), message)]
            }
        });
    services.chain(asked).collect()
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
