//! The demo's HTTP services: a REST API and a scripted model, and what an agent needs to reach them through the gateway.
//!
//! Promises: each service answers its own key alone, which is made for each start and known to the gateway; the agent's
//! token stands in a file that curl reads, so that no process list shows it. What they were asked is remembered where a script
//! looks at it, and nowhere else.
//! Does not promise a model: it says what a script says, in the shape of Anthropic's API.
//! Held by: the demo's script, in `scripts/test`.

use super::{quote, write_secret};
use crate::error::Failure;
use portcullis_testkit::http::{Answers, Service};
use portcullis_testkit::{claude, crm, random_hex};
use std::path::Path;
use std::process::{Command, Stdio};

/// One service and the key that it wants.
pub(super) struct Keyed {
    pub(super) service: Service,
    pub(super) key: String,
}

/// The running services.
pub(super) struct Services {
    pub(super) crm: Keyed,
    pub(super) claude: Keyed,
    /// Why the steps over HTTP cannot be played, if they cannot.
    pub(super) curl: Result<(), String>,
}

/// Starts them; `remembering` what they are asked, or not. Blocks.
pub(super) fn start(remembering: bool) -> Result<Services, Failure> {
    let curl = Command::new("curl").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let curl = curl.map(drop).map_err(|_| "there is no curl here (package curl)".to_owned());
    let crm = keyed(crm::answers, remembering)?;
    Ok(Services { crm, claude: keyed(claude::answers, remembering)?, curl })
}

fn keyed(answers: impl FnOnce(&str) -> Answers, remembering: bool) -> Result<Keyed, Failure> {
    let failed = |error| Failure::refused("a sample service", error);
    let key = random_hex().map_err(failed)?;
    let start = if remembering { Service::start } else { Service::forgetful };
    Ok(Keyed { service: start(answers(&key)).map_err(failed)?, key })
}

impl Services {
    /// Their connections' lines for the configuration, and the files that they name.
    pub(super) fn write_files(&self, place: &Path) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for (name, api, service) in [("crm", "rest", &self.crm), ("claude", "anthropic", &self.claude)] {
            write_secret(&place.join(format!("{name}.key")), &service.key)?;
            lines.push(format!(
                "{name}: {{ protocol: http, upstream: \"http://{}\", api: {api}, headers: {{ x-api-key: {{ file: {name}.key }} }} }}",
                service.service.address(),
            ));
        }
        Ok(lines)
    }
}

/// The file by which the agent's curl knows the gateway, and the gateway the agent.
pub(super) fn write_client_files(config: &Path, authority: &Path, token: &str) -> Result<(), Failure> {
    let text = format!(
        "# As agent-7, through the demo's gateway: curl -K THIS_FILE https://…\n\
         silent\nshow-error\ncacert = {}\nheader = \"Authorization: Bearer {token}\"\n",
        quote::in_double_quotes(&authority.display().to_string())
    );
    write_secret(&config.with_file_name("curlrc"), text)
}
