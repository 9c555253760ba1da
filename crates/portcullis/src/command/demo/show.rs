//! What the interactive demo prints: lines to paste, for each of its people and systems.
//!
//! Promises: every line works as it stands, in any directory; what is missing on this machine is said in its place.
//! Held by: nothing but who pastes them; the same clients are played by the demo's script.

use super::people::{PERSON, state_home};
use super::{Demo, IDENTITIES};
use crate::error::Failure;
use portcullis_testkit::claude;
use std::path::Path;

impl Demo {
    /// Prints everything.
    pub(super) fn show(&self) -> Result<(), Failure> {
        println!("\nReady. Paste a line:\n");
        for ((user, _, what), token) in IDENTITIES.iter().zip(&self.tokens).take(2) {
            println!("  # {what}\n  PGPASSWORD={token} psql \"{}\"\n", self.dsn(user)?);
        }
        println!("Then try, as the agent:\n");
        println!("  SELECT id, name, city, email, phone FROM customers LIMIT 3;");
        println!("  DROP TABLE orders;");
        println!("  SELECT id FROM customers WHERE ssn LIKE '9%';");
        println!("  DELETE FROM orders;");
        println!("  UPDATE orders SET status = 'paid' WHERE id = 1;\n");
        self.show_people()?;
        self.show_host();
        self.show_services();
        let exe = std::env::current_exe()?;
        let (exe, config) = (exe.display(), self.config.display());
        println!("And, as the auditor:\n");
        println!("  {exe} sessions list --config {config}");
        println!("  {exe} sessions show SESSION --config {config}");
        println!("  {exe} sessions verify --config {config}\n");
        println!("The policy is in {}. Ctrl-C ends the demo.", self.config.with_file_name("policies").display());
        Ok(())
    }

    /// The lines for what waits, and for the person who decides.
    fn show_people(&self) -> Result<(), Failure> {
        let (people, address) = match (&self.people, self.running.console) {
            (Ok(people), Some(address)) => (people, address),
            (Err(why), _) => {
                println!("Nobody can log in, so nothing can be approved: {why}.\n");
                return Ok(());
            }
            (Ok(_), None) => return Ok(()),
        };
        println!("This waits for a person; let it wait, and decide in another terminal:\n");
        println!("  DELETE FROM orders WHERE id = 120;\n");
        println!("  # {PERSON}, a DBA: log in on the page that it names, with the password {}", people.password);
        let exe = std::env::current_exe()?;
        let state = state_home(&self.config);
        let own = |words: &str| {
            let (state, exe, authority) = (state.display(), exe.display(), self.authority.display());
            println!("  XDG_STATE_HOME={state} {exe} {words} --gateway {address} --ca {authority}");
        };
        own("login");
        own("approvals list");
        own("approvals approve ID");
        println!();
        Ok(())
    }

    /// The lines for the machine behind SSH.
    fn show_host(&self) {
        let (host, address) = match (&self.host, self.running.ssh) {
            (Ok(host), Some(address)) => (host, address),
            (Err(why), _) => return println!("No machine behind SSH: {why}.\n"),
            (Ok(_), None) => return,
        };
        let place = self.config.parent().unwrap_or(Path::new("."));
        let at = place.display();
        println!(
            "The same agent on a machine, with a key; known_hosts has the gateway's own, so nothing is trusted unseen:\n"
        );
        println!("  # a shell of the gateway's own, in which each line is judged");
        let plain = if host.terminals { "" } else { "-T " };
        if !host.terminals {
            println!(
                "  # -T: terminals of this machine cannot be given to the server's account, so there is no prompt"
            );
        }
        println!(
            "  ssh {plain}-i {at}/agent-7.key -o IdentitiesOnly=yes -o UserKnownHostsFile={at}/known_hosts -p {} build-box@{}\n",
            address.port(),
            address.ip()
        );
        let config = format!("-F {at}/ssh_config");
        let notes = host.at("work/notes.txt");
        println!("  # the same with less to type: {at}/ssh_config says all of it");
        println!("  ssh {config} build-box 'grep -n rm {notes}'");
        println!("  ssh {config} build-box 'rm -rf {}'", host.at("work"));
        println!("  ssh {config} build-box 'cat {}'", host.at("work/settings.txt"));
        println!("  scp {config} build-box:{notes} .");
        println!("  sftp {config} build-box:{}\n", host.at("work"));
    }

    /// The lines for the services behind HTTP.
    fn show_services(&self) {
        let (Some(address), Some(token)) = (self.running.http, self.tokens.first()) else { return };
        let (config, authority) = (self.config.with_file_name("curlrc"), self.authority.display());
        let curl = format!("curl -K {}", config.display());
        println!("The same agent on a REST API, with its token in {}:\n", config.display());
        if let Err(why) = &self.services.curl {
            println!("  # {why}");
        }
        println!("  {curl} https://{address}/crm/customers/7");
        println!("  {curl} -X DELETE https://{address}/crm/customers/7");
        println!("  # the second waits for the same person");
        for amount in [5, 250] {
            let body = format!("-H 'content-type: application/json' -d '{{\"amount\": {amount}}}'");
            println!("  {curl} {body} https://{address}/crm/refunds");
        }
        println!("\nAnd with a model, a scripted one; what it wants to run is judged before the agent sees it:\n");
        let ask = ask("Please clean up.");
        println!(
            "  {curl} -N -H 'content-type: application/json' -H 'anthropic-version: 2023-06-01' -d '{ask}' https://{address}/claude/v1/messages\n"
        );
        println!("  # Anthropic's SDK for Python (pip install anthropic), and whatever else is built on it");
        println!(
            "  SSL_CERT_FILE={authority} ANTHROPIC_BASE_URL=https://{address}/claude ANTHROPIC_AUTH_TOKEN={token} python3 -c '"
        );
        println!("import anthropic");
        println!(
            "print(anthropic.Anthropic().messages.create(model=\"{}\", max_tokens=256, tools=[{{\"name\": \"Bash\", \"input_schema\": {{\"type\": \"object\"}}}}], messages=[{{\"role\": \"user\", \"content\": \"Please clean up.\"}}]).content)'\n",
            claude::MODEL
        );
    }
}

/// A request for a stream with this prompt, of an agent that has a shell.
pub(super) fn ask(prompt: &str) -> String {
    let model = claude::MODEL;
    format!(
        "{{\"model\": \"{model}\", \"max_tokens\": 256, \"stream\": true, \"tools\": [{{\"name\": \"Bash\", \"input_schema\": {{\"type\": \"object\"}}}}], \"messages\": [{{\"role\": \"user\", \"content\": \"{prompt}\"}}]}}"
    )
}
