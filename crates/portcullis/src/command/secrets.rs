//! `portcullis secrets`: what is in the local vault, and putting values in.
//!
//! Promises: a value comes from standard input, or from a prompt that shows nothing where that is a terminal, never from
//! an argument, which every process of the machine could read; values are never printed; a change is in force at the next
//! login, without a restart, because the gateway reads the vault for each.
//! Does not promise a record of what was changed: whoever can run this has the key, and needs no gateway for it.
//! Held by: `tests/it/vault.rs`.

use crate::assemble;
use crate::error::Failure;
use clap::{Args, Subcommand};
use console::Term;
use portcullis_credentials::{Vault, is_name};
use secrecy::zeroize::Zeroizing;
use serde_json::json;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

/// Bytes of a value at most, and one to see that there are more.
const LARGEST: u64 = 64 * 1024 + 3;

#[derive(Debug, Args)]
pub(crate) struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    /// Put a secret in, in the place of one of that name. Its value is read from standard input.
    Set {
        /// What `{ vault: NAME }` calls it.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// List the names.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// One object a line.
        #[arg(long)]
        json: bool,
    },
    /// Take a secret out.
    Remove {
        /// What `{ vault: NAME }` calls it.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) async fn run(args: SecretsArgs) -> Result<(), Failure> {
    match args.command {
        SecretsCommand::Set { name, config } => {
            let vault = vault(&config)?;
            if !is_name(&name) {
                return Err(Failure::Usage(
                    "a secret's name has 1 to 128 of letters, digits, `-`, `_` and `.`".to_owned(),
                ));
            }
            let value = value()?;
            vault.set(&name, &value).await.map_err(refused)
        }
        SecretsCommand::List { config, json } => {
            for name in vault(&config)?.names().await.map_err(refused)? {
                if json {
                    println!("{}", json!({ "name": name }));
                } else {
                    println!("{name}");
                }
            }
            Ok(())
        }
        SecretsCommand::Remove { name, config } => vault(&config)?.remove(&name).await.map_err(refused),
    }
}

fn vault(args: &ConfigArgs) -> Result<Vault, Failure> {
    let config = assemble::load(&args.config)?;
    assemble::credentials::vault(&config).ok_or_else(|| {
        let help = "add `vault: { local: { key: { file: keys/vault.key } } }` to it";
        Failure::Refused(format!("{} has no local vault: {help}", args.config.display()))
    })
}

fn refused(error: portcullis_credentials::CredentialError) -> Failure {
    Failure::Refused(error.to_string())
}

/// The value, without the line ends at its end.
fn value() -> Result<Zeroizing<Vec<u8>>, Failure> {
    if std::io::stdin().is_terminal() {
        return asked();
    }
    // All of the room at once, so that no half of the secret is left behind where a growing buffer was.
    let mut value = Zeroizing::new(Vec::with_capacity(usize::try_from(LARGEST).unwrap_or(usize::MAX)));
    std::io::stdin().take(LARGEST).read_to_end(&mut value)?;
    while value.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        value.pop();
    }
    Ok(value)
}

/// The value from a person, who types it twice because nothing shows it.
fn asked() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let terminal = Term::stderr();
    let ask = |what: &str| -> Result<Zeroizing<Vec<u8>>, Failure> {
        terminal.write_str(what)?;
        let line = terminal.read_secure_line()?;
        Ok(Zeroizing::new(line.into_bytes()))
    };
    let value = ask("Value (not shown): ")?;
    if ask("Again: ")? != value {
        return Err(Failure::Refused("the two differ; nothing was changed".to_owned()));
    }
    Ok(value)
}
