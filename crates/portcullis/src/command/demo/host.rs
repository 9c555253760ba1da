//! The demo's machine: a real OpenSSH server with a few files, and what an agent needs to reach it through the gateway.
//!
//! Promises: the agent's key is made for the demo and registered in its configuration; the gateway's host key is written
//! down as `portcullis ssh-ca` prints it, so that no client has to trust what it meets first. Where the machine has no
//! OpenSSH, the demo goes on without, and says why.
//! Does not promise that the agent meets an account of its own: the server runs as who started the demo (or, for root, as
//! an account of a service), which is why the demo's bundle opens two directories of it and nothing else.
//! Held by: the demo's script, in `scripts/test`.

use super::{portcullis, write_secret};
use crate::error::Failure;
use portcullis_testkit::Sshd;
use portcullis_testkit::ssh::{keygen, make_private};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The bundle for the agent on this machine; its path stands for [`Host::files`].
const POLICY: &str = include_str!("build-box.yaml");

/// Where the files lie in [`POLICY`].
const STANDS_FOR: &str = "/srv/box";

/// What the agent finds: notes, two versions of a text, a secret, and a link to it that looks like nothing much.
const FILES: &str = "umask 022
mkdir box box/work box/out
cd box/work
printf 'Orders are paid or open.\\nNobody runs rm -rf here.\\n' > notes.txt
printf 'one\\ntwo\\n' > before.txt
printf 'one\\nthree\\n' > after.txt
printf 'DATABASE_PASSWORD=not-for-agents\\n' > .env
ln -s .env settings.txt";

/// A running machine.
pub(super) struct Host {
    server: Sshd,
    /// Its directory of files.
    files: PathBuf,
    /// Whether it can give its sessions a terminal.
    pub(super) terminals: bool,
}

/// Starts it; the reason where OpenSSH is not installed. Blocks.
pub(super) fn start() -> Result<Result<Host, String>, Failure> {
    let client = Command::new("ssh").arg("-V").stderr(Stdio::null()).status();
    if client.is_err() {
        return Ok(Err("there is no OpenSSH client here (package openssh-client)".to_owned()));
    }
    let failed = |error| Failure::refused("the sample machine", error);
    let server = match Sshd::start(&[]) {
        Ok(server) => server,
        Err(error) if error.is_absence() => {
            return Ok(Err("there is no OpenSSH server here (package openssh-server)".to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    server.run(FILES).map_err(failed)?;
    // Rules name files as the machine resolves them.
    let files = fs::canonicalize(server.directory())?.join("box");
    let terminals = server.gives_terminals().map_err(failed)?;
    Ok(Ok(Host { server, files, terminals }))
}

impl Host {
    /// A file or directory of the machine's, by its full name.
    pub(super) fn at(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }

    /// Its connection's line and the agent's key for the configuration, and the files that they name.
    pub(super) fn write_files(&self, place: &Path) -> Result<(String, String), Failure> {
        let failed = |error| Failure::refused("the agent's key", error);
        fs::write(
            place.join("policies/build-box.yaml"),
            POLICY.replace(STANDS_FOR, &self.files.display().to_string()),
        )?;
        // Copies: the machine's own directory goes with it, and the record is read after that too.
        write_secret(&place.join("build-box.key"), fs::read(self.server.client_key())?)?;
        let agent = place.join("agent-7.key");
        if !agent.exists() {
            keygen(&agent).map_err(failed)?;
        }
        make_private(&agent).map_err(failed)?;
        let connection = format!(
            "build-box: {{ protocol: ssh, address: \"{}\", username: \"{}\", private_key: {{ file: build-box.key }}, host_key: \"{}\" }}",
            self.server.address(),
            self.server.user(),
            self.server.host_key(),
        );
        Ok((connection, "{ user: agent-7, groups: [agents], file: agent-7.key.pub }".to_owned()))
    }
}

/// The files by which the agent's client knows the gateway that listens here. Blocks.
pub(super) fn write_client_files(config: &Path, gateway: SocketAddr) -> Result<(), Failure> {
    let place = config.parent().unwrap_or(Path::new("."));
    let output = portcullis(config, &["ssh-ca", "--host", "gateway"])?.output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    // `[gateway]:PORT TYPE KEY`: the name and port are those by which the demo's own listener is reached.
    let line = printed.lines().find(|line| line.contains("gateway") && !line.starts_with('#'));
    let key = line.and_then(|line| line.split_once(' ')).map(|(_, key)| key);
    let key = key.ok_or_else(|| Failure::refused("ssh-ca", String::from_utf8_lossy(&output.stderr)))?;
    let (host, port) = (gateway.ip(), gateway.port());
    let known = if port == 22 { host.to_string() } else { format!("[{host}]:{port}") };
    fs::write(place.join("known_hosts"), format!("{known} {key}\n"))?;
    let at = place.display();
    let text = format!(
        "# As agent-7, through the demo's gateway: ssh -F THIS_FILE build-box\n\
         Host build-box\n  HostName {host}\n  Port {port}\n  User build-box\n  IdentityFile \"{at}/agent-7.key\"\n  \
           IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile \"{at}/known_hosts\"\n  \
           GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 30\n"
    );
    Ok(fs::write(place.join("ssh_config"), text)?)
}
