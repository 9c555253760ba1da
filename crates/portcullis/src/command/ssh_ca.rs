//! `portcullis ssh-ca`: what clients and targets must be told about the gateway's own SSH keys, and signing for targets.
//!
//! Promises: prints public lines only; makes the keys where they are not there yet, and never replaces them; a signed
//! certificate names one host or one login and has an end. What is signed here is for targets: the gateway does not
//! accept certificates of its own authority from clients.
//! Does not promise a record of what was signed: whoever can run this can read the authority's key itself.
//! Held by: `tests/it/ssh_authority.rs`.

use crate::args::{SshCaArgs, SshCaCommand};
use crate::assemble;
use crate::assemble::ssh::Keys;
use crate::error::Failure;
use jiff::Timestamp;
use portcullis_config::Config;
use portcullis_credentials::CertificateAuthority;
use serde_json::json;
use ssh_key::{Certificate, HashAlg, PublicKey};
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Bytes of a public key's file at most.
const LARGEST: u64 = 16 * 1024;

pub(crate) fn run(args: &SshCaArgs) -> Result<(), Failure> {
    let config = assemble::load(&args.config)?;
    let keys = assemble::ssh::keys(&config)?;
    let (certificate, output) = match &args.command {
        None => return list(args, &config, &keys),
        Some(SshCaCommand::SignHost { key, name, days, output }) => {
            let valid = HOUR.saturating_mul(24).saturating_mul(*days);
            (sign(key, |key| keys.authority.sign_host(key, name, valid, Timestamp::now()))?, output)
        }
        Some(SshCaCommand::SignUser { key, user, hours, output }) => {
            let valid = HOUR.saturating_mul(*hours);
            (sign(key, |key| keys.authority.sign_user(key, user, valid, Timestamp::now()))?, output)
        }
    };
    let line = certificate.to_openssh().map_err(|error| Failure::refused("the certificate", error))?;
    match output {
        Some(file) => fs::write(file, format!("{line}\n"))
            .map_err(|error| Failure::refused(&file.display().to_string(), error))?,
        None => println!("{line}"),
    }
    Ok(())
}

fn sign<E: std::fmt::Display>(
    file: &Path,
    sign: impl FnOnce(&PublicKey) -> Result<Certificate, E>,
) -> Result<Certificate, Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::refused(&file.display().to_string(), why);
    let mut text = String::new();
    let opened = fs::File::open(file).map_err(|error| refused(&error))?;
    opened.take(LARGEST).read_to_string(&mut text).map_err(|error| refused(&error))?;
    if text.contains("PRIVATE KEY") {
        return Err(refused(&"this is a private key; name its `.pub` file"));
    }
    let key = PublicKey::from_openssh(text.trim()).map_err(|_| refused(&"this is not a public SSH key"))?;
    sign(&key).map_err(|error| refused(&error))
}

fn list(args: &SshCaArgs, config: &Config, keys: &Keys) -> Result<(), Failure> {
    let known = known_hosts(args.host.as_deref(), config, keys)?;
    let authority = line(keys.authority.public())?;
    if args.json {
        let host = keys.host.fingerprint();
        println!("{}", json!({ "kind": "host-key", "known_hosts": known, "fingerprint": host }));
        println!("{}", authority_json(&keys.authority, &authority));
        return Ok(());
    }
    match known {
        Some(known) => println!("# For the known_hosts of clients, and of whoever goes through the gateway:\n{known}"),
        None => println!("# For the known_hosts of clients, `--host NAME` prints a line with the gateway's name."),
    }
    println!("# For the file that `TrustedUserCAKeys` names in the sshd_config of targets:\n{authority}");
    Ok(())
}

fn authority_json(authority: &CertificateAuthority, line: &str) -> serde_json::Value {
    json!({
        "kind": "user-authority",
        "trusted_user_ca_keys": line,
        "fingerprint": authority.public().fingerprint(HashAlg::Sha256).to_string(),
    })
}

/// The line for `known_hosts`; `None` where it is not known what clients call the gateway.
fn known_hosts(host: Option<&str>, config: &Config, keys: &Keys) -> Result<Option<String>, Failure> {
    let Some(address) = config.listen.ssh else { return Ok(None) };
    let host_key = &keys.host;
    let named = host.map(str::to_owned).or_else(|| reachable(address.ip()));
    let Some(host) = named else { return Ok(None) };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '*' | '?' | '!' | '[' | ']')) {
        return Err(Failure::Usage(format!("`{host}` is not the name of a host")));
    }
    let host = if address.port() == 22 { host } else { format!("[{host}]:{}", address.port()) };
    Ok(Some(format!("{host} {}", line(host_key.public())?)))
}

/// What clients may call a gateway that listens here; a gateway that listens everywhere has a name of its own.
fn reachable(address: IpAddr) -> Option<String> {
    (!address.is_unspecified()).then(|| address.to_canonical().to_string())
}

fn line(key: &PublicKey) -> Result<String, Failure> {
    key.to_openssh().map_err(|error| Failure::refused("the public key", error))
}
