//! `portcullis sessions verify`: a gateway's own record, or an export with the public key alone.
//!
//! Promises: an export is proved by this process, without a gateway, from the file and the key; a finding names the first
//! event, session or proof that is not what was recorded, and the exit code is 1.
//! Held by: `tests/it` and the demo's script, which edits an export.

use crate::args::GatewayArgs;
use crate::client::Client;
use crate::command::token::text;
use crate::error::Failure;
use hyper::Method;
use portcullis_audit::{Checkpoint, VerifyError, VerifyingKey, verify};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn run(
    gateway: &GatewayArgs,
    file: Option<&Path>,
    key: Option<&Path>,
    checkpoint: Option<&Path>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let outcome = match file {
        Some(file) => exported(file, key, checkpoint)?,
        None => asked(gateway, checkpoint).await?,
    };
    let unaltered = outcome.get("unaltered").and_then(Value::as_bool) == Some(true);
    if json {
        println!("{outcome}");
    } else if unaltered {
        let number = |key: &str| outcome.get(key).and_then(Value::as_u64).unwrap_or(0);
        println!(
            "unaltered: {} sessions, {} sealed events, {} behind the newest seal",
            number("sessions"),
            number("events"),
            number("unsealed")
        );
    } else {
        println!("NOT what was recorded: {}", text(&outcome, "told"));
    }
    Ok(if unaltered { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Asks the gateway about its own record.
async fn asked(gateway: &GatewayArgs, checkpoint: Option<&Path>) -> Result<Value, Failure> {
    let client = Client::open(gateway).await?;
    let mut path = "/api/v1/verify".to_owned();
    if let Some(file) = checkpoint {
        path.push_str("?checkpoint=");
        path.push_str(&percent_encoded(&read(file)?));
    }
    client.json(Method::GET, &path, None).await
}

/// Proves an export here.
fn exported(file: &Path, key: Option<&Path>, checkpoint: Option<&Path>) -> Result<Value, Failure> {
    let Some(key) = key else {
        return Err(Failure::Usage("an export is verified with --key data_dir/audit.pub".to_owned()));
    };
    let key: VerifyingKey =
        read(key)?.trim().parse().map_err(|error| Failure::refused(&key.display().to_string(), error))?;
    let earlier = checkpoint
        .map(|file| Checkpoint::open(&read(file)?, &key).map_err(|error| Failure::refused("the checkpoint", error)))
        .transpose()?;
    let input = File::open(file).map_err(|error| Failure::refused(&file.display().to_string(), error))?;
    match verify::export(BufReader::new(input), &key, earlier.as_slice()) {
        Ok(report) => Ok(json!({
            "unaltered": true,
            "sessions": report.sessions,
            "events": report.events,
            "unsealed": report.unsealed,
            "checkpoint": report.note,
        })),
        Err(VerifyError::Broken(finding)) => {
            Ok(json!({ "unaltered": false, "told": finding.to_string(), "finding": finding }))
        }
        Err(other) => Err(Failure::refused("the export", other)),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::refused(&file.display().to_string(), error))
}

/// Every byte but letters, digits and `-._~` as `%XX` (RFC 3986, section 2.1).
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn a_note_survives_a_query_string() {
        assert_eq!(percent_encoded("a b\n— x"), "a%20b%0A%E2%80%94%20x");
    }
}
