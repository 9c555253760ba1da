//! `portcullis login --ssh`: a certificate of the login, with a fresh key, in the SSH agent.
//!
//! Promises: the private key is made in memory and given to the agent alone, never to a disk or the gateway; the agent
//! forgets it when the certificate runs out.
//! Held by: `tests/it/login_ssh.rs`.

use super::agent::{Agent, Entry};
use crate::client::Client;
use crate::command::connect::ssh_line;
use crate::command::token::text;
use crate::error::Failure;
use hyper::Method;
use jiff::Timestamp;
use portcullis_credentials::PrivateKey;
use portcullis_model::Protocol;
use portcullis_net::Address;
use serde_json::{Value, json};
use ssh_key::{Certificate, HashAlg, PublicKey};
use std::net::IpAddr;

/// Asks for a certificate as whoever `client` is, gives it to the agent, and prints the lines to use.
pub(super) async fn run(client: &Client, gateway: &str, agent: &mut Agent) -> Result<(), Failure> {
    let made = PrivateKey::generate().map_err(|error| Failure::refused("the key", error))?;
    let line = made.public().to_openssh().map_err(|error| Failure::refused("the key", error))?;
    let asked = json!({ "public_key": line });
    let answer: Value = client.json(Method::POST, "/api/v1/ssh-certificates", Some(asked)).await?;
    let certificate = text(&answer, "certificate").parse::<Certificate>();
    let certificate = certificate.map_err(|error| Failure::refused("the gateway's certificate", error))?;
    if certificate.public_key() != made.public().key_data() {
        return Err(Failure::Refused("the gateway certified another key than the one that was asked for".to_owned()));
    }
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let left = u32::try_from(certificate.valid_before().saturating_sub(now)).unwrap_or(u32::MAX);
    if left == 0 {
        return Err(Failure::Refused("the certificate ran out already: look at this machine's clock".to_owned()));
    }
    let connections: Vec<Value> = client.json(Method::GET, "/api/v1/connections", None).await?;
    let hosts: Vec<(&str, String, u64)> =
        connections.iter().filter_map(|connection| reached(connection, gateway)).collect();
    let host_key: Option<PublicKey> = text(&answer, "host_key").parse().ok();
    let name = hosts.first().map_or("portcullis", |(_, host, _)| host.as_str());
    let (user, until) = (text(&answer, "user"), text(&answer, "expires"));
    let entry = Entry {
        key: made.key(),
        certificate: &certificate,
        comment: &format!("{user} by portcullis until {until}"),
        lifetime: left,
        towards: host_key.as_ref().map(|key| (name, key)),
    };
    let confined = agent.add(&entry).await?;
    println!("an SSH certificate of {user} is in the agent until {until}; its id is {}", text(&answer, "id"));
    if !confined {
        println!("this agent does not keep it to the gateway: forward the agent to nobody");
    }
    if let Some(key) = host_key {
        println!("the gateway's host key is {}", key.fingerprint(HashAlg::Sha256));
    }
    for (connection, host, port) in hosts {
        println!("{}", ssh_line(connection, &host, port));
    }
    Ok(())
}

/// Where clients reach an SSH connection: at the gateway's own name where it listens on every address.
fn reached<'c>(connection: &'c Value, gateway: &str) -> Option<(&'c str, String, u64)> {
    if text(connection, "protocol") != Protocol::Ssh.word() {
        return None;
    }
    let port = connection.get("port").and_then(Value::as_u64)?;
    let listens = text(connection, "host");
    let everywhere = listens.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    let named = if everywhere { gateway.parse::<Address>().ok() } else { None };
    let host = named.as_ref().and_then(Address::host).unwrap_or(listens).to_owned();
    Some((text(connection, "name"), host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_listens_everywhere_is_reached_by_its_name() {
        let at = |host: &str| json!({ "name": "build-box", "protocol": "ssh", "host": host, "port": 6422 });
        for (host, expected) in
            [("10.0.0.1", "10.0.0.1"), ("0.0.0.0", "gw.example"), ("::", "gw.example"), ("::1", "::1")]
        {
            let connection = at(host);
            let found = reached(&connection, "gw.example:6444");
            assert_eq!(found, Some(("build-box", expected.to_owned(), 6422)), "{host}");
        }
        assert_eq!(reached(&json!({ "name": "shop", "protocol": "postgres", "port": 1 }), "gw:1"), None);
        assert_eq!(reached(&json!({ "name": "b", "protocol": "ssh", "port": null }), "gw:1"), None);
    }
}
